#include "cli/train/train_plan.h"

#include <stdio.h>
#include <string.h>

#include "actor/envs/env_host.h"
#include "common/config/config_table.h"
#include "common/config/presets.h"
#include "common/log.h"

enum { DIRECTORY_TRIES = 1000 };

static bool has_file(const char *directory, const char *name)
{
    char path[FS_PATH_MAX];
    return fs_join(path, directory, name, NULL) == 0 && fs_exists(path);
}

bool train_plan_has_run(const char *run_dir)
{
    return has_file(run_dir, "config.yaml") || has_file(run_dir, "run.json");
}

/* The name of a plugin's environment may have characters that are no good in a path. */
static void file_name_of(const char *env_name, char *name, size_t name_bytes)
{
    snprintf(name, name_bytes, "%s", env_name);
    for (char *at = name; *at; at++)
        if (*at == '/' || *at == ':')
            *at = '_';
}

void train_plan_directory(const char *env_name, time_t now, char *path)
{
    char name[SPEC_NAME_MAX + 1];
    struct tm local;
    file_name_of(env_name, name, sizeof name);
    localtime_r(&now, &local);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
    snprintf(path, FS_PATH_MAX, "runs/%s-%s", name, stamp);
    for (int i = 2; i < DIRECTORY_TRIES && fs_exists(path); i++)
        snprintf(path, FS_PATH_MAX, "runs/%s-%s-%d", name, stamp, i);
}

/* Asked before anything is started, so that nobody is told to go on with a run that goes on. */
static int refuse_running(const char *run_dir, Err *err)
{
    char path[FS_PATH_MAX];
    int code = fs_join(path, run_dir, "lock", err);
    if (code || !fs_exists(path))
        return code;
    int fd = -1;
    code = fs_lock(path, &fd, err);
    if (code == ERR_BUSY)
        return err_set(err, ERR_BUSY, "another learner runs in %.300s", run_dir);
    if (code == 0)
        fs_unlock(&fd);
    return code;
}

/* Refuses a directory with a run, or reads what it stores. */
static int take_run_dir(Config *config, Err *err)
{
    if (config->run_dir[0] == '\0') {
        if (config->resume)
            return err_set(err, ERR_USAGE, "--resume needs --run-dir: the directory of the run");
        return 0;
    }
    if (!config->resume && train_plan_has_run(config->run_dir))
        return err_set(err, ERR_USAGE,
                       "%.300s holds a run already: go on with it by --resume, or name another "
                       "--run-dir",
                       config->run_dir);
    char path[FS_PATH_MAX];
    int code = refuse_running(config->run_dir, err);
    if (!code)
        code = fs_join(path, config->run_dir, "config.yaml", err);
    if (!code && config->resume && fs_exists(path))
        code = config_resume(config, path, err);
    return code;
}

static int name_environments(Err *err)
{
    char names[300] = "";
    size_t used = 0;
    for (const char *const *name = env_builtin_names(); *name; name++) {
        int added = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", *name);
        used += (size_t)added;
        if (used >= sizeof names)
            break;
    }
    return err_set(err, ERR_USAGE, "--env is missing: %s, or another one that `polyak envs` lists",
                   names);
}

static int take_environment(Config *config, Spec *spec, Err *err)
{
    bool resumed = config->resume && train_plan_has_run(config->run_dir);
    if (config->env[0] == '\0' && config->resume && !resumed)
        return err_set(err, ERR_USAGE,
                       "there is no run in %.300s to go on with; name --env to start one there",
                       config->run_dir);
    if (config->env[0] == '\0')
        return name_environments(err);
    if (config->resume && !resumed)
        log_info("--resume: %s holds no run, so a new one begins there", config->run_dir);
    bool stored = config->source[config_key_number(config_key_find("env"))] == CONFIG_STORED;
    EnvKind *kind = NULL;
    EnvSetup setup = env_setup(config, 1);
    int code = env_kind_open(&setup, &kind, err);
    const char *file = presets_file(config->env);
    if (code == ERR_USAGE && stored && file && !fs_exists(file))
        return err_set(err, ERR_USAGE,
                       "the run's environment %.300s is not there: name its new place by --env",
                       config->env);
    if (code)
        return code;
    *spec = *env_kind_spec(kind);
    env_kind_close(&kind);
    return config_apply_preset(config, spec->name, err);
}

int train_plan(Config *config, Spec *spec, Err *err)
{
    int code = take_run_dir(config, err);
    if (!code)
        code = take_environment(config, spec, err);
    if (!code)
        code = config_check(config, err);
    if (!code && config->run_dir[0] == '\0') {
        char path[FS_PATH_MAX];
        train_plan_directory(spec->name, time(NULL), path);
        code = config_set(config, "run_dir", path, CONFIG_FLAG, err);
    }
    /* Last: a command that is refused leaves no directory behind. */
    return code ? code : fs_make_dirs(config->run_dir, err);
}
