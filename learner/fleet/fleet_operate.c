/* Steering: what operators ask for. Each order is answered with an Outcome. */
#include <fnmatch.h>
#include <stdio.h>

#include "learner/fleet/fleet_internal.h"

enum { NAMES_SHOWN_MAX = 5 };

static void answer(Fleet *fleet, Peer *peer, const Outcome *outcome)
{
    peer->outcome = *outcome;
    peer->outcome_due = true;
    fleet_queue(fleet, peer);
}

/* Whether the peer may give orders; otherwise it is turned away. */
static bool may_operate(Fleet *fleet, Peer *peer, MessageKind kind)
{
    if (peer->role == ROLE_OPERATOR)
        return true;
    fleet_refuse(fleet, peer->link, REJECT_NOT_ALLOWED, "an %s may not send %s",
                 role_name(peer->role), message_kind_name(kind));
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
    return false;
}

static void note_order(const Fleet *fleet, const Peer *peer, const char *order, const char *what,
                       const Outcome *outcome)
{
    fleet_note(fleet, "operator %s%s%s%s: %s %s: %s%s", peer->name, peer->key[0] ? " (key " : "",
               peer->key, peer->key[0] ? ")" : "", order, what,
               outcome->done ? "" : "refused: ", outcome->text);
}

void fleet_handle_set(Fleet *fleet, Peer *peer, const Set *set)
{
    if (!may_operate(fleet, peer, MESSAGE_SET))
        return;
    Outcome outcome = {false, "this learner's keys cannot be set"};
    if (fleet->sink.set)
        outcome.done = fleet->sink.set(fleet->sink.context, set->assignment, outcome.text);
    note_order(fleet, peer, "set", set->assignment, &outcome);
    answer(fleet, peer, &outcome);
}

/* The connected actors whose names match, or all, with commas between them. */
static void list_actors(const Fleet *fleet, const char *pattern, char *text, size_t bytes)
{
    size_t used = 0;
    uint32_t count = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < fleet->config.peers_max && used + 1 < bytes; i++) {
        const ActorSession *session = fleet->actors[i];
        if (!session || (pattern && fnmatch(pattern, session->name, 0) != 0))
            continue;
        if (count++ == NAMES_SHOWN_MAX) {
            snprintf(text + used, bytes - used, ", …");
            return;
        }
        used += (size_t)snprintf(text + used, bytes - used, "%s%.24s", count > 1 ? ", " : "",
                                 session->name);
    }
}

void fleet_handle_drain(Fleet *fleet, Peer *peer, const Drain *drain)
{
    if (!may_operate(fleet, peer, MESSAGE_DRAIN))
        return;
    uint32_t count = 0;
    for (Peer *other = fleet->peers; other; other = other->hh.next) {
        if (!other->session || fnmatch(drain->name, other->session->name, 0) != 0)
            continue;
        if (!other->session->draining)
            other->moved_ms = fleet->now_ms;
        other->session->draining = true;
        other->ack_due = true; /* it says why there is no more credit */
        fleet_queue(fleet, other);
        count++;
    }
    Outcome outcome = {.done = count > 0};
    char names[160];
    list_actors(fleet, count > 0 ? drain->name : NULL, names, sizeof names);
    if (count > 0)
        snprintf(outcome.text, sizeof outcome.text, "%u actor%s: %s", count,
                 count == 1 ? " drains" : "s drain", names);
    else
        snprintf(outcome.text, sizeof outcome.text, "no actor has that name; connected: %s",
                 names[0] ? names : "none");
    note_order(fleet, peer, "drain", drain->name, &outcome);
    answer(fleet, peer, &outcome);
}

/* Whether all steps have come that the actor was allowed. One that came
 * back may have been allowed more on its last connection: only its own word tells. */
static bool has_sent_all(const Peer *peer)
{
    const ActorSession *session = peer->session;
    if (session->step_limit != session->steps_accepted)
        return false;
    const Heartbeat *heartbeat = &peer->heartbeat;
    return !session->rejoined || (peer->has_heartbeat && heartbeat->outbox_segments == 0 &&
                                  heartbeat->env_steps <= session->steps_accepted);
}

void fleet_drain_tick(Fleet *fleet, Peer *peer)
{
    ActorSession *session = peer->session;
    if (!session || !session->draining || session->drained)
        return;
    if (session->unlogged > 0)
        return; /* that it is not acknowledged is no fault of the actor */
    int64_t patience_ms =
        (int64_t)LOST_AFTER_HEARTBEATS * fleet->config.welcome.heartbeat_interval_ms;
    bool all = has_sent_all(peer);
    if (!all && fleet->now_ms - peer->moved_ms <= patience_ms)
        return;
    fleet_note(fleet, "actor %u (%s) is drained%s", session->actor_index, session->name,
               all ? "" : ", without the rest of its steps: it does not go on");
    session->drained = true;
    peer->bye = BYE_FINISHED;
    peer->bye_due = true;
    fleet_queue(fleet, peer);
}
