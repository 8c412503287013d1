/* What the files of the wire share; nobody else includes this.
 *
 * On the way out a struct is dressed as its protobuf-c message (WireBody), whose texts and columns
 * point at the struct's own: the only copy is the one into the frame. On the way in protobuf-c
 * allocates from the arena, and each *_decode checks one message and fills the plain struct. */
#ifndef POLYAK_PROTO_WIRE_INTERNAL_H
#define POLYAK_PROTO_WIRE_INTERNAL_H

#include "polyak.pb-c.h"
#include "proto/wire.h"

/* Columns are the struct's memory as it lies there. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");
_Static_assert(sizeof(float) == 4, "a column is float32");

/* A protobuf-c message and what it points at. */
typedef struct WireBody {
    union {
        ProtobufCMessage base;
        Polyak__Hello hello;
        Polyak__Welcome welcome;
        Polyak__Reject reject;
        Polyak__Segment segment;
        Polyak__Ack ack;
        Polyak__Heartbeat heartbeat;
        Polyak__Bye bye;
        Polyak__StatusRequest status_request;
        Polyak__Status status;
        Polyak__EvalRequest eval_request;
        Polyak__EvalResult eval_result;
        Polyak__Weights weights;
        Polyak__Set set;
        Polyak__Drain drain;
        Polyak__Outcome outcome;
        Polyak__Gone gone;
    };
    Polyak__Version version;
    Polyak__Spec spec;
    Polyak__ActorStatus actor;
    Polyak__ActorStatus *actors[1];
    char *labels[WIRE_LABELS_MAX];
    char *alarms[STATUS_ALARMS_MAX];
    uint32_t layer_size[MLP_LAYERS_MAX + 1];
} WireBody;

/* --- wire_encode.c: struct to message ----------------------------------------------------------
 */

/* Dresses all of a message but the actors of a Status. */
void wire_encode(const Message *message, const WireLimits *dims, WireBody *body);

/* A Status that holds this actor alone. Messages merge when their bytes are joined, so a Status is
 * its head and then one of these for each actor: no array has to be allocated. */
void wire_encode_actor(const ActorStatus *actor, WireBody *body);

Polyak__Version *wire_encode_version(Version version, WireBody *body);

/* --- wire_decode.c: message to struct ----------------------------------------------------------
 */

int wire_decode(MessageKind kind, const ProtobufCMessage *body, const WireLimits *limits,
                WireArena *arena, Message *message, Err *err);

Version wire_decode_version(const Polyak__Version *version);

/* --- wire_decode_status.c ----------------------------------------------------------------------
 */

int wire_decode_status(const Polyak__Status *in, WireArena *arena, RunStatus *status, Err *err);

/* In what is only shown NaN is the one way to say "not known". */
double wire_known(double value);

/* --- wire_policy.c: shape and parameters of a policy -------------------------------------------
 */

void wire_encode_policy(const Mlp *mlp, const float *params, WireBody *body,
                        ProtobufCBinaryData *layer_sizes, ProtobufCBinaryData *parameters);
int wire_decode_policy(const ProtobufCBinaryData *layer_sizes,
                       const ProtobufCBinaryData *parameters, Mlp *mlp, const float **params,
                       Err *err);

/* --- wire_scan.c -------------------------------------------------------------------------------
 */

/* Refuses a message that would be dear to unpack: ERR_FORMAT for more than 64 fields (24 in a
 * message inside it), more than STATUS_ACTORS_MAX elements of a repeated message, groups, and bytes
 * that are no fields. Time and stack are bounded; nothing is allocated. */
int wire_scan(const ProtobufCMessageDescriptor *descriptor, const char *what, const uint8_t *bytes,
              size_t num_bytes, size_t *num_elements, Err *err);

/* Whether the bytes are whole fields of any message: no field ends beyond them. */
bool wire_scan_is_whole(const uint8_t *bytes, size_t num_bytes);

/* --- wire_arena.c ------------------------------------------------------------------------------
 */

/* Forgets the last decode and reads a protobuf message into the arena, which gives it and its
 * decoding the few bytes per byte that wire.h names at most. ERR_FORMAT or ERR_NOMEM; `what` names
 * it. */
int wire_arena_parse(WireArena *arena, const ProtobufCMessageDescriptor *descriptor,
                     const char *what, const uint8_t *bytes, size_t num_bytes,
                     ProtobufCMessage **body, Err *err);

/* 16-byte aligned; NULL when the budget is used up. */
void *wire_arena_alloc(WireArena *arena, size_t num_bytes);

/* --- wire_text.c -------------------------------------------------------------------------------
 */

/* Copies a text for people into out, every byte that a terminal should not get replaced by '?'.
 * ERR_FORMAT when it is longer than out_bytes - 1; `what` names it. */
int wire_text_copy(char *out, size_t out_bytes, const char *text, const char *what, Err *err);

#endif
