#include "learner/status_out.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <zmq.h>

#include "common/check.h"

/* A Status that libzmq may still look at. */
typedef struct Held {
    struct Held *next;
    Link connection;
    size_t num_bytes;
    atomic_bool left; /* set by a thread of libzmq, as the last that it does with it */
    uint8_t frame[];
} Held;

struct StatusOut {
    Held *held;
};

StatusOut *status_out_new(void)
{
    return calloc(1, sizeof(StatusOut));
}

/* Frees those that have left. */
static void sweep(StatusOut *out)
{
    for (Held **place = &out->held; *place;) {
        Held *held = *place;
        if (!atomic_load_explicit(&held->left, memory_order_acquire)) {
            place = &held->next;
            continue;
        }
        *place = held->next;
        free(held);
    }
}

void status_out_destroy(StatusOut **out)
{
    if (!*out)
        return;
    sweep(*out);
    CHECK(!(*out)->held);
    free(*out);
    *out = NULL;
}

static size_t weight_of(const Held *held)
{
    return held->num_bytes > STATUS_OUT_LEAST_BYTES ? held->num_bytes : STATUS_OUT_LEAST_BYTES;
}

bool status_out_fits(StatusOut *out, Link link)
{
    size_t all = 0;
    size_t of_connection = 0;
    sweep(out);
    for (const Held *held = out->held; held; held = held->next) {
        all += weight_of(held);
        if (held->connection == link_connection(link))
            of_connection += weight_of(held);
    }
    return all < STATUS_OUT_ALL_BYTES && of_connection < STATUS_OUT_CONNECTION_BYTES;
}

size_t status_out_bytes(StatusOut *out)
{
    size_t bytes = 0;
    sweep(out);
    for (const Held *held = out->held; held; held = held->next)
        bytes += held->num_bytes;
    return bytes;
}

static void on_left(void *frame, void *held)
{
    (void)frame;
    atomic_store_explicit(&((Held *)held)->left, true, memory_order_release);
}

int status_out_send(StatusOut *out, Router *router, Link link, const Message *message)
{
    size_t num_bytes = wire_size(message, NULL);
    Held *held = malloc(sizeof *held + num_bytes);
    if (!held)
        return ERR_NOMEM;
    held->connection = link_connection(link);
    held->num_bytes = num_bytes;
    atomic_init(&held->left, false);
    wire_pack(message, NULL, held->frame);
    zmq_msg_t frame;
    if (zmq_msg_init_data(&frame, held->frame, num_bytes, on_left, held) != 0) {
        free(held);
        return ERR_NOMEM;
    }
    held->next = out->held;
    out->held = held;
    int code = router_send_frame(router, link, &frame);
    zmq_msg_close(&frame); /* what was not sent has left */
    return code;
}
