#include "learner/train/rerun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fpu.h"
#include "common/log.h"
#include "common/text.h"
#include "learner/machine.h"
#include "learner/run.h"
#include "learner/train/redo.h"
#include "learner/train/trainer_internal.h"

enum { SAY_EVERY_MS = 5000 };

typedef struct Rerun {
    Config config; /* as it was where the rerun begins, then as the run changed it */
    RunId run_id;
    json_t *machines;
    int lock_fd;
    char directory[FS_PATH_MAX]; /* of the logs */
    char checkpoints[FS_PATH_MAX];
    History history;
    LogReader *reader;
    RunState run;
    Replay replay;
    Pacer pacer; /* decides nothing here: the record does */
    Ddpg *ddpg;
    Ddpg *kept; /* the networks of the newest checkpoint, to go back to; */
    Ddpg *file; /* those of a checkpoint's file, to compare with */
    TrainCore core;
    int64_t said_ms;
    RerunReport *report;
} Rerun;

/* --- What there is to run again ----------------------------------------------------------------
 */

static int no_record(const Rerun *rerun, Err *err)
{
    return err_set(err, ERR_MISSING,
                   "%s has no record of its updates: was it run without replay_log?",
                   rerun->config.run_dir);
}

static int open_past(Rerun *rerun, Err *err)
{
    char path[FS_PATH_MAX];
    const char *run_dir = rerun->config.run_dir;
    const LogDims any = {0};
    int code = run_dir_read_identity(run_dir, &rerun->run_id, &rerun->machines, err);
    if (code == ERR_OK)
        code = fs_join(path, run_dir, "lock", err);
    if (code == ERR_OK)
        code = fs_lock(path, &rerun->lock_fd, err);
    if (code == ERR_BUSY)
        return err_set(err, ERR_BUSY, "a learner is at work in %s: wait until it has ended",
                       run_dir);
    if (code == ERR_OK)
        code = fs_join(path, run_dir, "config.yaml", err);
    if (code == ERR_OK)
        code = config_resume(&rerun->config, path, err);
    if (code == ERR_OK)
        code = fs_join(rerun->directory, run_dir, RUN_LOG_DIRECTORY, err);
    if (code == ERR_OK)
        code = fs_join(rerun->checkpoints, run_dir, CHECKPOINT_DIRECTORY, err);
    if (code == ERR_OK && !fs_exists(rerun->directory))
        return no_record(rerun, err);
    if (code == ERR_OK)
        code = log_reader_open(disk_real(), rerun->directory, &rerun->run_id, &any, &rerun->reader,
                               err);
    if (code == ERR_OK)
        code = history_load(&rerun->history, disk_real(), rerun->directory, &rerun->run_id, err);
    if (code == ERR_OK && rerun->history.damaged > 0)
        log_warn("the order log in %s is damaged in %llu places", rerun->directory,
                 (unsigned long long)rerun->history.damaged);
    if (code == ERR_OK && rerun->history.num_items == 0)
        return no_record(rerun, err);
    if (code == ERR_OK && rerun->history.damaged > 0)
        log_warn("damaged places in the order log: %llu",
                 (unsigned long long)rerun->history.damaged);
    return code;
}

/* Threads as the run had them at last: they decide in what order gradients are summed. */
static int threads_of_run(const Rerun *rerun)
{
    size_t count = json_array_size(rerun->machines);
    const json_t *last = count > 0 ? json_array_get(rerun->machines, count - 1) : NULL;
    json_int_t threads = json_integer_value(json_object_get(last, "threads"));
    return threads >= 1 && threads <= 256 ? (int)threads : 1;
}

static void compare_machines(Rerun *rerun)
{
    RerunReport *report = rerun->report;
    json_t *here = machine_describe((int)rerun->config.threads);
    size_t count = json_array_size(rerun->machines);
    for (size_t i = 0; here && i < count && report->machine[0] == '\0'; i++)
        machine_difference(here, json_array_get(rerun->machines, i), report->machine,
                           sizeof report->machine);
    json_decref(here);
    if (report->machine[0] != '\0')
        log_warn("this is not what the run ran on, so bits may differ: %s", report->machine);
}

static int make_networks(Rerun *rerun, Err *err)
{
    LogDims dims = log_reader_dims(rerun->reader);
    if (dims.obs_dim == 0)
        return err_set(err, ERR_MISSING, "there is no replay log in %s", rerun->directory);
    if (rerun->config.threads == 0)
        rerun->config.threads = threads_of_run(rerun);
    DdpgConfig ddpg = run_ddpg_config(&rerun->config, dims.obs_dim, dims.act_dim);
    DdpgConfig alone = ddpg;
    alone.threads = 1;
    int code =
        replay_new(&rerun->replay, run_replay_rows(&rerun->config, dims.obs_dim, dims.act_dim),
                   dims.obs_dim, dims.act_dim, err);
    if (code == ERR_OK)
        code = ddpg_new(&ddpg, &rerun->ddpg, err);
    if (code == ERR_OK)
        code = ddpg_new(&alone, &rerun->kept, err);
    if (code == ERR_OK)
        code = ddpg_new(&alone, &rerun->file, err);
    if (code == ERR_OK)
        code = core_init(&rerun->core, &rerun->replay, rerun->ddpg, &rerun->run,
                         (int)rerun->config.batch, err);
    return code;
}

/* --- Where to begin ----------------------------------------------------------------------------
 */

/* The first segment that the log still has. */
static int first_segment(Rerun *rerun, uint64_t *position, uint64_t *row, Err *err)
{
    LogItem item = {.kind = LOG_ITEM_HEAD};
    int code = log_reader_seek_position(rerun->reader, 0, err);
    while (code == ERR_OK && item.kind != LOG_ITEM_SEGMENT && item.kind != LOG_ITEM_END)
        code = log_reader_next(rerun->reader, &item, err);
    if (code == ERR_OK && item.kind == LOG_ITEM_END)
        return err_set(err, ERR_MISSING, "there is no segment in %s", rerun->directory);
    if (code == ERR_OK) {
        *position = item.segment.position;
        *row = item.segment.row;
    }
    return code;
}

/* Fills the replay with what it held at the checkpoint. */
static int fill_replay(Rerun *rerun, uint64_t row_needed, Err *err)
{
    const RunState *run = &rerun->run;
    LogItem item;
    bool begun = false;
    int code = log_reader_seek_row(rerun->reader, row_needed, err);
    while (code == ERR_OK) {
        code = log_reader_next(rerun->reader, &item, err);
        if (code != ERR_OK || item.kind == LOG_ITEM_END)
            break;
        if (item.kind != LOG_ITEM_SEGMENT)
            continue;
        if (item.segment.position > run->log_position)
            break;
        if (!begun)
            replay_begin_at(&rerun->replay, item.segment.row, 0);
        begun = true;
        (void)replay_append_at(&rerun->replay, &item.segment.segment, item.segment.row);
    }
    replay_lose(&rerun->replay, run->replay_head);
    rerun->replay.digest = run->replay_digest;
    return code;
}

/* The oldest checkpoint of the record whose replay is still in the log. */
static int begin_at_checkpoint(Rerun *rerun, uint64_t first_row, Err *err)
{
    char path[FS_PATH_MAX];
    uint64_t capacity = rerun->replay.capacity;
    for (size_t i = 0; i < rerun->history.num_items; i++) {
        const HistoryItem *item = &rerun->history.items[i];
        if (!item->is_event || item->event != ORDER_CHECKPOINT)
            continue;
        int code = checkpoint_path(rerun->checkpoints, item->first_update, path, sizeof path, err);
        if (code != ERR_OK || !fs_exists(path) ||
            checkpoint_read(path, ddpg_state(rerun->ddpg), &rerun->run, err) != ERR_OK)
            continue;
        uint64_t head = rerun->run.replay_head;
        uint64_t row_needed = head > capacity ? head - capacity : 0;
        if (first_row > row_needed)
            continue;
        rerun->report->first_update = rerun->run.updates;
        core_copy_state(ddpg_state(rerun->kept), ddpg_state(rerun->ddpg));
        return fill_replay(rerun, row_needed, err);
    }
    return err_set(err, ERR_MISSING,
                   "%s no longer holds the replay of any checkpoint that is there, nor the run's "
                   "beginning: run with replay_log_keep=all to run it again",
                   rerun->directory);
}

static int begin(Rerun *rerun, Err *err)
{
    uint64_t position = 0;
    uint64_t row = 0;
    int code = first_segment(rerun, &position, &row, err);
    if (code != ERR_OK)
        return code;
    rerun->run.seed = (uint64_t)rerun->config.seed;
    const HistoryItem *first = &rerun->history.items[0];
    if (position > 1 || first->first_update > 0)
        return begin_at_checkpoint(rerun, row, err);
    core_copy_state(ddpg_state(rerun->kept), ddpg_state(rerun->ddpg));
    return ERR_OK;
}

/* Keys that were set on the way have their last value in the configuration: takes those back that
 * were set after this item, to what they were. */
static int take_settings_back(Rerun *rerun, size_t first_item, Err *err)
{
    for (size_t i = rerun->history.num_items; i > first_item; i--) {
        const HistoryItem *item = &rerun->history.items[i - 1];
        const char *was = strstr(item->text, " was ");
        if (!item->is_event || item->event != ORDER_SET || !was)
            continue;
        char before[ORDER_TEXT_MAX + 1];
        snprintf(before, sizeof before, "%.*s=%s", (int)strcspn(item->text, "="), item->text,
                 was + 5);
        int code = trainer_apply_setting(&rerun->config, &rerun->pacer, rerun->ddpg, &rerun->run,
                                         before, err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* --- Running -----------------------------------------------------------------------------------
 */

static void note_difference(Rerun *rerun, uint64_t update)
{
    if (rerun->report->differs)
        return;
    rerun->report->differs = true;
    rerun->report->first_difference = update;
}

static bool network_equal(const DdpgNetwork *a, const DdpgNetwork *b)
{
    size_t bytes = a->num_params * sizeof(float);
    return memcmp(a->params, b->params, bytes) == 0 && memcmp(a->target, b->target, bytes) == 0 &&
           memcmp(a->adam_m, b->adam_m, bytes) == 0 && memcmp(a->adam_v, b->adam_v, bytes) == 0;
}

static int compare_checkpoint(Rerun *rerun, const HistoryItem *item, Err *err)
{
    static RunState of_file; /* large: kept off the stack */
    char path[FS_PATH_MAX];
    const DdpgState *state = ddpg_state(rerun->ddpg);
    DdpgState *file = ddpg_state(rerun->file);
    bool same = core_fingerprint(state) == item->value;
    rerun->report->checkpoints++;
    core_copy_state(ddpg_state(rerun->kept), state);
    int code = checkpoint_path(rerun->checkpoints, item->first_update, path, sizeof path, err);
    if (code == ERR_OK && fs_exists(path)) {
        Err why = {""};
        int read_code = checkpoint_read(path, file, &of_file, &why);
        if (read_code == ERR_NOMEM)
            return err_set(err, read_code, "%s", why.text);
        if (read_code != ERR_OK) {
            log_error("%s", why.text);
            rerun->report->damaged_files++;
        } else {
            rerun->report->checkpoint_files++;
            same = same && network_equal(&state->actor, &file->actor) &&
                   network_equal(&state->critic, &file->critic);
        }
    }
    if (!same) {
        log_error("the networks differ from the checkpoint of update %llu",
                  (unsigned long long)item->first_update);
        note_difference(rerun, item->first_update);
    }
    return code;
}

/* To the newest checkpoint; or, where its file could not be written, to the one before. */
static int go_back(Rerun *rerun, uint64_t update, Err *err)
{
    static RunState of_file; /* large: kept off the stack */
    char path[FS_PATH_MAX];
    DdpgState *kept = ddpg_state(rerun->kept);
    int code = ERR_OK;
    if (kept->updates != update) {
        code = checkpoint_path(rerun->checkpoints, update, path, sizeof path, err);
        if (code == ERR_OK)
            code = checkpoint_read(path, kept, &of_file, err);
    }
    if (code != ERR_OK)
        return code;
    core_copy_state(ddpg_state(rerun->ddpg), kept);
    ddpg_state(rerun->ddpg)->updates = rerun->run.updates;
    return ERR_OK;
}

static int handle_event(Rerun *rerun, const HistoryItem *item, Err *err)
{
    switch (item->event) {
    case ORDER_CHECKPOINT:
        return compare_checkpoint(rerun, item, err);
    case ORDER_ROLLBACK:
        return go_back(rerun, item->value, err);
    case ORDER_SET:
        return trainer_apply_setting(&rerun->config, &rerun->pacer, rerun->ddpg, &rerun->run,
                                     item->text, err);
    default:
        return ERR_OK;
    }
}

static void say_progress(Rerun *rerun)
{
    int64_t now_ms = clock_ms();
    if (rerun->config.progress == PROGRESS_OFF || now_ms - rerun->said_ms < SAY_EVERY_MS)
        return;
    rerun->said_ms = now_ms;
    const HistoryItem *last = &rerun->history.items[rerun->history.num_items - 1];
    char done[TEXT_NUMBER_BYTES], all[TEXT_NUMBER_BYTES];
    log_info("update %s of %s", text_thousands(rerun->run.updates, done),
             text_thousands(last->first_update + last->count, all));
}

static void stop_at(Rerun *rerun, const char *why)
{
    snprintf(rerun->report->stopped, sizeof rerun->report->stopped, "%.255s", why);
    rerun->report->complete = false;
}

static int follow(Rerun *rerun, Err *err)
{
    Redo redo;
    int code = redo_init(&redo, &rerun->core, &rerun->history, rerun->reader, err);
    if (code == ERR_OK)
        code = take_settings_back(rerun, redo.next_item, err);
    rerun->report->complete = true;
    bool more = true;
    while (code == ERR_OK && more) {
        switch (redo_step(&redo, err)) {
        case REDO_UPDATED:
            break;
        case REDO_EVENT:
            code = handle_event(rerun, redo.item, err);
            if (code != ERR_OK && redo.item->event == ORDER_ROLLBACK) {
                stop_at(rerun, err->text);
                code = ERR_OK;
                more = false;
            }
            break;
        case REDO_HOLE:
            stop_at(rerun, "the record of the updates has a hole");
            more = false;
            break;
        case REDO_LOG_LOST:
            stop_at(rerun, "segments are missing in the replay log");
            more = false;
            break;
        case REDO_END:
            more = false;
            break;
        case REDO_FAILED:
            code = ERR_IO;
            break;
        }
        if (redo.differs)
            note_difference(rerun, redo.first_difference);
        say_progress(rerun);
    }
    return code;
}

static void close_rerun(Rerun *rerun)
{
    core_destroy(&rerun->core);
    ddpg_destroy(&rerun->ddpg);
    ddpg_destroy(&rerun->kept);
    ddpg_destroy(&rerun->file);
    replay_destroy(&rerun->replay);
    history_free(&rerun->history);
    if (rerun->reader)
        log_reader_close(&rerun->reader);
    json_decref(rerun->machines);
    if (rerun->lock_fd >= 0)
        fs_unlock(&rerun->lock_fd);
    free(rerun);
}

int rerun(const Config *config, RerunReport *report, Err *err)
{
    *report = (RerunReport){0};
    if (config->run_dir[0] == '\0')
        return err_set(err, ERR_USAGE, "--run-dir is missing: name the directory of the run");
    Rerun *rerun = calloc(1, sizeof *rerun);
    if (!rerun)
        return err_set(err, ERR_NOMEM, "out of memory");
    int64_t began_ms = clock_ms();
    rerun->config = *config;
    rerun->lock_fd = -1;
    rerun->report = report;
    rerun->said_ms = began_ms;
    fpu_flush_denormals();
    int code = open_past(rerun, err);
    if (code == ERR_OK)
        code = make_networks(rerun, err);
    if (code == ERR_OK) {
        compare_machines(rerun);
        code = begin(rerun, err);
    }
    if (code == ERR_OK)
        code = follow(rerun, err);
    report->updates = rerun->run.updates;
    report->env_steps = rerun->run.env_steps;
    report->wall_s = (double)(clock_ms() - began_ms) / 1000.0;
    close_rerun(rerun);
    return code;
}
