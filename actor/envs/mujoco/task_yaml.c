/* A task from the YAML file beside its model: the same struct that tasks.c fills for Gymnasium's.
 * docs/mujoco.md says what every key means. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "actor/envs/mujoco/task.h"
#include "actor/envs/mujoco/yaml_fields.h"

enum { COUNT_MAX = 1 << 20, STEP_LIMIT_MAX = 1000000000, STEP_LIMIT = 1000 };

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const function_names[] = {"none", "sin", "cos"};

static const char *const form_names[MUJOCO_NUM_FORMS] = {
    [MUJOCO_SUM] = "sum",           [MUJOCO_SUM_PER_TIMESTEP] = "sum_per_timestep",
    [MUJOCO_VELOCITY] = "velocity", [MUJOCO_SQUARE] = "square",
    [MUJOCO_ABSOLUTE] = "absolute", [MUJOCO_NORM] = "norm",
    [MUJOCO_HEALTHY] = "healthy",   [MUJOCO_CONSTANT] = "constant",
};

/* The keys of a quantity, which entries of three lists begin with. */
#define QUANTITY_FIELDS(q)                                                                         \
    {"of", YAML_CHOICE, .to = &(q)->source, .choices = mujoco_source_names,                        \
     .num_choices = MUJOCO_NUM_SOURCES},                                                           \
        {"object", YAML_NAME, .to = (q)->object}, {"minus", YAML_NAME, .to = (q)->minus},          \
        {"first", YAML_INT, .to = &(q)->first, .low = -COUNT_MAX, .high = COUNT_MAX},              \
        {"count", YAML_INT, .to = &(q)->count, .low = -COUNT_MAX, .high = COUNT_MAX},              \
        {"function", YAML_CHOICE, .to = &(q)->function, .choices = function_names,                 \
         .num_choices = LENGTH(function_names)},                                                   \
    {                                                                                              \
        "clip", YAML_RANGE, .to = &(q)->clip                                                       \
    }

_Static_assert(sizeof(MujocoSource) == sizeof(int), "a choice is written as an int");

/* An entry of a list: reads `node` into entry `index` of the task's list. */
typedef int ReadEntry(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index,
                      Err *err);

/* Reads a list of mappings, from entry `index` on. */
static int read_list(YamlFile *file, const yaml_node_t *node, const char *key, ReadEntry *read,
                     MujocoTask *task, int index, Err *err)
{
    if (!node)
        return ERR_OK;
    if (node->type != YAML_SEQUENCE_NODE)
        return yaml_fail(file, yaml_line(node), err, "%s is a list of lines that begin with '-'",
                         key);
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++, index++) {
        const yaml_node_t *entry = yaml_document_get_node(&file->document, *item);
        if (index >= MUJOCO_LIST_MAX)
            return yaml_fail(file, yaml_line(entry), err, "%s has more than %d entries", key,
                             MUJOCO_LIST_MAX);
        int rc = read(file, entry, task, index, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static int read_observation(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index,
                            Err *err)
{
    MujocoObservation *part = &task->observation[index];
    YamlField fields[] = {QUANTITY_FIELDS(&part->of), {"name", YAML_NAME, .to = part->include_key}};
    int rc = yaml_read_fields(file, node, "an observation", fields, LENGTH(fields), err);
    if (rc == ERR_OK && !part->of.source)
        rc = yaml_fail(file, yaml_line(node), err, "an observation needs the key of");
    return rc;
}

static int read_reward(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index,
                       Err *err)
{
    MujocoReward *term = &task->reward[index];
    term->weight = 1.0;
    YamlField fields[] = {
        QUANTITY_FIELDS(&term->of),
        {"form", YAML_CHOICE, .to = &term->form, .choices = form_names,
         .num_choices = MUJOCO_NUM_FORMS},
        {"weight", YAML_NUMBER, .to = &term->weight},
        {"target", YAML_NUMBER, .to = &term->target},
        {"limit", YAML_RANGE, .to = &term->limit},
        {"name", YAML_NAME, .to = term->weight_key},
    };
    const char *what = term->cost ? "a cost" : "a reward";
    int rc = yaml_read_fields(file, node, what, fields, LENGTH(fields), err);
    if (rc != ERR_OK)
        return rc;
    int line = yaml_line(node);
    if (!term->form)
        return yaml_fail(file, line, err, "%s needs the key form", what);
    const char *form = form_names[term->form];
    bool takes_quantity = term->form != MUJOCO_HEALTHY && term->form != MUJOCO_CONSTANT;
    if (takes_quantity != (term->of.source != MUJOCO_NOTHING))
        return yaml_fail(file, line, err, "the form %s %s", form,
                         takes_quantity ? "needs the key of" : "is not of anything");
    bool takes_target =
        term->form == MUJOCO_SQUARE || term->form == MUJOCO_ABSOLUTE || term->form == MUJOCO_NORM;
    if (!takes_target && yaml_field(fields, LENGTH(fields), "target")->line)
        return yaml_fail(file, line, err, "the form %s has no target", form);
    return ERR_OK;
}

static int read_cost(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index, Err *err)
{
    task->reward[index].cost = true;
    return read_reward(file, node, task, index, err);
}

static int read_health(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index,
                       Err *err)
{
    MujocoHealth *health = &task->health[index];
    YamlField fields[] = {QUANTITY_FIELDS(&health->of),
                          {"range", YAML_RANGE, .to = &health->range},
                          {"name", YAML_NAME, .to = health->range_key}};
    int rc = yaml_read_fields(file, node, "healthy", fields, LENGTH(fields), err);
    if (rc == ERR_OK && (!health->of.source || !yaml_field(fields, LENGTH(fields), "range")->line))
        rc = yaml_fail(file, yaml_line(node), err, "healthy needs the keys of and range");
    return rc;
}

/* low and high, which make a draw a box. */
static int check_box(YamlFile *file, const yaml_node_t *node, MujocoDraw *draw,
                     const YamlField *low, const YamlField *high, Err *err)
{
    int line = yaml_line(node);
    if (low->count != high->count)
        return yaml_fail(file, line, err, "a box needs low and high of equal length");
    for (int i = 0; i < low->count; i++)
        if (!(draw->low[i] < draw->high[i]) || !isfinite(draw->low[i]) || !isfinite(draw->high[i]))
            return yaml_fail(file, line, err, "low is below high, and both are finite");
    draw->distribution = MUJOCO_BOX;
    if (draw->count && draw->count != low->count)
        return yaml_fail(file, line, err, "count is %d, low and high have %d", draw->count,
                         low->count);
    draw->count = low->count;
    return ERR_OK;
}

static int read_draw(YamlFile *file, const yaml_node_t *node, MujocoTask *task, int index, Err *err)
{
    MujocoDraw *draw = &task->start[index];
    double uniform = 0.0, normal = 0.0;
    enum { UNIFORM = 3, NORMAL, LOW, HIGH, NORM };
    YamlField fields[] = {
        {"of", YAML_CHOICE, .to = &draw->source, .choices = mujoco_source_names,
         .num_choices = MUJOCO_QVEL + 1}, /* qpos or qvel */
        {"first", YAML_INT, .to = &draw->first, .low = -COUNT_MAX, .high = COUNT_MAX},
        {"count", YAML_INT, .to = &draw->count, .low = -COUNT_MAX, .high = COUNT_MAX},
        [UNIFORM] = {"uniform", YAML_NUMBER, .to = &uniform},
        [NORMAL] = {"normal", YAML_NUMBER, .to = &normal},
        [LOW] = {"low", YAML_VECTOR, .to = draw->low},
        [HIGH] = {"high", YAML_VECTOR, .to = draw->high},
        [NORM] = {"norm", YAML_RANGE, .to = &draw->norm},
        {"name", YAML_NAME, .to = draw->key},
    };
    int rc = yaml_read_fields(file, node, "a start", fields, LENGTH(fields), err);
    if (rc != ERR_OK)
        return rc;
    int line = yaml_line(node);
    bool box = fields[LOW].line || fields[HIGH].line;
    if (!draw->source || (fields[UNIFORM].line != 0) + (fields[NORMAL].line != 0) + box != 1)
        return yaml_fail(file, line, err,
                         "a start needs the key of, and uniform, normal, or low and high");
    if (!box && fields[NORM].line)
        return yaml_fail(file, line, err, "norm goes with low and high");
    if (box)
        return check_box(file, node, draw, &fields[LOW], &fields[HIGH], err);
    draw->distribution = fields[UNIFORM].line ? MUJOCO_UNIFORM : MUJOCO_NORMAL;
    draw->scale = uniform + normal;
    if (draw->scale < 0.0)
        return yaml_fail(file, line, err, "the scale of a start is not negative");
    return ERR_OK;
}

static int read_camera(YamlFile *file, const yaml_node_t *node, MujocoCamera *camera, Err *err)
{
    if (!node)
        return ERR_OK;
    YamlField fields[] = {
        {"track", YAML_NAME, .to = camera->track},
        {"distance", YAML_NUMBER, .to = &camera->distance},
        {"azimuth", YAML_NUMBER, .to = &camera->azimuth},
        {"elevation", YAML_NUMBER, .to = &camera->elevation},
        {"lookat", YAML_VECTOR, .to = camera->lookat},
    };
    return yaml_read_fields(file, node, "camera", fields, LENGTH(fields), err);
}

/* It would get the preset of Gymnasium's. */
#define NAME_TAKEN "%s is a task of Gymnasium's: give this one a name of its own"

/* Names go to the learner, which takes these characters. */
static bool good_in_name(char c)
{
    return isalnum((unsigned char)c) || strchr("_.-", c);
}

static int check_name(YamlFile *file, int line, const char *name, Err *err)
{
    for (const char *c = name; *c; c++)
        if (!good_in_name(*c))
            return yaml_fail(file, line, err, "a name is letters, digits, '_', '.' and '-'");
    if (line && mujoco_task_is_known(name))
        return yaml_fail(file, line, err, NAME_TAKEN, name);
    return ERR_OK;
}

static int read_task(YamlFile *file, MujocoTask *task, Err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(&file->document);
    const yaml_node_t *camera = NULL, *start = NULL, *observation = NULL, *reward = NULL;
    const yaml_node_t *cost = NULL, *healthy = NULL;
    bool terminate = true;
    YamlField fields[] = {
        {"name", YAML_NAME, .to = task->name},
        {"frame_skip", YAML_INT, .to = &task->frame_skip, .low = 1, .high = MUJOCO_FRAME_SKIP_MAX},
        {"step_limit", YAML_INT, .to = &task->step_limit, .low = 0, .high = STEP_LIMIT_MAX},
        {"terminate_when_unhealthy", YAML_FLAG, .to = &terminate},
        {"camera", YAML_NODE, .to = &camera},
        {"start", YAML_NODE, .to = &start},
        {"observation", YAML_NODE, .to = &observation},
        {"reward", YAML_NODE, .to = &reward},
        {"cost", YAML_NODE, .to = &cost},
        {"healthy", YAML_NODE, .to = &healthy},
    };
    int rc = yaml_read_fields(file, root, "a task", fields, LENGTH(fields), err);
    if (rc == ERR_OK)
        rc = check_name(file, fields[0].line, task->name, err);
    task->goes_on_unhealthy = !terminate;
    if (rc == ERR_OK)
        rc = read_camera(file, camera, &task->camera, err);
    if (rc == ERR_OK)
        rc = read_list(file, start, "start", read_draw, task, 0, err);
    if (rc == ERR_OK)
        rc = read_list(file, observation, "observation", read_observation, task, 0, err);
    if (rc == ERR_OK)
        rc = read_list(file, reward, "reward", read_reward, task, 0, err);
    int num_rewards = 0;
    while (task->reward[num_rewards].form)
        num_rewards++;
    if (rc == ERR_OK)
        rc = read_list(file, cost, "cost", read_cost, task, num_rewards, err);
    if (rc == ERR_OK)
        rc = read_list(file, healthy, "healthy", read_health, task, 0, err);
    if (rc == ERR_OK && (!task->observation[0].of.source || !task->reward[0].form))
        rc = yaml_fail(file, yaml_line(root), err, "a task needs an observation and a reward");
    return rc;
}

/* What a task is before its file is read. */
static int prepare(const char *model_path, MujocoTask *task, char *yaml_path, Err *err)
{
    *task = (MujocoTask){
        .frame_skip = 1, .step_limit = STEP_LIMIT, .camera = {.azimuth = 90.0, .elevation = -20.0}};
    const char *folder = strchr(model_path, '/') ? "" : "./"; /* else it would be Gymnasium's */
    int length = snprintf(task->model, sizeof task->model, "%s%s", folder, model_path);
    if (length < 0 || length + 2 > MUJOCO_PATH_BYTES)
        return err_set(err, ERR_USAGE, "the path of the model is too long");
    const char *dot = strrchr(task->model, '.'), *file = strrchr(task->model, '/') + 1;
    if (!dot || strcmp(dot, ".xml") != 0 || dot == file)
        return err_set(err, ERR_USAGE, "%.200s: a model is a file NAME.xml", model_path);
    snprintf(yaml_path, MUJOCO_PATH_BYTES, "%.*s.yaml", (int)(dot - task->model), task->model);
    snprintf(task->name, sizeof task->name, "%.*s", (int)(dot - file), file);
    for (char *c = task->name; *c; c++)
        if (!good_in_name(*c))
            *c = '-';
    return ERR_OK;
}

int mujoco_task_read(const char *model_path, MujocoTask *task, Err *err)
{
    char path[MUJOCO_PATH_BYTES];
    YamlFile file;
    int rc = prepare(model_path, task, path, err);
    if (rc != ERR_OK)
        return rc;
    rc = yaml_file_open(&file, path, err);
    if (rc == ERR_MISSING)
        return err_set(err, ERR_USAGE,
                       "%.200s is not there: it must say what the task of %.200s is", path,
                       model_path);
    if (rc != ERR_OK)
        return rc;
    rc = read_task(&file, task, err);
    yaml_file_close(&file);
    if (rc == ERR_OK && mujoco_task_is_known(task->name))
        rc = err_set(err, ERR_USAGE, "%.200s: " NAME_TAKEN, path, task->name);
    return rc == ERR_OK ? mujoco_task_hash_model(task, err) : rc;
}
