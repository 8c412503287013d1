#include "learner/agent/checkpoint_meta.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

/* Version 1 knew no log: what it lacks is 0. */
static const char format_version[] = "2";
static const char first_version[] = "1";

static void put_text(CheckpointMeta *meta, const char *key, const char *value)
{
    CHECK(meta->count < CHECKPOINT_META_MAX);
    meta->text[meta->count++] = (TensorMeta){key, value};
}

static void put_count(CheckpointMeta *meta, const char *key, uint64_t value)
{
    char *text = meta->number[meta->count];
    snprintf(text, CHECKPOINT_NUMBER_BYTES, "%" PRIu64, value);
    put_text(meta, key, text);
}

static void put_real(CheckpointMeta *meta, const char *key, double value)
{
    char *text = meta->number[meta->count];
    snprintf(text, CHECKPOINT_NUMBER_BYTES, "%.17g", value);
    put_text(meta, key, text);
}

static void put_bounds(CheckpointMeta *meta, const char *key, const float *bounds, int count,
                       char text[CHECKPOINT_BOUNDS_BYTES])
{
    int used = 0;
    text[0] = '\0';
    for (int i = 0; i < count; i++)
        used += snprintf(text + used, (size_t)(CHECKPOINT_BOUNDS_BYTES - used),
                         i == 0 ? "%.9g" : ",%.9g", (double)bounds[i]);
    CHECK(used < CHECKPOINT_BOUNDS_BYTES);
    put_text(meta, key, text);
}

void checkpoint_meta_put(CheckpointMeta *meta, const RunState *run, uint64_t adam_steps)
{
    CHECK(memchr(run->config_yaml, '\0', sizeof run->config_yaml));
    CHECK(spec_check(&run->spec, NULL) == ERR_OK);
    meta->count = 0;
    put_text(meta, "polyak_checkpoint", format_version);
    put_text(meta, "env", run->spec.name);
    put_count(meta, "obs_dim", (uint64_t)run->spec.obs_dim);
    put_count(meta, "act_dim", (uint64_t)run->spec.act_dim);
    put_count(meta, "step_limit", (uint64_t)run->spec.step_limit);
    put_bounds(meta, "action_low", run->spec.action_low, run->spec.act_dim, meta->action_low);
    put_bounds(meta, "action_high", run->spec.action_high, run->spec.act_dim, meta->action_high);
    put_count(meta, "env_steps", run->env_steps);
    put_count(meta, "updates", run->updates);
    put_count(meta, "adam_steps", adam_steps);
    put_count(meta, "episodes", run->episodes);
    put_real(meta, "best_return", run->best_return);
    put_count(meta, "evals", run->evals);
    put_count(meta, "seed", run->seed);
    put_count(meta, "log_position", run->log_position);
    put_count(meta, "replay_head", run->replay_head);
    put_count(meta, "replay_digest", run->replay_digest);
    put_count(meta, "pacer_env_steps", run->pacer_env_steps);
    put_count(meta, "pacer_updates", run->pacer_updates);
    put_count(meta, "pacer_underway", run->pacer_underway);
    put_count(meta, "skipped_updates", run->skipped_updates);
    put_count(meta, "rollbacks", run->rollbacks);
    put_text(meta, "config", run->config_yaml);
}

static int malformed(const char *path, const char *what, const char *key, Err *err)
{
    return err_set(err, ERR_FORMAT, "%s is no sound checkpoint: %s%s", path, what, key);
}

static int take_text(const char *path, const SafetensorsFile *file, const char *key, char *text,
                     size_t text_bytes, Err *err)
{
    const char *value = safetensors_meta(file, key);
    if (!value)
        return malformed(path, "its metadata lacks ", key, err);
    size_t length = strlen(value);
    if (length >= text_bytes)
        return malformed(path, "its metadata has too long a text in ", key, err);
    memcpy(text, value, length + 1);
    return ERR_OK;
}

static int take_count(const char *path, const SafetensorsFile *file, const char *key,
                      uint64_t limit, uint64_t *count, Err *err)
{
    char text[CHECKPOINT_NUMBER_BYTES];
    int code = take_text(path, file, key, text, sizeof text, err);
    if (code != ERR_OK)
        return code;
    char *end;
    errno = 0;
    *count = strtoull(text, &end, 10);
    /* strtoull takes a sign and white space: digits only are meant. */
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || *count > limit)
        return malformed(path, "its metadata has no valid number in ", key, err);
    return ERR_OK;
}

static int take_int(const char *path, const SafetensorsFile *file, const char *key, int *value,
                    Err *err)
{
    uint64_t count;
    int code = take_count(path, file, key, INT_MAX, &count, err);
    if (code == ERR_OK)
        *value = (int)count;
    return code;
}

static int take_real(const char *path, const SafetensorsFile *file, const char *key, double *value,
                     Err *err)
{
    char text[CHECKPOINT_NUMBER_BYTES];
    int code = take_text(path, file, key, text, sizeof text, err);
    if (code != ERR_OK)
        return code;
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end != '\0')
        return malformed(path, "its metadata has no valid number in ", key, err);
    return ERR_OK;
}

static int take_bounds(const char *path, const SafetensorsFile *file, const char *key,
                       float *bounds, int count, Err *err)
{
    char text[CHECKPOINT_BOUNDS_BYTES];
    int code = take_text(path, file, key, text, sizeof text, err);
    if (code != ERR_OK)
        return code;
    char *next = text;
    for (int i = 0; i < count; i++) {
        char *end;
        bounds[i] = strtof(next, &end);
        if (end == next || *end != (i + 1 < count ? ',' : '\0'))
            return malformed(path, "its metadata has no valid bounds in ", key, err);
        next = end + 1;
    }
    return ERR_OK;
}

static int take_spec(const char *path, const SafetensorsFile *file, Spec *spec, Err *err)
{
    int code = take_text(path, file, "env", spec->name, sizeof spec->name, err);
    if (code == ERR_OK)
        code = take_int(path, file, "obs_dim", &spec->obs_dim, err);
    if (code == ERR_OK)
        code = take_int(path, file, "act_dim", &spec->act_dim, err);
    if (code == ERR_OK)
        code = take_int(path, file, "step_limit", &spec->step_limit, err);
    if (code != ERR_OK)
        return code;
    if (spec->act_dim > SPEC_ACT_DIM_MAX)
        return malformed(path, "its metadata has too large an ", "act_dim", err);
    code = take_bounds(path, file, "action_low", spec->action_low, spec->act_dim, err);
    if (code == ERR_OK)
        code = take_bounds(path, file, "action_high", spec->action_high, spec->act_dim, err);
    if (code != ERR_OK)
        return code;
    Err reason;
    if (spec_check(spec, &reason) != ERR_OK)
        return malformed(path, "", reason.text, err);
    return ERR_OK;
}

/* A key of the metadata and where its number goes. */
typedef struct CountKey {
    const char *key;
    uint64_t *count;
} CountKey;

static int take_counts(const char *path, const SafetensorsFile *file, const CountKey *counts,
                       size_t num_counts, Err *err)
{
    for (size_t i = 0; i < num_counts; i++) {
        int code = take_count(path, file, counts[i].key, UINT64_MAX, counts[i].count, err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* What version 2 added. */
static int take_log(const char *path, const SafetensorsFile *file, bool there, RunState *run,
                    Err *err)
{
    uint64_t underway = 0;
    const CountKey counts[] = {
        {"log_position", &run->log_position},       {"replay_head", &run->replay_head},
        {"replay_digest", &run->replay_digest},     {"pacer_env_steps", &run->pacer_env_steps},
        {"pacer_updates", &run->pacer_updates},     {"pacer_underway", &underway},
        {"skipped_updates", &run->skipped_updates}, {"rollbacks", &run->rollbacks},
    };
    size_t num_counts = sizeof counts / sizeof counts[0];
    for (size_t i = 0; i < num_counts; i++)
        *counts[i].count = 0;
    int code = there ? take_counts(path, file, counts, num_counts, err) : ERR_OK;
    run->pacer_underway = underway != 0;
    return code;
}

int checkpoint_meta_take(const char *path, const SafetensorsFile *file, RunState *run,
                         uint64_t *adam_steps, Err *err)
{
    const char *version = safetensors_meta(file, "polyak_checkpoint");
    if (!version)
        return malformed(path, "its metadata lacks ", "polyak_checkpoint", err);
    if (strcmp(version, format_version) != 0 && strcmp(version, first_version) != 0)
        return err_set(
            err, ERR_VERSION,
            "%s has checkpoint format %.20s, this program reads %s and %s; use the version "
            "of Polyak that wrote it",
            path, version, first_version, format_version);

    const CountKey counts[] = {
        {"env_steps", &run->env_steps}, {"updates", &run->updates}, {"episodes", &run->episodes},
        {"adam_steps", adam_steps},     {"evals", &run->evals},     {"seed", &run->seed},
    };
    int code = take_counts(path, file, counts, sizeof counts / sizeof counts[0], err);
    if (code == ERR_OK)
        code = take_log(path, file, strcmp(version, first_version) != 0, run, err);
    if (code == ERR_OK)
        code = take_real(path, file, "best_return", &run->best_return, err);
    if (code == ERR_OK)
        code = take_text(path, file, "config", run->config_yaml, sizeof run->config_yaml, err);
    if (code == ERR_OK)
        code = take_spec(path, file, &run->spec, err);
    return code;
}
