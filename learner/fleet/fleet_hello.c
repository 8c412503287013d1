/* Joining the fleet: what a Hello leads to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

/* Whether there is room for another peer; otherwise it is refused. */
static bool has_place(Fleet *fleet, uint32_t link)
{
    if (HASH_COUNT(fleet->peers) < fleet->config.peers_max)
        return true;
    fleet_refuse(fleet, link, REJECT_FULL, "the learner has its %u peers (--peers-max)",
                 fleet->config.peers_max);
    return false;
}

/* Makes the link a peer. */
static Peer *add_peer(Fleet *fleet, uint32_t link, const Hello *hello, int64_t now_ms)
{
    Peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        fleet_refuse(fleet, link, REJECT_FULL, "the learner is out of memory");
        return NULL;
    }
    peer->link = link;
    peer->role = hello->role;
    peer->last_heard_ms = now_ms;
    peer->last_ack_ms = now_ms;
    snprintf(peer->name, sizeof peer->name, "%s", hello->name[0] ? hello->name : "without a name");
    HASH_ADD(hh, fleet->peers, link, sizeof peer->link, peer);
    return peer;
}

/* Whether the peer's environment is the run's; otherwise it is refused. The first actor of a run
 * brings its environment along. */
static bool spec_fits(Fleet *fleet, uint32_t link, const Hello *hello)
{
    if (!hello->has_spec) {
        fleet_refuse(fleet, link, REJECT_SPEC, "a Hello of an actor names its environment");
        return false;
    }
    char text[WIRE_TEXT_MAX + 1] = "";
    if (!fleet->has_run) {
        const Spec *spec = &hello->spec;
        if (hello->role != ROLE_ACTOR) {
            fleet_refuse(fleet, link, REJECT_FULL, "the run has not begun: waiting for an actor");
            return false;
        }
        if (spec->obs_dim > fleet->config.obs_dim_max ||
            spec->act_dim > fleet->config.act_dim_max) {
            fleet_refuse(fleet, link, REJECT_SPEC,
                         "obs_dim %d and act_dim %d are above the learner's --obs-dim-max %d and "
                         "--act-dim-max %d",
                         spec->obs_dim, spec->act_dim, fleet->config.obs_dim_max,
                         fleet->config.act_dim_max);
            return false;
        }
        int reason = fleet->sink.adopt_spec(fleet->sink.context, spec, text);
        if (reason != 0) {
            fleet_note(fleet, "%s is refused: %s", hello->name, text);
            fleet_refuse(fleet, link, (RejectReason)reason, "%s", text);
            return false;
        }
    }
    if (!spec_equal(&fleet->spec, &hello->spec)) {
        spec_difference(&fleet->spec, &hello->spec, text, sizeof text);
        fleet_note(fleet, "%s is refused: %s", hello->name, text);
        fleet_refuse(fleet, link, REJECT_SPEC, "%s", text);
        return false;
    }
    return true;
}

/* Gives the session the lowest free index: there is one, since there is room for a peer. Its
 * incarnation was never given with that index, by this start of the learner or an earlier one: the
 * epoch is in it. */
static void give_index(Fleet *fleet, ActorSession *session)
{
    uint32_t i = 0;
    while (i < fleet->config.peers_max && fleet->actors[i])
        i++;
    CHECK(i < fleet->config.peers_max);
    session->actor_index = i;
    session->incarnation = fleet->config.epoch << 16 | (fleet->incarnations[i]++ & 0xffff);
}

/* A session that the learner knows: a reconnect. */
static void rejoin(Fleet *fleet, ActorSession *session, const Hello *hello)
{
    if (hello->oldest_unacked > session->acked_sequence + 1) {
        fleet_note(fleet, "%s: %llu acknowledged segments are lost; going on after them",
                   hello->name,
                   (unsigned long long)(hello->oldest_unacked - session->acked_sequence - 1));
        session->acked_sequence = hello->oldest_unacked - 1;
        session->send_limit_sequence = session->acked_sequence;
    }
    if (fleet->actors[session->actor_index])
        give_index(fleet, session);
}

/* The session of a Hello, with an index; NULL when it is refused. Nothing is kept of one that is
 * refused. */
static ActorSession *join_session(Fleet *fleet, uint32_t link, const Hello *hello, int64_t now_ms)
{
    ActorSession *session = session_table_find(&fleet->sessions, &hello->session);
    if (session && session->link != 0)
        /* The newest Hello of a session takes it over. */
        fleet_drop_peer(fleet, fleet_find_peer(fleet, session->link));
    if (!has_place(fleet, link))
        return NULL;
    if (session) {
        rejoin(fleet, session, hello);
        return session;
    }
    if (hello->oldest_unacked > 1) {
        fleet_refuse(fleet, link, REJECT_SESSION_EXPIRED, "the learner does not know this session");
        return NULL;
    }
    session = session_table_add(&fleet->sessions, &hello->session, now_ms);
    if (!session) {
        fleet_refuse(fleet, link, REJECT_FULL, "the learner has no place for another session");
        return NULL;
    }
    give_index(fleet, session);
    return session;
}

static void welcome_actor(Fleet *fleet, uint32_t link, const Hello *hello, int64_t now_ms)
{
    ActorSession *session = join_session(fleet, link, hello, now_ms);
    if (!session)
        return;
    Peer *peer = add_peer(fleet, link, hello, now_ms);
    if (!peer)
        return;
    peer->session = session;
    peer->welcome_due = true;
    session->link = link;
    session->last_heard_ms = now_ms;
    session->num_envs = hello->num_envs;
    memcpy(session->name, peer->name, sizeof session->name);
    session->waiting_for[0] = '\0';
    fleet->actors[session->actor_index] = session;
    fleet->num_actors++;
    fleet->num_environments += session->num_envs;
    fleet_note(fleet, "actor %u is connected: %s, %u environment%s", session->actor_index,
               peer->name, session->num_envs, session->num_envs == 1 ? "" : "s");
    fleet_queue(fleet, peer);
    fleet_credit(fleet);
}

void fleet_handle_hello(Fleet *fleet, uint32_t link, const Hello *hello, int64_t now_ms)
{
    if (hello->protocol_version != WIRE_PROTOCOL_VERSION) {
        fleet_refuse(fleet, link, REJECT_VERSION,
                     "the learner speaks protocol version %d, not %u: use programs of one version",
                     WIRE_PROTOCOL_VERSION, hello->protocol_version);
        return;
    }
    Peer *old = fleet_find_peer(fleet, link);
    if (old)
        fleet_drop_peer(fleet, old); /* a peer that says Hello again starts anew */
    if (hello->role == ROLE_OPERATOR || hello->role == ROLE_RELAY) {
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "this learner takes no %s",
                     role_name(hello->role));
        return;
    }
    if (fleet->bye && role_has_spec(hello->role)) {
        fleet_refuse_with_bye(fleet, link);
        return;
    }
    if (hello->role == ROLE_ACTOR && hello->num_envs == 0) {
        fleet_refuse(fleet, link, REJECT_SPEC, "an actor has at least one environment");
        return;
    }
    if (role_has_spec(hello->role) && !spec_fits(fleet, link, hello))
        return;
    if (hello->role == ROLE_ACTOR) {
        welcome_actor(fleet, link, hello, now_ms);
        return;
    }
    if (!has_place(fleet, link))
        return;
    Peer *peer = add_peer(fleet, link, hello, now_ms);
    if (!peer)
        return;
    peer->welcome_due = true;
    if (peer->role == ROLE_EVALUATOR) {
        fleet->num_evaluators++;
        fleet_note(fleet, "evaluator %s is connected", peer->name);
    }
    fleet_queue(fleet, peer);
}
