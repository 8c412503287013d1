/* A policy on the wire: shape, parameters, and the frames of the weights socket. */
#include <string.h>

/* For a hash state on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "common/check.h"
#include "proto/wire_internal.h"

enum {
    POLICY_OVERHEAD_BYTES = 1024, /* of a frame or a decoded message, beside the parameters */
    SESSION_TOPIC_BYTES = 1 + sizeof(Session),
};

bool wire_carries(const Mlp *mlp)
{
    return mlp_num_params(mlp) <= (WIRE_POLICY_BYTES_MAX - POLICY_OVERHEAD_BYTES) / sizeof(float);
}

void wire_encode_policy(const Mlp *mlp, const float *params, WireBody *body,
                        ProtobufCBinaryData *layer_sizes, ProtobufCBinaryData *parameters)
{
    CHECK(mlp->num_layers >= 1 && mlp->num_layers <= MLP_LAYERS_MAX && wire_carries(mlp));
    size_t num_sizes = (size_t)mlp->num_layers + 1;
    for (size_t i = 0; i < num_sizes; i++)
        body->layer_size[i] = (uint32_t)mlp->size[i];
    layer_sizes->data = (uint8_t *)body->layer_size;
    layer_sizes->len = num_sizes * sizeof(uint32_t);
    parameters->data = (uint8_t *)(uintptr_t)params; /* protobuf-c knows no const; it only reads */
    parameters->len = mlp_num_params(mlp) * sizeof(float);
}

static bool all_finite(const float *x, size_t n)
{
    /* The exponent of infinities and NaNs is all ones: one pass that vectorises. */
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        found |= (bits & 0x7f800000U) == 0x7f800000U;
    }
    return found == 0;
}

static int policy_shape(const ProtobufCBinaryData *layer_sizes, Mlp *mlp, Err *err)
{
    int size[MLP_LAYERS_MAX + 1];
    size_t num_sizes = layer_sizes->len / sizeof(uint32_t);
    if (layer_sizes->len % sizeof(uint32_t) != 0 || num_sizes < 2 || num_sizes > MLP_LAYERS_MAX + 1)
        return err_set(err, ERR_FORMAT, "a policy's layer_sizes have %zu bytes", layer_sizes->len);
    for (size_t i = 0; i < num_sizes; i++) {
        uint32_t value;
        memcpy(&value, layer_sizes->data + i * sizeof value, sizeof value);
        if (value < 1 || value > MLP_WIDTH_MAX)
            return err_set(err, ERR_FORMAT, "a policy with a layer of %u units; the limit is %d",
                           value, MLP_WIDTH_MAX);
        size[i] = (int)value;
    }
    int num_hidden = (int)num_sizes - 2;
    if (mlp_shape(mlp, size[0], size + 1, num_hidden, size[num_hidden + 1], true, err) != ERR_OK)
        return ERR_FORMAT;
    return ERR_OK;
}

int wire_decode_policy(const ProtobufCBinaryData *layer_sizes,
                       const ProtobufCBinaryData *parameters, Mlp *mlp, const float **params,
                       Err *err)
{
    int rc = policy_shape(layer_sizes, mlp, err);
    if (rc != ERR_OK)
        return rc;
    size_t num_params = mlp_num_params(mlp);
    if (parameters->len != num_params * sizeof(float))
        return err_set(err, ERR_FORMAT, "a policy of %zu parameters has %zu bytes of them",
                       num_params, parameters->len);
    *params = (const void *)parameters->data;
    if (!all_finite(*params, num_params))
        return err_set(err, ERR_DIVERGED, "a policy with a parameter that is not finite");
    return ERR_OK;
}

static uint64_t checksum(Version version, const ProtobufCBinaryData *layer_sizes,
                         const ProtobufCBinaryData *parameters)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, &version.epoch, sizeof version.epoch);
    XXH3_64bits_update(&state, &version.update, sizeof version.update);
    XXH3_64bits_update(&state, layer_sizes->data, layer_sizes->len);
    XXH3_64bits_update(&state, parameters->data, parameters->len);
    uint64_t hash = XXH3_64bits_digest(&state);
    return hash != 0 ? hash : 1; /* protobuf does not send a 0, and the frame's size would differ */
}

static void encode_weights(const Weights *weights, WireBody *body)
{
    Polyak__Weights *out = &body->weights;
    polyak__weights__init(out);
    out->version = wire_encode_version(weights->version, body);
    wire_encode_policy(&weights->mlp, weights->params, body, &out->layer_sizes, &out->parameters);
    out->checksum = 1; /* any: its size is fixed */
}

size_t wire_weights_size(const Weights *weights, size_t topic_bytes)
{
    WireBody body;
    encode_weights(weights, &body);
    return topic_bytes + protobuf_c_message_get_packed_size(&body.base);
}

void wire_weights_pack(const Weights *weights, const uint8_t *topic, size_t topic_bytes,
                       uint8_t *frame)
{
    CHECK((topic_bytes == 1 && topic[0] == 'W') ||
          (topic_bytes == SESSION_TOPIC_BYTES && topic[0] == 'J'));
    WireBody body;
    encode_weights(weights, &body);
    body.weights.checksum =
        checksum(weights->version, &body.weights.layer_sizes, &body.weights.parameters);
    memcpy(frame, topic, topic_bytes);
    protobuf_c_message_pack(&body.base, frame + topic_bytes);
}

int wire_weights_unpack(const uint8_t *frame, size_t frame_bytes, WireArena *arena,
                        Weights *weights, Err *err)
{
    size_t topic_bytes = 0;
    if (frame_bytes > 0 && frame[0] == 'W')
        topic_bytes = 1;
    else if (frame_bytes > 0 && frame[0] == 'J')
        topic_bytes = SESSION_TOPIC_BYTES;
    if (topic_bytes == 0 || frame_bytes < topic_bytes)
        return err_set(err, ERR_FORMAT, "a weights frame of %zu bytes without a topic",
                       frame_bytes);
    ProtobufCMessage *body;
    int rc = wire_arena_parse(arena, &polyak__weights__descriptor, "a weights frame",
                              frame + topic_bytes, frame_bytes - topic_bytes, &body, err);
    if (rc != ERR_OK)
        return rc;
    const Polyak__Weights *in = (const Polyak__Weights *)body;
    *weights = (Weights){.version = wire_decode_version(in->version)};
    if (in->checksum != checksum(weights->version, &in->layer_sizes, &in->parameters))
        return err_set(err, ERR_CHECKSUM, "a weights frame whose checksum does not match");
    return wire_decode_policy(&in->layer_sizes, &in->parameters, &weights->mlp, &weights->params,
                              err);
}
