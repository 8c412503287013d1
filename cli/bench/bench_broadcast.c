/* polyak bench broadcast: how long new weights take to reach many subscribers. */
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#include "cli/bench/bench.h"
#include "cli/bench/bench_peers.h"
#include "common/clock.h"
#include "common/rng.h"
#include "learner/fleet/publish.h"
#include "proto/wire.h"

enum { SAMPLES_MAX = 1000 }; /* of one subscriber in one repeat */

typedef struct Samples {
    int count;
    float latency_ms[SAMPLES_MAX];
} Samples;

typedef struct SharedSamples {
    BenchShared head;
    _Atomic int joined; /* subscribers that have had weights */
    Samples samples[];  /* (peers, BENCH_REPEATS) */
} SharedSamples;

typedef struct Sent {
    uint32_t interval_ms;
    int frames[BENCH_REPEATS];
} Sent;

/* What the subscribers' process needs to know. */
typedef struct Broadcast {
    Mlp mlp;
    size_t frame_bytes;
} Broadcast;

/* --- Subscribers -------------------------------------------------------------------------------
 */

/* The version tells what is needed: its epoch the repeat, from 2 (1 is the warm-up), and its update
 * the time at which it was given to the publisher, of the clock that both processes share. */
static void take_frame(zmq_msg_t *frame, WireArena *arena, SharedSamples *shared, int index,
                       bool *joined)
{
    Weights weights;
    if (wire_weights_unpack(zmq_msg_data(frame), zmq_msg_size(frame), arena, &weights, NULL) != 0)
        return;
    double latency_ms = (double)(clock_ns() - (int64_t)weights.version.update) / 1e6;
    if (!*joined) {
        *joined = true;
        atomic_fetch_add(&shared->joined, 1);
    }
    int repeat = (int)weights.version.epoch - 2;
    if (repeat < 0 || repeat >= BENCH_REPEATS)
        return;
    Samples *samples = &shared->samples[index * BENCH_REPEATS + repeat];
    if (samples->count < SAMPLES_MAX)
        samples->latency_ms[samples->count++] = (float)latency_ms;
}

static void subscriber(int index, void *context, BenchShared *head, const void *arg)
{
    const Broadcast *broadcast = arg;
    int timeout_ms = BENCH_TIMEOUT_MS, frames = 2, linger_ms = 0;
    bool joined = false;
    void *socket = zmq_socket(context, ZMQ_SUB);
    WireArena *arena = wire_arena_new(2 * broadcast->frame_bytes + (64 << 10));
    if (socket && arena) {
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
        zmq_setsockopt(socket, ZMQ_RCVHWM, &frames, sizeof frames);
        zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "W", 1);
        zmq_connect(socket, head->endpoint);
        while (!atomic_load(&head->stop)) {
            zmq_msg_t frame;
            zmq_msg_init(&frame);
            if (zmq_msg_recv(&frame, socket, 0) >= 0)
                take_frame(&frame, arena, (SharedSamples *)head, index, &joined);
            zmq_msg_close(&frame);
        }
    }
    if (socket)
        zmq_close(socket);
    wire_arena_destroy(&arena);
}

/* --- Publisher ---------------------------------------------------------------------------------
 */

static int publish(Publisher *publisher, const Broadcast *broadcast, const float *params,
                   int repeat, uint32_t interval_ms, Err *err)
{
    struct timespec pause = {.tv_sec = interval_ms / 1000,
                             .tv_nsec = (long)(interval_ms % 1000) * 1000000L};
    publisher_receive(publisher);
    Version version = {(uint32_t)(repeat + 2), (uint64_t)clock_ns()};
    if (publisher_send(publisher, &broadcast->mlp, params, version, clock_ms()) != 0)
        return err_set(err, ERR_NOMEM, "not enough memory for the weights");
    nanosleep(&pause, NULL);
    return 0;
}

static int await_subscribers(Publisher *publisher, const Broadcast *broadcast, const float *params,
                             SharedSamples *shared, int num_peers, Err *err)
{
    int64_t deadline_ms = clock_ms() + BENCH_JOIN_MS;
    while (atomic_load(&shared->joined) < num_peers) {
        if (clock_ms() > deadline_ms)
            return err_set(err, ERR_NET, "only %d of %d subscribers are there within %d s",
                           atomic_load(&shared->joined), num_peers, BENCH_JOIN_MS / 1000);
        int code = publish(publisher, broadcast, params, -1, BENCH_TIMEOUT_MS, err);
        if (code)
            return code;
    }
    return 0;
}

/* Publishes for all repeats, at the learner's interval, and counts what it sent in each. */
static int publish_repeats(const Config *config, Publisher *publisher, const Broadcast *broadcast,
                           const float *params, SharedSamples *shared, Sent *sent, Err *err)
{
    int num_peers = (int)config->peers;
    int code = await_subscribers(publisher, broadcast, params, shared, num_peers, err);
    sent->interval_ms =
        publisher_interval_ms(publisher, (uint32_t)num_peers, (uint32_t)config->publish_interval_ms,
                              (uint64_t)config->weights_bytes_per_s_max);
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++) {
        int64_t end_ns = clock_ns() + (int64_t)(config->seconds * 1e9 / BENCH_REPEATS);
        int *frames = &sent->frames[repeat];
        for (*frames = 0; !code && *frames < SAMPLES_MAX; ++*frames) {
            if (*frames > 0 && clock_ns() >= end_ns)
                break;
            code = publish(publisher, broadcast, params, repeat, sent->interval_ms, err);
        }
    }
    return code;
}

/* --- Report ------------------------------------------------------------------------------------
 */

typedef struct Figures {
    BenchFigure median_ms;
    BenchFigure p99_ms;
    BenchFigure delivered; /* part of the frames that came through; 1: all */
} Figures;

static int summarize(const SharedSamples *shared, int num_peers, const Sent *sent, Figures *figures,
                     Err *err)
{
    double *all = malloc((size_t)num_peers * SAMPLES_MAX * sizeof *all);
    if (!all)
        return err_set(err, ERR_NOMEM, "not enough memory for the latencies");
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++) {
        int n = 0;
        for (int peer = 0; peer < num_peers; peer++) {
            const Samples *samples = &shared->samples[peer * BENCH_REPEATS + repeat];
            for (int i = 0; i < samples->count; i++)
                all[n++] = (double)samples->latency_ms[i];
        }
        figures->median_ms.value[repeat] = bench_percentile(all, n, 0.5);
        figures->p99_ms.value[repeat] = bench_percentile(all, n, 0.99);
        figures->delivered.value[repeat] = (double)n / ((double)num_peers * sent->frames[repeat]);
    }
    free(all);
    return 0;
}

static int report(const Config *config, const Broadcast *broadcast, const SharedSamples *shared,
                  const Sent *sent, Err *err)
{
    Figures figures;
    BenchReport out;
    int code = summarize(shared, (int)config->peers, sent, &figures, err);
    if (code)
        return code;
    bench_report_begin(&out, config, "broadcast",
                       "weights from the learner's publisher over loopback TCP to subscriber "
                       "threads of another process: from handing them over to having decoded and "
                       "checked them. The interval is the learner's, stretched for so many "
                       "subscribers; a full pipe drops frames");
    bench_report_setting(&out, "peers", config->peers);
    bench_report_setting(&out, "frame_bytes", (int64_t)broadcast->frame_bytes);
    bench_report_setting(&out, "interval_ms", sent->interval_ms);
    bench_report_figure(&out, "latency_median_ms", "ms", &figures.median_ms);
    bench_report_figure(&out, "latency_p99_ms", "ms", &figures.p99_ms);
    bench_report_figure(&out, "delivered", "of 1", &figures.delivered);
    return bench_report_end(&out, err);
}

/* --- Command -----------------------------------------------------------------------------------
 */

static int make_policy(const Config *config, Broadcast *broadcast, float **params, Err *err)
{
    int code = mlp_shape(&broadcast->mlp, (int)config->obs_dim, config->hidden.size,
                         config->hidden.count, (int)config->act_dim, true, err);
    if (code)
        return code;
    *params = calloc(mlp_num_params(&broadcast->mlp), sizeof **params);
    if (!*params)
        return err_set(err, ERR_NOMEM, "not enough memory for a policy");
    Rng rng = rng_stream((uint64_t)config->seed, RNG_TEST, 4, 0, 0);
    mlp_init_params(&broadcast->mlp, *params, &rng);
    Weights weights = {.version = {1, 1}, .mlp = broadcast->mlp, .params = *params};
    broadcast->frame_bytes = wire_weights_size(&weights, 1);
    return 0;
}

static int publish_to(const Config *config, const Broadcast *broadcast, const float *params,
                      BenchPeers *peers, Sent *sent, Err *err)
{
    Publisher *publisher = NULL;
    void *context = zmq_ctx_new();
    if (!context)
        return err_set(err, ERR_NOMEM, "not enough memory for the publisher");
    int code = publisher_new(context, "tcp://127.0.0.1:*", NULL, &publisher, err);
    if (!code)
        code = bench_peers_go(peers, publisher_socket(publisher), err);
    if (!code)
        code = publish_repeats(config, publisher, broadcast, params, (SharedSamples *)peers->shared,
                               sent, err);
    publisher_destroy(&publisher);
    zmq_ctx_term(context);
    return code;
}

int bench_broadcast(const Config *config, Err *err)
{
    Broadcast broadcast;
    BenchPeers peers = {0};
    Sent sent = {0};
    float *params = NULL;
    size_t shared_bytes =
        sizeof(SharedSamples) + (size_t)config->peers * BENCH_REPEATS * sizeof(Samples);
    int code = make_policy(config, &broadcast, &params, err);
    if (!code)
        code = bench_peers_start(&peers, (int)config->peers, shared_bytes, subscriber, &broadcast,
                                 err);
    if (!code) {
        code = publish_to(config, &broadcast, params, &peers, &sent, err);
        bench_peers_stop(&peers);
        if (!code)
            code = report(config, &broadcast, (const SharedSamples *)peers.shared, &sent, err);
        bench_peers_release(&peers);
    }
    free(params);
    return code;
}
