/* polyak bench replay: appending segments, and drawing batches from a full replay. */
#include <stdlib.h>

#include "cli/bench/bench.h"
#include "common/clock.h"
#include "common/rng.h"
#include "learner/replay/replay.h"
#include "learner/replay/sampler.h"

enum { REPLAY_BYTES_MAX = 1 << 30, APPENDS_PER_LOOK = 16, DRAWS_PER_LOOK = 16 };

typedef struct Bed {
    Replay replay;
    Segment segment;
    void *block; /* of the segment */
    Batch batch;
} Bed;

static void fill_segment(Segment *segment, int obs_dim, int act_dim, int steps, uint64_t seed)
{
    Rng rng = rng_stream(seed, RNG_TEST, 1, 0, 0);
    segment->num_steps = steps;
    segment->end = SEGMENT_CONTINUES;
    for (int i = 0; i < (steps + 1) * obs_dim; i++)
        segment->obs[i] = (float)rng_normal(&rng);
    for (int i = 0; i < steps * act_dim; i++)
        segment->action[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (int i = 0; i < steps; i++)
        segment->reward[i] = (float)rng_normal(&rng);
}

static int make_bed(const Config *config, Bed *bed, Err *err)
{
    int obs_dim = (int)config->obs_dim, act_dim = (int)config->act_dim;
    int steps = (int)config->segment_steps;
    const ConfigCapacity *capacity = &config->replay_capacity;
    uint64_t rows = replay_rows_for((uint64_t)capacity->steps, (uint64_t)capacity->bytes, steps,
                                    obs_dim, act_dim);
    uint64_t least = replay_rows_for_steps(1, steps);
    if (rows < least)
        return err_set(err, ERR_USAGE, "--replay-capacity is too small for a segment of %d steps",
                       steps);
    while (replay_bytes(rows, obs_dim, act_dim) > REPLAY_BYTES_MAX)
        rows /= 2;
    bed->block = calloc(1, segment_block_bytes(obs_dim, act_dim, steps));
    if (!bed->block || batch_new(&bed->batch, (int)config->batch, obs_dim, act_dim) != 0)
        return err_set(err, ERR_NOMEM, "not enough memory for a segment and a batch");
    segment_bind(&bed->segment, bed->block, obs_dim, act_dim, steps);
    fill_segment(&bed->segment, obs_dim, act_dim, steps, (uint64_t)config->seed);
    int code = replay_new(&bed->replay, rows, obs_dim, act_dim, err);
    while (!code && bed->replay.head < bed->replay.capacity)
        replay_append(&bed->replay, &bed->segment);
    return code;
}

static double steps_per_s(Bed *bed, double seconds)
{
    int64_t began_ns = clock_ns(), now_ns;
    uint64_t segments = 0;
    do {
        for (int i = 0; i < APPENDS_PER_LOOK; i++)
            replay_append(&bed->replay, &bed->segment);
        segments += APPENDS_PER_LOOK;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    return (double)segments * bed->segment.num_steps / ((double)(now_ns - began_ns) / 1e9);
}

static double us_per_batch(Bed *bed, uint64_t seed, uint64_t *update, double seconds)
{
    int64_t began_ns = clock_ns(), now_ns;
    uint64_t draws = 0;
    do {
        for (int i = 0; i < DRAWS_PER_LOOK; i++)
            sampler_draw(&bed->replay, seed, (*update)++, &bed->batch);
        draws += DRAWS_PER_LOOK;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    return (double)(now_ns - began_ns) / 1e3 / (double)draws;
}

int bench_replay(const Config *config, Err *err)
{
    Bed bed = {0};
    int code = make_bed(config, &bed, err);
    if (!code) {
        BenchFigure append, draw;
        double seconds = config->seconds / BENCH_REPEATS / 2;
        uint64_t update = 0;
        for (int i = 0; i < BENCH_REPEATS; i++) {
            append.value[i] = steps_per_s(&bed, seconds);
            draw.value[i] = us_per_batch(&bed, (uint64_t)config->seed, &update, seconds);
        }
        BenchReport out;
        bench_report_begin(&out, config, "replay",
                           "one thread copies whole segments into a full replay, and draws "
                           "batches uniformly from all of it");
        bench_report_setting(&out, "obs_dim", config->obs_dim);
        bench_report_setting(&out, "act_dim", config->act_dim);
        bench_report_setting(&out, "batch", config->batch);
        bench_report_setting(&out, "segment_steps", config->segment_steps);
        bench_report_setting(&out, "rows", (int64_t)bed.replay.capacity);
        bench_report_setting(
            &out, "bytes",
            (int64_t)replay_bytes(bed.replay.capacity, (int)config->obs_dim, (int)config->act_dim));
        bench_report_figure(&out, "us_per_batch", "us", &draw);
        bench_report_figure(&out, "append_steps_per_s", "steps/s", &append);
        code = bench_report_end(&out, err);
    }
    replay_destroy(&bed.replay);
    batch_destroy(&bed.batch);
    free(bed.block);
    return code;
}
