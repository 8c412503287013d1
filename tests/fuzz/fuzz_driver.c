/* Drives a fuzz target without libFuzzer, so that every build's tests run it for a moment.
 *
 *     DRIVER ROUNDS               feeds ROUNDS sound inputs, each also damaged a few times at
 * random DRIVER --seeds DIR COUNT    writes COUNT sound inputs into DIR: a corpus for libFuzzer
 *     DRIVER --file FILE          feeds one file, such as a crash that libFuzzer found */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "tests/fuzz/fuzz.h"

enum { DAMAGED_PER_ROUND = 10 };

/* From a block of exactly its size, so that a sanitizer sees one byte too many. */
static void feed(const uint8_t *input, size_t input_bytes)
{
    uint8_t *exact = malloc(input_bytes + (input_bytes == 0));
    CHECK(exact);
    if (input_bytes > 0)
        memcpy(exact, input, input_bytes);
    LLVMFuzzerTestOneInput(exact, input_bytes);
    free(exact);
}

static void flip_bit(Rng *rng, uint8_t *input, size_t input_bytes)
{
    size_t bit = rng_below(rng, input_bytes * 8);
    input[bit / 8] ^= (uint8_t)(1U << (bit % 8));
}

static void set_byte(Rng *rng, uint8_t *input, size_t input_bytes)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff};
    uint64_t choice = rng_below(rng, 10);
    input[rng_below(rng, input_bytes)] =
        choice < sizeof telling ? telling[choice] : (uint8_t)rng_below(rng, 256);
}

/* Overwrites a stretch with a copy of another one. */
static void copy_stretch(Rng *rng, uint8_t *input, size_t input_bytes)
{
    size_t length = 1 + rng_below(rng, input_bytes);
    memmove(input + rng_below(rng, input_bytes - length + 1),
            input + rng_below(rng, input_bytes - length + 1), length);
}

static size_t cut(Rng *rng, uint8_t *input, size_t input_bytes)
{
    (void)input;
    return rng_below(rng, input_bytes + 1);
}

static size_t take_out(Rng *rng, uint8_t *input, size_t input_bytes)
{
    size_t length = 1 + rng_below(rng, input_bytes);
    size_t at = rng_below(rng, input_bytes - length + 1);
    memmove(input + at, input + at + length, input_bytes - length - at);
    return input_bytes - length;
}

static size_t put_in(Rng *rng, uint8_t *input, size_t input_bytes)
{
    size_t room = FUZZ_INPUT_BYTES_MAX - input_bytes;
    if (room == 0)
        return input_bytes;
    size_t length = 1 + rng_below(rng, room < 32 ? room : 32);
    size_t at = rng_below(rng, input_bytes + 1);
    memmove(input + at + length, input + at, input_bytes - at);
    for (size_t i = 0; i < length; i++)
        input[at + i] = (uint8_t)rng_below(rng, 256);
    return input_bytes + length;
}

static size_t damage(Rng *rng, uint8_t *input, size_t input_bytes)
{
    if (input_bytes == 0)
        return put_in(rng, input, input_bytes);
    switch (rng_below(rng, 8)) {
    case 0:
        return cut(rng, input, input_bytes);
    case 1:
        return take_out(rng, input, input_bytes);
    case 2:
        return put_in(rng, input, input_bytes);
    case 3:
        copy_stretch(rng, input, input_bytes);
        return input_bytes;
    case 4:
    case 5:
        set_byte(rng, input, input_bytes);
        return input_bytes;
    default:
        flip_bit(rng, input, input_bytes);
        return input_bytes;
    }
}

static void feed_random(uint64_t seed, uint64_t rounds)
{
    static uint8_t input[FUZZ_INPUT_BYTES_MAX];
    for (uint64_t round = 0; round < rounds; round++) {
        Rng rng = rng_stream(seed, RNG_TEST, round, 0, 0);
        size_t input_bytes = fuzz_seed(&rng, input);
        feed(input, input_bytes);
        for (int i = 0; i < DAMAGED_PER_ROUND; i++) {
            input_bytes = damage(&rng, input, input_bytes);
            feed(input, input_bytes);
        }
    }
}

static int write_seeds(const char *directory, uint64_t seed, uint64_t count)
{
    static uint8_t input[FUZZ_INPUT_BYTES_MAX];
    for (uint64_t i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/seed-%04llu", directory, (unsigned long long)i);
        Rng rng = rng_stream(seed, RNG_TEST, i, 0, 0);
        size_t input_bytes = fuzz_seed(&rng, input);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(input, 1, input_bytes, file) != input_bytes || fclose(file) != 0) {
            fprintf(stderr, "cannot write %s\n", path);
            return 1;
        }
    }
    return 0;
}

static int feed_file(const char *path)
{
    static uint8_t input[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    size_t input_bytes = fread(input, 1, sizeof input, file);
    fclose(file);
    feed(input, input_bytes);
    return 0;
}

int main(int argc, char **argv)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2], seed, strtoull(argv[3], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "--file") == 0)
        return feed_file(argv[2]);
    if (argc == 2 && argv[1][0] != '-') {
        feed(NULL, 0);
        feed_random(seed, strtoull(argv[1], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: %s ROUNDS | --seeds DIR COUNT | --file FILE\n", argv[0]);
    return 2;
}
