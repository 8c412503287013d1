/* Frames of the uplink: one byte of kind, then the message. */
#include "proto/wire.h"

#include "common/check.h"
#include "proto/wire_internal.h"

/* The structs' numbers are the protocol's. */
#define SAME(ours, protocols) _Static_assert((int)(ours) == (int)(protocols), #ours)
SAME(MESSAGE_HELLO, POLYAK__MESSAGE_KIND__KIND_HELLO);
SAME(MESSAGE_EVAL_RESULT, POLYAK__MESSAGE_KIND__KIND_EVAL_RESULT);
SAME(MESSAGE_OUTCOME, POLYAK__MESSAGE_KIND__KIND_OUTCOME);
SAME(MESSAGE_GONE, POLYAK__MESSAGE_KIND__KIND_GONE);
SAME(ROLE_ACTOR, POLYAK__ROLE__ROLE_ACTOR);
SAME(ROLE_RELAY, POLYAK__ROLE__ROLE_RELAY);
SAME(REJECT_VERSION, POLYAK__REJECT_REASON__REJECT_VERSION);
SAME(REJECT_LOADING, POLYAK__REJECT_REASON__REJECT_LOADING);
SAME(BYE_FINISHED, POLYAK__BYE_REASON__BYE_FINISHED);
SAME(BYE_RESTARTING, POLYAK__BYE_REASON__BYE_RESTARTING);

typedef struct Kind {
    const char *name;
    const ProtobufCMessageDescriptor *descriptor;
} Kind;

static const Kind kinds[] = {
    [MESSAGE_HELLO] = {"hello", &polyak__hello__descriptor},
    [MESSAGE_WELCOME] = {"welcome", &polyak__welcome__descriptor},
    [MESSAGE_REJECT] = {"reject", &polyak__reject__descriptor},
    [MESSAGE_SEGMENT] = {"segment", &polyak__segment__descriptor},
    [MESSAGE_ACK] = {"ack", &polyak__ack__descriptor},
    [MESSAGE_HEARTBEAT] = {"heartbeat", &polyak__heartbeat__descriptor},
    [MESSAGE_BYE] = {"bye", &polyak__bye__descriptor},
    [MESSAGE_STATUS_REQUEST] = {"status request", &polyak__status_request__descriptor},
    [MESSAGE_STATUS] = {"status", &polyak__status__descriptor},
    [MESSAGE_EVAL_REQUEST] = {"evaluation request", &polyak__eval_request__descriptor},
    [MESSAGE_EVAL_RESULT] = {"evaluation result", &polyak__eval_result__descriptor},
    [MESSAGE_SET] = {"set", &polyak__set__descriptor},
    [MESSAGE_DRAIN] = {"drain", &polyak__drain__descriptor},
    [MESSAGE_OUTCOME] = {"outcome", &polyak__outcome__descriptor},
    [MESSAGE_GONE] = {"gone", &polyak__gone__descriptor},
};
enum { NUM_KINDS = sizeof kinds / sizeof kinds[0] };

static const Kind *find_kind(unsigned kind)
{
    return kind < NUM_KINDS && kinds[kind].descriptor ? &kinds[kind] : NULL;
}

size_t wire_segment_bytes_max(int obs_dim, int act_dim, int segment_steps)
{
    /* The columns, and room for the rest of any message and the structs that it is decoded into. */
    return segment_block_bytes(obs_dim, act_dim, segment_steps) + WIRE_SMALL_BYTES_MAX;
}

size_t wire_size(const Message *message, const WireLimits *dims)
{
    WireBody body;
    wire_encode(message, dims, &body);
    size_t bytes = 1 + protobuf_c_message_get_packed_size(&body.base);
    if (message->kind == MESSAGE_STATUS) {
        CHECK(message->status.num_actors <= STATUS_ACTORS_MAX);
        for (uint32_t i = 0; i < message->status.num_actors; i++) {
            wire_encode_actor(&message->status.actors[i], &body);
            bytes += protobuf_c_message_get_packed_size(&body.base);
        }
    }
    return bytes;
}

void wire_pack(const Message *message, const WireLimits *dims, uint8_t *frame)
{
    WireBody body;
    wire_encode(message, dims, &body);
    *frame++ = (uint8_t)message->kind;
    frame += protobuf_c_message_pack(&body.base, frame);
    if (message->kind == MESSAGE_STATUS) {
        for (uint32_t i = 0; i < message->status.num_actors; i++) {
            wire_encode_actor(&message->status.actors[i], &body);
            frame += protobuf_c_message_pack(&body.base, frame);
        }
    }
}

int wire_unpack(const uint8_t *frame, size_t frame_bytes, const WireLimits *limits,
                WireArena *arena, Message *message, Err *err)
{
    if (frame_bytes == 0)
        return err_set(err, ERR_FORMAT, "an empty frame");
    const Kind *kind = find_kind(frame[0]);
    if (!kind)
        return err_set(err, ERR_FORMAT, "a frame of the unknown kind %u", frame[0]);
    ProtobufCMessage *body;
    int rc = wire_arena_parse(arena, kind->descriptor, kind->name, frame + 1, frame_bytes - 1,
                              &body, err);
    if (rc != ERR_OK)
        return rc;
    return wire_decode((MessageKind)frame[0], body, limits, arena, message, err);
}

const char *message_kind_name(MessageKind kind)
{
    const Kind *known = find_kind((unsigned)kind);
    return known ? known->name : "unknown";
}

const char *role_name(Role role)
{
    switch (role) {
    case ROLE_ACTOR:
        return "actor";
    case ROLE_EVALUATOR:
        return "evaluator";
    case ROLE_OBSERVER:
        return "observer";
    case ROLE_OPERATOR:
        return "operator";
    case ROLE_RELAY:
        return "relay";
    }
    return "unknown";
}

bool role_has_spec(Role role)
{
    return role == ROLE_ACTOR || role == ROLE_EVALUATOR;
}

const char *reject_reason_name(RejectReason reason)
{
    switch (reason) {
    case REJECT_VERSION:
        return "version";
    case REJECT_SPEC:
        return "spec";
    case REJECT_HELLO_FIRST:
        return "hello_first";
    case REJECT_SESSION_EXPIRED:
        return "session_expired";
    case REJECT_NOT_ALLOWED:
        return "not_allowed";
    case REJECT_FULL:
        return "full";
    case REJECT_OUT_OF_MEMORY:
        return "out_of_memory";
    case REJECT_LOADING:
        return "loading";
    }
    return "unknown";
}
