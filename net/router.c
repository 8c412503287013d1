#include "net/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "net/endpoints.h"
#include "net/io_threads.h"
#include "proto/wire_relay.h"

enum {
    ROUTING_ID_BYTES = 5, /* of ids that libzmq gives: a zero byte, and the number */
    /* Of a connection, that libzmq reads before we do: so many messages, fewer where they may be
     * large. An honest peer waits when they are there. */
    QUEUE_IN_MESSAGES = 512,
    QUEUE_IN_MESSAGES_MIN = 64,
    QUEUE_IN_BYTES = 128 << 20,
    /* To a connection. A relay of a thousand actors gets a thousand Acks at once, as soon as the
     * trainer moves on: they must have a place until the I/O thread has sent them. Nearly all are
     * some 50 bytes. */
    QUEUE_OUT_MESSAGES = 16384,
    CURVE_BYTES = 64, /* what encryption adds to a message, and some more */
};

struct Router {
    void *socket;
    WireArena *arena;
    Trust *trust; /* NULL: none */
    PeerIdentity identity;
    char endpoint[WIRE_ENDPOINT_MAX + 1];
};

static int bind_error(const char *endpoint, Err *err)
{
    switch (zmq_errno()) {
    case EADDRINUSE:
        return err_set(err, ERR_BUSY,
                       "%s is in use: end the other program, or choose another --bind", endpoint);
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
    case ENODEV:
        return err_set(err, ERR_USAGE,
                       "--bind %s is no endpoint of this machine: write tcp://ADDRESS:PORT or "
                       "ipc://PATH",
                       endpoint);
    default:
        return err_set(err, ERR_NET, "cannot bind %s: %s", endpoint, zmq_strerror(zmq_errno()));
    }
}

static int queue_in_messages(size_t message_bytes_max)
{
    size_t messages = QUEUE_IN_BYTES / message_bytes_max;
    if (messages < QUEUE_IN_MESSAGES_MIN)
        return QUEUE_IN_MESSAGES_MIN;
    return messages < QUEUE_IN_MESSAGES ? (int)messages : QUEUE_IN_MESSAGES;
}

static int open_socket(Router *router, void *zmq_context, size_t message_bytes_max, Err *err)
{
    router->socket = zmq_socket(zmq_context, ZMQ_ROUTER);
    /* protobuf-c's structs and the columns, which the arena holds beside each other. */
    router->arena = wire_arena_new(message_bytes_max * 2 + 65536);
    if (!router->socket || !router->arena)
        return err_set(err, ERR_NOMEM, "out of memory for the uplink");
    const int yes = 1;
    const int linger_ms = 1000; /* for the last Bye */
    const int queue_in = queue_in_messages(message_bytes_max);
    const int queue_out = QUEUE_OUT_MESSAGES;
    const int handshake_ms = 2000;
    const int backlog = ENDPOINTS_BACKLOG;
    const int64_t bytes_max = (int64_t)message_bytes_max + CURVE_BYTES;
    io_threads_use(zmq_context, router->socket, IO_THREAD_UPLINK);
    zmq_setsockopt(router->socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof yes);
    zmq_setsockopt(router->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(router->socket, ZMQ_SNDHWM, &queue_out, sizeof queue_out);
    zmq_setsockopt(router->socket, ZMQ_RCVHWM, &queue_in, sizeof queue_in);
    zmq_setsockopt(router->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    zmq_setsockopt(router->socket, ZMQ_BACKLOG, &backlog, sizeof backlog);
    zmq_setsockopt(router->socket, ZMQ_HANDSHAKE_IVL, &handshake_ms, sizeof handshake_ms);
    return router->trust ? trust_secure(router->trust, router->socket, TRUST_UPLINK, err) : ERR_OK;
}

int router_new(void *zmq_context, const char *endpoint, size_t message_bytes_max, Trust *trust,
               Router **router_pointer, Err *err)
{
    int code = endpoints_check(endpoint, err);
    if (code != ERR_OK)
        return code;
    Router *router = calloc(1, sizeof *router);
    if (!router)
        return err_set(err, ERR_NOMEM, "out of memory");
    router->trust = trust;
    code = open_socket(router, zmq_context, message_bytes_max, err);
    if (code == ERR_OK && zmq_bind(router->socket, endpoint) != 0)
        code = bind_error(endpoint, err);
    if (code != ERR_OK) {
        router_destroy(&router);
        return code;
    }
    size_t bytes = sizeof router->endpoint;
    zmq_getsockopt(router->socket, ZMQ_LAST_ENDPOINT, router->endpoint, &bytes);
    *router_pointer = router;
    return ERR_OK;
}

void router_destroy(Router **router)
{
    if (!*router)
        return;
    if ((*router)->trust)
        trust_release((*router)->trust, TRUST_UPLINK);
    if ((*router)->socket)
        zmq_close((*router)->socket);
    wire_arena_destroy(&(*router)->arena);
    free(*router);
    *router = NULL;
}

void *router_socket(Router *router)
{
    return router->socket;
}

const char *router_endpoint(const Router *router)
{
    return router->endpoint;
}

/* Reads the routing id in front of a message; 0 when it is not one that libzmq gave. */
static uint32_t read_connection(zmq_msg_t *frame)
{
    const uint8_t *id = zmq_msg_data(frame);
    if (zmq_msg_size(frame) != ROUTING_ID_BYTES || id[0] != 0)
        return 0;
    return (uint32_t)id[1] << 24 | (uint32_t)id[2] << 16 | (uint32_t)id[3] << 8 | id[4];
}

/* Reads the next part in place of this one. */
static bool next_part(void *socket, zmq_msg_t *part)
{
    if (!zmq_msg_more(part))
        return false;
    zmq_msg_close(part);
    zmq_msg_init(part);
    return zmq_msg_recv(part, socket, ZMQ_DONTWAIT) >= 0;
}

/* Asks who sent a frame, where it matters: libzmq looks such a property up by its text. */
static void identify(Router *router, zmq_msg_t *frame)
{
    const char *user_id = zmq_msg_gets(frame, "User-Id");
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    bool ipc = strncmp(router->endpoint, "ipc://", 6) == 0;
    trust_identify(router->trust, user_id, ipc ? NULL : address ? address : "", &router->identity);
}

const PeerIdentity *router_identity(const Router *router)
{
    return &router->identity;
}

int router_receive_frame(Router *router, Link *link, zmq_msg_t *frame)
{
    *link = LINK_NONE;
    router->identity = (PeerIdentity){.local = false};
    if (zmq_msg_recv(frame, router->socket, ZMQ_DONTWAIT) < 0)
        return ERR_MISSING;
    uint32_t connection = read_connection(frame);
    *link = connection;
    bool sound = next_part(router->socket, frame);
    if (sound && zmq_msg_more(frame)) {
        uint32_t channel = wire_get_channel(zmq_msg_data(frame), zmq_msg_size(frame));
        sound = next_part(router->socket, frame) && channel != 0 && !zmq_msg_more(frame);
        if (sound && connection != 0)
            *link = link_make(connection, channel);
    }
    const uint8_t *bytes = zmq_msg_data(frame);
    if (!sound || wire_kind(bytes, zmq_msg_size(frame)) == MESSAGE_HELLO)
        identify(router, frame);
    while (next_part(router->socket, frame))
        continue;
    return sound ? ERR_OK : ERR_FORMAT;
}

int router_receive(Router *router, const WireLimits *limits, Link *link, Message *message, Err *err)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    int code = router_receive_frame(router, link, &frame);
    if (code == ERR_OK) {
        code = wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), limits, router->arena,
                           message, err);
        if (code != ERR_OK)
            identify(router, &frame);
    } else if (code == ERR_FORMAT) {
        err_set(err, code, "a message has one part, and before it the channel where it has one");
    }
    zmq_msg_close(&frame);
    return code;
}

static int send_part(Router *router, const void *bytes, size_t num_bytes)
{
    if (zmq_send(router->socket, bytes, num_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        return ERR_OK;
    return zmq_errno() == EHOSTUNREACH ? ERR_MISSING : ERR_FULL;
}

int router_send_frame(Router *router, Link link, zmq_msg_t *frame)
{
    uint32_t connection = link_connection(link);
    uint32_t channel = link_channel(link);
    const uint8_t id[ROUTING_ID_BYTES] = {0, (uint8_t)(connection >> 24),
                                          (uint8_t)(connection >> 16), (uint8_t)(connection >> 8),
                                          (uint8_t)connection};
    uint8_t number[WIRE_CHANNEL_BYTES];
    wire_put_channel(channel, number);
    int code = send_part(router, id, sizeof id);
    if (code == ERR_OK && channel != 0)
        code = send_part(router, number, sizeof number);
    if (code == ERR_OK && zmq_msg_send(frame, router->socket, ZMQ_DONTWAIT) < 0)
        code = ERR_FULL;
    return code;
}

int router_send(Router *router, Link link, const Message *message)
{
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, wire_size(message, NULL)) != 0)
        return ERR_NOMEM;
    wire_pack(message, NULL, zmq_msg_data(&frame));
    int code = router_send_frame(router, link, &frame);
    zmq_msg_close(&frame);
    return code;
}
