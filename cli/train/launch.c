#include "cli/train/launch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* --- The directory and the programs ------------------------------------------------------------
 */

static int find_program(const char *directory, const char *name, char path[FS_PATH_MAX], Err *err)
{
    int code = fs_join(path, directory, name, err);
    if (code)
        return code;
    if (access(path, X_OK) != 0)
        return err_set(err, ERR_MISSING, "%s: %s; it belongs beside polyak", path, strerror(errno));
    return 0;
}

int launch_find_programs(Launch *launch, Err *err)
{
    char self[FS_PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        return err_set(err, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    self[length] = '\0';
    *strrchr(self, '/') = '\0'; /* the link is an absolute path */
    int code = find_program(self, "polyak-learner", launch->learner, err);
    if (!code)
        code = find_program(self, "polyak-actor", launch->actor, err);
    return code;
}

int launch_open(Launch *launch, Err *err)
{
    *launch = (Launch){0};
    int code = launch_find_programs(launch, err);
    if (code)
        return code;
    const char *parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    char problem[256] = "";
    for (int i = 0; i < 3; i++) {
        if (!parents[i] || parents[i][0] != '/')
            continue;
        int length =
            snprintf(launch->directory, sizeof launch->directory, "%s/polyak-XXXXXX", parents[i]);
        if (length >= (int)sizeof launch->directory) {
            snprintf(problem, sizeof problem, "%.150s: too long for a socket's path", parents[i]);
            continue;
        }
        if (mkdtemp(launch->directory)) {
            snprintf(launch->endpoint, sizeof launch->endpoint, "ipc://%s/uplink",
                     launch->directory);
            return 0;
        }
        snprintf(problem, sizeof problem, "%s: %s", launch->directory, strerror(errno));
    }
    launch->directory[0] = '\0';
    return err_set(err, ERR_IO, "no place for the run's sockets (set TMPDIR): %s", problem);
}

void launch_close(Launch *launch)
{
    if (launch->directory[0] == '\0')
        return;
    DIR *directory = opendir(launch->directory);
    if (directory) {
        for (struct dirent *entry; (entry = readdir(directory));)
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                unlinkat(dirfd(directory), entry->d_name, 0);
        closedir(directory);
    }
    if (rmdir(launch->directory) != 0)
        log_warn("%s cannot be removed: %s", launch->directory, strerror(errno));
    launch->directory[0] = '\0';
}

/* --- Command lines -----------------------------------------------------------------------------
 */

/* A NULL-terminated list of flags that grows by one; what a failed step cannot add fails it all. */
typedef struct Args {
    char **list;
    int count;
} Args;

void launch_free_args(char **args)
{
    if (!args)
        return;
    for (char **arg = args; *arg; arg++)
        free(*arg);
    free(args);
}

static void args_fail(Args *args)
{
    launch_free_args(args->list);
    args->list = NULL;
}

/* Takes over `arg`. A flag of the same key is replaced, so that each is given once. */
static void args_take(Args *args, char *arg)
{
    if (!args->list || !arg) {
        free(arg);
        args_fail(args);
        return;
    }
    const char *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
    for (int i = 1; equals && i < args->count; i++) {
        if (strncmp(args->list[i], arg, (size_t)(equals - arg) + 1) == 0) {
            free(args->list[i]);
            args->list[i] = arg;
            return;
        }
    }
    char **list = realloc(args->list, ((size_t)args->count + 2) * sizeof *list);
    if (!list) {
        free(arg);
        args_fail(args);
        return;
    }
    args->list = list;
    list[args->count++] = arg;
    list[args->count] = NULL;
}

static __attribute__((format(printf, 2, 3))) void args_add(Args *args, const char *format, ...)
{
    char *arg = NULL;
    va_list values;
    va_start(values, format);
    if (vasprintf(&arg, format, values) < 0)
        arg = NULL;
    va_end(values);
    args_take(args, arg);
}

/* The program, and what its user gave for keys that it takes. */
static Args args_begin(const char *path, const Config *config, ConfigProgram program)
{
    Args args = {.list = calloc(1, sizeof(char *))};
    char **flags = NULL;
    int num_flags = 0;
    args_add(&args, "%s", path);
    if (config_to_flags(config, program, &flags, &num_flags, NULL) != 0) {
        args_fail(&args);
        return args;
    }
    for (int i = 0; i < num_flags; i++)
        args_take(&args, flags[i]);
    free(flags);
    return args;
}

char **launch_learner_args(const Launch *launch, const Config *config)
{
    Args args = args_begin(launch->learner, config, CONFIG_LEARNER);
    args_add(&args, "--bind=%s", launch->endpoint);
    args_add(&args, "--progress=off");
    args_add(&args, "--run-dir=%s", config->run_dir);
    /* That there is no run yet was looked at before; a learner that is started again goes on. */
    args_add(&args, "--resume=true");
    return args.list;
}

char **launch_actor_args(const Launch *launch, const Config *config, int index)
{
    Args args = args_begin(launch->actor, config, CONFIG_ACTOR);
    args_add(&args, "--connect=%s", launch->endpoint);
    args_add(&args, "--env=%s", config->env);
    if (config->env_options[0] != '\0')
        args_add(&args, "--env-options=%s", config->env_options);
    args_add(&args, "--python=%s", config->python);
    args_add(&args, "--env-step-timeout-ms=%lld", (long long)config->env_step_timeout_ms);
    args_add(&args, "--env-restarts-max=%lld", (long long)config->env_restarts_max);
    if (index < 0) {
        args_add(&args, "--role=evaluator");
        args_add(&args, "--name=evaluator");
        args_add(&args, "--envs-per-actor=1");
    } else {
        args_add(&args, "--envs-per-actor=%lld", (long long)config->envs_per_actor);
        args_add(&args, "--name=actor-%d", index);
    }
    return args.list;
}
