#include "actor/dealer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "actor/dialing.h"
#include "common/fs.h"

enum {
    QUEUE_MESSAGES = 1024,
    PORT_MAX = 65535,
};

/* Reads the endpoint to dial now: the flag itself, or the first word of the file that it names. */
static int find_endpoint(Dealer *dealer, Err *err)
{
    const char *source = dealer->connect;
    if (source[0] != '@') {
        int bytes = snprintf(dealer->endpoint, sizeof dealer->endpoint, "%s", source);
        if ((size_t)bytes >= sizeof dealer->endpoint)
            return err_set(err, ERR_USAGE, "--connect is longer than %d bytes", WIRE_ENDPOINT_MAX);
        return ERR_OK;
    }
    char *text = NULL;
    size_t bytes = 0;
    if (!fs_exists(source + 1))
        return err_set(err, ERR_MISSING, "%s is not there yet", source + 1);
    int code = fs_read_file(source + 1, WIRE_ENDPOINT_MAX, &text, &bytes, err);
    if (code != 0)
        return code;
    size_t length = strcspn(text, " \t\r\n");
    if (length == 0)
        code = err_set(err, ERR_MISSING, "%s is empty", source + 1);
    else
        snprintf(dealer->endpoint, sizeof dealer->endpoint, "%.*s", (int)length, text);
    free(text);
    return code;
}

/* libzmq dials a port that cannot be, for ever. */
static int check_port(const char *endpoint, Err *err)
{
    const char *colon = strrchr(endpoint, ':');
    char *end = NULL;
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return ERR_OK;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port < 1 || port > PORT_MAX)
        return err_set(err, ERR_USAGE, "--connect %s: the port must be in 1…%d", endpoint,
                       PORT_MAX);
    return ERR_OK;
}

int dealer_init(Dealer *dealer, void *zmq_context, const char *connect, size_t message_bytes_max,
                Err *err)
{
    *dealer = (Dealer){
        .zmq_context = zmq_context, .connect = connect, .message_bytes_max = message_bytes_max};
    if (connect[0] == '\0' || strcmp(connect, "@") == 0)
        return err_set(err, ERR_USAGE,
                       "--connect is empty: write tcp://HOST:PORT, ipc://PATH or "
                       "@FILE");
    dealer->arena = wire_arena_new(message_bytes_max);
    return dealer->arena ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

int dealer_use_keys(Dealer *dealer, const char *key, const char *learner_key, Err *err)
{
    dealer->heard = true; /* the first key is the first one to try */
    return dialing_read_keys(key, learner_key, &dealer->keys, err);
}

static void close_socket(Dealer *dealer)
{
    if (!dealer->socket)
        return;
    dialing_unwatch(dealer->socket, &dealer->monitor);
    zmq_close(dealer->socket);
    dealer->socket = NULL;
}

const char *dealer_trouble(Dealer *dealer)
{
    const char *trouble = dialing_trouble(dealer->monitor, dealer->keys.used);
    if (trouble)
        dealer->trouble = trouble;
    return dealer->trouble;
}

void dealer_destroy(Dealer *dealer)
{
    close_socket(dealer);
    dialing_forget_keys(&dealer->keys);
    wire_arena_destroy(&dealer->arena);
}

int dealer_open(Dealer *dealer, Err *err)
{
    dealer_trouble(dealer); /* its last words */
    close_socket(dealer);
    int code = find_endpoint(dealer, err);
    if (code == 0)
        code = check_port(dealer->endpoint, err);
    if (code != 0)
        return code;
    void *socket = zmq_socket(dealer->zmq_context, ZMQ_DEALER);
    if (!socket)
        return err_set(err, ERR_NET, "no socket: %s", zmq_strerror(zmq_errno()));
    dialing_turn_keys(&dealer->keys, dealer->heard);
    dealer->heard = false;
    dialing_prepare(socket, QUEUE_MESSAGES, dealer->message_bytes_max, &dealer->keys);
    dialing_set(socket, ZMQ_SNDHWM, QUEUE_MESSAGES);
    dealer->monitor = dialing_watch(dealer->zmq_context, socket);
    if (zmq_connect(socket, dealer->endpoint) != 0) {
        int reason = zmq_errno();
        dialing_unwatch(socket, &dealer->monitor);
        zmq_close(socket);
        return err_set(err, reason == ENOMEM ? ERR_NOMEM : ERR_USAGE,
                       "--connect %s cannot be dialled (%s): write tcp://HOST:PORT or ipc://PATH",
                       dealer->endpoint, zmq_strerror(reason));
    }
    dealer->socket = socket;
    return ERR_OK;
}

int dealer_send(Dealer *dealer, const Message *message, const WireLimits *dims)
{
    zmq_msg_t frame;
    if (!dealer->socket)
        return ERR_MISSING;
    if (zmq_msg_init_size(&frame, wire_size(message, dims)) != 0)
        return ERR_NOMEM;
    wire_pack(message, dims, zmq_msg_data(&frame));
    if (zmq_msg_send(&frame, dealer->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&frame);
        return ERR_FULL;
    }
    return ERR_OK;
}

void dealer_linger(Dealer *dealer, int linger_ms)
{
    if (dealer->socket)
        dialing_set(dealer->socket, ZMQ_LINGER, linger_ms);
}

int dealer_receive(Dealer *dealer, Message *message, Err *err)
{
    zmq_msg_t frame;
    if (!dealer->socket)
        return ERR_MISSING;
    zmq_msg_init(&frame);
    int code = ERR_MISSING;
    if (zmq_msg_recv(&frame, dealer->socket, ZMQ_DONTWAIT) >= 0) {
        dealer->heard = true;
        dealer->trouble = NULL;
        static const WireLimits no_segments = {0, 0, 0};
        code = wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), &no_segments, dealer->arena,
                           message, err);
    }
    zmq_msg_close(&frame);
    return code;
}
