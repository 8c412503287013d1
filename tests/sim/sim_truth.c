/* The truth of a run: what was stepped, what was accepted in which order, and what may be lost. All
 * that the learner accepts, logs, acknowledges and reads back is compared to it. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

/* --- Segments of a session ---------------------------------------------------------------------
 */

/* The numbers that the rollout wrote into a segment say which steps of which process it holds. */
static SimSegment content_of(const Segment *segment)
{
    return (SimSegment){.life = (int)segment->obs[0],
                        .env = segment->env_index,
                        .first = (uint64_t)segment->reward[0],
                        .steps = segment->num_steps};
}

void truth_closed(Sim *sim, int session, const Segment *segment)
{
    SimSession *truth = &sim->sessions[session];
    sim_check(sim, segment->sequence == truth->num_segments + 1,
              "session %d: segment %llu is numbered after %llu", session, (Ull)segment->sequence,
              (Ull)truth->num_segments);
    if (truth->num_segments == truth->room) {
        truth->room = truth->room > 0 ? 2 * truth->room : 64;
        truth->segments = realloc(truth->segments, truth->room * sizeof *truth->segments);
        CHECK(truth->segments);
    }
    truth->segments[truth->num_segments++] = content_of(segment);
    sim_tally.segments++;
    sim_tally.steps += (uint64_t)segment->num_steps;
}

uint64_t truth_steps(const SimSession *session, uint64_t first, uint64_t last)
{
    uint64_t steps = 0;
    for (uint64_t i = first; i <= last; i++)
        steps += (uint64_t)session->segments[i - 1].steps;
    return steps;
}

/* --- Acceptance --------------------------------------------------------------------------------
 */

/* Each environment's steps come once, and in order. */
static void check_steps(Sim *sim, const Segment *segment, const SimSegment *content)
{
    SimLearner *learner = &sim->learner;
    uint64_t *next = &learner->next_step[content->life][content->env];
    Version *newest = &learner->newest_seen[content->life][content->env];
    sim_check(sim, content->first >= *next, "life %d, environment %u: step %llu came twice",
              content->life, content->env, (Ull)content->first);
    sim_check(sim, !version_is_newer(*newest, segment->version),
              "life %d, environment %u: its policy went back", content->life, content->env);
    *next = content->first + (uint64_t)segment->num_steps;
    *newest = segment->version;
}

static void check_origin(const Sim *sim, const SimSession *truth, const SegmentOrigin *origin)
{
    char key[IDENTITY_KEY_BYTES];
    sim_key_name(truth->key, key);
    sim_check(sim, strcmp(origin->key, key) == 0, "a session of the key %s is now of %s", key,
              origin->key);
    sim_check(sim, !sim->revoked[truth->key], "a segment came in by the key %s, which was revoked",
              key);
}

static void add_place(Sim *sim, int session, uint64_t sequence, uint64_t steps)
{
    SimLearner *learner = &sim->learner;
    SimSession *truth = &sim->sessions[session];
    sim_check(sim, sim->num_places < SIM_PLACES_MAX, "more segments than steps");
    const SimPlace *before = &sim->places[sim->num_places];
    learner->accepted += steps;
    sim->places[++sim->num_places] = (SimPlace){.session = session,
                                                .sequence = sequence,
                                                .steps = (int)steps,
                                                .row_end = before->row_end + steps + 1,
                                                .env_steps = learner->accepted};
    truth->segments[sequence - 1].handed_on = sim->num_places;
    truth->accepted = sequence;
    truth->waiting++;
}

void truth_accepted(Sim *sim, const Segment *segment, const SegmentOrigin *origin)
{
    int session;
    memcpy(&session, origin->session.id, sizeof session);
    SimSession *truth = &sim->sessions[session];
    uint64_t sequence = segment->sequence;
    sim_check(sim, sequence == truth->accepted + 1, "session %d: segment %llu after %llu", session,
              (Ull)sequence, (Ull)truth->accepted);
    sim_check(sim, sequence <= truth->num_segments, "session %d: segment %llu was never made",
              session, (Ull)sequence);
    const SimSegment *made = &truth->segments[sequence - 1];
    SimSegment content = content_of(segment);
    uint64_t left = sim->pacer.total_env_steps - sim->learner.accepted;
    uint64_t steps = (uint64_t)made->steps < left ? (uint64_t)made->steps : left;
    sim_check(sim,
              content.life == made->life && content.env == made->env &&
                  content.first == made->first && (uint64_t)content.steps == steps,
              "session %d: segment %llu is not what was sent, or more than what is left", session,
              (Ull)sequence);
    check_steps(sim, segment, &content);
    check_origin(sim, truth, origin);
    uint64_t session_steps = truth_steps(truth, 1, sequence);
    sim_check(sim, origin->session_steps == session_steps,
              "session %d has %llu steps after segment %llu, not %llu", session, (Ull)session_steps,
              (Ull)sequence, (Ull)origin->session_steps);
    add_place(sim, session, sequence, steps);
}

void truth_given_up(Sim *sim, int session, uint64_t oldest_unacked, uint64_t steps)
{
    SimSession *truth = &sim->sessions[session];
    sim_check(sim, oldest_unacked > truth->accepted + 1,
              "session %d: segments up to %llu are given up, and %llu are there", session,
              (Ull)oldest_unacked - 1, (Ull)truth->accepted);
    uint64_t expected = truth_steps(truth, truth->accepted + 1, oldest_unacked - 1);
    sim_check(sim, steps == expected, "session %d: %llu steps are counted as lost, not %llu",
              session, (Ull)steps, (Ull)expected);
    for (uint64_t i = truth->accepted + 1; i < oldest_unacked; i++) {
        SimSegment *segment = &truth->segments[i - 1];
        /* Acknowledged is logged: only a power loss, or a log that was left out, takes it away. */
        sim_check(sim, sim->power_losses > 0 || sim->skipped > 0 || !sim->logged || segment->out,
                  "session %d: segment %llu was acknowledged and is lost", session, (Ull)i);
        segment->given_up = true;
        sim_tally.given_up++;
    }
    truth->accepted = oldest_unacked - 1;
    if (truth->waiting == 0)
        truth->logged = truth->accepted;
}

/* --- The log -----------------------------------------------------------------------------------
 */

void truth_logged(Sim *sim, uint64_t position, bool skipped)
{
    sim_check(sim, position <= sim->num_places, "position %llu is logged before it was accepted",
              (Ull)position);
    SimPlace *place = &sim->places[position];
    SimSession *truth = &sim->sessions[place->session];
    sim_check(sim, !place->logged && !place->skipped, "position %llu is logged again",
              (Ull)position);
    sim_check(sim, !skipped || sim->on_error == LOG_ON_ERROR_CONTINUE,
              "position %llu goes on without the log", (Ull)position);
    place->logged = !skipped;
    place->skipped = skipped;
    sim->skipped += skipped;
    sim_tally.skipped += skipped;
    truth->waiting--;
    truth->logged = place->sequence;
}

void truth_ingested(Sim *sim, uint64_t position, const Segment *segment)
{
    sim_check(sim, position <= sim->num_places, "position %llu was never accepted", (Ull)position);
    SimPlace *place = &sim->places[position];
    const SimSegment *made = &sim->sessions[place->session].segments[place->sequence - 1];
    SimSegment content = content_of(segment);
    sim_check(sim, place->logged || place->skipped || !sim->logged,
              "position %llu is ingested before it is logged", (Ull)position);
    sim_check(sim,
              content.life == made->life && content.env == made->env &&
                  content.first == made->first && content.steps == place->steps,
              "position %llu is not what was accepted", (Ull)position);
    sim_check(sim, !place->ingested, "position %llu is ingested twice", (Ull)position);
    place->ingested = true;
}

/* --- A new start of the learner ----------------------------------------------------------------
 */

/* What the history does not have any more was never accepted. */
static void forget_place(Sim *sim, const SimPlace *place, uint64_t position)
{
    SimSegment *made = &sim->sessions[place->session].segments[place->sequence - 1];
    if (made->handed_on == position)
        made->handed_on = 0;
}

void truth_go_back(Sim *sim, uint64_t position)
{
    SimLearner *learner = &sim->learner;
    sim_check(sim, position <= sim->num_places, "the learner begins at position %llu of %llu",
              (Ull)position, (Ull)sim->num_places);
    for (uint64_t i = position + 1; i <= sim->num_places; i++)
        forget_place(sim, &sim->places[i], i);
    sim->num_places = position;
    learner->accepted = sim->places[position].env_steps;
    memset(learner->next_step, 0, sizeof learner->next_step);
    for (uint64_t i = 1; i <= position; i++) {
        SimPlace *place = &sim->places[i];
        const SimSegment *made = &sim->sessions[place->session].segments[place->sequence - 1];
        place->ingested = false;
        if (place->lost)
            continue;
        uint64_t *next = &learner->next_step[made->life][made->env];
        sim_check(sim, made->first >= *next, "life %d, environment %u: step %llu is there twice",
                  made->life, made->env, (Ull)made->first);
        *next = made->first + (uint64_t)place->steps;
    }
    for (int i = 0; i < sim->num_sessions; i++) {
        SimSession *session = &sim->sessions[i];
        session->accepted = 0;
        session->waiting = 0;
        session->logged = 0;
        session->said = 0;
        session->welcomed = false;
    }
}

/* The watermark that the log gives back: neither behind what is in it or named in it, nor before.
 */
void truth_session_restored(Sim *sim, const SessionRecord *record)
{
    int session;
    memcpy(&session, record->id.id, sizeof session);
    SimSession *truth = &sim->sessions[session];
    uint64_t least = 0;
    uint64_t most = 0;
    for (uint64_t i = 1; i <= sim->num_places; i++) {
        const SimPlace *place = &sim->places[i];
        if (place->session != session)
            continue;
        most = place->sequence;
        if (place->logged && !place->lost)
            least = place->sequence;
        /* A power loss may take the table and leave the gap that it speaks for. */
        if (place->named && sim->power_losses == 0)
            least = place->sequence;
    }
    sim_check(sim, record->sequence >= least && record->sequence <= most,
              "session %d is restored at segment %llu; the log has %llu, the history %llu", session,
              (Ull)record->sequence, (Ull)least, (Ull)most);
    sim_check(sim, record->env_steps == truth_steps(truth, 1, record->sequence),
              "session %d is restored with %llu steps, not %llu", session, (Ull)record->env_steps,
              (Ull)truth_steps(truth, 1, record->sequence));
    char key[IDENTITY_KEY_BYTES];
    sim_key_name(truth->key, key);
    sim_check(sim, strcmp(record->key, key) == 0, "session %d is restored with the key %s", session,
              record->key);
    truth->accepted = record->sequence;
    truth->logged = record->sequence;
    truth->said = record->sequence;
}

/* --- Acknowledgements --------------------------------------------------------------------------
 */

/* Whether a segment that is acknowledged for the first time went on without the log. What this
 * start has left out needs none. */
static bool any_skipped(const Sim *sim, const SimSession *truth, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last && i <= truth->accepted; i++) {
        uint64_t position = truth->segments[i - 1].handed_on;
        if (position > 0 && sim->places[position].skipped)
            return true;
    }
    return false;
}

/* A Welcome (`ack` is NULL) or an Ack goes out. */
void truth_acknowledged(Sim *sim, Link link, uint64_t acked, const Ack *ack)
{
    int session = sim->link_session[link] - 1;
    if (session < 0)
        return;
    SimSession *truth = &sim->sessions[session];
    uint64_t may = truth->waiting > 0 ? truth->logged : truth->accepted;
    /* What comes when all steps are there is acknowledged and left out. */
    if (sim->learner.accepted == sim->pacer.total_env_steps && truth->waiting == 0) {
        for (uint64_t i = may + 1; i <= acked && i <= truth->num_segments; i++)
            truth->segments[i - 1].out = true;
        may = truth->num_segments;
    }
    sim_check(sim, acked <= may, "session %d: %llu is acknowledged, %llu is logged", session,
              (Ull)acked, (Ull)may);
    sim_check(sim, acked >= truth->said, "session %d: %llu is acknowledged after %llu", session,
              (Ull)acked, (Ull)truth->said);
    if (ack && ack->durable)
        sim_check(sim, sim->logged && !any_skipped(sim, truth, truth->said + 1, acked),
                  "session %d: %llu is acknowledged as durable and is not", session, (Ull)acked);
    truth->said = acked;
    truth->welcomed = true;
    if (truth->said_ever < acked)
        truth->said_ever = acked;
}

/* --- The end -----------------------------------------------------------------------------------
 */

/* What became of a segment; NULL when nobody counted it. */
static const char *fate(const Sim *sim, const SimSession *session, uint64_t sequence)
{
    const SimSegment *segment = &session->segments[sequence - 1];
    bool log_lost = sim->power_losses > 0 || sim->skipped > 0 || !sim->logged;
    if (segment->handed_on > 0)
        return sim->places[segment->handed_on].lost ? "lost with the log, which counts it"
                                                    : "ingested";
    if (segment->given_up)
        return "counted by the learner";
    if (segment->dropped)
        return "counted by the actor";
    if (segment->out)
        return "left out: all steps were there";
    if (sim->life_over[session->life] && (sequence > session->said_ever || log_lost))
        return "lost with its process";
    if (session->expired && sequence <= session->said_ever && log_lost)
        return "lost with its session, which the actor was told";
    if (!session->welcomed && sequence <= session->said_ever && log_lost)
        return "lost, and its actor did not come back to be told";
    return NULL;
}

/* What the living actor of a session has still not heard to be there; UINT64_MAX: it has none. */
static uint64_t first_held(const Sim *sim, int session)
{
    for (int i = 0; i < sim->num_actors; i++) {
        if (sim->actors[i].alive && sim->actors[i].session == session)
            return sim->actors[i].outbox.acked_sequence + 1;
    }
    return UINT64_MAX;
}

/* No segment is lost in silence. */
void truth_at_end(Sim *sim)
{
    for (int i = 0; i < sim->num_sessions; i++) {
        const SimSession *session = &sim->sessions[i];
        uint64_t held = first_held(sim, i); /* and was not needed */
        for (uint64_t sequence = 1; sequence <= session->num_segments && sequence < held;
             sequence++)
            sim_check(sim, fate(sim, session, sequence),
                      "session %d of life %d: nobody knows of segment %llu", i, session->life,
                      (Ull)sequence);
    }
    for (uint64_t i = 1; i <= sim->num_places; i++)
        sim_check(sim, sim->places[i].ingested || sim->places[i].lost,
                  "position %llu was never ingested", (Ull)i);
}

void truth_end(Sim *sim)
{
    for (int i = 0; i < SIM_SESSIONS_MAX; i++)
        free(sim->sessions[i].segments);
}
