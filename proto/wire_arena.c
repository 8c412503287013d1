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

enum { ARENA_ALIGNMENT = 16 };

struct WireArena {
    ProtobufCAllocator allocator;
    uint8_t *block;
    size_t budget_bytes;
    size_t used_bytes;
    bool used_up; /* an allocation failed since the last reset */
};

void *wire_arena_alloc(WireArena *arena, size_t num_bytes)
{
    /* The end is rounded up, so the next one is aligned; the budget counts the rounding. */
    size_t left = arena->budget_bytes - arena->used_bytes;
    size_t rounded = (num_bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (num_bytes > left || rounded > left) {
        arena->used_up = true;
        return NULL;
    }
    void *memory = arena->block + arena->used_bytes;
    arena->used_bytes += rounded;
    ASAN_UNPOISON_MEMORY_REGION(memory, num_bytes);
    return memory;
}

static void *allocator_alloc(void *arena, size_t num_bytes)
{
    return wire_arena_alloc(arena, num_bytes);
}

static void allocator_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
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

int wire_arena_parse(WireArena *arena, const ProtobufCMessageDescriptor *descriptor,
                     const char *what, const uint8_t *bytes, size_t num_bytes,
                     ProtobufCMessage **body, Err *err)
{
    CHECK(arena);
    ASAN_POISON_MEMORY_REGION(arena->block, arena->used_bytes);
    arena->used_bytes = 0;
    arena->used_up = false;
    *body = protobuf_c_message_unpack(descriptor, &arena->allocator, num_bytes, bytes);
    if (*body)
        return ERR_OK;
    if (arena->used_up)
        return err_set(err, ERR_NOMEM, "%s of %zu bytes needs more than the %zu bytes it may use",
                       what, num_bytes, arena->budget_bytes);
    return err_set(err, ERR_FORMAT, "%s of %zu bytes is malformed", what, num_bytes);
}
