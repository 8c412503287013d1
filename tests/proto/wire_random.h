/* Random sound messages of every kind, for the tests and the fuzzers of the wire. */
#ifndef POLYAK_TESTS_PROTO_WIRE_RANDOM_H
#define POLYAK_TESTS_PROTO_WIRE_RANDOM_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/rng.h"
#include "proto/wire.h"

enum {
    RANDOM_OBS_DIM_MAX = 8,
    RANDOM_ACT_DIM_MAX = 4,
    RANDOM_STEPS_MAX = 8,
    RANDOM_ACTORS_MAX = 5,
    RANDOM_WIDTH_MAX = 8,
    RANDOM_PARAMS_MAX = 8 * (RANDOM_WIDTH_MAX + 1) * RANDOM_WIDTH_MAX,
};

/* What the pointers of a random message point into. */
typedef struct RandomMemory {
    float columns[(RANDOM_STEPS_MAX + 1) * (RANDOM_OBS_DIM_MAX + RANDOM_ACT_DIM_MAX + 1)];
    float params[RANDOM_PARAMS_MAX];
    ActorStatus actors[RANDOM_ACTORS_MAX];
} RandomMemory;

/* Another one each time, unless POLYAK_TEST_SEED repeats a failure. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Of up to `bits` bits, small ones as likely as large ones: a varint has a length. */
static inline uint64_t random_uint(Rng *rng, int bits)
{
    uint64_t width = rng_below(rng, (uint64_t)bits + 1);
    return width == 0 ? 0 : rng_u64(rng) >> (64 - width);
}

/* As random_uint, in least…most. */
static inline uint32_t random_between(Rng *rng, uint32_t least, uint32_t most)
{
    return least + (uint32_t)rng_below(rng, (uint64_t)most - least + 1);
}

static inline double random_real(Rng *rng)
{
    return rng_below(rng, 8) == 0 ? 0 : rng_normal(rng) * 1000;
}

static inline void random_floats(Rng *rng, float *values, size_t num_values)
{
    for (size_t i = 0; i < num_values; i++)
        values[i] = (float)(2 * rng_uniform(rng) - 1);
}

/* Printable text of up to text_bytes - 1 bytes, with a few characters of more than one byte. */
static inline void random_text(Rng *rng, char *text, size_t text_bytes)
{
    static const char *const wide[] = {"é", "Ж", "…", "中", "🙂"};
    size_t length = 0;
    size_t wanted = rng_below(rng, text_bytes);
    while (length < wanted) {
        const char *more = wide[rng_below(rng, 5)];
        if (rng_below(rng, 8) == 0 && length + strlen(more) <= wanted) {
            memcpy(text + length, more, strlen(more));
            length += strlen(more);
        } else {
            text[length++] = (char)random_between(rng, ' ', '~');
        }
    }
    text[length] = '\0';
}

static inline Version random_version(Rng *rng)
{
    return (Version){(uint32_t)random_uint(rng, 32), random_uint(rng, 64)};
}

static inline void random_spec(Rng *rng, Spec *spec)
{
    *spec = (Spec){.name = "pendulum"};
    spec->obs_dim = (int)random_between(rng, 1, SPEC_OBS_DIM_MAX);
    spec->act_dim = (int)random_between(rng, 1, SPEC_ACT_DIM_MAX);
    spec->step_limit = (int)random_uint(rng, 31);
    for (int i = 0; i < spec->act_dim; i++) {
        spec->action_low[i] = -(float)rng_uniform(rng) - 0.5F;
        spec->action_high[i] = (float)rng_uniform(rng);
    }
}

static inline void random_hello(Rng *rng, Hello *hello)
{
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    hello->role = (Role)rng_below(rng, ROLE_RELAY + 1);
    for (size_t i = 0; i < sizeof hello->session.id; i++)
        hello->session.id[i] = (uint8_t)rng_below(rng, 256);
    hello->oldest_unacked = random_uint(rng, 52) + 1;
    hello->acked_steps = random_uint(rng, 53);
    hello->has_sent = rng_below(rng, 2) == 0;
    random_text(rng, hello->name, sizeof hello->name);
    hello->num_labels = (int)rng_below(rng, WIRE_LABELS_MAX + 1);
    for (int i = 0; i < hello->num_labels; i++)
        random_text(rng, hello->labels[i], sizeof hello->labels[i]);
    hello->has_spec = role_has_spec(hello->role) || rng_below(rng, 2) == 0;
    if (hello->has_spec)
        random_spec(rng, &hello->spec);
    hello->num_envs = random_between(rng, 1, WIRE_ENVS_MAX);
    if (rng_below(rng, 2) == 0)
        snprintf(hello->origin_key, sizeof hello->origin_key, "node-%u",
                 random_between(rng, 0, UINT32_MAX));
    hello->origin_roles = (uint32_t)random_uint(rng, ROLE_RELAY + 1);
    random_text(rng, hello->via, sizeof hello->via);
}

static inline void random_welcome(Rng *rng, Welcome *welcome)
{
    welcome->protocol_version = WIRE_PROTOCOL_VERSION;
    welcome->epoch = (uint32_t)random_uint(rng, 32);
    welcome->actor_index = (uint32_t)random_uint(rng, 32);
    welcome->incarnation = (uint32_t)random_uint(rng, 32);
    welcome->weights_port = (uint32_t)random_uint(rng, 16);
    if (rng_below(rng, 2) == 0)
        snprintf(welcome->weights_endpoint, sizeof welcome->weights_endpoint,
                 "ipc:///run/polyak.weights");
    welcome->acked_sequence = random_uint(rng, 64);
    welcome->send_limit_sequence = random_uint(rng, 64);
    welcome->step_limit = random_uint(rng, 64);
    welcome->newest = random_version(rng);
    welcome->heartbeat_interval_ms = random_between(rng, 1, UINT32_MAX);
    welcome->seed = random_uint(rng, 64);
    welcome->segment_steps = random_between(rng, 1, SEGMENT_STEPS_MAX);
    welcome->segment_flush_ms = (uint32_t)random_uint(rng, 32);
    welcome->noise = (uint32_t)rng_below(rng, 2);
    welcome->sigma = fabs(random_real(rng));
    welcome->ou_theta = fabs(random_real(rng));
    welcome->ou_dt = fabs(random_real(rng));
    welcome->publish_interval_ms = (uint32_t)random_uint(rng, 32);
    welcome->policy_age_s_max = (uint32_t)random_uint(rng, 32);
    welcome->sync = rng_below(rng, 2) == 0;
}

/* `dims` says how wide the columns are. */
static inline void random_segment(Rng *rng, const WireLimits *dims, RandomMemory *memory,
                                  Segment *segment)
{
    CHECK(dims->obs_dim <= RANDOM_OBS_DIM_MAX && dims->act_dim <= RANDOM_ACT_DIM_MAX);
    random_floats(rng, memory->columns, sizeof memory->columns / sizeof(float));
    segment_bind(segment, memory->columns, dims->obs_dim, dims->act_dim, RANDOM_STEPS_MAX);
    segment->num_steps = (int)random_between(rng, 1, RANDOM_STEPS_MAX);
    segment->sequence = random_uint(rng, 63) + 1;
    segment->env_index = random_between(rng, 0, WIRE_ENVS_MAX - 1);
    segment->episode = random_uint(rng, 64);
    segment->first_step = (uint32_t)random_uint(rng, 31);
    segment->end = (SegmentEnd)rng_below(rng, 3);
    segment->episode_return = random_real(rng);
    segment->version = random_version(rng);
}

static inline void random_faults(Rng *rng, EnvFaults *faults)
{
    for (int i = 0; i < ENV_FAULTS; i++)
        faults->count[i] = rng_below(rng, 2) == 0 ? 0 : random_uint(rng, 60);
}

/* Texts that need not be there. */
static inline void random_health(Rng *rng, RunStatus *status)
{
    status->num_alarms = (uint32_t)rng_below(rng, STATUS_ALARMS_MAX + 1);
    for (uint32_t i = 0; i < status->num_alarms; i++)
        random_text(rng, status->alarms[i], sizeof status->alarms[i]);
    random_text(rng, status->log_state, sizeof status->log_state);
    status->log_bytes = random_uint(rng, 64);
    status->log_position = random_uint(rng, 64);
    status->log_synced_position = random_uint(rng, 64);
    status->skipped_updates = random_uint(rng, 64);
    status->rollbacks = random_uint(rng, 64);
    status->refused_peers = random_uint(rng, 64);
    status->garbage_messages = random_uint(rng, 64);
    status->half_open = (uint32_t)random_uint(rng, 32);
    status->sessions = (uint32_t)random_uint(rng, 32);
    status->lost_segments = random_uint(rng, 64);
    status->lost_steps = random_uint(rng, 64);
    random_faults(rng, &status->faults);
    random_text(rng, status->last_fault, sizeof status->last_fault);
}

static inline void random_actor(Rng *rng, ActorStatus *actor)
{
    actor->actor_index = (uint32_t)random_uint(rng, 32);
    actor->incarnation = (uint32_t)random_uint(rng, 32);
    random_text(rng, actor->name, sizeof actor->name);
    actor->env_steps = random_uint(rng, 64);
    actor->unused_credit = random_uint(rng, 64);
    actor->silent_ms = (uint32_t)random_uint(rng, 32);
    actor->dropped_steps = random_uint(rng, 64);
    random_text(rng, actor->waiting_for, sizeof actor->waiting_for);
    random_text(rng, actor->learner_reason, sizeof actor->learner_reason);
    random_text(rng, actor->labels, sizeof actor->labels);
    random_text(rng, actor->key, sizeof actor->key);
    actor->num_envs = (uint32_t)random_uint(rng, 32);
    actor->env_steps_per_s = rng_below(rng, 2) == 0 ? (double)NAN : random_real(rng);
    actor->policy_lag_updates = random_uint(rng, 64);
    actor->policy_epoch_old = rng_below(rng, 2) == 0;
    actor->send_credit = random_uint(rng, 64);
    actor->outbox_segments = (uint32_t)random_uint(rng, 32);
    actor->lost_steps = random_uint(rng, 64);
    actor->expired_segments = random_uint(rng, 64);
    actor->expired_steps = random_uint(rng, 64);
    actor->draining = rng_below(rng, 2) == 0;
    random_faults(rng, &actor->faults);
    random_text(rng, actor->last_fault, sizeof actor->last_fault);
    random_text(rng, actor->via, sizeof actor->via);
}

static inline void random_status(Rng *rng, RandomMemory *memory, RunStatus *status)
{
    random_text(rng, status->env, sizeof status->env);
    random_text(rng, status->phase, sizeof status->phase);
    random_text(rng, status->waiting_for, sizeof status->waiting_for);
    status->epoch = (uint32_t)random_uint(rng, 32);
    status->env_steps = random_uint(rng, 64);
    status->total_env_steps = random_uint(rng, 64);
    status->updates = random_uint(rng, 64);
    status->updates_owed = random_uint(rng, 64);
    status->episodes = random_uint(rng, 64);
    status->return_mean = random_real(rng);
    status->env_steps_per_s = random_real(rng);
    status->updates_per_s = random_real(rng);
    status->seconds_left = rng_below(rng, 2) == 0 ? (double)NAN : random_real(rng);
    status->eval_return = rng_below(rng, 2) == 0 ? (double)NAN : random_real(rng);
    status->best_return = rng_below(rng, 2) == 0 ? (double)NAN : random_real(rng);
    status->publish_interval_ms = (uint32_t)random_uint(rng, 32);
    status->evaluators = (uint32_t)random_uint(rng, 32);
    status->relays = (uint32_t)random_uint(rng, 32);
    status->wall_ms = random_uint(rng, 64);
    random_health(rng, status);
    status->num_actors = (uint32_t)rng_below(rng, RANDOM_ACTORS_MAX + 1);
    status->actors = memory->actors;
    for (uint32_t i = 0; i < status->num_actors; i++)
        random_actor(rng, &memory->actors[i]);
}

static inline void random_policy(Rng *rng, RandomMemory *memory, Mlp *mlp, const float **params)
{
    int hidden[2];
    int num_hidden = (int)rng_below(rng, 3);
    for (int i = 0; i < num_hidden; i++)
        hidden[i] = (int)random_between(rng, 1, RANDOM_WIDTH_MAX);
    int obs_dim = (int)random_between(rng, 1, RANDOM_OBS_DIM_MAX);
    int act_dim = (int)random_between(rng, 1, RANDOM_ACT_DIM_MAX);
    CHECK(mlp_shape(mlp, obs_dim, hidden, num_hidden, act_dim, true, NULL) == ERR_OK);
    CHECK(mlp_num_params(mlp) <= RANDOM_PARAMS_MAX);
    random_floats(rng, memory->params, mlp_num_params(mlp));
    *params = memory->params;
}

static inline void random_weights(Rng *rng, RandomMemory *memory, Weights *weights)
{
    weights->version = random_version(rng);
    random_policy(rng, memory, &weights->mlp, &weights->params);
}

static inline void random_evaluation(Rng *rng, RandomMemory *memory, Message *message)
{
    if (message->kind == MESSAGE_EVAL_REQUEST) {
        EvalRequest *request = &message->eval_request;
        request->eval_id = random_uint(rng, 64);
        request->env_steps = random_uint(rng, 64);
        request->episodes = random_between(rng, 1, WIRE_EPISODES_MAX);
        request->seed = random_uint(rng, 64);
        request->version = random_version(rng);
        random_policy(rng, memory, &request->mlp, &request->params);
    } else {
        EvalResult *result = &message->eval_result;
        result->eval_id = random_uint(rng, 64);
        result->episodes = random_between(rng, 1, WIRE_EPISODES_MAX);
        result->return_mean = random_real(rng);
        result->return_std = random_real(rng);
        result->length_mean = random_real(rng);
        result->diverged = random_between(rng, 0, result->episodes);
    }
}

static inline void random_message(Rng *rng, MessageKind kind, const WireLimits *dims,
                                  RandomMemory *memory, Message *message)
{
    memset(message, 0, sizeof *message);
    message->kind = kind;
    switch (kind) {
    case MESSAGE_HELLO:
        random_hello(rng, &message->hello);
        break;
    case MESSAGE_WELCOME:
        random_welcome(rng, &message->welcome);
        break;
    case MESSAGE_REJECT:
        message->reject.reason = (RejectReason)random_between(rng, REJECT_VERSION, REJECT_LOADING);
        random_text(rng, message->reject.text, sizeof message->reject.text);
        break;
    case MESSAGE_SEGMENT:
        random_segment(rng, dims, memory, &message->segment);
        break;
    case MESSAGE_ACK:
        message->ack.acked_sequence = random_uint(rng, 64);
        message->ack.send_limit_sequence = random_uint(rng, 64);
        message->ack.step_limit = random_uint(rng, 64);
        message->ack.durable = rng_below(rng, 2) == 0;
        random_text(rng, message->ack.reason, sizeof message->ack.reason);
        message->ack.newest = random_version(rng);
        break;
    case MESSAGE_HEARTBEAT:
        message->heartbeat.env_steps = random_uint(rng, 64);
        message->heartbeat.version = random_version(rng);
        message->heartbeat.dropped_steps = random_uint(rng, 64);
        random_text(rng, message->heartbeat.waiting_for, sizeof message->heartbeat.waiting_for);
        message->heartbeat.steps_per_s = fabs(random_real(rng));
        message->heartbeat.outbox_segments = (uint32_t)random_uint(rng, 32);
        message->heartbeat.lost_segments = random_uint(rng, 64);
        message->heartbeat.lost_steps = random_uint(rng, 64);
        random_faults(rng, &message->heartbeat.faults);
        random_text(rng, message->heartbeat.last_fault, sizeof message->heartbeat.last_fault);
        message->heartbeat.sessions = (uint32_t)random_uint(rng, 32);
        break;
    case MESSAGE_BYE:
        message->bye = (ByeReason)random_between(rng, BYE_FINISHED, BYE_RESTARTING);
        break;
    case MESSAGE_STATUS_REQUEST:
    case MESSAGE_GONE:
        break;
    case MESSAGE_STATUS:
        random_status(rng, memory, &message->status);
        break;
    case MESSAGE_EVAL_REQUEST:
    case MESSAGE_EVAL_RESULT:
        random_evaluation(rng, memory, message);
        break;
    case MESSAGE_SET:
        snprintf(message->set.assignment, sizeof message->set.assignment, "key=%g",
                 random_real(rng));
        break;
    case MESSAGE_DRAIN:
        random_text(rng, message->drain.name, sizeof message->drain.name - 1);
        strcat(message->drain.name, "*"); /* never empty */
        break;
    case MESSAGE_OUTCOME:
        message->outcome.done = rng_below(rng, 2) == 0;
        random_text(rng, message->outcome.text, sizeof message->outcome.text);
        break;
    }
}

#endif
