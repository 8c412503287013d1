/* polyak bench ingest: segments from many senders through one ROUTER, decoded and validated. */
#include <math.h>
#include <stdlib.h>
#include <zmq.h>

#include "cli/bench/bench.h"
#include "cli/bench/bench_peers.h"
#include "common/clock.h"
#include "common/rng.h"
#include "proto/wire.h"

enum { FRAMES_IN_PIPE = 16 };

typedef struct Receiver {
    void *context;
    void *socket;
    WireArena *arena;
    WireLimits limits;
    double bytes;
    double segments;
} Receiver;

/* --- Senders -----------------------------------------------------------------------------------
 */

static void fill_segment(Segment *segment, const WireLimits *dims, uint64_t seed, int index)
{
    Rng rng = rng_stream(seed, RNG_TEST, 3, (uint64_t)index, 0);
    int steps = dims->segment_steps_max;
    segment->num_steps = steps;
    segment->version = (Version){1, 1};
    for (int i = 0; i < (steps + 1) * dims->obs_dim; i++)
        segment->obs[i] = (float)rng_normal(&rng);
    for (int i = 0; i < steps * dims->act_dim; i++)
        segment->action[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (int i = 0; i < steps; i++)
        segment->reward[i] = (float)rng_normal(&rng);
}

static void send_until_stopped(void *socket, Message *message, const WireLimits *dims,
                               BenchShared *shared)
{
    while (!atomic_load(&shared->stop)) {
        zmq_msg_t frame;
        message->segment.sequence++;
        if (zmq_msg_init_size(&frame, wire_size(message, dims)) != 0)
            return;
        wire_pack(message, dims, zmq_msg_data(&frame));
        while (zmq_msg_send(&frame, socket, 0) < 0) {
            if (atomic_load(&shared->stop)) {
                zmq_msg_close(&frame);
                return;
            }
        }
    }
}

static void sender(int index, void *context, BenchShared *shared, const void *arg)
{
    const Config *config = arg;
    const WireLimits dims = {(int)config->obs_dim, (int)config->act_dim,
                             (int)config->segment_steps};
    int timeout_ms = BENCH_TIMEOUT_MS, frames = FRAMES_IN_PIPE, linger_ms = 0;
    void *block =
        calloc(1, segment_block_bytes(dims.obs_dim, dims.act_dim, dims.segment_steps_max));
    void *socket = zmq_socket(context, ZMQ_DEALER);
    if (block && socket) {
        zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
        zmq_setsockopt(socket, ZMQ_SNDHWM, &frames, sizeof frames);
        zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        Message message = {.kind = MESSAGE_SEGMENT};
        segment_bind(&message.segment, block, dims.obs_dim, dims.act_dim, dims.segment_steps_max);
        fill_segment(&message.segment, &dims, (uint64_t)config->seed, index);
        if (zmq_connect(socket, shared->endpoint) == 0)
            send_until_stopped(socket, &message, &dims, shared);
    }
    if (socket)
        zmq_close(socket);
    free(block);
}

/* --- Receiver ----------------------------------------------------------------------------------
 */

static int receiver_open(Receiver *receiver, Err *err)
{
    int timeout_ms = BENCH_TIMEOUT_MS, frames = FRAMES_IN_PIPE, linger_ms = 0;
    size_t frame_bytes = wire_segment_bytes_max(receiver->limits.obs_dim, receiver->limits.act_dim,
                                                receiver->limits.segment_steps_max);
    receiver->context = zmq_ctx_new();
    receiver->socket = receiver->context ? zmq_socket(receiver->context, ZMQ_ROUTER) : NULL;
    receiver->arena = wire_arena_new(4 * frame_bytes + (64 << 10));
    if (!receiver->socket || !receiver->arena)
        return err_set(err, ERR_NOMEM, "not enough memory for the receiver");
    zmq_setsockopt(receiver->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(receiver->socket, ZMQ_RCVHWM, &frames, sizeof frames);
    zmq_setsockopt(receiver->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (zmq_bind(receiver->socket, "tcp://127.0.0.1:*") != 0)
        return err_set(err, ERR_NET, "no port on loopback: %s", zmq_strerror(zmq_errno()));
    return 0;
}

static void receiver_close(Receiver *receiver)
{
    if (receiver->socket)
        zmq_close(receiver->socket);
    if (receiver->context)
        zmq_ctx_term(receiver->context);
    wire_arena_destroy(&receiver->arena);
}

/* Receives and decodes one segment, if one comes in time. */
static int receive_segment(Receiver *receiver, Err *err)
{
    zmq_msg_t sender_id, frame;
    zmq_msg_init(&sender_id);
    zmq_msg_init(&frame);
    int code = 0;
    if (zmq_msg_recv(&sender_id, receiver->socket, 0) >= 0 &&
        zmq_msg_recv(&frame, receiver->socket, 0) >= 0) {
        Message message;
        code = wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), &receiver->limits,
                           receiver->arena, &message, err);
        receiver->bytes += (double)zmq_msg_size(&frame);
        receiver->segments++;
    }
    zmq_msg_close(&sender_id);
    zmq_msg_close(&frame);
    return code;
}

/* Receives for a while; the rates of it. */
static int receive_for(Receiver *receiver, double seconds, double *mb_per_s, double *segments_per_s,
                       Err *err)
{
    int64_t began_ns = clock_ns(), now_ns = began_ns;
    int code = 0;
    receiver->bytes = receiver->segments = 0;
    while (!code && (double)(now_ns - began_ns) < seconds * 1e9) {
        code = receive_segment(receiver, err);
        now_ns = clock_ns();
    }
    double passed_s = (double)(now_ns - began_ns) / 1e9;
    *mb_per_s = receiver->bytes / 1e6 / passed_s;
    *segments_per_s = receiver->segments / passed_s;
    return code;
}

static int measure(Receiver *receiver, double seconds, BenchFigure *mb, BenchFigure *segments,
                   Err *err)
{
    double unused;
    int64_t deadline_ms = clock_ms() + BENCH_JOIN_MS;
    int code = 0;
    while (!code && receiver->segments == 0) { /* until the senders are there */
        if (clock_ms() > deadline_ms)
            return err_set(err, ERR_NET, "no segment arrives");
        code = receive_segment(receiver, err);
    }
    if (!code)
        code = receive_for(receiver, fmin(seconds, 0.5), &unused, &unused, err);
    for (int i = 0; i < BENCH_REPEATS && !code; i++)
        code =
            receive_for(receiver, seconds / BENCH_REPEATS, &mb->value[i], &segments->value[i], err);
    return code;
}

/* --- Report ------------------------------------------------------------------------------------
 */

static int report(const Config *config, const BenchFigure *mb, const BenchFigure *segments,
                  Err *err)
{
    BenchFigure steps;
    for (int i = 0; i < BENCH_REPEATS; i++)
        steps.value[i] = segments->value[i] * (double)config->segment_steps;
    BenchReport out;
    bench_report_begin(&out, config, "ingest",
                       "segments packed by sender threads of another process, over loopback TCP "
                       "from DEALER to ROUTER, decoded and validated by one thread; no credit, "
                       "acknowledgements or replay. The senders' work takes its share of the "
                       "machine");
    bench_report_setting(&out, "peers", config->peers);
    bench_report_setting(&out, "obs_dim", config->obs_dim);
    bench_report_setting(&out, "act_dim", config->act_dim);
    bench_report_setting(&out, "segment_steps", config->segment_steps);
    bench_report_figure(&out, "mb_per_s", "MB/s", mb);
    bench_report_figure(&out, "segments_per_s", "1/s", segments);
    bench_report_figure(&out, "env_steps_per_s", "1/s", &steps);
    return bench_report_end(&out, err);
}

int bench_ingest(const Config *config, Err *err)
{
    BenchPeers peers;
    Receiver receiver = {
        .limits = {(int)config->obs_dim, (int)config->act_dim, (int)config->segment_steps}};
    BenchFigure mb, segments;
    int code =
        bench_peers_start(&peers, (int)config->peers, sizeof(BenchShared), sender, config, err);
    if (code)
        return code;
    code = receiver_open(&receiver, err);
    if (!code)
        code = bench_peers_go(&peers, receiver.socket, err);
    if (!code)
        code = measure(&receiver, config->seconds, &mb, &segments, err);
    bench_peers_stop(&peers);
    bench_peers_release(&peers);
    receiver_close(&receiver);
    return code ? code : report(config, &mb, &segments, err);
}
