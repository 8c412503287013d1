#include "cli/report.h"
#include "cli/status_show.h"

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *faults_json(const EnvFaults *faults)
{
    json_t *json = json_object();
    for (int i = 0; i < ENV_FAULTS; i++)
        json_object_set_new(json, env_fault_name((EnvFault)i), count(faults->count[i]));
    return json;
}

static json_t *actor_json(const ActorStatus *actor)
{
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "actor_index",
                  count(actor->actor_index), "incarnation", count(actor->incarnation), "name",
                  actor->name, "labels", actor->labels, "key", actor->key, "via", actor->via,
                  "num_envs", count(actor->num_envs), "env_steps", count(actor->env_steps),
                  "env_steps_per_s", report_real(actor->env_steps_per_s), "silent_ms",
                  count(actor->silent_ms), "policy_lag_updates", count(actor->policy_lag_updates),
                  "policy_epoch_old", actor->policy_epoch_old);
    json_t *rest = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:s, s:o, s:s}", "unused_credit",
        count(actor->unused_credit), "send_credit", count(actor->send_credit), "outbox_segments",
        count(actor->outbox_segments), "dropped_steps", count(actor->dropped_steps), "lost_steps",
        count(actor->lost_steps), "expired_segments", count(actor->expired_segments),
        "expired_steps", count(actor->expired_steps), "draining", actor->draining, "waiting_for",
        actor->waiting_for, "learner_reason", actor->learner_reason, "faults",
        faults_json(&actor->faults), "last_fault", actor->last_fault);
    json_object_update(json, rest);
    json_decref(rest);
    return json;
}

/* How it stands with the log, and with what was refused, lost, or went wrong. */
static json_t *health_json(const RunStatus *status)
{
    json_t *alarms = json_array();
    for (uint32_t i = 0; i < status->num_alarms; i++)
        json_array_append_new(alarms, json_string(status->alarms[i]));
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}",
                     "alarms", alarms, "log_state", status->log_state, "log_bytes",
                     count(status->log_bytes), "log_position", count(status->log_position),
                     "log_synced_position", count(status->log_synced_position), "skipped_updates",
                     count(status->skipped_updates), "rollbacks", count(status->rollbacks),
                     "refused_peers", count(status->refused_peers), "garbage_messages",
                     count(status->garbage_messages), "half_open", count(status->half_open),
                     "sessions", count(status->sessions), "lost_segments",
                     count(status->lost_segments), "lost_steps", count(status->lost_steps),
                     "faults", faults_json(&status->faults), "last_fault", status->last_fault);
}

json_t *status_json(const RunStatus *status)
{
    json_t *actors = json_array();
    for (uint32_t i = 0; i < status->num_actors; i++)
        json_array_append_new(actors, actor_json(&status->actors[i]));
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o}",
        "env", status->env, "phase", status->phase, "waiting_for", status->waiting_for, "epoch",
        count(status->epoch), "env_steps", count(status->env_steps), "total_env_steps",
        count(status->total_env_steps), "updates", count(status->updates), "updates_owed",
        count(status->updates_owed), "episodes", count(status->episodes), "return_mean",
        report_real(status->return_mean), "env_steps_per_s", report_real(status->env_steps_per_s),
        "updates_per_s", report_real(status->updates_per_s), "seconds_left",
        report_real(status->seconds_left), "eval_return", report_real(status->eval_return),
        "best_return", report_real(status->best_return), "publish_interval_ms",
        count(status->publish_interval_ms), "evaluators", count(status->evaluators), "relays",
        count(status->relays), "wall_s", report_real((double)status->wall_ms / 1000));
    json_t *health = health_json(status);
    json_object_update(json, health);
    json_decref(health);
    json_object_set_new(json, "actors", actors);
    return json;
}
