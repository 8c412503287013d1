/* Fuzz target: frames of the uplink, as learner and actors receive them. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/proto/wire_random.h"

static const WireLimits dims = {.obs_dim = 3, .act_dim = 2, .segment_steps_max = RANDOM_STEPS_MAX};

/* A decoded message must survive the wire: packed and decoded again, it gives the same bytes. */
static void check_round_trip(const Message *first)
{
    static WireArena *arena;
    if (!arena)
        arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    size_t frame_bytes = wire_size(first, &dims);
    uint8_t *frame = malloc(frame_bytes);
    uint8_t *again = malloc(frame_bytes);
    CHECK(arena && frame && again);
    wire_pack(first, &dims, frame);
    Message second;
    CHECK(wire_unpack(frame, frame_bytes, &dims, arena, &second, NULL) == ERR_OK);
    CHECK(wire_size(&second, &dims) == frame_bytes);
    wire_pack(&second, &dims, again);
    CHECK(memcmp(frame, again, frame_bytes) == 0);
    free(again);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static WireArena *large, *small;
    if (!large) {
        large = wire_arena_new(1 << 20);
        small = wire_arena_new(512);
    }
    CHECK(large && small);
    Message message;
    Err err = {""};
    int rc = wire_unpack(data, size, &dims, large, &message, &err);
    if (rc == ERR_OK)
        check_round_trip(&message);
    else
        CHECK(err.text[0] != '\0' &&
              (rc == ERR_FORMAT || rc == ERR_NOMEM || rc == ERR_SPEC || rc == ERR_DIVERGED));

    /* Less memory changes nothing but that it may not suffice. */
    int rc_small = wire_unpack(data, size, &dims, small, &message, NULL);
    CHECK(rc_small == rc || rc_small == ERR_NOMEM);
    wire_unpack(data, size, NULL, large, &message, NULL);
    return 0;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    static RandomMemory memory;
    Message message;
    MessageKind kind = (MessageKind)random_between(rng, MESSAGE_HELLO, MESSAGE_KIND_LAST);
    random_message(rng, kind, &dims, &memory, &message);
    size_t frame_bytes = wire_size(&message, &dims);
    CHECK(frame_bytes <= FUZZ_INPUT_BYTES_MAX);
    wire_pack(&message, &dims, input);
    return frame_bytes;
}
