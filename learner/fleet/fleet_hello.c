/* Joining the fleet: what a Hello leads to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

/* Whether there is room for another peer; otherwise it is refused. */
static bool has_place(Fleet *fleet, Link link, const char *key)
{
    if (HASH_COUNT(fleet->peers) >= fleet->config.peers_max)
        fleet_refuse(fleet, link, REJECT_FULL, "the learner has its %u peers (--peers-max)",
                     fleet->config.peers_max);
    else if (!fleet_key_is_counted(fleet, key))
        fleet_refuse(fleet, link, REJECT_FULL, "the learner is out of memory");
    else if (!fleet_key_has_room(fleet, key))
        fleet_refuse(fleet, link, REJECT_FULL,
                     "the key \"%s\" has its %u peers (--peers-per-key-max)", key,
                     fleet->config.peers_per_key_max);
    else
        return true;
    return false;
}

static void join_labels(const Hello *hello, char *labels, size_t bytes)
{
    size_t used = 0;
    labels[0] = '\0';
    for (int i = 0; i < hello->num_labels && used + 1 < bytes; i++)
        used += (size_t)snprintf(labels + used, bytes - used, "%s%s", i > 0 ? "," : "",
                                 hello->labels[i]);
}

/* Makes the link a peer. */
static Peer *add_peer(Fleet *fleet, Link link, const char *key, const Hello *hello, int64_t now_ms)
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
    peer->moved_ms = now_ms;
    peer->faults_minute_ms = now_ms;
    snprintf(peer->key, sizeof peer->key, "%s", key);
    join_labels(hello, peer->labels, sizeof peer->labels);
    snprintf(peer->name, sizeof peer->name, "%s", hello->name[0] ? hello->name : "without a name");
    HASH_ADD(hh, fleet->peers, link, sizeof peer->link, peer);
    fleet_key_join(fleet, key);
    if (link_channel(link) != 0)
        fleet_join_relay(fleet, peer, hello);
    return peer;
}

/* Whether the peer's environment is the run's; otherwise it is refused. The first actor of a run
 * brings its environment along. */
static bool spec_fits(Fleet *fleet, Link link, const Hello *hello)
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
            fleet_note_stranger(fleet, "%s is refused: %s", hello->name, text);
            fleet_refuse(fleet, link, (RejectReason)reason, "%s", text);
            return false;
        }
    }
    if (!spec_equal(&fleet->spec, &hello->spec)) {
        spec_difference(&fleet->spec, &hello->spec, text, sizeof text);
        fleet_note_stranger(fleet, "%s is refused: %s", hello->name, text);
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

/* What the learner lost of what it had acknowledged. */
typedef struct Gap {
    uint64_t segments;
    uint64_t steps;
} Gap;

static Gap gap_of(const ActorSession *session, const Hello *hello)
{
    Gap gap = {0, 0};
    if (hello->oldest_unacked <= session->accepted_sequence + 1)
        return gap;
    gap.segments = hello->oldest_unacked - 1 - session->accepted_sequence;
    if (hello->acked_steps > session->steps_accepted)
        gap.steps = hello->acked_steps - session->steps_accepted;
    return gap;
}

/* Whether the numbers can be; otherwise it is refused. */
static bool gap_fits(Fleet *fleet, Link link, const Gap *gap)
{
    if (gap->steps / SEGMENT_STEPS_MAX <= gap->segments)
        return true;
    fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "%llu steps in %llu segments cannot be",
                 (unsigned long long)gap->steps, (unsigned long long)gap->segments);
    return false;
}

/* Goes on where the actor stands: the session counts on, and the run does not have these steps. */
static void leave_gap(Fleet *fleet, ActorSession *session, const Hello *hello, const Gap *gap)
{
    fleet_note(fleet, "%s: %llu acknowledged segments (%llu steps) are lost; going on after them",
               hello->name, (unsigned long long)gap->segments, (unsigned long long)gap->steps);
    session->accepted_sequence = hello->oldest_unacked - 1;
    session->send_limit_sequence = session->accepted_sequence;
    if (session->unlogged == 0)
        session->acked_sequence = session->accepted_sequence;
    session->steps_accepted += gap->steps;
    session->step_limit = session->steps_accepted;
    session->lost_steps += gap->steps;
    fleet->counts.lost_segments += gap->segments;
    fleet->counts.lost_steps += gap->steps;
}

/* Whether the session may be taken by this key; otherwise it is refused. */
static bool belongs_to(Fleet *fleet, Link link, const ActorSession *session,
                       const PeerIdentity *identity, const Hello *hello)
{
    if (strcmp(session->key, identity->key) == 0)
        return true;
    fleet_note_stranger(fleet, "%s is refused: it wants the session of %s, which belongs to %s%s",
                        hello->name, session->name, session->key[0] ? "the key " : "no key",
                        session->key);
    fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "this session belongs to another key");
    return false;
}

/* A session that the learner knows: a reconnect. False when it is refused. The newest Hello of a
 * session takes it over, but nothing is taken from the connection that it has for a Hello that is
 * refused. */
static bool rejoin(Fleet *fleet, Link link, ActorSession *session, const PeerIdentity *identity,
                   const Hello *hello)
{
    if (!belongs_to(fleet, link, session, identity, hello))
        return false;
    if (session->drained) {
        fleet_refuse_with_bye(fleet, link, BYE_FINISHED);
        return false;
    }
    Gap gap = gap_of(session, hello);
    if (!gap_fits(fleet, link, &gap))
        return false;
    /* Whoever takes over takes the place too: it came with the same key. */
    if (session->link != 0)
        fleet_drop_peer(fleet, fleet_find_peer(fleet, session->link));
    else if (!has_place(fleet, link, identity->key))
        return false;
    if (gap.segments > 0)
        leave_gap(fleet, session, hello, &gap);
    uint32_t index = session->actor_index;
    if (index >= fleet->config.peers_max || fleet->actors[index])
        give_index(fleet, session);
    session->rejoined = true;
    return true;
}

/* The session of a Hello, with an index; NULL when it is refused. Nothing is kept of one that is
 * refused. */
static ActorSession *join_session(Fleet *fleet, Link link, const PeerIdentity *identity,
                                  const Hello *hello, int64_t now_ms)
{
    ActorSession *session = session_table_find(&fleet->sessions, &hello->session);
    if (session)
        return rejoin(fleet, link, session, identity, hello) ? session : NULL;
    if (!has_place(fleet, link, identity->key))
        return NULL;
    /* It may have been known and forgotten, with segments whose acknowledgement never arrived: they
     * must not be taken twice. */
    if (hello->oldest_unacked > 1 || hello->has_sent) {
        fleet_refuse(fleet, link, REJECT_SESSION_EXPIRED, "the learner does not know this session");
        return NULL;
    }
    session = session_table_add(&fleet->sessions, &hello->session, now_ms);
    if (!session) {
        fleet_refuse(fleet, link, REJECT_FULL, "the learner has no place for another session");
        return NULL;
    }
    snprintf(session->key, sizeof session->key, "%s", identity->key);
    give_index(fleet, session);
    return session;
}

static void welcome_actor(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello,
                          int64_t now_ms)
{
    ActorSession *session = join_session(fleet, link, identity, hello, now_ms);
    if (!session)
        return;
    Peer *peer = add_peer(fleet, link, identity->key, hello, now_ms);
    if (!peer)
        return;
    peer->session = session;
    peer->welcome_due = true;
    session->link = link;
    session_table_update(&fleet->sessions, session);
    session->last_heard_ms = now_ms;
    session->num_envs = hello->num_envs;
    memcpy(session->name, peer->name, sizeof session->name);
    fleet->actors[session->actor_index] = session;
    fleet->num_actors++;
    fleet->num_environments += session->num_envs;
    fleet_note(fleet, "actor %u is connected: %s, %u environment%s%s%s%s%s", session->actor_index,
               peer->name, session->num_envs, session->num_envs == 1 ? "" : "s",
               peer->key[0] ? ", key " : "", peer->key, peer->via[0] ? ", via " : "", peer->via);
    fleet_queue(fleet, peer);
    fleet_credit(fleet);
}

static void welcome_other(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello,
                          int64_t now_ms)
{
    if (!has_place(fleet, link, identity->key))
        return;
    Peer *peer = add_peer(fleet, link, identity->key, hello, now_ms);
    if (!peer)
        return;
    peer->welcome_due = true;
    fleet->num_evaluators += peer->role == ROLE_EVALUATOR;
    fleet->num_relays += peer->role == ROLE_RELAY;
    if (fleet_is_watched(peer))
        fleet_note(fleet, "%s %s is connected%s%s%s%s", role_name(peer->role), peer->name,
                   peer->labels[0] ? ", labels " : "", peer->labels, peer->via[0] ? ", via " : "",
                   peer->via);
    fleet_queue(fleet, peer);
}

/* Whether a peer that steps an environment may join now; otherwise it is told what else. */
static bool may_play(Fleet *fleet, Link link, const Hello *hello)
{
    if (fleet->bye) {
        fleet_refuse_with_bye(fleet, link, fleet->bye);
        return false;
    }
    if (fleet->loading) {
        fleet_refuse(fleet, link, REJECT_LOADING, "%s", fleet->loading_text);
        return false;
    }
    if (hello->role == ROLE_ACTOR && hello->num_envs == 0) {
        fleet_refuse(fleet, link, REJECT_SPEC, "an actor has at least one environment");
        return false;
    }
    return spec_fits(fleet, link, hello);
}

void fleet_handle_hello(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello,
                        int64_t now_ms)
{
    if (fleet_is_barred(fleet, link)) {
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "this connection sent what cannot be read");
        return;
    }
    if (hello->protocol_version != WIRE_PROTOCOL_VERSION) {
        fleet_note_stranger(fleet, "a peer is refused: it speaks protocol version %u, not %d",
                            hello->protocol_version, WIRE_PROTOCOL_VERSION);
        fleet_refuse(fleet, link, REJECT_VERSION,
                     "the learner speaks protocol version %d, not %u: use programs of one version",
                     WIRE_PROTOCOL_VERSION, hello->protocol_version);
        return;
    }
    PeerIdentity origin;
    if (link_channel(link) != 0) {
        origin = fleet_origin(identity, hello);
        identity = &origin;
    }
    Peer *old = fleet_find_peer(fleet, link);
    if (old)
        fleet_drop_peer(fleet, old); /* a peer that says Hello again starts anew */
    if (!fleet_may_join(fleet, link, identity, hello))
        return;
    if (role_has_spec(hello->role) && !may_play(fleet, link, hello))
        return;
    if (hello->role == ROLE_ACTOR)
        welcome_actor(fleet, link, identity, hello, now_ms);
    else
        welcome_other(fleet, link, identity, hello, now_ms);
}
