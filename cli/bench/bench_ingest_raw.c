/* What ingest is measured against: ROUTER and DEALER with frames of the same size, and with the
 * same credit and acknowledgements, and nothing else. A frame begins with its number; the rest is
 * never looked at. */
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "cli/bench/bench_ingest_leg.h"
#include "common/log.h"
#include "proto/wire.h"

enum {
    LINKS = 2048, /* a power of two: routing ids that libzmq gives follow each other */
    ID_BYTES = 5,
    QUEUE_MESSAGES = 512, /* as the learner's */
    WAIT_MS = 20,
};

typedef struct RawAck {
    uint64_t acked;
    uint64_t limit;
    uint64_t reserved; /* as long as an Ack of the protocol */
} RawAck;

/* --- Server ------------------------------------------------------------------------------------
 */

typedef struct RawLink {
    uint8_t id[ID_BYTES];
    bool due; /* an acknowledgement */
    uint64_t received;
    uint64_t acked;
} RawLink;

typedef struct RawServer {
    void *socket;
    uint64_t in_hand;
    uint64_t ack_every;
    RawLink links[LINKS];
    RawLink *due[INGEST_ACKS_EVERY];
    int num_due;
} RawServer;

static bool receive_one(RawServer *server)
{
    uint8_t id[ID_BYTES];
    zmq_msg_t frame;
    if (zmq_recv(server->socket, id, sizeof id, ZMQ_DONTWAIT) != ID_BYTES)
        return false;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, server->socket, ZMQ_DONTWAIT) >= (int)sizeof(uint64_t)) {
        RawLink *link = &server->links[((unsigned)id[3] << 8 | id[4]) % LINKS];
        memcpy(link->id, id, sizeof id);
        memcpy(&link->received, zmq_msg_data(&frame), sizeof link->received);
        bool due = link->received >= link->acked + server->ack_every || link->received == 0;
        if (due && !link->due)
            server->due[server->num_due++] = link;
        link->due = link->due || due;
    }
    zmq_msg_close(&frame);
    return true;
}

static void acknowledge(RawServer *server)
{
    for (int i = 0; i < server->num_due; i++) {
        RawLink *link = server->due[i];
        link->acked = link->received;
        link->due = false;
        RawAck ack = {.acked = link->acked, .limit = link->acked + server->in_hand};
        if (zmq_send(server->socket, link->id, ID_BYTES, ZMQ_SNDMORE | ZMQ_DONTWAIT) == ID_BYTES)
            zmq_send(server->socket, &ack, sizeof ack, ZMQ_DONTWAIT);
    }
    server->num_due = 0;
}

int ingest_raw_server_main(const void *arg, int index)
{
    const IngestLeg *leg = arg;
    static RawServer server;
    const int queue = QUEUE_MESSAGES;
    (void)index;
    void *context = zmq_ctx_new();
    server.socket = context ? zmq_socket(context, ZMQ_ROUTER) : NULL;
    server.in_hand = (uint64_t)(INGEST_ROUNDS_IN_HAND * leg->envs);
    /* About as often as the learner does: both rates are reported. */
    server.ack_every = (server.in_hand + 7) / 8;
    if (!server.socket || zmq_setsockopt(server.socket, ZMQ_RCVHWM, &queue, sizeof queue) != 0 ||
        zmq_setsockopt(server.socket, ZMQ_SNDHWM, &queue, sizeof queue) != 0 ||
        zmq_bind(server.socket, leg->learner.config.bind) != 0) {
        log_error("cannot bind %s: %s", leg->learner.config.bind, zmq_strerror(zmq_errno()));
        return 1;
    }
    zmq_pollitem_t item = {.socket = server.socket, .events = ZMQ_POLLIN};
    while (!atomic_load_explicit(&leg->shared->stop, memory_order_relaxed)) {
        int n = 0;
        while (n < INGEST_ACKS_EVERY && receive_one(&server))
            n++;
        acknowledge(&server);
        if (n == 0)
            zmq_poll(&item, 1, WAIT_MS);
    }
    return 0; /* the process ends, and its sockets with it */
}

/* --- Senders -----------------------------------------------------------------------------------
 */

typedef struct RawSender {
    void *socket;
    uint64_t sent;
    uint64_t acked;
    uint64_t limit;
} RawSender;

typedef struct RawSenders {
    const IngestLeg *leg;
    IngestCount *count;
    uint8_t *frame;
    size_t frame_bytes;
    int num_senders;
    RawSender *senders;
    zmq_pollitem_t *items;
} RawSenders;

static bool send_frame(const RawSenders *all, RawSender *sender, size_t bytes, uint64_t number)
{
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, bytes) != 0)
        return false;
    memcpy(zmq_msg_data(&frame), all->frame, bytes);
    memcpy(zmq_msg_data(&frame), &number, sizeof number);
    if (zmq_msg_send(&frame, sender->socket, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(&frame);
    return false;
}

/* Takes acknowledgements, and sends what they allow. */
static bool drive_sender(RawSenders *all, RawSender *sender)
{
    RawAck ack;
    bool moved = false;
    while (zmq_recv(sender->socket, &ack, sizeof ack, ZMQ_DONTWAIT) == (int)sizeof ack) {
        bool first = sender->acked == 0 && ack.acked > 0;
        atomic_fetch_add_explicit(&all->count->connected, first, memory_order_relaxed);
        atomic_fetch_add_explicit(&all->count->acked, ack.acked - sender->acked,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&all->count->acks, 1, memory_order_relaxed);
        sender->acked = ack.acked;
        sender->limit = ack.limit;
        moved = true;
    }
    while (sender->sent < sender->limit &&
           send_frame(all, sender, all->frame_bytes, sender->sent + 1)) {
        sender->sent++;
        moved = true;
    }
    return moved;
}

static int open_senders(RawSenders *all, void *context)
{
    const int queue = QUEUE_MESSAGES;
    for (int i = 0; i < all->num_senders; i++) {
        RawSender *sender = &all->senders[i];
        sender->socket = zmq_socket(context, ZMQ_DEALER);
        if (!sender->socket ||
            zmq_setsockopt(sender->socket, ZMQ_SNDHWM, &queue, sizeof queue) != 0 ||
            zmq_connect(sender->socket, all->leg->learner.config.bind) != 0)
            return ERR_NET;
        send_frame(all, sender, sizeof(uint64_t), 0); /* the answer is the first credit */
        all->items[i] = (zmq_pollitem_t){.socket = sender->socket, .events = ZMQ_POLLIN};
    }
    return ERR_OK;
}

/* A frame as large as that of a segment. */
static int make_frame(RawSenders *all)
{
    const Config *config = all->leg->config;
    const WireLimits dims = {(int)config->obs_dim, (int)config->act_dim,
                             (int)config->segment_steps};
    Message message = {.kind = MESSAGE_SEGMENT};
    void *block =
        calloc(1, segment_block_bytes(dims.obs_dim, dims.act_dim, dims.segment_steps_max));
    if (!block)
        return ERR_NOMEM;
    segment_bind(&message.segment, block, dims.obs_dim, dims.act_dim, dims.segment_steps_max);
    ingest_fill_segment(&message.segment, dims.obs_dim, dims.act_dim, dims.segment_steps_max,
                        (uint64_t)config->seed);
    message.segment.sequence = 1 << 20; /* a number as long as most are */
    all->frame_bytes = wire_size(&message, &dims);
    all->frame = malloc(all->frame_bytes);
    if (all->frame)
        wire_pack(&message, &dims, all->frame);
    free(block);
    return all->frame ? ERR_OK : ERR_NOMEM;
}

int ingest_raw_sender_main(const void *arg, int index)
{
    const IngestLeg *leg = arg;
    static RawSenders all;
    int processes = ingest_leg_processes(leg);
    all.leg = leg;
    all.count = &leg->shared->counts[index];
    all.num_senders = (leg->peers - index + processes - 1) / processes;
    all.senders = calloc((size_t)all.num_senders, sizeof *all.senders);
    all.items = calloc((size_t)all.num_senders, sizeof *all.items);
    void *context = zmq_ctx_new();
    if (!all.senders || !all.items || !context || make_frame(&all) != 0 ||
        zmq_ctx_set(context, ZMQ_MAX_SOCKETS, all.num_senders + 16) != 0 ||
        open_senders(&all, context) != 0) {
        log_error("%d raw senders cannot be made", all.num_senders);
        return 1;
    }
    while (!atomic_load_explicit(&leg->shared->stop, memory_order_relaxed)) {
        bool moved = false;
        for (int i = 0; i < all.num_senders; i++)
            moved = drive_sender(&all, &all.senders[i]) || moved;
        if (!moved)
            zmq_poll(all.items, all.num_senders, WAIT_MS);
    }
    return 0;
}
