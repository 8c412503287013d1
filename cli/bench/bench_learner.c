#include "cli/bench/bench_learner.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "cli/bench/bench_process.h"
#include "common/fs.h"
#include "common/keys.h"
#include "common/log.h"
#include "learner/agent/libraries.h"
#include "learner/learner.h"

enum {
    END_MS = 20000, /* a learner writes its last checkpoint */
    LOG_TAIL_BYTES = 600,
    LOG_BYTES_MAX = 1 << 26,
};

/* --- Prepare -----------------------------------------------------------------------------------
 */

static const char *parent_directory(const Config *bench)
{
    if (bench->mode != BENCH_MODE_DISK)
        return "/dev/shm";
    return bench->run_dir[0] != '\0' ? bench->run_dir : ".";
}

static void fill_config(BenchLearner *learner, const Config *bench, int port)
{
    Config *config = &learner->config;
    config_init(config);
    config_init(&learner->actor);
    /* All as if by flags: no environment's preset may change a value. */
    memset(config->source, CONFIG_FLAG, sizeof config->source);
    config->total_env_steps = INT64_C(1000000000000);
    config->warmup_env_steps = INT64_C(1000000000); /* far beyond what a benchmark takes in */
    config->updates_per_env_step = 0;
    config->eval_interval_env_steps = 0;
    config->checkpoint_interval_s = 86400;
    config->progress = PROGRESS_OFF;
    config->segment_steps = bench->segment_steps;
    config->replay_capacity = bench->replay_capacity;
    config->seed = bench->seed;
    config->replay_log = bench->mode == BENCH_MODE_LOG || bench->mode == BENCH_MODE_DISK;
    snprintf(config->bind, sizeof config->bind, "tcp://127.0.0.1:%d", port);
    snprintf(config->run_dir, sizeof config->run_dir, "%s/run", learner->directory);
    snprintf(learner->actor.connect, sizeof learner->actor.connect, "%s", config->bind);
}

static int make_key(const char *directory, const char *name, unsigned roles, Err *err)
{
    SecretKey key = {0};
    snprintf(key.name, sizeof key.name, "%s", name);
    int code = fs_make_dirs(directory, err);
    if (!code && zmq_curve_keypair(key.public_text, key.secret_text) != 0)
        code = err_set(err, ERR_USAGE, "this libzmq has no CURVE");
    if (!code)
        code = keys_write_pair(directory, &key, roles, err);
    keys_wipe(&key);
    return code;
}

static int make_keys(BenchLearner *learner, Err *err)
{
    Config *config = &learner->config, *actor = &learner->actor;
    char own[560];
    snprintf(own, sizeof own, "%s/learner", learner->directory);
    snprintf(config->key, sizeof config->key, "%s/learner.key", own);
    snprintf(config->allowed_keys, sizeof config->allowed_keys, "%s/allowed", learner->directory);
    snprintf(actor->learner_key, sizeof actor->learner_key, "%s/learner.pub", own);
    snprintf(actor->key, sizeof actor->key, "%s/allowed/actor.key", learner->directory);
    int code = make_key(own, "learner", 0, err);
    return code ? code : make_key(config->allowed_keys, "actor", KEY_ROLE_ACTOR, err);
}

int bench_learner_prepare(BenchLearner *learner, const Config *bench, Err *err)
{
    int port = 0;
    int code = bench_make_directory(parent_directory(bench), learner->directory,
                                    sizeof learner->directory, err);
    if (!code)
        code = bench_free_ports(&port, err);
    if (code)
        return code;
    fill_config(learner, bench, port);
    return bench->mode == BENCH_MODE_CURVE ? make_keys(learner, err) : ERR_OK;
}

/* --- Its process -------------------------------------------------------------------------------
 */

void bench_learner_redirect_log(const BenchLearner *learner, const char *name)
{
    char path[FS_PATH_MAX];
    log_set_name(name);
    if (fs_join(path, learner->directory, "stderr", NULL) != 0)
        return;
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static int run_learner(const void *arg, int index)
{
    const BenchLearner *learner = arg;
    static Config config;
    LearnerEnd end = LEARNER_FINISHED;
    int signal_number = 0;
    Err err = {""};
    (void)index;
    bench_learner_redirect_log(learner, "learner");
    config = learner->config;
    int code = libraries_install(&err);
    if (code == 0)
        code = learner_run(&config, &end, &signal_number, &err);
    if (code != 0)
        log_error("%s", err.text);
    return code == 0 ? 0 : 1;
}

int bench_learner_start(BenchLearner *learner, Err *err)
{
    return bench_fork(run_learner, learner, 0, &learner->pid, err);
}

void bench_learner_show_log(const BenchLearner *learner)
{
    char path[FS_PATH_MAX];
    char *text = NULL;
    size_t bytes = 0;
    if (fs_join(path, learner->directory, "stderr", NULL) != 0 ||
        fs_read_file(path, LOG_BYTES_MAX, &text, &bytes, NULL) != 0)
        return;
    fprintf(stderr, "%s", bytes > LOG_TAIL_BYTES ? text + bytes - LOG_TAIL_BYTES : text);
    free(text);
}

/* Whether the run left bytes of a log. */
static bool has_log(const BenchLearner *learner)
{
    char path[FS_PATH_MAX];
    char file[FS_PATH_MAX];
    struct stat status;
    bool found = false;
    if (fs_join(path, learner->config.run_dir, "replay", NULL) != 0)
        return false;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        found =
            found || (fs_join(file, path, entry->d_name, NULL) == 0 && stat(file, &status) == 0 &&
                      S_ISREG(status.st_mode) && status.st_size > 0);
    if (directory)
        closedir(directory);
    return found;
}

int bench_learner_end(BenchLearner *learner, Err *err)
{
    bool ran = learner->pid != 0;
    bench_end(&learner->pid, SIGTERM, END_MS);
    if (ran && learner->config.replay_log && !has_log(learner))
        return err_set(err, ERR_FORMAT, "the learner wrote no replay log");
    return ERR_OK;
}

void bench_learner_remove(BenchLearner *learner)
{
    bench_remove_directory(learner->directory);
    learner->directory[0] = '\0';
}

void bench_learner_hello(const Config *bench, int num_envs, Hello *hello)
{
    *hello = (Hello){.role = ROLE_ACTOR, .has_spec = true, .num_envs = (uint32_t)num_envs};
    Spec *spec = &hello->spec;
    snprintf(spec->name, sizeof spec->name, "bench");
    spec->obs_dim = (int)bench->obs_dim;
    spec->act_dim = (int)bench->act_dim;
    for (int i = 0; i < spec->act_dim; i++) {
        spec->action_low[i] = -1;
        spec->action_high[i] = 1;
    }
}
