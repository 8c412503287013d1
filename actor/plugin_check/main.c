/* Checks a plugin for what its author may get wrong:
 *
 *     polyak-plugin-check PATH [OPTIONS]
 *
 * It loads, takes random steps over several episodes, and gives the same numbers again for the same
 * seed and actions, in another instance and from a saved state; where it draws, it fills a picture.
 * Prints what it is, or what is wrong; exit code 0, 1, or 2 for what is to be called otherwise. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env_host.h"
#include "common/check.h"
#include "common/rng.h"

enum { NUM_EPISODES = 3, STEPS_MAX = 2000, PICTURE_WIDTH = 64, PICTURE_HEIGHT = 48 };

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

/* Draws the first state of an episode. *draws: whether it can; and then every byte must be written,
 * which two pictures over different grounds show. */
static int check_picture(EnvKind *kind, bool *draws, Err *err)
{
    static uint8_t picture[2][PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    float obs[SPEC_OBS_DIM_MAX];
    Env *env = NULL;
    int rc = env_new(kind, &env, err);
    if (rc == ERR_OK)
        rc = env_reset(env, 0, obs, err);
    for (int i = 0; rc == ERR_OK && i < 2; i++) {
        memset(picture[i], i == 0 ? 0 : 255, sizeof picture[i]);
        rc = env_render(env, picture[i], PICTURE_WIDTH, PICTURE_HEIGHT, err);
    }
    env_destroy(&env);
    *draws = rc == ERR_OK;
    if (rc == ERR_OK && memcmp(picture[0], picture[1], sizeof picture[0]) != 0)
        return err_set(err, ERR_ENV, "render does not write every pixel, or not always the same");
    return rc == ERR_MISSING ? ERR_OK : rc;
}

static int check_repeats(EnvKind *kind, int *steps, Err *err)
{
    uint64_t hash[3] = {0};
    for (int i = 0; i < 3; i++) {
        int rc = run(kind, i == 2, &hash[i], steps, err);
        if (rc != ERR_OK)
            return rc;
    }
    if (hash[0] != hash[1])
        return err_set(err, ERR_ENV,
                       "equal seeds and actions gave different numbers in two instances: does "
                       "something else than reset's seed show?");
    if (hash[0] != hash[2])
        return err_set(err, ERR_ENV,
                       "going back to a saved state changed the numbers: what does state_get leave "
                       "out?");
    return ERR_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(asked ? stdout : stderr,
                "usage: polyak-plugin-check PATH [OPTIONS]\n%s"
                "for example: polyak-plugin-check ./mine.so reach=0.8\n",
                asked ? "Checks an environment for what the author of a plugin may get wrong.\n\n"
                      : "");
        return asked ? 0 : 2;
    }
    Err err = {""};
    EnvKind *kind = NULL;
    int steps = 0;
    bool draws = false;
    int rc = env_kind_open(&(EnvSetup){.name = argv[1], .options = argc > 2 ? argv[2] : ""}, &kind,
                           &err);
    if (rc == ERR_OK)
        rc = check_repeats(kind, &steps, &err);
    if (rc == ERR_OK)
        rc = check_picture(kind, &draws, &err);
    if (rc == ERR_OK) {
        const Spec *spec = env_kind_spec(kind);
        printf("%s: obs_dim %d, act_dim %d, step_limit %d, %s: %d steps, all good\n", spec->name,
               spec->obs_dim, spec->act_dim, spec->step_limit,
               draws ? "draws pictures" : "no pictures", steps);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    if (kind)
        env_kind_close(&kind);
    return rc == ERR_OK ? 0 : rc == ERR_USAGE ? 2 : 1;
}
