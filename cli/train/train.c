/* polyak train: a learner and its actors on this machine, from the command line to a policy. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/policy_score.h"
#include "cli/report.h"
#include "cli/train/launch.h"
#include "cli/train/train_plan.h"
#include "cli/train/train_run.h"
#include "common/clock.h"
#include "common/kernels.h"
#include "common/log.h"
#include "common/text.h"

enum {
    FINAL_EPISODES = 20,
    /* Added to the run's seed: the final evaluation has start states of its own. */
    FINAL_SEED_OFFSET = 1000003,
};

typedef struct Outcome {
    double wall_s; /* from the command's start to the trained policy */
    PolicyScore score;
    TrainEnd end;
} Outcome;

static int score_newest(const Config *config, PolicyScore *score, Err *err)
{
    char checkpoint[FS_PATH_MAX];
    int code = checkpoint_resolve(config->run_dir, "newest", checkpoint, sizeof checkpoint, err);
    if (code)
        return code;
    PolicyTrial trial = {
        .checkpoint = checkpoint,
        .env = config->env,
        .env_options = config->env_options,
        .given = config,
        .episodes = FINAL_EPISODES,
        .seed = (uint64_t)config->seed + FINAL_SEED_OFFSET,
    };
    return policy_score(&trial, score, err);
}

static void print_outcome(const Config *config, const Outcome *outcome)
{
    char steps[TEXT_NUMBER_BYTES], updates[TEXT_NUMBER_BYTES];
    const PolicyScore *score = &outcome->score;
    char diverged[96] = "";
    if (score->result.diverged > 0)
        snprintf(diverged, sizeof diverged,
                 "  diverged  %d of %d episodes: their returns are partial\n",
                 score->result.diverged, score->result.episodes);
    fprintf(stderr,
            "\n%s: %s env steps, %s updates in %.1f s\n"
            "  return    %.1f ± %.1f over %d episodes without noise\n"
            "%s"
            "  run       %s\n"
            "  evaluate  polyak eval --run-dir %s\n"
            "  go on     polyak train --resume --run-dir %s --total-env-steps %llu\n",
            score->run.spec.name, text_thousands(score->run.env_steps, steps),
            text_thousands(score->run.updates, updates), outcome->wall_s, score->result.return_mean,
            score->result.return_std, score->result.episodes, diverged, config->run_dir,
            config->run_dir, config->run_dir, (unsigned long long)score->run.env_steps * 2);
}

/* A run in which environments failed did not just go well. */
static void print_faults(const TrainEnd *end)
{
    char faults[STATUS_FAULTS_BYTES];
    if (env_faults_sum(&end->faults) > 0)
        fprintf(stderr, "  faults    %s; last: %s\n", run_status_faults(&end->faults, faults),
                end->last_fault);
}

static json_t *outcome_json(const Config *config, const Outcome *outcome)
{
    const PolicyScore *score = &outcome->score;
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:i, s:s}", "env_steps",
                     (json_int_t)score->run.env_steps, "updates", (json_int_t)score->run.updates,
                     "wall_s", report_real(outcome->wall_s), "return_mean",
                     report_real(score->result.return_mean), "return_std",
                     report_real(score->result.return_std), "diverged", score->result.diverged,
                     "run_dir", config->run_dir);
}

/* The line with which an unfinished run ends. */
static int fail_unfinished(const Config *config, int code, const Err *err)
{
    if (code == ERR_USAGE)
        return report_error("train", code, err);
    if (train_plan_has_run(config->run_dir))
        fprintf(stderr, "polyak train: %s; go on with: polyak train --resume --run-dir %s\n",
                err->text, config->run_dir);
    else
        fprintf(stderr, "polyak train: %s, before there was anything to go on with\n", err->text);
    return EXIT_FAILED;
}

/* Runs all processes, and removes what they needed whatever happens. */
static int run_processes(const Config *config, TrainEnd *end, Err *err)
{
    Launch launch;
    int code = launch_open(&launch, err);
    if (code)
        return code;
    code = train_run(&launch, config, end, err);
    launch_close(&launch);
    return code;
}

static int finish(const Config *config, Outcome *outcome, Err *err)
{
    int code = score_newest(config, &outcome->score, err);
    if (code) {
        Err reason = *err;
        err_set(err, code,
                "the training is done, and the run is in %.200s, but its policy could not be "
                "evaluated: %.220s",
                config->run_dir, reason.text);
        return report_error("train", code, err);
    }
    const RunState *run = &outcome->score.run;
    if (run->env_steps < (uint64_t)config->total_env_steps) {
        char done[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES];
        err_set(err, ERR_STOPPED, "the learner ended after %s of %s env steps",
                text_thousands(run->env_steps, done),
                text_thousands((uint64_t)config->total_env_steps, total));
        return fail_unfinished(config, ERR_STOPPED, err);
    }
    print_outcome(config, outcome);
    print_faults(&outcome->end);
    if (config->json && report_json(outcome_json(config, outcome), err) != 0)
        return report_error("train", ERR_IO, err);
    return EXIT_DONE;
}

int command_train(int argc, char **argv)
{
    int64_t began_ms = clock_ms();
    Config config;
    Spec spec;
    Err err = {""};
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_TRAIN, "polyak train",
                                 "Trains a policy with a learner and actors on this machine.", argc,
                                 argv, &done, &err);
    if (!code && !done)
        code = kernels_init(&err); /* its children would say the same, one after the other */
    if (!code && !done)
        code = train_plan(&config, &spec, &err);
    if (code)
        return report_error("train", code, &err);
    if (done)
        return EXIT_DONE;

    log_info("training %s with %lld actor%s; the run is in %s", spec.name, (long long)config.actors,
             config.actors == 1 ? "" : "s", config.run_dir);
    if (spec.step_limit == 0)
        log_info("%s has no step limit: an episode that does not end by itself goes on for ever; "
                 "evaluations cut it after %d steps",
                 spec.name, EVALUATION_STEPS_MAX);
    Outcome outcome = {0};
    code = run_processes(&config, &outcome.end, &err);
    if (code)
        return fail_unfinished(&config, code, &err);
    outcome.wall_s = (double)(outcome.end.learner_done_ms - began_ms) / 1000;
    return finish(&config, &outcome, &err);
}
