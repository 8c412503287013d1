/* The interface between Polyak and an environment: what a plugin exports, in C or C++.
 *
 * A plugin is a shared library with one symbol, polyak_env_api, a function that returns a table of
 * functions. This header is all that it needs:
 *
 *     static const PolyakEnvApi api = {
 *         .abi_version = POLYAK_ENV_ABI_VERSION,
 *         .struct_bytes = sizeof(PolyakEnvApi),
 *         .create = create, .destroy = destroy, .spec = spec, .reset = reset, .step = step,
 *     };
 *     POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void) { return &api; }
 *
 * Threads: an instance is used by one thread at a time. Instances are independent: other threads
 * may use other instances, and create new ones, at the same moment. So a plugin has no mutable
 * state outside its instances, unless it guards that state itself.
 *
 * Ownership: an instance belongs to the plugin, from create to destroy; all arrays belong to the
 * caller, are as long as the spec says, and are valid for the length of a call only.
 *
 * Random numbers: an instance owns its generator. After reset(seed) the same actions give the same
 * numbers; nothing else (time, addresses, other instances, earlier episodes) may show.
 *
 * Evolution: abi_version changes only when an old plugin could not run any more. New optional
 * functions are added at the end of the table; struct_bytes says where a plugin's table ends. */
#ifndef POLYAK_ACTOR_ENVS_ENV_H
#define POLYAK_ACTOR_ENVS_ENV_H

#include <stddef.h>
#include <stdint.h>

#define POLYAK_ENV_ABI_VERSION 1u
#define POLYAK_ENV_SYMBOL "polyak_env_api"

/* Limits that a plugin may rely on, and must keep. */
#define POLYAK_ENV_NAME_BYTES 128  /* with the terminating zero */
#define POLYAK_ENV_ERROR_BYTES 256 /* room of every `error`, with the terminating zero */
#define POLYAK_ENV_OBS_DIM_MAX 4096
#define POLYAK_ENV_ACT_DIM_MAX 128

/* What a function returns. When it is not OK, `error` should hold one line for a person: what is
 * wrong and what to do. It is empty before the call and may be left so. */
enum {
    POLYAK_ENV_OK = 0,
    POLYAK_ENV_FAILED = 1,   /* it cannot go on; nothing but destroy should follow */
    POLYAK_ENV_DIVERGED = 2, /* the physics diverged: the step did not happen, reset comes next */
    POLYAK_ENV_BAD_OPTIONS = 3, /* create only: the options string is wrong */
};

/* An instance; what it is inside is the plugin's own. */
typedef struct PolyakEnv PolyakEnv;

typedef struct PolyakEnvSpec {
    char name[POLYAK_ENV_NAME_BYTES]; /* [A-Za-z0-9_.:/-]; equal names mean equal environments */
    int32_t obs_dim;                  /* 1 … POLYAK_ENV_OBS_DIM_MAX */
    int32_t act_dim;                  /* 1 … POLYAK_ENV_ACT_DIM_MAX */
    int32_t step_limit;               /* steps until the host truncates an episode; 0: never */
    float action_low[POLYAK_ENV_ACT_DIM_MAX];  /* (act_dim) finite, in the environment's units */
    float action_high[POLYAK_ENV_ACT_DIM_MAX]; /* (act_dim) finite, above action_low */
} PolyakEnvSpec;

typedef struct PolyakEnvResult {
    float reward;
    int32_t terminated; /* 1: the episode ended in a final state, which has no future reward */
    int32_t truncated;  /* 1: the environment cut the episode short, for a reason of its own */
} PolyakEnvResult;

typedef struct PolyakEnvApi {
    uint32_t abi_version;  /* POLYAK_ENV_ABI_VERSION */
    uint32_t struct_bytes; /* sizeof(PolyakEnvApi) */

    /* Required. Makes an instance. `options` is "key=value,…", "" for none; a key that is not known
     * is refused with BAD_OPTIONS. On failure *env stays as it is and nothing is leaked. */
    int (*create)(const char *options, PolyakEnv **env, char *error);

    /* Required. Frees an instance, whatever state it is in. */
    void (*destroy)(PolyakEnv *env);

    /* Required. Fills `spec`, which is zero before the call. Never changes in an instance's life;
     * equal options give equal specs. */
    int (*spec)(const PolyakEnv *env, PolyakEnvSpec *spec, char *error);

    /* Required. Starts an episode whose every random number follows from `seed`, and writes its
     * first observation: obs (obs_dim). May be called at any time. */
    int (*reset)(PolyakEnv *env, uint64_t seed, float *obs, char *error);

    /* Required. Takes one step with action (act_dim), which is within the bounds, and writes the
     * observation after it, obs (obs_dim), and the result, which is zero before the call. Never
     * resets by itself: after an episode's end `obs` is the final observation, and the next call is
     * reset. The step limit is the host's work. */
    int (*step)(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error);

    /* Optional. Draws the present state: rgb (height, width, 3), rows from the top, of any size
     * that the caller asks for. */
    int (*render)(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height, char *error);

    /* Optional, all three or none: save a state and go back to it. state_bytes is fixed for an
     * instance and above 0. state_get writes that many bytes; state_set takes them, in this or
     * another instance of equal options, and writes that state's observation: obs (obs_dim). From
     * there equal actions give equal numbers, bit for bit, so a generator that step() draws from is
     * part of the state. `state` has no alignment: use memcpy. */
    size_t (*state_bytes)(const PolyakEnv *env);
    int (*state_get)(const PolyakEnv *env, void *state, char *error);
    int (*state_set)(PolyakEnv *env, const void *state, float *obs, char *error);

    /* Optional. Seconds of the environment's own time that a step takes, so that a film has its
     * speed. Never changes in an instance's life. */
    double (*step_seconds)(const PolyakEnv *env);
} PolyakEnvApi;

/* Optional, of a library with several environments: a second symbol, polyak_env_list, says which
 * there are, for `polyak envs`. All of it must live as long as the library. */
#define POLYAK_ENV_LIST_SYMBOL "polyak_env_list"

typedef struct PolyakEnvList {
    const char *about;        /* one line for a person: what it stands on, where its files are */
    const char *const *names; /* NULL-terminated: what the option `task` takes */
} PolyakEnvList;

#if defined(__GNUC__)
#define POLYAK_ENV_VISIBLE __attribute__((visibility("default")))
#else
#define POLYAK_ENV_VISIBLE
#endif
#ifdef __cplusplus
#define POLYAK_ENV_EXPORT extern "C" POLYAK_ENV_VISIBLE
#else
#define POLYAK_ENV_EXPORT POLYAK_ENV_VISIBLE
#endif

/* The one exported function that must be there. The table must live as long as the library. */
POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void);

/* And the optional one. */
POLYAK_ENV_EXPORT const PolyakEnvList *polyak_env_list(void);

#endif
