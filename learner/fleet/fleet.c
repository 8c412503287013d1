#include "learner/fleet/fleet.h"

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
        /* The analyzer loses track of the table's list. */
        HASH_DEL(fleet->peers, peer); // NOLINT(clang-analyzer-unix.Malloc)
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
    fleet_offer_evaluations(fleet);
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
