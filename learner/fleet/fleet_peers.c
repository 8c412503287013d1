/* The fleet's books: peers, what is due to them, and their credit. What the other parts of the
 * fleet are built on; it handles no message. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

void fleet_note(const Fleet *fleet, const char *format, ...)
{
    if (!fleet->sink.note)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fleet->sink.note(fleet->sink.context, line);
}

Peer *fleet_find_peer(const Fleet *fleet, Link link)
{
    Peer *peer = NULL;
    HASH_FIND(hh, fleet->peers, &link, sizeof link, peer);
    return peer;
}

bool fleet_is_watched(const Peer *peer)
{
    return role_has_spec(peer->role) || peer->role == ROLE_RELAY;
}

void fleet_queue(Fleet *fleet, Peer *peer)
{
    if (peer->queued)
        return;
    peer->queued = true;
    DL_APPEND(fleet->outgoing, peer);
}

void fleet_forget_outgoing(Fleet *fleet, Peer *peer)
{
    if (!peer->queued)
        return;
    DL_DELETE(fleet->outgoing, peer);
    peer->queued = false;
}

static Refusal *add_refusal(Fleet *fleet, Link link)
{
    /* A flood of strangers is answered only so far: they ask again. */
    if (fleet->num_refusals == REFUSALS_MAX)
        return NULL;
    Refusal *refusal = &fleet->refusals[fleet->num_refusals++];
    *refusal = (Refusal){.link = link};
    return refusal;
}

void fleet_refuse(Fleet *fleet, Link link, RejectReason reason, const char *format, ...)
{
    fleet->counts.refused_peers +=
        reason == REJECT_NOT_ALLOWED || reason == REJECT_VERSION || reason == REJECT_SPEC;
    Refusal *refusal = add_refusal(fleet, link);
    if (!refusal)
        return;
    refusal->reject.reason = reason;
    va_list args;
    va_start(args, format);
    vsnprintf(refusal->reject.text, sizeof refusal->reject.text, format, args);
    va_end(args);
}

void fleet_refuse_with_bye(Fleet *fleet, Link link, ByeReason bye)
{
    Refusal *refusal = add_refusal(fleet, link);
    if (refusal)
        refusal->bye = bye;
}

/* Takes back what a session was granted and did not use. */
static void disconnect_session(Fleet *fleet, ActorSession *session)
{
    session->link = 0;
    session_table_update(&fleet->sessions, session);
    session->step_limit = session->steps_accepted;
    session->send_limit_sequence = session->accepted_sequence;
    fleet->actors[session->actor_index] = NULL;
    fleet->num_actors--;
    fleet->num_environments -= session->num_envs;
}

void fleet_offer_evaluations(Fleet *fleet)
{
    for (Peer *peer = fleet->peers; peer && fleet->num_evaluations > 0; peer = peer->hh.next) {
        if (peer->role == ROLE_EVALUATOR && !peer->evaluating)
            fleet_queue(fleet, peer);
    }
}

void fleet_drop_peer(Fleet *fleet, Peer *peer)
{
    fleet_drop_channels(fleet, peer);
    if (link_channel(peer->link) != 0)
        fleet_leave_relay(fleet, peer);
    if (peer->session)
        disconnect_session(fleet, peer->session);
    fleet->num_relays -= peer->role == ROLE_RELAY;
    bool evaluator = peer->role == ROLE_EVALUATOR;
    fleet->num_evaluators -= evaluator;
    for (uint32_t i = 0; i < fleet->num_evaluations; i++) {
        if (fleet->evaluations[i].link == peer->link)
            fleet->evaluations[i].link = 0;
    }
    fleet_forget_outgoing(fleet, peer);
    fleet_key_leave(fleet, peer->key);
    HASH_DEL(fleet->peers, peer);
    free(peer);
    if (evaluator)
        fleet_offer_evaluations(fleet);
}

static void on_raised(void *context, ActorSession *session)
{
    Fleet *fleet = context;
    Peer *peer = fleet_find_peer(fleet, session->link);
    CHECK(peer);
    peer->ack_due = true;
    fleet_queue(fleet, peer);
}

/* Lockstep: whose turn is going on. NULL: nobody's. */
static ActorSession *present_turn(const Fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->num_actors; i++) {
        if (fleet->connected[i]->step_limit > fleet->connected[i]->steps_accepted)
            return fleet->connected[i];
    }
    return NULL;
}

/* Lockstep: whose turn begins, once everything before it is settled. NULL: nobody's yet. */
static ActorSession *next_turn(Fleet *fleet)
{
    if (fleet->num_actors < fleet->config.actors_awaited || !fleet->progress.settled ||
        fleet->progress.env_steps != fleet->steps_accepted)
        return NULL;
    /* `connected` is in the order of the indices. */
    ActorSession *first = NULL;
    ActorSession *next = NULL;
    for (uint32_t i = 0; i < fleet->num_actors && !next; i++) {
        ActorSession *session = fleet->connected[i];
        if (session->draining)
            continue;
        if (!first)
            first = session;
        if (session->actor_index >= fleet->turn)
            next = session;
    }
    if (!next)
        next = first;
    if (next)
        fleet->turn = next->actor_index + 1;
    return next;
}

void fleet_credit(Fleet *fleet)
{
    if (!fleet->has_run || fleet->num_actors == 0 || fleet->bye || fleet->progress.hold[0])
        return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < fleet->config.peers_max && n < fleet->num_actors; i++) {
        if (fleet->actors[i])
            fleet->connected[n++] = fleet->actors[i];
    }
    uint64_t segment_steps = fleet->config.welcome.segment_steps;
    uint64_t window = pacer_window(&fleet->pacer, fleet->num_environments, segment_steps);
    /* The trainer's word and the log's come one after the other. */
    uint64_t slots_used = fleet->handed - fleet->logged;
    if (slots_used < fleet->progress.slots_used)
        slots_used = fleet->progress.slots_used;
    CreditPool pool = {
        .step_limit = pacer_grant_limit(&fleet->pacer, fleet->progress.env_steps,
                                        fleet->progress.updates, window),
        .total_steps = fleet->pacer.total_env_steps,
        .steps_accepted = fleet->steps_accepted,
        .window = window,
        .segment_steps = segment_steps,
        .slots_free = fleet->slots - slots_used,
        .slots = fleet->slots,
        .grants = fleet->grants,
    };
    const ActorSession *only = NULL;
    if (fleet->config.welcome.sync) {
        /* Steps are given once in a turn, slots as they are used up. */
        only = present_turn(fleet);
        if (only)
            pool.step_limit = 0;
        else
            only = next_turn(fleet);
        if (!only)
            return;
    }
    credit_give(&pool, fleet->connected, n, only, on_raised, fleet);
    fleet->grants = pool.grants;
}
