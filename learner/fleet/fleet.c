#include "learner/fleet/fleet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

Fleet *fleet_new(const FleetConfig *config, const FleetSink *sink)
{
    Fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet)
        return NULL;
    fleet->config = *config;
    fleet->sink = *sink;
    fleet->sessions.max = config->sessions_max;
    fleet->sessions.retention_ms = config->session_retention_ms;
    fleet->actors = calloc(config->peers_max, sizeof(ActorSession *));
    fleet->connected = calloc(config->peers_max, sizeof(ActorSession *));
    fleet->incarnations = calloc(config->peers_max, sizeof(uint32_t));
    fleet->status_actors_max =
        config->peers_max < STATUS_ACTORS_MAX ? config->peers_max : STATUS_ACTORS_MAX;
    fleet->status_actors = calloc(fleet->status_actors_max, sizeof(ActorStatus));
    if (!fleet->actors || !fleet->connected || !fleet->incarnations || !fleet->status_actors)
        fleet_destroy(&fleet);
    return fleet;
}

void fleet_destroy(Fleet **fleet_pointer)
{
    Fleet *fleet = *fleet_pointer;
    if (!fleet)
        return;
    Peer *peer = NULL;
    Peer *next = NULL;
    HASH_ITER(hh, fleet->peers, peer, next)
    {
        HASH_DEL(fleet->peers, peer);
        free(peer);
    }
    session_table_destroy(&fleet->sessions);
    free(fleet->actors);
    free(fleet->connected);
    free(fleet->incarnations);
    free(fleet->status_actors);
    free(fleet);
    *fleet_pointer = NULL;
}

void fleet_set_run(Fleet *fleet, const Spec *spec, const Pacer *pacer, uint64_t accepted,
                   uint64_t slots)
{
    fleet->slots = slots;
    fleet->has_run = true;
    fleet->spec = *spec;
    fleet->pacer = *pacer;
    fleet->steps_accepted = accepted;
    fleet->progress.env_steps = accepted;
    fleet->progress.updates = pacer->updates_start;
}

Welcome *fleet_welcome(Fleet *fleet)
{
    return &fleet->config.welcome;
}

void fleet_set_status_fill(Fleet *fleet, FleetStatusFill fill, void *context)
{
    fleet->status_fill = fill;
    fleet->status_context = context;
}

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

Peer *fleet_find_peer(Fleet *fleet, uint32_t link)
{
    Peer *peer = NULL;
    HASH_FIND(hh, fleet->peers, &link, sizeof link, peer);
    return peer;
}

/* Takes back what a session was granted and did not use. */
static void disconnect_session(Fleet *fleet, ActorSession *session)
{
    session->link = 0;
    session->step_limit = session->steps_accepted;
    session->send_limit_sequence = session->acked_sequence;
    fleet->actors[session->actor_index] = NULL;
    fleet->num_actors--;
    fleet->num_environments -= session->num_envs;
}

/* Wakes those evaluators that are free: there may be work for them. */
static void offer_evaluations(Fleet *fleet)
{
    for (Peer *peer = fleet->peers; peer && fleet->num_evaluations > 0; peer = peer->hh.next) {
        if (peer->role == ROLE_EVALUATOR && !peer->evaluating)
            fleet_queue(fleet, peer);
    }
}

void fleet_drop_peer(Fleet *fleet, Peer *peer)
{
    if (peer->session)
        disconnect_session(fleet, peer->session);
    bool evaluator = peer->role == ROLE_EVALUATOR;
    fleet->num_evaluators -= evaluator;
    for (uint32_t i = 0; i < fleet->num_evaluations; i++) {
        if (fleet->evaluations[i].link == peer->link)
            fleet->evaluations[i].link = 0;
    }
    fleet_forget_outgoing(fleet, peer);
    HASH_DEL(fleet->peers, peer);
    free(peer);
    if (evaluator)
        offer_evaluations(fleet);
}

void fleet_link_gone(Fleet *fleet, uint32_t link)
{
    Peer *peer = fleet_find_peer(fleet, link);
    if (!peer)
        return;
    if (peer->role != ROLE_OBSERVER && !fleet->bye)
        fleet_note(fleet, "%s %s is gone", role_name(peer->role), peer->name);
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
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
    ActorSession *session = fleet->connected[0];
    for (uint32_t i = 0; i < fleet->num_actors; i++) {
        if (fleet->connected[i]->actor_index >= fleet->turn) {
            session = fleet->connected[i];
            break;
        }
    }
    fleet->turn = session->actor_index + 1;
    return session;
}

void fleet_credit(Fleet *fleet)
{
    if (!fleet->has_run || fleet->num_actors == 0 || fleet->bye)
        return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < fleet->config.peers_max && n < fleet->num_actors; i++) {
        if (fleet->actors[i])
            fleet->connected[n++] = fleet->actors[i];
    }
    uint64_t segment_steps = fleet->config.welcome.segment_steps;
    uint64_t window = pacer_window(&fleet->pacer, fleet->num_environments, segment_steps);
    CreditPool pool = {
        .step_limit = pacer_grant_limit(&fleet->pacer, fleet->progress.env_steps,
                                        fleet->progress.updates, window),
        .total_steps = fleet->pacer.total_env_steps,
        .steps_accepted = fleet->steps_accepted,
        .window = window,
        .segment_steps = segment_steps,
        .slots_free = fleet->slots - fleet->progress.slots_used,
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

void fleet_set_progress(Fleet *fleet, const FleetProgress *progress)
{
    fleet->progress = *progress;
    fleet_credit(fleet);
}

/* Hands a segment on, cut to what is left of the run: a run ends at exactly total_env_steps, also
 * where an actor that was given up comes back with steps whose credit went to others. */
static void accept_segment(Fleet *fleet, ActorSession *session, const Segment *segment)
{
    session->acked_sequence = segment->sequence;
    session->steps_accepted += (uint64_t)segment->num_steps;
    if (session->step_limit < session->steps_accepted)
        session->step_limit = session->steps_accepted;
    Segment taken = *segment;
    uint64_t left = fleet->pacer.total_env_steps > fleet->steps_accepted
                        ? fleet->pacer.total_env_steps - fleet->steps_accepted
                        : 0;
    if (left == 0)
        return;
    if ((uint64_t)taken.num_steps > left) {
        taken.num_steps = (int)left;
        taken.end = SEGMENT_CONTINUES;
    }
    fleet->steps_accepted += (uint64_t)taken.num_steps;
    fleet->progress.slots_used++; /* until the trainer's next word on it */
    fleet->sink.accept(fleet->sink.context, &taken);
}

static void handle_segment(Fleet *fleet, Peer *peer, const Segment *segment)
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
    peer->ack_due = true;
    if (segment->sequence > session->acked_sequence + 1 ||
        (segment->sequence > session->send_limit_sequence)) {
        /* A hole, or more than was allowed: the actor starts again from what is acknowledged. */
        fleet_note(fleet,
                   "actor %u (%s) sent segment %llu after %llu, with the limit %llu: it has "
                   "to say Hello again",
                   session->actor_index, peer->name, (unsigned long long)segment->sequence,
                   (unsigned long long)session->acked_sequence,
                   (unsigned long long)session->send_limit_sequence);
        fleet_refuse(fleet, peer->link, REJECT_HELLO_FIRST, "segments out of order");
        fleet_drop_peer(fleet, peer);
        return;
    }
    if (segment->sequence == session->acked_sequence + 1)
        accept_segment(fleet, session, segment);
    fleet_queue(fleet, peer);
}

static void handle_heartbeat(Peer *peer, const Heartbeat *heartbeat)
{
    ActorSession *session = peer->session;
    if (!session)
        return;
    session->dropped_steps = heartbeat->dropped_steps;
    memcpy(session->waiting_for, heartbeat->waiting_for, sizeof session->waiting_for);
}

static void remove_evaluation(Fleet *fleet, uint32_t i)
{
    fleet->num_evaluations--;
    memmove(&fleet->evaluations[i], &fleet->evaluations[i + 1],
            (fleet->num_evaluations - i) * sizeof fleet->evaluations[0]);
}

static void handle_eval_result(Fleet *fleet, Peer *peer, const EvalResult *result)
{
    peer->evaluating = false;
    for (uint32_t i = 0; i < fleet->num_evaluations; i++) {
        if (fleet->evaluations[i].link != peer->link ||
            fleet->evaluations[i].request.eval_id != result->eval_id)
            continue;
        remove_evaluation(fleet, i);
        fleet->sink.evaluated(fleet->sink.context, result);
        break;
    }
    if (fleet->num_evaluations > 0)
        fleet_queue(fleet, peer);
}

static void handle_bye(Fleet *fleet, Peer *peer)
{
    if (peer->role != ROLE_OBSERVER && !fleet->bye)
        fleet_note(fleet, "%s %s says goodbye", role_name(peer->role), peer->name);
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
}

void fleet_receive(Fleet *fleet, uint32_t link, const Message *message, int64_t now_ms)
{
    if (message->kind == MESSAGE_HELLO) {
        fleet_handle_hello(fleet, link, &message->hello, now_ms);
        return;
    }
    Peer *peer = fleet_find_peer(fleet, link);
    if (!peer) {
        if (message->kind != MESSAGE_BYE)
            fleet_refuse(fleet, link, REJECT_HELLO_FIRST, "say Hello first");
        return;
    }
    peer->last_heard_ms = now_ms;
    if (peer->session)
        peer->session->last_heard_ms = now_ms;
    switch (message->kind) {
    case MESSAGE_SEGMENT:
        handle_segment(fleet, peer, &message->segment);
        break;
    case MESSAGE_HEARTBEAT:
        handle_heartbeat(peer, &message->heartbeat);
        break;
    case MESSAGE_BYE:
        handle_bye(fleet, peer);
        break;
    case MESSAGE_STATUS_REQUEST:
        peer->status_due = true;
        fleet_queue(fleet, peer);
        break;
    case MESSAGE_EVAL_RESULT:
        if (peer->role == ROLE_EVALUATOR)
            handle_eval_result(fleet, peer, &message->eval_result);
        break;
    default:
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "a peer may not send %s",
                     message_kind_name(message->kind));
        fleet_drop_peer(fleet, peer);
        break;
    }
}

void fleet_receive_garbage(Fleet *fleet, uint32_t link, int code, const char *why)
{
    Peer *peer = fleet_find_peer(fleet, link);
    if (!peer && code == ERR_SPEC) {
        fleet_note(fleet, "an actor is refused: %s", why);
        fleet_refuse(fleet, link, REJECT_SPEC, "%s", why);
        return;
    }
    if (!peer) {
        /* It may come from before a restart: then it is no fault of the peer. */
        fleet_refuse(fleet, link, REJECT_HELLO_FIRST, "say Hello first (%s)", why);
        return;
    }
    fleet_note(fleet, "%s %s sent a message that cannot be read (%s): it is turned away",
               role_name(peer->role), peer->name, why);
    fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "a message could not be read: %s", why);
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
}

static bool is_lost(const Fleet *fleet, const Peer *peer, int64_t now_ms)
{
    int64_t interval_ms = fleet->config.welcome.heartbeat_interval_ms;
    return now_ms - peer->last_heard_ms > LOST_AFTER_HEARTBEATS * interval_ms;
}

void fleet_tick(Fleet *fleet, int64_t now_ms)
{
    bool credit_returned = false;
    Peer *peer = NULL;
    Peer *next = NULL;
    HASH_ITER(hh, fleet->peers, peer, next)
    {
        if (is_lost(fleet, peer, now_ms)) {
            if (peer->role != ROLE_OBSERVER)
                fleet_note(fleet, "%s %s is lost: silent for %.1f s", role_name(peer->role),
                           peer->name, (double)(now_ms - peer->last_heard_ms) / 1000.0);
            fleet_drop_peer(fleet, peer);
            credit_returned = true;
        } else if (now_ms - peer->last_ack_ms >= fleet->config.welcome.heartbeat_interval_ms) {
            peer->ack_due = true;
            peer->bye_due = fleet->bye != 0; /* the last one may have been lost */
            fleet_queue(fleet, peer);
        }
    }
    if (now_ms >= fleet->next_expiry_ms) {
        session_table_expire(&fleet->sessions, now_ms);
        fleet->next_expiry_ms = now_ms + EXPIRY_INTERVAL_MS;
    }
    if (credit_returned)
        fleet_credit(fleet);
}

bool fleet_request_evaluation(Fleet *fleet, const EvalRequest *request)
{
    if (fleet->num_evaluations == EVALUATIONS_MAX)
        return false;
    fleet->evaluations[fleet->num_evaluations++] = (PendingEvaluation){.request = *request};
    offer_evaluations(fleet);
    return true;
}

bool fleet_take_back_evaluation(Fleet *fleet, uint64_t *eval_id)
{
    for (uint32_t i = 0; i < fleet->num_evaluations; i++) {
        if (fleet->evaluations[i].link != 0)
            continue;
        *eval_id = fleet->evaluations[i].request.eval_id;
        remove_evaluation(fleet, i);
        return true;
    }
    return false;
}

uint32_t fleet_num_evaluations(const Fleet *fleet)
{
    return fleet->num_evaluations;
}

void fleet_say_bye(Fleet *fleet, ByeReason reason)
{
    fleet->bye = reason;
    for (Peer *peer = fleet->peers; peer; peer = peer->hh.next) {
        peer->bye_due = true;
        fleet_queue(fleet, peer);
    }
}

uint32_t fleet_num_actors(const Fleet *fleet)
{
    return fleet->num_actors;
}

uint32_t fleet_num_evaluators(const Fleet *fleet)
{
    return fleet->num_evaluators;
}

uint32_t fleet_num_peers(const Fleet *fleet)
{
    return HASH_COUNT(fleet->peers);
}

uint64_t fleet_env_steps_accepted(const Fleet *fleet)
{
    return fleet->steps_accepted;
}

uint32_t fleet_actor_status(const Fleet *fleet, ActorStatus *actors, uint32_t max, int64_t now_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < fleet->config.peers_max && n < max; i++) {
        const ActorSession *session = fleet->actors[i];
        if (!session)
            continue;
        ActorStatus *status = &actors[n++];
        *status = (ActorStatus){
            .actor_index = session->actor_index,
            .incarnation = session->incarnation,
            .env_steps = session->steps_accepted,
            .unused_credit = session->step_limit - session->steps_accepted,
            .silent_ms = (uint32_t)(now_ms - session->last_heard_ms),
            .dropped_steps = session->dropped_steps,
        };
        snprintf(status->name, sizeof status->name, "%s", session->name);
        snprintf(status->waiting_for, sizeof status->waiting_for, "%.*s", STATUS_TEXT_MAX - 1,
                 session->waiting_for);
    }
    return n;
}

void fleet_waiting_for(const Fleet *fleet, char text[WIRE_TEXT_MAX + 1])
{
    const size_t bytes = WIRE_TEXT_MAX + 1;
    text[0] = '\0';
    if (!fleet->has_run) {
        snprintf(text, bytes, "waiting for the first actor");
        return;
    }
    if (fleet->num_actors == 0) {
        snprintf(text, bytes, "no actor is connected");
        return;
    }
    if (fleet->config.welcome.sync && fleet->num_actors < fleet->config.actors_awaited) {
        snprintf(text, bytes, "lockstep: %u of %u actors are connected", fleet->num_actors,
                 fleet->config.actors_awaited);
        return;
    }
    uint64_t owed =
        pacer_updates_owed(&fleet->pacer, fleet->progress.env_steps, fleet->progress.updates);
    if (fleet->steps_accepted >= fleet->pacer.total_env_steps)
        snprintf(text, bytes, "all env steps are there: %llu updates owed",
                 (unsigned long long)owed);
    else if (owed > 0)
        snprintf(text, bytes, "insert paused: %llu steps ahead, %llu updates owed",
                 (unsigned long long)pacer_steps_ahead(&fleet->pacer, fleet->progress.env_steps,
                                                       fleet->progress.updates),
                 (unsigned long long)owed);
}
