/* A run's replay log on a disk in memory, beside the truth of what was put into it: every segment
 * can be made again from its position, so whatever is read back can be compared. For tests only. */
#ifndef POLYAK_TESTS_LEARNER_LOG_LOG_WORLD_H
#define POLYAK_TESTS_LEARNER_LOG_LOG_WORLD_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "learner/log/log_files.h"
#include "learner/log/log_recover.h"
#include "tests/learner/log/memory_disk.h"

enum { WORLD_OBS = 3, WORLD_ACT = 2, WORLD_STEPS = 8, WORLD_SESSIONS = 5, WORLD_FACTS_MAX = 8192 };
#define WORLD_DIRECTORY "run/replay"

/* What is known of one position. */
typedef struct Fact {
    uint64_t row;
    uint64_t env_steps;
    uint64_t sequence;
    uint64_t session_steps;
    uint32_t life; /* start of the learner that made it; its content depends on it */
    bool skipped;
} Fact;

typedef struct LogWorld {
    MemoryDisk *disk;
    const LogDisk *table;
    uint64_t seed;
    LogWriterConfig config;
    LogWriter *writer;
    uint32_t life;
    Fact facts[WORLD_FACTS_MAX + 1]; /* [position] */
    uint64_t num_facts;              /* positions 1 to num_facts are given out */
    uint64_t sequence[WORLD_SESSIONS];
    uint64_t session_steps[WORLD_SESSIONS];
    int64_t now_ms;
    unsigned num_warnings;
    char warning[4500];
} LogWorld;

static inline uint64_t world_seed(void)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

static inline void world_warn(void *user, const char *line)
{
    LogWorld *world = user;
    world->num_warnings++;
    snprintf(world->warning, sizeof world->warning, "%s", line);
}

/* --- Segments
 * --------------------------------------------------------------------------------------- */

static inline uint32_t world_session(uint64_t position)
{
    return (uint32_t)((position * 7) % WORLD_SESSIONS);
}

static inline Session world_session_id(const LogWorld *world, uint32_t session)
{
    Session id = {{0}};
    uint64_t bits = world->seed ^ (session + 1);
    memcpy(id.id, &bits, sizeof bits);
    id.id[15] = (uint8_t)session;
    return id;
}

/* The segment that this life puts at this position; its columns are in a block of the caller. */
static inline void world_segment(const LogWorld *world, uint64_t position, uint32_t life,
                                 float *block, Segment *segment)
{
    Rng rng = rng_stream(world->seed, RNG_TEST, position, life, 0);
    memset(segment, 0, sizeof *segment);
    segment_bind(segment, block, WORLD_OBS, WORLD_ACT, WORLD_STEPS);
    segment->num_steps = 1 + (int)rng_below(&rng, WORLD_STEPS);
    segment->env_index = (uint32_t)rng_below(&rng, 4);
    segment->episode = rng_below(&rng, 1000);
    segment->first_step = (uint32_t)rng_below(&rng, 200);
    segment->end = (SegmentEnd)rng_below(&rng, 3);
    segment->episode_return = rng_normal(&rng) * 100;
    segment->version = (Version){life, rng_below(&rng, 100000)};
    size_t steps = (size_t)segment->num_steps;
    for (size_t i = 0; i < (steps + 1) * WORLD_OBS; i++)
        segment->obs[i] = (float)rng_normal(&rng);
    for (size_t i = 0; i < steps * WORLD_ACT; i++)
        segment->action[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (size_t i = 0; i < steps; i++)
        segment->reward[i] = (float)rng_normal(&rng);
}

enum { WORLD_BLOCK = (WORLD_STEPS + 1) * WORLD_OBS + WORLD_STEPS * (WORLD_ACT + 1) };

/* Whether a segment that was read is the one that was put there. */
static inline bool world_is_true(const LogWorld *world, const SegmentRecord *record)
{
    float block[WORLD_BLOCK];
    Segment expected;
    if (record->position < 1 || record->position > world->num_facts)
        return false;
    const Fact *fact = &world->facts[record->position];
    uint32_t session = world_session(record->position);
    Session id = world_session_id(world, session);
    world_segment(world, record->position, fact->life, block, &expected);
    const Segment *got = &record->segment;
    size_t steps = (size_t)expected.num_steps;
    return record->row == fact->row && record->env_steps == fact->env_steps &&
           memcmp(&record->session, &id, sizeof id) == 0 &&
           record->session_steps == fact->session_steps && got->sequence == fact->sequence &&
           got->env_index == expected.env_index && got->episode == expected.episode &&
           got->first_step == expected.first_step && got->num_steps == expected.num_steps &&
           got->end == expected.end && got->episode_return == expected.episode_return &&
           version_equal(got->version, expected.version) &&
           memcmp(got->obs, expected.obs, sizeof(float) * (steps + 1) * WORLD_OBS) == 0 &&
           memcmp(got->action, expected.action, sizeof(float) * steps * WORLD_ACT) == 0 &&
           memcmp(got->reward, expected.reward, sizeof(float) * steps) == 0;
}

/* --- Writing
 * ---------------------------------------------------------------------------------------- */

typedef struct WorldEntry {
    LogEntry entry;
    Segment segment;
    float block[WORLD_BLOCK];
    char name[32];
} WorldEntry;

/* The entry for the writer's next position, and the fact that it would become. */
static inline void world_entry(LogWorld *world, WorldEntry *out, Fact *fact)
{
    uint64_t position = world->num_facts + 1;
    CHECK(position <= WORLD_FACTS_MAX && position == log_writer_next_position(world->writer));
    uint32_t session = world_session(position);
    LogState state = log_writer_state(world->writer);
    world_segment(world, position, world->life, out->block, &out->segment);
    uint64_t steps = (uint64_t)out->segment.num_steps;
    *fact = (Fact){.row = state.row,
                   .env_steps = state.env_steps + steps,
                   .sequence = world->sequence[session] + 1,
                   .session_steps = world->session_steps[session] + steps,
                   .life = world->life};
    out->segment.sequence = fact->sequence;
    snprintf(out->name, sizeof out->name, "actor %u", session);
    out->entry = (LogEntry){.segment = &out->segment,
                            .session = world_session_id(world, session),
                            .session_steps = fact->session_steps,
                            .actor_index = session,
                            .incarnation = 100 + session,
                            .num_envs = 4,
                            .key = session == 1 ? "key of one" : NULL,
                            .name = out->name,
                            .now_ms = world->now_ms};
    world->now_ms += 10;
}

static inline void world_take(LogWorld *world, const Fact *fact)
{
    uint32_t session = world_session(++world->num_facts);
    world->facts[world->num_facts] = *fact;
    world->sequence[session] = fact->sequence;
    world->session_steps[session] = fact->session_steps;
}

static inline int world_append(LogWorld *world, Err *err)
{
    WorldEntry made;
    Fact fact;
    world_entry(world, &made, &fact);
    int code = log_writer_append(world->writer, &made.entry, err);
    if (code == ERR_OK)
        world_take(world, &fact);
    return code;
}

/* What the log has not flushed goes on unlogged, and one segment more. */
static inline void world_skip(LogWorld *world)
{
    WorldEntry made;
    Fact fact;
    world_entry(world, &made, &fact);
    for (uint64_t i = log_writer_flushed_position(world->writer) + 1; i <= world->num_facts; i++)
        world->facts[i].skipped = true;
    log_writer_skip(world->writer, &made.entry);
    fact.skipped = true;
    world_take(world, &fact);
}

/* --- Starts
 * ----------------------------------------------------------------------------------------- */

static inline void world_init(LogWorld *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_disk_new();
    world->table = memory_disk_table(world->disk);
    world->seed = seed;
    world->now_ms = 1000000;
    world->config = (LogWriterConfig){.dims = {WORLD_OBS, WORLD_ACT, WORLD_STEPS},
                                      .file_bytes_max = LOG_FILE_BYTES_MAX,
                                      .sessions_max = 1000,
                                      .session_retention_ms = 86400000};
    memcpy(world->config.run_id.bytes, &seed, sizeof seed);
}

static inline void world_end(LogWorld *world)
{
    log_writer_destroy(&world->writer);
    memory_disk_destroy(&world->disk);
}

static inline int world_recover(LogWorld *world, LogRecovered *recovered, Err *err)
{
    LogRecoverCallbacks callbacks = {.user = world, .warn = world_warn};
    return log_recover(world->table, WORLD_DIRECTORY, &world->config.run_id, &world->config.dims,
                       world->config.sessions_max, &callbacks, recovered, err);
}

/* A start of the learner: what the log does not have any more was never there. */
static inline int world_start(LogWorld *world, LogRecovered *recovered, Err *err)
{
    log_writer_destroy(&world->writer);
    int code = world_recover(world, recovered, err);
    if (code != ERR_OK)
        return code;
    world->config.epoch = ++world->life;
    code = log_writer_new(world->table, WORLD_DIRECTORY, &world->config, &recovered->state,
                          world->now_ms, &world->writer, err);
    if (code != ERR_OK)
        return code;
    world->num_facts = recovered->state.next_position - 1;
    memset(world->sequence, 0, sizeof world->sequence);
    memset(world->session_steps, 0, sizeof world->session_steps);
    for (size_t i = 0; i < recovered->state.num_sessions; i++) {
        const SessionRecord *record = &recovered->sessions[i];
        world->sequence[record->id.id[15]] = record->sequence;
        world->session_steps[record->id.id[15]] = record->env_steps;
    }
    return ERR_OK;
}

/* The same, where nothing may fail. */
static inline void world_restart(LogWorld *world)
{
    Err err = {""};
    LogRecovered recovered;
    int code = world_start(world, &recovered, &err);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", err.text);
    CHECK(code == ERR_OK);
    log_recovered_free(&recovered);
}

/* --- Reading
 * ---------------------------------------------------------------------------------------- */

typedef struct WorldSeen {
    bool segment[WORLD_FACTS_MAX + 1]; /* [position] */
    bool gap[WORLD_FACTS_MAX + 1];
    uint64_t num_segments;
    uint64_t num_wrong; /* segments that are not what was written, or out of order */
    uint64_t num_damage;
    uint64_t num_torn;
    uint64_t num_heads;
} WorldSeen;

static inline void world_see(const LogWorld *world, const LogItem *item, uint64_t *last,
                             WorldSeen *seen)
{
    switch (item->kind) {
    case LOG_ITEM_SEGMENT:
        seen->num_segments++;
        if (item->segment.position <= *last || !world_is_true(world, &item->segment)) {
            seen->num_wrong++;
            return;
        }
        *last = item->segment.position;
        seen->segment[*last] = true;
        return;
    case LOG_ITEM_GAP:
        if (item->gap.first_position <= *last || item->gap.last_position > world->num_facts) {
            seen->num_wrong++;
            return;
        }
        *last = item->gap.last_position;
        for (uint64_t i = item->gap.first_position; i <= *last; i++)
            seen->gap[i] = true;
        return;
    case LOG_ITEM_DAMAGE:
        seen->num_damage++;
        return;
    case LOG_ITEM_TORN:
        seen->num_torn++;
        return;
    default:
        seen->num_heads += item->kind == LOG_ITEM_HEAD;
    }
}

/* Reads on to the end. */
static inline int world_read(const LogWorld *world, LogReader *reader, WorldSeen *seen, Err *err)
{
    LogItem item = {.kind = LOG_ITEM_HEAD};
    uint64_t last = 0;
    memset(seen, 0, sizeof *seen);
    int code = ERR_OK;
    while (code == ERR_OK && item.kind != LOG_ITEM_END) {
        code = log_reader_next(reader, &item, err);
        if (code == ERR_OK)
            world_see(world, &item, &last, seen);
    }
    return code;
}

static inline int world_open(const LogWorld *world, LogReader **reader, Err *err)
{
    return log_reader_open(world->table, WORLD_DIRECTORY, &world->config.run_id,
                           &world->config.dims, reader, err);
}

static inline int world_read_all(const LogWorld *world, WorldSeen *seen, Err *err)
{
    LogReader *reader;
    int code = world_open(world, &reader, err);
    if (code == ERR_OK)
        code = world_read(world, reader, seen, err);
    log_reader_close(&reader);
    return code;
}

#endif
