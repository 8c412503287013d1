#include "actor/dialing.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "common/fs.h"

enum {
    CONNECT_TIMEOUT_MS = 2000,
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    HANDSHAKE_MS = 2000,
    CURVE_BYTES = 64, /* what encryption adds to a message, and some more */
    EVENTS_MAX = 64,  /* read at once */
};

/* --- Keys --------------------------------------------------------------------------------------
 */

/* Reads the files of a comma list into `keys`; all or none. */
static int read_learner_keys(const char *list, PublicKey keys[DIAL_LEARNER_KEYS_MAX], int *count,
                             Err *err)
{
    *count = 0;
    for (const char *at = list;; at++) {
        char path[FS_PATH_MAX];
        size_t length = strcspn(at, ",");
        if (*count == DIAL_LEARNER_KEYS_MAX)
            return err_set(err, ERR_USAGE, "--learner-key names more than %d files",
                           DIAL_LEARNER_KEYS_MAX);
        if (length == 0 || length >= sizeof path)
            return err_set(err, ERR_USAGE, "--learner-key is a file, or two with a comma between");
        memcpy(path, at, length);
        path[length] = '\0';
        int code = keys_read_public(path, &keys[*count], err);
        if (code != ERR_OK)
            return code;
        ++*count;
        at += length;
        if (*at == '\0')
            return ERR_OK;
    }
}

int dialing_read_keys(const char *key, const char *learner_key, DialKeys *keys, Err *err)
{
    char derived[KEY_TEXT_CHARS + 1];
    *keys = (DialKeys){.own_path = key, .learner_paths = learner_key};
    if (key[0] == '\0' && learner_key[0] == '\0')
        return ERR_OK;
    if (key[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "--learner-key needs --key: this program's own; polyak keygen makes one");
    if (learner_key[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "--key needs --learner-key: the public key of the learner, its NAME.pub");
    int code = keys_read_secret(key, &keys->own, err);
    if (code == ERR_OK && (zmq_curve_public(derived, keys->own.secret_text) != 0 ||
                           strcmp(derived, keys->own.public_text) != 0))
        code = err_set(err, ERR_USAGE, "%s: its public key is not that of its secret key", key);
    if (code == ERR_OK)
        code = read_learner_keys(learner_key, keys->learner, &keys->num_learner, err);
    keys->used = code == ERR_OK;
    if (code != ERR_OK)
        keys_wipe(&keys->own);
    return code == ERR_OK ? code : ERR_USAGE;
}

void dialing_forget_keys(DialKeys *keys)
{
    keys_wipe(&keys->own);
    keys->used = false;
}

void dialing_turn_keys(DialKeys *keys, bool worked)
{
    PublicKey fresh[DIAL_LEARNER_KEYS_MAX];
    int count = 0;
    if (!keys->used)
        return;
    if (read_learner_keys(keys->learner_paths, fresh, &count, NULL) == ERR_OK) {
        memcpy(keys->learner, fresh, sizeof fresh);
        keys->num_learner = count;
    }
    keys->current = (keys->current + !worked) % keys->num_learner;
}

/* --- Sockets -----------------------------------------------------------------------------------
 */

void dialing_set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

void dialing_prepare(void *socket, int messages_max, size_t message_bytes_max, const DialKeys *keys)
{
    bool keyed = keys && keys->used;
    const int64_t bytes_max = (int64_t)message_bytes_max + (keyed ? CURVE_BYTES : 0);
    /* The first thread of the context. A relay has another one, which is busy sending weights on:
     * what it dials for would wait behind them. */
    const uint64_t first_thread = 1;
    zmq_setsockopt(socket, ZMQ_AFFINITY, &first_thread, sizeof first_thread);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    dialing_set(socket, ZMQ_LINGER, 0);
    dialing_set(socket, ZMQ_RCVHWM, messages_max);
    dialing_set(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS);
    dialing_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    dialing_set(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    dialing_set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    if (!keyed)
        return;
    size_t bytes = KEY_TEXT_CHARS + 1;
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->learner[keys->current].text, bytes);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->own.public_text, bytes);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->own.secret_text, bytes);
}

/* --- Handshakes --------------------------------------------------------------------------------
 */

void *dialing_watch(void *zmq_context, void *socket)
{
    enum {
        EVENTS = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
    };
    static unsigned number; /* a name that an ended monitor may still have cannot be used */
    char endpoint[64];
    void *monitor = zmq_socket(zmq_context, ZMQ_PAIR);
    if (!monitor)
        return NULL;
    snprintf(endpoint, sizeof endpoint, "inproc://dialing.%u", number++);
    dialing_set(monitor, ZMQ_LINGER, 0);
    dialing_set(monitor, ZMQ_RCVHWM, 0); /* libzmq's thread would wait where it is full */
    if (zmq_socket_monitor(socket, endpoint, EVENTS) == 0 && zmq_connect(monitor, endpoint) == 0)
        return monitor;
    dialing_unwatch(socket, &monitor);
    return NULL;
}

void dialing_unwatch(void *socket, void **monitor)
{
    if (!*monitor)
        return;
    zmq_socket_monitor(socket, NULL, 0);
    zmq_close(*monitor);
    *monitor = NULL;
}

static const char *words(uint16_t event, uint32_t value, bool keyed)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return "it does not allow this --key";
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
        value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return keyed ? "it has no keys: leave --key and --learner-key out"
                     : "it wants keys: give --key and --learner-key";
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        return "what answers there is no learner";
    return keyed ? "it ends the handshake: is --learner-key its key?" : "it ends the handshake";
}

const char *dialing_trouble(void *monitor, bool keyed)
{
    const char *trouble = NULL;
    for (int i = 0; monitor && i < EVENTS_MAX; i++) {
        uint8_t data[6];
        char endpoint[1];
        uint16_t event = 0;
        uint32_t value = 0;
        if (zmq_recv(monitor, data, sizeof data, ZMQ_DONTWAIT) != sizeof data ||
            zmq_recv(monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT) < 0)
            break;
        memcpy(&event, data, sizeof event);
        memcpy(&value, data + sizeof event, sizeof value);
        trouble = words(event, value, keyed);
    }
    return trouble;
}
