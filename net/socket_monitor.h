/* Who knocks at a socket: counts of a libzmq socket monitor. libzmq accepts whatever dials, and
 * cannot be told to stop; so what has connected and has not finished its handshake is counted here,
 * for an alarm. Owned by the loop thread. */
#ifndef POLYAK_NET_SOCKET_MONITOR_H
#define POLYAK_NET_SOCKET_MONITOR_H

#include <stdint.h>

#include "common/err.h"

enum { MONITOR_ADDRESS_BYTES = 48 };

/* Why a connection did not finish its handshake. */
typedef enum HandshakeFailure {
    HANDSHAKE_REFUSED,  /* its key is not allowed */
    HANDSHAKE_PROTOCOL, /* plain text, another learner's key, no ZeroMQ at all */
    HANDSHAKE_LOST,     /* it went away, or took too long */
    NUM_HANDSHAKE_FAILURES,
} HandshakeFailure;

typedef struct MonitorCounts {
    uint64_t accepted; /* connections, since the start */
    uint64_t finished; /* handshakes */
    uint64_t failed[NUM_HANDSHAKE_FAILURES];
    uint64_t not_accepted; /* for want of descriptors */
    uint32_t open;         /* now */
    uint32_t half_open; /* now: accepted within a handshake's time, and neither finished nor gone */
} MonitorCounts;

/* Called for each handshake that failed; `address` is empty where it is not known. */
typedef void (*MonitorFailed)(void *context, HandshakeFailure failure, const char *address);

typedef struct SocketMonitor SocketMonitor;

/* To be started before the socket is bound. `name` is the monitor's in its context. ERR_NET,
 * ERR_NOMEM. */
int socket_monitor_new(void *zmq_context, void *socket, const char *name, MonitorFailed failed,
                       void *context, SocketMonitor **monitor, Err *err);

/* Before the socket is closed. */
void socket_monitor_destroy(SocketMonitor **monitor);

/* What is readable when something has happened. */
void *socket_monitor_socket(SocketMonitor *monitor);

/* Reads what has happened. To be called then, and every 100 ms or so. */
void socket_monitor_read(SocketMonitor *monitor, int64_t now_ms);

/* The socket drops all its connections: those are not reported one by one. */
void socket_monitor_forget(SocketMonitor *monitor);

const MonitorCounts *socket_monitor_counts(const SocketMonitor *monitor);

#endif
