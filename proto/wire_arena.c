#include <stdlib.h>

#include "common/check.h"
#include "proto/wire_internal.h"

/* Under AddressSanitizer what was not handed out is poisoned, so that reading past a column is
 * seen although all of them lie in one block. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIRE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WIRE_ASAN 1
#endif
#ifdef WIRE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

enum { ARENA_ALIGNMENT = 16, LARGE_BYTES = 1024, LARGE_MAX = 16 };

/* An allocation that is large enough to be used again once it is freed: protobuf-c's list of a
 * message's fields is as large for each of a thousand messages inside another one. */
typedef struct Large {
    void *memory;
    size_t num_bytes;
    bool is_free;
} Large;

struct WireArena {
    ProtobufCAllocator allocator;
    uint8_t *block;
    size_t budget_bytes;
    size_t limit_bytes; /* for the message at hand: at most budget_bytes */
    size_t used_bytes;
    bool used_up; /* an allocation failed since the last reset */
    int num_large;
    Large large[LARGE_MAX]; /* the first ones of the message at hand */
};

static void *reuse(WireArena *arena, size_t num_bytes)
{
    for (int i = 0; i < arena->num_large; i++) {
        Large *large = &arena->large[i];
        if (!large->is_free || large->num_bytes != num_bytes)
            continue;
        large->is_free = false;
        ASAN_UNPOISON_MEMORY_REGION(large->memory, num_bytes);
        return large->memory;
    }
    return NULL;
}

void *wire_arena_alloc(WireArena *arena, size_t num_bytes)
{
    /* The end is rounded up, so the next one is aligned; the limit counts the rounding. */
    void *memory = num_bytes >= LARGE_BYTES ? reuse(arena, num_bytes) : NULL;
    if (memory)
        return memory;
    size_t left = arena->limit_bytes - arena->used_bytes;
    size_t rounded = (num_bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (num_bytes > left || rounded > left) {
        arena->used_up = true;
        return NULL;
    }
    memory = arena->block + arena->used_bytes;
    arena->used_bytes += rounded;
    if (num_bytes >= LARGE_BYTES && arena->num_large < LARGE_MAX)
        arena->large[arena->num_large++] = (Large){memory, num_bytes, false};
    ASAN_UNPOISON_MEMORY_REGION(memory, num_bytes);
    return memory;
}

static void *allocator_alloc(void *data, size_t num_bytes)
{
    return wire_arena_alloc(data, num_bytes);
}

/* The rest stays until the next message. */
static void allocator_free(void *data, void *memory)
{
    WireArena *arena = data;
    for (int i = 0; i < arena->num_large; i++) {
        if (arena->large[i].memory != memory)
            continue;
        arena->large[i].is_free = true;
        ASAN_POISON_MEMORY_REGION(memory, arena->large[i].num_bytes);
    }
}

WireArena *wire_arena_new(size_t budget_bytes)
{
    WireArena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->budget_bytes = budget_bytes & ~(size_t)(ARENA_ALIGNMENT - 1);
    /* malloc aligns to 16 bytes. Not calloc: untouched pages are never made. */
    arena->block = malloc(arena->budget_bytes + ARENA_ALIGNMENT);
    if (!arena->block) {
        free(arena);
        return NULL;
    }
    ASAN_POISON_MEMORY_REGION(arena->block, arena->budget_bytes);
    arena->allocator.alloc = allocator_alloc;
    arena->allocator.free = allocator_free;
    arena->allocator.allocator_data = arena;
    return arena;
}

void wire_arena_destroy(WireArena **arena)
{
    if (!*arena)
        return;
    ASAN_UNPOISON_MEMORY_REGION((*arena)->block, (*arena)->budget_bytes);
    free((*arena)->block);
    free(*arena);
    *arena = NULL;
}

size_t wire_arena_used_bytes(const WireArena *arena)
{
    return arena->used_bytes;
}

/* What a message may take, so that a large budget is there for large messages only. */
static size_t limit_of(const WireArena *arena, size_t num_bytes, size_t num_elements)
{
    size_t structs = WIRE_STRUCT_BYTES + num_elements * WIRE_ACTOR_BYTES;
    if (num_bytes > (SIZE_MAX - structs) / WIRE_BYTES_PER_BYTE)
        return arena->budget_bytes;
    size_t limit = num_bytes * WIRE_BYTES_PER_BYTE + structs;
    return limit < arena->budget_bytes ? limit : arena->budget_bytes;
}

int wire_arena_parse(WireArena *arena, const ProtobufCMessageDescriptor *descriptor,
                     const char *what, const uint8_t *bytes, size_t num_bytes,
                     ProtobufCMessage **body, Err *err)
{
    CHECK(arena);
    ASAN_POISON_MEMORY_REGION(arena->block, arena->used_bytes);
    arena->used_bytes = 0;
    arena->used_up = false;
    arena->num_large = 0;
    size_t num_elements;
    int rc = wire_scan(descriptor, what, bytes, num_bytes, &num_elements, err);
    if (rc != ERR_OK)
        return rc;
    arena->limit_bytes = limit_of(arena, num_bytes, num_elements);
    *body = protobuf_c_message_unpack(descriptor, &arena->allocator, num_bytes, bytes);
    if (*body)
        return ERR_OK;
    if (arena->used_up)
        return err_set(err, ERR_NOMEM, "%s of %zu bytes needs more than the %zu bytes it may use",
                       what, num_bytes, arena->limit_bytes);
    return err_set(err, ERR_FORMAT, "%s of %zu bytes is malformed", what, num_bytes);
}
