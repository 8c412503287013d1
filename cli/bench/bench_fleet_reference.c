/* When weights left the learner, for `bench fleet`: one subscriber at the learner itself, however
 * far away the actors are. It joins as an observer, to be told where the weights are. */
#include <stdlib.h>

#include <zmq.h>

#include "actor/connection.h"
#include "actor/downlink.h"
#include "cli/bench/bench_fleet.h"
#include "cli/bench/bench_process.h"
#include "common/clock.h"

struct FleetWatch {
    Config config;
    void *zmq_context;
    Connection connection;
    Downlink downlink;
    Spec spec;
    FleetShared *shared;
    WireArena *arena;
};

enum { WAIT_MS = 20 };

static bool is_before(const FleetArrival *reference, Version version)
{
    return version_is_newer(version, reference->version);
}

int64_t fleet_find_reference(const FleetShared *shared, Version version)
{
    const FleetArrival *all = shared->references;
    uint32_t count = atomic_load_explicit(&shared->num_references, memory_order_acquire);
    uint32_t low = 0, high = count; /* the first that is not before it is among these */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_before(&all[middle], version))
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && version_equal(all[low].version, version) ? (int64_t)low : -1;
}

int fleet_watch_new(const Config *config, const char *endpoint, FleetShared *shared,
                    FleetWatch **watch_pointer, Err *err)
{
    FleetWatch *watch = calloc(1, sizeof *watch);
    *watch_pointer = watch;
    if (!watch)
        return err_set(err, ERR_NOMEM, "not enough memory for the reference");
    watch->config = *config;
    watch->shared = shared;
    snprintf(watch->config.connect, sizeof watch->config.connect, "%s", endpoint);
    watch->zmq_context = zmq_ctx_new();
    watch->arena = wire_arena_new(WIRE_POLICY_BYTES_MAX);
    if (!watch->zmq_context || !watch->arena)
        return err_set(err, ERR_NOMEM, "not enough memory for the reference");
    static Hello hello;
    hello = (Hello){.role = ROLE_OBSERVER, .name = "bench fleet"};
    int code = downlink_init(&watch->downlink, watch->zmq_context, &watch->spec, err);
    downlink_use_keys(&watch->downlink, &watch->connection.dealer.keys);
    return code ? code
                : connection_open(&watch->connection, watch->zmq_context, &watch->config, &hello,
                                  NULL, WIRE_SMALL_BYTES_MAX, err);
}

void fleet_watch_destroy(FleetWatch **watch_pointer)
{
    FleetWatch *watch = *watch_pointer;
    if (!watch)
        return;
    connection_close(&watch->connection);
    downlink_destroy(&watch->downlink);
    wire_arena_destroy(&watch->arena);
    if (watch->zmq_context)
        zmq_ctx_term(watch->zmq_context);
    free(watch);
    *watch_pointer = NULL;
}

bool fleet_watch_is_ready(const FleetWatch *watch)
{
    return atomic_load(&watch->shared->num_references) > 0;
}

/* Frame by frame, so that none is passed over; a version that comes again is not new. */
static void take_frames(FleetWatch *watch)
{
    FleetShared *shared = watch->shared;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (watch->downlink.socket &&
           zmq_msg_recv(&frame, watch->downlink.socket, ZMQ_DONTWAIT) >= 0) {
        int64_t now_ns = clock_ns();
        Weights weights;
        uint32_t count = atomic_load_explicit(&shared->num_references, memory_order_relaxed);
        watch->downlink.silent_ms = now_ns / 1000000;
        if (count == FLEET_REFERENCES_MAX ||
            wire_weights_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), watch->arena, &weights,
                                NULL) != 0 ||
            (count > 0 && !is_before(&shared->references[count - 1], weights.version)))
            continue;
        shared->references[count] = (FleetArrival){weights.version, now_ns};
        atomic_store_explicit(&shared->num_references, count + 1, memory_order_release);
    }
    zmq_msg_close(&frame);
}

int fleet_watch_run(FleetWatch *watch, int ms, Err *err)
{
    Connection *connection = &watch->connection;
    int64_t end_ms = clock_ms() + ms;
    int64_t left_ms = ms;
    int code = ERR_OK;
    while (!code && left_ms >= 0) {
        take_frames(watch);
        code = connection_drive(connection, clock_ms(), err);
        if (!code && connection_welcomed(connection))
            code =
                downlink_open(&watch->downlink, &connection->uplink.welcome,
                              connection->dealer.endpoint, &connection->uplink.hello.session, err);
        left_ms = end_ms - clock_ms();
        if (!code && left_ms > 0)
            connection_wait(connection, watch->downlink.socket,
                            left_ms < WAIT_MS ? (int)left_ms : WAIT_MS);
        if (!code)
            code = bench_check_signals(err);
        if (left_ms <= 0)
            break;
    }
    return code;
}
