#include <math.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fpu.h"
#include "common/log.h"
#include "learner/train/trainer_internal.h"

enum {
    INGEST_SEGMENTS_MAX = 256, /* between two updates */
    WAIT_MS = 250,             /* longest sleep, so that metrics and checkpoints stay due */
    WAKE_LOOP_INTERVAL_NS = 2000000,
};

bool trainer_should_stop(const Trainer *trainer)
{
    return atomic_load_explicit(&trainer->setup.exchange->stop_requested, memory_order_relaxed);
}

void trainer_report(Trainer *trainer, bool settled)
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
    trainer->progress.skipped_updates = run->skipped_updates;
    trainer->progress.rollbacks = run->rollbacks;
    trainer->progress.settled = settled;
    exchange_set_progress(trainer->setup.exchange, &trainer->progress);
}

void trainer_wake_loop(Trainer *trainer, bool now)
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
    if (trainer->config.sync)
        segments_max = pacer_may_update(&trainer->pacer, run->env_steps, run->updates) ? 0 : 1;
    for (int i = 0; i < segments_max; i++) {
        const Segment *segment = segment_ring_peek(ring);
        if (!segment)
            break;
        core_ingest(&trainer->core, segment, trainer->next_position++, trainer->next_row);
        trainer->next_row = trainer->core.replay->head;
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
        return trainer->setup.resumed || pacer_warmed_up(&trainer->pacer, run->env_steps);
    return published.update < run->updates;
}

static void publish_if_due(Trainer *trainer, bool at_once)
{
    Exchange *exchange = trainer->setup.exchange;
    int64_t now_ns = clock_ns();
    int64_t interval_ns = (int64_t)atomic_load(&exchange->publish_interval_ms) * 1000000;
    bool first = trainer->progress.published.epoch == 0;
    bool due = at_once ||
               (!trainer->config.sync && (first || now_ns - trainer->published_ns >= interval_ns));
    if (!due || !anything_to_publish(trainer))
        return;
    if (!core_is_finite(&trainer->core)) {
        trainer->not_finite = true; /* nobody acts with such weights */
        return;
    }
    Version version = {trainer->setup.epoch, trainer->setup.run->updates};
    trainer->published_ns = now_ns;
    trainer->progress.published = version;
    exchange_publish(exchange, ddpg_state(trainer->core.ddpg)->actor.params, version);
    metrics_published(&trainer->metrics, version);
    metrics_lap(&trainer->metrics, METRICS_PUBLISHING);
    trainer_wake_loop(trainer, true);
}

static void checkpoint_if_due(Trainer *trainer)
{
    int64_t interval_ns = trainer->config.checkpoint_interval_s * 1000000000;
    /* Networks that may be diverging are not worth keeping: the checkpoint before is. */
    if (trainer->diverged_updates == 0 && clock_ns() - trainer->checkpoint_ns >= interval_ns)
        (void)trainer_save(trainer); /* logged; tried again after the interval */
}

static void evaluate_if_due(Trainer *trainer, bool at_end)
{
    Evaluations *evaluations = &trainer->evaluations;
    double return_mean = 0;
    while (evaluations_take_result(evaluations, trainer->setup.run, &return_mean))
        metrics_evaluation(&trainer->metrics, return_mean);
    bool warmed_up = trainer->progress.published.epoch != 0;
    if (evaluations_ask_if_due(evaluations, warmed_up, at_end, trainer->setup.run,
                               ddpg_state(trainer->core.ddpg))) {
        metrics_lap(&trainer->metrics, METRICS_OTHER);
        trainer_wake_loop(trainer, true);
    }
}

static void record_metrics(Trainer *trainer, bool force)
{
    const RunState *run = trainer->core.run;
    LogStatus log = {.durable = true};
    if (!force && !metrics_row_due(&trainer->metrics))
        return;
    if (trainer->recorder.log)
        log = log_thread_status(trainer->recorder.log);
    MetricsCounts counts = {.env_steps = run->env_steps,
                            .updates = run->updates,
                            .episodes = run->episodes,
                            .replay_steps = trainer->core.replay->steps,
                            .skipped_updates = run->skipped_updates,
                            .rollbacks = run->rollbacks,
                            .log_bytes = log.bytes,
                            .unlogged_segments = log.unlogged,
                            .log_failing = !log.durable,
                            .faults = exchange_faults(trainer->setup.exchange)};
    metrics_write_row(&trainer->metrics, &counts);
    metrics_lap(&trainer->metrics, METRICS_OTHER);
}

/* One update; false when the networks have diverged for good. */
static bool update_once(Trainer *trainer)
{
    RunState *run = trainer->core.run;
    uint64_t update = run->updates;
    DdpgStats stats;
    uint32_t digest = 0;
    core_draw(&trainer->core);
    metrics_lap(&trainer->metrics, METRICS_SAMPLING);
    int code = core_update(&trainer->core, &stats, &digest);
    recorder_update(&trainer->recorder, update, run->log_position, digest);
    if (code == 0) {
        metrics_update(&trainer->metrics, &stats);
        trainer->diverged_updates = 0;
        trainer->rollbacks = 0;
    } else {
        /* Skipped: the next one draws another batch. */
        recorder_event(&trainer->recorder, run, ORDER_SKIPPED, update, NULL);
        if (trainer->diverged_updates++ == 0)
            log_warn("update %llu is skipped: a loss or gradient is not finite",
                     (unsigned long long)update);
    }
    metrics_lap(&trainer->metrics, METRICS_UPDATING);
    if (trainer->diverged_updates < trainer->config.skipped_updates_max)
        return true;
    log_warn("%d updates in a row were not finite", trainer->diverged_updates);
    return trainer_roll_back(trainer);
}

/* Nothing to update: publishes what is learned, and sleeps until something comes. */
static void wait_for_work(Trainer *trainer)
{
    recorder_flush(&trainer->recorder);
    publish_if_due(trainer, trainer->config.sync);
    bool settled = !segment_ring_peek(&trainer->setup.exchange->ring) &&
                   (!anything_to_publish(trainer) || !trainer->config.sync);
    /* The actors may be waiting for just this: steps that are worked off are credit. */
    const RunState *run = trainer->setup.run;
    bool news = settled != trainer->progress.settled ||
                run->env_steps != trainer->progress.env_steps ||
                run->updates != trainer->progress.updates;
    trainer_report(trainer, settled);
    trainer_wake_loop(trainer, news);
    int64_t interval_ms = atomic_load(&trainer->setup.exchange->publish_interval_ms);
    int wait_ms =
        anything_to_publish(trainer) && interval_ms < WAIT_MS ? (int)interval_ms + 1 : WAIT_MS;
    exchange_wait(trainer->setup.exchange, wait_ms);
    metrics_lap(&trainer->metrics, METRICS_WAITING);
}

static void train(Trainer *trainer)
{
    RunState *run = trainer->setup.run;
    const Pacer *pacer = &trainer->pacer;
    while (!trainer_should_stop(trainer)) {
        trainer_take_settings(trainer);
        ingest_drain(trainer);
        if (trainer->not_finite || pacer_may_update(pacer, run->env_steps, run->updates)) {
            if (!(trainer->not_finite ? trainer_roll_back(trainer) : update_once(trainer))) {
                trainer->progress.error = ERR_DIVERGED;
                return;
            }
            if (trainer->diverged_updates == 0)
                publish_if_due(trainer, false);
            trainer_report(trainer, false);
            trainer_wake_loop(trainer, false);
        } else if (pacer_finished(pacer, run->env_steps, run->updates)) {
            if (core_is_finite(&trainer->core))
                return;
            trainer->not_finite = true;
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
    while (evaluations_pending(&trainer->evaluations) > 0 && !trainer_should_stop(trainer)) {
        trainer_report(trainer, true);
        trainer_wake_loop(trainer, true);
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

/* What comes before the loop: the logs of an earlier start, and where they leave off. */
static int begin(Trainer *trainer)
{
    Err err = {""};
    int code = trainer->setup.resumed ? trainer_open_log(trainer, &err) : ERR_OK;
    if (code != ERR_OK) {
        log_error("%s", err.text);
        return code;
    }
    trainer->progress.ready = true;
    publish_if_due(trainer, true);
    trainer_report(trainer, false);
    trainer_wake_loop(trainer, true);
    trainer_redo_past(trainer);
    if (trainer->undone)
        return ERR_OK;
    recorder_event(&trainer->recorder, trainer->core.run, ORDER_START, trainer->setup.epoch, NULL);
    return ERR_OK;
}

static void *trainer_main(void *argument)
{
    Trainer *trainer = argument;
    const RunState *run = trainer->core.run;
    pthread_setname_np(pthread_self(), "trainer");
    fpu_flush_denormals();
    trainer->progress.error = begin(trainer);
    bool begun = trainer->progress.error == 0 && !trainer->undone;
    if (begun)
        train(trainer);
    bool finished = begun && pacer_finished(&trainer->pacer, run->env_steps, run->updates);
    if (trainer->progress.error == 0 && finished)
        finish(trainer);
    if (trainer->progress.error == 0 && begun)
        trainer->progress.error = trainer_save(trainer);
    if (begun)
        recorder_event(&trainer->recorder, run, ORDER_STOP, 0, NULL);
    evaluations_drop(&trainer->evaluations);
    record_metrics(trainer, true);
    trainer->progress.finished = finished && trainer->progress.error == 0;
    trainer->progress.ended = true;
    trainer_report(trainer, true);
    trainer_wake_loop(trainer, true);
    return NULL;
}

static void trainer_free(Trainer **trainer)
{
    run_log_past_free(&(*trainer)->past);
    metrics_close(&(*trainer)->metrics);
    core_destroy(&(*trainer)->core);
    free(*trainer);
    *trainer = NULL;
}

/* A new run has a first checkpoint before its first segment: so there is always one to go on from.
 */
static int begin_log_of_new_run(Trainer *trainer, Err *err)
{
    if (trainer->setup.resumed)
        return ERR_OK;
    int code = trainer_open_log(trainer, err);
    bool anything_there = trainer->past.history.num_items > 0; /* its checkpoints were removed */
    if (code == ERR_OK && trainer->recorder.log && !anything_there &&
        trainer_save(trainer) != ERR_OK)
        code = err_set(err, ERR_IO, "the first checkpoint could not be written");
    trainer->progress.ready = true;
    return code;
}

static int open_files(Trainer *trainer, Err *err)
{
    const TrainerSetup *setup = &trainer->setup;
    const RunState *run = setup->run;
    char metrics_path[FS_PATH_MAX];
    int code = fs_join(trainer->checkpoints, setup->dir->path, "checkpoints", err);
    if (code == 0)
        code = fs_join(metrics_path, setup->dir->path, "metrics.csv", err);
    if (code == 0)
        code =
            metrics_open(&trainer->metrics, metrics_path, (int)trainer->config.metrics_interval_ms,
                         run->env_steps, run->updates, err);
    return code;
}

int trainer_start(const TrainerSetup *setup, Trainer **trainer_pointer, Err *err)
{
    Trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return err_set(err, ERR_NOMEM, "out of memory");
    trainer->setup = *setup;
    trainer->config = *setup->config;
    trainer->pacer = setup->pacer;
    trainer->progress.pacer = setup->pacer;
    trainer->checkpoint_ns = clock_ns();
    trainer->progress.eval_return = NAN;
    trainer->progress.env_steps_there = setup->run->env_steps;
    int code = core_init(&trainer->core, setup->replay, setup->ddpg, setup->run,
                         (int)trainer->config.batch, err);
    if (code == 0)
        code = open_files(trainer, err);
    if (code == 0)
        evaluations_start(&trainer->evaluations, setup->exchange, trainer->checkpoints,
                          (uint64_t)trainer->config.eval_interval_env_steps, setup->epoch,
                          setup->run);
    if (code == 0)
        code = begin_log_of_new_run(trainer, err);
    if (code == 0) {
        trainer_report(trainer, false);
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
