#include "learner/run_dir.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "learner/machine.h"

enum { RUN_JSON_BYTES_MAX = 65536, MACHINES_MAX = 32 };

static bool parse_run_id(const char *text, RunId *run_id)
{
    if (!text || strlen(text) != 2 * sizeof run_id->bytes)
        return false;
    for (size_t i = 0; i < sizeof run_id->bytes; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
            return false;
        run_id->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

/* Reads run.json; *json is a new reference. ERR_MISSING when there is none. */
static int read_run_json(const char *path, json_t **json, Err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    if (!fs_exists(path))
        return err_set(err, ERR_MISSING, "there is no %s: name the directory of a run", path);
    int code = fs_read_file(path, RUN_JSON_BYTES_MAX, &text, &bytes, err);
    if (code != 0)
        return code;
    json_error_t json_error;
    *json = json_loadb(text, bytes, 0, &json_error);
    free(text);
    const json_t *epoch = json_object_get(*json, "epoch");
    if (json_is_integer(epoch) && json_integer_value(epoch) >= 0 &&
        json_integer_value(epoch) < UINT16_MAX)
        return ERR_OK;
    json_decref(*json);
    return err_set(err, ERR_FORMAT, "%s is damaged: it has no sound \"epoch\"", path);
}

/* A run that was begun before there were ids gets one now. */
static int make_run_id(RunId *run_id, Err *err)
{
    if (getrandom(run_id->bytes, sizeof run_id->bytes, 0) != (ssize_t)sizeof run_id->bytes)
        return err_set(err, ERR_IO, "the kernel gives no random numbers");
    return ERR_OK;
}

/* A new reference, or NULL where there are none. */
static json_t *machines_of(const json_t *json)
{
    json_t *machines = json_object_get(json, "machines");
    return json_is_array(machines) ? json_incref(machines) : NULL;
}

static int read_identity(RunDir *dir, const char *path, Err *err)
{
    json_t *json = NULL;
    int code = read_run_json(path, &json, err);
    if (code == ERR_MISSING)
        return make_run_id(&dir->run_id, err);
    if (code != 0)
        return code;
    dir->epoch = (uint32_t)json_integer_value(json_object_get(json, "epoch"));
    dir->machines = machines_of(json);
    if (!parse_run_id(json_string_value(json_object_get(json, "run_id")), &dir->run_id))
        code = make_run_id(&dir->run_id, err);
    json_decref(json);
    return code;
}

int run_dir_read_identity(const char *path, RunId *run_id, json_t **machines, Err *err)
{
    char run_json[FS_PATH_MAX];
    json_t *json = NULL;
    int code = fs_join(run_json, path, "run.json", err);
    if (code == 0)
        code = read_run_json(run_json, &json, err);
    if (code != 0)
        return code;
    if (!parse_run_id(json_string_value(json_object_get(json, "run_id")), run_id))
        code = err_set(err, ERR_FORMAT, "%s names no run: it was begun without a log", run_json);
    else
        *machines = machines_of(json);
    json_decref(json);
    return code;
}

static int find_checkpoint(RunDir *dir, Err *err)
{
    int code =
        checkpoint_find_newest(dir->checkpoints, dir->checkpoint, sizeof dir->checkpoint, err);
    if (code == ERR_MISSING)
        return ERR_OK;
    if (code == 0)
        code = checkpoint_read_run(dir->checkpoint, &dir->run, err);
    dir->has_checkpoint = code == 0;
    return code;
}

static int open_locked(RunDir *dir, Config *config, Err *err)
{
    char run_json[FS_PATH_MAX];
    char config_yaml[FS_PATH_MAX];
    int code = fs_join(run_json, dir->path, "run.json", err);
    if (code == 0)
        code = fs_join(config_yaml, dir->path, "config.yaml", err);
    if (code == 0)
        code = fs_join(dir->checkpoints, dir->path, "checkpoints", err);
    if (code != 0)
        return code;
    bool has_run = fs_exists(config_yaml) || fs_exists(run_json);
    if (has_run && !config->resume)
        return err_set(
            err, ERR_EXISTS,
            "%s holds a run already: go on with it by --resume, or name another --run-dir",
            dir->path);
    dir->resumed = has_run;
    /* No error: a service that is always started with --resume begins like this. `polyak train`
     * says --resume each time, and has looked before. */
    if (!has_run && config->resume && !program_is_child())
        log_info("--resume: %s holds no run, so a new one begins there", dir->path);
    if (fs_exists(config_yaml))
        code = config_resume(config, config_yaml, err);
    if (code == 0)
        code = fs_make_dirs(dir->checkpoints, err);
    if (code == 0)
        code = read_identity(dir, run_json, err);
    if (code == 0 && has_run)
        code = find_checkpoint(dir, err);
    return code;
}

int run_dir_open(RunDir *dir, Config *config, Err *err)
{
    memset(dir, 0, sizeof *dir);
    dir->lock_fd = -1;
    dir->run.best_return = -INFINITY;
    if (config->run_dir[0] == '\0')
        return err_set(err, ERR_USAGE, "--run-dir is missing: name the directory of the run");
    char lock[FS_PATH_MAX];
    snprintf(dir->path, sizeof dir->path, "%s", config->run_dir);
    int code = fs_make_dirs(dir->path, err);
    if (code == 0)
        code = fs_join(lock, dir->path, "lock", err);
    if (code == 0)
        code = fs_lock(lock, &dir->lock_fd, err);
    if (code == ERR_BUSY)
        return err_set(err, ERR_BUSY, "another learner runs in %s", dir->path);
    if (code == 0)
        code = open_locked(dir, config, err);
    if (code != 0)
        run_dir_close(dir);
    return code;
}

void run_dir_close(RunDir *dir)
{
    if (dir->lock_fd >= 0)
        fs_unlock(&dir->lock_fd);
    dir->lock_fd = -1;
    json_decref(dir->machines);
    dir->machines = NULL;
}

static int write_config(const RunDir *dir, const Config *config, bool env_known, Err *err)
{
    char path[FS_PATH_MAX];
    char *yaml = NULL;
    int code = fs_join(path, dir->path, "config.yaml", err);
    if (code == 0)
        code = env_known ? config_to_yaml(config, false, &yaml, err)
                         : config_given_to_yaml(config, &yaml, err);
    if (code == 0 && yaml[0] != '\0') /* empty: nothing was given, and run.json marks the run */
        code = fs_write_file(path, yaml, strlen(yaml), err);
    free(yaml);
    return code;
}

int run_dir_write_config(const RunDir *dir, const Config *config, Err *err)
{
    return write_config(dir, config, true, err);
}

static int write_run_json(const RunDir *dir, Err *err)
{
    char path[FS_PATH_MAX];
    char id[2 * sizeof dir->run_id.bytes + 1];
    int code = fs_join(path, dir->path, "run.json", err);
    if (code != 0)
        return code;
    for (size_t i = 0; i < sizeof dir->run_id.bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", dir->run_id.bytes[i]);
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:O*}", "epoch", (int)dir->epoch, "polyak_version",
                  POLYAK_VERSION, "env", dir->env, "run_id", id, "machines", dir->machines);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        return err_set(err, ERR_NOMEM, "out of memory");
    code = fs_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}

int run_dir_write_machine(RunDir *dir, int threads, Err *err)
{
    json_t *machine = machine_describe(threads);
    if (!dir->machines)
        dir->machines = json_array();
    size_t count = json_array_size(dir->machines);
    char difference[8] = "new";
    if (count > 0)
        machine_difference(machine, json_array_get(dir->machines, count - 1), difference,
                           sizeof difference);
    if (difference[0] != '\0')
        json_array_append(dir->machines, machine);
    if (json_array_size(dir->machines) > MACHINES_MAX)
        json_array_remove(dir->machines, 0);
    json_decref(machine);
    return write_run_json(dir, err);
}

int run_dir_begin(RunDir *dir, const Config *config, const char *env_name, Err *err)
{
    dir->epoch++;
    snprintf(dir->env, sizeof dir->env, "%s", env_name);
    int code = write_run_json(dir, err);
    if (code == 0)
        code = write_config(dir, config, env_name[0] != '\0', err);
    return code;
}
