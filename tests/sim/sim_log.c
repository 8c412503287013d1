/* The log thread: the real LogKeeper on a disk in memory, begun as learner/train/run_log.c does. */
#include <string.h>

#include "common/check.h"
#include "learner/log/log_files.h"
#include "tests/sim/sim.h"

static const RunId run_id = {{1}};

/* Where this start's segments begin: behind the log, and behind what the checkpoint knows of a time
 * without a log. */
static LogState start_state(const Sim *sim, const LogRecovered *recovered)
{
    const SimCheckpoint *from = trainer_newest(sim);
    LogState state = recovered->state;
    if (from && state.next_position <= from->position) {
        state.next_position = from->position + 1;
        state.row = from->row;
        state.env_steps = from->env_steps;
        state.episodes = from->episodes;
    }
    return state;
}

static void warn(void *user, const char *line)
{
    sim_say(user, "the order log: %s", line);
}

typedef struct Opened {
    LogRecovered recovered;
    LogReader *past;
    OrderLog *order;
    History history;
    LogWriter *writer;
} Opened;

static void drop(Opened *opened)
{
    log_reader_close(&opened->past);
    order_log_close(&opened->order);
    history_free(&opened->history);
    log_writer_destroy(&opened->writer);
    log_recovered_free(&opened->recovered);
}

static int open_all(Sim *sim, Opened *opened, uint64_t *base, Err *err)
{
    const LogDisk *disk = memory_disk_table(sim->disk);
    const LogDims dims = {1, 1, (int)sim->fleet_config.welcome.segment_steps};
    const SimCheckpoint *from = trainer_newest(sim);
    LogWriterConfig config = {
        .run_id = run_id,
        .epoch = sim->learner.epoch,
        .dims = dims,
        .file_bytes_max = sim->file_bytes_max,
        .sessions_max = sim->fleet_config.sessions_max,
        .session_retention_ms = sim->fleet_config.session_retention_ms,
    };
    int code = recover_log(sim, &opened->recovered, err);
    if (code != ERR_OK)
        return code;
    LogState start = start_state(sim, &opened->recovered);
    *base = start.next_position - 1;
    code = log_reader_open(disk, SIM_DIRECTORY, &run_id, &dims, &opened->past, err);
    if (code == ERR_OK)
        code = log_reader_seek_position(opened->past, from ? from->position + 1 : 1, err);
    if (code == ERR_OK)
        code = order_log_open(disk, SIM_DIRECTORY, &run_id, warn, sim, &opened->order, err);
    if (code == ERR_OK)
        code = history_load(&opened->history, disk, SIM_DIRECTORY, &run_id, err);
    if (code == ERR_OK)
        code =
            log_writer_new(disk, SIM_DIRECTORY, &config, &start, sim->now_ms, &opened->writer, err);
    return code;
}

int sim_log_open(Sim *sim)
{
    SimLog *log = &sim->learner.log;
    SegmentRing *ring = &sim->learner.ring;
    Opened opened = {0};
    Err err = {""};
    uint64_t base = 0;
    int code = open_all(sim, &opened, &base, &err);
    if (code != ERR_OK) {
        sim_say(sim, "learner: the log cannot be opened: %s", err.text);
        sim_check(sim, sim->now_ms < sim->faults_until_ms + SIM_SETTLE_MS, "%s", err.text);
        drop(&opened);
        return code;
    }
    recover_truth(sim, &opened.recovered, base);
    *log = (SimLog){.open = true,
                    .past = opened.past,
                    .recovered = opened.recovered,
                    .base = base,
                    .synced = base,
                    .named = base};
    segment_ring_add_log_stage(ring);
    log_keeper_init(&log->keeper, opened.writer, opened.order, ring, sim->on_error, sim->fsync_ms,
                    sim->now_ms);
    log->reported = log->keeper.status;
    trainer_begin(sim, &opened.history);
    history_free(&opened.history);
    sim_say(sim, "learner: the log goes on behind position %llu of epoch %u", (Ull)base,
            sim->learner.epoch);
    return ERR_OK;
}

/* --- Turns -------------------------------------------------------------------------------------
 */

static void note_synced(Sim *sim)
{
    SimLog *log = &sim->learner.log;
    uint64_t first;
    uint64_t last;
    if (log_writer_suspect(log->keeper.writer, &first, &last)) {
        for (uint64_t i = first; i <= last; i++)
            sim->places[i].suspect = true;
    }
    for (uint64_t i = log->named + 1; i <= log->keeper.status.position; i++)
        sim->places[i].named = true;
    log->named = log->keeper.status.position;
    uint64_t synced = log->keeper.status.synced_position;
    sim_check(sim, synced <= log->base + log->marked, "position %llu is synced, %llu is logged",
              (Ull)synced, (Ull)(log->base + log->marked));
    for (uint64_t i = log->synced + 1; i <= synced; i++)
        sim->places[i].synced = sim->places[i].logged && !sim->places[i].suspect;
    if (log->synced < synced)
        log->synced = synced;
}

/* Of what went on, that without the log comes last. */
static void note_logged(Sim *sim)
{
    SimLog *log = &sim->learner.log;
    uint64_t count = segment_ring_logged(&sim->learner.ring) - log->marked;
    uint64_t skipped = log->keeper.status.unlogged - log->unlogged;
    sim_check(sim, skipped <= count, "%llu segments of %llu went on without the log", (Ull)skipped,
              (Ull)count);
    for (uint64_t i = 1; i <= count; i++)
        truth_logged(sim, log->base + log->marked + i, i > count - skipped);
    log->marked += count;
    log->unlogged = log->keeper.status.unlogged;
    note_synced(sim);
    sim_check(sim, log_writer_buffered_bytes(log->keeper.writer) <= LOG_BUFFER_BYTES,
              "the log's buffer grows");
}

void sim_log_turn(Sim *sim)
{
    SimLog *log = &sim->learner.log;
    if (!log->open || sim->now_ms < log->stalled_ms)
        return;
    uint64_t failures = log->keeper.status.failures;
    log_keeper_turn(&log->keeper, sim->now_ms);
    sim_tally.log_failures += log->keeper.status.failures - failures;
    note_logged(sim);
    /* The loop may look before the log thread has said how it went. */
    if (sim_chance(&sim->rng, 0.9))
        log->reported = log->keeper.status;
}

bool sim_log_sync(Sim *sim)
{
    SimLog *log = &sim->learner.log;
    Err err;
    log_keeper_turn(&log->keeper, sim->now_ms);
    int code = log_keeper_sync(&log->keeper, sim->now_ms, &err);
    note_logged(sim);
    log->reported = log->keeper.status;
    return code == ERR_OK;
}

void sim_log_prune(Sim *sim, uint64_t row_needed)
{
    size_t num_removed = 0;
    uint64_t bytes_removed = 0;
    Err err;
    (void)sim_log_sync(sim); /* the newest session table comes to disk first */
    int code = log_files_prune(memory_disk_table(sim->disk), SIM_DIRECTORY, row_needed,
                               &num_removed, &bytes_removed, &err);
    if (num_removed > 0)
        code = log_writer_recount(sim->learner.log.keeper.writer, &err);
    if (code != ERR_OK)
        sim_say(sim, "learner: old files stay: %s", err.text);
    if (num_removed > 0 && sim->pruned_row < row_needed)
        sim->pruned_row = row_needed;
    sim_tally.pruned_files += num_removed;
}

void sim_log_close(Sim *sim, bool in_order)
{
    SimLog *log = &sim->learner.log;
    if (!log->open)
        return;
    if (in_order) {
        (void)sim_log_sync(sim);
        log_keeper_close(&log->keeper, sim->now_ms);
    }
    log_writer_destroy(&log->keeper.writer);
    order_log_close(&log->keeper.order);
    log_reader_close(&log->past);
    log_recovered_free(&log->recovered);
    log->open = false;
}
