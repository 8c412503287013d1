#include "learner/log/format.h"

#include <string.h>

#include "common/check.h"
#include "learner/log/bytes.h"

/* Positions, rows and steps stay below this, so that sums of two do not overflow. */
#define NUMBER_MAX (UINT64_MAX >> 2)

enum {
    SEGMENT_HEADER_BYTES = 104,
    SESSION_FIXED_BYTES = 50,
    SESSION_BYTES_MAX = SESSION_FIXED_BYTES + 2 * WIRE_NAME_MAX,
    TABLE_HEADER_BYTES = 4,
};
_Static_assert((int)SESSION_BYTES_MAX <= (int)SESSION_RECORD_BYTES_MAX, "the largest session fits");

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t columns_bytes(const LogDims *dims, int num_steps)
{
    return segment_block_bytes(dims->obs_dim, dims->act_dim, num_steps);
}

size_t log_payload_bytes_max(const LogDims *dims)
{
    size_t table = TABLE_HEADER_BYTES + (size_t)LOG_TABLE_SESSIONS_MAX * SESSION_BYTES_MAX;
    size_t segment = 0;
    if (dims->obs_dim > 0)
        segment = SEGMENT_HEADER_BYTES + columns_bytes(dims, dims->segment_steps);
    return round_up_8(max_size(table, segment));
}

/* --- The head -----------------------------------------------------------------------------------
 */

void file_head_encode(const FileHead *head, uint8_t *payload)
{
    uint8_t *at = put_u32(payload, LOG_FORMAT_VERSION);
    at = put_u32(at, head->epoch);
    at = put_bytes(at, head->run_id.bytes, sizeof head->run_id.bytes);
    at = put_u32(at, (uint32_t)head->dims.obs_dim);
    at = put_u32(at, (uint32_t)head->dims.act_dim);
    at = put_u32(at, (uint32_t)head->dims.segment_steps);
    at = put_u32(at, head->num_sessions);
    at = put_u64(at, head->base_position);
    at = put_u64(at, head->base_row);
    at = put_u64(at, head->env_steps);
    put_u64(at, head->episodes);
}

int file_head_decode(const uint8_t *payload, size_t payload_bytes, FileHead *head, Err *err)
{
    uint32_t version = 0;
    if (payload_bytes >= sizeof version)
        get_u32(payload, &version);
    if (payload_bytes < sizeof version)
        return err_set(err, ERR_FORMAT, "a file's head of %zu bytes", payload_bytes);
    if (version != LOG_FORMAT_VERSION)
        return err_set(err, ERR_VERSION,
                       "the replay log has format version %u, this program reads version %d; go on "
                       "with the program that wrote it",
                       version, LOG_FORMAT_VERSION);
    if (payload_bytes != FILE_HEAD_BYTES)
        return err_set(err, ERR_FORMAT, "a file's head of %zu bytes", payload_bytes);
    uint32_t obs_dim, act_dim, segment_steps;
    const uint8_t *at = get_u32(payload + sizeof version, &head->epoch);
    at = get_bytes(at, head->run_id.bytes, sizeof head->run_id.bytes);
    at = get_u32(at, &obs_dim);
    at = get_u32(at, &act_dim);
    at = get_u32(at, &segment_steps);
    at = get_u32(at, &head->num_sessions);
    at = get_u64(at, &head->base_position);
    at = get_u64(at, &head->base_row);
    at = get_u64(at, &head->env_steps);
    get_u64(at, &head->episodes);
    if (obs_dim < 1 || obs_dim > LOG_DIM_MAX || act_dim < 1 || act_dim > LOG_DIM_MAX ||
        segment_steps < 1 || segment_steps > SEGMENT_STEPS_MAX)
        return err_set(err, ERR_FORMAT, "a file's head with obs_dim %u, act_dim %u, %u steps",
                       obs_dim, act_dim, segment_steps);
    if (head->base_position < 1 || head->base_position > NUMBER_MAX ||
        head->base_row > NUMBER_MAX || head->env_steps > NUMBER_MAX || head->episodes > NUMBER_MAX)
        return err_set(err, ERR_FORMAT, "a file's head with numbers out of range");
    head->dims = (LogDims){(int)obs_dim, (int)act_dim, (int)segment_steps};
    return ERR_OK;
}

/* --- Sessions -----------------------------------------------------------------------------------
 */

static size_t session_bytes(const SessionRecord *record)
{
    return SESSION_FIXED_BYTES + strnlen(record->key, WIRE_NAME_MAX) +
           strnlen(record->name, WIRE_NAME_MAX);
}

static uint8_t *put_session(uint8_t *at, const SessionRecord *record)
{
    uint8_t key_bytes = (uint8_t)strnlen(record->key, WIRE_NAME_MAX);
    uint8_t name_bytes = (uint8_t)strnlen(record->name, WIRE_NAME_MAX);
    at = put_bytes(at, record->id.id, sizeof record->id.id);
    at = put_u64(at, record->sequence);
    at = put_u64(at, record->env_steps);
    at = put_u32(at, record->actor_index);
    at = put_u32(at, record->incarnation);
    at = put_u32(at, record->num_envs);
    at = put_u32(at, record->idle_s);
    *at++ = key_bytes;
    *at++ = name_bytes;
    at = put_bytes(at, record->key, key_bytes);
    return put_bytes(at, record->name, name_bytes);
}

/* NULL when the bytes do not hold one. */
static const uint8_t *get_session(const uint8_t *at, const uint8_t *end, SessionRecord *record)
{
    if (end - at < SESSION_FIXED_BYTES)
        return NULL;
    memset(record, 0, sizeof *record);
    at = get_bytes(at, record->id.id, sizeof record->id.id);
    at = get_u64(at, &record->sequence);
    at = get_u64(at, &record->env_steps);
    at = get_u32(at, &record->actor_index);
    at = get_u32(at, &record->incarnation);
    at = get_u32(at, &record->num_envs);
    at = get_u32(at, &record->idle_s);
    size_t key_bytes = *at++;
    size_t name_bytes = *at++;
    if (key_bytes > WIRE_NAME_MAX || name_bytes > WIRE_NAME_MAX ||
        (size_t)(end - at) < key_bytes + name_bytes || record->sequence > NUMBER_MAX ||
        record->env_steps > NUMBER_MAX)
        return NULL;
    if (memchr(at, '\0', key_bytes + name_bytes))
        return NULL;
    at = get_bytes(at, record->key, key_bytes);
    return get_bytes(at, record->name, name_bytes);
}

/* Whether the rest is what rounding up to 8 bytes leaves: fewer than 8 zeros. */
static bool is_padding(const uint8_t *at, const uint8_t *end)
{
    if (end - at >= 8)
        return false;
    while (at < end) {
        if (*at++ != 0)
            return false;
    }
    return true;
}

size_t session_record_bytes(const SessionRecord *record)
{
    return round_up_8(session_bytes(record));
}

void session_record_encode(const SessionRecord *record, uint8_t *payload)
{
    put_padding(put_session(payload, record), payload + session_record_bytes(record));
}

int session_record_decode(const uint8_t *payload, size_t payload_bytes, SessionRecord *record,
                          Err *err)
{
    const uint8_t *end = payload + payload_bytes;
    const uint8_t *at = get_session(payload, end, record);
    if (!at || !is_padding(at, end))
        return err_set(err, ERR_FORMAT, "a session's record that is malformed");
    return ERR_OK;
}

size_t table_record_bytes(const SessionRecord *sessions, size_t num_sessions)
{
    size_t bytes = TABLE_HEADER_BYTES;
    for (size_t i = 0; i < num_sessions; i++)
        bytes += session_bytes(&sessions[i]);
    return round_up_8(bytes);
}

void table_record_encode(const SessionRecord *sessions, size_t num_sessions, uint8_t *payload)
{
    CHECK(num_sessions <= LOG_TABLE_SESSIONS_MAX);
    uint8_t *at = put_u32(payload, (uint32_t)num_sessions);
    for (size_t i = 0; i < num_sessions; i++)
        at = put_session(at, &sessions[i]);
    put_padding(at, payload + table_record_bytes(sessions, num_sessions));
}

int table_record_decode(const uint8_t *payload, size_t payload_bytes, SessionRecord *sessions,
                        size_t *num_sessions, Err *err)
{
    const uint8_t *end = payload + payload_bytes;
    uint32_t count = 0;
    if (payload_bytes < TABLE_HEADER_BYTES)
        return err_set(err, ERR_FORMAT, "a session table of %zu bytes", payload_bytes);
    const uint8_t *at = get_u32(payload, &count);
    if (count > LOG_TABLE_SESSIONS_MAX)
        return err_set(err, ERR_FORMAT, "a session table of %u sessions in one record", count);
    for (uint32_t i = 0; i < count; i++) {
        at = get_session(at, end, &sessions[i]);
        if (!at)
            return err_set(err, ERR_FORMAT, "a session table that is malformed");
    }
    if (!is_padding(at, end))
        return err_set(err, ERR_FORMAT, "a session table that is malformed");
    *num_sessions = count;
    return ERR_OK;
}

/* --- Segments and gaps ---------------------------------------------------------------------------
 */

/* Floats between memory and little-endian bytes, in place: nothing where they are the same. */
static void swap_floats(uint8_t *bytes, size_t num_bytes)
{
    if (le32toh(1) == 1)
        return;
    for (size_t i = 0; i + 4 <= num_bytes; i += 4) {
        uint32_t x;
        memcpy(&x, bytes + i, sizeof x);
        put_u32(bytes + i, x);
    }
}

size_t segment_record_bytes(const SegmentRecord *record, const LogDims *dims)
{
    return round_up_8(SEGMENT_HEADER_BYTES + columns_bytes(dims, record->segment.num_steps));
}

void segment_record_encode(const SegmentRecord *record, const LogDims *dims, uint8_t *payload)
{
    const Segment *segment = &record->segment;
    uint8_t *at = put_u64(payload, record->position);
    at = put_u64(at, record->row);
    at = put_u64(at, record->env_steps);
    at = put_bytes(at, record->session.id, sizeof record->session.id);
    at = put_u64(at, record->session_steps);
    at = put_u64(at, segment->sequence);
    at = put_u64(at, segment->episode);
    at = put_f64(at, segment->episode_return);
    at = put_u64(at, segment->version.update);
    at = put_u32(at, segment->version.epoch);
    at = put_u32(at, segment->env_index);
    at = put_u32(at, segment->first_step);
    at = put_u32(at, (uint32_t)segment->num_steps);
    at = put_u32(at, (uint32_t)segment->end);
    at = put_u32(at, 0);
    uint8_t *columns = at;
    size_t steps = (size_t)segment->num_steps;
    at = put_bytes(at, segment->obs, sizeof(float) * (steps + 1) * (size_t)dims->obs_dim);
    at = put_bytes(at, segment->action, sizeof(float) * steps * (size_t)dims->act_dim);
    at = put_bytes(at, segment->reward, sizeof(float) * steps);
    swap_floats(columns, (size_t)(at - columns));
    put_padding(at, payload + segment_record_bytes(record, dims));
}

/* The fields before the columns, as they stand there; the last one must be zero. */
static void get_segment_header(const uint8_t *payload, SegmentRecord *record, uint32_t *num_steps,
                               uint32_t *end, uint32_t *zero)
{
    Segment *segment = &record->segment;
    const uint8_t *at = get_u64(payload, &record->position);
    at = get_u64(at, &record->row);
    at = get_u64(at, &record->env_steps);
    at = get_bytes(at, record->session.id, sizeof record->session.id);
    at = get_u64(at, &record->session_steps);
    at = get_u64(at, &segment->sequence);
    at = get_u64(at, &segment->episode);
    at = get_f64(at, &segment->episode_return);
    at = get_u64(at, &segment->version.update);
    at = get_u32(at, &segment->version.epoch);
    at = get_u32(at, &segment->env_index);
    at = get_u32(at, &segment->first_step);
    at = get_u32(at, num_steps);
    at = get_u32(at, end);
    get_u32(at, zero);
}

void segment_record_peek(const uint8_t *payload, SegmentRecord *record)
{
    uint32_t num_steps, end, zero;
    memset(record, 0, sizeof *record);
    get_segment_header(payload, record, &num_steps, &end, &zero);
    record->segment.num_steps = (int)num_steps;
    record->segment.end = (SegmentEnd)end;
}

/* num_steps is in range afterwards. */
static int check_segment_header(const uint8_t *payload, const LogDims *dims, SegmentRecord *record,
                                Err *err)
{
    Segment *segment = &record->segment;
    uint32_t num_steps, end, zero;
    get_segment_header(payload, record, &num_steps, &end, &zero);
    if (record->position < 1 || record->position > NUMBER_MAX || record->row > NUMBER_MAX ||
        record->env_steps > NUMBER_MAX || record->session_steps > NUMBER_MAX ||
        segment->sequence > NUMBER_MAX || zero != 0)
        return err_set(err, ERR_FORMAT, "a segment with numbers out of range");
    if (num_steps < 1 || num_steps > (uint32_t)dims->segment_steps || end > SEGMENT_TRUNCATED)
        return err_set(err, ERR_FORMAT, "a segment of %u steps with the end %u", num_steps, end);
    segment->num_steps = (int)num_steps;
    segment->end = (SegmentEnd)end;
    return ERR_OK;
}

int segment_record_decode(uint8_t *payload, size_t payload_bytes, const LogDims *dims,
                          SegmentRecord *record, Err *err)
{
    CHECK((uintptr_t)payload % 8 == 0);
    if (payload_bytes < SEGMENT_HEADER_BYTES)
        return err_set(err, ERR_FORMAT, "a segment of %zu bytes", payload_bytes);
    int code = check_segment_header(payload, dims, record, err);
    if (code != ERR_OK)
        return code;
    int num_steps = record->segment.num_steps;
    size_t columns = columns_bytes(dims, num_steps);
    if (payload_bytes != round_up_8(SEGMENT_HEADER_BYTES + columns) ||
        !is_padding(payload + SEGMENT_HEADER_BYTES + columns, payload + payload_bytes))
        return err_set(err, ERR_FORMAT, "a segment of %d steps in %zu bytes", num_steps,
                       payload_bytes);
    swap_floats(payload + SEGMENT_HEADER_BYTES, columns);
    segment_bind(&record->segment, payload + SEGMENT_HEADER_BYTES, dims->obs_dim, dims->act_dim,
                 num_steps);
    return segment_check(&record->segment, dims->obs_dim, dims->act_dim, err);
}

void gap_record_encode(const GapRecord *record, uint8_t *payload)
{
    uint8_t *at = put_u64(payload, record->first_position);
    at = put_u64(at, record->last_position);
    at = put_u64(at, record->row);
    at = put_u64(at, record->rows);
    at = put_u64(at, record->env_steps);
    put_u64(at, record->steps);
}

int gap_record_decode(const uint8_t *payload, size_t payload_bytes, GapRecord *record, Err *err)
{
    if (payload_bytes != GAP_RECORD_BYTES)
        return err_set(err, ERR_FORMAT, "a gap's record of %zu bytes", payload_bytes);
    const uint8_t *at = get_u64(payload, &record->first_position);
    at = get_u64(at, &record->last_position);
    at = get_u64(at, &record->row);
    at = get_u64(at, &record->rows);
    at = get_u64(at, &record->env_steps);
    get_u64(at, &record->steps);
    if (record->first_position < 1 || record->last_position < record->first_position ||
        record->last_position > NUMBER_MAX || record->row > NUMBER_MAX ||
        record->rows > NUMBER_MAX || record->env_steps > NUMBER_MAX ||
        record->steps > record->env_steps || record->steps > record->rows)
        return err_set(err, ERR_FORMAT, "a gap's record with numbers out of range");
    return ERR_OK;
}
