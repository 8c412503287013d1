/* What the processes of `bench fleet` share. Each has a part of the simulated actors and counts for
 * itself; the main process adds up, and keeps the reference: when each version of the weights left
 * the learner, as one subscriber directly at it saw. One machine, one clock (CLOCK_MONOTONIC). */
#ifndef POLYAK_CLI_BENCH_BENCH_FLEET_H
#define POLYAK_CLI_BENCH_BENCH_FLEET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config/config.h"
#include "common/err.h"
#include "common/session.h"
#include "common/spec.h"
#include "common/version.h"

enum {
    FLEET_PROCESSES_MAX = 256,
    FLEET_REFERENCES_MAX = 1 << 18, /* versions: an hour at 70 a second */
    FLEET_ARRIVALS_MAX = 1 << 21,   /* of one process */
};

typedef enum FleetPhase {
    FLEET_CONNECT, /* actors dial in, and step as they may */
    FLEET_MEASURE, /* the same, and the arrivals of weights are kept */
    FLEET_LEAVE,   /* actors send what they have, wait for its acknowledgement, and say Bye */
} FleetPhase;

/* The sums over a process's actors, written by it alone. Steps and segments are of all sessions. */
typedef struct FleetCount {
    _Alignas(64) _Atomic uint64_t connected; /* actors that are, now */
    _Atomic uint64_t joined;                 /* that have been once */
    _Atomic uint64_t ended;                  /* to which the learner said that the run is done */
    _Atomic uint64_t refused;                /* for good */
    _Atomic uint64_t reconnects;
    _Atomic uint64_t steps;        /* taken */
    _Atomic uint64_t missed_steps; /* not taken: the process had not enough processor time */
    _Atomic uint64_t waited_ns;    /* of all actors, that they could not step */
    _Atomic uint64_t acked_steps;
    _Atomic uint64_t segments; /* closed */
    _Atomic uint64_t acked_segments;
    _Atomic uint64_t bytes;         /* of frames with closed segments */
    _Atomic uint64_t resent;        /* segments */
    _Atomic uint64_t lost_segments; /* of expired sessions */
    _Atomic uint64_t lost_steps;
    _Atomic uint64_t unacked_segments; /* at the end */
    _Atomic uint64_t weights;          /* versions that came into use */
    _Atomic uint64_t num_arrivals;
    Err waiting_for;     /* why the last one waited, while it was measured */
    _Atomic bool failed; /* complete before: */
    Err trouble;         /* why one of its actors was refused or could not go on */
} FleetCount;

/* A version of the weights, and when it came: to the reference, or into use by an actor. */
typedef struct FleetArrival {
    Version version;
    int64_t ns;
} FleetArrival;

/* What an actor's last session had when the actor left. */
typedef struct FleetSession {
    Session id;
    uint64_t segments; /* acknowledged */
    uint64_t steps;
} FleetSession;

typedef struct FleetShared {
    _Atomic int phase;
    _Atomic bool in_time; /* the fleet leaves because its time is over, not for a signal */
    FleetCount counts[FLEET_PROCESSES_MAX];
    _Atomic uint32_t num_references; /* complete before it tells of them; versions ascend */
    FleetArrival references[FLEET_REFERENCES_MAX];
} FleetShared;

typedef struct Fleet {
    const Config *config;
    Spec spec;
    int peers;
    int processes;
    FleetShared *shared;
    FleetSession *sessions; /* (peers), shared */
    FleetArrival *arrivals; /* (processes, FLEET_ARRIVALS_MAX), shared */
} Fleet;

/* The life of a process with actors index, index + processes, …; arg is the Fleet. */
int fleet_process_main(const void *arg, int index);

/* The place of a version among the references; -1 where it never came there. */
int64_t fleet_find_reference(const FleetShared *shared, Version version);

/* The subscriber at the learner. Belongs to the main thread, and is made after all forks. */
typedef struct FleetWatch FleetWatch;

/* `endpoint` is the learner's uplink; keys are those of the configuration. */
int fleet_watch_new(const Config *config, const char *endpoint, FleetShared *shared,
                    FleetWatch **watch, Err *err);
void fleet_watch_destroy(FleetWatch **watch);

/* Notes what comes for this time; also returns when a signal comes. */
int fleet_watch_run(FleetWatch *watch, int ms, Err *err);

/* Whether a version has come. */
bool fleet_watch_is_ready(const FleetWatch *watch);

#endif
