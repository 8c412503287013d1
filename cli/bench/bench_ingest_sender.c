/* The senders of `bench ingest`: many in one process and one thread. Each has an actor's own
 * connection, with outbox, credit and acknowledgements; only the environments are left out: their
 * segments are full from the start. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <zmq.h>

#include "actor/connection.h"
#include "cli/bench/bench_ingest_leg.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    EVENTS_MAX = 256,
    TURNS_MAX = 4, /* of one sender, before the others have theirs */
    SWEEP_MS = 100,
    SOCKETS_PER_SENDER = 4, /* the monitor of its handshakes takes two */
    PLACES_PER_ENV = 6,     /* as an actor's outbox */
    PLACES_MIN = 16,
    NEW_PER_ROUND = 8, /* connections that are opened before the others have their turn */
    WAIT_MS = 20,
};

typedef struct Sender {
    Connection connection;
    Outbox outbox;
    uint64_t filled; /* segments */
    bool counted;    /* as connected */
    bool busy;       /* something moved when it was driven last: there may be more */
    void *watched;   /* the socket whose descriptor is waited for */
} Sender;

typedef struct Senders {
    const IngestLeg *leg;
    IngestCount *count;
    void *zmq_context;
    Sender *senders;
    int num_senders; /* that are open */
    int max;
    int epoll;
    int64_t swept_ms;
} Senders;

static void count_ack(void *context, const Message *message)
{
    IngestCount *count = context;
    if (message->kind == MESSAGE_ACK)
        atomic_fetch_add_explicit(&count->acks, 1, memory_order_relaxed);
}

static int open_sender(Senders *all, int global_index, Err *err)
{
    const Config *bench = all->leg->config;
    Sender *sender = &all->senders[all->num_senders];
    static Hello hello;
    bench_learner_hello(bench, all->leg->envs, &hello);
    snprintf(hello.name, sizeof hello.name, "bench/%d", global_index);
    int places = PLACES_PER_ENV * all->leg->envs;
    if (places < PLACES_MIN)
        places = PLACES_MIN;
    if (outbox_new(&sender->outbox, places, hello.spec.obs_dim, hello.spec.act_dim,
                   (int)bench->segment_steps) != 0)
        return err_set(err, ERR_NOMEM, "not enough memory for the segments");
    for (int i = 0; i < places; i++)
        ingest_fill_segment(&sender->outbox.segments[i], hello.spec.obs_dim, hello.spec.act_dim,
                            (int)bench->segment_steps, (uint64_t)bench->seed + (uint64_t)i);
    sender->busy = true;
    int code = connection_open(&sender->connection, all->zmq_context, &all->leg->learner.actor,
                               &hello, &sender->outbox, WIRE_SMALL_BYTES_MAX, err);
    sender->connection.on_message = count_ack;
    sender->connection.context = all->count;
    all->num_senders += code == 0;
    return code;
}

/* Closes as many segments as credit and outbox allow; false when there are none. */
static bool fill(Sender *sender, const IngestLeg *leg)
{
    uint64_t steps = (uint64_t)leg->config->segment_steps;
    uint64_t envs = (uint64_t)leg->envs;
    Uplink *uplink = &sender->connection.uplink;
    uint64_t filled_before = sender->filled;
    while (uplink_credit(uplink) >= steps) {
        Segment *segment = outbox_open(&sender->outbox);
        if (!segment)
            break;
        uint64_t round = sender->filled / envs;
        segment->num_steps = (int)steps;
        segment->env_index = (uint32_t)(sender->filled % envs);
        segment->first_step = (uint32_t)(round * steps);
        segment->version = (Version){1, 1};
        outbox_close(&sender->outbox, segment);
        uplink_count_steps(uplink, steps);
        sender->filled++;
    }
    return sender->filled != filled_before;
}

/* A new socket has a new descriptor to wait for; that of a closed one is gone by itself. */
static void watch(const Senders *all, Sender *sender)
{
    int fd = -1;
    size_t bytes = sizeof fd;
    void *socket = sender->connection.dealer.socket;
    if (socket == sender->watched)
        return;
    sender->watched = socket;
    if (!socket || zmq_getsockopt(socket, ZMQ_FD, &fd, &bytes) != 0)
        return;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = sender};
    (void)epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event); /* the sweep finds it anyhow */
}

/* Receives and sends what there is. While anything moves there may be more that the descriptor does
 * not tell: libzmq takes its signal with any call. */
static int drive(Senders *all, Sender *sender, int64_t now_ms, Err *err)
{
    sender->busy = true;
    for (int turn = 0; turn < TURNS_MAX && sender->busy; turn++) {
        uint64_t acked = sender->outbox.acked_sequence, sent = sender->outbox.sent_sequence;
        int code = connection_drive(&sender->connection, now_ms, err);
        if (code != 0)
            return code;
        uint64_t news = sender->outbox.acked_sequence - acked;
        if (news > 0 && !sender->counted) {
            sender->counted = true;
            atomic_fetch_add(&all->count->connected, 1);
        }
        if (news > 0)
            atomic_fetch_add_explicit(&all->count->acked, news, memory_order_relaxed);
        bool filled = fill(sender, all->leg);
        sender->busy = filled || news > 0 || sender->outbox.sent_sequence != sent;
    }
    watch(all, sender);
    return ERR_OK;
}

/* Those that were busy, those whose descriptors tell of news, and now and then all: for what time
 * alone brings. */
static int drive_all(Senders *all, Err *err)
{
    static struct epoll_event events[EVENTS_MAX];
    int64_t now_ms = clock_ms();
    bool sweep = now_ms - all->swept_ms >= SWEEP_MS;
    bool busy = false;
    int code = ERR_OK;
    for (int i = 0; i < all->num_senders && !code; i++) {
        if (sweep || all->senders[i].busy)
            code = drive(all, &all->senders[i], now_ms, err);
        busy = busy || all->senders[i].busy;
    }
    if (sweep)
        all->swept_ms = now_ms;
    int n = epoll_wait(all->epoll, events, EVENTS_MAX, busy ? 0 : WAIT_MS);
    now_ms = clock_ms();
    for (int i = 0; i < n && !code; i++)
        code = drive(all, events[i].data.ptr, now_ms, err);
    return code;
}

static int send_until_stopped(Senders *all, int index, Err *err)
{
    const IngestShared *shared = all->leg->shared;
    int processes = ingest_leg_processes(all->leg);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        int code = ERR_OK;
        for (int i = 0; i < NEW_PER_ROUND && !code; i++) {
            int next = all->num_senders * processes + index;
            if (next >= atomic_load_explicit(&shared->wanted, memory_order_relaxed))
                break;
            code = open_sender(all, next, err);
        }
        if (!code)
            code = drive_all(all, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

int ingest_sender_main(const void *arg, int index)
{
    const IngestLeg *leg = arg;
    static Senders all;
    Err err = {""};
    bench_learner_redirect_log(&leg->learner, "sender");
    all.leg = leg;
    all.count = &leg->shared->counts[index];
    all.max = leg->peers / INGEST_PROCESSES_MAX + 1;
    all.senders = calloc((size_t)all.max, sizeof *all.senders);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    all.zmq_context = zmq_ctx_new();
    if (!all.senders || all.epoll < 0 || !all.zmq_context ||
        zmq_ctx_set(all.zmq_context, ZMQ_MAX_SOCKETS, SOCKETS_PER_SENDER * all.max + 16) != 0) {
        log_error("not enough memory for %d senders", all.max);
        return 1;
    }
    int code = send_until_stopped(&all, index, &err);
    if (code != 0)
        log_error("%s", err.text);
    /* The process ends here, and its sockets with it: nobody waits for what they hold. */
    return code == 0 ? 0 : 1;
}
