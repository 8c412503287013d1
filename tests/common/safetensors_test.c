#include "common/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <xxhash.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/common/scratch.h"

static Scratch scratch;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static const float small_weight[6] = {1, -2, 0.5f, 3e-41f, -0.0f, 7};
static const float small_bias[2] = {INFINITY, 1e30f};

/* A file of two tensors and two texts. */
static void write_small(const char *path)
{
    const Tensor tensors[] = {
        {"a.0.weight", 2, {2, 3}, small_weight},
        {"a.0.bias", 1, {2}, small_bias},
    };
    const TensorMeta meta[] = {{"kind", "small"}, {"text", "line\n\"quoted\" \\ \xc3\xa9 \x01 /"}};
    Err err = {""};
    int code = safetensors_write(path, tensors, 2, meta, 2, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
}

static void test_tensors_and_texts_come_back_bit_for_bit(void **state)
{
    (void)state;
    Err err;
    SafetensorsFile *file;
    const char *path = scratch_path(&scratch, "small");
    write_small(path);
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
    assert_int_equal(safetensors_num_tensors(file), 2);
    const Tensor *weight = safetensors_tensor(file, 0);
    assert_string_equal(weight->name, "a.0.weight");
    assert_int_equal(weight->rank, 2);
    assert_int_equal(weight->dim[0], 2);
    assert_int_equal(weight->dim[1], 3);
    assert_memory_equal(weight->data, small_weight, sizeof small_weight);
    const Tensor *bias = safetensors_find(file, "a.0.bias");
    assert_ptr_equal(bias, safetensors_tensor(file, 1));
    assert_int_equal(bias->rank, 1);
    assert_memory_equal(bias->data, small_bias, sizeof small_bias);
    assert_null(safetensors_find(file, "a.0"));
    assert_string_equal(safetensors_meta(file, "kind"), "small");
    assert_string_equal(safetensors_meta(file, "text"), "line\n\"quoted\" \\ \xc3\xa9 \x01 /");
    assert_null(safetensors_meta(file, "nothing"));
    safetensors_destroy(&file);
    assert_null(file);
    safetensors_destroy(&file);
}

/* The bytes are part of the format: files written earlier must stay readable. The checksum was
 * computed with another implementation of XXH3. */
static void test_the_bytes_of_a_small_file_are_these(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "golden");
    const float data[2] = {1, -2};
    const Tensor tensor = {"w", 1, {2}, data};
    const TensorMeta meta = {"k", "v"};
    static const char header[] =
        "{\"__metadata__\":{\"xxh3\":\"e27e106a5ada0b1c\",\"k\":\"v\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}       ";
    assert_int_equal((sizeof header - 1) % 8, 0);
    assert_int_equal(safetensors_write(path, &tensor, 1, &meta, 1, &err), ERR_OK);
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    assert_int_equal(num_bytes, 8 + sizeof header - 1 + 8);
    static const unsigned char length[8] = {sizeof header - 1};
    assert_memory_equal(bytes, length, 8);
    assert_memory_equal(bytes + 8, header, sizeof header - 1);
    assert_memory_equal(bytes + 8 + sizeof header - 1, "\0\0\x80\x3f\0\0\0\xc0", 8);
    free(bytes);
}

static void test_the_same_input_gives_the_same_bytes(void **state)
{
    (void)state;
    write_small(scratch_path(&scratch, "one"));
    write_small(scratch_path(&scratch, "two"));
    size_t first_bytes;
    size_t second_bytes;
    unsigned char *first = scratch_read(scratch_path(&scratch, "one"), &first_bytes);
    unsigned char *second = scratch_read(scratch_path(&scratch, "two"), &second_bytes);
    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first, second, first_bytes);
    free(first);
    free(second);
}

static void test_random_files_come_back_bit_for_bit(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const char *path = scratch_path(&scratch, "random");
    static float data[40][30 * 30];
    static Tensor tensors[40];
    for (int round = 0; round < 50; round++) {
        int count = (int)rng_below(&rng, 41);
        for (int i = 0; i < count; i++) {
            Tensor *tensor = &tensors[i];
            *tensor = (Tensor){.rank = 1 + (int)rng_below(&rng, 2), .data = data[i]};
            snprintf(tensor->name, sizeof tensor->name, "tensor.%d", i);
            for (int j = 0; j < tensor->rank; j++)
                tensor->dim[j] = 1 + rng_below(&rng, 30);
            for (int j = 0; j < 30 * 30; j++) {
                uint32_t bits = (uint32_t)rng_u64(&rng); /* NaNs too */
                memcpy(&data[i][j], &bits, sizeof bits);
            }
        }
        Err err;
        SafetensorsFile *file;
        assert_int_equal(safetensors_write(path, tensors, count, NULL, 0, &err), ERR_OK);
        assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
        assert_int_equal(safetensors_num_tensors(file), count);
        for (int i = 0; i < count; i++) {
            const Tensor *found = safetensors_tensor(file, i);
            assert_string_equal(found->name, tensors[i].name);
            assert_int_equal(found->rank, tensors[i].rank);
            assert_memory_equal(found->dim, tensors[i].dim, sizeof found->dim);
            size_t floats = found->dim[0] * (found->rank == 2 ? found->dim[1] : 1);
            assert_memory_equal(found->data, data[i], floats * sizeof(float));
        }
        safetensors_destroy(&file);
    }
}

static void assert_refused(const char *path)
{
    Err err = {""};
    SafetensorsFile *file;
    int code = safetensors_open(path, &file, &err);
    if (code != ERR_FORMAT && code != ERR_CHECKSUM)
        fail_msg("%s: code %d, %s", path, code, err.text);
    assert_null(file);
    assert_non_null(strstr(err.text, path));
    assert_null(strchr(err.text, '\n'));
}

static void test_a_truncated_file_is_refused(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "small");
    const char *cut = scratch_path(&scratch, "cut");
    write_small(path);
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    for (size_t length = 0; length < num_bytes; length++) {
        scratch_write(cut, bytes, length);
        Err err;
        SafetensorsFile *file;
        assert_int_equal(safetensors_open(cut, &file, &err), ERR_FORMAT);
        assert_refused(cut);
    }
    bytes[num_bytes] = 0;
    scratch_write(cut, bytes, num_bytes + 1);
    assert_refused(cut);
    free(bytes);
}

static void test_any_changed_byte_is_noticed(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "small");
    const char *changed = scratch_path(&scratch, "changed");
    write_small(path);
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xff};
    for (size_t i = 0; i < num_bytes; i++) {
        for (size_t j = 0; j < sizeof flips; j++) {
            bytes[i] ^= flips[j];
            scratch_write(changed, bytes, num_bytes);
            assert_refused(changed);
            bytes[i] ^= flips[j];
        }
    }
    free(bytes);
}

/* Writes a file of this header (spaces added) and data, with the right checksum. */
static void write_signed(const char *path, const char *entries, size_t data_bytes)
{
    static char bytes[70000];
    memset(bytes, 0, sizeof bytes);
    uint64_t length =
        (uint64_t)snprintf(bytes + 8, sizeof bytes - 8,
                           "{\"__metadata__\":{\"xxh3\":\"0000000000000000\"}%s", entries);
    while (length % 8 != 0)
        bytes[8 + length++] = ' ';
    memcpy(bytes, &length, 8);
    size_t num_bytes = 8 + length + data_bytes;
    assert_true(num_bytes <= sizeof bytes);
    char digits[17];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)XXH3_64bits(bytes, num_bytes));
    memcpy(bytes + 8 + strlen("{\"__metadata__\":{\"xxh3\":\""), digits, 16);
    scratch_write(path, bytes, num_bytes);
}

/* A right checksum does not make a header right. */
static void test_a_header_that_does_not_fit_its_data_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",                                                    /* no end */
        "} x",                                                 /* more than one value */
        "}",                                                   /* data of no tensor */
        ",\"t\":3}",                                           /* no description */
        ",\"t\":{\"shape\":[4],\"data_offsets\":[0,16]}}",     /* no dtype */
        ",\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", /* no shape */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4]}}",           /* no offsets */
        ",\"t\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}", /* dtype */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,16]}}",  /* rank 0 */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[2,2,1],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":\"4\",\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967297],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387908],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]}}",    /* past the end */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}",    /* a hole */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}",    /* backwards */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}",   /* negative */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}", /* three */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
        "\"u\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", /* overlap */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", /* twice */
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
        ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}} \xff",
    };
    const char *path = scratch_path(&scratch, "wrong");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_signed(path, wrong[i], 16);
        assert_refused(path);
    }
    Err err;
    SafetensorsFile *file;
    write_signed(path, ",\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16);
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
    safetensors_destroy(&file);
}

static void test_names_are_bounded(void **state)
{
    (void)state;
    Err err;
    SafetensorsFile *file;
    char name[TENSOR_NAME_MAX + 2];
    char entry[400];
    const char *path = scratch_path(&scratch, "names");
    memset(name, 'n', sizeof name);
    for (int length = TENSOR_NAME_MAX; length <= TENSOR_NAME_MAX + 1; length++) {
        snprintf(entry, sizeof entry,
                 ",\"%.*s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", length,
                 name);
        write_signed(path, entry, 16);
        if (length > TENSOR_NAME_MAX) {
            assert_refused(path);
            continue;
        }
        assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
        assert_int_equal(strlen(safetensors_tensor(file, 0)->name), TENSOR_NAME_MAX);
        safetensors_destroy(&file);
    }
}

static void test_a_file_without_a_checksum_is_refused(void **state)
{
    (void)state;
    Err err;
    SafetensorsFile *file;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"}}";
    char bytes[8 + sizeof header] = {sizeof header - 1};
    assert_int_equal((sizeof header - 1) % 8, 0);
    memcpy(bytes + 8, header, sizeof header);
    const char *path = scratch_path(&scratch, "foreign");
    scratch_write(path, bytes, 8 + sizeof header - 1);
    assert_int_equal(safetensors_open(path, &file, &err), ERR_CHECKSUM);
    assert_refused(path);
}

static void test_a_huge_header_length_is_refused(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "huge");
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, 1 << 20, (1 << 20) + 8, 0, 8};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char bytes[64] = {0};
        memcpy(bytes, &lengths[i], 8);
        scratch_write(path, bytes, sizeof bytes);
        assert_refused(path);
    }
}

static void test_a_missing_file_is_not_a_damaged_one(void **state)
{
    (void)state;
    Err err;
    SafetensorsFile *file;
    const char *path = scratch_path(&scratch, "nothing");
    assert_int_equal(safetensors_open(path, &file, &err), ERR_MISSING);
    assert_null(file);
    assert_non_null(strstr(err.text, path));
}

static void test_a_text_that_is_not_utf8_is_refused_at_writing(void **state)
{
    (void)state;
    Err err;
    const TensorMeta meta = {"config", "\xff"};
    const char *path = scratch_path(&scratch, "text");
    assert_int_equal(safetensors_write(path, NULL, 0, &meta, 1, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "config"));
    assert_int_equal(scratch_count(scratch.path), 0);
}

static void test_a_header_over_the_limit_is_refused_at_writing(void **state)
{
    (void)state;
    Err err;
    size_t length = (1 << 20) - 100;
    char *text = malloc(length + 200);
    assert_non_null(text);
    const TensorMeta meta = {"config", text};
    const char *path = scratch_path(&scratch, "text");
    memset(text, 'x', length + 200);
    text[length] = '\0';
    assert_int_equal(safetensors_write(path, NULL, 0, &meta, 1, &err), ERR_OK);
    text[length] = 'x';
    text[length + 199] = '\0';
    assert_int_equal(safetensors_write(path, NULL, 0, &meta, 1, &err), ERR_USAGE);
    free(text);
    SafetensorsFile *file;
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK); /* the first one */
    safetensors_destroy(&file);
}

static void test_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "file");
    write_small(path);
    static float data[10000];
    const Tensor tensor = {"w", 2, {100, 100}, data};
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit small = {20000, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int code = safetensors_write(path, &tensor, 1, NULL, 0, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(scratch_count(scratch.path), 1);
    SafetensorsFile *file;
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
    assert_string_equal(safetensors_meta(file, "kind"), "small");
    safetensors_destroy(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tensors_and_texts_come_back_bit_for_bit),
        TEST(test_the_bytes_of_a_small_file_are_these),
        TEST(test_the_same_input_gives_the_same_bytes),
        TEST(test_random_files_come_back_bit_for_bit),
        TEST(test_a_truncated_file_is_refused),
        TEST(test_any_changed_byte_is_noticed),
        TEST(test_a_header_that_does_not_fit_its_data_is_refused),
        TEST(test_names_are_bounded),
        TEST(test_a_file_without_a_checksum_is_refused),
        TEST(test_a_huge_header_length_is_refused),
        TEST(test_a_missing_file_is_not_a_damaged_one),
        TEST(test_a_text_that_is_not_utf8_is_refused_at_writing),
        TEST(test_a_header_over_the_limit_is_refused_at_writing),
        TEST(test_a_full_disk_leaves_the_old_file),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
