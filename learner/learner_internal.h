/* The inside of the learner: learner.c (its life, and what the loop calls) stands on learner_sink.c
 * (what the fleet asks of it), learner_follow.c (the trainer's news to the fleet, and the fleet's
 * messages out) and learner_notify.c (word to a service manager). Nobody else includes it. */
#ifndef POLYAK_LEARNER_LEARNER_INTERNAL_H
#define POLYAK_LEARNER_LEARNER_INTERNAL_H

#include <uv.h>

#include "learner/fleet/fleet.h"
#include "learner/learner.h"
#include "learner/run.h"
#include "learner/status_out.h"
#include "learner/watch/progress.h"
#include "net/publish.h"
#include "net/router.h"
#include "net/trust.h"
#include "net/zmq_watch.h"

typedef struct Learner {
    Config *config;
    RunDir dir;
    Run run;
    void *zmq_context;
    Trust *trust;
    Router *router;
    StatusOut *status_out;
    Publisher *publisher;
    char weights_endpoint[WIRE_ENDPOINT_MAX + 1];
    Fleet *fleet;
    ProgressView progress;

    uv_loop_t loop;
    uv_async_t trainer_spoke;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    ZmqWatch router_watch;
    ZmqWatch publisher_watch;

    int signal_number; /* that asked us to stop; 0: none */
    int64_t farewell_ms;
    int64_t evaluator_seen_ms;
    bool serving;      /* the run's log is read back: actors are let in */
    uint64_t unlogged; /* segments that went on without the log, as the fleet was told last */
    bool finished;
    bool trainer_stuck; /* it was said */
    int error;
    Err err;
} Learner;

/* --- learner_sink.c --- */

/* Starts the run. The dimensions are those of the first actor, or known before. */
int learner_begin_run(Learner *learner, const Spec *spec, Err *err);

FleetSink learner_sink(Learner *learner);

/* --- learner_follow.c --- */

/* Brings everybody up to date: the trainer's news to the fleet, the fleet's messages out. */
void learner_pump(Learner *learner);

/* Lets actors in as soon as the run is ready for them: at once, or when its log is read back. */
void learner_start_serving(Learner *learner);

/* Segments were accepted: to the log, or to the trainer where there is none. */
void learner_hand_over(Learner *learner);

/* Gives up evaluations that nobody runs. */
void learner_drop_evaluations(Learner *learner, int64_t now_ms);

/* The last word to all peers; the loop ends soon. */
void learner_say_farewell(Learner *learner, ByeReason reason);

void learner_fill_status(Learner *learner, RunStatus *status);

/* --- learner_notify.c --- */

/* Tells the service manager how it goes. To be called every 100 ms or so. */
void learner_notify(Learner *learner, int64_t now_ms);

#endif
