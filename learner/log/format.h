/* The records of the replay log: structs to payloads and back (docs/log.md has the bytes). Pure
 * functions; any thread.
 *
 * Decoders are total: any bytes give a record that is sound, or ERR_FORMAT, ERR_SPEC, ERR_VERSION
 * or ERR_DIVERGED with the reason. Nothing is allocated, and no number is used before it is
 * checked. All payloads are multiples of 8 bytes long. */
#ifndef POLYAK_LEARNER_LOG_FORMAT_H
#define POLYAK_LEARNER_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/segment.h"
#include "proto/wire.h"

enum {
    LOG_FORMAT_VERSION = 1,
    LOG_TABLE_SESSIONS_MAX = 512, /* sessions of one TABLE record */
    LOG_DIM_MAX = 1 << 20,        /* of obs_dim and act_dim */
};

typedef enum LogKind {
    LOG_KIND_HEAD = 1,
    LOG_KIND_TABLE = 2,
    LOG_KIND_SESSION = 3,
    LOG_KIND_SEGMENT = 4,
    LOG_KIND_GAP = 5,
    LOG_KIND_ORDER_HEAD = 16, /* order_format.h */
    LOG_KIND_BLOCK = 17,
    LOG_KIND_EVENT = 18,
} LogKind;

typedef struct RunId {
    uint8_t bytes[16];
} RunId;

typedef struct LogDims {
    int obs_dim;
    int act_dim;
    int segment_steps; /* the most steps of a segment */
} LogDims;

/* The first record of a file. */
typedef struct FileHead {
    RunId run_id;
    uint32_t epoch; /* of the learner that wrote the file */
    LogDims dims;
    uint64_t base_position; /* of the first segment or gap that the file may hold */
    uint64_t base_row;      /* its replay row */
    uint64_t env_steps;     /* the run's, before it */
    uint64_t episodes;      /* finished ones, before it */
    uint32_t num_sessions;  /* of the table that follows */
} FileHead;

/* What is known of an actor's session. */
typedef struct SessionRecord {
    Session id;
    uint64_t sequence;  /* the watermark: all up to here are in the log, or went on unlogged */
    uint64_t env_steps; /* of the session, absolute */
    uint32_t actor_index;
    uint32_t incarnation;
    uint32_t num_envs;
    uint32_t idle_s;              /* since the last contact, when it was written */
    char key[WIRE_NAME_MAX + 1];  /* the key's name; empty without CURVE */
    char name[WIRE_NAME_MAX + 1]; /* the actor's */
} SessionRecord;

/* A segment with its place in the run. */
typedef struct SegmentRecord {
    uint64_t position;  /* number of the segment in the run, from 1 */
    uint64_t row;       /* replay row of its first step: num_steps + 1 of all before it */
    uint64_t env_steps; /* the run's, after it */
    Session session;
    uint64_t session_steps; /* the session's, after it */
    Segment segment;        /* a view */
} SegmentRecord;

/* Segments that went to the replay without being logged. */
typedef struct GapRecord {
    uint64_t first_position;
    uint64_t last_position;
    uint64_t row;       /* of its first step */
    uint64_t rows;      /* that it covers */
    uint64_t env_steps; /* the run's, after it */
    uint64_t steps;     /* that it covers */
} GapRecord;

/* Bytes that hold any payload of a log with these dimensions. */
size_t log_payload_bytes_max(const LogDims *dims);

/* Bytes of a payload. */
size_t segment_record_bytes(const SegmentRecord *record, const LogDims *dims);
size_t session_record_bytes(const SessionRecord *record);
size_t table_record_bytes(const SessionRecord *sessions, size_t num_sessions);
enum { FILE_HEAD_BYTES = 72, GAP_RECORD_BYTES = 48, SESSION_RECORD_BYTES_MAX = 176 };

/* Each writes exactly that many bytes. */
void file_head_encode(const FileHead *head, uint8_t *payload);
void table_record_encode(const SessionRecord *sessions, size_t num_sessions, uint8_t *payload);
void session_record_encode(const SessionRecord *record, uint8_t *payload);
void segment_record_encode(const SegmentRecord *record, const LogDims *dims, uint8_t *payload);
void gap_record_encode(const GapRecord *record, uint8_t *payload);

/* ERR_VERSION names both versions. */
int file_head_decode(const uint8_t *payload, size_t payload_bytes, FileHead *head, Err *err);
/* At most LOG_TABLE_SESSIONS_MAX sessions. */
int table_record_decode(const uint8_t *payload, size_t payload_bytes, SessionRecord *sessions,
                        size_t *num_sessions, Err *err);
int session_record_decode(const uint8_t *payload, size_t payload_bytes, SessionRecord *record,
                          Err *err);
/* The columns point into the payload, which must be aligned to 8 bytes (and is changed where the
 * machine's byte order is not little-endian). */
int segment_record_decode(uint8_t *payload, size_t payload_bytes, const LogDims *dims,
                          SegmentRecord *record, Err *err);
/* Of a payload that this process encoded: all fields but the columns; no checks. */
void segment_record_peek(const uint8_t *payload, SegmentRecord *record);
int gap_record_decode(const uint8_t *payload, size_t payload_bytes, GapRecord *record, Err *err);

/* Replay rows of a segment. */
static inline uint64_t segment_rows(const Segment *segment)
{
    return (uint64_t)segment->num_steps + 1;
}

#endif
