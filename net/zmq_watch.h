/* A ZeroMQ socket in a libuv loop. ZMQ_FD is edge-triggered and says only "look again", so
 * ZMQ_EVENTS is read again before the loop sleeps and after it wakes; while events are left the
 * loop does not sleep. Owned by the loop thread. */
#ifndef POLYAK_NET_ZMQ_WATCH_H
#define POLYAK_NET_ZMQ_WATCH_H

#include <uv.h>

#include "common/err.h"

typedef struct ZmqWatch {
    void *socket;
    void (*readable)(void *context); /* reads some messages; is called again while there are more */
    void *context;
    int events;      /* of the socket, that are watched for */
    int num_closing; /* handles that a watch which is let go still has */
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
} ZmqWatch;

/* Watches for incoming messages. The watch must stay where it is until closed. ERR_NET. */
int zmq_watch_start(ZmqWatch *watch, uv_loop_t *loop, void *socket, void (*readable)(void *),
                    void *context, Err *err);

/* Watches for these events from now on: ZMQ_POLLIN at first; 0 for none, when nothing more can be
 * taken; with ZMQ_POLLOUT `readable` is also called when the socket can be written to. */
void zmq_watch_events(ZmqWatch *watch, int events);

/* Closes the handles; the loop must run once more before the watch's memory goes. */
void zmq_watch_close(ZmqWatch *watch);

/* The same for a watch that was malloc'ed, and is freed when the loop has let it go: for sockets
 * that are made anew while the loop runs. */
void zmq_watch_let_go(ZmqWatch **watch);

#endif
