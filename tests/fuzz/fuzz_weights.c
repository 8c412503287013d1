/* Fuzz target: frames of the weights socket, as actors receive them.
 *
 * Random bytes never have the right checksum, so each input is also tried as the policy of an
 * EvalRequest, which has none, and what is accepted there goes through a Weights frame. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/proto/wire_random.h"

static void check_round_trip(const EvalRequest *policy)
{
    static WireArena *arena;
    if (!arena)
        arena = wire_arena_new(1 << 20);
    Weights first = {policy->version, policy->mlp, policy->params}, second;
    size_t frame_bytes = wire_weights_size(&first, 1);
    uint8_t *frame = malloc(frame_bytes);
    CHECK(arena && frame);
    wire_weights_pack(&first, (const uint8_t *)"W", 1, frame);
    CHECK(wire_weights_unpack(frame, frame_bytes, arena, &second, NULL) == ERR_OK);
    CHECK(version_equal(first.version, second.version) && mlp_equal(&first.mlp, &second.mlp));
    CHECK(memcmp(first.params, second.params, sizeof(float) * mlp_num_params(&first.mlp)) == 0);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static WireArena *arena;
    if (!arena)
        arena = wire_arena_new(1 << 18);
    CHECK(arena);
    Weights weights;
    Err err = {""};
    int rc = wire_weights_unpack(data, size, arena, &weights, &err);
    CHECK(rc == ERR_OK || err.text[0] != '\0');
    if (rc == ERR_OK) {
        double sum = 0; /* every parameter is there to be read */
        for (size_t i = 0; i < mlp_num_params(&weights.mlp); i++)
            sum += (double)weights.params[i];
        CHECK(isfinite(sum));
    }

    uint8_t *frame = malloc(size + 1);
    CHECK(frame);
    frame[0] = MESSAGE_EVAL_REQUEST;
    if (size > 0)
        memcpy(frame + 1, data, size);
    Message message;
    if (wire_unpack(frame, size + 1, NULL, arena, &message, NULL) == ERR_OK)
        check_round_trip(&message.eval_request);
    free(frame);
    return 0;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    static RandomMemory memory;
    if (rng_below(rng, 2) == 0) {
        static const WireLimits dims = {.obs_dim = 3, .act_dim = 2};
        Message message;
        random_message(rng, MESSAGE_EVAL_REQUEST, &dims, &memory, &message);
        size_t frame_bytes = wire_size(&message, NULL);
        CHECK(frame_bytes <= FUZZ_INPUT_BYTES_MAX);
        wire_pack(&message, NULL, input);
        memmove(input, input + 1, frame_bytes - 1); /* without the kind */
        return frame_bytes - 1;
    }
    static const uint8_t topic[WIRE_TOPIC_MAX] = "J0123456789abcdef";
    Weights weights;
    random_weights(rng, &memory, &weights);
    bool is_join = rng_below(rng, 2) == 0;
    size_t topic_bytes = is_join ? sizeof topic : 1;
    size_t frame_bytes = wire_weights_size(&weights, topic_bytes);
    CHECK(frame_bytes <= FUZZ_INPUT_BYTES_MAX);
    wire_weights_pack(&weights, is_join ? topic : (const uint8_t *)"W", topic_bytes, input);
    return frame_bytes;
}
