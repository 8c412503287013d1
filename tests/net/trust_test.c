/* Who comes in and who does not, on real sockets. */
#include "net/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/net/trust_world.h"

static TrustStatus status;

static int setup(void **state)
{
    (void)state;
    world_start(false);
    return 0;
}

static int setup_open(void **state)
{
    (void)state;
    world_start(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_stop();
    return 0;
}

static SecretKey add_key(const char *name, unsigned roles)
{
    SecretKey key = key_directory_add(&world.keys, name, roles);
    world_read_keys();
    return key;
}

/* Nothing of this peer arrives. */
static void expect_nothing(void *socket)
{
    world_say_hello(socket);
    world_run(WORLD_SOON_MS);
    assert_int_equal(world.hellos, 0);
}

static void test_an_allowed_key_comes_in_and_is_named(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR | KEY_ROLE_EVALUATOR);
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
    assert_string_equal(world.identity.key, "node7");
    assert_int_equal(world.identity.roles, 1U << ROLE_ACTOR | 1U << ROLE_EVALUATOR);
    assert_true(world.identity.local);
    assert_true(world_hears_weights(world_subscribe(&key), WORLD_WAIT_MS));
    trust_status(world.trust, &status);
    assert_true(status.keyed);
    assert_int_equal(status.keys, 1);
    assert_int_equal(status.connections, 2);
    assert_int_equal(status.half_open, 0);
    assert_int_equal(status.refused, 0);
}

static void test_without_keys_all_come_in_with_all_roles_but_one(void **state)
{
    (void)state;
    world_say_hello(world_dial_uplink(NULL));
    world_await_hello();
    assert_string_equal(world.identity.key, "");
    assert_int_equal(world.identity.roles, IDENTITY_OPEN_ROLES);
    assert_true(world.identity.local);
    assert_true(world_hears_weights(world_subscribe(NULL), WORLD_WAIT_MS));
}

static void test_a_key_that_is_not_allowed_stays_out(void **state)
{
    (void)state;
    add_key("node7", KEY_ROLE_ACTOR);
    SecretKey stranger = key_directory_new_key(&world.keys, "stranger", KEY_ROLE_ACTOR);
    expect_nothing(world_dial_uplink(&stranger));
    assert_false(world_hears_weights(world_subscribe(&stranger), WORLD_SOON_MS));
    trust_status(world.trust, &status);
    assert_int_equal(status.refused, 2);
    assert_int_equal(status.failed[HANDSHAKE_REFUSED], 2);
    assert_int_equal(status.half_open, 0);
}

static void test_the_wrong_learners_key_stays_out(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR);
    expect_nothing(world_dial(ZMQ_DEALER, router_endpoint(world.router), &key, key.public_text));
    assert_false(world_hears_weights(world_dial(ZMQ_SUB, world.weights, &key, key.public_text),
                                     WORLD_SOON_MS));
    trust_status(world.trust, &status);
    assert_true(status.failed[HANDSHAKE_PROTOCOL] >= 2);
}

static void test_no_key_stays_out(void **state)
{
    (void)state;
    add_key("node7", KEY_ROLE_ACTOR);
    expect_nothing(world_dial_uplink(NULL));
    assert_false(world_hears_weights(world_subscribe(NULL), WORLD_SOON_MS));
    trust_status(world.trust, &status);
    assert_true(status.refused >= 2);
}

static void test_a_password_stays_out(void **state)
{
    (void)state;
    add_key("node7", KEY_ROLE_ACTOR);
    void *socket = zmq_socket(world.peer_context, ZMQ_DEALER);
    world.peers[world.num_peers++] = socket;
    const int linger_ms = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(socket, ZMQ_PLAIN_USERNAME, "node7", 5);
    zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, "node7", 5);
    assert_int_equal(zmq_connect(socket, router_endpoint(world.router)), 0);
    expect_nothing(socket);
}

static int dial_tcp(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void test_garbage_on_tcp_stays_out_and_is_closed(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: learner\r\n\r\n";
    static const char old[] = "\x01\x00\x05hello"; /* ZMTP 1.0, which knows no keys */
    static const char greeting[] = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03garbage garbage "
                                   "garbage garbage garbage garbage garbage garbage garbage";
    static const char *const garbage[] = {http, old, greeting};
    static const size_t bytes[] = {sizeof http - 1, sizeof old - 1, sizeof greeting - 1};
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = dial_tcp(i % 2 ? world.weights : router_endpoint(world.router));
        assert_int_equal(send(fds[i], garbage[i / 2], bytes[i / 2], MSG_NOSIGNAL), bytes[i / 2]);
    }
    world_run(WORLD_SOON_MS);
    assert_int_equal(world.hellos, 0);
    /* Each is closed by the learner, at the latest when a handshake takes too long. */
    for (int i = 0; i < 6; i++) {
        char byte[256];
        ssize_t got = 1;
        for (int64_t until_ms = clock_ms() + WORLD_WAIT_MS; got > 0 && clock_ms() < until_ms;) {
            got = recv(fds[i], byte, sizeof byte, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN)
                got = 1;
            world_run(10);
        }
        assert_true(got <= 0);
        close(fds[i]);
    }
    world_run(50);
    trust_status(world.trust, &status);
    assert_int_equal(status.connections, 0);
    assert_int_equal(status.half_open, 0);
}

static void test_while_nobody_answers_for_keys_nobody_comes_in(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR);
    world.deaf = true;
    expect_nothing(world_dial_uplink(&key));
    world.deaf = false;
    world_await_hello(); /* it was waiting */
}

static void test_a_key_that_is_added_later_comes_in(void **state)
{
    (void)state;
    SecretKey key = key_directory_new_key(&world.keys, "late", KEY_ROLE_ACTOR);
    expect_nothing(world_dial_uplink(&key));
    key_directory_allow(&world.keys, "late");
    world_read_keys();
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
    assert_string_equal(world.identity.key, "late");
}

static void test_a_revoked_key_is_out_on_both_sockets_and_others_are_not(void **state)
{
    (void)state;
    SecretKey bad = add_key("bad", KEY_ROLE_ACTOR);
    SecretKey good = add_key("good", KEY_ROLE_ACTOR);
    void *bad_uplink = world_dial_uplink(&bad);
    void *bad_weights = world_subscribe(&bad);
    void *good_weights = world_subscribe(&good);
    world_say_hello(bad_uplink);
    world_await_hello();
    assert_int_equal(world.identity.roles, 1U << ROLE_ACTOR);
    assert_true(world_hears_weights(bad_weights, WORLD_WAIT_MS));
    assert_true(world_hears_weights(good_weights, WORLD_WAIT_MS));

    key_directory_revoke(&world.keys, "bad");
    world_read_keys();
    assert_string_equal(world.revoked, "bad ");
    /* Its connection is still there, and grants nothing. */
    world_say_hello(bad_uplink);
    world_await_hello();
    assert_string_equal(world.identity.key, "bad");
    assert_int_equal(world.identity.roles, 0);
    /* The other one is back by itself; it is not. */
    world_run(150);
    int64_t since_ms = clock_ms();
    assert_true(world_hears_weights(good_weights, 5000));
    print_message("back after %lld ms\n", (long long)(clock_ms() - since_ms + 150));
    assert_false(world_hears_weights(bad_weights, 1500));
}

static void test_revocations_in_a_row_wait_for_each_other(void **state)
{
    (void)state;
    SecretKey good = add_key("good", KEY_ROLE_ACTOR);
    add_key("a", KEY_ROLE_ACTOR);
    SecretKey b = add_key("b", KEY_ROLE_ACTOR);
    void *good_weights = world_subscribe(&good);
    void *b_weights = world_subscribe(&b);
    assert_true(world_hears_weights(b_weights, WORLD_WAIT_MS));
    key_directory_revoke(&world.keys, "a");
    world_read_keys();
    world_run(300);
    assert_true(world_hears_weights(b_weights, WORLD_WAIT_MS));
    /* The second one comes too soon after: its holder is out a moment later, and stays out. */
    key_directory_revoke(&world.keys, "b");
    world_read_keys();
    world_run(2500);
    assert_false(world_hears_weights(b_weights, WORLD_SOON_MS));
    assert_true(world_hears_weights(good_weights, WORLD_WAIT_MS));
}

static void test_a_new_key_of_an_old_name_grants_nothing_to_the_old_one(void **state)
{
    (void)state;
    SecretKey old = add_key("node7", KEY_ROLE_ACTOR);
    void *uplink = world_dial_uplink(&old);
    world_say_hello(uplink);
    world_await_hello();
    assert_int_equal(remove(scratch_path(&world.keys.scratch, "node7.key")), 0);
    assert_int_equal(remove(scratch_path(&world.keys.scratch, "node7.pub")), 0);
    SecretKey fresh = add_key("node7", KEY_ROLE_ACTOR | KEY_ROLE_OPERATOR);
    assert_string_equal(world.revoked, "node7 ");
    world_say_hello(uplink);
    world_await_hello();
    assert_int_equal(world.identity.roles, 0);
    world_say_hello(world_dial_uplink(&fresh));
    world_await_hello();
    assert_int_equal(world.identity.roles, 1U << ROLE_ACTOR | 1U << ROLE_OPERATOR);
}

static void test_weights_are_for_actors_and_relays(void **state)
{
    (void)state;
    SecretKey relay = add_key("rack1", KEY_ROLE_RELAY);
    assert_true(world_hears_weights(world_subscribe(&relay), WORLD_WAIT_MS));
    SecretKey key = add_key("ann", KEY_ROLE_OBSERVER | KEY_ROLE_OPERATOR | KEY_ROLE_EVALUATOR);
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
    assert_false(world_hears_weights(world_subscribe(&key), WORLD_SOON_MS));
    trust_status(world.trust, &status);
    assert_int_equal(status.refused, 1);
}

static void test_a_directory_that_cannot_be_read_leaves_the_table(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR);
    char away[160];
    snprintf(away, sizeof away, "%s.away", world.keys.allowed);
    assert_null(trust_alarm(world.trust, 0));
    assert_int_equal(rename(world.keys.allowed, away), 0);
    world_read_keys();
    assert_non_null(strstr(trust_alarm(world.trust, 0), "cannot be read"));
    assert_null(trust_alarm(world.trust, 1));
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
    assert_string_equal(world.revoked, "");
    assert_int_equal(rename(away, world.keys.allowed), 0);
    key_directory_revoke(&world.keys, "node7");
    world_read_keys();
    assert_string_equal(world.revoked, "node7 ");
    world.ahead_ms += 11000;
    world_turn();
    assert_null(trust_alarm(world.trust, 0));
}

static void test_a_key_has_a_number_of_connections(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR);
    world.config.peers_per_key_max = 2;
    world.peers_of_key = 3; /* as many again may be there at once */
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
    world.peers_of_key = 4;
    int before = world.hellos;
    world_say_hello(world_dial_uplink(&key));
    world_run(WORLD_SOON_MS);
    assert_int_equal(world.hellos, before);
    trust_status(world.trust, &status);
    assert_int_equal(status.refused, 1);
}

static void test_connections_that_say_nothing_are_counted_too(void **state)
{
    (void)state;
    SecretKey key = add_key("node7", KEY_ROLE_ACTOR);
    world.config.peers_per_key_max = 1;
    for (int i = 0; i < 4; i++)
        world_dial_uplink(&key);
    world_run(WORLD_SOON_MS);
    trust_status(world.trust, &status);
    assert_int_equal(status.refused, 2);
    assert_int_equal(status.connections, 2);
    world.ahead_ms += 11000; /* and forgotten in the end */
    world_turn();
    world_say_hello(world_dial_uplink(&key));
    world_await_hello();
}

static void test_half_open_connections_raise_an_alarm_that_ends(void **state)
{
    (void)state;
    int fds[12];
    status.half_open = 0;
    world.config.half_open_max = 10;
    for (int i = 0; i < 12; i++)
        fds[i] = dial_tcp(i % 2 ? world.weights : router_endpoint(world.router));
    for (int i = 0; i < 100 && status.half_open < 12; i++) {
        world_run(10);
        trust_status(world.trust, &status);
    }
    assert_int_equal(status.half_open, 12);
    assert_non_null(strstr(trust_alarm(world.trust, 0), "12 connections have not finished"));
    /* libzmq ends them after two seconds. */
    world_run(3000);
    trust_status(world.trust, &status);
    assert_int_equal(status.half_open, 0);
    assert_int_equal(status.connections, 0);
    assert_int_equal(status.failed[HANDSHAKE_LOST], 12);
    world.ahead_ms += 11000;
    world_turn();
    assert_null(trust_alarm(world.trust, 0));
    for (int i = 0; i < 12; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_allowed_key_comes_in_and_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_keys_all_come_in_with_all_roles_but_one,
                                        setup_open, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_that_is_not_allowed_stays_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_wrong_learners_key_stays_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_key_stays_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_password_stays_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_on_tcp_stays_out_and_is_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_while_nobody_answers_for_keys_nobody_comes_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_key_that_is_added_later_comes_in, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_revoked_key_is_out_on_both_sockets_and_others_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revocations_in_a_row_wait_for_each_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_new_key_of_an_old_name_grants_nothing_to_the_old_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_weights_are_for_actors_and_relays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_that_cannot_be_read_leaves_the_table,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_has_a_number_of_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections_that_say_nothing_are_counted_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_half_open_connections_raise_an_alarm_that_ends, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
