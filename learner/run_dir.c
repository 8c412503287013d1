#include "learner/run_dir.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/log.h"

enum { RUN_JSON_BYTES_MAX = 65536 };

static int read_epoch(const char *path, uint32_t *epoch, Err *err)
{
    *epoch = 0;
    if (!fs_exists(path))
        return ERR_OK;
    char *text = NULL;
    size_t bytes = 0;
    int code = fs_read_file(path, RUN_JSON_BYTES_MAX, &text, &bytes, err);
    if (code != 0)
        return code;
    json_error_t json_error;
    json_t *json = json_loadb(text, bytes, 0, &json_error);
    free(text);
    const json_t *value = json_object_get(json, "epoch");
    bool sound = json_is_integer(value) && json_integer_value(value) >= 0 &&
                 json_integer_value(value) < UINT16_MAX;
    if (sound)
        *epoch = (uint32_t)json_integer_value(value);
    json_decref(json);
    if (!sound)
        return err_set(err, ERR_FORMAT, "%s is damaged: it has no sound \"epoch\"", path);
    return ERR_OK;
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
    if (fs_exists(config_yaml))
        code = config_resume(config, config_yaml, err);
    if (code == 0)
        code = fs_make_dirs(dir->checkpoints, err);
    if (code == 0)
        code = read_epoch(run_json, &dir->epoch, err);
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

int run_dir_begin(RunDir *dir, const Config *config, const char *env_name, Err *err)
{
    char path[FS_PATH_MAX];
    int code = fs_join(path, dir->path, "run.json", err);
    if (code != 0)
        return code;
    dir->epoch++;
    json_t *json = json_pack("{s:i, s:s, s:s}", "epoch", (int)dir->epoch, "polyak_version",
                             POLYAK_VERSION, "env", env_name);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        return err_set(err, ERR_NOMEM, "out of memory");
    code = fs_write_file(path, text, strlen(text), err);
    free(text);
    if (code == 0)
        code = write_config(dir, config, env_name[0] != '\0', err);
    return code;
}
