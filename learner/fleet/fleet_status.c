/* How the fleet stands: numbers for status, and every reason for waiting. */
#include <math.h>
#include <stdio.h>

#include "learner/fleet/fleet_internal.h"

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

FleetCounts fleet_counts(const Fleet *fleet)
{
    FleetCounts counts = fleet->counts;
    counts.sessions = HASH_COUNT(fleet->sessions.by_id);
    return counts;
}

/* How far behind the trainer the actor's policy is. */
static void fill_policy_lag(const Fleet *fleet, const Peer *peer, ActorStatus *status)
{
    Version version = peer->heartbeat.version;
    uint64_t updates = fleet->progress.updates;
    status->policy_epoch_old = version.epoch != 0 && version.epoch < fleet->config.epoch;
    status->policy_lag_updates = updates > version.update ? updates - version.update : 0;
}

static void fill_actor(const Fleet *fleet, const Peer *peer, ActorStatus *status, int64_t now_ms)
{
    const ActorSession *session = peer->session;
    const Heartbeat *heartbeat = &peer->heartbeat;
    *status = (ActorStatus){
        .actor_index = session->actor_index,
        .incarnation = session->incarnation,
        .env_steps = session->steps_accepted,
        .unused_credit = session->step_limit - session->steps_accepted,
        .silent_ms = (uint32_t)(now_ms - peer->last_heard_ms),
        .dropped_steps = heartbeat->dropped_steps,
        .num_envs = session->num_envs,
        .env_steps_per_s = peer->has_heartbeat ? heartbeat->steps_per_s : (double)NAN,
        .send_credit = session->send_limit_sequence - session->accepted_sequence,
        .outbox_segments = heartbeat->outbox_segments,
        .lost_steps = session->lost_steps,
        .expired_segments = heartbeat->lost_segments,
        .expired_steps = heartbeat->lost_steps,
        .draining = session->draining,
        .faults = session->faults,
    };
    fill_policy_lag(fleet, peer, status);
    char reason[WIRE_TEXT_MAX + 1];
    fleet_reason(fleet, session, reason);
    snprintf(status->name, sizeof status->name, "%s", session->name);
    snprintf(status->key, sizeof status->key, "%s", session->key);
    snprintf(status->via, sizeof status->via, "%s", peer->via);
    snprintf(status->labels, sizeof status->labels, "%s", peer->labels);
    snprintf(status->learner_reason, sizeof status->learner_reason, "%.*s", STATUS_TEXT_MAX - 1,
             reason);
    snprintf(status->waiting_for, sizeof status->waiting_for, "%.*s", STATUS_TEXT_MAX - 1,
             heartbeat->waiting_for);
    snprintf(status->last_fault, sizeof status->last_fault, "%.*s", STATUS_TEXT_MAX - 1,
             heartbeat->last_fault);
}

uint32_t fleet_actor_status(const Fleet *fleet, ActorStatus *actors, uint32_t max, int64_t now_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < fleet->config.peers_max && n < max; i++) {
        if (fleet->actors[i])
            fill_actor(fleet, fleet_find_peer(fleet, fleet->actors[i]->link), &actors[n++], now_ms);
    }
    return n;
}

/* All steps are there: what is left to be done. */
static void say_rest(const Fleet *fleet, uint64_t owed, char *text, size_t bytes)
{
    if (owed == 0 && fleet->num_evaluations > 0)
        snprintf(text, bytes, "all is done: waiting for %u evaluation%s", fleet->num_evaluations,
                 fleet->num_evaluations == 1 ? "" : "s");
    else
        snprintf(text, bytes, "all env steps are there: %llu updates owed",
                 (unsigned long long)owed);
}

void fleet_waiting_for(const Fleet *fleet, char text[WIRE_TEXT_MAX + 1])
{
    const size_t bytes = WIRE_TEXT_MAX + 1;
    text[0] = '\0';
    if (fleet->loading) {
        snprintf(text, bytes, "%s", fleet->loading_text);
        return;
    }
    if (!fleet->has_run) {
        snprintf(text, bytes, "waiting for the first actor");
        return;
    }
    if (fleet->progress.hold[0] != '\0') {
        snprintf(text, bytes, "%s", fleet->progress.hold);
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
        say_rest(fleet, owed, text, bytes);
    else if (owed > 0)
        snprintf(text, bytes, "insert paused: %llu steps ahead, %llu updates owed",
                 (unsigned long long)pacer_steps_ahead(&fleet->pacer, fleet->progress.env_steps,
                                                       fleet->progress.updates),
                 (unsigned long long)owed);
}

void fleet_reason(const Fleet *fleet, const ActorSession *session, char text[WIRE_TEXT_MAX + 1])
{
    const size_t bytes = WIRE_TEXT_MAX + 1;
    uint64_t unlogged = fleet->handed - fleet->logged;
    text[0] = '\0';
    if (session->draining)
        snprintf(text, bytes, "draining: no more steps are granted");
    else if (session->step_limit == session->steps_accepted)
        fleet_waiting_for(fleet, text);
    else if (session->send_limit_sequence == session->accepted_sequence)
        snprintf(text, bytes,
                 "no place for another segment: %llu of %llu wait for the log, %llu are not "
                 "ingested",
                 (unsigned long long)unlogged, (unsigned long long)fleet->slots,
                 (unsigned long long)fleet->progress.slots_used);
}
