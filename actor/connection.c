#include "actor/connection.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"

enum {
    FIRST_WORD_MS = 1000,  /* a wait for the learner is logged after this, */
    WORD_EVERY_MS = 30000, /* and then this often */
    BYE_LINGER_MS = 500,
};

int session_make(Session *session, Err *err)
{
    if (getrandom(session->id, sizeof session->id, 0) != (ssize_t)sizeof session->id)
        return err_set(err, ERR_IO, "the kernel gives no random numbers");
    return ERR_OK;
}

void connection_name(const Config *config, char name[WIRE_NAME_MAX + 1])
{
    char host[WIRE_NAME_MAX + 1] = "";
    if (config->name[0] != '\0') {
        snprintf(name, WIRE_NAME_MAX + 1, "%.*s", WIRE_NAME_MAX, config->name);
        return;
    }
    gethostname(host, sizeof host - 1);
    snprintf(name, WIRE_NAME_MAX + 1, "%.40s/%d", host[0] ? host : "unnamed", (int)getpid());
}

int connection_labels(const Config *config, Hello *hello, Err *err)
{
    hello->num_labels = 0;
    const char *label = config->labels;
    while (*label != '\0') {
        size_t length = strcspn(label, ",");
        if (length == 0 || length > WIRE_NAME_MAX)
            return err_set(err, ERR_USAGE,
                           "--labels has a label of %zu bytes: write up to %d labels of 1 to %d "
                           "bytes, as in rack=4,zone=a",
                           length, WIRE_LABELS_MAX, WIRE_NAME_MAX);
        const char *equals = memchr(label, '=', length);
        if (!equals || equals == label)
            return err_set(err, ERR_USAGE,
                           "--labels has \"%.*s\", which is no key=value: write rack=4,zone=a",
                           (int)length, label);
        if (hello->num_labels == WIRE_LABELS_MAX)
            return err_set(err, ERR_USAGE, "--labels has more than %d labels", WIRE_LABELS_MAX);
        snprintf(hello->labels[hello->num_labels++], WIRE_NAME_MAX + 1, "%.*s", (int)length, label);
        label += length;
        if (*label == ',' && *++label == '\0')
            return err_set(err, ERR_USAGE, "--labels ends with a comma");
    }
    return ERR_OK;
}

int connection_open(Connection *connection, void *zmq_context, const Config *config,
                    const Hello *hello, Outbox *outbox, size_t message_bytes_max, Err *err)
{
    Session session;
    int code = session_make(&session, err);
    if (code == 0)
        code =
            dealer_init(&connection->dealer, zmq_context, config->connect, message_bytes_max, err);
    if (code == 0)
        code = dealer_use_keys(&connection->dealer, config->key, config->learner_key, err);
    if (code != 0)
        return code;
    int64_t now_ms = clock_ms();
    uplink_start(&connection->uplink, hello, outbox, &session, now_ms);
    connection->dims = (WireLimits){hello->spec.obs_dim, hello->spec.act_dim, SEGMENT_STEPS_MAX};
    connection->sessions_seen = connection->uplink.sessions;
    connection->next_word_ms = now_ms + FIRST_WORD_MS;
    return ERR_OK;
}

void connection_close(Connection *connection)
{
    dealer_linger(&connection->dealer, BYE_LINGER_MS);
    dealer_destroy(&connection->dealer);
}

static int receive_all(Connection *connection, int64_t now_ms)
{
    static Message message; /* large: kept off the stack */
    Err err;
    for (;;) {
        int code = dealer_receive(&connection->dealer, &message, &err);
        if (code == ERR_MISSING)
            return ERR_OK;
        if (code != 0) {
            log_warn("a message of the learner cannot be read: %s", err.text);
            continue;
        }
        Session fresh;
        code = session_make(&fresh, &err);
        if (code != 0)
            return code;
        uplink_receive(&connection->uplink, &message, &fresh, now_ms);
        if (connection->on_message)
            connection->on_message(connection->context, &message);
    }
}

static int send_all(Connection *connection, int64_t now_ms, Err *err)
{
    static Message message;
    for (;;) {
        switch (uplink_next(&connection->uplink, now_ms, &message)) {
        case UPLINK_OPEN: {
            int code = dealer_open(&connection->dealer, err);
            if (code == ERR_USAGE)
                return code;
            if (code != 0)
                uplink_not_opened(&connection->uplink, err->text, now_ms);
            break;
        }
        case UPLINK_SEND:
            if (dealer_send(&connection->dealer, &message, &connection->dims) != 0) {
                /* The learner does not take it, or there is no memory: later, then. */
                uplink_not_sent(&connection->uplink, &message);
                return ERR_OK;
            }
            break;
        default:
            return ERR_OK;
        }
    }
}

/* Tells a person how it stands with the learner. */
static void say_words(Connection *connection, int64_t now_ms)
{
    const Uplink *uplink = &connection->uplink;
    if (uplink->lost_segments > connection->losses_said) {
        log_warn("the learner no longer knows this session: %llu segments (%llu steps in all) that "
                 "it did not acknowledge are lost",
                 (unsigned long long)(uplink->lost_segments - connection->losses_said),
                 (unsigned long long)uplink->lost_steps);
        connection->losses_said = uplink->lost_segments;
    }
    if (uplink->silent_ms > 0 && !connection->silence_said)
        log_info("the learner is lost: silent for %.1f s", (double)uplink->silent_ms / 1000.0);
    connection->silence_said = uplink->silent_ms > 0;
    if (uplink->state != UPLINK_CONNECTING) {
        connection->next_word_ms = now_ms + FIRST_WORD_MS;
        return;
    }
    if (now_ms < connection->next_word_ms)
        return;
    connection->next_word_ms = now_ms + WORD_EVERY_MS;
    const char *where =
        connection->dealer.endpoint[0] ? connection->dealer.endpoint : connection->dealer.connect;
    const char *trouble = dealer_trouble(&connection->dealer);
    const char *why = uplink->refusal[0] ? uplink->refusal
                      : trouble          ? trouble
                                         : "it does not answer";
    log_info("waiting for the learner at %s, %.0f s so far: %s", where,
             (double)(now_ms - uplink->lost_ms) / 1000.0, why);
}

int connection_drive(Connection *connection, int64_t now_ms, Err *err)
{
    int code = receive_all(connection, now_ms);
    if (code == 0)
        code = send_all(connection, now_ms, err);
    if (code != 0)
        return code;
    say_words(connection, now_ms);
    if (connection->uplink.state == UPLINK_REFUSED)
        return err_set(err, ERR_SPEC, "the learner at %s refuses: %s", connection->dealer.endpoint,
                       connection->uplink.refusal);
    return ERR_OK;
}

bool connection_welcomed(Connection *connection)
{
    bool welcomed = connection->uplink.welcomes != connection->welcomes_seen;
    connection->welcomes_seen = connection->uplink.welcomes;
    return welcomed;
}

bool connection_new_session(Connection *connection)
{
    bool fresh = connection->uplink.sessions != connection->sessions_seen;
    connection->sessions_seen = connection->uplink.sessions;
    return fresh;
}

void connection_wait(Connection *connection, void *other, int timeout_ms)
{
    zmq_pollitem_t items[2];
    int count = 0;
    if (connection->dealer.socket)
        items[count++] =
            (zmq_pollitem_t){.socket = connection->dealer.socket, .events = ZMQ_POLLIN};
    if (other)
        items[count++] = (zmq_pollitem_t){.socket = other, .events = ZMQ_POLLIN};
    /* Returns early on a signal, which the caller looks for. */
    zmq_poll(items, count, timeout_ms);
}
