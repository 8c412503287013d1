/* The other ends of `bench broadcast`: subscribers, many to a process, and the feeder. For the main
 * thread.
 *
 * The feeder is an actor that sends one segment at a time, and the learner does one update for
 * each: so policy number n is what came of segment n, and its time is that of the segment's
 * leaving. */
#ifndef POLYAK_CLI_BENCH_BENCH_BROADCAST_PEERS_H
#define POLYAK_CLI_BENCH_BENCH_BROADCAST_PEERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/bench/bench_learner.h"

enum {
    BROADCAST_PROCESSES = 4,
    BROADCAST_PHASES_MAX = 16,
    BROADCAST_SAMPLES_MAX = 1000, /* of one subscriber in one phase */
    BROADCAST_SENT_MAX = 4096,    /* policies whose time is remembered */
    BROADCAST_INTERVAL_MS = 100,
};

typedef struct BroadcastSamples {
    int count;
    float latency_ms[BROADCAST_SAMPLES_MAX];
} BroadcastSamples;

typedef struct BroadcastPeer {
    _Atomic uint64_t in_use; /* number of the policy that it acts with; from 1 */
    BroadcastSamples samples[BROADCAST_PHASES_MAX];
} BroadcastPeer;

typedef struct BroadcastSent {
    int64_t ns;
    int phase; /* -1: not measured */
} BroadcastSent;

typedef struct BroadcastShared {
    _Atomic bool stop;
    _Atomic bool feeding;
    _Atomic int phase;
    _Atomic uint64_t sent; /* the newest segment */
    _Atomic int frames[BROADCAST_PHASES_MAX];
    BroadcastSent sent_at[BROADCAST_SENT_MAX]; /* by number; complete before `sent` tells of it */
    BroadcastPeer peers[];
} BroadcastShared;

/* A group of subscribers: first, first + stride, … below num_peers. */
typedef struct BroadcastGroup {
    int first;
    int stride;
    int num_peers;
} BroadcastGroup;

typedef struct Broadcast {
    const Config *config;
    BenchLearner learner;
    BroadcastShared *shared;
    BroadcastGroup groups[BROADCAST_PROCESSES + 1];
} Broadcast;

/* The lives of the processes; arg is the Broadcast, index that of the group. */
int broadcast_subscribers_main(const void *arg, int index);
int broadcast_feeder_main(const void *arg, int index);

#endif
