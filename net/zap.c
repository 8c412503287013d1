#include "net/zap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

enum {
    REQUESTS_PER_CALL = 64,
    FRAME_BYTES_MAX = 255, /* of one part that is looked at */
    REQUEST_ID_BYTES = 32,
};

/* The parts of a request, in their order. */
enum { VERSION, REQUEST_ID, DOMAIN, ADDRESS, ROUTING_ID, MECHANISM, CREDENTIALS, NUM_PARTS };

struct Zap {
    void *socket;
    ZapDecide decide;
    void *context;
};

typedef struct Part {
    size_t bytes;
    char data[FRAME_BYTES_MAX + 1]; /* with a zero byte behind it */
} Part;

int zap_new(void *zmq_context, ZapDecide decide, void *context, Zap **zap_pointer, Err *err)
{
    Zap *zap = calloc(1, sizeof *zap);
    if (!zap)
        return err_set(err, ERR_NOMEM, "out of memory");
    zap->decide = decide;
    zap->context = context;
    zap->socket = zmq_socket(zmq_context, ZMQ_REP);
    const int linger_ms = 0;
    if (zap->socket)
        zmq_setsockopt(zap->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (!zap->socket || zmq_bind(zap->socket, "inproc://zeromq.zap.01") != 0) {
        int code = zmq_errno() == EADDRINUSE ? ERR_BUSY : ERR_NET;
        err_set(err, code, "keys cannot be checked: %s", zmq_strerror(zmq_errno()));
        zap_destroy(&zap);
        return code;
    }
    *zap_pointer = zap;
    return ERR_OK;
}

void zap_destroy(Zap **zap)
{
    if (!*zap)
        return;
    if ((*zap)->socket)
        zmq_close((*zap)->socket);
    free(*zap);
    *zap = NULL;
}

void *zap_socket(Zap *zap)
{
    return zap->socket;
}

/* Reads a whole request. The number of its parts, of which the first NUM_PARTS are kept; a part
 * that is too long makes the request one of zero parts. 0 when there is none and *any is false. */
static int receive(Zap *zap, Part parts[NUM_PARTS], bool *any)
{
    int count = 0;
    bool sound = true;
    bool more = true;
    *any = false;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, zap->socket, ZMQ_DONTWAIT) < 0)
            break;
        *any = true;
        size_t bytes = zmq_msg_size(&frame);
        sound = sound && bytes <= FRAME_BYTES_MAX;
        if (sound && count < NUM_PARTS) {
            parts[count].bytes = bytes;
            memcpy(parts[count].data, zmq_msg_data(&frame), bytes);
            parts[count].data[bytes] = '\0';
        }
        count++;
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return sound ? count : 0;
}

static bool is_word(const Part *part, const char *word)
{
    return part->bytes == strlen(word) && memcmp(part->data, word, part->bytes) == 0;
}

/* Copies a part that is text and fits; others stay empty, and match nothing. */
static void copy_text(const Part *part, char *out, size_t out_bytes)
{
    out[0] = '\0';
    if (part->bytes < out_bytes && strlen(part->data) == part->bytes)
        memcpy(out, part->data, part->bytes + 1);
}

static void send_part(Zap *zap, const void *data, size_t bytes, int flags)
{
    zmq_send(zap->socket, data, bytes, ZMQ_DONTWAIT | flags);
}

static void answer(Zap *zap, const Part *request_id, const char *status, const char *text,
                   const char *user_id)
{
    send_part(zap, "1.0", 3, ZMQ_SNDMORE);
    send_part(zap, request_id->data, request_id->bytes, ZMQ_SNDMORE);
    send_part(zap, status, 3, ZMQ_SNDMORE);
    send_part(zap, text, strlen(text), ZMQ_SNDMORE);
    send_part(zap, user_id, strlen(user_id), ZMQ_SNDMORE);
    send_part(zap, "", 0, 0);
}

static void serve_one(Zap *zap, const Part parts[NUM_PARTS], int count)
{
    static const Part no_id = {.bytes = 0};
    char user_id[ZAP_USER_ID_BYTES] = "";
    ZapRequest request = {.has_key = false};
    bool versioned = count > REQUEST_ID && is_word(&parts[VERSION], "1.0") &&
                     parts[REQUEST_ID].bytes <= REQUEST_ID_BYTES;
    if (!versioned || count < CREDENTIALS) {
        answer(zap, versioned ? &parts[REQUEST_ID] : &no_id, "500", "no request of ZAP 1.0", "");
        return;
    }
    copy_text(&parts[DOMAIN], request.domain, sizeof request.domain);
    copy_text(&parts[ADDRESS], request.address, sizeof request.address);
    copy_text(&parts[MECHANISM], request.mechanism, sizeof request.mechanism);
    if (count == NUM_PARTS && is_word(&parts[MECHANISM], "CURVE") &&
        parts[CREDENTIALS].bytes == KEY_BYTES) {
        request.has_key = true;
        memcpy(request.key, parts[CREDENTIALS].data, KEY_BYTES);
    }
    if (zap->decide(zap->context, &request, user_id))
        answer(zap, &parts[REQUEST_ID], "200", "OK", user_id);
    else
        answer(zap, &parts[REQUEST_ID], "400", "not allowed", "");
}

void zap_serve(Zap *zap)
{
    for (int i = 0; i < REQUESTS_PER_CALL; i++) {
        Part parts[NUM_PARTS];
        bool any = false;
        int count = receive(zap, parts, &any);
        if (!any)
            return;
        serve_one(zap, parts, count);
    }
}
