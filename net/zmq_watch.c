#include "net/zmq_watch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

static int is_ready(const ZmqWatch *watch)
{
    int events = 0;
    size_t bytes = sizeof events;
    zmq_getsockopt(watch->socket, ZMQ_EVENTS, &events, &bytes);
    return events & watch->events;
}

static void on_idle(uv_idle_t *handle)
{
    /* Its being active is all: it keeps the loop from sleeping. */
    (void)handle;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    /* The check handle, which runs after this one, reads. */
    (void)handle;
    (void)status;
    (void)events;
}

static void on_prepare(uv_prepare_t *handle)
{
    ZmqWatch *watch = handle->data;
    if (is_ready(watch))
        uv_idle_start(&watch->idle, on_idle);
}

static void on_check(uv_check_t *handle)
{
    ZmqWatch *watch = handle->data;
    uv_idle_stop(&watch->idle);
    if (is_ready(watch))
        watch->readable(watch->context);
}

int zmq_watch_start(ZmqWatch *watch, uv_loop_t *loop, void *socket, void (*readable)(void *),
                    void *context, Err *err)
{
    watch->readable = readable;
    watch->context = context;
    int fd = -1;
    size_t bytes = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &bytes) != 0)
        return err_set(err, ERR_NET, "a socket cannot be watched: %s", zmq_strerror(zmq_errno()));
    watch->events = ZMQ_POLLIN;
    watch->socket = socket; /* from here on there is something to close */
    uv_poll_init(loop, &watch->poll, fd);
    uv_prepare_init(loop, &watch->prepare);
    uv_check_init(loop, &watch->check);
    uv_idle_init(loop, &watch->idle);
    watch->prepare.data = watch;
    watch->check.data = watch;
    uv_poll_start(&watch->poll, UV_READABLE, on_poll);
    uv_prepare_start(&watch->prepare, on_prepare);
    uv_check_start(&watch->check, on_check);
    return ERR_OK;
}

void zmq_watch_events(ZmqWatch *watch, int events)
{
    watch->events = events;
}

static void close_handles(ZmqWatch *watch, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&watch->poll, closed);
    uv_close((uv_handle_t *)&watch->prepare, closed);
    uv_close((uv_handle_t *)&watch->check, closed);
    uv_close((uv_handle_t *)&watch->idle, closed);
    watch->socket = NULL;
}

void zmq_watch_close(ZmqWatch *watch)
{
    if (watch->socket)
        close_handles(watch, NULL);
}

static void on_let_go(uv_handle_t *handle)
{
    ZmqWatch *watch = handle->data;
    if (--watch->num_closing == 0)
        free(watch);
}

void zmq_watch_let_go(ZmqWatch **watch)
{
    ZmqWatch *self = *watch;
    *watch = NULL;
    if (!self)
        return;
    if (!self->socket) {
        free(self);
        return;
    }
    self->num_closing = 4;
    self->poll.data = self;
    self->idle.data = self;
    close_handles(self, on_let_go);
}
