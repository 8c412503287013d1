#include "relay/parent.h"

#include <stdlib.h>
#include <string.h>

#include "actor/connection.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    FIRST_WORD_MS = 1000,  /* a wait for the parent is logged after this, */
    WORD_EVERY_MS = 30000, /* and then this often */
    BYE_LINGER_MS = 500,
    QUEUE_MIN = 1024,
    /* Messages. A session has credit for up to eight segments of each environment; where a peer has
     * many, and all send at once, its relay waits, and nothing is lost. */
    QUEUE_PER_PEER = 10,
};

/* --- Life --------------------------------------------------------------------------------------
 */

static bool is_host(const char *host, size_t length, const char *const *hosts)
{
    for (; *hosts; hosts++) {
        if (strlen(*hosts) == length && memcmp(*hosts, host, length) == 0)
            return true;
    }
    return false;
}

int parent_check(const char *bind, const char *connect, Err *err)
{
    static const char *const any[] = {"0.0.0.0",   "*",     "[::]", "127.0.0.1",
                                      "localhost", "[::1]", NULL};
    enum { SCHEME_BYTES = 6 }; /* tcp:// */
    const char *bind_port = strrchr(bind, ':');
    const char *connect_port = strrchr(connect, ':');
    bool same = strcmp(bind, connect) == 0;
    if (!same && strncmp(bind, "tcp://", SCHEME_BYTES) == 0 &&
        strncmp(connect, "tcp://", SCHEME_BYTES) == 0 && bind_port >= bind + SCHEME_BYTES &&
        connect_port >= connect + SCHEME_BYTES) {
        const char *host = connect + SCHEME_BYTES;
        same = strcmp(bind_port, connect_port) == 0 &&
               is_host(host, (size_t)(connect_port - host), any) &&
               is_host(bind + SCHEME_BYTES, (size_t)(bind_port - bind) - SCHEME_BYTES, any);
    }
    if (same)
        return err_set(err, ERR_USAGE,
                       "--connect %.150s is this relay's own --bind: name the endpoint of the "
                       "learner, or of another relay",
                       connect);
    return ERR_OK;
}

int parent_open(Parent *parent, void *zmq_context, uv_loop_t *loop, const Config *config,
                const Hello *hello, void (*ready)(void *), void *context, Err *err)
{
    Session session;
    int64_t now_ms = clock_ms();
    *parent = (Parent){
        .loop = loop, .ready = ready, .context = context, .next_word_ms = now_ms + FIRST_WORD_MS};
    zmq_msg_init(&parent->held);
    int code = session_make(&session, err);
    if (code == 0)
        code =
            dealer_init(&parent->dealer, zmq_context, config->connect, WIRE_POLICY_BYTES_MAX, err);
    if (code == 0)
        code = dealer_use_keys(&parent->dealer, config->key, config->learner_key, err);
    if (code != 0)
        return code;
    int queue = QUEUE_PER_PEER * (int)config->peers_max;
    parent->dealer.queue_messages = queue > QUEUE_MIN ? queue : QUEUE_MIN;
    uplink_start(&parent->uplink, hello, NULL, &session, now_ms);
    return ERR_OK;
}

void parent_close(Parent *parent, ByeReason reason)
{
    if (!parent->loop)
        return;
    Message bye = {.kind = MESSAGE_BYE, .bye = reason};
    parent_flush(parent);
    dealer_send(&parent->dealer, &bye, NULL);
    dealer_linger(&parent->dealer, BYE_LINGER_MS);
    zmq_watch_let_go(&parent->watch);
    zmq_msg_close(&parent->held);
    dealer_destroy(&parent->dealer);
    parent->loop = NULL;
}

/* --- Driving -----------------------------------------------------------------------------------
 */

/* A new socket; what was held belonged to the old one. */
static int dial(Parent *parent, Err *err)
{
    zmq_watch_let_go(&parent->watch);
    zmq_msg_close(&parent->held);
    zmq_msg_init(&parent->held);
    parent->held_channel = 0;
    int code = dealer_open(&parent->dealer, err);
    if (code != 0)
        return code;
    parent->watch = calloc(1, sizeof *parent->watch);
    if (!parent->watch)
        return err_set(err, ERR_NOMEM, "out of memory");
    return zmq_watch_start(parent->watch, parent->loop, parent->dealer.socket, parent->ready,
                           parent->context, err);
}

/* Who is dialled, for a person: the learner, or another relay. */
static const char *parent_name(const Parent *parent)
{
    const Dealer *dealer = &parent->dealer;
    return dealer->endpoint[0] ? dealer->endpoint : dealer->connect;
}

/* Tells a person how it stands with the parent. */
static void say_words(Parent *parent, int64_t now_ms)
{
    const Uplink *uplink = &parent->uplink;
    if (uplink->silent_ms > 0 && !parent->silence_said)
        log_info("%s is lost: silent for %.1f s", parent_name(parent),
                 (double)uplink->silent_ms / 1000.0);
    parent->silence_said = uplink->silent_ms > 0;
    if (uplink->state != UPLINK_CONNECTING) {
        parent->next_word_ms = now_ms + FIRST_WORD_MS;
        return;
    }
    if (now_ms < parent->next_word_ms)
        return;
    parent->next_word_ms = now_ms + WORD_EVERY_MS;
    log_info("waiting for %s, %.0f s so far: %s", parent_name(parent),
             (double)(now_ms - uplink->lost_ms) / 1000.0, parent_trouble(parent));
}

int parent_drive(Parent *parent, int64_t now_ms, Err *err)
{
    static Message message; /* large: kept off the stack */
    for (;;) {
        switch (uplink_next(&parent->uplink, now_ms, &message)) {
        case UPLINK_OPEN: {
            int code = dial(parent, err);
            if (code == ERR_USAGE)
                return code;
            if (code != 0)
                uplink_not_opened(&parent->uplink, err->text, now_ms);
            break;
        }
        case UPLINK_SEND:
            if (dealer_send(&parent->dealer, &message, NULL) != 0) {
                uplink_not_sent(&parent->uplink, &message);
                return ERR_OK;
            }
            break;
        default:
            say_words(parent, now_ms);
            return ERR_OK;
        }
    }
}

const char *parent_trouble(Parent *parent)
{
    const char *trouble = dealer_trouble(&parent->dealer);
    const char *refusal = parent->uplink.refusal;
    const char *name = parent->uplink.hello.name;
    /* Relays pass on what their own parent says: these are words of this one. */
    if (strncmp(refusal, "relay ", 6) == 0 && strncmp(refusal + 6, name, strlen(name)) == 0 &&
        refusal[6 + strlen(name)] == ' ')
        return "it dials this relay in turn, so none of them has a learner: mend --connect";
    if (refusal[0] != '\0')
        return refusal;
    return trouble ? trouble : "it does not answer";
}

/* --- Frames ------------------------------------------------------------------------------------
 */

static void take_own(Parent *parent, zmq_msg_t *frame, int64_t now_ms)
{
    static Message message;
    Session fresh = {{0}};
    Err err;
    int code = dealer_unpack(&parent->dealer, frame, &message, &err);
    if (code == 0)
        code = session_make(&fresh, &err);
    if (code == 0)
        uplink_receive(&parent->uplink, &message, &fresh, now_ms);
    else
        log_warn("a message of %s cannot be read: %s", parent_name(parent), err.text);
}

bool parent_receive(Parent *parent, int *budget, uint32_t *channel, zmq_msg_t *frame,
                    int64_t now_ms)
{
    while ((*budget)-- > 0) {
        int code = dealer_receive_frame(&parent->dealer, channel, frame);
        if (code == ERR_MISSING)
            return false;
        if (code != ERR_OK) {
            log_warn("a message of %s has parts that make no message", parent_name(parent));
        } else if (*channel != 0) {
            /* What it says to others shows that it lives, too. */
            if (parent->uplink.state == UPLINK_ACTIVE)
                parent->uplink.heard_ms = now_ms;
            return true;
        } else {
            take_own(parent, frame, now_ms);
        }
    }
    return false;
}

void parent_send(Parent *parent, uint32_t channel, zmq_msg_t *frame)
{
    if (dealer_send_frame(&parent->dealer, channel, frame) != ERR_FULL)
        return;
    zmq_msg_move(&parent->held, frame);
    parent->held_channel = channel;
    if (parent->watch)
        zmq_watch_events(parent->watch, ZMQ_POLLIN | ZMQ_POLLOUT);
}

bool parent_is_full(const Parent *parent)
{
    return parent->held_channel != 0;
}

bool parent_flush(Parent *parent)
{
    if (parent->held_channel == 0)
        return true;
    if (dealer_send_frame(&parent->dealer, parent->held_channel, &parent->held) == ERR_FULL)
        return false;
    parent->held_channel = 0;
    if (parent->watch)
        zmq_watch_events(parent->watch, ZMQ_POLLIN);
    return true;
}

void parent_tell(Parent *parent, uint32_t channel, const Message *message)
{
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, wire_size(message, NULL)) != 0)
        return;
    wire_pack(message, NULL, zmq_msg_data(&frame));
    dealer_send_frame(&parent->dealer, channel, &frame);
    zmq_msg_close(&frame);
}
