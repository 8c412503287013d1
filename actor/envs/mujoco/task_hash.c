/* What makes two tasks equal: all that shows in their numbers. Names of options and the camera do
 * not; a padding byte must not. FNV-1a over the members, one by one, and over the model's bytes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actor/envs/mujoco/task.h"

#define HASH_START UINT32_C(2166136261)

typedef struct Hash {
    uint32_t value;
} Hash;

static void add_bytes(Hash *hash, const void *bytes, size_t num_bytes)
{
    const unsigned char *next = bytes;
    for (size_t i = 0; i < num_bytes; i++)
        hash->value = (hash->value ^ next[i]) * UINT32_C(16777619);
}

static void add_int(Hash *hash, int value)
{
    add_bytes(hash, &value, sizeof value);
}

static void add_double(Hash *hash, double value)
{
    value += 0.0; /* so that −0 counts as 0 */
    add_bytes(hash, &value, sizeof value);
}

static void add_range(Hash *hash, const MujocoRange *range)
{
    add_double(hash, range->low);
    add_double(hash, range->high);
}

static void add_text(Hash *hash, const char *text)
{
    add_bytes(hash, text, strlen(text) + 1);
}

static void add_quantity(Hash *hash, const MujocoQuantity *of)
{
    add_int(hash, (int)of->source);
    add_text(hash, of->object);
    add_text(hash, of->minus);
    add_int(hash, of->first);
    add_int(hash, of->count);
    add_int(hash, (int)of->function);
    add_range(hash, &of->clip);
}

static void add_draw(Hash *hash, const MujocoDraw *draw)
{
    add_int(hash, (int)draw->source);
    add_int(hash, draw->first);
    add_int(hash, draw->count);
    add_int(hash, (int)draw->distribution);
    add_double(hash, draw->scale);
    for (int i = 0; i < MUJOCO_BOX_DIMS_MAX; i++) {
        add_double(hash, draw->low[i]);
        add_double(hash, draw->high[i]);
    }
    add_range(hash, &draw->norm);
}

uint32_t mujoco_task_hash(const MujocoTask *task)
{
    Hash hash = {HASH_START};
    const char *file = strrchr(task->model, '/'); /* where it lies does not matter */
    add_text(&hash, file ? file + 1 : task->model);
    if (file)
        add_bytes(&hash, &task->model_hash, sizeof task->model_hash);
    add_int(&hash, task->frame_skip);
    add_int(&hash, task->step_limit);
    add_int(&hash, task->goes_on_unhealthy);
    for (const MujocoDraw *draw = task->start; draw->source; draw++)
        add_draw(&hash, draw);
    for (const MujocoObservation *part = task->observation; part->of.source; part++) {
        add_int(&hash, part->left_out);
        add_quantity(&hash, &part->of);
    }
    for (const MujocoReward *term = task->reward; term->form; term++) {
        add_int(&hash, (int)term->form);
        add_int(&hash, term->cost);
        add_double(&hash, term->weight);
        add_quantity(&hash, &term->of);
        add_double(&hash, term->target);
        add_range(&hash, &term->limit);
    }
    for (const MujocoHealth *health = task->health; health->of.source; health++) {
        add_quantity(&hash, &health->of);
        add_range(&hash, &health->range);
        add_int(&hash, health->open);
    }
    return hash.value;
}

int mujoco_task_hash_model(MujocoTask *task, Err *err)
{
    FILE *file = fopen(task->model, "rb");
    if (!file)
        return err_set(err, ERR_MISSING, "%.300s is not there, or cannot be read", task->model);
    Hash hash = {HASH_START};
    char bytes[4096];
    size_t num_bytes;
    while ((num_bytes = fread(bytes, 1, sizeof bytes, file)) > 0)
        add_bytes(&hash, bytes, num_bytes);
    int rc = ferror(file)
                 ? err_set(err, ERR_IO, "%.300s cannot be read: %s", task->model, strerror(errno))
                 : ERR_OK;
    fclose(file);
    task->model_hash = hash.value;
    return rc;
}
