/* One Python worker and its lanes: started, rung for, listened to, and ended. It knows what each
 * lane is doing, not what an episode is. One thread. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/envs/gymnasium/worker_channel.h"
#include "actor/envs/gymnasium/worker_process.h"
#include "common/env_fault.h"
#include "common/err.h"

/* Texts are borrowed for the worker's life. */
typedef struct WorkerConfig {
    const char *python;
    const char *id; /* of gymnasium.make */
    const char *options;
    const char *name; /* for a person */
    int num_lanes;
    int step_timeout_ms;
    int start_timeout_ms;
} WorkerConfig;

typedef enum WorkerState {
    WORKER_ENDED,
    WORKER_STARTING,
    WORKER_READY,
} WorkerState;

typedef enum LaneState {
    LANE_IDLE,
    LANE_BEGUN, /* its command is in the channel; the worker has not been told */
    LANE_TOLD,
    LANE_DONE, /* its result is in the channel */
} LaneState;

typedef struct WorkerLane {
    LaneState state;
    uint32_t done; /* the channel's count, once what was begun is done */
} WorkerLane;

typedef struct Worker {
    WorkerConfig config;
    WorkerState state;
    uint64_t starts; /* so far: names the present worker */
    int64_t started_ms;
    int64_t progress_ms; /* when it last had something new to do, or did something */
    Channel channel;
    WorkerProcess process;
    WorkerLane *lanes; /* (num_lanes) */
    uint16_t *ring;    /* (num_lanes) lanes that are BEGUN, in order */
    uint16_t *taken;   /* (num_lanes) */
    int num_ring;
    int num_told;   /* lanes that are TOLD */
    EnvFault fault; /* why it ended, once it has */
    Err ending;     /* the same for a person */
    int failure;    /* a ChannelFailure of its set-up */
} Worker;

/* ERR_NOMEM, ERR_IO. It is not started. */
int worker_new(const WorkerConfig *config, Worker **worker, Err *err);

/* Ends it, in order if it listens. */
void worker_destroy(Worker **worker);

/* Starts it, which must have ended. Lanes that were BEGUN or TOLD are IDLE then; what is DONE may
 * still be taken. ERR_MISSING, ERR_IO, ERR_NOMEM. */
int worker_start(Worker *worker, Err *err);

/* Begins a command that the caller has put into the channel. The lane must be IDLE. */
void worker_begin(Worker *worker, int lane);

/* Tells the worker what was begun, and waits for news at most timeout_ms. Afterwards states may
 * have changed; when the worker is ENDED, `fault` and `ending` say why. */
void worker_wait(Worker *worker, int timeout_ms);

#endif
