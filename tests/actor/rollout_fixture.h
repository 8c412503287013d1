/* A rollout with everything around it, and what it sent: for the tests of the rollout. */
#ifndef POLYAK_TESTS_ACTOR_ROLLOUT_FIXTURE_H
#define POLYAK_TESTS_ACTOR_ROLLOUT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/rollout.h"
#include "common/rng.h"

#define NAN_ENV POLYAK_PLUGIN_DIR "/nan_env.so"
#define BAD_ENV POLYAK_PLUGIN_DIR "/bad_spec.so"
#define NO_LIMIT UINT64_MAX

enum { SEGMENTS_MAX = 4096, LANES_MAX = 8, SEGMENT_STEPS = 16 };

typedef struct Fixture {
    EnvKind *kind;
    const Spec *spec;
    Outbox outbox;
    Rollout *rollout;
    Policy policy; /* none, until take_policy() */
    RolloutConfig config;
    int num_envs;
    int64_t now_ms;
    uint64_t recorded; /* steps, as rollout_step() said */
    Segment *sent[SEGMENTS_MAX];
    int num_sent;
    Err err;
} Fixture;

/* With a kind that the fixture takes over. */
static inline void fixture_start_kind(Fixture *f, EnvKind *kind, int num_envs, int places,
                                      int segment_steps)
{
    memset(f, 0, sizeof *f);
    f->kind = kind;
    f->num_envs = num_envs;
    f->now_ms = 1000;
    f->config =
        (RolloutConfig){.seed = 1,
                        .segment_steps = segment_steps,
                        .segment_flush_ms = 100,
                        .explore = {.noise = NOISE_OU, .sigma = 0.3, .ou_theta = 0.15, .ou_dt = 1}};
    f->spec = env_kind_spec(f->kind);
    assert_int_equal(
        outbox_new(&f->outbox, places, f->spec->obs_dim, f->spec->act_dim, segment_steps), 0);
    policy_init(&f->policy, num_envs);
    if (rollout_new(f->kind, num_envs, &f->outbox, &f->rollout, &f->err) != 0)
        fail_msg("%s", f->err.text);
    rollout_configure(f->rollout, &f->config);
}

static inline void fixture_start(Fixture *f, const char *env, const char *options, int num_envs,
                                 int places, int segment_steps)
{
    EnvKind *kind = NULL;
    Err err;
    if (env_kind_open(&(EnvSetup){.name = env, .options = options}, &kind, &err) != 0)
        fail_msg("%s", err.text);
    fixture_start_kind(f, kind, num_envs, places, segment_steps);
}

static inline void fixture_finish(Fixture *f)
{
    for (int i = 0; i < f->num_sent; i++)
        free(f->sent[i]);
    rollout_destroy(&f->rollout);
    assert_null(f->rollout);
    outbox_destroy(&f->outbox);
    policy_destroy(&f->policy);
    env_kind_close(&f->kind);
}

/* A linear policy: all weights and biases are `value`. */
static inline void take_policy(Fixture *f, Version version, float value)
{
    Weights weights = {.version = version};
    int code = mlp_shape(&weights.mlp, f->spec->obs_dim, NULL, 0, f->spec->act_dim, true, &f->err);
    assert_int_equal(code, 0);
    float params[64];
    assert_true(mlp_num_params(&weights.mlp) <= 64);
    for (size_t i = 0; i < 64; i++)
        params[i] = value;
    weights.params = params;
    assert_int_equal(policy_set(&f->policy, &weights, f->spec, &f->err), 0);
}

/* The learner takes up to `count` segments; what it took is kept in f->sent. */
static inline void take_segments(Fixture *f, int count)
{
    int obs_dim = f->spec->obs_dim;
    int act_dim = f->spec->act_dim;
    const Segment *segment = NULL;
    while (count-- > 0 && (segment = outbox_next(&f->outbox, NO_LIMIT)) != NULL) {
        assert_true(f->num_sent < SEGMENTS_MAX);
        Segment *copy =
            malloc(sizeof *copy + segment_block_bytes(obs_dim, act_dim, segment->num_steps));
        assert_non_null(copy);
        segment_bind(copy, copy + 1, obs_dim, act_dim, segment->num_steps);
        segment_copy(copy, segment, obs_dim, act_dim);
        f->sent[f->num_sent++] = copy;
        outbox_acknowledge(&f->outbox, segment->sequence);
    }
}

/* One call, which must not fail. */
static inline int step(Fixture *f, uint64_t credit)
{
    int steps = rollout_step(f->rollout, &f->policy, credit, f->now_ms, &f->err);
    if (steps < 0)
        fail_msg("%s", f->err.text);
    assert_true((uint64_t)steps <= credit && steps <= f->num_envs);
    f->recorded += (uint64_t)steps;
    return steps;
}

/* `calls` calls with this much credit each, and all segments taken. */
static inline void run(Fixture *f, int calls, uint64_t credit)
{
    for (int i = 0; i < calls; i++) {
        step(f, credit);
        take_segments(f, SEGMENTS_MAX);
    }
}

/* Closes and takes what is open. */
static inline void run_out(Fixture *f)
{
    rollout_flush(f->rollout, f->now_ms, true);
    assert_int_equal(rollout_open_steps(f->rollout), 0);
    take_segments(f, SEGMENTS_MAX);
}

/* The n-th segment of an environment, or NULL. */
static inline const Segment *segment_of(const Fixture *f, uint32_t env_index, int n)
{
    for (int i = 0; i < f->num_sent; i++) {
        if (f->sent[i]->env_index == env_index && n-- == 0)
            return f->sent[i];
    }
    return NULL;
}

static inline const float *last_obs(const Fixture *f, const Segment *segment)
{
    return segment->obs + (size_t)segment->num_steps * (size_t)f->spec->obs_dim;
}

/* What must hold between two segments of an environment that follow each other. A step that was
 * dropped may leave a segment without a follower; an episode without a good step has no number. */
static inline void check_joint(const Fixture *f, const Segment *before, const Segment *segment,
                               bool may_drop)
{
    uint32_t next_step = before->first_step + (uint32_t)before->num_steps;
    if (before->end == SEGMENT_CONTINUES && segment->episode == before->episode) {
        assert_int_equal(segment->first_step, next_step);
        assert_memory_equal(segment->obs, last_obs(f, before),
                            sizeof(float) * (size_t)f->spec->obs_dim);
        return;
    }
    if (!may_drop)
        assert_int_not_equal(before->end, SEGMENT_CONTINUES);
    assert_int_equal(segment->episode, before->episode + 1);
    assert_int_equal(segment->first_step, 0);
}

/* Checks all that was sent: headers, joints, returns, and that no step is missing. */
static inline void check_sent(const Fixture *f, bool may_drop)
{
    const Segment *before[LANES_MAX] = {NULL};
    double episode_return[LANES_MAX] = {0};
    uint64_t steps = 0;
    Err err;
    for (int i = 0; i < f->num_sent; i++) {
        const Segment *segment = f->sent[i];
        uint32_t lane = segment->env_index;
        assert_true(lane < (uint32_t)f->num_envs);
        assert_int_equal(segment->sequence, i + 1);
        assert_in_range(segment->num_steps, 1, f->outbox.steps_max);
        if (segment_check(segment, f->spec->obs_dim, f->spec->act_dim, &err) != 0)
            fail_msg("%s", err.text);
        if (before[lane])
            check_joint(f, before[lane], segment, may_drop);
        else
            assert_int_equal(segment->episode, 0);
        if (segment->first_step == 0)
            episode_return[lane] = 0;
        for (int t = 0; t < segment->num_steps; t++)
            episode_return[lane] += (double)segment->reward[t];
        assert_true(segment->episode_return == episode_return[lane]);
        before[lane] = segment;
        steps += (uint64_t)segment->num_steps;
    }
    uint64_t kept = outbox_unacked_steps(&f->outbox) + rollout_open_steps(f->rollout);
    assert_int_equal(steps + kept, f->recorded);
}

/* All that two rollouts sent, in the order of sending. */
static inline void expect_equal_sent(const Fixture *a, const Fixture *b)
{
    assert_int_equal(a->num_sent, b->num_sent);
    for (int i = 0; i < a->num_sent; i++) {
        const Segment *x = a->sent[i];
        const Segment *y = b->sent[i];
        size_t steps = (size_t)x->num_steps;
        assert_int_equal(x->env_index, y->env_index);
        assert_int_equal(x->num_steps, y->num_steps);
        assert_int_equal(x->end, y->end);
        assert_int_equal(x->first_step, y->first_step);
        assert_memory_equal(x->obs, y->obs, (steps + 1) * (size_t)a->spec->obs_dim * sizeof(float));
        assert_memory_equal(x->action, y->action, steps * (size_t)a->spec->act_dim * sizeof(float));
    }
}

/* Runs every episode again in an environment of its own: the start from the episode's stream, then
 * the actions that were sent. All observations and rewards must be the same bytes. */
static inline void check_replay(Fixture *f)
{
    Env *env = NULL;
    size_t obs_dim = (size_t)f->spec->obs_dim;
    uint64_t actor = rng_actor_key(f->config.actor_index, f->config.incarnation);
    float obs[64];
    assert_true(obs_dim <= 64);
    assert_int_equal(env_new(f->kind, &env, &f->err), 0);
    for (int lane = 0; lane < f->num_envs; lane++) {
        const Segment *segment = NULL;
        for (int n = 0; (segment = segment_of(f, (uint32_t)lane, n)) != NULL; n++) {
            EnvOutcome outcome = {0};
            if (segment->first_step == 0) {
                Rng rng =
                    rng_stream(f->config.seed, RNG_RESET, actor, (uint64_t)lane, segment->episode);
                assert_int_equal(env_reset(env, rng_u64(&rng), obs, &f->err), 0);
            }
            assert_memory_equal(segment->obs, obs, obs_dim * sizeof(float));
            for (int t = 0; t < segment->num_steps; t++) {
                const float *action = segment->action + t * f->spec->act_dim;
                assert_int_equal(env_step(env, action, obs, &outcome, &f->err), 0);
                assert_memory_equal(segment->obs + (size_t)(t + 1) * obs_dim, obs,
                                    obs_dim * sizeof(float));
                assert_true(segment->reward[t] == outcome.reward);
            }
            assert_int_equal(segment->end, outcome.end);
        }
    }
    env_destroy(&env);
}

#endif
