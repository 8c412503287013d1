/* One pass over the bytes of a message before protobuf-c sees them.
 *
 * protobuf-c takes some 60 bytes and as many nanoseconds for a field of two bytes, also for one
 * that it does not know. Sound messages have few fields, so counting them first bounds both. What
 * is unsound in another way is left to protobuf-c and the decoders. */
#include "common/run_status.h"
#include "proto/wire_internal.h"

enum {
    FIELDS_MAX = 64, /* of a message, repeated ones and what a later version may add included */
    INSIDE_FIELDS_MAX = 24, /* of a message inside another one; an ActorStatus has 24 */
    VARINT_BYTES_MAX = 10,
};

typedef enum WireType {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_LENGTH = 2,
    WIRE_FIXED32 = 5
} WireType;

typedef struct Cursor {
    const uint8_t *next;
    const uint8_t *end;
} Cursor;

/* False at the end of the bytes, or of what a number may have. */
static bool take_varint(Cursor *cursor, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && cursor->next < cursor->end; i++) {
        uint8_t byte = *cursor->next++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Passes over a field's value. Of one with a length, *body is what is in it. */
static bool take_value(Cursor *cursor, unsigned wire_type, Cursor *body)
{
    uint64_t length;
    switch (wire_type) {
    case WIRE_VARINT:
        return take_varint(cursor, &length);
    case WIRE_FIXED64:
        length = 8;
        break;
    case WIRE_FIXED32:
        length = 4;
        break;
    case WIRE_LENGTH:
        if (!take_varint(cursor, &length))
            return false;
        break;
    default: /* groups, which proto3 does not have, and what nobody knows */
        return false;
    }
    if (length > (size_t)(cursor->end - cursor->next))
        return false;
    *body = (Cursor){cursor->next, cursor->next + length};
    cursor->next += length;
    return true;
}

/* The message that is looked at, and what was counted in it. */
typedef struct Scan {
    const char *what;
    size_t num_bytes;
    size_t num_elements;
    Err *err;
} Scan;

static int too_much(const Scan *scan, int limit, const char *things)
{
    return err_set(scan->err, ERR_FORMAT, "%s of %zu bytes has more than %d %s", scan->what,
                   scan->num_bytes, limit, things);
}

/* Takes the next field. *message is its descriptor when it is a message, with *body what is in it;
 * else NULL. */
static int take_field(const Scan *scan, const ProtobufCMessageDescriptor *descriptor,
                      Cursor *cursor, const ProtobufCFieldDescriptor **message, Cursor *body)
{
    uint64_t tag;
    *message = NULL;
    *body = (Cursor){NULL, NULL};
    if (!take_varint(cursor, &tag) || tag > UINT32_MAX || !take_value(cursor, tag & 7, body))
        return err_set(scan->err, ERR_FORMAT, "%s of %zu bytes is malformed", scan->what,
                       scan->num_bytes);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && body->next)
        *message = field;
    return ERR_OK;
}

/* A message inside another one has none in it: none of ours does. */
static int scan_inside(const Scan *scan, const ProtobufCMessageDescriptor *descriptor,
                       Cursor cursor)
{
    for (int num_fields = 1; cursor.next < cursor.end; num_fields++) {
        const ProtobufCFieldDescriptor *message;
        Cursor body;
        int rc = take_field(scan, descriptor, &cursor, &message, &body);
        if (rc != ERR_OK)
            return rc;
        if (message)
            return too_much(scan, 2, "messages within each other");
        if (num_fields > INSIDE_FIELDS_MAX)
            return too_much(scan, INSIDE_FIELDS_MAX, "fields in a message inside it");
    }
    return ERR_OK;
}

static int scan_message(Scan *scan, const ProtobufCMessageDescriptor *descriptor, Cursor cursor)
{
    int num_fields = 0;
    while (cursor.next < cursor.end) {
        const ProtobufCFieldDescriptor *message;
        Cursor body;
        int rc = take_field(scan, descriptor, &cursor, &message, &body);
        if (rc != ERR_OK)
            return rc;
        if (message && message->label == PROTOBUF_C_LABEL_REPEATED) {
            if (++scan->num_elements > STATUS_ACTORS_MAX)
                return too_much(scan, STATUS_ACTORS_MAX, message->name);
        } else if (++num_fields > FIELDS_MAX) {
            return too_much(scan, FIELDS_MAX, "fields");
        }
        rc = message ? scan_inside(scan, message->descriptor, body) : ERR_OK;
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

int wire_scan(const ProtobufCMessageDescriptor *descriptor, const char *what, const uint8_t *bytes,
              size_t num_bytes, size_t *num_elements, Err *err)
{
    Scan scan = {what, num_bytes, 0, err};
    int rc = scan_message(&scan, descriptor, (Cursor){bytes, bytes + num_bytes});
    *num_elements = scan.num_elements;
    return rc;
}

bool wire_scan_is_whole(const uint8_t *bytes, size_t num_bytes)
{
    Cursor cursor = {bytes, bytes + num_bytes};
    Cursor body;
    uint64_t tag;
    while (cursor.next < cursor.end) {
        if (!take_varint(&cursor, &tag) || tag > UINT32_MAX || !take_value(&cursor, tag & 7, &body))
            return false;
    }
    return true;
}
