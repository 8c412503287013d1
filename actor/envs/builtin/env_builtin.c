#include "actor/envs/builtin/env_builtin.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

enum { STEP_MS_MAX = 3600000 };

/* What lies in memory before an environment's own struct, which stays its whole state. */
typedef struct Before {
    EnvBuiltinStep step;
    int64_t step_ns; /* a step takes so long; 0: as long as it takes */
    max_align_t own[];
} Before;

static Before *before(PolyakEnv *env)
{
    return (Before *)((char *)env - offsetof(Before, own));
}

static PolyakEnv *own_part(Before *made)
{
    return (PolyakEnv *)made->own;
}

static bool parse_step_ms(const char *text, int64_t *step_ns)
{
    char *end = NULL;
    double ms = strtod(text, &end);
    if (end == text || *end != '\0' || !(ms >= 0) || ms > STEP_MS_MAX)
        return false;
    *step_ns = llround(ms * 1e6);
    return true;
}

static int parse_options(const char *options, int64_t *step_ns, char *error)
{
    static const char key[] = "step_ms=";
    *step_ns = 0;
    if (options[0] == '\0')
        return POLYAK_ENV_OK;
    if (strncmp(options, key, strlen(key)) != 0) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "its only option is step_ms=N, not '%.100s'",
                 options);
        return POLYAK_ENV_BAD_OPTIONS;
    }
    if (parse_step_ms(options + strlen(key), step_ns))
        return POLYAK_ENV_OK;
    snprintf(error, POLYAK_ENV_ERROR_BYTES, "step_ms is a number from 0 to %d, not '%.100s'",
             STEP_MS_MAX, options + strlen(key));
    return POLYAK_ENV_BAD_OPTIONS;
}

int env_builtin_create(size_t bytes, EnvBuiltinStep step, const char *options, PolyakEnv **env,
                       char *error)
{
    int64_t step_ns = 0;
    int code = parse_options(options, &step_ns, error);
    if (code != POLYAK_ENV_OK)
        return code;
    Before *made = calloc(1, sizeof *made + bytes);
    if (!made) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "out of memory");
        return POLYAK_ENV_FAILED;
    }
    made->step = step;
    made->step_ns = step_ns;
    *env = own_part(made);
    return POLYAK_ENV_OK;
}

int env_builtin_step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                     char *error)
{
    const Before *own = before(env);
    if (own->step_ns == 0)
        return own->step(env, action, obs, result, error);
    const int64_t until_ns = clock_ns() + own->step_ns;
    int code = own->step(env, action, obs, result, error);
    const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                   .tv_nsec = until_ns % 1000000000};
    /* A signal ends the sleep: whoever steps may have been told to stop. */
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return code;
}

void env_builtin_destroy(PolyakEnv *env)
{
    free(before(env));
}
