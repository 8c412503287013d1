#include "cli/policy_score.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config/config_table.h"
#include "common/log.h"

enum {
    STEPS_PER_ADVANCE = 100, /* a picture of each may take a tenth of a second */
    PROGRESS_MS = 5000,
};

/* Reads the configuration that a checkpoint carries. */
static int read_stored_config(const char *yaml, Config *config, Err *err)
{
    config_init(config);
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "no memory file: %s", strerror(errno));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    size_t num_bytes = strlen(yaml);
    Err reason = {""};
    int code = 0;
    if (write(fd, yaml, num_bytes) != (ssize_t)num_bytes)
        code = err_set(err, ERR_IO, "a memory file cannot be written: %s", strerror(errno));
    else if (config_read_file(config, path, CONFIG_STORED, &reason) != 0)
        code = err_set(err, ERR_FORMAT, "the checkpoint's configuration: %s", reason.text);
    close(fd);
    return code;
}

static bool is_given(const Config *config, const char *key)
{
    return config->source[config_key_number(config_key_find(key))] > CONFIG_STORED;
}

/* How a worker is run: as given here, else as the run did. */
static EnvSetup setup_of(const Config *stored, const Config *given)
{
    EnvSetup setup = env_setup(stored, 1);
    if (is_given(given, "python"))
        setup.python = given->python;
    if (is_given(given, "env_step_timeout_ms"))
        setup.step_timeout_ms = (int)given->env_step_timeout_ms;
    if (is_given(given, "env_restarts_max"))
        setup.restarts_max = (int)given->env_restarts_max;
    return setup;
}

static int open_env(const PolicyTrial *trial, const RunState *run, EnvKind **kind, Err *err)
{
    Config stored;
    int code = read_stored_config(run->config_yaml, &stored, err);
    if (code)
        return code;
    bool own = trial->env[0] == '\0';
    const char *env = own ? stored.env : trial->env;
    const char *options =
        own && trial->env_options[0] == '\0' ? stored.env_options : trial->env_options;
    /* A learner that was not told --env knows the name that its actors brought. */
    if (env[0] == '\0')
        env = run->spec.name;
    EnvSetup setup = setup_of(&stored, trial->given);
    char drawing[CONFIG_TEXT_MAX + 64];
    setup.name = env;
    setup.stop = film_stop();
    setup.options = trial->film ? film_env_options(env, options, drawing, sizeof drawing) : options;
    code = env_kind_open(&setup, kind, err);
    if (code == ERR_USAGE && env == run->spec.name)
        return err_set(err, ERR_USAGE,
                       "the policy was trained in %s, which cannot be found by that name: name its "
                       "plugin or model by --env",
                       run->spec.name);
    if (code)
        return code;
    if (!spec_equal(&run->spec, env_kind_spec(*kind))) {
        char difference[256];
        spec_difference(&run->spec, env_kind_spec(*kind), difference, sizeof difference);
        code =
            err_set(err, ERR_SPEC, "the policy was trained in another environment: %s", difference);
        env_kind_close(kind);
    }
    return code;
}

/* Says how far it is, now and then: episodes may be long, and pictures slow. */
static void say_progress(const Evaluation *evaluation, const PolicyTrial *trial, const Film *film,
                         int64_t *said_ms)
{
    int64_t now_ms = clock_ms();
    if (now_ms - *said_ms < PROGRESS_MS)
        return;
    *said_ms = now_ms;
    int done = evaluation_result(evaluation).episodes;
    if (film)
        log_info("evaluation: %d of %d episodes, %lld frames of the film", done, trial->episodes,
                 (long long)film_frames(film));
    else
        log_info("evaluation: %d of %d episodes", done, trial->episodes);
}

/* One evaluation in `env`, with a film where one is wanted. */
static int run_episodes(Env *env, Evaluation *evaluation, const PolicyTrial *trial,
                        PolicyScore *score, Err *err)
{
    const FilmPlan *plan = trial->film;
    int64_t said_ms = clock_ms();
    Film *film = NULL;
    int code = plan ? film_new(plan, env_step_seconds(env), &film, err) : ERR_OK;
    if (!code && film)
        evaluation_watch(evaluation, film_watch, film);
    for (bool done = false; !code && !done;) {
        code = evaluation_advance(evaluation, STEPS_PER_ADVANCE, &done, err);
        if (!code && film)
            code = film_check(film, err);
        if (!code)
            say_progress(evaluation, trial, film, &said_ms);
    }
    if (!code)
        score->result = evaluation_result(evaluation);
    if (!code && film)
        code = film_finish(&film, &score->film, err);
    film_abandon(&film);
    return code;
}

int policy_score(const PolicyTrial *trial, PolicyScore *score, Err *err)
{
    Mlp mlp;
    float *params = NULL;
    EnvKind *kind = NULL;
    Env *env = NULL;
    Evaluation *evaluation = NULL;
    int code = checkpoint_read_policy(trial->checkpoint, &mlp, &params, &score->run, err);
    if (code)
        return code;
    code = open_env(trial, &score->run, &kind, err);
    if (!code)
        code = env_new(kind, &env, err);
    if (!code)
        code = evaluation_new(env, env_kind_spec(kind), &mlp, params, trial->episodes, trial->seed,
                              &evaluation, err);
    if (!code)
        code = run_episodes(env, evaluation, trial, score, err);
    evaluation_destroy(&evaluation);
    env_destroy(&env);
    env_kind_close(&kind);
    free(params);
    return code;
}
