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

/* Positions and rows go on, so that a later start with a log can go on from them: behind the
 * checkpoint, and behind what an earlier start has logged after it, which is given up. */
static int go_on_without_log(Trainer *trainer, Err *err)
{
    const RunState *run = trainer->core.run;
    LogState end = {.next_position = 1};
    log_warn("the replay log is off: what is acknowledged is in memory only, and a crash of the "
             "learner loses the replay");
    int code = run_log_end(trainer->setup.log, &trainer->config, trainer->core.replay, &end, err);
    if (code != ERR_OK)
        return code;
    trainer->next_position = run->log_position + 1;
    trainer->next_row = run->replay_head;
    if (end.next_position > trainer->next_position) {
        log_warn("%llu segments that were logged after the checkpoint are given up",
                 (unsigned long long)(end.next_position - trainer->next_position));
        trainer->next_position = end.next_position;
        trainer->next_row = end.row > run->replay_head ? end.row : run->replay_head;
    }
    replay_begin_at(trainer->core.replay, trainer->next_row, run->replay_digest);
    return ERR_OK;
}

int trainer_open_log(Trainer *trainer, Err *err)
{
    RunLog *log = trainer->setup.log;
    const RunState *run = trainer->core.run;
    if (!trainer->config.replay_log)
        return go_on_without_log(trainer, err);
    int code = run_log_open(log, &trainer->config, trainer->setup.epoch, &trainer->core,
                            &trainer->setup.exchange->ring, on_logged, trainer->setup.exchange,
                            &trainer->past, err);
    if (code != ERR_OK)
        return code;
    trainer->recorder.log = log->thread;
    trainer->next_position = log->start.next_position;
    trainer->next_row = log->start.row;
    trainer->progress.env_steps_there =
        log->start.env_steps > run->env_steps ? log->start.env_steps : run->env_steps;
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

/* Follows the record to its end, or as far as it can be followed: then it says why. */
static void follow_record(Trainer *trainer, Redo *redo)
{
    const RunState *run = trainer->core.run;
    while (!trainer_should_stop(trainer)) {
        Err err = {""};
        switch (redo_step(redo, &err)) {
        case REDO_UPDATED:
            trainer_report(trainer, false);
            trainer_wake_loop(trainer, false);
            continue;
        case REDO_EVENT:
            if (redo_event(trainer, redo->item, &err) == ERR_OK)
                continue;
            log_warn("the record cannot be followed beyond update %llu: %s",
                     (unsigned long long)run->updates, err.text);
            return;
        case REDO_END:
            return;
        case REDO_HOLE:
            log_warn("the order log has a hole at update %llu: training goes on from there",
                     (unsigned long long)run->updates);
            return;
        case REDO_LOG_LOST:
            log_warn("the replay log ends before what was done after update %llu: training goes "
                     "on from there",
                     (unsigned long long)run->updates);
            return;
        case REDO_FAILED:
            log_error("the replay log could not be followed: %s", err.text);
            return;
        }
    }
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

/* Takes what the log has beyond the record. */
static void ingest_rest(Trainer *trainer, Redo *redo)
{
    Err err = {""};
    RunState *run = trainer->core.run;
    int64_t count = redo_ingest_rest(redo, &err);
    if (count < 0)
        log_error("the replay log could not be read to its end: %s", err.text);
    if (count > 0)
        log_info("%lld segments of the log were not in the replay yet", (long long)count);
    /* What the log has lost at its end counts as stepped: nobody steps it again. */
    uint64_t env_steps = trainer->setup.log->start.env_steps;
    if (run->env_steps < env_steps)
        run->env_steps = env_steps;
}

void trainer_redo_past(Trainer *trainer)
{
    static Config wanted; /* large: kept off the stack */
    Err err = {""};
    RunState *run = trainer->core.run;
    uint64_t update = run->updates;
    int64_t began_ms = clock_ms();
    if (!trainer->past.reader)
        return;
    Redo redo;
    trainer->progress.redoing = true;
    trainer_report(trainer, false);
    if (history_end(&trainer->past.history) > update)
        log_info("doing again what was done after the checkpoint, up to update %llu",
                 (unsigned long long)history_end(&trainer->past.history));
    wanted = trainer->config;
    trainer_take_checkpoint_settings(trainer, trainer->setup.dir->run.config_yaml);
    if (redo_init(&redo, &trainer->core, &trainer->past.history, trainer->past.reader, &err) ==
        ERR_OK)
        follow_record(trainer, &redo);
    else
        log_error("the replay log could not be followed: %s", err.text);
    if (redo.differs)
        log_warn("update %llu differs from what it was: this is another kind of machine, or the "
                 "log is damaged; training goes on",
                 (unsigned long long)redo.first_difference);
    if (run->updates > update)
        log_info("did %llu updates again, in %.1f s", (unsigned long long)(run->updates - update),
                 (double)(clock_ms() - began_ms) / 1000.0);
    if (trainer_should_stop(trainer)) {
        log_info("stopped before all was done again that was done after the checkpoint: the next "
                 "start begins with it");
        trainer->undone = true;
        return;
    }
    /* From here on the run is another one than what the record may still hold. */
    recorder_event(&trainer->recorder, run, ORDER_RESUME, update, NULL);
    ingest_rest(trainer, &redo);
    trainer_take_wanted_settings(trainer, &wanted);
    begin_pacing_anew(trainer);
    drop_debt(trainer);
    run_log_past_free(&trainer->past);
    trainer->progress.redoing = false;
}
