/* The fleet: who is connected, and the learner's side of the protocol (docs/wire.md). Pure logic:
 * it is handed messages and the time, and returns messages, so a simulator can run it without
 * sockets. Owned by the loop thread.
 *
 * A link (net/link.h) is a connection, or a channel of one that is a relay's; never 0. What always
 * holds: an accepted segment is the next of its session; it is acknowledged once it is logged; the
 * send limits of all connected sessions cover no more slots than the ring has free; grants and
 * accepted steps together never exceed total_env_steps. */
#ifndef POLYAK_LEARNER_FLEET_FLEET_H
#define POLYAK_LEARNER_FLEET_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/env_fault.h"
#include "common/run_status.h"
#include "common/segment_origin.h"
#include "learner/replay/pacer.h"
#include "net/identity.h"
#include "net/link.h"
#include "proto/wire.h"

/* What the fleet tells, and asks of, the learner around it. */
typedef struct FleetSink {
    void *context;
    /* The first actor of a run whose dimensions are not known yet: makes room for them. 0, or the
     * reason to refuse it, with a line for its user. */
    int (*adopt_spec)(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1]);
    /* Takes an accepted segment (to be copied). There is always a place for it. */
    void (*accept)(void *context, const Segment *segment, const SegmentOrigin *origin);
    /* A result of fleet_request_evaluation(). */
    void (*evaluated)(void *context, const EvalResult *result);
    /* A line for the log; may be NULL. */
    void (*note)(void *context, const char *line);
    /* Sets a key from "key=value"; says in `text` what was and what is, or why not. May be NULL. */
    bool (*set)(void *context, const char *assignment, char text[WIRE_TEXT_MAX + 1]);
    /* Whether a Status may be made for this link: not while many wait to leave, whose readers may
     * never read them. May be NULL. */
    bool (*status_fits)(void *context, Link link);
} FleetSink;

typedef struct FleetConfig {
    Welcome welcome; /* what every Welcome says: seed, noise, intervals, sync, weights endpoint … */
    uint32_t epoch;
    uint32_t peers_max;
    uint32_t peers_per_key_max; /* 0: as peers_max */
    uint32_t sessions_max;
    int64_t session_retention_ms;
    int obs_dim_max;
    int act_dim_max;
    uint32_t actors_awaited; /* lockstep starts when so many are connected */
} FleetConfig;

#define FLEET_NOT_LOGGED UINT64_MAX

/* How far the trainer and the log are, as the loop thread last saw them. */
typedef struct FleetProgress {
    uint64_t env_steps; /* ingested */
    uint64_t updates;
    uint64_t slots_used;
    Version newest; /* published policy */
    bool settled;   /* lockstep: all is ingested, worked off and published */
    /* Accepted segments that are logged, in the order of acceptance, counted since fleet_set_run();
     * FLEET_NOT_LOGGED: there is no log, what is accepted is acknowledged. */
    uint64_t logged;
    bool durable;                 /* acknowledged means on disk; said in every Ack */
    char hold[WIRE_TEXT_MAX + 1]; /* why no credit may be given at all; empty when it may */
} FleetProgress;

/* What was lost and refused since this start of the learner. */
typedef struct FleetCounts {
    uint64_t lost_segments; /* acknowledged by an earlier start, and lost with the power */
    uint64_t lost_steps;
    uint64_t refused_peers;    /* Hellos that were turned away for good */
    uint64_t garbage_messages; /* that could not be read */
    uint32_t sessions;         /* remembered now */
    EnvFaults faults;          /* of the environments of all actors; none goes back */
} FleetCounts;

typedef struct Fleet Fleet;

/* NULL when out of memory. `pacer` and `spec` are given by fleet_set_run() once they are known. */
Fleet *fleet_new(const FleetConfig *config, const FleetSink *sink);
void fleet_destroy(Fleet **fleet);

/* The run's environment and pacing, and the slots of its hand-over ring; `accepted` env steps are
 * there already. ERR_NOMEM. */
int fleet_set_run(Fleet *fleet, const Spec *spec, const Pacer *pacer, uint64_t accepted,
                  uint64_t slots);

/* The run's pacing was changed. What it allows is given with the next progress: it counts from
 * where the trainer is now, not from where the fleet last saw it. */
void fleet_set_pacer(Fleet *fleet, const Pacer *pacer);

/* What the next Welcome says; to be changed before the run is set. */
Welcome *fleet_welcome(Fleet *fleet);

/* A session of an earlier start of the learner, as the log knows it: its duplicates are recognised,
 * and its actor goes on. `origin` is that of its newest segment, `idle_ms` the time since it was
 * last heard. False when there is no place for it. */
bool fleet_restore_session(Fleet *fleet, const SegmentOrigin *origin, uint64_t acked_sequence,
                           int64_t idle_ms, int64_t now_ms);

/* While the log is read back, actors and evaluators are told to ask again; `text` says how far it
 * is. */
void fleet_set_loading(Fleet *fleet, bool loading, const char *text);

/* Handles one message that came in on a link. `identity` is that of the connection, and looked at
 * where the message is a Hello; NULL: a connection without a key from another machine. */
void fleet_receive(Fleet *fleet, Link link, const PeerIdentity *identity, const Message *message,
                   int64_t now_ms);

/* Handles a frame that could not be decoded, with the decoder's error: a Hello whose spec is
 * unsound (ERR_SPEC) is refused for good, an unknown link is told to say Hello, a peer is turned
 * away. A link that goes on with it is not listened to any more; a relay suffers nothing for what
 * comes on its channels. */
void fleet_receive_garbage(Fleet *fleet, Link link, int code, const char *why, int64_t now_ms);

/* Drops all peers that came with this key. Whoever asks for identities must grant it no role from
 * now on. Its sessions stay. Returns how many there were. */
uint32_t fleet_revoke_key(Fleet *fleet, const char *key);

/* Takes the progress of trainer and log: acknowledges what is logged, and gives credit. */
void fleet_set_progress(Fleet *fleet, const FleetProgress *progress);

/* Time passes: lost peers, heartbeats, drained actors, expired sessions. To be called every 100 ms
 * or so; where it was not for more than a heartbeat's interval, that time is nobody's silence. */
void fleet_tick(Fleet *fleet, int64_t now_ms);

/* The next message to send: false when there is none. What it points to is valid until the next
 * call of any function here. */
bool fleet_next_message(Fleet *fleet, int64_t now_ms, Link *link, Message *message);

/* The peer of this link is gone; of the connection of a relay, all that it speaks for too. */
void fleet_link_gone(Fleet *fleet, Link link);

/* Queues an evaluation of a policy (`params` are borrowed until the result came). It is sent to the
 * next free evaluator, and again if that one is lost. False when the queue is full. */
bool fleet_request_evaluation(Fleet *fleet, const EvalRequest *request);

/* Takes an evaluation back on which no evaluator works. False when there is none. */
bool fleet_take_back_evaluation(Fleet *fleet, uint64_t *eval_id);
uint32_t fleet_num_evaluations(const Fleet *fleet); /* asked for, without result */

/* Says Bye to everybody, now and to whoever comes later. */
void fleet_say_bye(Fleet *fleet, ByeReason reason);

/* Numbers for status; `actors` has room for max. */
uint32_t fleet_num_actors(const Fleet *fleet);
uint32_t fleet_num_evaluators(const Fleet *fleet);
uint32_t fleet_num_relays(const Fleet *fleet);
uint32_t fleet_num_subscribers(const Fleet *fleet); /* of weights: relays, and actors without one */
uint32_t fleet_num_peers(const Fleet *fleet);
uint32_t fleet_num_peers_of_key(const Fleet *fleet, const char *key);
uint32_t fleet_actor_status(const Fleet *fleet, ActorStatus *actors, uint32_t max, int64_t now_ms);
uint64_t fleet_env_steps_accepted(const Fleet *fleet);
FleetCounts fleet_counts(const Fleet *fleet);

/* Why no credit is given at the moment: empty when it is. */
void fleet_waiting_for(const Fleet *fleet, char text[WIRE_TEXT_MAX + 1]);

/* Fills a status message's run part when an observer asks; actors and FleetCounts are the fleet's.
 */
typedef void (*FleetStatusFill)(void *context, RunStatus *status);
void fleet_set_status_fill(Fleet *fleet, FleetStatusFill fill, void *context);

#endif
