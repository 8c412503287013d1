/* A learner's two sockets with keys, on loopback, and peers that dial them with bare ZeroMQ: good
 * ones, and others. Time is given: it may be ahead of the clock. */
#ifndef POLYAK_TESTS_NET_TRUST_WORLD_H
#define POLYAK_TESTS_NET_TRUST_WORLD_H

#include "common/clock.h"
#include "common/mlp.h"
#include "net/endpoints.h"
#include "net/publish.h"
#include "net/router.h"
#include "net/trust.h"
#include "tests/net/key_directory.h"

enum { WORLD_WAIT_MS = 10000, WORLD_SOON_MS = 600, WORLD_PEERS_MAX = 8 };

typedef struct World {
    KeyDirectory keys;
    Config config;
    SecretKey learner_key;
    void *zmq_context;
    Trust *trust;
    Router *router;
    Publisher *publisher;
    char weights[WIRE_ENDPOINT_MAX + 1];
    void *peer_context;
    void *peers[WORLD_PEERS_MAX];
    int num_peers;
    int64_t ahead_ms;
    bool deaf; /* ZAP is not answered */

    int hellos; /* that arrived, and who sent the last one */
    PeerIdentity identity;
    Link link;
    char revoked[128];
    uint32_t peers_of_key; /* what count() says */
} World;

static World world;

static inline void world_revoked(void *context, const char *key)
{
    World *self = context;
    size_t length = strlen(self->revoked);
    snprintf(self->revoked + length, sizeof self->revoked - length, "%s ", key);
    publisher_drop_all(self->publisher);
}

static inline void world_count(void *context, const char *key, uint32_t *peers,
                               uint32_t *peers_of_key)
{
    (void)key;
    const World *self = context;
    *peers = *peers_of_key = self->peers_of_key;
}

/* Opens the sockets; with keys unless `open`. */
static inline void world_start(bool open)
{
    Err err = {""};
    char endpoint[WIRE_ENDPOINT_MAX + 1] = "";
    world = (World){.keys = key_directory_make()};
    config_init(&world.config);
    world.learner_key = key_directory_new_key(&world.keys, "learner", 0);
    if (!open) {
        snprintf(world.config.key, sizeof world.config.key, "%s",
                 scratch_path(&world.keys.scratch, "learner.key"));
        snprintf(world.config.allowed_keys, sizeof world.config.allowed_keys, "%s",
                 world.keys.allowed);
    }
    world.zmq_context = zmq_ctx_new();
    world.peer_context = zmq_ctx_new();
    if (trust_new(&world.config, world.zmq_context, &world.trust, &err) != 0)
        fail_msg("%s", err.text);
    /* Two ports in a row are needed; another test may have the second one. */
    int code = ERR_BUSY;
    for (int port = 21000 + (int)(clock_ns() % 9000) * 2; code == ERR_BUSY; port += 2) {
        snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
        code = router_new(world.zmq_context, endpoint, 65536, world.trust, &world.router, &err);
        if (code == 0)
            code = endpoints_weights(endpoint, world.weights, &err);
        if (code == 0)
            code = publisher_new(world.zmq_context, world.weights, world.trust, &world.publisher,
                                 &err);
        if (code == ERR_BUSY)
            router_destroy(&world.router);
    }
    if (code != 0)
        fail_msg("%s", err.text);
    TrustSink sink = {&world, world_revoked, world_count};
    trust_set_sink(world.trust, &sink);
}

static inline void world_stop(void)
{
    for (int i = 0; i < world.num_peers; i++)
        zmq_close(world.peers[i]);
    zmq_ctx_term(world.peer_context);
    trust_close(world.trust);
    publisher_destroy(&world.publisher);
    router_destroy(&world.router);
    trust_destroy(&world.trust);
    zmq_ctx_term(world.zmq_context);
    scratch_remove(&world.keys.scratch);
}

static inline int64_t world_now_ms(void)
{
    return clock_ms() + world.ahead_ms;
}

/* One turn of the learner. */
static inline void world_turn(void)
{
    static Message message;
    static const WireLimits no_segments = {0};
    Err err;
    Link link = 0;
    if (!world.deaf)
        trust_tick(world.trust, world_now_ms());
    publisher_tick(world.publisher, world_now_ms());
    publisher_receive(world.publisher);
    for (;;) {
        int code = router_receive(world.router, &no_segments, &link, &message, &err);
        if (code == ERR_MISSING)
            break;
        assert_int_equal(code, 0);
        if (message.kind != MESSAGE_HELLO)
            continue;
        world.hellos++;
        world.link = link;
        world.identity = *router_identity(world.router);
    }
}

static inline void world_run(int64_t wait_ms)
{
    for (int64_t until_ms = clock_ms() + wait_ms; clock_ms() < until_ms;) {
        world_turn();
        zmq_pollitem_t item = {.socket = router_socket(world.router), .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, 2);
    }
}

/* Runs until a Hello more has arrived. */
static inline void world_await_hello(void)
{
    int before = world.hellos;
    for (int64_t until_ms = clock_ms() + WORLD_WAIT_MS; world.hellos == before;) {
        assert_true(clock_ms() < until_ms);
        world_run(5);
    }
}

/* The directory is read again at once. */
static inline void world_read_keys(void)
{
    world.ahead_ms += 1000;
    world_turn();
}

/* --- Peers */

/* A socket that dials `endpoint`, with keys unless `own` is NULL. */
static inline void *world_dial(int type, const char *endpoint, const SecretKey *own,
                               const char *server_text)
{
    const int linger_ms = 0;
    assert_true(world.num_peers < WORLD_PEERS_MAX);
    void *socket = zmq_socket(world.peer_context, type);
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (own) {
        assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_text, 41), 0);
        assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own->public_text, 41), 0);
        assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret_text, 41), 0);
    }
    if (type == ZMQ_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "W", 1);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return world.peers[world.num_peers++] = socket;
}

static inline void *world_dial_uplink(const SecretKey *own)
{
    return world_dial(ZMQ_DEALER, router_endpoint(world.router), own,
                      world.learner_key.public_text);
}

static inline void *world_subscribe(const SecretKey *own)
{
    return world_dial(ZMQ_SUB, world.weights, own, world.learner_key.public_text);
}

static inline void world_say_hello(void *socket)
{
    uint8_t frame[1024];
    Message hello = {.kind = MESSAGE_HELLO};
    hello.hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.hello.role = ROLE_OBSERVER;
    hello.hello.oldest_unacked = 1;
    size_t bytes = wire_size(&hello, NULL);
    assert_true(bytes <= sizeof frame);
    wire_pack(&hello, NULL, frame);
    assert_int_equal(zmq_send(socket, frame, bytes, ZMQ_DONTWAIT), bytes);
}

/* Publishes a policy; it is sent again every second. */
static inline void world_publish(uint64_t update)
{
    static const Mlp mlp = {.num_layers = 1, .size = {2, 1}};
    static const float params[3];
    assert_int_equal(
        publisher_send(world.publisher, &mlp, params, (Version){1, update}, world_now_ms()), 0);
}

/* Whether weights come within wait_ms, while policies are published all the time. */
static inline bool world_hears_weights(void *socket, int64_t wait_ms)
{
    char byte[1];
    while (zmq_recv(socket, byte, 1, ZMQ_DONTWAIT) >= 0)
        continue; /* what was on its way before */
    for (int64_t until_ms = clock_ms() + wait_ms; clock_ms() < until_ms;) {
        world_publish(1);
        world_run(20);
        for (int i = 0; i < world.num_peers;
             i++) { /* a SUB reconnects only while it is looked at */
            int events = 0;
            size_t bytes = sizeof events;
            zmq_getsockopt(world.peers[i], ZMQ_EVENTS, &events, &bytes);
        }
        if (zmq_recv(socket, byte, 1, ZMQ_DONTWAIT) >= 0)
            return true;
    }
    return false;
}

#endif
