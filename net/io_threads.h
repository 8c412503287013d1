/* The threads in which libzmq moves bytes. Weights for a thousand subscribers keep one of them busy
 * for long; segments and acknowledgements have another, or they would be late, and peers be taken
 * for lost. Any thread. */
#ifndef POLYAK_NET_IO_THREADS_H
#define POLYAK_NET_IO_THREADS_H

#include <stdint.h>

#include <zmq.h>

typedef enum IoThread {
    IO_THREAD_UPLINK = 0, /* of every context */
    IO_THREAD_WEIGHTS = 1,
    NUM_IO_THREADS,
} IoThread;

/* A context with both; NULL when out of memory. */
static inline void *io_threads_context(void)
{
    void *context = zmq_ctx_new();
    if (context)
        zmq_ctx_set(context, ZMQ_IO_THREADS, NUM_IO_THREADS);
    return context;
}

/* Keeps the connections of a new socket to a thread, where its context has that one. */
static inline void io_threads_use(void *context, void *socket, IoThread thread)
{
    if (zmq_ctx_get(context, ZMQ_IO_THREADS) <= (int)thread)
        return;
    const uint64_t affinity = UINT64_C(1) << thread;
    zmq_setsockopt(socket, ZMQ_AFFINITY, &affinity, sizeof affinity);
}

#endif
