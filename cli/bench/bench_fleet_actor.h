/* A simulated actor of `bench fleet`: an actor's own connection, outbox and downlink, so all of the
 * protocol; only the environments and the policy's forward pass are left out. A step is over when
 * its time is, and what is sent is random numbers. Many live in one process and one thread; each
 * says when it wants its next turn. */
#ifndef POLYAK_CLI_BENCH_BENCH_FLEET_ACTOR_H
#define POLYAK_CLI_BENCH_BENCH_FLEET_ACTOR_H

#include "actor/connection.h"
#include "actor/downlink.h"
#include "cli/bench/bench_fleet.h"

/* What the actors of a process share. */
typedef struct SimFleet {
    const Fleet *fleet;
    int index; /* of the process */
    FleetCount *count;
    void *zmq_context;
    int epoll;
    int64_t step_ns;
    /* Weights are decoded into it as by an actor, and not kept: each has its own version alone. */
    Policy scratch;
    bool measuring;         /* arrivals are kept: */
    FleetArrival *arrivals; /* (FLEET_ARRIVALS_MAX), shared */
} SimFleet;

typedef struct SimLane {
    Segment *open; /* NULL: none */
    int64_t opened_ms;
    uint64_t episode;
    uint32_t episode_steps;
    double episode_return;
} SimLane;

typedef struct SimActor {
    Connection connection;
    Outbox outbox; /* without places until the first Welcome */
    Downlink downlink;
    Version version; /* of the weights that it has */
    int number;
    int num_lanes;
    int first; /* lane whose turn it is */
    SimLane *lanes;
    bool active;        /* counted as connected */
    bool ended;         /* refused, or the run is done */
    bool first_frame;   /* the next weights answer a join: no latency is taken */
    int64_t step_ns;    /* when the step in flight is over; 0: none is */
    int64_t waiting_ns; /* since when it waits, as far as that is counted; 0: it steps */
    int64_t look_ns;    /* when the sockets are looked at next, whatever comes */
    uint64_t steps;     /* taken, ever */
    uint64_t segments;
    uint64_t rate_steps;         /* of the steps at the begin of the rate's window, */
    int64_t rate_ms;             /* and when that was */
    uint64_t acked_steps_before; /* acknowledged in sessions that expired */
    uint64_t acked_segments_before;
    uint64_t acked_steps_told; /* these are in the process's counts already */
    uint64_t acked_segments_told;
    uint64_t lost_steps_told;
    uint64_t lost_segments_told;
} SimActor;

/* ERR_USAGE, ERR_NOMEM. */
int sim_actor_open(SimActor *actor, SimFleet *all, int number, Err *err);

/* Lets it do what is due; `woken`: something may have come. Returns when it wants its next turn. An
 * error ends the actor: it is counted, and said once. */
int64_t sim_actor_turn(SimActor *actor, SimFleet *all, bool woken, bool steps_wanted,
                       int64_t now_ns);

/* No more steps: closes what is open. */
void sim_actor_stop(SimActor *actor, const SimFleet *all);

/* Whether all that it had is acknowledged, or never will be. */
bool sim_actor_is_done(const SimActor *actor);

/* The last heartbeat and the Bye; its session is noted. */
void sim_actor_leave(SimActor *actor, SimFleet *all, ByeReason reason);

#endif
