/* A decode costs no more than its arena holds, and broken bytes never more than an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

enum { FLIPS = 4000, FIELDS = 40 };

static const WireLimits dims = {.obs_dim = 3, .act_dim = 2, .segment_steps_max = RANDOM_STEPS_MAX};
static uint64_t seed;
static RandomMemory memory;

static void test_unknown_fields_use_up_the_budget_and_no_more(void **state)
{
    (void)state;
    static Writer writer;
    writer.length = 0;
    write_byte(&writer, MESSAGE_ACK);
    for (int i = 0; i < FIELDS; i++)
        write_bytes(&writer, 15, NULL, 0); /* two bytes each */
    WireArena *small = wire_arena_new(1024);
    Message message;
    Err err;
    assert_int_equal(wire_unpack(writer.bytes, writer.length, NULL, small, &message, &err),
                     ERR_NOMEM);
    assert_non_null(strstr(err.text, "1024"));

    /* The same arena is as good as new for the next frame, and its errors are that frame's. */
    static const uint8_t malformed[] = {MESSAGE_ACK, 0xff};
    assert_int_equal(wire_unpack(malformed, sizeof malformed, NULL, small, &message, &err),
                     ERR_FORMAT);
    Message sent = {.kind = MESSAGE_BYE, .bye = BYE_FINISHED};
    uint8_t frame[16];
    wire_pack(&sent, NULL, frame);
    assert_int_equal(wire_unpack(frame, wire_size(&sent, NULL), NULL, small, &message, &err),
                     ERR_OK);
    assert_int_equal(message.bye, BYE_FINISHED);
    wire_arena_destroy(&small);

    /* With enough memory the frame is sound: what a later version adds is passed over. */
    WireArena *large = wire_arena_new(64 << 20);
    assert_int_equal(wire_unpack(writer.bytes, writer.length, NULL, large, &message, &err), ERR_OK);
    wire_arena_destroy(&large);
}

static void test_repeated_fields_use_up_the_budget(void **state)
{
    (void)state;
    static Writer writer;
    static const struct {
        MessageKind kind;
        unsigned field;
    } repeated[] = {
        {MESSAGE_HELLO, 6}, {MESSAGE_HELLO, 7}, {MESSAGE_STATUS, 18},
        {MESSAGE_ACK, 6},   {MESSAGE_ACK, 5},   {MESSAGE_SEGMENT, 9},
    };
    for (size_t i = 0; i < sizeof repeated / sizeof repeated[0]; i++) {
        writer.length = 0;
        write_byte(&writer, repeated[i].kind);
        for (int j = 0; j < FIELDS; j++)
            write_bytes(&writer, repeated[i].field, "", 0);
        WireArena *arena = wire_arena_new(1024);
        Message message;
        assert_int_equal(wire_unpack(writer.bytes, writer.length, &dims, arena, &message, NULL),
                         ERR_NOMEM);
        wire_arena_destroy(&arena);
    }
}

static void test_no_budget_is_too_small_to_fail_cleanly(void **state)
{
    (void)state;
    for (int kind = MESSAGE_HELLO; kind <= MESSAGE_KIND_LAST; kind++) {
        Rng rng = rng_stream(seed, RNG_TEST, (uint64_t)kind, 1, 0);
        Message sent, received;
        random_message(&rng, (MessageKind)kind, &dims, &memory, &sent);
        size_t frame_bytes = wire_size(&sent, &dims);
        uint8_t *frame = malloc(frame_bytes);
        wire_pack(&sent, &dims, frame);
        bool fits = false;
        for (size_t budget = 0; !fits; budget += 16) {
            WireArena *arena = wire_arena_new(budget);
            int rc = wire_unpack(frame, frame_bytes, &dims, arena, &received, NULL);
            fits = rc == ERR_OK;
            if (!fits)
                assert_int_equal(rc, ERR_NOMEM);
            wire_arena_destroy(&arena);
        }
        free(frame);
    }
}

/* The largest small messages fit into WIRE_SMALL_BYTES_MAX, packed and unpacked. */
static void test_the_largest_small_messages_fit(void **state)
{
    (void)state;
    Message hello = {.kind = MESSAGE_HELLO,
                     .hello = {.protocol_version = WIRE_PROTOCOL_VERSION,
                               .oldest_unacked = WIRE_COUNT_MAX,
                               .acked_steps = WIRE_COUNT_MAX,
                               .num_labels = WIRE_LABELS_MAX,
                               .has_spec = true,
                               .num_envs = WIRE_ENVS_MAX}};
    memset(hello.hello.name, 'n', WIRE_NAME_MAX);
    for (int i = 0; i < WIRE_LABELS_MAX; i++)
        memset(hello.hello.labels[i], 'l', WIRE_NAME_MAX);
    memset(hello.hello.origin_key, 'k', WIRE_NAME_MAX);
    memset(hello.hello.via, 'v', WIRE_NAME_MAX);
    Spec *spec = &hello.hello.spec;
    memset(spec->name, 's', SPEC_NAME_MAX);
    spec->obs_dim = SPEC_OBS_DIM_MAX;
    spec->act_dim = SPEC_ACT_DIM_MAX;
    for (int i = 0; i < SPEC_ACT_DIM_MAX; i++)
        spec->action_high[i] = 1;
    Message welcome = {.kind = MESSAGE_WELCOME};
    Rng rng = rng_stream(seed, RNG_TEST, 2, 0, 0);
    random_message(&rng, MESSAGE_WELCOME, &dims, &memory, &welcome);
    memset(welcome.welcome.weights_endpoint, 'e', WIRE_ENDPOINT_MAX);
    Message reject = {.kind = MESSAGE_REJECT, .reject.reason = REJECT_FULL};
    memset(reject.reject.text, 't', WIRE_TEXT_MAX);

    const Message *largest[] = {&hello, &welcome, &reject};
    WireArena *arena = wire_arena_new(WIRE_SMALL_BYTES_MAX);
    for (size_t i = 0; i < sizeof largest / sizeof largest[0]; i++) {
        static uint8_t frame[WIRE_SMALL_BYTES_MAX];
        size_t frame_bytes = wire_size(largest[i], NULL);
        assert_true(frame_bytes <= WIRE_SMALL_BYTES_MAX);
        wire_pack(largest[i], NULL, frame);
        Message received;
        assert_int_equal(wire_unpack(frame, frame_bytes, NULL, arena, &received, NULL), ERR_OK);
    }
    wire_arena_destroy(&arena);
}

static void test_a_full_segment_fits_into_its_bound(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1}, {3, 1, 64}, {17, 6, 64}, {4096, 128, 5}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int *shape = shapes[i];
        WireLimits limits = {shape[0], shape[1], shape[2]};
        size_t bound = wire_segment_bytes_max(shape[0], shape[1], shape[2]);
        float *block = calloc(1, segment_block_bytes(shape[0], shape[1], shape[2]));
        Message sent = {.kind = MESSAGE_SEGMENT};
        segment_bind(&sent.segment, block, shape[0], shape[1], shape[2]);
        sent.segment.sequence = UINT64_MAX;
        sent.segment.env_index = WIRE_ENVS_MAX - 1;
        sent.segment.episode = UINT64_MAX;
        sent.segment.num_steps = shape[2];
        sent.segment.version = (Version){UINT32_MAX, UINT64_MAX};
        size_t frame_bytes = wire_size(&sent, &limits);
        assert_true(frame_bytes <= bound);
        uint8_t *frame = malloc(frame_bytes);
        wire_pack(&sent, &limits, frame);
        WireArena *arena = wire_arena_new(bound);
        Message received;
        assert_int_equal(wire_unpack(frame, frame_bytes, &limits, arena, &received, NULL), ERR_OK);
        wire_arena_destroy(&arena);
        free(frame);
        free(block);
    }
}

static void fill_text(char *text, size_t text_bytes)
{
    memset(text, 'x', text_bytes - 1);
    text[text_bytes - 1] = '\0';
}

static void test_a_status_of_the_whole_fleet_fits_into_its_bound(void **state)
{
    (void)state;
    Message sent = {.kind = MESSAGE_STATUS, .status.num_actors = STATUS_ACTORS_MAX};
    sent.status.actors = malloc(sizeof(ActorStatus) * STATUS_ACTORS_MAX);
    for (int i = 0; i < STATUS_ACTORS_MAX; i++) {
        ActorStatus *actor = &sent.status.actors[i];
        memset(actor, 0xff, sizeof *actor);
        fill_text(actor->name, sizeof actor->name);
        fill_text(actor->waiting_for, sizeof actor->waiting_for);
        fill_text(actor->learner_reason, sizeof actor->learner_reason);
        fill_text(actor->labels, sizeof actor->labels);
        fill_text(actor->key, sizeof actor->key);
        fill_text(actor->last_fault, sizeof actor->last_fault);
        fill_text(actor->via, sizeof actor->via);
        actor->policy_epoch_old = true; /* all bits set are no truth value */
        actor->draining = true;
    }
    size_t frame_bytes = wire_size(&sent, NULL);
    assert_true(frame_bytes <= WIRE_STATUS_BYTES_MAX);
    uint8_t *frame = malloc(frame_bytes);
    wire_pack(&sent, NULL, frame);
    WireArena *arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    Message received;
    assert_int_equal(wire_unpack(frame, frame_bytes, NULL, arena, &received, NULL), ERR_OK);
    assert_int_equal(received.status.num_actors, STATUS_ACTORS_MAX);
    assert_memory_equal(&received.status.actors[STATUS_ACTORS_MAX - 1],
                        &sent.status.actors[STATUS_ACTORS_MAX - 1], offsetof(ActorStatus, name));

    /* One more is refused whatever memory there is: an empty actor is three bytes. */
    static const uint8_t empty_actor[] = {0x92, 0x01, 0};
    uint8_t *longer = malloc(frame_bytes + sizeof empty_actor);
    memcpy(longer, frame, frame_bytes);
    memcpy(longer + frame_bytes, empty_actor, sizeof empty_actor);
    WireArena *large = wire_arena_new(64 << 20);
    assert_int_equal(
        wire_unpack(longer, frame_bytes + sizeof empty_actor, NULL, large, &received, NULL),
        ERR_FORMAT);
    wire_arena_destroy(&large);
    wire_arena_destroy(&arena);
    free(longer);
    free(frame);
    free(sent.status.actors);
}

/* Random damage: an error or another sound message, never a crash. */
static void test_cut_and_flipped_frames_do_no_harm(void **state)
{
    (void)state;
    WireArena *arena = wire_arena_new(1 << 20);
    for (int kind = MESSAGE_HELLO; kind <= MESSAGE_KIND_LAST; kind++) {
        Rng rng = rng_stream(seed, RNG_TEST, (uint64_t)kind, 2, 0);
        Message sent, received;
        random_message(&rng, (MessageKind)kind, &dims, &memory, &sent);
        size_t frame_bytes = wire_size(&sent, &dims);
        uint8_t *frame = malloc(frame_bytes);
        wire_pack(&sent, &dims, frame);
        for (size_t cut = 0; cut < frame_bytes; cut++) {
            uint8_t *piece = malloc(cut + 1);
            memcpy(piece, frame, cut);
            int rc = wire_unpack(piece, cut, &dims, arena, &received, NULL);
            if (kind == MESSAGE_SEGMENT) /* its last field must be there, whole */
                assert_int_equal(rc, ERR_FORMAT);
            free(piece);
        }
        for (int i = 0; i < FLIPS; i++) {
            size_t bit = rng_below(&rng, frame_bytes * 8);
            frame[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            wire_unpack(frame, frame_bytes, &dims, arena, &received, NULL);
            if (rng_below(&rng, 4) != 0) /* else the damage adds up */
                frame[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
        free(frame);
    }
    wire_arena_destroy(&arena);
}

int main(void)
{
    seed = random_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_fields_use_up_the_budget_and_no_more),
        cmocka_unit_test(test_repeated_fields_use_up_the_budget),
        cmocka_unit_test(test_no_budget_is_too_small_to_fail_cleanly),
        cmocka_unit_test(test_the_largest_small_messages_fit),
        cmocka_unit_test(test_a_full_segment_fits_into_its_bound),
        cmocka_unit_test(test_a_status_of_the_whole_fleet_fits_into_its_bound),
        cmocka_unit_test(test_cut_and_flipped_frames_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
