#include "learner/trainer.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fpu.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/replay/sampler.h"
#include "learner/watch/evaluations.h"
#include "learner/watch/metrics.h"

enum {
    INGEST_SEGMENTS_MAX = 256, /* between two updates */
    WAIT_MS = 250,             /* longest sleep, so that metrics and checkpoints stay due */
    WAKE_LOOP_INTERVAL_NS = 2000000,
    DIVERGED_UPDATES_MAX = 100, /* in a row, then the run ends */
};

struct Trainer {
    TrainerSetup setup;
    pthread_t thread;
    Batch batch;
    Metrics metrics;
    Evaluations evaluations;
    TrainerProgress progress;
    int64_t published_ns;
    int64_t loop_woken_ns;
    int64_t checkpoint_ns;
    int diverged_updates; /* in a row */
    char checkpoints[FS_PATH_MAX];
};

static bool stop_requested(const Trainer *trainer)
{
    return atomic_load_explicit(&trainer->setup.exchange->stop_requested, memory_order_relaxed);
}

static void report_progress(Trainer *trainer, bool settled)
{
    const RunState *run = trainer->setup.run;
    trainer->progress.env_steps = run->env_steps;
    trainer->progress.updates = run->updates;
    trainer->progress.episodes = run->episodes;
    trainer->progress.return_mean = metrics_recent_return(&trainer->metrics);
    trainer->progress.env_steps_per_s = trainer->metrics.env_steps_per_s;
    trainer->progress.updates_per_s = trainer->metrics.updates_per_s;
    trainer->progress.eval_return = trainer->evaluations.newest_return;
    trainer->progress.best_return = isfinite(run->best_return) ? run->best_return : NAN;
    trainer->progress.settled = settled;
    exchange_set_progress(trainer->setup.exchange, &trainer->progress);
}

/* Lets the loop thread know, but not more often than it can use. */
static void wake_loop(Trainer *trainer, bool now)
{
    int64_t now_ns = clock_ns();
    if (!now && now_ns - trainer->loop_woken_ns < WAKE_LOOP_INTERVAL_NS)
        return;
    trainer->loop_woken_ns = now_ns;
    trainer->setup.exchange->wake_loop(trainer->setup.exchange->wake_context);
}

/* Moves what has arrived into the replay. Bounded, so that updates go on under a flood. In lockstep
 * each segment is worked off before the next one is taken: what an update samples from must not
 * depend on when segments arrive. */
static void ingest_drain(Trainer *trainer)
{
    SegmentRing *ring = &trainer->setup.exchange->ring;
    RunState *run = trainer->setup.run;
    int segments_max = INGEST_SEGMENTS_MAX;
    if (trainer->setup.config->sync)
        segments_max =
            pacer_may_update(&trainer->setup.pacer, run->env_steps, run->updates) ? 0 : 1;
    for (int i = 0; i < segments_max; i++) {
        const Segment *segment = segment_ring_peek(ring);
        if (!segment)
            break;
        replay_append(trainer->setup.replay, segment);
        run->env_steps += (uint64_t)segment->num_steps;
        run->episodes += segment->end != SEGMENT_CONTINUES;
        metrics_segment(&trainer->metrics, segment, (Version){trainer->setup.epoch, run->updates});
        segment_ring_release(ring);
    }
    metrics_lap(&trainer->metrics, METRICS_INGESTING);
}

static bool anything_to_publish(const Trainer *trainer)
{
    const RunState *run = trainer->setup.run;
    Version published = trainer->progress.published;
    if (published.epoch == 0)
        return trainer->setup.resumed || pacer_warmed_up(&trainer->setup.pacer, run->env_steps);
    return published.update < run->updates;
}

static void publish_if_due(Trainer *trainer, bool at_once)
{
    Exchange *exchange = trainer->setup.exchange;
    int64_t now_ns = clock_ns();
    int64_t interval_ns = (int64_t)atomic_load(&exchange->publish_interval_ms) * 1000000;
    bool first = trainer->progress.published.epoch == 0;
    bool due = at_once || (!trainer->setup.config->sync &&
                           (first || now_ns - trainer->published_ns >= interval_ns));
    if (!due || !anything_to_publish(trainer))
        return;
    Version version = {trainer->setup.epoch, trainer->setup.run->updates};
    trainer->published_ns = now_ns;
    trainer->progress.published = version;
    exchange_publish(exchange, ddpg_state(trainer->setup.ddpg)->actor.params, version);
    metrics_published(&trainer->metrics, version);
    metrics_lap(&trainer->metrics, METRICS_PUBLISHING);
    wake_loop(trainer, true);
}

static int save_checkpoint(Trainer *trainer)
{
    Err err;
    int code =
        checkpoint_save(trainer->checkpoints, ddpg_state(trainer->setup.ddpg), trainer->setup.run,
                        (int)trainer->setup.config->checkpoint_keep, &err);
    if (code != 0)
        log_error("no checkpoint at %llu updates: %s",
                  (unsigned long long)trainer->setup.run->updates, err.text);
    trainer->checkpoint_ns = clock_ns();
    metrics_lap(&trainer->metrics, METRICS_OTHER);
    return code;
}

static void checkpoint_if_due(Trainer *trainer)
{
    int64_t interval_ns = trainer->setup.config->checkpoint_interval_s * 1000000000;
    /* Networks that may be diverging are not worth keeping: the checkpoint before is. */
    if (trainer->diverged_updates == 0 && clock_ns() - trainer->checkpoint_ns >= interval_ns)
        (void)save_checkpoint(trainer); /* logged; tried again after the interval */
}

static void evaluate_if_due(Trainer *trainer, bool at_end)
{
    Evaluations *evaluations = &trainer->evaluations;
    double return_mean = 0;
    while (evaluations_take_result(evaluations, trainer->setup.run, &return_mean))
        metrics_evaluation(&trainer->metrics, return_mean);
    bool warmed_up = trainer->progress.published.epoch != 0;
    if (evaluations_ask_if_due(evaluations, warmed_up, at_end, trainer->setup.run,
                               ddpg_state(trainer->setup.ddpg))) {
        metrics_lap(&trainer->metrics, METRICS_OTHER);
        wake_loop(trainer, true);
    }
}

static void record_metrics(Trainer *trainer, bool force)
{
    const RunState *run = trainer->setup.run;
    if (metrics_write_if_due(&trainer->metrics, force, run->env_steps, run->updates, run->episodes,
                             trainer->setup.replay->steps))
        metrics_lap(&trainer->metrics, METRICS_OTHER);
}

/* One update; false when the networks have diverged for good. */
static bool update_once(Trainer *trainer)
{
    RunState *run = trainer->setup.run;
    sampler_draw(trainer->setup.replay, run->seed, run->updates, &trainer->batch);
    metrics_lap(&trainer->metrics, METRICS_SAMPLING);
    DdpgStats stats;
    int code = ddpg_update(trainer->setup.ddpg, &trainer->batch, &stats);
    if (code == 0) {
        metrics_update(&trainer->metrics, &stats);
        trainer->diverged_updates = 0;
    } else {
        /* Skipped: the next one draws another batch. */
        ddpg_state(trainer->setup.ddpg)->updates = run->updates + 1;
        if (trainer->diverged_updates++ == 0)
            log_warn("update %llu is skipped: a loss or gradient is not finite",
                     (unsigned long long)run->updates);
    }
    run->updates = ddpg_state(trainer->setup.ddpg)->updates;
    metrics_lap(&trainer->metrics, METRICS_UPDATING);
    return trainer->diverged_updates < DIVERGED_UPDATES_MAX;
}

/* Nothing to update: publishes what is learned, and sleeps until something comes. */
static void wait_for_work(Trainer *trainer)
{
    publish_if_due(trainer, trainer->setup.config->sync);
    bool settled = !segment_ring_peek(&trainer->setup.exchange->ring) &&
                   (!anything_to_publish(trainer) || !trainer->setup.config->sync);
    /* The actors may be waiting for just this: steps that are worked off are credit. */
    const RunState *run = trainer->setup.run;
    bool news = settled != trainer->progress.settled ||
                run->env_steps != trainer->progress.env_steps ||
                run->updates != trainer->progress.updates;
    report_progress(trainer, settled);
    wake_loop(trainer, news);
    int64_t interval_ms = atomic_load(&trainer->setup.exchange->publish_interval_ms);
    int wait_ms =
        anything_to_publish(trainer) && interval_ms < WAIT_MS ? (int)interval_ms + 1 : WAIT_MS;
    exchange_wait(trainer->setup.exchange, wait_ms);
    metrics_lap(&trainer->metrics, METRICS_WAITING);
}

static void train(Trainer *trainer)
{
    RunState *run = trainer->setup.run;
    const Pacer *pacer = &trainer->setup.pacer;
    while (!stop_requested(trainer)) {
        ingest_drain(trainer);
        if (pacer_may_update(pacer, run->env_steps, run->updates)) {
            if (!update_once(trainer)) {
                trainer->progress.error = ERR_DIVERGED;
                return;
            }
            if (trainer->diverged_updates == 0)
                publish_if_due(trainer, false);
            report_progress(trainer, false);
            wake_loop(trainer, false);
        } else if (pacer_finished(pacer, run->env_steps, run->updates)) {
            return;
        } else {
            wait_for_work(trainer);
        }
        evaluate_if_due(trainer, false);
        checkpoint_if_due(trainer);
        record_metrics(trainer, false);
    }
}

/* The run is done: its last policy goes out and is evaluated. */
static void finish(Trainer *trainer)
{
    publish_if_due(trainer, true);
    evaluate_if_due(trainer, true);
    int64_t deadline_ns = clock_ns() + EVALUATIONS_DEADLINE_NS;
    while (evaluations_pending(&trainer->evaluations) > 0 && !stop_requested(trainer)) {
        report_progress(trainer, true);
        wake_loop(trainer, true);
        exchange_wait(trainer->setup.exchange, WAIT_MS);
        metrics_lap(&trainer->metrics, METRICS_WAITING);
        evaluate_if_due(trainer, false);
        if (clock_ns() > deadline_ns) {
            log_warn("%d evaluations did not come back within %.0f s and are left out",
                     evaluations_pending(&trainer->evaluations), EVALUATIONS_DEADLINE_NS * 1e-9);
            break;
        }
    }
}

static void *trainer_main(void *argument)
{
    Trainer *trainer = argument;
    const RunState *run = trainer->setup.run;
    fpu_flush_denormals();
    publish_if_due(trainer, true);
    train(trainer);
    bool finished = pacer_finished(&trainer->setup.pacer, run->env_steps, run->updates);
    if (trainer->progress.error != 0)
        log_error("the networks have diverged: %d updates in a row were not finite. The newest "
                  "checkpoint is from before; try smaller learning rates",
                  DIVERGED_UPDATES_MAX);
    else if (finished)
        finish(trainer);
    if (trainer->progress.error == 0)
        trainer->progress.error = save_checkpoint(trainer);
    evaluations_drop(&trainer->evaluations);
    record_metrics(trainer, true);
    trainer->progress.finished = finished && trainer->progress.error == 0;
    trainer->progress.ended = true;
    report_progress(trainer, true);
    wake_loop(trainer, true);
    return NULL;
}

static void trainer_free(Trainer **trainer)
{
    metrics_close(&(*trainer)->metrics);
    batch_destroy(&(*trainer)->batch);
    free(*trainer);
    *trainer = NULL;
}

int trainer_start(const TrainerSetup *setup, Trainer **trainer_pointer, Err *err)
{
    Trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return err_set(err, ERR_NOMEM, "out of memory");
    const Config *config = setup->config;
    const RunState *run = setup->run;
    trainer->setup = *setup;
    trainer->checkpoint_ns = clock_ns();
    trainer->progress.eval_return = NAN;
    char metrics_path[FS_PATH_MAX];
    int code = fs_join(trainer->checkpoints, setup->run_dir, "checkpoints", err);
    if (code == 0)
        code = fs_join(metrics_path, setup->run_dir, "metrics.csv", err);
    if (code == 0)
        code = metrics_open(&trainer->metrics, metrics_path, (int)config->metrics_interval_ms,
                            run->env_steps, run->updates, err);
    if (code == 0 &&
        batch_new(&trainer->batch, (int)config->batch, run->spec.obs_dim, run->spec.act_dim) != 0)
        code = err_set(err, ERR_NOMEM, "out of memory for a batch of %d", (int)config->batch);
    if (code == 0)
        evaluations_start(&trainer->evaluations, setup->exchange, trainer->checkpoints,
                          (uint64_t)config->eval_interval_env_steps, setup->epoch,
                          trainer->setup.run);
    if (code == 0) {
        report_progress(trainer, false);
        if (pthread_create(&trainer->thread, NULL, trainer_main, trainer) != 0)
            code = err_set(err, ERR_NOMEM, "the trainer thread could not be started");
    }
    if (code != 0) {
        trainer_free(&trainer);
        return code;
    }
    *trainer_pointer = trainer;
    return ERR_OK;
}

void trainer_join(Trainer **trainer)
{
    if (!*trainer)
        return;
    pthread_join((*trainer)->thread, NULL);
    trainer_free(trainer);
}
