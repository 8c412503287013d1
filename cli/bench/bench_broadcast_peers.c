#include "cli/bench/bench_broadcast_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <zmq.h>

#include "actor/connection.h"
#include "actor/downlink.h"
#include "cli/bench/bench_ingest_leg.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    SOCKETS_PER_SUBSCRIBER = 8,
    SWEEP_MS = 100,
    EVENTS_MAX = 64,
    OUTBOX_PLACES = 16,
    FEEDER_WAIT_MS = 20
};

/* --- Subscribers: an actor's connection, downlink and policy -----------------------------------
 */

typedef struct Subscriber {
    Connection connection;
    Downlink downlink;
    Policy policy;
    BroadcastPeer *peer;
    void *watched[2]; /* sockets whose descriptors are waited for */
} Subscriber;

typedef struct Subscribers {
    const Broadcast *broadcast;
    void *zmq_context;
    int epoll;
    int count;
    Subscriber *all;
    int64_t swept_ms;
} Subscribers;

static void watch(const Subscribers *group, Subscriber *subscriber, int which, void *socket)
{
    int fd = -1;
    size_t bytes = sizeof fd;
    if (socket == subscriber->watched[which])
        return;
    subscriber->watched[which] = socket;
    if (!socket || zmq_getsockopt(socket, ZMQ_FD, &fd, &bytes) != 0)
        return;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = subscriber};
    (void)epoll_ctl(group->epoll, EPOLL_CTL_ADD, fd, &event); /* the sweep finds it anyhow */
}

static void note_policy(const Subscribers *group, Subscriber *subscriber)
{
    const BroadcastShared *shared = group->broadcast->shared;
    uint64_t number = subscriber->policy.version.update;
    if (number == atomic_load_explicit(&subscriber->peer->in_use, memory_order_relaxed))
        return;
    atomic_store(&subscriber->peer->in_use, number);
    if (number > atomic_load(&shared->sent))
        return;
    const BroadcastSent *sent = &shared->sent_at[number % BROADCAST_SENT_MAX];
    if (sent->phase < 0)
        return;
    BroadcastSamples *samples = &subscriber->peer->samples[sent->phase];
    if (samples->count < BROADCAST_SAMPLES_MAX)
        samples->latency_ms[samples->count++] = (float)((double)(clock_ns() - sent->ns) / 1e6);
}

/* One look at the sockets, as an actor takes it between steps. */
static int look(Subscribers *group, Subscriber *subscriber, int64_t now_ms, Err *err)
{
    Connection *connection = &subscriber->connection;
    const Uplink *uplink = &connection->uplink;
    connection->uplink.status.version = subscriber->policy.version;
    int code = connection_drive(connection, now_ms, err);
    if (code == 0 && connection_welcomed(connection))
        code = downlink_open(&subscriber->downlink, &uplink->welcome, connection->dealer.endpoint,
                             &uplink->hello.session, err);
    if (code != 0)
        return code;
    downlink_poll(&subscriber->downlink, &subscriber->policy, now_ms);
    note_policy(group, subscriber);
    downlink_chase(&subscriber->downlink, &subscriber->policy, uplink->newest,
                   uplink->welcome.publish_interval_ms, now_ms);
    watch(group, subscriber, 0, connection->dealer.socket);
    watch(group, subscriber, 1, subscriber->downlink.socket);
    return ERR_OK;
}

static int look_until_stopped(Subscribers *group, Err *err)
{
    static struct epoll_event events[EVENTS_MAX];
    int code = ERR_OK;
    while (!code && !atomic_load_explicit(&group->broadcast->shared->stop, memory_order_relaxed)) {
        int n = epoll_wait(group->epoll, events, EVENTS_MAX, SWEEP_MS);
        int64_t now_ms = clock_ms();
        for (int i = 0; i < n && !code; i++)
            code = look(group, events[i].data.ptr, clock_ms(), err);
        /* Now and then all of them: for what time alone brings. */
        bool sweep = now_ms - group->swept_ms >= SWEEP_MS;
        for (int i = 0; i < group->count && sweep && !code; i++)
            code = look(group, &group->all[i], now_ms, err);
        if (sweep)
            group->swept_ms = now_ms;
    }
    return code;
}

static int open_subscriber(Subscribers *group, int peer, const Hello *model, Err *err)
{
    Subscriber *subscriber = &group->all[group->count];
    Hello hello = *model;
    snprintf(hello.name, sizeof hello.name, "subscriber/%d", peer);
    policy_init(&subscriber->policy, 1);
    subscriber->peer = &group->broadcast->shared->peers[peer];
    int code = downlink_init(&subscriber->downlink, group->zmq_context, &model->spec, err);
    downlink_use_keys(&subscriber->downlink, &subscriber->connection.dealer.keys);
    if (code == 0)
        code = connection_open(&subscriber->connection, group->zmq_context,
                               &group->broadcast->learner.actor, &hello, NULL, WIRE_SMALL_BYTES_MAX,
                               err);
    group->count += code == 0;
    return code;
}

int broadcast_subscribers_main(const void *arg, int index)
{
    const Broadcast *broadcast = arg;
    const BroadcastGroup *mine = &broadcast->groups[index];
    static Subscribers group;
    static Hello hello;
    Err err = {""};
    bench_learner_redirect_log(&broadcast->learner, "subscriber");
    bench_learner_hello(broadcast->config, 1, &hello);
    int max = mine->num_peers / mine->stride + 1;
    group.broadcast = broadcast;
    group.epoll = epoll_create1(EPOLL_CLOEXEC);
    group.all = calloc((size_t)max, sizeof *group.all);
    group.zmq_context = zmq_ctx_new();
    if (group.epoll < 0 || !group.all || !group.zmq_context ||
        zmq_ctx_set(group.zmq_context, ZMQ_MAX_SOCKETS, SOCKETS_PER_SUBSCRIBER * max + 16) != 0) {
        log_error("not enough memory for %d subscribers", max);
        return 1;
    }
    int code = ERR_OK;
    for (int peer = mine->first; peer < mine->num_peers && !code; peer += mine->stride)
        code = open_subscriber(&group, peer, &hello, &err);
    if (!code)
        code = look_until_stopped(&group, &err);
    if (code)
        log_error("%s", err.text);
    return code ? 1 : 0; /* the process ends, and its sockets with it */
}

/* --- The feeder --------------------------------------------------------------------------------
 */

static void feed(const Config *config, BroadcastShared *shared, Outbox *outbox, Uplink *uplink)
{
    uint64_t steps = (uint64_t)config->segment_steps;
    Segment *segment = uplink_credit(uplink) >= steps ? outbox_open(outbox) : NULL;
    if (!segment)
        return;
    uint64_t number = atomic_load(&shared->sent) + 1;
    int phase = atomic_load(&shared->phase);
    segment->num_steps = (int)steps;
    segment->first_step = (uint32_t)(outbox->next_sequence * steps);
    outbox_close(outbox, segment);
    uplink_count_steps(uplink, steps);
    shared->sent_at[number % BROADCAST_SENT_MAX] =
        (BroadcastSent){.ns = clock_ns(), .phase = phase};
    atomic_store(&shared->sent, number);
    if (phase >= 0)
        atomic_fetch_add(&shared->frames[phase], 1);
}

int broadcast_feeder_main(const void *arg, int index)
{
    const Broadcast *broadcast = arg;
    const Config *config = broadcast->config;
    BroadcastShared *shared = broadcast->shared;
    static Connection connection;
    static Hello hello;
    Outbox outbox;
    Err err = {""};
    (void)index;
    bench_learner_redirect_log(&broadcast->learner, "feeder");
    bench_learner_hello(config, 1, &hello);
    void *context = zmq_ctx_new();
    int code = context ? outbox_new(&outbox, OUTBOX_PLACES, hello.spec.obs_dim, hello.spec.act_dim,
                                    (int)config->segment_steps)
                       : ERR_NOMEM;
    for (int i = 0; i < OUTBOX_PLACES && !code; i++)
        ingest_fill_segment(&outbox.segments[i], hello.spec.obs_dim, hello.spec.act_dim,
                            (int)config->segment_steps, (uint64_t)i);
    if (!code)
        code = connection_open(&connection, context, &broadcast->learner.actor, &hello, &outbox,
                               WIRE_SMALL_BYTES_MAX, &err);
    int64_t next_ms = 0;
    while (!code && !atomic_load(&shared->stop)) {
        int64_t now_ms = clock_ms();
        if (now_ms >= next_ms && atomic_load(&shared->feeding)) {
            next_ms = now_ms + BROADCAST_INTERVAL_MS;
            feed(config, shared, &outbox, &connection.uplink);
        }
        code = connection_drive(&connection, now_ms, &err);
        int64_t wait_ms = next_ms - clock_ms();
        if (wait_ms > FEEDER_WAIT_MS || !atomic_load(&shared->feeding))
            wait_ms = FEEDER_WAIT_MS;
        connection_wait(&connection, NULL, wait_ms > 0 ? (int)wait_ms : 0);
    }
    if (code)
        log_error("%s", err.text);
    return code ? 1 : 0;
}
