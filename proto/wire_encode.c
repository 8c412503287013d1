/* Struct to protobuf-c message: everything points at the struct's own memory. */
#include "common/check.h"
#include "proto/wire_internal.h"

/* protobuf-c knows no const; packing only reads. */
static char *text(const char *value)
{
    return (char *)(uintptr_t)value;
}

static ProtobufCBinaryData column(const float *values, size_t num_values)
{
    ProtobufCBinaryData bytes = {
        .len = num_values * sizeof(float),
        .data = (uint8_t *)(uintptr_t)values,
    };
    return bytes;
}

Polyak__Version *wire_encode_version(Version version, WireBody *body)
{
    polyak__version__init(&body->version);
    body->version.epoch = version.epoch;
    body->version.update = version.update;
    return &body->version;
}

static Polyak__Spec *encode_spec(const Spec *spec, WireBody *body)
{
    Polyak__Spec *out = &body->spec;
    polyak__spec__init(out);
    out->name = text(spec->name);
    out->obs_dim = (uint32_t)spec->obs_dim;
    out->act_dim = (uint32_t)spec->act_dim;
    out->step_limit = (uint32_t)spec->step_limit;
    CHECK(spec->act_dim >= 0 && spec->act_dim <= SPEC_ACT_DIM_MAX);
    out->action_low = column(spec->action_low, (size_t)spec->act_dim);
    out->action_high = column(spec->action_high, (size_t)spec->act_dim);
    return out;
}

static void encode_hello(const Hello *hello, WireBody *body)
{
    Polyak__Hello *out = &body->hello;
    polyak__hello__init(out);
    out->protocol_version = hello->protocol_version;
    out->role = (Polyak__Role)hello->role;
    out->session.len = sizeof hello->session.id;
    out->session.data = (uint8_t *)(uintptr_t)hello->session.id;
    out->oldest_unacked = hello->oldest_unacked;
    out->name = text(hello->name);
    CHECK(hello->num_labels >= 0 && hello->num_labels <= WIRE_LABELS_MAX);
    out->n_labels = (size_t)hello->num_labels;
    out->labels = body->labels;
    for (int i = 0; i < hello->num_labels; i++)
        body->labels[i] = text(hello->labels[i]);
    out->spec = hello->has_spec ? encode_spec(&hello->spec, body) : NULL;
    out->num_envs = hello->num_envs;
    out->acked_steps = hello->acked_steps;
    out->has_sent = hello->has_sent;
    out->origin_key = text(hello->origin_key);
    out->origin_roles = hello->origin_roles;
    out->via = text(hello->via);
}

static void encode_welcome(const Welcome *welcome, WireBody *body)
{
    Polyak__Welcome *out = &body->welcome;
    polyak__welcome__init(out);
    out->protocol_version = welcome->protocol_version;
    out->epoch = welcome->epoch;
    out->actor_index = welcome->actor_index;
    out->incarnation = welcome->incarnation;
    out->weights_port = welcome->weights_port;
    out->weights_endpoint = text(welcome->weights_endpoint);
    out->acked_sequence = welcome->acked_sequence;
    out->send_limit_sequence = welcome->send_limit_sequence;
    out->step_limit = welcome->step_limit;
    out->newest = wire_encode_version(welcome->newest, body);
    out->heartbeat_interval_ms = welcome->heartbeat_interval_ms;
    out->seed = welcome->seed;
    out->segment_steps = welcome->segment_steps;
    out->segment_flush_ms = welcome->segment_flush_ms;
    out->noise = welcome->noise;
    out->sigma = welcome->sigma;
    out->ou_theta = welcome->ou_theta;
    out->ou_dt = welcome->ou_dt;
    out->publish_interval_ms = welcome->publish_interval_ms;
    out->policy_age_s_max = welcome->policy_age_s_max;
    out->sync = welcome->sync;
}

static void encode_segment(const Segment *segment, const WireLimits *dims, WireBody *body)
{
    CHECK(dims && dims->obs_dim > 0 && dims->act_dim > 0);
    CHECK(segment->num_steps >= 1 && segment->num_steps <= SEGMENT_STEPS_MAX);
    size_t steps = (size_t)segment->num_steps;
    Polyak__Segment *out = &body->segment;
    polyak__segment__init(out);
    out->sequence = segment->sequence;
    out->env_index = segment->env_index;
    out->episode = segment->episode;
    out->first_step = segment->first_step;
    out->num_steps = (uint32_t)segment->num_steps;
    out->end = (uint32_t)segment->end;
    out->episode_return = segment->episode_return;
    out->version = wire_encode_version(segment->version, body);
    out->obs = column(segment->obs, (steps + 1) * (size_t)dims->obs_dim);
    out->action = column(segment->action, steps * (size_t)dims->act_dim);
    out->reward = column(segment->reward, steps);
}

static void encode_ack(const Ack *ack, WireBody *body)
{
    Polyak__Ack *out = &body->ack;
    polyak__ack__init(out);
    out->acked_sequence = ack->acked_sequence;
    out->send_limit_sequence = ack->send_limit_sequence;
    out->step_limit = ack->step_limit;
    out->durable = ack->durable;
    out->reason = text(ack->reason);
    out->newest = wire_encode_version(ack->newest, body);
}

static void encode_heartbeat(const Heartbeat *heartbeat, WireBody *body)
{
    Polyak__Heartbeat *out = &body->heartbeat;
    polyak__heartbeat__init(out);
    out->env_steps = heartbeat->env_steps;
    out->version = wire_encode_version(heartbeat->version, body);
    out->dropped_steps = heartbeat->dropped_steps;
    out->waiting_for = text(heartbeat->waiting_for);
    out->steps_per_s = heartbeat->steps_per_s;
    out->outbox_segments = heartbeat->outbox_segments;
    out->lost_segments = heartbeat->lost_segments;
    out->lost_steps = heartbeat->lost_steps;
    out->env_diverged = heartbeat->faults.count[ENV_FAULT_DIVERGED];
    out->env_not_finite = heartbeat->faults.count[ENV_FAULT_NOT_FINITE];
    out->env_raised = heartbeat->faults.count[ENV_FAULT_RAISED];
    out->env_died = heartbeat->faults.count[ENV_FAULT_DIED];
    out->env_hung = heartbeat->faults.count[ENV_FAULT_HUNG];
    out->last_fault = text(heartbeat->last_fault);
    out->sessions = heartbeat->sessions;
}

/* How it stands with the replay log, and with what was refused, lost, or went wrong. */
static void encode_health(const RunStatus *status, WireBody *body)
{
    Polyak__Status *out = &body->status;
    CHECK(status->num_alarms <= STATUS_ALARMS_MAX);
    out->n_alarms = status->num_alarms;
    out->alarms = body->alarms;
    for (uint32_t i = 0; i < status->num_alarms; i++)
        body->alarms[i] = text(status->alarms[i]);
    out->log_state = text(status->log_state);
    out->log_bytes = status->log_bytes;
    out->log_position = status->log_position;
    out->log_synced_position = status->log_synced_position;
    out->skipped_updates = status->skipped_updates;
    out->rollbacks = status->rollbacks;
    out->refused_peers = status->refused_peers;
    out->garbage_messages = status->garbage_messages;
    out->half_open = status->half_open;
    out->sessions = status->sessions;
    out->lost_segments = status->lost_segments;
    out->lost_steps = status->lost_steps;
    out->env_diverged = status->faults.count[ENV_FAULT_DIVERGED];
    out->env_not_finite = status->faults.count[ENV_FAULT_NOT_FINITE];
    out->env_raised = status->faults.count[ENV_FAULT_RAISED];
    out->env_died = status->faults.count[ENV_FAULT_DIED];
    out->env_hung = status->faults.count[ENV_FAULT_HUNG];
    out->last_fault = text(status->last_fault);
}

static void encode_status(const RunStatus *status, WireBody *body)
{
    Polyak__Status *out = &body->status;
    polyak__status__init(out);
    out->env = text(status->env);
    out->phase = text(status->phase);
    out->waiting_for = text(status->waiting_for);
    out->epoch = status->epoch;
    out->env_steps = status->env_steps;
    out->total_env_steps = status->total_env_steps;
    out->updates = status->updates;
    out->updates_owed = status->updates_owed;
    out->episodes = status->episodes;
    out->return_mean = status->return_mean;
    out->env_steps_per_s = status->env_steps_per_s;
    out->updates_per_s = status->updates_per_s;
    out->seconds_left = status->seconds_left;
    out->eval_return = status->eval_return;
    out->best_return = status->best_return;
    out->publish_interval_ms = status->publish_interval_ms;
    out->evaluators = status->evaluators;
    out->relays = status->relays;
    out->wall_ms = status->wall_ms;
    encode_health(status, body);
}

/* Counts in the order of EnvFault; nothing where there was no fault. */
static ProtobufCBinaryData faults_column(const EnvFaults *faults)
{
    ProtobufCBinaryData bytes = {
        .len = env_faults_sum(faults) > 0 ? sizeof faults->count : 0,
        .data = (uint8_t *)(uintptr_t)faults->count,
    };
    return bytes;
}

void wire_encode_actor(const ActorStatus *actor, WireBody *body)
{
    Polyak__ActorStatus *out = &body->actor;
    polyak__actor_status__init(out);
    out->actor_index = actor->actor_index;
    out->incarnation = actor->incarnation;
    out->name = text(actor->name);
    out->env_steps = actor->env_steps;
    out->unused_credit = actor->unused_credit;
    out->silent_ms = actor->silent_ms;
    out->dropped_steps = actor->dropped_steps;
    out->waiting_for = text(actor->waiting_for);
    out->learner_reason = text(actor->learner_reason);
    out->labels = text(actor->labels);
    out->key = text(actor->key);
    out->num_envs = actor->num_envs;
    out->env_steps_per_s = actor->env_steps_per_s;
    out->policy_lag_updates = actor->policy_lag_updates;
    out->policy_epoch_old = actor->policy_epoch_old;
    out->send_credit = actor->send_credit;
    out->outbox_segments = actor->outbox_segments;
    out->lost_steps = actor->lost_steps;
    out->expired_segments = actor->expired_segments;
    out->expired_steps = actor->expired_steps;
    out->draining = actor->draining;
    out->env_faults = faults_column(&actor->faults);
    out->last_fault = text(actor->last_fault);
    out->via = text(actor->via);
    polyak__status__init(&body->status);
    body->actors[0] = out;
    body->status.actors = body->actors;
    body->status.n_actors = 1;
}

static void encode_eval_request(const EvalRequest *request, WireBody *body)
{
    Polyak__EvalRequest *out = &body->eval_request;
    polyak__eval_request__init(out);
    out->eval_id = request->eval_id;
    out->env_steps = request->env_steps;
    out->episodes = request->episodes;
    out->seed = request->seed;
    out->version = wire_encode_version(request->version, body);
    wire_encode_policy(&request->mlp, request->params, body, &out->layer_sizes, &out->parameters);
}

static void encode_eval_result(const EvalResult *result, WireBody *body)
{
    Polyak__EvalResult *out = &body->eval_result;
    polyak__eval_result__init(out);
    out->eval_id = result->eval_id;
    out->episodes = result->episodes;
    out->return_mean = result->return_mean;
    out->return_std = result->return_std;
    out->length_mean = result->length_mean;
    out->diverged = result->diverged;
}

void wire_encode(const Message *message, const WireLimits *dims, WireBody *body)
{
    switch (message->kind) {
    case MESSAGE_HELLO:
        encode_hello(&message->hello, body);
        return;
    case MESSAGE_WELCOME:
        encode_welcome(&message->welcome, body);
        return;
    case MESSAGE_REJECT:
        polyak__reject__init(&body->reject);
        body->reject.reason = (Polyak__RejectReason)message->reject.reason;
        body->reject.text = text(message->reject.text);
        return;
    case MESSAGE_SEGMENT:
        encode_segment(&message->segment, dims, body);
        return;
    case MESSAGE_ACK:
        encode_ack(&message->ack, body);
        return;
    case MESSAGE_HEARTBEAT:
        encode_heartbeat(&message->heartbeat, body);
        return;
    case MESSAGE_BYE:
        polyak__bye__init(&body->bye);
        body->bye.reason = (Polyak__ByeReason)message->bye;
        return;
    case MESSAGE_STATUS_REQUEST:
        polyak__status_request__init(&body->status_request);
        return;
    case MESSAGE_STATUS:
        encode_status(&message->status, body);
        return;
    case MESSAGE_EVAL_REQUEST:
        encode_eval_request(&message->eval_request, body);
        return;
    case MESSAGE_EVAL_RESULT:
        encode_eval_result(&message->eval_result, body);
        return;
    case MESSAGE_SET:
        polyak__set__init(&body->set);
        body->set.assignment = text(message->set.assignment);
        return;
    case MESSAGE_DRAIN:
        polyak__drain__init(&body->drain);
        body->drain.name = text(message->drain.name);
        return;
    case MESSAGE_OUTCOME:
        polyak__outcome__init(&body->outcome);
        body->outcome.done = message->outcome.done;
        body->outcome.text = text(message->outcome.text);
        return;
    case MESSAGE_GONE:
        polyak__gone__init(&body->gone);
        return;
    }
    CHECK(false); /* a kind that is none */
}
