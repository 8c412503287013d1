/* A start of the learner with a log: what is read back, compared to the truth. */
#include <string.h>

#include "tests/sim/sim.h"

/* The first replay row that the newest checkpoint needs. */
static uint64_t row_needed(const Sim *sim)
{
    const SimCheckpoint *from = trainer_newest(sim);
    return from && from->row > sim->replay_rows ? from->row - sim->replay_rows : 0;
}

static int take_segment(void *user, const SegmentRecord *record, Err *err)
{
    (void)err;
    Sim *sim = user;
    sim_check(sim, record->position <= sim->num_places, "the log has position %llu, the run %llu",
              (Ull)record->position, (Ull)sim->num_places);
    SimPlace *place = &sim->places[record->position];
    const SimSession *truth = &sim->sessions[place->session];
    const SimSegment *made = &truth->segments[place->sequence - 1];
    int session;
    memcpy(&session, record->session.id, sizeof session);
    sim_check(sim, !place->there, "position %llu is read back twice", (Ull)record->position);
    sim_check(sim,
              session == place->session && record->segment.sequence == place->sequence &&
                  record->segment.num_steps == place->steps &&
                  (int)record->segment.obs[0] == made->life &&
                  record->segment.env_index == made->env &&
                  (uint64_t)record->segment.reward[0] == made->first &&
                  record->session_steps == truth_steps(truth, 1, place->sequence) &&
                  record->env_steps == place->env_steps &&
                  record->row + (uint64_t)place->steps + 1 == place->row_end,
              "position %llu is not what was accepted", (Ull)record->position);
    place->there = true;
    return ERR_OK;
}

static void warn(void *user, const char *line)
{
    sim_say(user, "the log: %s", line);
}

int recover_log(Sim *sim, LogRecovered *recovered, Err *err)
{
    const RunId run_id = {{1}};
    const LogDims dims = {1, 1, (int)sim->fleet_config.welcome.segment_steps};
    LogRecoverCallbacks callbacks = {
        .user = sim, .segment = take_segment, .row = row_needed(sim), .warn = warn};
    for (uint64_t i = 1; i <= sim->num_places; i++)
        sim->places[i].there = false;
    return log_recover(memory_disk_table(sim->disk), SIM_DIRECTORY, &run_id, &dims,
                       sim->fleet_config.sessions_max, &callbacks, recovered, err);
}

/* What was promised is there. */
static void check_promises(Sim *sim, const LogRecovered *recovered)
{
    uint64_t row = row_needed(sim);
    const SimCheckpoint *from = trainer_newest(sim);
    for (uint64_t i = 1; i <= sim->num_places; i++) {
        const SimPlace *place = &sim->places[i];
        bool promised = sim->power_was_lost ? place->synced : place->logged;
        sim_check(sim,
                  place->there || !promised || place->lost || (row > 0 && place->row_end <= row),
                  "position %llu of %llu was %s, and is lost", (Ull)i, (Ull)sim->num_places,
                  sim->power_was_lost ? "synced" : "logged");
    }
    sim_check(sim, !from || !from->synced || from->position < recovered->state.next_position,
              "the checkpoint is at position %llu, the log ends before %llu", (Ull)from->position,
              (Ull)recovered->state.next_position);
}

/* After a power loss a file's name may be all that is left of what came last: then the run goes on
 * behind its positions, without their rows and steps. */
static void take_empty_end(Sim *sim, const LogState *state)
{
    uint64_t last = state->next_position - 1;
    uint64_t from = last;
    while (from > 0 && sim->places[from].env_steps > state->env_steps && !sim->places[from].there)
        from--;
    for (uint64_t i = from + 1; i <= last && sim->power_losses > 0; i++) {
        sim->places[i].row_end = sim->places[from].row_end;
        sim->places[i].env_steps = sim->places[from].env_steps;
    }
}

/* What is not there is counted. */
static void check_counts(Sim *sim, const LogRecovered *recovered)
{
    const LogState *state = &recovered->state;
    uint64_t last = state->next_position - 1;
    sim_check(sim, last <= sim->num_places, "the log ends at position %llu, the run at %llu",
              (Ull)last, (Ull)sim->num_places);
    take_empty_end(sim, state);
    const SimPlace *place = &sim->places[last];
    sim_check(sim, state->row == place->row_end && state->env_steps == place->env_steps,
              "position %llu ends at row %llu and step %llu, not %llu and %llu", (Ull)last,
              (Ull)place->row_end, (Ull)place->env_steps, (Ull)state->row, (Ull)state->env_steps);
    if (row_needed(sim) > 0 || sim->pruned_row > 0)
        return; /* it was not read from its first position on */
    uint64_t not_there = 0;
    for (uint64_t i = 1; i <= last; i++)
        not_there += !sim->places[i].there;
    sim_check(sim, not_there == recovered->gap_positions + recovered->missing_positions,
              "%llu positions are not there, counted are %llu and %llu", (Ull)not_there,
              (Ull)recovered->gap_positions, (Ull)recovered->missing_positions);
}

/* What the log has it keeps; all else up to `base` is lost for good. */
static void take_places(Sim *sim, uint64_t base)
{
    uint64_t row = row_needed(sim);
    for (uint64_t i = 1; i <= base; i++) {
        SimPlace *place = &sim->places[i];
        if (row > 0 && place->row_end <= row) {
            /* Not needed, and not looked at: it may never have been there, or gone with the power.
             */
            place->lost = place->lost || place->skipped ||
                          (sim->power_was_lost && !place->synced && !place->there);
            continue;
        }
        sim_tally.lost_in_log += !place->there && !place->lost;
        place->lost = !place->there;
        place->logged = place->there;
        place->synced = place->there && !place->suspect;
    }
}

/* Where there is room for all sessions, none is forgotten; unless older files were removed and the
 * power took the newest one, which a disk that failed had not synced. */
static void check_sessions(Sim *sim, const LogRecovered *recovered)
{
    bool room = sim->fleet_config.sessions_max >= SIM_SESSIONS_MAX &&
                sim->fleet_config.session_retention_ms >= SIM_LONGEST_MS &&
                (sim->power_losses == 0 || sim->pruned_row == 0);
    for (uint64_t i = 1; i <= sim->num_places && room; i++) {
        const SimPlace *place = &sim->places[i];
        const SimSession *truth = &sim->sessions[place->session];
        sim_check(sim, !place->logged || place->lost || truth->accepted > 0,
                  "session %d is in the log, and forgotten", place->session);
    }
    sim_check(sim, recovered->state.num_sessions <= sim->fleet_config.sessions_max,
              "%zu sessions come back", recovered->state.num_sessions);
}

void recover_truth(Sim *sim, const LogRecovered *recovered, uint64_t base)
{
    check_promises(sim, recovered);
    check_counts(sim, recovered);
    take_places(sim, base);
    truth_go_back(sim, base);
    for (size_t i = 0; i < recovered->state.num_sessions; i++)
        truth_session_restored(sim, &recovered->state.sessions[i]);
    check_sessions(sim, recovered);
    sim->power_was_lost = false;
}

/* The run is over: the log holds all that it should. */
void recover_at_end(Sim *sim)
{
    LogRecovered recovered;
    Err err = {""};
    memory_disk_fault(sim->disk, NULL);
    memory_disk_space(sim->disk, UINT64_MAX);
    int code = recover_log(sim, &recovered, &err);
    sim_check(sim, code == ERR_OK, "%s", err.text);
    check_promises(sim, &recovered);
    check_counts(sim, &recovered);
    log_recovered_free(&recovered);
}
