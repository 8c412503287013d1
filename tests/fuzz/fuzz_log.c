/* Fuzz target: a file of the replay log. Its first eight bytes say how the rest is made: with the
 * lowest bit set, every frame is given sound checks, so that the decoders behind them are reached.
 *
 * Whatever the file holds, it is read to its end; the recovery gives a state that a writer can go
 * on from; and what is then written is read back. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "learner/log/frame.h"
#include "learner/log/log_files.h"
#include "learner/log/log_recover.h"
#include "tests/fuzz/fuzz.h"
#include "tests/learner/log/memory_disk.h"

enum { PREFIX_BYTES = 8 };

static const RunId run_id = {{7}};
static const LogDims dims = {3, 2, 8};
static const char directory[] = "log";

static void make_segment(uint64_t sequence, float *block, Segment *segment)
{
    *segment = (Segment){.sequence = sequence, .num_steps = 1 + (int)(sequence % 8)};
    for (int i = 0; i < 9 * 3 + 8 * 3; i++)
        block[i] = (float)i / 64;
    segment_bind(segment, block, dims.obs_dim, dims.act_dim, dims.segment_steps);
}

static void append(LogWriter *writer, uint8_t session, uint64_t sequence)
{
    float block[9 * 3 + 8 * 3];
    Segment segment;
    make_segment(sequence, block, &segment);
    LogEntry entry = {.segment = &segment, .session_steps = 8 * sequence, .name = "actor"};
    entry.session.id[0] = session;
    CHECK(log_writer_append(writer, &entry, NULL) == ERR_OK);
}

static LogWriter *new_writer(const LogDisk *disk, const LogState *start, uint32_t epoch)
{
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = epoch,
                              .dims = dims,
                              .file_bytes_max = LOG_FILE_BYTES_MAX,
                              .sessions_max = 100,
                              .session_retention_ms = 1000};
    LogWriter *writer;
    CHECK(log_writer_new(disk, directory, &config, start, 0, &writer, NULL) == ERR_OK);
    return writer;
}

/* Gives every frame that fits sound checks. */
static void seal(uint8_t *bytes, size_t num_bytes, uint64_t salt)
{
    size_t at = 0;
    while (num_bytes - at >= FRAME_HEADER_BYTES) {
        Frame frame;
        size_t length = frame_peek(bytes + at, &frame);
        if (length > num_bytes - at || length % FRAME_ALIGN != 0)
            return;
        frame_seal(bytes + at, frame_seed(salt, at));
        at += length;
    }
}

/* The highest position that is given; 0 when there is none, or the log is refused. */
static uint64_t read_all(const LogDisk *disk, uint64_t row)
{
    LogReader *reader;
    LogItem item = {.kind = LOG_ITEM_HEAD};
    Err err = {""};
    uint64_t last = 0;
    if (log_reader_open(disk, directory, &run_id, &dims, &reader, &err) != ERR_OK) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    CHECK(log_reader_seek_row(reader, row, NULL) == ERR_OK);
    while (item.kind != LOG_ITEM_END) {
        CHECK(log_reader_next(reader, &item, NULL) == ERR_OK);
        if (item.kind == LOG_ITEM_SEGMENT) {
            const Segment *segment = &item.segment.segment;
            CHECK(item.segment.position > last);
            CHECK(segment_check(segment, dims.obs_dim, dims.act_dim, NULL) == ERR_OK);
            last = item.segment.position;
        } else if (item.kind == LOG_ITEM_GAP) {
            CHECK(item.gap.first_position > last);
            last = item.gap.last_position;
        }
    }
    log_reader_close(&reader);
    return last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES)
        return 0;
    char path[64];
    LogFileName name;
    log_file_name(1, 1, 0, &name);
    snprintf(path, sizeof path, "%s/%s", directory, name.text);
    MemoryDisk *memory = memory_disk_new();
    const LogDisk *disk = memory_disk_table(memory);
    memory_disk_put(memory, path, data + PREFIX_BYTES, size - PREFIX_BYTES);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(memory, path, &num_bytes);
    if (data[0] & 1)
        seal(bytes, num_bytes, log_file_salt(&run_id, &name));

    uint64_t last = read_all(disk, 0);
    (void)read_all(disk, 100);
    LogRecovered recovered;
    int code = log_recover(disk, directory, &run_id, &dims, 50, NULL, &recovered, NULL);
    if (code == ERR_OK) {
        LogState *state = &recovered.state;
        CHECK(state->next_position > last && state->num_sessions <= 50);
        if (state->next_position < UINT64_MAX / 8 && state->row < UINT64_MAX / 8 &&
            state->env_steps < UINT64_MAX / 8) {
            LogWriter *writer = new_writer(disk, state, 2);
            append(writer, 0xff, 1);
            CHECK(log_writer_flush(writer, NULL) == ERR_OK);
            log_writer_destroy(&writer);
            CHECK(read_all(disk, 0) == state->next_position);
        }
        log_recovered_free(&recovered);
    }
    memory_disk_destroy(&memory);
    return 0;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    MemoryDisk *memory = memory_disk_new();
    LogState start = {.next_position = 1};
    LogWriter *writer = new_writer(memory_disk_table(memory), &start, 1);
    for (uint64_t i = rng_below(rng, 12); i > 0; i--)
        append(writer, (uint8_t)rng_below(rng, 3), 1 + rng_below(rng, 100));
    CHECK(log_writer_flush(writer, NULL) == ERR_OK);
    log_writer_destroy(&writer);
    size_t num_bytes;
    const uint8_t *bytes = memory_disk_file(memory, memory_disk_path(memory, 0), &num_bytes);
    CHECK(num_bytes + PREFIX_BYTES <= FUZZ_INPUT_BYTES_MAX);
    memset(input, 0, PREFIX_BYTES);
    input[0] = rng_below(rng, 4) > 0;
    memcpy(input + PREFIX_BYTES, bytes, num_bytes);
    memory_disk_destroy(&memory);
    return PREFIX_BYTES + num_bytes;
}
