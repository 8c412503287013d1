/* What a fuzz target gives to whoever drives it: libFuzzer, or fuzz_driver.c in ordinary builds.
 * One thread. */
#ifndef POLYAK_TESTS_FUZZ_FUZZ_H
#define POLYAK_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "common/rng.h"

enum { FUZZ_INPUT_BYTES_MAX = 1 << 14 };

/* Feeds one input to the code under test, which must neither crash nor break a promise. Returns 0;
 * the name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes a random sound input to start from: its length, at most FUZZ_INPUT_BYTES_MAX. */
size_t fuzz_seed(Rng *rng, uint8_t *input);

#endif
