#include "common/keys.h"

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"
#include "tests/common/scratch.h"

/* The example of libzmq's manual, and its bytes below. */
#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"

static Scratch scratch;
static Err err;

static int setup(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static SecretKey secret_key(const char *name)
{
    SecretKey key = {.public_text = KEY_A, .secret_text = KEY_B};
    snprintf(key.name, sizeof key.name, "%s", name);
    return key;
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void test_a_pair_is_read_as_it_was_written(void **state)
{
    (void)state;
    SecretKey written = secret_key("node7"), secret;
    PublicKey public;
    assert_int_equal(
        keys_write_pair(scratch.path, &written, KEY_ROLE_ACTOR | KEY_ROLE_EVALUATOR, &err), 0);
    assert_int_equal(keys_read_secret(scratch_path(&scratch, "node7.key"), &secret, &err), 0);
    assert_memory_equal(&secret, &written, sizeof secret);
    assert_int_equal(keys_read_public(scratch_path(&scratch, "node7.pub"), &public, &err), 0);
    assert_string_equal(public.name, "node7");
    assert_string_equal(public.text, KEY_A);
    assert_int_equal(public.roles, KEY_ROLE_ACTOR | KEY_ROLE_EVALUATOR);
    static const uint8_t bytes[KEY_BYTES] = {0x54, 0xfc, 0xba, 0x24, 0xe9, 0x32, 0x49, 0x96,
                                             0x93, 0x16, 0xfb, 0x61, 0x7c, 0x87, 0x2b, 0xb0,
                                             0xc1, 0xd1, 0xff, 0x14, 0x80, 0x04, 0x27, 0xc5,
                                             0x94, 0xcb, 0xfa, 0xcf, 0x1b, 0xc2, 0xd6, 0x52};
    assert_memory_equal(public.bytes, bytes, sizeof bytes);
    keys_wipe(&secret);
    assert_string_equal(secret.secret_text, "");
}

static void test_a_learners_key_has_no_roles(void **state)
{
    (void)state;
    SecretKey written = secret_key("learner");
    PublicKey public;
    assert_int_equal(keys_write_pair(scratch.path, &written, 0, &err), 0);
    assert_int_equal(keys_read_public(scratch_path(&scratch, "learner.pub"), &public, &err), 0);
    assert_int_equal(public.roles, 0);
}

static void test_modes_do_not_depend_on_the_umask(void **state)
{
    (void)state;
    static const mode_t masks[] = {0, 0777, 0027};
    for (size_t i = 0; i < 3; i++) {
        char name[8], file[16];
        snprintf(name, sizeof name, "key%zu", i);
        SecretKey key = secret_key(name);
        mode_t before = umask(masks[i]);
        int code = keys_write_pair(scratch.path, &key, 0, &err);
        umask(before);
        assert_int_equal(code, 0);
        snprintf(file, sizeof file, "%s.key", name);
        assert_int_equal(mode_of(scratch_path(&scratch, file)), 0600);
        snprintf(file, sizeof file, "%s.pub", name);
        assert_int_equal(mode_of(scratch_path(&scratch, file)), 0644);
    }
}

static void test_nothing_is_overwritten_and_no_half_is_left(void **state)
{
    (void)state;
    SecretKey key = secret_key("a");
    scratch_write(scratch_path(&scratch, "a.key"), "precious", 8);
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "a.key is there already"));
    assert_int_equal(scratch_count(scratch.path), 1);
    assert_int_equal(remove(scratch_path(&scratch, "a.key")), 0);
    scratch_write(scratch_path(&scratch, "a.pub"), "precious", 8);
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), ERR_EXISTS);
    assert_int_equal(scratch_count(scratch.path), 1);
    size_t bytes = 0;
    unsigned char *text = scratch_read(scratch_path(&scratch, "a.pub"), &bytes);
    assert_int_equal(bytes, 8);
    assert_memory_equal(text, "precious", 8);
    free(text);
}

static void test_a_link_in_the_way_is_not_followed(void **state)
{
    (void)state;
    SecretKey key = secret_key("a");
    assert_int_equal(symlink("elsewhere", scratch_path(&scratch, "a.key")), 0);
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), ERR_EXISTS);
    assert_int_equal(scratch_count(scratch.path), 1);
}

static void check_modes(const char *path, const mode_t *modes, size_t num_modes, int code)
{
    SecretKey read;
    for (size_t i = 0; i < num_modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        if (keys_read_secret(path, &read, &err) != code)
            fail_msg("mode %04o: %s", (unsigned)modes[i], err.text);
        if (code != 0)
            assert_non_null(strstr(err.text, "chmod 600"));
    }
}

/* Of the modes that give somebody else a right, a group's to read is the one that root may give. */
static void test_a_secret_that_others_can_read_is_refused(void **state)
{
    (void)state;
    static const mode_t refused[] = {0644, 0604, 0660, 0601, 0620, 0610, 0650, 0444, 0677};
    static const mode_t of_a_group[] = {0640, 0440};
    static const mode_t good[] = {0600, 0400};
    SecretKey key = secret_key("a");
    const char *path = scratch_path(&scratch, "a.key");
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), 0);
    check_modes(path, refused, 9, ERR_USAGE);
    check_modes(path, of_a_group, 2, geteuid() == 0 ? 0 : ERR_USAGE);
    check_modes(path, good, 2, 0);
}

static void test_a_secret_of_another_user_is_refused(void **state)
{
    (void)state;
    SecretKey key = secret_key("a"), read;
    const char *path = scratch_path(&scratch, "a.key");
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), 0);
    if (chown(path, 12345, (gid_t)-1) != 0)
        skip(); /* only root can give a file away */
    assert_int_equal(keys_read_secret(path, &read, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "belongs to another user"));
}

enum { SOMEBODY = 12345 };

/* What a process of another user gets, in a process of its own; -1 when it could not be tried. */
static int read_as_somebody(const char *path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        SecretKey read;
        if (setgroups(0, NULL) != 0 || setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0)
            _exit(255);
        _exit(-keys_read_secret(path, &read, &err));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

/* What systemd and Kubernetes hand to a process that is not root: a file of root's that its group,
 * or an entry in its access list, which shows as the group's mode, may read. */
static void test_a_service_reads_a_secret_of_root(void **state)
{
    (void)state;
    SecretKey key = secret_key("a");
    const char *path = scratch_path(&scratch, "a.key");
    if (geteuid() != 0)
        skip();
    assert_int_equal(keys_write_pair(scratch.path, &key, 0, &err), 0);
    assert_int_equal(chown(path, 0, SOMEBODY), 0);
    assert_int_equal(chmod(scratch.path, 0755), 0);
    assert_int_equal(chmod(path, 0440), 0);
    assert_int_equal(read_as_somebody(path), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(read_as_somebody(path), 0);
    assert_int_equal(chmod(path, 0460), 0);
    assert_int_equal(read_as_somebody(path), -ERR_USAGE);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(read_as_somebody(path), -ERR_USAGE);
    /* Its own file is for it alone, also where it is in a group of its own. */
    assert_int_equal(chown(path, SOMEBODY, SOMEBODY), 0);
    assert_int_equal(chmod(path, 0440), 0);
    assert_int_equal(read_as_somebody(path), -ERR_USAGE);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(read_as_somebody(path), 0);
}

static void test_what_is_no_file_is_refused(void **state)
{
    (void)state;
    PublicKey key;
    assert_int_equal(keys_read_public(scratch_path(&scratch, "none"), &key, &err), ERR_MISSING);
    assert_int_equal(keys_read_public(scratch.path, &key, &err), ERR_USAGE);
    /* A pipe that nobody writes to must not be waited for. */
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe"), 0600), 0);
    assert_int_equal(keys_read_public(scratch_path(&scratch, "pipe"), &key, &err), ERR_USAGE);
}

typedef struct Case {
    const char *text;
    int code;
    const char *says;
} Case;

static void check_public(const Case *cases, size_t num_cases)
{
    for (size_t i = 0; i < num_cases; i++) {
        PublicKey key;
        int code = keys_parse_public(cases[i].text, strlen(cases[i].text), "x.pub", &key, &err);
        if (code != cases[i].code || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %d, \"%s\"", i, code, err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

static void test_what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"", ERR_FORMAT, "x.pub:1: the file is empty"},
        {"\n\n# nothing\n", ERR_FORMAT, "x.pub:4: the file is empty"},
        {"hello\n", ERR_FORMAT, "x.pub:1: the first line"},
        {"polyak-key x public\n", ERR_FORMAT, "x.pub:1: the first line"},
        {"polyak-key -1 public\n", ERR_FORMAT, "x.pub:1: the first line"},
        {"polyak-key 2 public\n", ERR_VERSION, "x.pub:1: a key file of version 2; this program"},
        {"polyak-key 99999999999999999999 public\n", ERR_VERSION, "x.pub:1: a key file of version"},
        {"polyak-key 1 secret\n", ERR_FORMAT, "x.pub:1: a public key is needed here"},
        {"polyak-key 1 public extra\n", ERR_FORMAT, "x.pub:1: a public key is needed here"},
        {"polyak-key 1 public\nname\n", ERR_FORMAT, "x.pub:2: a line is name, roles or public"},
        {"polyak-key 1 public\nname \n", ERR_FORMAT, "x.pub:2: a value is missing"},
        {"polyak-key 1 public\nname ../x\n", ERR_FORMAT, "x.pub:2: a name has letters"},
        {"polyak-key 1 public\nname a\nname b\n", ERR_FORMAT, "x.pub:3: this stands there twice"},
        {"polyak-key 1 public\n\nowner me\n", ERR_FORMAT, "x.pub:3: a line is name"},
        {"polyak-key 1 public\nsecret " KEY_B "\n", ERR_FORMAT, "x.pub:2: a line is name, roles"},
        {"polyak-key 1 public\nname a\n", ERR_FORMAT, "x.pub:3: the line with the public key"},
        {"polyak-key 1 public\npublic " KEY_A "\n", ERR_FORMAT, "x.pub:3: the line with the name"},
        {"polyak-key 1 public\npublic abc\n", ERR_FORMAT, "x.pub:2: this is no key"},
        {"polyak-key 1 public\npublic " KEY_A "1\n", ERR_FORMAT, "x.pub:2: this is too long"},
        {"polyak-key 1 public\npublic ~q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n", ERR_FORMAT,
         "x.pub:2: this is no key"},
        {"polyak-key 1 public\npublic #####>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n", ERR_FORMAT,
         "x.pub:2: this is no key"}, /* a word beyond 32 bits */
        {"polyak-key 1 public\npublic 0000000000000000000000000000000000000000\n", ERR_FORMAT,
         "x.pub:2: this is no key"},
        {"polyak-key 1 public\nname a\nroles actor,king\npublic " KEY_A "\n", ERR_FORMAT,
         "x.pub: roles are a comma list"},
        {"polyak-key 1 public\nname a\nroles relays\npublic " KEY_A "\n", ERR_FORMAT,
         "x.pub: roles are a comma list"},
    };
    check_public(cases, sizeof cases / sizeof cases[0]);
}

static void test_a_secret_and_a_public_file_are_not_taken_for_each_other(void **state)
{
    (void)state;
    static const char public[] = "polyak-key 1 public\nname a\npublic " KEY_A "\n";
    SecretKey key;
    assert_int_equal(keys_parse_secret(public, sizeof public - 1, "x", &key, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "NAME.key"));
}

static void test_comments_empty_lines_and_carriage_returns_are_passed_over(void **state)
{
    (void)state;
    static const char text[] = "# of node 7\r\n\r\npolyak-key 1 public\r\nname a\r\n\r\n"
                               "roles operator\r\n# and its key\r\npublic " KEY_A;
    PublicKey key;
    assert_int_equal(keys_parse_public(text, sizeof text - 1, "x", &key, &err), 0);
    assert_string_equal(key.name, "a");
    assert_int_equal(key.roles, KEY_ROLE_OPERATOR);
}

static void test_what_is_too_large_or_no_text_is_refused(void **state)
{
    (void)state;
    static char large[KEY_FILE_BYTES_MAX + 2];
    PublicKey key;
    memset(large, '#', sizeof large);
    assert_int_equal(keys_parse_public(large, sizeof large, "x", &key, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "larger than"));
    assert_int_equal(keys_parse_public(large, 300, "x", &key, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "too long"));
    scratch_write(scratch_path(&scratch, "large"), large, sizeof large);
    assert_int_equal(keys_read_public(scratch_path(&scratch, "large"), &key, &err), ERR_FORMAT);
    assert_int_equal(keys_parse_public("a\0b", 3, "x", &key, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "no text"));
}

static void test_names_and_roles(void **state)
{
    (void)state;
    static const char *const bad[] = {"",  ".a",  "-a",      "a/b",  "a b", "a\n",
                                      "ä", "a:b", "../../x", "a\\b", "a*"};
    char longest[KEY_NAME_MAX + 2];
    unsigned roles = 0;
    char text[KEY_ROLES_TEXT_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(keys_check_name(bad[i], &err), ERR_USAGE);
    memset(longest, 'a', sizeof longest);
    longest[KEY_NAME_MAX + 1] = '\0';
    assert_int_equal(keys_check_name(longest, &err), ERR_USAGE);
    assert_int_equal(keys_check_name(longest + 1, &err), 0);
    assert_int_equal(keys_check_name("node-7_b.example", &err), 0);

    assert_int_equal(keys_parse_roles("observer,actor", &roles, &err), 0);
    assert_int_equal(roles, KEY_ROLE_ACTOR | KEY_ROLE_OBSERVER);
    assert_string_equal(keys_format_roles(roles, text), "actor,observer");
    assert_string_equal(keys_format_roles(31, text), "actor,evaluator,observer,operator,relay");
    assert_int_equal(keys_parse_roles("relay,actor", &roles, &err), 0);
    assert_int_equal(roles, KEY_ROLE_ACTOR | KEY_ROLE_RELAY);
    static const char *const none[] = {
        "",       ",",     "actor,",         ",actor", "actor,,observer",
        "actors", "Actor", "actor observer", "relays", "actor,relays"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(keys_parse_roles(none[i], &roles, &err), ERR_USAGE);
}

/* Random bytes, and sound files with random bytes in them, are read or refused with a line. */
static void test_random_bytes_are_read_or_refused(void **state)
{
    (void)state;
    static const char sound[] = "polyak-key 1 public\nname node7\nroles actor\npublic " KEY_A "\n";
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    print_message("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    int refused = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        Rng rng = rng_stream(seed, RNG_TEST, round, 0, 0);
        char text[256];
        size_t bytes = sizeof sound - 1;
        memcpy(text, sound, bytes);
        for (uint64_t i = rng_below(&rng, 4) + 1; i > 0; i--)
            text[rng_below(&rng, bytes)] = (char)rng_below(&rng, 256);
        if (rng_below(&rng, 4) == 0)
            bytes = rng_below(&rng, bytes);
        if (rng_below(&rng, 4) == 0) {
            for (size_t i = 0; i < bytes; i++)
                text[i] = (char)rng_below(&rng, 256);
        }
        char *exact = malloc(bytes + 1);
        assert_non_null(exact);
        memcpy(exact, text, bytes);
        PublicKey public;
        SecretKey secret;
        err.text[0] = '\0';
        int code = keys_parse_public(exact, bytes, "x", &public, &err);
        assert_true(code == 0 || err.text[0] != '\0');
        if (code == 0)
            assert_int_equal(keys_check_name(public.name, &err), 0);
        refused += code != 0;
        assert_int_not_equal(keys_parse_secret(exact, bytes, "x", &secret, &err), 0);
        free(exact);
    }
    assert_true(refused > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_pair_is_read_as_it_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_learners_key_has_no_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes_do_not_depend_on_the_umask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_overwritten_and_no_half_is_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_link_in_the_way_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_secret_that_others_can_read_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_secret_of_another_user_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_service_reads_a_secret_of_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file_is_refused, setup, teardown),
        cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(test_a_secret_and_a_public_file_are_not_taken_for_each_other),
        cmocka_unit_test(test_comments_empty_lines_and_carriage_returns_are_passed_over),
        cmocka_unit_test_setup_teardown(test_what_is_too_large_or_no_text_is_refused, setup,
                                        teardown),
        cmocka_unit_test(test_names_and_roles),
        cmocka_unit_test(test_random_bytes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
