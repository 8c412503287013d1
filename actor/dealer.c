#include "actor/dealer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "actor/dialing.h"
#include "common/fs.h"
#include "proto/wire_relay.h"

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
    *dealer = (Dealer){.zmq_context = zmq_context,
                       .connect = connect,
                       .message_bytes_max = message_bytes_max,
                       .queue_messages = QUEUE_MESSAGES};
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
    dialing_prepare(socket, dealer->queue_messages, dealer->message_bytes_max, &dealer->keys);
    dialing_set(socket, ZMQ_SNDHWM, dealer->queue_messages);
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

int dealer_send_frame(Dealer *dealer, uint32_t channel, zmq_msg_t *frame)
{
    uint8_t number[WIRE_CHANNEL_BYTES];
    wire_put_channel(channel, number);
    if (!dealer->socket)
        return ERR_MISSING;
    /* The queue counts messages: once it took the first part, it takes the second. */
    if (channel != 0 &&
        zmq_send(dealer->socket, number, sizeof number, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return ERR_FULL;
    return zmq_msg_send(frame, dealer->socket, ZMQ_DONTWAIT) < 0 ? ERR_FULL : ERR_OK;
}

int dealer_send(Dealer *dealer, const Message *message, const WireLimits *dims)
{
    zmq_msg_t frame;
    if (!dealer->socket)
        return ERR_MISSING;
    if (zmq_msg_init_size(&frame, wire_size(message, dims)) != 0)
        return ERR_NOMEM;
    wire_pack(message, dims, zmq_msg_data(&frame));
    int code = dealer_send_frame(dealer, 0, &frame);
    zmq_msg_close(&frame);
    return code;
}

void dealer_linger(Dealer *dealer, int linger_ms)
{
    if (dealer->socket)
        dialing_set(dealer->socket, ZMQ_LINGER, linger_ms);
}

/* Reads the next part in place of this one. */
static bool next_part(const Dealer *dealer, zmq_msg_t *part)
{
    if (!zmq_msg_more(part))
        return false;
    zmq_msg_close(part);
    zmq_msg_init(part);
    return zmq_msg_recv(part, dealer->socket, ZMQ_DONTWAIT) >= 0;
}

int dealer_receive_frame(Dealer *dealer, uint32_t *channel, zmq_msg_t *frame)
{
    *channel = 0;
    if (!dealer->socket || zmq_msg_recv(frame, dealer->socket, ZMQ_DONTWAIT) < 0)
        return ERR_MISSING;
    dealer->heard = true;
    dealer->trouble = NULL;
    if (!zmq_msg_more(frame))
        return ERR_OK;
    *channel = wire_get_channel(zmq_msg_data(frame), zmq_msg_size(frame));
    bool sound = next_part(dealer, frame) && *channel != 0 && !zmq_msg_more(frame);
    while (next_part(dealer, frame))
        continue;
    return sound ? ERR_OK : ERR_FORMAT;
}

int dealer_unpack(Dealer *dealer, zmq_msg_t *frame, Message *message, Err *err)
{
    static const WireLimits no_segments = {0, 0, 0};
    return wire_unpack(zmq_msg_data(frame), zmq_msg_size(frame), &no_segments, dealer->arena,
                       message, err);
}

int dealer_receive(Dealer *dealer, Message *message, Err *err)
{
    zmq_msg_t frame;
    uint32_t channel = 0;
    zmq_msg_init(&frame);
    int code = dealer_receive_frame(dealer, &channel, &frame);
    if (code == ERR_OK)
        code = channel == 0 ? dealer_unpack(dealer, &frame, message, err)
                            : err_set(err, ERR_FORMAT, "it is for a channel");
    else if (code == ERR_FORMAT)
        err_set(err, code, "a message has one part");
    zmq_msg_close(&frame);
    return code;
}
