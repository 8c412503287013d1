/* Protobuf-c message to struct: what the world may have written is checked here, field by field. */
#include <math.h>
#include <string.h>

#include "common/keys.h"
#include "proto/wire_internal.h"

enum { ROLES_ALL = (1 << (ROLE_RELAY + 1)) - 1 };

/* A column of exactly num_values floats. */
static int column(const ProtobufCBinaryData *bytes, size_t num_values, const char *what,
                  float **values, Err *err)
{
    if (bytes->len != num_values * sizeof(float))
        return err_set(err, ERR_FORMAT, "%s of %zu bytes where %zu numbers belong", what,
                       bytes->len, num_values);
    *values = (void *)bytes->data;
    return ERR_OK;
}

Version wire_decode_version(const Polyak__Version *version)
{
    return version ? (Version){version->epoch, version->update} : (Version){0};
}

static int decode_spec(const Polyak__Spec *in, Spec *spec, Err *err)
{
    size_t name_bytes = strlen(in->name) + 1;
    if (name_bytes > sizeof spec->name)
        return err_set(err, ERR_SPEC, "an environment's name of more than %d bytes", SPEC_NAME_MAX);
    memcpy(spec->name, in->name, name_bytes);
    if (in->obs_dim > SPEC_OBS_DIM_MAX || in->act_dim > SPEC_ACT_DIM_MAX)
        return err_set(err, ERR_SPEC, "obs_dim %u and act_dim %u; the limits are %d and %d",
                       in->obs_dim, in->act_dim, SPEC_OBS_DIM_MAX, SPEC_ACT_DIM_MAX);
    if (in->step_limit > INT32_MAX)
        return err_set(err, ERR_SPEC, "a step limit of %u", in->step_limit);
    spec->obs_dim = (int)in->obs_dim;
    spec->act_dim = (int)in->act_dim;
    spec->step_limit = (int)in->step_limit;
    size_t bound_bytes = in->act_dim * sizeof(float);
    if (in->action_low.len != bound_bytes || in->action_high.len != bound_bytes)
        return err_set(err, ERR_SPEC, "action bounds of %zu and %zu bytes for act_dim %u",
                       in->action_low.len, in->action_high.len, in->act_dim);
    if (bound_bytes > 0) {
        memcpy(spec->action_low, in->action_low.data, bound_bytes);
        memcpy(spec->action_high, in->action_high.data, bound_bytes);
    }
    return spec_check(spec, err);
}

/* A key's name decides whose session it is: one that no key could have is refused, not mended. */
static int decode_origin(const Polyak__Hello *in, Hello *hello, Err *err)
{
    size_t key_bytes = strlen(in->origin_key) + 1;
    if (key_bytes > 1 && keys_check_name(in->origin_key, NULL) != ERR_OK)
        return err_set(err, ERR_FORMAT, "a hello of a key with a name that none has");
    if (in->origin_roles > ROLES_ALL)
        return err_set(err, ERR_FORMAT, "a hello with the unknown roles %#x", in->origin_roles);
    _Static_assert(sizeof hello->origin_key > KEY_NAME_MAX, "a key's name has its place");
    memcpy(hello->origin_key, in->origin_key, key_bytes);
    hello->origin_roles = in->origin_roles;
    return wire_text_copy(hello->via, sizeof hello->via, in->via, "a relay's name", err);
}

static int decode_hello(const Polyak__Hello *in, Hello *hello, Err *err)
{
    hello->protocol_version = in->protocol_version;
    bool has_session = in->session.len == sizeof hello->session.id;
    if (has_session)
        memcpy(hello->session.id, in->session.data, in->session.len);
    if (in->protocol_version != WIRE_PROTOCOL_VERSION)
        return ERR_OK; /* of a language that we do not speak: the rest could mean anything */
    if (!has_session)
        return err_set(err, ERR_FORMAT, "a hello with a session of %zu bytes", in->session.len);
    if ((uint32_t)in->role > ROLE_RELAY)
        return err_set(err, ERR_FORMAT, "a hello with the unknown role %d", (int)in->role);
    hello->role = (Role)in->role;
    hello->oldest_unacked = in->oldest_unacked;
    hello->acked_steps = in->acked_steps;
    hello->has_sent = in->has_sent;
    hello->num_envs = in->num_envs;
    if (in->oldest_unacked > WIRE_COUNT_MAX || in->acked_steps > WIRE_COUNT_MAX)
        return err_set(err, ERR_FORMAT, "a hello that counts beyond %llu",
                       (unsigned long long)WIRE_COUNT_MAX);
    if (in->num_envs > WIRE_ENVS_MAX)
        return err_set(err, ERR_FORMAT, "a hello with %u environments; the limit is %d",
                       in->num_envs, WIRE_ENVS_MAX);
    if (hello->role == ROLE_ACTOR && (in->oldest_unacked == 0 || in->num_envs == 0))
        return err_set(err, ERR_FORMAT, "an actor's hello without a sequence or an environment");
    int rc = wire_text_copy(hello->name, sizeof hello->name, in->name, "a name", err);
    if (rc == ERR_OK)
        rc = decode_origin(in, hello, err);
    if (rc != ERR_OK)
        return rc;
    if (in->n_labels > WIRE_LABELS_MAX)
        return err_set(err, ERR_FORMAT, "a hello with %zu labels; the limit is %d", in->n_labels,
                       WIRE_LABELS_MAX);
    hello->num_labels = (int)in->n_labels;
    for (int i = 0; i < hello->num_labels; i++) {
        rc = wire_text_copy(hello->labels[i], sizeof hello->labels[i], in->labels[i], "a label",
                            err);
        if (rc != ERR_OK)
            return rc;
    }
    hello->has_spec = in->spec != NULL;
    if (!hello->has_spec && role_has_spec(hello->role))
        return err_set(err, ERR_SPEC, "the hello of an %s without a spec", role_name(hello->role));
    return hello->has_spec ? decode_spec(in->spec, &hello->spec, err) : ERR_OK;
}

/* An endpoint goes to the transport, not to people: what is not plain ASCII is refused. */
static int decode_endpoint(const char *in, char *endpoint, Err *err)
{
    size_t length = strlen(in);
    if (length > WIRE_ENDPOINT_MAX)
        return err_set(err, ERR_FORMAT, "an endpoint of %zu bytes; the limit is %d", length,
                       WIRE_ENDPOINT_MAX);
    for (size_t i = 0; i < length; i++) {
        if (in[i] < 0x21 || in[i] > 0x7e)
            return err_set(err, ERR_FORMAT, "an endpoint with characters that none has");
    }
    memcpy(endpoint, in, length + 1);
    return ERR_OK;
}

static int check_welcome(const Polyak__Welcome *in, Err *err)
{
    if (in->weights_port > UINT16_MAX)
        return err_set(err, ERR_FORMAT, "a welcome with the port %u", in->weights_port);
    if (in->heartbeat_interval_ms == 0)
        return err_set(err, ERR_FORMAT, "a welcome with a heartbeat interval of 0");
    if (in->segment_steps < 1 || in->segment_steps > SEGMENT_STEPS_MAX)
        return err_set(err, ERR_FORMAT, "a welcome with segments of %u steps", in->segment_steps);
    if (in->noise > 1)
        return err_set(err, ERR_FORMAT, "a welcome with the unknown noise %u", in->noise);
    if (!isfinite(in->sigma) || !isfinite(in->ou_theta) || !isfinite(in->ou_dt))
        return err_set(err, ERR_DIVERGED, "a welcome with noise that is not finite");
    if (in->sigma < 0 || in->ou_theta < 0 || in->ou_dt < 0)
        return err_set(err, ERR_FORMAT, "a welcome with negative noise");
    return ERR_OK;
}

static int decode_welcome(const Polyak__Welcome *in, Welcome *welcome, Err *err)
{
    welcome->protocol_version = in->protocol_version;
    if (in->protocol_version != WIRE_PROTOCOL_VERSION)
        return ERR_OK; /* as a Hello: there to be refused with both versions named */
    int rc = check_welcome(in, err);
    if (rc != ERR_OK)
        return rc;
    welcome->epoch = in->epoch;
    welcome->actor_index = in->actor_index;
    welcome->incarnation = in->incarnation;
    welcome->weights_port = in->weights_port;
    welcome->acked_sequence = in->acked_sequence;
    welcome->send_limit_sequence = in->send_limit_sequence;
    welcome->step_limit = in->step_limit;
    welcome->newest = wire_decode_version(in->newest);
    welcome->heartbeat_interval_ms = in->heartbeat_interval_ms;
    welcome->seed = in->seed;
    welcome->segment_steps = in->segment_steps;
    welcome->segment_flush_ms = in->segment_flush_ms;
    welcome->noise = in->noise;
    welcome->sigma = in->sigma;
    welcome->ou_theta = in->ou_theta;
    welcome->ou_dt = in->ou_dt;
    welcome->publish_interval_ms = in->publish_interval_ms;
    welcome->policy_age_s_max = in->policy_age_s_max;
    welcome->sync = in->sync;
    return decode_endpoint(in->weights_endpoint, welcome->weights_endpoint, err);
}

static int decode_reject(const Polyak__Reject *in, Reject *reject, Err *err)
{
    uint32_t reason = (uint32_t)in->reason;
    if (reason < REJECT_VERSION || reason > REJECT_LOADING)
        return err_set(err, ERR_FORMAT, "a reject for the unknown reason %u", reason);
    reject->reason = (RejectReason)reason;
    return wire_text_copy(reject->text, sizeof reject->text, in->text, "a text", err);
}

static int decode_segment(const Polyak__Segment *in, const WireLimits *limits, Segment *segment,
                          Err *err)
{
    if (!limits || limits->obs_dim <= 0 || limits->act_dim <= 0)
        return err_set(err, ERR_FORMAT, "a segment before the run's dimensions are known");
    if (in->num_steps < 1 || in->num_steps > SEGMENT_STEPS_MAX ||
        in->num_steps > (uint32_t)limits->segment_steps_max)
        return err_set(err, ERR_FORMAT, "a segment of %u steps; the limit is %d", in->num_steps,
                       limits->segment_steps_max);
    if (in->end > SEGMENT_TRUNCATED)
        return err_set(err, ERR_FORMAT, "a segment with the unknown end %u", in->end);
    if (in->sequence == 0 || in->env_index >= WIRE_ENVS_MAX ||
        in->first_step > UINT32_MAX - in->num_steps)
        return err_set(err, ERR_FORMAT, "a segment with the sequence %llu, env %u, first step %u",
                       (unsigned long long)in->sequence, in->env_index, in->first_step);
    segment->sequence = in->sequence;
    segment->env_index = in->env_index;
    segment->episode = in->episode;
    segment->first_step = in->first_step;
    segment->num_steps = (int)in->num_steps;
    segment->end = (SegmentEnd)in->end;
    segment->episode_return = in->episode_return;
    segment->version = wire_decode_version(in->version);
    size_t steps = in->num_steps;
    int rc =
        column(&in->obs, (steps + 1) * (size_t)limits->obs_dim, "observations", &segment->obs, err);
    if (rc == ERR_OK)
        rc = column(&in->action, steps * (size_t)limits->act_dim, "actions", &segment->action, err);
    if (rc == ERR_OK)
        rc = column(&in->reward, steps, "rewards", &segment->reward, err);
    if (rc != ERR_OK)
        return rc;
    return segment_check(segment, limits->obs_dim, limits->act_dim, err);
}

static int decode_ack(const Polyak__Ack *in, Ack *ack, Err *err)
{
    ack->acked_sequence = in->acked_sequence;
    ack->send_limit_sequence = in->send_limit_sequence;
    ack->step_limit = in->step_limit;
    ack->durable = in->durable;
    ack->newest = wire_decode_version(in->newest);
    return wire_text_copy(ack->reason, sizeof ack->reason, in->reason, "a reason", err);
}

static int decode_heartbeat(const Polyak__Heartbeat *in, Heartbeat *heartbeat, Err *err)
{
    heartbeat->env_steps = in->env_steps;
    heartbeat->version = wire_decode_version(in->version);
    heartbeat->dropped_steps = in->dropped_steps;
    heartbeat->steps_per_s = wire_known(in->steps_per_s);
    heartbeat->outbox_segments = in->outbox_segments;
    heartbeat->lost_segments = in->lost_segments;
    heartbeat->lost_steps = in->lost_steps;
    heartbeat->faults = (EnvFaults){{[ENV_FAULT_DIVERGED] = in->env_diverged,
                                     [ENV_FAULT_NOT_FINITE] = in->env_not_finite,
                                     [ENV_FAULT_RAISED] = in->env_raised,
                                     [ENV_FAULT_DIED] = in->env_died,
                                     [ENV_FAULT_HUNG] = in->env_hung}};
    heartbeat->sessions = in->sessions;
    int rc = wire_text_copy(heartbeat->waiting_for, sizeof heartbeat->waiting_for, in->waiting_for,
                            "a reason", err);
    return rc == ERR_OK ? wire_text_copy(heartbeat->last_fault, sizeof heartbeat->last_fault,
                                         in->last_fault, "a fault", err)
                        : rc;
}

static int decode_bye(const Polyak__Bye *in, ByeReason *bye, Err *err)
{
    uint32_t reason = (uint32_t)in->reason;
    if (reason < BYE_FINISHED || reason > BYE_RESTARTING)
        return err_set(err, ERR_FORMAT, "a bye for the unknown reason %u", reason);
    *bye = (ByeReason)reason;
    return ERR_OK;
}

static int check_episodes(uint32_t episodes, Err *err)
{
    if (episodes < 1 || episodes > WIRE_EPISODES_MAX)
        return err_set(err, ERR_FORMAT, "an evaluation of %u episodes; the limit is %d", episodes,
                       WIRE_EPISODES_MAX);
    return ERR_OK;
}

static int decode_eval_request(const Polyak__EvalRequest *in, EvalRequest *request, Err *err)
{
    int rc = check_episodes(in->episodes, err);
    if (rc != ERR_OK)
        return rc;
    request->eval_id = in->eval_id;
    request->env_steps = in->env_steps;
    request->episodes = in->episodes;
    request->seed = in->seed;
    request->version = wire_decode_version(in->version);
    return wire_decode_policy(&in->layer_sizes, &in->parameters, &request->mlp, &request->params,
                              err);
}

static int decode_eval_result(const Polyak__EvalResult *in, EvalResult *result, Err *err)
{
    if (!isfinite(in->return_mean) || !isfinite(in->return_std) || !isfinite(in->length_mean))
        return err_set(err, ERR_DIVERGED, "an evaluation's result that is not finite");
    if (in->diverged > in->episodes)
        return err_set(err, ERR_FORMAT, "%u of an evaluation's %u episodes diverged", in->diverged,
                       in->episodes);
    result->eval_id = in->eval_id;
    result->episodes = in->episodes;
    result->return_mean = in->return_mean;
    result->return_std = in->return_std;
    result->length_mean = in->length_mean;
    result->diverged = in->diverged;
    return check_episodes(in->episodes, err);
}

/* What is acted on, not only shown, must be what was written: a '?' in place of a character would
 * be a pattern. */
static int decode_order(const char *in, char *out, size_t out_bytes, const char *what, Err *err)
{
    int rc = wire_text_copy(out, out_bytes, in, what, err);
    if (rc == ERR_OK && (in[0] == '\0' || strcmp(in, out) != 0))
        return err_set(err, ERR_FORMAT, "%s that is empty, or with characters that none has", what);
    return rc;
}

static int decode_outcome(const Polyak__Outcome *in, Outcome *outcome, Err *err)
{
    outcome->done = in->done;
    return wire_text_copy(outcome->text, sizeof outcome->text, in->text, "a text", err);
}

int wire_decode(MessageKind kind, const ProtobufCMessage *body, const WireLimits *limits,
                WireArena *arena, Message *message, Err *err)
{
    memset(message, 0, sizeof *message);
    message->kind = kind;
    switch (kind) {
    case MESSAGE_HELLO:
        return decode_hello((const Polyak__Hello *)body, &message->hello, err);
    case MESSAGE_WELCOME:
        return decode_welcome((const Polyak__Welcome *)body, &message->welcome, err);
    case MESSAGE_REJECT:
        return decode_reject((const Polyak__Reject *)body, &message->reject, err);
    case MESSAGE_SEGMENT:
        return decode_segment((const Polyak__Segment *)body, limits, &message->segment, err);
    case MESSAGE_ACK:
        return decode_ack((const Polyak__Ack *)body, &message->ack, err);
    case MESSAGE_HEARTBEAT:
        return decode_heartbeat((const Polyak__Heartbeat *)body, &message->heartbeat, err);
    case MESSAGE_BYE:
        return decode_bye((const Polyak__Bye *)body, &message->bye, err);
    case MESSAGE_STATUS_REQUEST:
    case MESSAGE_GONE:
        return ERR_OK;
    case MESSAGE_STATUS:
        return wire_decode_status((const Polyak__Status *)body, arena, &message->status, err);
    case MESSAGE_EVAL_REQUEST:
        return decode_eval_request((const Polyak__EvalRequest *)body, &message->eval_request, err);
    case MESSAGE_EVAL_RESULT:
        return decode_eval_result((const Polyak__EvalResult *)body, &message->eval_result, err);
    case MESSAGE_SET:
        return decode_order(((const Polyak__Set *)body)->assignment, message->set.assignment,
                            sizeof message->set.assignment, "an assignment", err);
    case MESSAGE_DRAIN:
        return decode_order(((const Polyak__Drain *)body)->name, message->drain.name,
                            sizeof message->drain.name, "an actor's name", err);
    case MESSAGE_OUTCOME:
        return decode_outcome((const Polyak__Outcome *)body, &message->outcome, err);
    }
    return err_set(err, ERR_FORMAT, "a frame of the unknown kind %d", (int)kind);
}
