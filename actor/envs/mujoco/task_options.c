/* The options string of a task: Gymnasium's keyword names, each bound to the entries of the task
 * that name it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/mujoco/task.h"
#include "common/text.h"

enum { KEYS_TEXT_BYTES = 400 };

/* One "key=value" on its way through a task. */
typedef struct Setting {
    MujocoTask *task;
    const char *key;
    const char *value;
    bool known;     /* some entry of the task has this key */
    bool bad_value; /* its value is not of the right kind */
    const char *kind;
    /* For messages: all keys of the task, and the one that is spelled most like `key`. */
    char keys[KEYS_TEXT_BYTES];
    MujocoName nearest;
    int nearest_distance;
} Setting;

/* Says that the task has the option `name`; true when it is the one to set. */
static bool offers(Setting *setting, const char *name, const char *kind)
{
    if (name[0] == '\0')
        return false;
    char word[MUJOCO_NAME_BYTES + 3];
    snprintf(word, sizeof word, ", %s,", name);
    char padded[KEYS_TEXT_BYTES + 4];
    snprintf(padded, sizeof padded, ", %s,", setting->keys);
    size_t used = strlen(setting->keys);
    if (!strstr(padded, word) && used + strlen(name) + 3 < sizeof setting->keys)
        snprintf(setting->keys + used, sizeof setting->keys - used, "%s%s", used ? ", " : "", name);

    int distance = text_distance(name, setting->key);
    if (setting->nearest[0] == '\0' || distance < setting->nearest_distance) {
        snprintf(setting->nearest, sizeof setting->nearest, "%s", name);
        setting->nearest_distance = distance;
    }
    if (strcmp(name, setting->key) != 0)
        return false;
    setting->known = true;
    setting->kind = kind;
    return true;
}

/* Reads a number up to `stop`; NaN is none. */
static bool read_number(const char *text, char stop, double *number, const char **rest)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != stop || isnan(value))
        return false;
    *number = value;
    *rest = end;
    return true;
}

static void set_number(Setting *setting, const char *name, double *number)
{
    if (!offers(setting, name, "a number"))
        return;
    double value;
    const char *rest;
    if (read_number(setting->value, '\0', &value, &rest) && isfinite(value))
        *number = value;
    else
        setting->bad_value = true;
}

static void set_count(Setting *setting, const char *name, int low, int high, int *number)
{
    if (!offers(setting, name, low ? "a whole number from 1" : "a whole number from 0"))
        return;
    char *end;
    errno = 0;
    long value = strtol(setting->value, &end, 10);
    if (end == setting->value || *end || errno || value < low || value > high)
        setting->bad_value = true;
    else
        *number = (int)value;
}

static void set_range(Setting *setting, const char *name, MujocoRange *range)
{
    if (!offers(setting, name, "a range low:high, such as 0.2:1 or 0.7:inf"))
        return;
    MujocoRange read;
    const char *rest;
    if (read_number(setting->value, ':', &read.low, &rest) &&
        read_number(rest + 1, '\0', &read.high, &rest) && read.low < read.high)
        *range = read;
    else
        setting->bad_value = true;
}

/* True when the option is the one to set, and was set. */
static bool set_flag(Setting *setting, const char *name, bool *flag)
{
    if (!offers(setting, name, "true or false"))
        return false;
    bool yes = strcmp(setting->value, "true") == 0 || strcmp(setting->value, "1") == 0;
    bool no = strcmp(setting->value, "false") == 0 || strcmp(setting->value, "0") == 0;
    setting->bad_value = !yes && !no;
    *flag = yes;
    return yes || no;
}

static void set_in_observation(Setting *setting, MujocoObservation *part)
{
    bool flag;
    if (set_flag(setting, part->include_key, &flag))
        part->left_out = !flag;
    if (set_flag(setting, part->exclude_key, &flag) && !flag)
        part->of.first = 0;
    set_range(setting, part->of.clip_key, &part->of.clip);
}

/* Offers the setting to every entry of the task. */
static void set_everywhere(Setting *setting)
{
    MujocoTask *task = setting->task;
    for (MujocoReward *term = task->reward; term->form; term++) {
        set_number(setting, term->weight_key, &term->weight);
        set_range(setting, term->limit_key, &term->limit);
        set_range(setting, term->of.clip_key, &term->of.clip);
    }
    for (MujocoHealth *health = task->health; health->of.source; health++)
        set_range(setting, health->range_key, &health->range);
    bool terminate;
    if (task->health[0].of.source && set_flag(setting, "terminate_when_unhealthy", &terminate))
        task->goes_on_unhealthy = !terminate;
    for (MujocoDraw *draw = task->start; draw->source; draw++)
        set_number(setting, draw->key, &draw->scale);
    for (MujocoObservation *part = task->observation; part->of.source; part++)
        set_in_observation(setting, part);
    set_count(setting, "frame_skip", 1, MUJOCO_FRAME_SKIP_MAX, &task->frame_skip);
    set_count(setting, "step_limit", 0, 1000000000, &task->step_limit);
}

static int set_option(MujocoTask *task, const char *key, const char *value, Err *err)
{
    Setting setting = {.task = task, .key = key, .value = value};
    char shown[80];
    set_everywhere(&setting);
    if (!setting.known)
        return err_set(err, ERR_USAGE, "%.60s has no option '%s', perhaps %s; it has: %s",
                       task->name, text_excerpt(key, shown, sizeof shown), setting.nearest,
                       setting.keys);
    if (setting.bad_value)
        return err_set(err, ERR_USAGE, "%s is %s, not '%s'", key, setting.kind,
                       text_excerpt(value, shown, sizeof shown));
    return ERR_OK;
}

static bool is_model_path(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 4 && strcmp(name + length - 4, ".xml") == 0);
}

bool mujoco_task_is_known(const char *name)
{
    const MujocoTask *known = mujoco_tasks;
    while (known->name[0] && strcmp(known->name, name) != 0)
        known++;
    return known->name[0] != '\0';
}

static int find_task(const char *name, MujocoTask *task, Err *err)
{
    if (is_model_path(name))
        return mujoco_task_read(name, task, err);
    char names[KEYS_TEXT_BYTES] = "";
    for (const MujocoTask *known = mujoco_tasks; known->name[0]; known++) {
        if (strcmp(known->name, name) == 0) {
            *task = *known;
            return ERR_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", known->name);
    }
    char shown[64];
    return err_set(err, ERR_USAGE, "no task '%s'; known: %s; or a model file NAME.xml",
                   text_excerpt(name, shown, sizeof shown), names);
}

/* Works on a copy of the options, in which '\0' takes the place of ',' and '='. */
static int parse(char *options, MujocoTask *task, bool *hashed, Err *err)
{
    uint32_t hash = 0;
    bool found = false, from_file = false;
    char *rest = options;
    for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
        char shown[64];
        char *value = strchr(item, '=');
        if (!value)
            return err_set(err, ERR_USAGE, "'%s' is no option: key=value is expected",
                           text_excerpt(item, shown, sizeof shown));
        *value++ = '\0';
        int rc;
        if (!found && strcmp(item, "task") != 0)
            return err_set(err, ERR_USAGE, "the first option is task=NAME, not '%s'",
                           text_excerpt(item, shown, sizeof shown));
        if (found) {
            rc = set_option(task, item, value, err);
        } else {
            rc = find_task(value, task, err);
            from_file = is_model_path(value);
            hash = rc == ERR_OK ? mujoco_task_hash(task) : 0;
        }
        if (rc != ERR_OK)
            return rc;
        found = true;
    }
    *hashed = from_file || mujoco_task_hash(task) != hash;
    return ERR_OK;
}

int mujoco_task_parse(const char *options, MujocoTask *task, bool *hashed, Err *err)
{
    if (options[0] == '\0')
        return err_set(err, ERR_USAGE, "say which task: task=HalfCheetah-v5, or task=./robot.xml");
    char *copy = strdup(options);
    if (!copy)
        return err_set(err, ERR_NOMEM, "no memory for the options");
    int rc = parse(copy, task, hashed, err);
    free(copy);
    return rc;
}
