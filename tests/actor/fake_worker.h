/* A backend whose instances work elsewhere, as those of a worker process do: what is begun is ready
 * when the test says so, or lost. It checks that the host keeps the order of calls. */
#ifndef POLYAK_TESTS_ACTOR_FAKE_WORKER_H
#define POLYAK_TESTS_ACTOR_FAKE_WORKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "actor/envs/env_kind.h"

enum { FAKE_INSTANCES_MAX = 16, FAKE_FOREVER = -1 };

/* An environment that counts: obs is (where the seed put it + the sum of its actions, steps). */
typedef struct FakeInstance {
    bool exists;
    bool running;
    bool in_flight;
    bool is_reset; /* what is in flight */
    float action;
    double place;
    int steps;
    /* What the test wants. */
    int hold;        /* so many calls of finish say ERR_AGAIN; FAKE_FOREVER */
    int lose_code;   /* the next finish (or begin, with lose_begin) fails so; 0: it does not */
    bool lose_begin; /* the next begin does */
    bool lose_step;  /* it is a step that fails so, whatever resets come before */
    EnvFault fault;
    /* What the test looks at. */
    int resets_begun;
    int steps_begun;
    int finished;
} FakeInstance;

typedef struct FakeWorker {
    FakeInstance instance[FAKE_INSTANCES_MAX];
    int num_in_flight;
    int in_flight_max;
    int finish_calls;
    int timeout_ms_min, timeout_ms_max; /* of the calls of finish */
    int episode_steps;                  /* after which an episode terminates; 0: never */
    int hangs_after;                    /* an instance that finished so much hangs; 0: never */
    bool sleeps;                        /* while it says ERR_AGAIN */
    bool closed;
} FakeWorker;

static inline void fake_close(void *kind)
{
    FakeWorker *worker = kind;
    worker->closed = true;
}

static inline int fake_create(void *kind, void **instance, Err *err)
{
    FakeWorker *worker = kind;
    (void)err;
    for (int i = 0; i < FAKE_INSTANCES_MAX; i++) {
        if (worker->instance[i].exists)
            continue;
        worker->instance[i] = (FakeInstance){.exists = true};
        *instance = &worker->instance[i];
        return ERR_OK;
    }
    fail_msg("too many instances");
    return ERR_ENV;
}

/* Set by fake_kind(): an instance has no way back to its worker. */
static FakeWorker *fake_worker;

static inline void fake_land(FakeInstance *instance)
{
    assert_true(instance->in_flight);
    instance->in_flight = false;
    instance->hold = 0;
    fake_worker->num_in_flight--;
}

static inline void fake_destroy(void *opaque)
{
    FakeInstance *instance = opaque;
    if (instance->in_flight)
        fake_land(instance);
    instance->exists = false;
}

/* What is to go wrong goes wrong once. */
static inline int fake_trouble(FakeInstance *instance, Err *err)
{
    int code = instance->lose_code;
    instance->lose_code = 0;
    instance->lose_begin = instance->lose_step = false;
    instance->running = false;
    return err_set(err, code, "worker: %s", env_fault_name(instance->fault));
}

static inline int fake_begin(FakeInstance *instance, bool is_reset, Err *err)
{
    assert_true(instance->exists && !instance->in_flight);
    if (instance->lose_begin)
        return fake_trouble(instance, err);
    instance->is_reset = is_reset;
    instance->in_flight = true;
    if (++fake_worker->num_in_flight > fake_worker->in_flight_max)
        fake_worker->in_flight_max = fake_worker->num_in_flight;
    return ERR_OK;
}

static inline int fake_reset_begin(void *opaque, uint64_t seed, Err *err)
{
    FakeInstance *instance = opaque;
    instance->resets_begun++;
    instance->place = (double)(seed % 1000);
    instance->steps = 0;
    return fake_begin(instance, true, err);
}

static inline int fake_step_begin(void *opaque, const float *action, Err *err)
{
    FakeInstance *instance = opaque;
    assert_true(instance->running);
    instance->steps_begun++;
    instance->action = action[0];
    return fake_begin(instance, false, err);
}

static inline int fake_finish(void *opaque, int timeout_ms, float *obs, PolyakEnvResult *result,
                              EnvFault *fault, Err *err)
{
    FakeInstance *instance = opaque;
    FakeWorker *worker = fake_worker;
    assert_true(instance->in_flight && timeout_ms >= -1);
    if (worker->finish_calls++ == 0)
        worker->timeout_ms_min = worker->timeout_ms_max = timeout_ms;
    if (timeout_ms < worker->timeout_ms_min)
        worker->timeout_ms_min = timeout_ms;
    if (timeout_ms > worker->timeout_ms_max)
        worker->timeout_ms_max = timeout_ms;
    if (worker->hangs_after > 0 && instance->finished >= worker->hangs_after)
        instance->hold = FAKE_FOREVER;
    if (instance->hold != 0 && timeout_ms >= 0) {
        instance->hold -= instance->hold > 0;
        if (worker->sleeps)
            usleep((useconds_t)timeout_ms * 1000);
        return ERR_AGAIN;
    }
    fake_land(instance);
    instance->finished++;
    if (instance->lose_code != 0 && !(instance->lose_step && instance->is_reset)) {
        *fault = instance->fault;
        return fake_trouble(instance, err);
    }
    if (!instance->is_reset) {
        instance->steps++;
        instance->place += (double)instance->action;
        result->reward = (float)instance->steps;
        result->terminated = worker->episode_steps > 0 && instance->steps >= worker->episode_steps;
    }
    instance->running = !result->terminated;
    obs[0] = (float)instance->place;
    obs[1] = (float)instance->steps;
    return ERR_OK;
}

static const EnvBackend fake_backend = {
    .close = fake_close,
    .create = fake_create,
    .destroy = fake_destroy,
    .reset_begin = fake_reset_begin,
    .step_begin = fake_step_begin,
    .finish = fake_finish,
};

static inline EnvKind *fake_kind(FakeWorker *worker, int episode_steps)
{
    Spec spec = {.name = "fake_worker", .obs_dim = 2, .act_dim = 1};
    spec.action_low[0] = -1;
    spec.action_high[0] = 1;
    *worker = (FakeWorker){.episode_steps = episode_steps};
    fake_worker = worker;
    EnvKind *kind = NULL;
    Err err;
    if (env_kind_make(&fake_backend, worker, &spec, &kind, &err) != 0)
        fail_msg("%s", err.text);
    return kind;
}

/* The next thing that this instance finishes, or begins, is lost. */
static inline void fake_lose(FakeWorker *worker, int i, EnvFault fault)
{
    worker->instance[i].lose_code = ERR_LOST;
    worker->instance[i].fault = fault;
}

#endif
