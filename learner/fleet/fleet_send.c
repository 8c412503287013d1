/* What goes out: each peer has a set of things due, and the message is made when it is taken, so it
 * always says how things stand at that moment. */
#include <string.h>

#include "learner/fleet/fleet_internal.h"

static void make_welcome(const Fleet *fleet, const Peer *peer, Message *message)
{
    message->kind = MESSAGE_WELCOME;
    Welcome *welcome = &message->welcome;
    *welcome = fleet->config.welcome;
    welcome->protocol_version = WIRE_PROTOCOL_VERSION;
    welcome->epoch = fleet->config.epoch;
    welcome->newest = fleet->progress.newest;
    const ActorSession *session = peer->session;
    if (!session)
        return;
    welcome->actor_index = session->actor_index;
    welcome->incarnation = session->incarnation;
    welcome->acked_sequence = session->acked_sequence;
    welcome->send_limit_sequence = session->send_limit_sequence;
    welcome->step_limit = session->step_limit;
}

static void make_ack(const Fleet *fleet, const Peer *peer, Message *message)
{
    message->kind = MESSAGE_ACK;
    Ack *ack = &message->ack;
    *ack = (Ack){.newest = fleet->progress.newest, .durable = fleet->progress.durable};
    const ActorSession *session = peer->session;
    if (!session)
        return;
    ack->acked_sequence = session->acked_sequence;
    ack->send_limit_sequence = session->send_limit_sequence;
    ack->step_limit = session->step_limit;
    fleet_reason(fleet, session, ack->reason);
}

static void make_status(Fleet *fleet, int64_t now_ms, Message *message)
{
    message->kind = MESSAGE_STATUS;
    message->status = (RunStatus){.epoch = fleet->config.epoch};
    if (fleet->status_fill)
        fleet->status_fill(fleet->status_context, &message->status);
    FleetCounts counts = fleet_counts(fleet);
    message->status.sessions = counts.sessions;
    message->status.refused_peers += counts.refused_peers; /* those that never said Hello too */
    message->status.garbage_messages = counts.garbage_messages;
    message->status.lost_segments = counts.lost_segments;
    message->status.lost_steps = counts.lost_steps;
    message->status.faults = counts.faults;
    memcpy(message->status.last_fault, fleet->last_fault, sizeof message->status.last_fault);
    fleet_faults_alarm(fleet, &message->status);
    message->status.evaluators = fleet->num_evaluators;
    message->status.relays = fleet->num_relays;
    message->status.actors = fleet->status_actors;
    message->status.num_actors =
        fleet_actor_status(fleet, fleet->status_actors, fleet->status_actors_max, now_ms);
}

/* Whether a peer may have its Status now; otherwise it is looked at again with the next tick. It is
 * the one message of some size that anybody can ask for. */
static bool may_have_status(const Fleet *fleet, const Peer *peer, int64_t now_ms)
{
    if (!peer->status_due ||
        (peer->status_ms != 0 && now_ms - peer->status_ms < STATUS_INTERVAL_MS))
        return false;
    return !fleet->sink.status_fits || fleet->sink.status_fits(fleet->sink.context, peer->link);
}

/* A waiting evaluation for a free evaluator. */
static PendingEvaluation *evaluation_for(Fleet *fleet, const Peer *peer)
{
    if (peer->role != ROLE_EVALUATOR || peer->evaluating)
        return NULL;
    for (uint32_t i = 0; i < fleet->num_evaluations; i++) {
        if (fleet->evaluations[i].link == 0)
            return &fleet->evaluations[i];
    }
    return NULL;
}

/* The next thing due for a peer; false when there is nothing more. */
static bool next_for_peer(Fleet *fleet, Peer *peer, int64_t now_ms, Message *message)
{
    if (peer->welcome_due) {
        peer->welcome_due = false;
        peer->ack_due = false; /* a Welcome says all that an Ack does */
        peer->last_ack_ms = now_ms;
        make_welcome(fleet, peer, message);
        return true;
    }
    if (peer->ack_due) {
        peer->ack_due = false;
        peer->last_ack_ms = now_ms;
        make_ack(fleet, peer, message);
        return true;
    }
    if (peer->outcome_due) {
        peer->outcome_due = false;
        message->kind = MESSAGE_OUTCOME;
        message->outcome = peer->outcome;
        return true;
    }
    if (may_have_status(fleet, peer, now_ms)) {
        peer->status_due = false;
        peer->status_ms = now_ms;
        make_status(fleet, now_ms, message);
        return true;
    }
    PendingEvaluation *evaluation = evaluation_for(fleet, peer);
    if (evaluation) {
        evaluation->link = peer->link;
        peer->evaluating = true;
        message->kind = MESSAGE_EVAL_REQUEST;
        message->eval_request = evaluation->request;
        return true;
    }
    if (peer->bye_due) {
        peer->bye_due = false;
        message->kind = MESSAGE_BYE;
        message->bye = fleet->bye ? fleet->bye : peer->bye;
        return true;
    }
    return false;
}

/* In their order: a peer that is refused twice hears the first reason first. */
static void next_refusal(Fleet *fleet, Message *message)
{
    const Refusal *refusal = &fleet->refusals[0];
    if (refusal->bye) {
        message->kind = MESSAGE_BYE;
        message->bye = refusal->bye;
    } else {
        message->kind = MESSAGE_REJECT;
        message->reject = refusal->reject;
    }
    fleet->num_refusals--;
    memmove(&fleet->refusals[0], &fleet->refusals[1],
            fleet->num_refusals * sizeof fleet->refusals[0]);
}

bool fleet_next_message(Fleet *fleet, int64_t now_ms, Link *link, Message *message)
{
    fleet->now_ms = now_ms;
    if (fleet->num_refusals > 0) {
        *link = fleet->refusals[0].link;
        next_refusal(fleet, message);
        return true;
    }
    while (fleet->outgoing) {
        Peer *peer = fleet->outgoing;
        if (next_for_peer(fleet, peer, now_ms, message)) {
            *link = peer->link;
            return true;
        }
        fleet_forget_outgoing(fleet, peer);
    }
    return false;
}
