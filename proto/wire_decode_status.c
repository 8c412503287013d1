/* Protobuf-c message to struct: a Status and its actors. */
#include <math.h>
#include <string.h>

#include "proto/wire_internal.h"

double wire_known(double value)
{
    return isfinite(value) ? value : (double)NAN;
}

/* A later version may know more kinds of faults: those that we know come first. */
static int decode_faults(const ProtobufCBinaryData *in, EnvFaults *faults, Err *err)
{
    size_t count_bytes = sizeof faults->count[0];
    size_t known_bytes = in->len < sizeof faults->count ? in->len : sizeof faults->count;
    if (in->len % count_bytes != 0)
        return err_set(err, ERR_FORMAT, "faults of %zu bytes, not of %zu each", in->len,
                       count_bytes);
    *faults = (EnvFaults){{0}};
    if (known_bytes > 0)
        memcpy(faults->count, in->data, known_bytes);
    return ERR_OK;
}

static int decode_actor(const Polyak__ActorStatus *in, ActorStatus *actor, Err *err)
{
    actor->actor_index = in->actor_index;
    actor->incarnation = in->incarnation;
    actor->env_steps = in->env_steps;
    actor->unused_credit = in->unused_credit;
    actor->silent_ms = in->silent_ms;
    actor->dropped_steps = in->dropped_steps;
    actor->num_envs = in->num_envs;
    actor->env_steps_per_s = wire_known(in->env_steps_per_s);
    actor->policy_lag_updates = in->policy_lag_updates;
    actor->policy_epoch_old = in->policy_epoch_old;
    actor->send_credit = in->send_credit;
    actor->outbox_segments = in->outbox_segments;
    actor->lost_steps = in->lost_steps;
    actor->expired_segments = in->expired_segments;
    actor->expired_steps = in->expired_steps;
    actor->draining = in->draining;
    const struct {
        char *out;
        size_t out_bytes;
        const char *in;
        const char *what;
    } texts[] = {
        {actor->name, sizeof actor->name, in->name, "a name"},
        {actor->key, sizeof actor->key, in->key, "a key's name"},
        {actor->via, sizeof actor->via, in->via, "a relay's name"},
        {actor->labels, sizeof actor->labels, in->labels, "labels"},
        {actor->waiting_for, sizeof actor->waiting_for, in->waiting_for, "a reason"},
        {actor->learner_reason, sizeof actor->learner_reason, in->learner_reason, "a reason"},
        {actor->last_fault, sizeof actor->last_fault, in->last_fault, "a fault"},
    };
    int rc = decode_faults(&in->env_faults, &actor->faults, err);
    for (size_t i = 0; rc == ERR_OK && i < sizeof texts / sizeof texts[0]; i++)
        rc = wire_text_copy(texts[i].out, texts[i].out_bytes, texts[i].in, texts[i].what, err);
    return rc;
}

static int decode_actors(const Polyak__Status *in, WireArena *arena, RunStatus *status, Err *err)
{
    if (in->n_actors > STATUS_ACTORS_MAX)
        return err_set(err, ERR_FORMAT, "a status of %zu actors; the limit is %d", in->n_actors,
                       STATUS_ACTORS_MAX);
    if (in->n_actors == 0)
        return ERR_OK;
    status->num_actors = (uint32_t)in->n_actors;
    status->actors = wire_arena_alloc(arena, in->n_actors * sizeof *status->actors);
    if (!status->actors)
        return err_set(err, ERR_NOMEM, "a status of %zu actors needs more than it may use",
                       in->n_actors);
    for (size_t i = 0; i < in->n_actors; i++) {
        int rc = decode_actor(in->actors[i], &status->actors[i], err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static int decode_alarms(const Polyak__Status *in, RunStatus *status, Err *err)
{
    if (in->n_alarms > STATUS_ALARMS_MAX)
        return err_set(err, ERR_FORMAT, "a status of %zu alarms; the limit is %d", in->n_alarms,
                       STATUS_ALARMS_MAX);
    status->num_alarms = (uint32_t)in->n_alarms;
    for (size_t i = 0; i < in->n_alarms; i++) {
        int rc = wire_text_copy(status->alarms[i], sizeof status->alarms[i], in->alarms[i],
                                "an alarm", err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* How it stands with the replay log, and with what was refused, lost, or went wrong. */
static int decode_health(const Polyak__Status *in, RunStatus *status, Err *err)
{
    status->log_bytes = in->log_bytes;
    status->log_position = in->log_position;
    status->log_synced_position = in->log_synced_position;
    status->skipped_updates = in->skipped_updates;
    status->rollbacks = in->rollbacks;
    status->refused_peers = in->refused_peers;
    status->garbage_messages = in->garbage_messages;
    status->half_open = in->half_open;
    status->sessions = in->sessions;
    status->lost_segments = in->lost_segments;
    status->lost_steps = in->lost_steps;
    status->faults = (EnvFaults){{[ENV_FAULT_DIVERGED] = in->env_diverged,
                                  [ENV_FAULT_NOT_FINITE] = in->env_not_finite,
                                  [ENV_FAULT_RAISED] = in->env_raised,
                                  [ENV_FAULT_DIED] = in->env_died,
                                  [ENV_FAULT_HUNG] = in->env_hung}};
    int rc =
        wire_text_copy(status->log_state, sizeof status->log_state, in->log_state, "a state", err);
    if (rc == ERR_OK)
        rc = wire_text_copy(status->last_fault, sizeof status->last_fault, in->last_fault,
                            "a fault", err);
    return rc == ERR_OK ? decode_alarms(in, status, err) : rc;
}

int wire_decode_status(const Polyak__Status *in, WireArena *arena, RunStatus *status, Err *err)
{
    int rc = wire_text_copy(status->env, sizeof status->env, in->env, "a name", err);
    if (rc == ERR_OK)
        rc = wire_text_copy(status->phase, sizeof status->phase, in->phase, "a phase", err);
    if (rc == ERR_OK)
        rc = wire_text_copy(status->waiting_for, sizeof status->waiting_for, in->waiting_for,
                            "a reason", err);
    if (rc != ERR_OK)
        return rc;
    status->epoch = in->epoch;
    status->env_steps = in->env_steps;
    status->total_env_steps = in->total_env_steps;
    status->updates = in->updates;
    status->updates_owed = in->updates_owed;
    status->episodes = in->episodes;
    status->return_mean = wire_known(in->return_mean);
    status->env_steps_per_s = wire_known(in->env_steps_per_s);
    status->updates_per_s = wire_known(in->updates_per_s);
    status->seconds_left = wire_known(in->seconds_left);
    status->eval_return = wire_known(in->eval_return);
    status->best_return = wire_known(in->best_return);
    status->publish_interval_ms = in->publish_interval_ms;
    status->evaluators = in->evaluators;
    status->relays = in->relays;
    status->wall_ms = in->wall_ms;
    rc = decode_health(in, status, err);
    return rc == ERR_OK ? decode_actors(in, arena, status, err) : rc;
}
