#include "learner/watch/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

enum {
    LIVE_INTERVAL_MS = 500,
    LINE_INTERVAL_MS = 10000,
    WAIT_LOGGED_MS = 5000, /* a wait that lasts longer is logged */
    STANDSTILL_MS = 1500,  /* without a step or an update: it is a wait */
};

void progress_start(ProgressView *progress, bool shown, int64_t now_ms)
{
    *progress = (ProgressView){
        .shown = shown, .started_ms = now_ms, .shown_ms = now_ms, .moved_ms = now_ms};
}

static const char *phase_of(const Run *run, const Fleet *fleet, const TrainerProgress *trainer)
{
    if (!run->begun || fleet_num_actors(fleet) == 0)
        return trainer->ended ? "finished" : "waiting for actors";
    if (trainer->ended)
        return "finished";
    if (trainer->redoing)
        return "catching up";
    if (trainer->env_steps >= run->pacer.total_env_steps)
        return "finishing";
    return pacer_warmed_up(&run->pacer, trainer->env_steps) ? "training" : "warm-up";
}

static double seconds_left(const Run *run, const TrainerProgress *trainer)
{
    double steps = (double)run->pacer.total_env_steps - (double)trainer->env_steps;
    double rate = trainer->env_steps_per_s;
    if (steps <= 0) {
        steps = (double)pacer_updates_owed(&run->pacer, trainer->env_steps, trainer->updates);
        rate = trainer->updates_per_s;
    }
    return rate > 0 ? steps / rate : NAN;
}

void progress_fill_status(ProgressView *progress, Run *run, const Fleet *fleet, RunStatus *status)
{
    TrainerProgress trainer = {.return_mean = NAN, .eval_return = NAN, .best_return = NAN};
    int64_t now_ms = clock_ms();
    if (run->begun)
        trainer = exchange_progress(&run->exchange);
    if (trainer.env_steps != progress->env_steps || trainer.updates != progress->updates)
        progress->moved_ms = now_ms;
    progress->env_steps = trainer.env_steps;
    progress->updates = trainer.updates;

    const char *env = run->begun ? run->state.spec.name : run->config->env;
    snprintf(status->env, sizeof status->env, "%.*s", SPEC_NAME_MAX, env);
    snprintf(status->phase, sizeof status->phase, "%s", phase_of(run, fleet, &trainer));
    status->waiting_for[0] = '\0';
    if (!trainer.ended && now_ms - progress->moved_ms > STANDSTILL_MS) {
        char reason[WIRE_TEXT_MAX + 1];
        fleet_waiting_for(fleet, reason);
        snprintf(status->waiting_for, sizeof status->waiting_for, "%.*s", STATUS_TEXT_MAX - 1,
                 reason[0] ? reason : "waiting for the actors' steps");
    }
    status->epoch = run->dir->epoch;
    status->env_steps = trainer.env_steps;
    status->total_env_steps = (uint64_t)run->config->total_env_steps;
    status->updates = trainer.updates;
    status->updates_owed =
        run->begun ? pacer_updates_owed(&run->pacer, trainer.env_steps, trainer.updates) : 0;
    status->episodes = trainer.episodes;
    status->return_mean = trainer.return_mean;
    status->env_steps_per_s = trainer.env_steps_per_s;
    status->updates_per_s = trainer.updates_per_s;
    status->seconds_left = run->begun ? seconds_left(run, &trainer) : NAN;
    status->eval_return = trainer.eval_return;
    status->best_return = trainer.best_return;
    status->publish_interval_ms = run->begun
                                      ? (uint32_t)atomic_load(&run->exchange.publish_interval_ms)
                                      : (uint32_t)run->config->publish_interval_ms;
    status->wall_ms = (uint64_t)(now_ms - progress->started_ms);
}

/* Says once what is waited for; and again when something else is. */
static void log_wait(ProgressView *progress, const RunStatus *status, int64_t now_ms)
{
    if (status->waiting_for[0] == '\0') {
        progress->said[0] = '\0';
        return;
    }
    if (now_ms - progress->moved_ms < WAIT_LOGGED_MS ||
        strcmp(progress->said, status->waiting_for) == 0)
        return;
    snprintf(progress->said, sizeof progress->said, "%s", status->waiting_for);
    log_info("%s", status->waiting_for);
}

void progress_show(ProgressView *progress, Run *run, const Fleet *fleet, int64_t now_ms)
{
    bool live = log_is_terminal();
    bool due = now_ms - progress->shown_ms >= (live ? LIVE_INTERVAL_MS : LINE_INTERVAL_MS);
    bool quiet = now_ms - progress->moved_ms >= WAIT_LOGGED_MS;
    if (!due && !quiet)
        return;
    RunStatus status = {0};
    progress_fill_status(progress, run, fleet, &status);
    log_wait(progress, &status, now_ms);
    if (!due || !progress->shown)
        return;
    progress->shown_ms = now_ms;
    char line[256];
    run_status_line(&status, line, sizeof line);
    if (live)
        log_status_line(line);
    else if (status.waiting_for[0] == '\0')
        log_info("%s", line);
}

void progress_end(ProgressView *progress)
{
    if (progress->shown)
        log_status_line(NULL);
}
