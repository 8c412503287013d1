#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/train/trainer_internal.h"

/* Segments that are logged may go on: the trainer takes them, the loop acknowledges them. */
static void on_logged(void *context)
{
    Exchange *exchange = context;
    exchange_wake_trainer(exchange);
    exchange->wake_loop(exchange->wake_context);
}

int trainer_open_log(Trainer *trainer, Err *err)
{
    RunLog *log = trainer->setup.log;
    if (!trainer->config.replay_log) {
        log_warn("the replay log is off: what is acknowledged is in memory only, and a crash of "
                 "the learner loses the replay");
        return ERR_OK;
    }
    int code = run_log_open(log, &trainer->config, trainer->setup.epoch, &trainer->core,
                            &trainer->setup.exchange->ring, on_logged, trainer->setup.exchange,
                            &trainer->past, err);
    if (code != ERR_OK)
        return code;
    trainer->recorder.log = log->thread;
    uint64_t logged_steps = log->recovered.state.env_steps;
    trainer->progress.env_steps_there =
        logged_steps > trainer->core.run->env_steps ? logged_steps : trainer->core.run->env_steps;
    return ERR_OK;
}

/* Does an event of the past again. */
static int redo_event(Trainer *trainer, const HistoryItem *item, Err *err)
{
    uint64_t update = 0;
    char path[FS_PATH_MAX];
    switch (item->event) {
    case ORDER_ROLLBACK: {
        int code = checkpoint_path(trainer->checkpoints, item->value, path, sizeof path, err);
        return code == ERR_OK ? core_roll_back(&trainer->core, path, &update, err) : code;
    }
    case ORDER_SET:
        return trainer_apply_setting(&trainer->config, &trainer->pacer, trainer->core.ddpg,
                                     trainer->core.run, item->text, err);
    default:
        return ERR_OK;
    }
}

/* Follows the record to its end, or as far as it can be followed. */
static int follow_record(Trainer *trainer, Redo *redo, Err *err)
{
    while (!trainer_should_stop(trainer)) {
        int code = ERR_OK;
        switch (redo_step(redo, err)) {
        case REDO_UPDATED:
            trainer_report(trainer, false);
            trainer_wake_loop(trainer, false);
            break;
        case REDO_EVENT:
            code = redo_event(trainer, redo->item, err);
            break;
        case REDO_END:
            return ERR_OK;
        case REDO_HOLE:
            log_warn("the order log has a hole at update %llu: training goes on from there",
                     (unsigned long long)trainer->core.run->updates);
            return ERR_OK;
        case REDO_LOG_LOST:
            log_warn("the replay log ends before what was done after update %llu: training goes "
                     "on from there",
                     (unsigned long long)trainer->core.run->updates);
            return ERR_OK;
        case REDO_FAILED:
            return ERR_IO;
        }
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* Owed updates far beyond the window would be learned from steps of a policy that is long gone. Up
 * to two windows can be there in order: one granted, and one in the ring. */
static void drop_debt(Trainer *trainer)
{
    const RunState *run = trainer->core.run;
    uint64_t environments =
        (uint64_t)trainer->config.actors * (uint64_t)trainer->config.envs_per_actor;
    uint64_t window =
        pacer_window(&trainer->pacer, environments, (uint64_t)trainer->config.segment_steps);
    uint64_t dropped = pacer_drop_debt(&trainer->pacer, run->env_steps, run->updates, 2 * window);
    if (dropped > 0)
        log_warn("%llu owed updates are dropped: they are beyond the pacing window",
                 (unsigned long long)dropped);
}

/* Without its steps the run needs a warm-up again. */
static void begin_pacing_anew(Trainer *trainer)
{
    const RunState *run = trainer->core.run;
    uint64_t needed = (uint64_t)trainer->config.batch;
    if (trainer->core.replay->steps >= needed ||
        run->env_steps < (uint64_t)trainer->config.warmup_env_steps)
        return;
    trainer->pacer.env_steps_start = run->env_steps;
    trainer->pacer.updates_start = run->updates;
    trainer->pacer.underway = false;
    log_warn("the replay could not be read back: updates wait for %lld new steps",
             (long long)trainer->config.warmup_env_steps);
}

void trainer_redo_past(Trainer *trainer)
{
    Err err;
    RunState *run = trainer->core.run;
    uint64_t update = run->updates;
    int64_t began_ms = clock_ms();
    if (!trainer->past.reader)
        return;
    Redo redo;
    trainer->progress.redoing = true;
    int code = redo_init(&redo, &trainer->core, &trainer->past.history, trainer->past.reader, &err);
    if (code == ERR_OK)
        code = follow_record(trainer, &redo, &err);
    if (code == ERR_OK && redo.differs)
        log_warn("update %llu differs from what it was: this is another kind of machine, or the "
                 "log is damaged; training goes on",
                 (unsigned long long)redo.first_difference);
    if (run->updates > update)
        log_info("did %llu updates again, in %.1f s", (unsigned long long)(run->updates - update),
                 (double)(clock_ms() - began_ms) / 1000.0);
    /* From here on the run is another one than what the record may still hold. */
    recorder_event(&trainer->recorder, run, ORDER_RESUME, update, NULL);
    int64_t more = 0;
    if (code == ERR_OK && !trainer_should_stop(trainer))
        more = redo_ingest_rest(&redo, &err);
    if (code != ERR_OK || more < 0)
        log_error("the replay log could not be followed to its end: %s", err.text);
    if (more > 0)
        log_info("%lld segments of the log were not in the replay yet", (long long)more);
    begin_pacing_anew(trainer);
    drop_debt(trainer);
    run_log_past_free(&trainer->past);
    trainer->progress.redoing = false;
}
