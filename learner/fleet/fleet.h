/* The fleet: who is connected, and the learner's side of the protocol (docs/wire.md). Pure logic:
 * it is handed messages and the time, and returns messages, so a simulator can run it without
 * sockets. Owned by the loop thread.
 *
 * A link is one connection (a ROUTER routing id), numbered by the caller, never 0. What always
 * holds: an accepted segment is the next of its session; the send limits of all connected sessions
 * cover no more slots than the ring has free; grants and accepted steps together never exceed
 * total_env_steps. */
#ifndef POLYAK_LEARNER_FLEET_FLEET_H
#define POLYAK_LEARNER_FLEET_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/run_status.h"
#include "learner/replay/pacer.h"
#include "proto/wire.h"

/* What the fleet tells, and asks of, the learner around it. */
typedef struct FleetSink {
    void *context;
    /* The first actor of a run whose dimensions are not known yet: makes room for them. 0, or the
     * reason to refuse it, with a line for its user. */
    int (*adopt_spec)(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1]);
    /* Takes an accepted segment (to be copied). There is always a place for it. */
    void (*accept)(void *context, const Segment *segment);
    /* A result of fleet_request_evaluation(). */
    void (*evaluated)(void *context, const EvalResult *result);
    /* A line for the log; may be NULL. */
    void (*note)(void *context, const char *line);
} FleetSink;

typedef struct FleetConfig {
    Welcome welcome; /* what every Welcome says: seed, noise, intervals, sync, weights endpoint … */
    uint32_t epoch;
    uint32_t peers_max;
    uint32_t sessions_max;
    int64_t session_retention_ms;
    int obs_dim_max;
    int act_dim_max;
    uint32_t actors_awaited; /* lockstep starts when so many are connected */
} FleetConfig;

/* How far the trainer is, as the loop thread last saw it. */
typedef struct FleetProgress {
    uint64_t env_steps; /* ingested */
    uint64_t updates;
    uint64_t slots_used;
    Version newest; /* published policy */
    bool settled;   /* lockstep: all is ingested, worked off and published */
} FleetProgress;

typedef struct Fleet Fleet;

/* NULL when out of memory. `pacer` and `spec` are given by fleet_set_run() once they are known. */
Fleet *fleet_new(const FleetConfig *config, const FleetSink *sink);
void fleet_destroy(Fleet **fleet);

/* The run's environment and pacing, and the slots of its hand-over ring; `accepted` env steps are
 * there already. */
void fleet_set_run(Fleet *fleet, const Spec *spec, const Pacer *pacer, uint64_t accepted,
                   uint64_t slots);

/* What the next Welcome says; to be changed before the run is set. */
Welcome *fleet_welcome(Fleet *fleet);

/* Handles one message that came in on a link. */
void fleet_receive(Fleet *fleet, uint32_t link, const Message *message, int64_t now_ms);

/* Handles a frame that could not be decoded, with the decoder's error: a Hello whose spec is
 * unsound (ERR_SPEC) is refused for good, an unknown link is told to say Hello, a peer is turned
 * away. */
void fleet_receive_garbage(Fleet *fleet, uint32_t link, int code, const char *why);

/* Takes the trainer's progress and gives credit. */
void fleet_set_progress(Fleet *fleet, const FleetProgress *progress);

/* Time passes: lost peers, heartbeats, expired sessions. To be called every 100 ms or so. */
void fleet_tick(Fleet *fleet, int64_t now_ms);

/* The next message to send: false when there is none. What it points to is valid until the next
 * call of any function here. */
bool fleet_next_message(Fleet *fleet, int64_t now_ms, uint32_t *link, Message *message);

/* A message to `link` could not be delivered: the peer is gone. */
void fleet_link_gone(Fleet *fleet, uint32_t link);

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
uint32_t fleet_num_peers(const Fleet *fleet);
uint32_t fleet_actor_status(const Fleet *fleet, ActorStatus *actors, uint32_t max, int64_t now_ms);
uint64_t fleet_env_steps_accepted(const Fleet *fleet);

/* Why no credit is given at the moment: empty when it is. */
void fleet_waiting_for(const Fleet *fleet, char text[WIRE_TEXT_MAX + 1]);

/* Fills a status message's run part when an observer asks. */
typedef void (*FleetStatusFill)(void *context, RunStatus *status);
void fleet_set_status_fill(Fleet *fleet, FleetStatusFill fill, void *context);

#endif
