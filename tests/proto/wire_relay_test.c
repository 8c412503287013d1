/* What a relay appends to a frame wins over what stood there, and what it does not know stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "proto/wire_relay.h"
#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

enum { ROUNDS = 300, HELLO_ORIGIN_KEY = 11, HELLO_ORIGIN_ROLES = 12, HELLO_VIA = 13 };

static const HelloOrigin rack = {
    .key = "node7", .roles = 1 << ROLE_ACTOR | 1 << ROLE_EVALUATOR, .via = "rack 1"};
static const HelloOrigin nobody = {.key = "", .roles = 0, .via = ""};

static uint64_t seed;
static WireArena *arena;
static Writer writer;
static Message received;

static void put(const Message *message)
{
    writer.length = wire_size(message, NULL);
    CHECK(writer.length <= sizeof writer.bytes);
    wire_pack(message, NULL, writer.bytes);
}

static Message random_of(MessageKind kind, uint64_t round)
{
    static RandomMemory memory;
    static const WireLimits dims = {.obs_dim = 1, .act_dim = 1};
    Message message;
    Rng rng = rng_stream(seed, RNG_TEST, kind, round, 0);
    random_message(&rng, kind, &dims, &memory, &message);
    return message;
}

static void append(const uint8_t *bytes, size_t num_bytes)
{
    CHECK(num_bytes <= WIRE_APPENDED_BYTES_MAX);
    for (size_t i = 0; i < num_bytes; i++)
        write_byte(&writer, bytes[i]);
}

static void append_origin(const HelloOrigin *origin)
{
    uint8_t appended[WIRE_APPENDED_BYTES_MAX];
    assert_true(wire_may_append(writer.bytes, writer.length));
    append(appended, wire_append_origin(origin, appended));
}

static void append_weights(uint32_t port, const char *endpoint)
{
    uint8_t appended[WIRE_APPENDED_BYTES_MAX];
    assert_true(wire_may_append(writer.bytes, writer.length));
    append(appended, wire_append_weights(port, endpoint, appended));
}

static void unpack(void)
{
    Err err = {""};
    if (wire_unpack(writer.bytes, writer.length, NULL, arena, &received, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void assert_origin(const HelloOrigin *origin)
{
    unpack();
    assert_string_equal(received.hello.origin_key, origin->key);
    assert_int_equal(received.hello.origin_roles, origin->roles);
    assert_string_equal(received.hello.via, origin->via);
}

static void test_an_appended_origin_wins_over_any_other(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        Message message = random_of(MESSAGE_HELLO, round);
        put(&message);
        append_origin(round % 2 == 0 ? &rack : &nobody);
        assert_origin(round % 2 == 0 ? &rack : &nobody);
        assert_string_equal(received.hello.name, message.hello.name);
        assert_int_equal(received.hello.oldest_unacked, message.hello.oldest_unacked);
        assert_memory_equal(&received.hello.session, &message.hello.session, sizeof(Session));
        /* The relay that this one has dialled has the last word. */
        append_origin(&nobody);
        assert_origin(&nobody);
    }
}

/* Said twice, with numbers that are longer than they have to be, and before everything else. */
static void test_an_origin_that_the_peer_wrote_itself_does_not_stand(void **state)
{
    (void)state;
    Message message = random_of(MESSAGE_HELLO, 0);
    static uint8_t sound[WIRE_SMALL_BYTES_MAX];
    size_t sound_bytes = wire_size(&message, NULL);
    assert_true(sound_bytes <= sizeof sound);
    wire_pack(&message, NULL, sound);
    writer.length = 0;
    write_byte(&writer, MESSAGE_HELLO);
    write_text(&writer, HELLO_ORIGIN_KEY, "admin");
    write_varint(&writer, HELLO_ORIGIN_ROLES << 3);
    append((const uint8_t[]){0x9f, 0x80, 0x80, 0x80, 0x80, 0x00}, 6);
    for (size_t i = 1; i < sound_bytes; i++)
        write_byte(&writer, sound[i]);
    write_text(&writer, HELLO_ORIGIN_KEY, "admin");
    write_uint(&writer, HELLO_ORIGIN_ROLES, 31);
    write_text(&writer, HELLO_VIA, "nowhere");
    append_origin(&rack);
    assert_origin(&rack);
}

/* The last field says that it is as long as what the relay appends. */
static void test_a_frame_that_would_swallow_what_follows_is_found(void **state)
{
    (void)state;
    static const unsigned wire_types[] = {0, 1, 2, 5};
    uint8_t appended[WIRE_APPENDED_BYTES_MAX];
    size_t appended_bytes = wire_append_origin(&rack, appended);
    Message message = random_of(MESSAGE_HELLO, 1);
    for (size_t i = 0; i < 4; i++) {
        put(&message);
        write_text(&writer, HELLO_ORIGIN_KEY, "admin");
        assert_true(wire_may_append(writer.bytes, writer.length));
        write_varint(&writer, 100 << 3 | wire_types[i]);
        assert_false(wire_may_append(writer.bytes, writer.length));
        if (wire_types[i] == 2)
            write_varint(&writer, appended_bytes);
        assert_false(wire_may_append(writer.bytes, writer.length));
    }
    /* That it would have worked: */
    put(&message);
    write_text(&writer, HELLO_ORIGIN_KEY, "admin");
    write_bytes(&writer, 100, appended, appended_bytes);
    unpack();
    assert_string_equal(received.hello.origin_key, "admin");
}

static void test_only_whole_frames_may_be_appended_to(void **state)
{
    (void)state;
    assert_false(wire_may_append((const uint8_t *)"", 0));
    assert_true(wire_may_append((const uint8_t *)"\x01", 1));
    Message message = random_of(MESSAGE_WELCOME, 0);
    put(&message);
    for (size_t cut = 1; cut <= writer.length; cut++) {
        if (!wire_may_append(writer.bytes, cut))
            continue;
        /* What passes is a message for protobuf too. */
        Err err = {""};
        wire_unpack(writer.bytes, cut, NULL, arena, &received, &err);
        assert_null(strstr(err.text, "malformed"));
    }
    static const uint8_t groups[] = {MESSAGE_HELLO, 1 << 3 | 3, 1 << 3 | 4};
    assert_false(wire_may_append(groups, sizeof groups));
}

static void test_appended_weights_win(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        Message message = random_of(MESSAGE_WELCOME, round);
        bool named = round % 2 == 0;
        put(&message);
        append_weights(named ? 0 : 6556, named ? "tcp://rack1:6556" : "");
        unpack();
        assert_int_equal(received.welcome.weights_port, named ? 0 : 6556);
        assert_string_equal(received.welcome.weights_endpoint, named ? "tcp://rack1:6556" : "");
        assert_int_equal(received.welcome.actor_index, message.welcome.actor_index);
        assert_int_equal(received.welcome.seed, message.welcome.seed);
    }
}

static void test_fields_of_another_version_stay(void **state)
{
    (void)state;
    Message message = random_of(MESSAGE_HELLO, 2);
    put(&message);
    write_text(&writer, 99, "tomorrow");
    size_t before = writer.length;
    static uint8_t bytes[sizeof writer.bytes];
    memcpy(bytes, writer.bytes, before);
    append_origin(&rack);
    assert_memory_equal(writer.bytes, bytes, before);
    assert_origin(&rack);
}

static void test_the_longest_texts_have_room(void **state)
{
    (void)state;
    HelloOrigin longest = {.roles = UINT32_MAX};
    memset(longest.key, 'k', WIRE_NAME_MAX);
    memset(longest.via, 'v', WIRE_NAME_MAX);
    char endpoint[WIRE_ENDPOINT_MAX + 1] = "";
    memset(endpoint, 'e', WIRE_ENDPOINT_MAX);
    uint8_t appended[WIRE_APPENDED_BYTES_MAX];
    assert_true(wire_append_origin(&longest, appended) <= sizeof appended);
    assert_true(wire_append_weights(UINT16_MAX, endpoint, appended) <= sizeof appended);
}

static void test_the_kind_of_a_frame(void **state)
{
    (void)state;
    assert_int_equal(wire_kind((const uint8_t *)"", 0), 0);
    assert_int_equal(wire_kind((const uint8_t *)"\x0f", 1), MESSAGE_GONE);
}

int main(void)
{
    seed = random_seed();
    arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_appended_origin_wins_over_any_other),
        cmocka_unit_test(test_an_origin_that_the_peer_wrote_itself_does_not_stand),
        cmocka_unit_test(test_a_frame_that_would_swallow_what_follows_is_found),
        cmocka_unit_test(test_only_whole_frames_may_be_appended_to),
        cmocka_unit_test(test_appended_weights_win),
        cmocka_unit_test(test_fields_of_another_version_stay),
        cmocka_unit_test(test_the_longest_texts_have_room),
        cmocka_unit_test(test_the_kind_of_a_frame),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wire_arena_destroy(&arena);
    return failed;
}
