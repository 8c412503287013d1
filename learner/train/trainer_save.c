#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/train/trainer_internal.h"

enum { ROLLBACKS_MAX = 3 };

/* Files of the log that no kept checkpoint needs may go. */
static void prune_log(Trainer *trainer)
{
    static RunState oldest; /* large: kept off the stack */
    Err err;
    char path[FS_PATH_MAX];
    if (!trainer->recorder.log || trainer->config.replay_log_keep == LOG_KEEP_ALL)
        return;
    int code = checkpoint_find_oldest(trainer->checkpoints, path, sizeof path, &err);
    if (code == ERR_OK)
        code = checkpoint_read_run(path, &oldest, &err);
    if (code != ERR_OK)
        return; /* then nothing may go */
    uint64_t capacity = trainer->core.replay->capacity;
    if (oldest.replay_head > capacity)
        log_thread_prune(trainer->recorder.log, oldest.replay_head - capacity);
}

/* What the checkpoint refers to comes to disk before it does. */
static int sync_logs(Trainer *trainer)
{
    Err err;
    if (!trainer->recorder.log)
        return ERR_OK;
    recorder_event(&trainer->recorder, trainer->core.run, ORDER_CHECKPOINT,
                   core_fingerprint(ddpg_state(trainer->core.ddpg)), NULL);
    int code = log_thread_sync(trainer->recorder.log, &err);
    if (code == ERR_OK || trainer->config.replay_log_on_error == LOG_ON_ERROR_CONTINUE)
        return ERR_OK;
    log_error("no checkpoint at %llu updates: the replay log fails: %s",
              (unsigned long long)trainer->core.run->updates, err.text);
    return code;
}

int trainer_save(Trainer *trainer)
{
    Err err;
    RunState *run = trainer->core.run;
    trainer->checkpoint_ns = clock_ns();
    if (!core_is_finite(&trainer->core)) {
        trainer->not_finite = true;
        log_error("no checkpoint at %llu updates: a parameter is not finite",
                  (unsigned long long)run->updates);
        return ERR_DIVERGED;
    }
    run->pacer_env_steps = trainer->pacer.env_steps_start;
    run->pacer_updates = trainer->pacer.updates_start;
    run->pacer_underway = trainer->pacer.underway;
    int code = sync_logs(trainer);
    if (code == ERR_OK) {
        code = checkpoint_save(trainer->checkpoints, ddpg_state(trainer->core.ddpg), run,
                               (int)trainer->config.checkpoint_keep, &err);
        if (code != ERR_OK)
            log_error("no checkpoint at %llu updates: %s", (unsigned long long)run->updates,
                      err.text);
        else
            prune_log(trainer);
    }
    trainer->progress.save_failed = code != ERR_OK;
    trainer->checkpoint_ns = clock_ns();
    metrics_lap(&trainer->metrics, METRICS_OTHER);
    return code;
}

bool trainer_roll_back(Trainer *trainer)
{
    Err err;
    char path[FS_PATH_MAX];
    uint64_t update = 0;
    if (trainer->rollbacks++ == ROLLBACKS_MAX) {
        log_error("the networks have diverged: going back to a checkpoint did not help. Try "
                  "smaller learning rates");
        return false;
    }
    int code = checkpoint_find_newest(trainer->checkpoints, path, sizeof path, &err);
    if (code == ERR_OK)
        code = core_roll_back(&trainer->core, path, &update, &err);
    if (code != ERR_OK) {
        log_error("the networks have diverged, and there is no checkpoint to go back to: %s. Try "
                  "smaller learning rates",
                  err.text);
        return false;
    }
    log_warn("the networks have diverged at update %llu: going back to those of update %llu",
             (unsigned long long)trainer->core.run->updates, (unsigned long long)update);
    recorder_event(&trainer->recorder, trainer->core.run, ORDER_ROLLBACK, update, NULL);
    trainer->diverged_updates = 0;
    trainer->not_finite = false;
    return true;
}
