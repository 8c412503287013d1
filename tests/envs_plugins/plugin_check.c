/* Checks a plugin for what its author may get wrong:
 *
 *     plugin_check PATH [OPTIONS]
 *
 * It loads, takes random steps over several episodes, and gives the same numbers again for the same
 * seed and actions, in another instance and from a saved state. Prints what it is, or what is
 * wrong; exit code 0 or 1. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env_host.h"
#include "common/check.h"
#include "common/rng.h"

enum { NUM_EPISODES = 3, STEPS_MAX = 2000 };

/* All numbers of a few episodes, folded into one. */
static uint64_t fold(uint64_t hash, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (hash ^ bits) * UINT64_C(0x100000001b3);
}

/* Runs one episode of random actions. With `again`, after every tenth step the state is saved and
 * put back, which must change nothing. */
static int run_episode(Env *env, const Spec *spec, uint64_t seed, void *state, bool again,
                       uint64_t *hash, int *steps, Err *err)
{
    float obs[SPEC_OBS_DIM_MAX], action[SPEC_ACT_DIM_MAX];
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    int rc = env_reset(env, seed, obs, err);
    EnvOutcome outcome = {0};
    for (*steps = 0; rc == ERR_OK && *steps < STEPS_MAX; ++*steps) {
        for (int i = 0; i < spec->obs_dim; i++)
            *hash = fold(*hash, obs[i]);
        if (*steps > 0 && outcome.end != SEGMENT_CONTINUES)
            break;
        for (int i = 0; i < spec->act_dim; i++)
            action[i] = (float)(2.0 * rng_uniform(&rng) - 1.0);
        rc = env_step(env, action, obs, &outcome, err);
        if (rc != ERR_OK)
            break;
        *hash = fold(*hash, outcome.reward);
        if (again && *steps % 10 == 9) {
            rc = env_state_get(env, state, err);
            if (rc == ERR_OK)
                rc = env_state_set(env, state, obs, err);
        }
    }
    return rc;
}

static int run(EnvKind *kind, bool again, uint64_t *hash, int *steps, Err *err)
{
    Env *env = NULL;
    int rc = env_new(kind, &env, err);
    if (rc != ERR_OK)
        return rc;
    void *state = malloc(env_state_bytes(env) + 1);
    CHECK(state);
    again = again && env_state_bytes(env) > 0;
    *hash = UINT64_C(0xcbf29ce484222325);
    *steps = 0;
    for (uint64_t episode = 0; rc == ERR_OK && episode < NUM_EPISODES; episode++) {
        int episode_steps = 0;
        rc =
            run_episode(env, env_kind_spec(kind), episode, state, again, hash, &episode_steps, err);
        *steps += episode_steps;
    }
    free(state);
    env_destroy(&env);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: plugin_check PATH [OPTIONS]\n");
        return 2;
    }
    Err err = {""};
    EnvKind *kind = NULL;
    uint64_t hash[3] = {0};
    int steps = 0;
    int rc = env_kind_open(&(EnvSetup){.name = argv[1], .options = argc > 2 ? argv[2] : ""}, &kind,
                           &err);
    for (int i = 0; rc == ERR_OK && i < 3; i++)
        rc = run(kind, i == 2, &hash[i], &steps, &err);
    if (rc != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
    } else if (hash[0] != hash[1]) {
        rc = ERR_ENV;
        fprintf(stderr, "equal seeds and actions gave different numbers in two instances\n");
    } else if (hash[0] != hash[2]) {
        rc = ERR_ENV;
        fprintf(stderr, "going back to a saved state changed the numbers\n");
    } else {
        const Spec *spec = env_kind_spec(kind);
        printf("%s: obs_dim %d, act_dim %d, step_limit %d: %d steps, all good\n", spec->name,
               spec->obs_dim, spec->act_dim, spec->step_limit, steps);
    }
    if (kind)
        env_kind_close(&kind);
    return rc == ERR_OK ? 0 : 1;
}
