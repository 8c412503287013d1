/* The other end of the network benchmarks: `peers` threads in a process of their own, so that they
 * share nothing with what is measured but the machine. For the main thread.
 *
 * The process is forked before this one makes its ZeroMQ context, and dies with it. What both sides
 * share is one block of memory, which starts as zeros. */
#ifndef POLYAK_CLI_BENCH_BENCH_PEERS_H
#define POLYAK_CLI_BENCH_BENCH_PEERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

enum { BENCH_ENDPOINT_MAX = 63, BENCH_TIMEOUT_MS = 100, BENCH_JOIN_MS = 10000 };

/* The head of the shared block. */
typedef struct BenchShared {
    _Atomic bool go;   /* the endpoint is there */
    _Atomic bool stop; /* to be looked at every BENCH_TIMEOUT_MS */
    char endpoint[BENCH_ENDPOINT_MAX + 1];
} BenchShared;

/* One peer: connects to shared->endpoint and works until shared->stop. */
typedef void (*BenchPeer)(int index, void *zmq_context, BenchShared *shared, const void *arg);

typedef struct BenchPeers {
    BenchShared *shared;
    size_t shared_bytes;
    pid_t pid;
} BenchPeers;

/* Shared memory of shared_bytes (BenchShared at its head), and the process. `arg` is read in the
 * process as it is now. */
int bench_peers_start(BenchPeers *peers, int num_peers, size_t shared_bytes, BenchPeer peer,
                      const void *arg, Err *err);

/* Lets them connect to where `socket` (tcp) is bound. ERR_NET. */
int bench_peers_go(BenchPeers *peers, void *socket, Err *err);

/* Ends the process; what it wrote can still be read. */
void bench_peers_stop(BenchPeers *peers);

/* Gives the shared memory back. */
void bench_peers_release(BenchPeers *peers);

#endif
