#include "learner/fleet/fleet.h"

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
        /* The analyzer loses track of the table's list. */
        HASH_DEL(fleet->peers, peer); // NOLINT(clang-analyzer-unix.Malloc)
        free(peer);
    }
    fleet_guard_destroy(fleet);
    session_table_destroy(&fleet->sessions);
    free(fleet->unlogged);
    free(fleet->actors);
    free(fleet->connected);
    free(fleet->incarnations);
    free(fleet->status_actors);
    free(fleet);
    *fleet_pointer = NULL;
}

int fleet_set_run(Fleet *fleet, const Spec *spec, const Pacer *pacer, uint64_t accepted,
                  uint64_t slots)
{
    CHECK(!fleet->has_run);
    fleet->unlogged = calloc(slots, sizeof *fleet->unlogged);
    if (!fleet->unlogged)
        return ERR_NOMEM;
    fleet->slots = slots;
    fleet->has_run = true;
    fleet->spec = *spec;
    fleet->pacer = *pacer;
    fleet->steps_accepted = accepted;
    fleet->progress.env_steps = accepted;
    fleet->progress.updates = pacer->updates_start;
    return ERR_OK;
}

void fleet_set_pacer(Fleet *fleet, const Pacer *pacer)
{
    fleet->pacer = *pacer;
}

void fleet_set_loading(Fleet *fleet, bool loading, const char *text)
{
    fleet->loading = loading;
    snprintf(fleet->loading_text, sizeof fleet->loading_text, "%.*s", WIRE_TEXT_MAX, text);
}

bool fleet_restore_session(Fleet *fleet, const SegmentOrigin *origin, uint64_t acked_sequence,
                           int64_t idle_ms, int64_t now_ms)
{
    ActorSession *session = session_table_find(&fleet->sessions, &origin->session);
    if (!session)
        session = session_table_add(&fleet->sessions, &origin->session, now_ms);
    if (!session)
        return false;
    CHECK(session->link == 0 && session->unlogged == 0);
    session->restored = true;
    session->last_heard_ms = now_ms - idle_ms;
    session->actor_index = origin->actor_index;
    session->incarnation = origin->incarnation;
    session->num_envs = origin->num_envs;
    session->acked_sequence = acked_sequence;
    session->accepted_sequence = acked_sequence;
    session->send_limit_sequence = acked_sequence;
    session->steps_accepted = origin->session_steps;
    session->step_limit = origin->session_steps;
    snprintf(session->key, sizeof session->key, "%s", origin->key);
    snprintf(session->name, sizeof session->name, "%s", origin->name);
    return true;
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

void fleet_link_gone(Fleet *fleet, Link link)
{
    Peer *peer = fleet_find_peer(fleet, link);
    if (!peer)
        return;
    char with[FLEET_CHANNELS_BYTES];
    if (fleet_is_watched(peer) && !fleet->bye)
        fleet_note(fleet, "%s %s is gone%s", role_name(peer->role), peer->name,
                   fleet_with_channels(peer, with));
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
}

static void handle_heartbeat(Fleet *fleet, Peer *peer, const Heartbeat *heartbeat, int64_t now_ms)
{
    if (heartbeat->env_steps > peer->heartbeat.env_steps)
        peer->moved_ms = now_ms;
    fleet_handle_faults(fleet, peer, heartbeat);
    peer->heartbeat = *heartbeat;
    peer->has_heartbeat = true;
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
    const char *last_fault = peer->heartbeat.last_fault;
    char with[FLEET_CHANNELS_BYTES];
    if (fleet_is_watched(peer) && !fleet->bye)
        fleet_note(fleet, "%s %s says goodbye%s%s%s", role_name(peer->role), peer->name,
                   fleet_with_channels(peer, with), last_fault[0] ? "; its last fault: " : "",
                   last_fault);
    fleet_drop_peer(fleet, peer);
    fleet_credit(fleet);
}

void fleet_receive(Fleet *fleet, Link link, const PeerIdentity *identity, const Message *message,
                   int64_t now_ms)
{
    static const PeerIdentity without_key = {.roles = IDENTITY_OPEN_ROLES};
    fleet->now_ms = now_ms;
    if (!fleet_channel_is_open(fleet, link))
        return;
    if (message->kind == MESSAGE_GONE && link_channel(link) != 0) {
        fleet_link_gone(fleet, link);
        return;
    }
    if (message->kind == MESSAGE_HELLO) {
        fleet_handle_hello(fleet, link, identity ? identity : &without_key, &message->hello,
                           now_ms);
        return;
    }
    Peer *peer = fleet_find_peer(fleet, link);
    if (!peer) {
        if (message->kind != MESSAGE_BYE && !fleet_is_barred(fleet, link))
            fleet_refuse(fleet, link, REJECT_HELLO_FIRST, "say Hello first");
        return;
    }
    peer->last_heard_ms = now_ms;
    if (peer->session)
        peer->session->last_heard_ms = now_ms;
    switch (message->kind) {
    case MESSAGE_SEGMENT:
        fleet_handle_segment(fleet, peer, &message->segment);
        break;
    case MESSAGE_HEARTBEAT:
        handle_heartbeat(fleet, peer, &message->heartbeat, now_ms);
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
    case MESSAGE_SET:
        fleet_handle_set(fleet, peer, &message->set);
        break;
    case MESSAGE_DRAIN:
        fleet_handle_drain(fleet, peer, &message->drain);
        break;
    default:
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "a peer may not send %s",
                     message_kind_name(message->kind));
        fleet_drop_peer(fleet, peer);
        break;
    }
}

static bool is_lost(const Fleet *fleet, const Peer *peer, int64_t now_ms)
{
    int64_t interval_ms = fleet->config.welcome.heartbeat_interval_ms;
    /* Where a relay falls silent, those that it speaks for did so up to an interval before it: they
     * are to go with it, not one by one. */
    int intervals = LOST_AFTER_HEARTBEATS + (link_channel(peer->link) != 0);
    return now_ms - peer->last_heard_ms > intervals * interval_ms;
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Who did not look for a while cannot say that others were silent meanwhile, or did not go on: what
 * they sent may wait behind that of a thousand others. */
static void forgive_silence(Fleet *fleet, int64_t missed_ms)
{
    for (Peer *peer = fleet->peers; peer; peer = peer->hh.next) {
        peer->last_heard_ms = min_i64(peer->last_heard_ms + missed_ms, fleet->now_ms);
        peer->moved_ms = min_i64(peer->moved_ms + missed_ms, fleet->now_ms);
    }
}

void fleet_tick(Fleet *fleet, int64_t now_ms)
{
    fleet->now_ms = now_ms;
    if (fleet->ticked_ms != 0 &&
        now_ms - fleet->ticked_ms > fleet->config.welcome.heartbeat_interval_ms)
        forgive_silence(fleet, now_ms - fleet->ticked_ms);
    fleet->ticked_ms = now_ms;
    fleet_guard_tick(fleet);
    fleet_faults_tick(fleet);
    bool credit_returned = false;
    char with[FLEET_CHANNELS_BYTES];
    Peer *peer = NULL;
    Peer *next = NULL;
    HASH_ITER(hh, fleet->peers, peer, next)
    {
        if (is_lost(fleet, peer, now_ms)) {
            if (fleet_is_watched(peer))
                fleet_note(fleet, "%s %s is lost%s: silent for %.1f s", role_name(peer->role),
                           peer->name, fleet_with_channels(peer, with),
                           (double)(now_ms - peer->last_heard_ms) / 1000.0);
            fleet_drop_channels(fleet, peer);
            next = peer->hh.next;
            fleet_drop_peer(fleet, peer);
            credit_returned = true;
            continue;
        }
        fleet_drain_tick(fleet, peer);
        if (peer->status_due)
            fleet_queue(fleet, peer);
        if (now_ms - peer->last_ack_ms >= fleet->config.welcome.heartbeat_interval_ms) {
            peer->ack_due = true;
            peer->bye_due = fleet->bye != 0 || peer->bye != 0; /* the last one may have been lost */
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
    /* A relay hears it after those that it speaks for: it may leave at once. */
    for (Peer *peer = fleet->peers; peer; peer = peer->hh.next) {
        if (peer->role != ROLE_RELAY)
            continue;
        fleet_forget_outgoing(fleet, peer);
        fleet_queue(fleet, peer);
    }
}
