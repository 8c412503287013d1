/* Segments: which are accepted, and when they are acknowledged. Accepted is not acknowledged: a
 * segment is acknowledged when the log has it, in the order in which they were accepted. */
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

static SegmentOrigin origin_of(const ActorSession *session)
{
    SegmentOrigin origin = {.session = session->id,
                            .actor_index = session->actor_index,
                            .incarnation = session->incarnation,
                            .num_envs = session->num_envs,
                            .session_steps = session->steps_accepted};
    _Static_assert(sizeof origin.key == sizeof session->key, "one length of a key's name");
    _Static_assert(sizeof origin.name == sizeof session->name, "one length of a name");
    memcpy(origin.key, session->key, sizeof origin.key);
    memcpy(origin.name, session->name, sizeof origin.name);
    return origin;
}

/* All that was accepted of the session is logged, or needs no log. */
static void acknowledge_all(Fleet *fleet, ActorSession *session)
{
    session->acked_sequence = session->accepted_sequence;
    Peer *peer = session->link != 0 ? fleet_find_peer(fleet, session->link) : NULL;
    if (!peer)
        return;
    peer->ack_due = true;
    fleet_queue(fleet, peer);
}

/* Notes that the newest segment of a session was handed on. */
static void await_log(Fleet *fleet, ActorSession *session)
{
    uint64_t number = fleet->handed++;
    if (fleet->progress.logged == FLEET_NOT_LOGGED) {
        fleet->logged = fleet->handed;
        acknowledge_all(fleet, session);
        return;
    }
    /* Limits cover no more than there are slots, and each that waits here has one. */
    CHECK(fleet->handed - fleet->logged <= fleet->slots);
    fleet->unlogged[number % fleet->slots] = (Unlogged){session, session->accepted_sequence};
    session->unlogged++;
}

/* Hands a segment on, cut to what is left of the run: a run ends at exactly total_env_steps, also
 * where an actor that was given up comes back with steps whose credit went to others. */
static void accept_segment(Fleet *fleet, ActorSession *session, const Segment *segment)
{
    session->accepted_sequence = segment->sequence;
    session->steps_accepted += (uint64_t)segment->num_steps;
    if (session->step_limit < session->steps_accepted)
        session->step_limit = session->steps_accepted;
    Segment taken = *segment;
    uint64_t left = fleet->pacer.total_env_steps > fleet->steps_accepted
                        ? fleet->pacer.total_env_steps - fleet->steps_accepted
                        : 0;
    if (left == 0) {
        /* Left out: it is acknowledged with what is before it. */
        if (session->unlogged == 0)
            acknowledge_all(fleet, session);
        return;
    }
    if ((uint64_t)taken.num_steps > left) {
        taken.num_steps = (int)left;
        taken.end = SEGMENT_CONTINUES;
    }
    fleet->steps_accepted += (uint64_t)taken.num_steps;
    fleet->progress.slots_used++; /* until the trainer's next word on it */
    SegmentOrigin origin = origin_of(session);
    fleet->sink.accept(fleet->sink.context, &taken, &origin);
    await_log(fleet, session);
}

static void turn_away(Fleet *fleet, const Peer *peer, const Segment *segment)
{
    const ActorSession *session = peer->session;
    fleet_note(fleet,
               "actor %u (%s) sent segment %llu after %llu, with the limit %llu: it has to say "
               "Hello again",
               session->actor_index, peer->name, (unsigned long long)segment->sequence,
               (unsigned long long)session->accepted_sequence,
               (unsigned long long)session->send_limit_sequence);
    fleet_refuse(fleet, peer->link, REJECT_HELLO_FIRST, "segments out of order");
}

void fleet_handle_segment(Fleet *fleet, Peer *peer, const Segment *segment)
{
    ActorSession *session = peer->session;
    if (!session) {
        fleet_refuse(fleet, peer->link, REJECT_NOT_ALLOWED, "only actors may send segments");
        fleet_drop_peer(fleet, peer);
        return;
    }
    if (segment->env_index >= session->num_envs) {
        fleet_refuse(fleet, peer->link, REJECT_NOT_ALLOWED,
                     "a segment of environment %u of an actor with %u", segment->env_index,
                     session->num_envs);
        fleet_drop_peer(fleet, peer);
        return;
    }
    if (segment->sequence > session->accepted_sequence + 1 ||
        segment->sequence > session->send_limit_sequence) {
        /* A hole, or more than was allowed: the actor starts again from what is acknowledged. */
        turn_away(fleet, peer, segment);
        fleet_drop_peer(fleet, peer);
        return;
    }
    if (segment->sequence == session->accepted_sequence + 1) {
        peer->moved_ms = fleet->now_ms;
        accept_segment(fleet, session, segment);
        return;
    }
    peer->ack_due = true; /* it is there already */
    fleet_queue(fleet, peer);
}

/* Acknowledges what the log has, in the order in which it was accepted. */
static void take_logged(Fleet *fleet, uint64_t logged)
{
    while (fleet->logged < logged && fleet->logged < fleet->handed) {
        const Unlogged *entry = &fleet->unlogged[fleet->logged++ % fleet->slots];
        ActorSession *session = entry->session;
        if (session->acked_sequence < entry->sequence)
            session->acked_sequence = entry->sequence;
        if (--session->unlogged == 0)
            session_table_update(&fleet->sessions, session);
        Peer *peer = session->link != 0 ? fleet_find_peer(fleet, session->link) : NULL;
        if (session->unlogged == 0)
            acknowledge_all(fleet, session);
        else if (peer && !peer->ack_due) {
            peer->ack_due = true;
            fleet_queue(fleet, peer);
        }
    }
}

void fleet_set_progress(Fleet *fleet, const FleetProgress *progress)
{
    take_logged(fleet, progress->logged);
    fleet->progress = *progress;
    fleet_credit(fleet);
}
