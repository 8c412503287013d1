/* The ZAP handler, asked as libzmq asks it, and as it never would. */
#include "net/zap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

enum { WAIT_MS = 5000 };

static void *context;
static void *asker;
static Zap *zap;
static Err err;
static ZapRequest seen;
static int asked;

static bool decide(void *given, const ZapRequest *request, char user_id[ZAP_USER_ID_BYTES])
{
    assert_ptr_equal(given, &zap);
    seen = *request;
    asked++;
    snprintf(user_id, ZAP_USER_ID_BYTES, "somebody");
    return request->has_key;
}

static int setup(void **state)
{
    (void)state;
    const int wait_ms = WAIT_MS, linger_ms = 0;
    asked = 0;
    context = zmq_ctx_new();
    if (zap_new(context, decide, &zap, &zap, &err) != 0)
        return -1;
    asker = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(asker, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(asker, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    return zmq_connect(asker, "inproc://zeromq.zap.01");
}

static int teardown(void **state)
{
    (void)state;
    zmq_close(asker);
    zap_destroy(&zap);
    zmq_ctx_term(context);
    return 0;
}

/* Asks with these parts, and returns the status; the user id is checked to go with it. */
static int ask(const char *const *parts, const size_t *bytes, int count)
{
    char reply[6][128];
    for (int i = 0; i < count; i++)
        assert_true(zmq_send(asker, parts[i], bytes[i], i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
    zmq_pollitem_t item = {.socket = zap_socket(zap), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
    zap_serve(zap);
    for (int i = 0; i < 6; i++) {
        int got = zmq_recv(asker, reply[i], sizeof reply[i] - 1, 0);
        assert_in_range(got, 0, sizeof reply[i] - 1);
        reply[i][got] = '\0';
        int more = 0;
        size_t more_bytes = sizeof more;
        zmq_getsockopt(asker, ZMQ_RCVMORE, &more, &more_bytes);
        assert_int_equal(more, i < 5);
    }
    assert_string_equal(reply[0], "1.0");
    assert_string_equal(reply[4], strcmp(reply[2], "200") == 0 ? "somebody" : "");
    return strcmp(reply[2], "200") == 0 ? 200 : strcmp(reply[2], "400") == 0 ? 400 : 500;
}

static const char key[] = "0123456789abcdef0123456789abcdef";

static int ask_as(const char *mechanism, const char *credentials, size_t credentials_bytes,
                  int num_credentials)
{
    const char *parts[9] = {"1.0", "1", "uplink", "10.0.0.7", "", mechanism};
    size_t bytes[9] = {3, 1, 6, 8, 0, strlen(mechanism)};
    for (int i = 0; i < num_credentials; i++) {
        parts[6 + i] = credentials;
        bytes[6 + i] = credentials_bytes;
    }
    return ask(parts, bytes, 6 + num_credentials);
}

static void test_curve_with_a_key_is_asked_about(void **state)
{
    (void)state;
    assert_int_equal(ask_as("CURVE", key, 32, 1), 200);
    assert_string_equal(seen.domain, "uplink");
    assert_string_equal(seen.address, "10.0.0.7");
    assert_memory_equal(seen.key, key, 32);
}

static void test_other_mechanisms_have_no_key(void **state)
{
    (void)state;
    assert_int_equal(ask_as("NULL", "", 0, 0), 400);
    assert_int_equal(ask_as("PLAIN", "name", 4, 2), 400);
    assert_int_equal(ask_as("PLAIN", key, 32, 1), 400);
    assert_int_equal(ask_as("GSSAPI", key, 32, 1), 400);
    assert_int_equal(ask_as("CURVEX", key, 32, 1), 400);
    assert_int_equal(ask_as("", key, 32, 1), 400);
    assert_false(seen.has_key);
    assert_int_equal(asked, 6);
}

static void test_a_key_of_another_length_is_none(void **state)
{
    (void)state;
    assert_int_equal(ask_as("CURVE", "", 0, 0), 400);
    assert_int_equal(ask_as("CURVE", key, 31, 1), 400);
    assert_int_equal(ask_as("CURVE", key, 0, 1), 400);
    assert_int_equal(ask_as("CURVE", key, 32, 2), 400);
    assert_int_equal(ask_as("CURVE", key, 32, 1), 200); /* and it still answers */
}

static void test_what_is_no_request_is_refused_and_nobody_is_asked(void **state)
{
    (void)state;
    static char large[4096];
    const char *const one[] = {"1.0"};
    const char *const old[] = {"0.9", "1", "uplink", "a", "", "CURVE", key};
    const char *const huge[] = {"1.0", large, "uplink", "a", "", "CURVE", key};
    assert_int_equal(ask(one, (size_t[]){3}, 1), 500);
    assert_int_equal(ask(one, (size_t[]){0}, 1), 500);
    assert_int_equal(ask(old, (size_t[]){3, 1, 6, 1, 0, 5, 32}, 7), 500);
    assert_int_equal(ask(old, (size_t[]){3, 1, 6, 1, 0}, 5), 500);
    assert_int_equal(ask(huge, (size_t[]){3, sizeof large, 6, 1, 0, 5, 32}, 7), 500);
    assert_int_equal(ask(huge, (size_t[]){3, 200, 6, 1, 0, 5, 32}, 7), 500);
    assert_int_equal(asked, 0);
}

static void test_texts_that_do_not_fit_match_nothing(void **state)
{
    (void)state;
    const char *const parts[] = {"1.0",   "1", "a domain of too many bytes", "a\0b", "",
                                 "CURVE", key};
    assert_int_equal(ask(parts, (size_t[]){3, 1, 26, 3, 0, 5, 32}, 7), 200);
    assert_string_equal(seen.domain, "");
    assert_string_equal(seen.address, "");
}

static void test_a_second_handler_is_refused(void **state)
{
    (void)state;
    Zap *second = NULL;
    assert_int_equal(zap_new(context, decide, &zap, &second, &err), ERR_BUSY);
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_curve_with_a_key_is_asked_about, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_mechanisms_have_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_of_another_length_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_request_is_refused_and_nobody_is_asked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts_that_do_not_fit_match_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_second_handler_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
