#include "learner/train/run_log.h"

#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/log/log_files.h"

int run_log_init(RunLog *log, const char *run_dir, const RunId *run_id, Err *err)
{
    *log = (RunLog){.disk = disk_real(), .run_id = *run_id};
    return fs_join(log->directory, run_dir, RUN_LOG_DIRECTORY, err);
}

int run_log_check_space(const Config *config, const char *run_dir, const Replay *replay,
                        uint64_t checkpoint_bytes, Err *err)
{
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t replay_needs = replay_bytes(replay->capacity, replay->obs_dim, replay->act_dim) +
                            2 * (uint64_t)LOG_FILE_BYTES_MAX;
    uint64_t checkpoints = (uint64_t)(config->checkpoint_keep + 3) * checkpoint_bytes;
    uint64_t most = (uint64_t)config->replay_log_bytes_max;
    if (most > 0 && most < replay_needs)
        return err_set(err, ERR_USAGE,
                       "--replay-log-bytes-max %llu is less than a full replay takes in the log: "
                       "give at least %llu, or lower --replay-capacity",
                       (unsigned long long)most, (unsigned long long)replay_needs);
    struct statvfs fs;
    double free_gib = -1;
    if (statvfs(run_dir, &fs) == 0)
        free_gib = (double)fs.f_bavail * (double)fs.f_frsize / gib;
    double needs_gib = (double)(replay_needs + checkpoints) / gib;
    if (config->replay_log_keep == LOG_KEEP_ALL)
        log_info("disk: the log keeps everything; a full replay takes %.2f GiB of it, %.1f GiB are "
                 "free",
                 needs_gib, free_gib);
    else
        log_info("disk: log and checkpoints may need %.2f GiB, and what arrives between the oldest "
                 "kept checkpoint and now; %.1f GiB are free",
                 needs_gib, free_gib);
    if (free_gib >= 0 && free_gib < needs_gib)
        log_warn("the disk of %s has %.2f GiB free, and log and checkpoints may need %.2f GiB",
                 run_dir, free_gib, needs_gib);
    return ERR_OK;
}

/* --- Reading back ------------------------------------------------------------------------------
 */

typedef struct Filling {
    TrainCore *core;
    bool begun;
} Filling;

/* A segment that the replay held when the checkpoint was written. */
static int fill(void *user, const SegmentRecord *record, Err *err)
{
    (void)err;
    Filling *filling = user;
    Replay *replay = filling->core->replay;
    if (record->position > filling->core->run->log_position)
        return ERR_OK;
    if (!filling->begun)
        replay_begin_at(replay, record->row, 0);
    filling->begun = true;
    (void)replay_append_at(replay, &record->segment, record->row);
    return ERR_OK;
}

static void warn(void *user, const char *line)
{
    (void)user;
    log_warn("%s", line);
}

static int read_back(RunLog *log, const Config *config, const LogDims *dims, TrainCore *core,
                     Err *err)
{
    RunState *run = core->run;
    Replay *replay = core->replay;
    uint64_t capacity = replay->capacity;
    Filling filling = {.core = core};
    LogRecoverCallbacks callbacks = {
        .user = &filling,
        .segment = fill,
        .row = run->replay_head > capacity ? run->replay_head - capacity : 0,
        .warn = warn,
    };
    int64_t began_ms = clock_ms();
    uint64_t num_bytes = 0;
    int code = log_recover(log->disk, log->directory, &log->run_id, dims,
                           (uint32_t)config->sessions_max, &callbacks, &log->recovered, err);
    if (code != ERR_OK)
        return code;
    if (!filling.begun)
        replay_begin_at(replay, run->replay_head, 0);
    replay_lose(replay, run->replay_head);
    replay->digest = run->replay_digest;
    const LogRecovered *recovered = &log->recovered;
    code = log_files_bytes(log->disk, log->directory, &num_bytes, err);
    if (code == ERR_OK && recovered->num_segments > 0)
        log_info("read the replay log back: %llu segments, %.0f MiB in %.1f s",
                 (unsigned long long)recovered->num_segments, (double)num_bytes / (1024.0 * 1024.0),
                 (double)(clock_ms() - began_ms) / 1000.0);
    if (recovered->gap_positions + recovered->missing_positions > 0)
        log_warn("%llu segments went on without the replay log, and %llu are lost to damage: "
                 "training goes on without them",
                 (unsigned long long)recovered->gap_positions,
                 (unsigned long long)recovered->missing_positions);
    return code;
}

int run_log_end(const RunLog *log, const Config *config, const Replay *replay, LogState *end,
                Err *err)
{
    LogRecovered recovered;
    const LogDims dims = {replay->obs_dim, replay->act_dim, (int)config->segment_steps};
    const LogRecoverCallbacks newest_file = {.row = UINT64_MAX, .warn = warn};
    *end = (LogState){.next_position = 1};
    if (!fs_exists(log->directory))
        return ERR_OK;
    int code = log_recover(log->disk, log->directory, &log->run_id, &dims,
                           (uint32_t)config->sessions_max, &newest_file, &recovered, err);
    if (code != ERR_OK)
        return code;
    *end = recovered.state;
    end->sessions = NULL;
    end->num_sessions = 0;
    log_recovered_free(&recovered);
    return ERR_OK;
}

/* Where this start's segments begin: behind the log, and behind what the checkpoint knows of a time
 * without a log. */
static LogState start_state(const RunLog *log, const RunState *run)
{
    LogState state = log->recovered.state;
    if (state.next_position <= run->log_position) {
        state.next_position = run->log_position + 1;
        state.row = run->replay_head;
        state.env_steps = run->env_steps;
        state.episodes = run->episodes;
    }
    return state;
}

int run_log_open(RunLog *log, const Config *config, uint32_t epoch, TrainCore *core,
                 SegmentRing *ring, void (*logged)(void *context), void *context, RunLogPast *past,
                 Err *err)
{
    LogWriterConfig writer_config = {
        .run_id = log->run_id,
        .epoch = epoch,
        .dims = {core->replay->obs_dim, core->replay->act_dim, (int)config->segment_steps},
        .file_bytes_max = LOG_FILE_BYTES_MAX,
        .bytes_max = (uint64_t)config->replay_log_bytes_max,
        .sessions_max = (uint32_t)config->sessions_max,
        .session_retention_ms = config->session_retention_s * 1000,
    };
    LogThreadSetup setup = {.disk = log->disk,
                            .directory = log->directory,
                            .ring = ring,
                            .on_error = config->replay_log_on_error,
                            .fsync_ms = config->replay_log_fsync_ms,
                            .logged = logged,
                            .context = context};
    *past = (RunLogPast){0};
    int code = fs_make_dirs(log->directory, err);
    if (code == ERR_OK)
        code = read_back(log, config, &writer_config.dims, core, err);
    /* Before this start's own file is there: the past ends where it begins. */
    if (code == ERR_OK)
        code = log_reader_open(log->disk, log->directory, &log->run_id, &writer_config.dims,
                               &past->reader, err);
    log->start = start_state(log, core->run);
    if (code == ERR_OK)
        code =
            order_log_open(log->disk, log->directory, &log->run_id, warn, NULL, &setup.order, err);
    if (code == ERR_OK)
        code = history_load(&past->history, log->disk, log->directory, &log->run_id, err);
    if (code == ERR_OK && past->history.damaged > 0)
        log_warn("damaged places in the order log: %llu; what was done is followed as far as it is "
                 "known",
                 (unsigned long long)past->history.damaged);
    if (code == ERR_OK)
        code = log_writer_new(log->disk, log->directory, &writer_config, &log->start, clock_ms(),
                              &setup.writer, err);
    if (code == ERR_OK) {
        LogThread *thread = NULL;
        code = log_thread_start(&setup, &thread, err);
        log->thread = thread;
        return code;
    }
    if (setup.order)
        order_log_close(&setup.order);
    run_log_past_free(past);
    return code;
}

void run_log_past_free(RunLogPast *past)
{
    if (past->reader)
        log_reader_close(&past->reader);
    history_free(&past->history);
}

void run_log_close(RunLog *log)
{
    LogThread *thread = log->thread;
    log_thread_stop(&thread);
    log->thread = NULL;
    log_recovered_free(&log->recovered);
}
