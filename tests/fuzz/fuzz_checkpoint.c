/* Fuzz target: a checkpoint, from safetensors to the state of a run.
 *
 * Random bytes never have the right checksum, so each input is also tried with its own checksum put
 * in: as a file that somebody made on purpose. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "learner/agent/checkpoint.h"
#include "tests/common/scratch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"

static const int hidden[] = {2};

static void network_make(DdpgNetwork *network, int in, int out, bool tanh_output)
{
    CHECK(mlp_shape(&network->mlp, in, hidden, 1, out, tanh_output, NULL) == ERR_OK);
    CHECK(network_new(network, NULL) == ERR_OK);
}

/* The shapes that the seeds have: obs_dim 3, act_dim 2. */
static DdpgState state_make(void)
{
    DdpgState ddpg = {0};
    network_make(&ddpg.actor, 3, 2, true);
    network_make(&ddpg.critic, 5, 1, false);
    ddpg.updates = 77;
    return ddpg;
}

static bool is_zero(const DdpgNetwork *network)
{
    const float *const blocks[] = {network->params, network->target, network->adam_m,
                                   network->adam_v, network->transposed};
    for (int i = 0; i < 5; i++) {
        for (size_t j = 0; j < network->num_params; j++) {
            if (blocks[i][j] != 0)
                return false;
        }
    }
    return true;
}

static void state_clear(DdpgState *ddpg)
{
    DdpgNetwork *const networks[] = {&ddpg->actor, &ddpg->critic};
    for (int i = 0; i < 2; i++) {
        float *const blocks[] = {networks[i]->params, networks[i]->target, networks[i]->adam_m,
                                 networks[i]->adam_v};
        for (int j = 0; j < 4; j++)
            memset(blocks[j], 0, networks[i]->num_params * sizeof(float));
        network_params_changed(networks[i]);
    }
    ddpg->updates = 77;
}

/* Reads a file in every way: all of them agree, and one that fails changes nothing. */
static void read_all(const uint8_t *data, size_t size)
{
    static DdpgState ddpg;
    static RunState run, read;
    if (!ddpg.actor.params)
        ddpg = state_make();
    const char *path = fuzz_file(0, data, size);
    Err err = {""};
    memset(&run, 0, sizeof run);
    int rc = checkpoint_read_run(path, &run, &err);
    if (rc == ERR_OK)
        CHECK(spec_check(&run.spec, NULL) == ERR_OK &&
              memchr(run.config_yaml, 0, sizeof run.config_yaml));
    else
        CHECK(strstr(err.text, path) && !strchr(err.text, '\n'));

    Err again = {""};
    memset(&read, 0, sizeof read);
    int rc_read = checkpoint_read(path, &ddpg, &read, &again);
    if (rc_read == ERR_OK) {
        CHECK(rc == ERR_OK && memcmp(&run.spec, &read.spec, sizeof run.spec) == 0);
        state_clear(&ddpg);
    } else {
        CHECK(rc_read == rc || (rc == ERR_OK && rc_read == ERR_SPEC));
        CHECK(strstr(again.text, path) && ddpg.updates == 77);
        CHECK(is_zero(&ddpg.actor) && is_zero(&ddpg.critic));
    }

    Mlp mlp;
    float *params = NULL;
    CHECK(checkpoint_read_policy(path, &mlp, &params, &read, NULL) == rc);
    CHECK((params != NULL) == (rc == ERR_OK));
    free(params);
}

/* Where the 16 digits of the checksum are: docs/checkpoint.md. */
static const char digits_before[] = "{\"__metadata__\":{\"xxh3\":\"";
enum { DIGITS_AT = 8 + sizeof digits_before - 1, DIGITS = 16 };

static bool put_checksum(uint8_t *data, size_t size)
{
    if (size < DIGITS_AT + DIGITS || memcmp(data + 8, digits_before, DIGITS_AT - 8) != 0)
        return false;
    char digits[DIGITS + 1];
    memset(data + DIGITS_AT, '0', DIGITS);
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits(data, size));
    memcpy(data + DIGITS_AT, digits, DIGITS);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        read_all(data, size);
        return 0;
    }
    uint8_t *copy = malloc(size);
    CHECK(copy);
    memcpy(copy, data, size);
    if (put_checksum(copy, size) && memcmp(copy, data, size) != 0) {
        /* As it is, it is refused, and the checksum is what it takes. */
        Err err = {""};
        RunState run;
        int rc = checkpoint_read_run(fuzz_file(0, data, size), &run, &err);
        CHECK((rc == ERR_CHECKSUM || rc == ERR_FORMAT) && err.text[0] != '\0');
    }
    read_all(copy, size);
    free(copy);
    return 0;
}

/* Names are libFuzzer's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* Changes a number of the header into another one of as many digits: what random bytes hardly ever
 * do, and all that shapes and offsets can be wrong in. Every other time, libFuzzer's own way. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max)
{
    (void)data;
    (void)size_max;
    return size; /* without libFuzzer */
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    uint64_t header_bytes = 0;
    if (size > DIGITS_AT + DIGITS)
        memcpy(&header_bytes, data, sizeof header_bytes);
    if (rng_below(&rng, 2) == 0 || header_bytes <= DIGITS_AT + DIGITS || header_bytes > size - 8)
        return LLVMFuzzerMutate(data, size, size_max);
    for (uint64_t changes = 1 + rng_below(&rng, 3); changes > 0; changes--) {
        size_t at = DIGITS_AT + DIGITS + rng_below(&rng, header_bytes - DIGITS_AT - DIGITS);
        while (at < size && (data[at] < '0' || data[at] > '9'))
            at++;
        for (; at < size && data[at] >= '0' && data[at] <= '9'; at++) {
            if (rng_below(&rng, 2) == 0)
                data[at] = (uint8_t)('0' + rng_below(&rng, 10));
        }
    }
    return size;
}

/* A checkpoint as checkpoint_write() makes it. */
static unsigned char *write_one(size_t *num_bytes)
{
    Scratch scratch = scratch_make();
    const char *path = scratch_path(&scratch, "seed");
    DdpgState ddpg = state_make();
    RunState run = {.spec = {.name = "toy",
                             .obs_dim = 3,
                             .act_dim = 2,
                             .step_limit = 200,
                             .action_low = {-1, -2},
                             .action_high = {1, 2}},
                    .config_yaml = "env: toy\nseed: 7\n",
                    .env_steps = 4000,
                    .updates = 3000,
                    .episodes = 20,
                    .best_return = -150.5,
                    .evals = 2,
                    .seed = 7};
    CHECK(checkpoint_write(path, &ddpg, &run, NULL) == ERR_OK);
    unsigned char *bytes = scratch_read(path, num_bytes);
    network_destroy(&ddpg.actor);
    network_destroy(&ddpg.critic);
    scratch_remove(&scratch);
    return bytes;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    static unsigned char *written;
    static size_t num_bytes;
    if (!written)
        written = write_one(&num_bytes);
    CHECK(num_bytes <= FUZZ_INPUT_BYTES_MAX);
    memcpy(input, written, num_bytes);
    /* Parameters of some bytes, so that no two seeds are alike; any bits are a number. */
    uint64_t header_bytes;
    memcpy(&header_bytes, input, sizeof header_bytes);
    for (int i = 0; i < 8; i++)
        input[num_bytes - 1 - rng_below(rng, num_bytes - 8 - header_bytes)] =
            (uint8_t)rng_below(rng, 256);
    CHECK(put_checksum(input, num_bytes));
    RunState run;
    CHECK(checkpoint_read_run(fuzz_file(0, input, num_bytes), &run, NULL) == ERR_OK);
    return num_bytes;
}
