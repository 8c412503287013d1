/* What an actor and its Python worker share: a memory in which the lanes' commands and results lie,
 * and a bell, a socket on which each tells the other which lanes to look at. A lane is the place of
 * one environment instance.
 *
 * Who wrote into the memory rings afterwards, and nobody looks at what was not rung for: so the two
 * sides need no atomics, which Python has not. Only when the worker has ended is `done` read
 * without a ring. A ring is one packet: lane indices of 2 bytes each; from the worker also one
 * byte, 'R': it is ready, its spec is in the header; 'F': it failed, why is in the header.
 *
 * What the worker wrote is not trusted: indices, lengths and ends of texts are checked here. Nor is
 * what it could write over: where things are is known from `Channel`, not read from the memory,
 * whose header is written anew for each worker. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_CHANNEL_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/spec.h"

enum { CHANNEL_TEXT_BYTES = 512, CHANNEL_TRACEBACK_BYTES = 8192 };

typedef enum ChannelCommand { COMMAND_RESET, COMMAND_STEP, COMMAND_RENDER } ChannelCommand;

/* Bits of ends[lane]. */
enum { END_TERMINATED = 1, END_TRUNCATED = 2, END_NO_PICTURE = 4, END_BAD_PICTURE = 8 };

/* Why a worker could not be set up. */
typedef enum ChannelFailure {
    FAILURE_NONE,
    FAILURE_USAGE,
    FAILURE_MISSING,
    FAILURE_ENV,
} ChannelFailure;

/* At the beginning of the memory; worker.py has the same layout. The first group is written here,
 * the second by the worker. */
typedef struct ChannelHeader {
    char magic[8];
    uint32_t version;
    uint32_t num_lanes;
    uint32_t obs_dim_max; /* of a lane's part of `obs` */
    uint32_t act_dim_max;
    uint32_t seeds_at;      /* (num_lanes) uint64: where it begins, in bytes */
    uint32_t rewards_at;    /* (num_lanes) double */
    uint32_t done_at;       /* (num_lanes) uint32: commands done, modulo 2^32 */
    uint32_t commands_at;   /* (num_lanes) uint8 */
    uint32_t ends_at;       /* (num_lanes) uint8 */
    uint32_t actions_at;    /* (num_lanes, act_dim_max) float */
    uint32_t obs_at;        /* (num_lanes, obs_dim_max) float */
    uint32_t picture_at;    /* (height, width, 3) uint8; the memory grows for it */
    uint32_t picture_width; /* wanted */
    uint32_t picture_height;
    uint32_t spec_at; /* the part below */
    uint32_t failure_at;

    int32_t obs_dim;
    int32_t act_dim;
    int32_t step_limit;
    float step_seconds; /* of the environment's own time; 0: unknown */
    char name[SPEC_NAME_MAX + 1];
    float action_low[SPEC_ACT_DIM_MAX];
    float action_high[SPEC_ACT_DIM_MAX];
    int32_t failure;
    char text[CHANNEL_TEXT_BYTES];
    char traceback[CHANNEL_TRACEBACK_BYTES];
} ChannelHeader;

typedef struct Channel {
    int memory_fd;
    int bell_fd; /* -1: not connected */
    int num_lanes;
    size_t bytes; /* without a picture, which comes behind them */
    ChannelHeader *header;
    uint64_t *seeds;
    double *rewards;
    uint32_t *done;
    uint8_t *commands;
    uint8_t *ends;
    float *actions;
    float *obs;
} Channel;

/* Makes the memory. ERR_NOMEM, ERR_IO. */
int channel_open(Channel *channel, int num_lanes, Err *err);
void channel_close(Channel *channel);

/* Makes a bell for a new worker, whose end, *worker_end, is the caller's to close; what an earlier
 * worker said of itself is forgotten, and the header is as it was first. ERR_IO. */
int channel_connect(Channel *channel, int *worker_end, Err *err);
void channel_disconnect(Channel *channel);

float *channel_action(const Channel *channel, int lane);
const float *channel_obs(const Channel *channel, int lane);

/* Rings for lanes. ERR_AGAIN: the worker has to listen first; ERR_LOST: it is gone. */
int channel_ring(Channel *channel, const uint16_t *lanes, int count);

/* Takes one ring: the number of lanes, 0 for one that is not about lanes (then *what is 'R' or
 * 'F'), ERR_AGAIN: none; ERR_LOST: the worker is gone; ERR_FORMAT: that is no ring. lanes
 * (num_lanes). */
int channel_take(Channel *channel, uint16_t *lanes, char *what);

/* The spec in the header. ERR_SPEC when it is none. */
int channel_spec(const Channel *channel, Spec *spec, Err *err);

/* Copies a text of the header as one line. */
const char *channel_text(const Channel *channel, char *out, size_t out_bytes);

/* Makes room for a picture; it is valid until channel_picture_close. ERR_NOMEM. */
int channel_picture_open(Channel *channel, int width, int height, uint8_t **rgb, Err *err);
void channel_picture_close(uint8_t **rgb, int width, int height);

#endif
