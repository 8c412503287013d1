/* The learner of `bench ingest`: the whole of it, as polyak-learner runs it, in a process of its
 * own. It never warms up, so it only takes in. */
#include <stdio.h>
#include <string.h>

#include "cli/bench/bench_ingest_leg.h"
#include "common/log.h"
#include "learner/agent/libraries.h"
#include "learner/learner.h"

static void fill_config(const IngestLeg *leg, Config *config)
{
    config_init(config);
    config->total_env_steps = INT64_C(1000000000000);
    config->warmup_env_steps = INT64_C(1000000000); /* far beyond what a leg takes in */
    config->updates_per_env_step = 0;
    config->eval_interval_env_steps = 0;
    config->checkpoint_interval_s = 86400;
    config->progress = PROGRESS_OFF;
    config->segment_steps = leg->config->segment_steps;
    config->replay_capacity = leg->config->replay_capacity;
    config->seed = leg->config->seed;
    config->replay_log = leg->mode == BENCH_MODE_LOG || leg->mode == BENCH_MODE_DISK;
    snprintf(config->bind, sizeof config->bind, "%s", leg->endpoint);
    snprintf(config->run_dir, sizeof config->run_dir, "%s/run", leg->directory);
}

int ingest_learner_main(const void *arg, int index)
{
    const IngestLeg *leg = arg;
    static Config config;
    LearnerEnd end = LEARNER_FINISHED;
    int signal_number = 0;
    Err err = {""};
    (void)index;
    ingest_redirect_log(leg);
    log_set_name("learner");
    fill_config(leg, &config);
    int code = libraries_install(&err);
    if (code == 0)
        code = learner_run(&config, &end, &signal_number, &err);
    if (code != 0)
        log_error("%s", err.text);
    return code == 0 ? 0 : 1;
}
