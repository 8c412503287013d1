/* Keys of those who dial: which are read, and which is used. */
#include "actor/dialing.h"

#include <zmq.h>

#include "actor/dealer.h"
#include "common/clock.h"
#include "tests/actor/fake_learner.h"

static Scratch scratch;
static SecretKey own, learner, other;
static DialKeys keys;
static Err err;

static SecretKey make(const char *name, unsigned roles)
{
    SecretKey key = {.name = ""};
    snprintf(key.name, sizeof key.name, "%s", name);
    assert_int_equal(zmq_curve_keypair(key.public_text, key.secret_text), 0);
    assert_int_equal(keys_write_pair(scratch.path, &key, roles, &err), 0);
    return key;
}

static int setup(void **state)
{
    (void)state;
    scratch = scratch_make();
    own = make("own", KEY_ROLE_ACTOR);
    learner = make("learner", 0);
    other = make("other", 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dialing_forget_keys(&keys);
    scratch_remove(&scratch);
    return 0;
}

static char own_path[256], list[512];

static int read_keys(const char *first, const char *second)
{
    snprintf(own_path, sizeof own_path, "%s", scratch_path(&scratch, "own.key"));
    snprintf(list, sizeof list, "%s%s%s", scratch_path(&scratch, first), second ? "," : "",
             second ? scratch_path(&scratch, second) : "");
    return dialing_read_keys(own_path, list, &keys, &err);
}

static void test_without_keys_nothing_is_used(void **state)
{
    (void)state;
    assert_int_equal(dialing_read_keys("", "", &keys, &err), 0);
    assert_false(keys.used);
    dialing_turn_keys(&keys, false);
    assert_false(keys.used);
}

static void test_one_key_without_the_other_is_bad_usage(void **state)
{
    (void)state;
    assert_int_equal(dialing_read_keys("x.key", "", &keys, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--key needs --learner-key"));
    assert_int_equal(dialing_read_keys("", "x.pub", &keys, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--learner-key needs --key"));
    assert_false(keys.used);
}

static void test_files_that_are_not_right_are_bad_usage(void **state)
{
    (void)state;
    assert_int_equal(read_keys("none.pub", NULL), ERR_USAGE);
    assert_non_null(strstr(err.text, "none.pub"));
    assert_int_equal(read_keys("learner.key", NULL), ERR_USAGE); /* a secret one */
    assert_int_equal(dialing_read_keys(scratch_path(&scratch, "own.pub"), list, &keys, &err),
                     ERR_USAGE);
    static const char *const lists[] = {",", "a,", ",a", "a,b,c"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(dialing_read_keys(own_path, lists[i], &keys, &err), ERR_USAGE);
    assert_int_equal(chmod(own_path, 0644), 0);
    assert_int_equal(read_keys("learner.pub", NULL), ERR_USAGE);
    assert_non_null(strstr(err.text, "chmod 600"));
}

static void test_a_secret_that_is_not_of_its_public_key_is_refused(void **state)
{
    (void)state;
    SecretKey mixed = own;
    snprintf(mixed.name, sizeof mixed.name, "mixed");
    memcpy(mixed.public_text, other.public_text, sizeof mixed.public_text);
    assert_int_equal(keys_write_pair(scratch.path, &mixed, 0, &err), 0);
    snprintf(list, sizeof list, "%s", scratch_path(&scratch, "learner.pub"));
    assert_int_equal(dialing_read_keys(scratch_path(&scratch, "mixed.key"), list, &keys, &err),
                     ERR_USAGE);
    assert_non_null(strstr(err.text, "not that of its secret key"));
}

static void test_the_next_key_is_taken_where_the_last_did_not_work(void **state)
{
    (void)state;
    assert_int_equal(read_keys("other.pub", "learner.pub"), 0);
    assert_int_equal(keys.num_learner, 2);
    assert_string_equal(keys.learner[keys.current].name, "other");
    dialing_turn_keys(&keys, false);
    assert_string_equal(keys.learner[keys.current].name, "learner");
    dialing_turn_keys(&keys, true);
    assert_string_equal(keys.learner[keys.current].name, "learner");
    dialing_turn_keys(&keys, false);
    assert_string_equal(keys.learner[keys.current].name, "other");
}

static void test_a_changed_file_is_read_and_a_missing_one_is_not_missed(void **state)
{
    (void)state;
    assert_int_equal(read_keys("learner.pub", NULL), 0);
    assert_int_equal(
        rename(scratch_path(&scratch, "other.pub"), scratch_path(&scratch, "learner.pub")), 0);
    dialing_turn_keys(&keys, true);
    assert_string_equal(keys.learner[0].text, other.public_text);
    assert_int_equal(remove(scratch_path(&scratch, "learner.pub")), 0);
    dialing_turn_keys(&keys, true);
    assert_int_equal(keys.num_learner, 1);
    assert_string_equal(keys.learner[0].text, other.public_text);
}

/* --- Against a socket that has keys */

static void *context, *router;
static char endpoint[128];
static Dealer dealer;

static void open_router(bool keyed)
{
    const int yes = 1, linger_ms = 0;
    size_t bytes = sizeof endpoint;
    context = zmq_ctx_new();
    router = zmq_socket(context, ZMQ_ROUTER);
    zmq_setsockopt(router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (keyed) {
        zmq_setsockopt(router, ZMQ_CURVE_SERVER, &yes, sizeof yes);
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, learner.secret_text, KEY_TEXT_CHARS + 1);
    }
    assert_int_equal(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &bytes);
    assert_int_equal(dealer_init(&dealer, context, endpoint, WIRE_SMALL_BYTES_MAX, &err), 0);
}

static void close_router(void)
{
    dealer_destroy(&dealer);
    zmq_close(router);
    zmq_ctx_term(context);
}

/* Sends something, and waits for it at the router. */
static bool gets_through(long wait_ms)
{
    Message message = {.kind = MESSAGE_HEARTBEAT};
    assert_int_equal(dealer_send(&dealer, &message, NULL), 0);
    return fake_readable(router, wait_ms);
}

static const char *await_trouble(void)
{
    const char *trouble = NULL;
    for (int64_t until_ms = clock_ms() + FAKE_WAIT_MS; !trouble && clock_ms() < until_ms;) {
        fake_readable(router, 10);
        trouble = dealer_trouble(&dealer);
    }
    return trouble ? trouble : "none";
}

static void test_a_dealer_finds_the_key_that_the_learner_has(void **state)
{
    (void)state;
    open_router(true);
    snprintf(list, sizeof list, "%s,%s", scratch_path(&scratch, "other.pub"),
             scratch_path(&scratch, "learner.pub"));
    snprintf(own_path, sizeof own_path, "%s", scratch_path(&scratch, "own.key"));
    assert_int_equal(dealer_use_keys(&dealer, own_path, list, &err), 0);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_non_null(strstr(await_trouble(), "--learner-key"));
    assert_false(gets_through(200));
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_true(gets_through(FAKE_WAIT_MS));
    assert_string_equal(dealer.keys.learner[dealer.keys.current].name, "learner");
    close_router();
}

static void test_keys_where_there_are_none_and_none_where_there_are(void **state)
{
    (void)state;
    open_router(true);
    assert_int_equal(dealer_use_keys(&dealer, "", "", &err), 0);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_non_null(strstr(await_trouble(), "it wants keys"));
    close_router();

    open_router(false);
    snprintf(list, sizeof list, "%s", scratch_path(&scratch, "learner.pub"));
    snprintf(own_path, sizeof own_path, "%s", scratch_path(&scratch, "own.key"));
    assert_int_equal(dealer_use_keys(&dealer, own_path, list, &err), 0);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_non_null(strstr(await_trouble(), "it has no keys"));
    close_router();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_keys_nothing_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_key_without_the_other_is_bad_usage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_files_that_are_not_right_are_bad_usage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_secret_that_is_not_of_its_public_key_is_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_key_is_taken_where_the_last_did_not_work,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_file_is_read_and_a_missing_one_is_not_missed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_dealer_finds_the_key_that_the_learner_has, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_keys_where_there_are_none_and_none_where_there_are,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
