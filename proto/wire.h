/* The wire: plain structs to bytes and back, validated. These are the only files that touch
 * protobuf-c. No state; any thread, each with its own arena.
 *
 * Decoding allocates from a budgeted arena only, so that hostile bytes cost no more than it holds,
 * and no more than a few times their own number; a pass before it (wire_scan.c) bounds the time.
 * Pointers in a decoded message (columns, parameters, actors) point into the arena, are aligned to
 * 16 bytes, and live until the next decode with it. What is decoded is checked against the limits:
 * dimensions, lengths, enums, finite numbers where they are needed. Texts for people are printable
 * UTF-8: what is not became '?'. */
#ifndef POLYAK_PROTO_WIRE_H
#define POLYAK_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/env_fault.h"
#include "common/err.h"
#include "common/mlp.h"
#include "common/run_status.h"
#include "common/segment.h"
#include "common/session.h"
#include "common/spec.h"
#include "common/version.h"

enum {
    WIRE_PROTOCOL_VERSION = 3,
    WIRE_TEXT_MAX = 200,       /* bytes of any text for people */
    WIRE_NAME_MAX = 63,        /* bytes of a peer's name */
    WIRE_LABELS_MAX = 16,      /* labels of a Hello */
    WIRE_ENDPOINT_MAX = 255,   /* bytes of an endpoint */
    WIRE_TOPIC_MAX = 17,       /* bytes of a weights topic */
    WIRE_ENVS_MAX = 4096,      /* environments of an actor */
    WIRE_EPISODES_MAX = 10000, /* episodes of one evaluation */
};

/* Numbers that the learner goes on counting from end here: sums of them do not overflow. */
#define WIRE_COUNT_MAX (UINT64_C(1) << 53)

/* Bytes that hold any frame, and any decoded one, so both ZMQ_MAXMSGSIZE and an arena's budget. A
 * Segment needs wire_segment_bytes_max(). */
enum {
    WIRE_SMALL_BYTES_MAX = 8 << 10,    /* all but Segment, Status, EvalRequest and Weights */
    WIRE_STATUS_BYTES_MAX = 12 << 20,  /* a Status of STATUS_ACTORS_MAX actors */
    WIRE_POLICY_BYTES_MAX = 256 << 20, /* Weights and EvalRequest; wire_carries() says which fit */
};

typedef enum MessageKind {
    MESSAGE_HELLO = 1,
    MESSAGE_WELCOME = 2,
    MESSAGE_REJECT = 3,
    MESSAGE_SEGMENT = 4,
    MESSAGE_ACK = 5,
    MESSAGE_HEARTBEAT = 6,
    MESSAGE_BYE = 7,
    MESSAGE_STATUS_REQUEST = 8,
    MESSAGE_STATUS = 9,
    MESSAGE_EVAL_REQUEST = 10,
    MESSAGE_EVAL_RESULT = 11,
    MESSAGE_SET = 12,
    MESSAGE_DRAIN = 13,
    MESSAGE_OUTCOME = 14,
    MESSAGE_GONE = 15,
} MessageKind;
enum { MESSAGE_KIND_LAST = MESSAGE_GONE };

typedef enum Role {
    ROLE_ACTOR = 0,
    ROLE_EVALUATOR = 1,
    ROLE_OBSERVER = 2,
    ROLE_OPERATOR = 3,
    ROLE_RELAY = 4,
} Role;

typedef enum RejectReason {
    REJECT_VERSION = 1,
    REJECT_SPEC = 2,
    REJECT_HELLO_FIRST = 3,
    REJECT_SESSION_EXPIRED = 4,
    REJECT_NOT_ALLOWED = 5,
    REJECT_FULL = 6,
    REJECT_OUT_OF_MEMORY = 7,
    REJECT_LOADING = 8,
} RejectReason;

typedef enum ByeReason { BYE_FINISHED = 1, BYE_STOPPING = 2, BYE_RESTARTING = 3 } ByeReason;

/* Field by field as in polyak.proto, which says what each means. */
typedef struct Hello {
    uint32_t protocol_version;
    Role role;
    Session session;
    uint64_t oldest_unacked;
    char name[WIRE_NAME_MAX + 1];
    int num_labels;
    char labels[WIRE_LABELS_MAX][WIRE_NAME_MAX + 1];
    bool has_spec;
    Spec spec;
    uint32_t num_envs;
    uint64_t acked_steps;
    bool has_sent;
    char origin_key[WIRE_NAME_MAX + 1]; /* these three on a channel of a relay only */
    uint32_t origin_roles;
    char via[WIRE_NAME_MAX + 1];
} Hello;

typedef struct Welcome {
    uint32_t protocol_version;
    uint32_t epoch;
    uint32_t actor_index;
    uint32_t incarnation;
    uint32_t weights_port;
    char weights_endpoint[WIRE_ENDPOINT_MAX + 1];
    uint64_t acked_sequence;
    uint64_t send_limit_sequence;
    uint64_t step_limit;
    Version newest;
    uint32_t heartbeat_interval_ms;
    uint64_t seed;
    uint32_t segment_steps;
    uint32_t segment_flush_ms;
    uint32_t noise;
    double sigma;
    double ou_theta;
    double ou_dt;
    uint32_t publish_interval_ms;
    uint32_t policy_age_s_max;
    bool sync;
} Welcome;

typedef struct Reject {
    RejectReason reason;
    char text[WIRE_TEXT_MAX + 1];
} Reject;

typedef struct Ack {
    uint64_t acked_sequence;
    uint64_t send_limit_sequence;
    uint64_t step_limit;
    bool durable;
    char reason[WIRE_TEXT_MAX + 1];
    Version newest;
} Ack;

typedef struct Heartbeat {
    uint64_t env_steps;
    Version version;
    uint64_t dropped_steps;
    char waiting_for[WIRE_TEXT_MAX + 1];
    double steps_per_s;
    uint32_t outbox_segments;
    uint64_t lost_segments;
    uint64_t lost_steps;
    EnvFaults faults;
    char last_fault[WIRE_TEXT_MAX + 1];
    uint32_t sessions;
} Heartbeat;

typedef struct Set {
    char assignment[WIRE_TEXT_MAX + 1];
} Set;

typedef struct Drain {
    char name[WIRE_NAME_MAX + 1];
} Drain;

typedef struct Outcome {
    bool done;
    char text[WIRE_TEXT_MAX + 1];
} Outcome;

typedef struct EvalRequest {
    uint64_t eval_id;
    uint64_t env_steps;
    uint32_t episodes;
    uint64_t seed;
    Version version;
    Mlp mlp;             /* a policy: tanh output */
    const float *params; /* (mlp_num_params) */
} EvalRequest;

typedef struct EvalResult {
    uint64_t eval_id;
    uint32_t episodes;
    double return_mean;
    double return_std;
    double length_mean;
    uint32_t diverged; /* of the episodes: cut short by numbers that diverged */
} EvalResult;

typedef struct Weights {
    Version version;
    Mlp mlp;             /* a policy: tanh output */
    const float *params; /* (mlp_num_params) */
} Weights;

/* One message of the uplink. */
typedef struct Message {
    MessageKind kind;
    union {
        Hello hello;
        Welcome welcome;
        Reject reject;
        Segment segment;
        Ack ack;
        Heartbeat heartbeat;
        ByeReason bye;
        RunStatus status;
        EvalRequest eval_request;
        EvalResult eval_result;
        Set set;
        Drain drain;
        Outcome outcome;
    };
} Message;

/* What the kernel is asked to hold of weights at each end of a connection. Left to itself it takes
 * megabytes for a receiver that is slow: policies that are seconds old. */
enum { WIRE_WEIGHTS_BUFFER_BYTES = 128 << 10 };

/* What a decoder accepts. A segment's columns need the dimensions of the run: a receiver that does
 * not know them yet has obs_dim 0 and takes no segment. */
typedef struct WireLimits {
    int obs_dim;
    int act_dim;
    int segment_steps_max;
} WireLimits;

/* The memory that one decode may use. The system gives it page by page as it is touched, so a large
 * budget that small frames never use costs address space alone. */
typedef struct WireArena WireArena;
WireArena *wire_arena_new(size_t budget_bytes); /* NULL when out of memory */
void wire_arena_destroy(WireArena **arena);

/* What the arena gives to one message, whatever its budget: 8 bytes for each of its own, and some
 * for its struct and what protobuf-c keeps of its fields. A Status has a struct for each actor too,
 * of STATUS_ACTORS_MAX at most. */
enum {
    WIRE_BYTES_PER_BYTE = 8,
    WIRE_STRUCT_BYTES = 8 << 10,
    WIRE_ACTOR_BYTES = sizeof(ActorStatus) + 512,
};

/* Bytes that the last decode with this arena took. */
size_t wire_arena_used_bytes(const WireArena *arena);

/* Upper bound of the bytes of a frame with a segment, for ZMQ_MAXMSGSIZE and arenas. It covers the
 * small messages (WIRE_SMALL_BYTES_MAX) too: all that a learner receives. */
size_t wire_segment_bytes_max(int obs_dim, int act_dim, int segment_steps);

/* The frame's bytes. `dims` gives obs_dim and act_dim for segments, and may be NULL for others. */
size_t wire_size(const Message *message, const WireLimits *dims);

/* Writes exactly wire_size() bytes. */
void wire_pack(const Message *message, const WireLimits *dims, uint8_t *frame);

/* Reads a frame. ERR_FORMAT (malformed or beyond limits), ERR_NOMEM (over the arena's budget),
 * ERR_SPEC (a Hello's spec is unsound, or an actor or evaluator has none) or ERR_DIVERGED (numbers
 * that are not finite), with the reason; *message is then undefined. `limits` may be NULL for a
 * receiver that takes no segments. Of a Hello or Welcome of another protocol version only
 * protocol_version and session are read, the rest is zero: it is there to be refused. */
int wire_unpack(const uint8_t *frame, size_t frame_bytes, const WireLimits *limits,
                WireArena *arena, Message *message, Err *err);

/* Weights frames: topic, then the message. topic_bytes is 1 ("W") or 17 ("J" and a session). */
size_t wire_weights_size(const Weights *weights, size_t topic_bytes);
void wire_weights_pack(const Weights *weights, const uint8_t *topic, size_t topic_bytes,
                       uint8_t *frame);

/* Whether a policy of this shape fits into a frame; the others must not be packed. */
bool wire_carries(const Mlp *mlp);

/* Checks the checksum too (ERR_CHECKSUM); otherwise as wire_unpack. */
int wire_weights_unpack(const uint8_t *frame, size_t frame_bytes, WireArena *arena,
                        Weights *weights, Err *err);

const char *message_kind_name(MessageKind kind);
const char *role_name(Role role);

/* Whether a Hello of this role names the environment: those that step one. */
bool role_has_spec(Role role);
const char *reject_reason_name(RejectReason reason);

#endif
