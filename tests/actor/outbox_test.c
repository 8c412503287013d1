/* The outbox: numbering, sending, acknowledging, starting over; and random operations against a
 * model that is a plain list. */
#include "actor/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"

enum { PLACES = 5, OBS_DIM = 3, ACT_DIM = 2, STEPS_MAX = 4 };

#define NO_LIMIT UINT64_MAX

static Outbox outbox;

static int setup(void **state)
{
    (void)state;
    return outbox_new(&outbox, PLACES, OBS_DIM, ACT_DIM, STEPS_MAX);
}

static int teardown(void **state)
{
    (void)state;
    outbox_destroy(&outbox);
    return 0;
}

/* Fills and closes a segment that can be told by its episode. */
static Segment *close_one(uint64_t episode, int num_steps)
{
    Segment *segment = outbox_open(&outbox);
    assert_non_null(segment);
    segment->episode = episode;
    segment->num_steps = num_steps;
    outbox_close(&outbox, segment);
    return segment;
}

static void close_many(int count)
{
    for (int i = 0; i < count; i++)
        close_one((uint64_t)i, 1);
}

static void expect_sent(uint64_t limit, uint64_t sequence, uint64_t episode)
{
    const Segment *segment = outbox_next(&outbox, limit);
    assert_non_null(segment);
    assert_int_equal(segment->sequence, sequence);
    assert_int_equal(segment->episode, episode);
}

static void test_segments_are_numbered_from_1_in_the_order_of_closing(void **state)
{
    (void)state;
    Segment *a = outbox_open(&outbox);
    Segment *b = outbox_open(&outbox);
    assert_ptr_not_equal(a, b);
    a->num_steps = b->num_steps = 1;
    a->episode = 10;
    b->episode = 20;
    outbox_close(&outbox, b);
    outbox_close(&outbox, a);
    expect_sent(NO_LIMIT, 1, 20);
    expect_sent(NO_LIMIT, 2, 10);
    assert_null(outbox_next(&outbox, NO_LIMIT));
}

static void test_an_opened_segment_is_empty_and_goes_on(void **state)
{
    (void)state;
    Segment *segment = close_one(1, 3);
    segment->end = SEGMENT_TERMINATED;
    assert_non_null(outbox_next(&outbox, NO_LIMIT));
    outbox_acknowledge(&outbox, 1);
    for (int i = 0; i < PLACES; i++) {
        segment = outbox_open(&outbox);
        assert_int_equal(segment->num_steps, 0);
        assert_int_equal(segment->end, SEGMENT_CONTINUES);
    }
}

static void test_places_do_not_overlap(void **state)
{
    (void)state;
    Segment *segment[PLACES];
    for (int i = 0; i < PLACES; i++) {
        segment[i] = outbox_open(&outbox);
        memset(segment[i]->obs, i + 1, sizeof(float) * (STEPS_MAX + 1) * OBS_DIM);
        memset(segment[i]->action, i + 1, sizeof(float) * STEPS_MAX * ACT_DIM);
        memset(segment[i]->reward, i + 1, sizeof(float) * STEPS_MAX);
    }
    for (int i = 0; i < PLACES; i++) {
        float same[(STEPS_MAX + 1) * OBS_DIM];
        memset(same, i + 1, sizeof same);
        assert_memory_equal(segment[i]->obs, same, sizeof(float) * (STEPS_MAX + 1) * OBS_DIM);
        assert_memory_equal(segment[i]->action, same, sizeof(float) * STEPS_MAX * ACT_DIM);
        assert_memory_equal(segment[i]->reward, same, sizeof(float) * STEPS_MAX);
    }
}

static void test_nothing_leaves_beyond_the_send_limit(void **state)
{
    (void)state;
    close_many(3);
    assert_null(outbox_next(&outbox, 0));
    expect_sent(2, 1, 0);
    expect_sent(2, 2, 1);
    assert_null(outbox_next(&outbox, 2));
    assert_int_equal(outbox_unsent(&outbox), 1);
    expect_sent(3, 3, 2);
    assert_int_equal(outbox_unsent(&outbox), 0);
    assert_int_equal(outbox_unacked(&outbox), 3);
}

static void test_a_full_outbox_has_no_place_until_something_is_acknowledged(void **state)
{
    (void)state;
    close_many(PLACES);
    assert_null(outbox_open(&outbox));
    while (outbox_next(&outbox, NO_LIMIT))
        continue;
    assert_null(outbox_open(&outbox));
    outbox_acknowledge(&outbox, 2);
    assert_non_null(outbox_open(&outbox));
    assert_non_null(outbox_open(&outbox));
    assert_null(outbox_open(&outbox));
}

static void test_a_discarded_place_is_free_again_and_takes_no_number(void **state)
{
    (void)state;
    close_many(PLACES - 1);
    Segment *segment = outbox_open(&outbox);
    assert_null(outbox_open(&outbox));
    outbox_discard(&outbox, segment);
    assert_int_equal(close_one(9, 1)->sequence, PLACES);
}

static void test_acknowledging_again_or_less_changes_nothing(void **state)
{
    (void)state;
    close_many(4);
    while (outbox_next(&outbox, NO_LIMIT))
        continue;
    outbox_acknowledge(&outbox, 3);
    int num_free = outbox.num_free;
    assert_int_equal(outbox_unacked(&outbox), 1);
    outbox_acknowledge(&outbox, 3);
    outbox_acknowledge(&outbox, 1);
    outbox_acknowledge(&outbox, 0);
    assert_int_equal(outbox_unacked(&outbox), 1);
    assert_int_equal(outbox.num_free, num_free);
}

static void test_what_was_never_sent_cannot_be_acknowledged(void **state)
{
    (void)state;
    outbox_acknowledge(&outbox, 7);
    assert_int_equal(outbox.acked_sequence, 0);
    close_many(4);
    outbox_acknowledge(&outbox, 2);
    assert_int_equal(outbox_unacked(&outbox), 4);
    expect_sent(NO_LIMIT, 1, 0);
    outbox_acknowledge(&outbox, UINT64_MAX);
    assert_int_equal(outbox.acked_sequence, 1);
    expect_sent(NO_LIMIT, 2, 1);
    expect_sent(NO_LIMIT, 3, 2);
}

static void test_a_rewind_sends_everything_unacknowledged_again(void **state)
{
    (void)state;
    close_many(4);
    for (int i = 0; i < 3; i++)
        assert_non_null(outbox_next(&outbox, NO_LIMIT));
    outbox_acknowledge(&outbox, 1);
    outbox_rewind(&outbox);
    assert_int_equal(outbox_unsent(&outbox), 3);
    expect_sent(NO_LIMIT, 2, 1);
    expect_sent(NO_LIMIT, 3, 2);
    expect_sent(NO_LIMIT, 4, 3);
    assert_null(outbox_next(&outbox, NO_LIMIT));
}

/* The Welcome of a new connection may cover what was sent on the last one. */
static void test_after_a_rewind_what_an_earlier_connection_sent_can_be_acknowledged(void **state)
{
    (void)state;
    close_many(4);
    for (int i = 0; i < 3; i++)
        assert_non_null(outbox_next(&outbox, NO_LIMIT));
    outbox_rewind(&outbox);
    outbox_acknowledge(&outbox, 3);
    assert_int_equal(outbox_unacked(&outbox), 1);
    expect_sent(NO_LIMIT, 4, 3);
}

static void test_a_restart_drops_what_was_sent_and_keeps_the_rest_numbered_from_1(void **state)
{
    (void)state;
    uint64_t steps = 100;
    for (uint64_t i = 0; i < 5; i++)
        close_one(i, i < 4 ? (int)i + 1 : 2);
    for (int i = 0; i < 3; i++)
        assert_non_null(outbox_next(&outbox, NO_LIMIT));
    outbox_acknowledge(&outbox, 1);
    assert_int_equal(outbox_unacked_steps(&outbox), 2 + 3 + 4 + 2);
    assert_int_equal(outbox_restart(&outbox, &steps), 2);
    assert_int_equal(steps, 100 + 2 + 3);
    assert_int_equal(outbox_unacked(&outbox), 2);
    assert_int_equal(outbox_unacked_steps(&outbox), 4 + 2);
    expect_sent(NO_LIMIT, 1, 3);
    expect_sent(NO_LIMIT, 2, 4);
    assert_int_equal(close_one(5, 1)->sequence, 3);
    assert_int_equal(outbox.num_free, PLACES - 3);
}

static void test_a_restart_drops_what_an_earlier_connection_sent(void **state)
{
    (void)state;
    uint64_t steps = 0;
    close_many(4);
    for (int i = 0; i < 3; i++)
        assert_non_null(outbox_next(&outbox, NO_LIMIT));
    outbox_rewind(&outbox);
    expect_sent(NO_LIMIT, 1, 0);
    assert_int_equal(outbox_restart(&outbox, &steps), 3);
    assert_int_equal(steps, 3);
    expect_sent(NO_LIMIT, 1, 3);
    assert_null(outbox_next(&outbox, NO_LIMIT));
}

static void test_a_restart_leaves_open_segments_open(void **state)
{
    (void)state;
    uint64_t steps = 0;
    Segment *open = outbox_open(&outbox);
    close_many(2);
    expect_sent(NO_LIMIT, 1, 0);
    assert_int_equal(outbox_restart(&outbox, &steps), 1);
    open->num_steps = 2;
    open->episode = 77;
    outbox_close(&outbox, open);
    expect_sent(NO_LIMIT, 1, 1);
    expect_sent(NO_LIMIT, 2, 77);
}

static void test_a_segment_that_the_socket_did_not_take_was_never_sent(void **state)
{
    (void)state;
    uint64_t steps = 0;
    close_many(3);
    expect_sent(NO_LIMIT, 1, 0);
    expect_sent(NO_LIMIT, 2, 1);
    outbox_unsend(&outbox, 2);
    assert_int_equal(outbox_unsent(&outbox), 2);
    outbox_acknowledge(&outbox, 2);
    assert_int_equal(outbox.acked_sequence, 1);
    expect_sent(NO_LIMIT, 2, 1);
    outbox_unsend(&outbox, 2);
    assert_int_equal(outbox_restart(&outbox, &steps), 0);
    expect_sent(NO_LIMIT, 1, 1);
}

static void test_a_segment_that_an_earlier_connection_sent_stays_sent(void **state)
{
    (void)state;
    uint64_t steps = 0;
    close_many(2);
    expect_sent(NO_LIMIT, 1, 0);
    outbox_rewind(&outbox);
    expect_sent(NO_LIMIT, 1, 0);
    outbox_unsend(&outbox, 1);
    assert_int_equal(outbox_restart(&outbox, &steps), 1);
    assert_int_equal(steps, 1);
    expect_sent(NO_LIMIT, 1, 1);
}

/* What the outbox is to hold: episodes and steps of the unacknowledged segments, in order. */
typedef struct Model {
    uint64_t episode[PLACES];
    int num_steps[PLACES];
    int num_closed;
    int num_sent; /* on this connection */
    int num_seen; /* on earlier ones */
    Segment *open[PLACES];
    int num_open;
    uint64_t acked;
    uint64_t next_episode;
} Model;

static void model_pop(Model *model, int count)
{
    int left = model->num_closed - count;
    memmove(model->episode, model->episode + count, (size_t)left * sizeof model->episode[0]);
    memmove(model->num_steps, model->num_steps + count, (size_t)left * sizeof model->num_steps[0]);
    model->num_closed = left;
    model->num_sent = model->num_sent > count ? model->num_sent - count : 0;
    model->num_seen = model->num_seen > count ? model->num_seen - count : 0;
}

static void model_check(const Model *model)
{
    uint64_t steps = 0;
    for (int i = 0; i < model->num_closed; i++)
        steps += (uint64_t)model->num_steps[i];
    assert_int_equal(outbox_unacked(&outbox), model->num_closed);
    assert_int_equal(outbox_unsent(&outbox), model->num_closed - model->num_sent);
    assert_int_equal(outbox_unacked_steps(&outbox), steps);
    assert_int_equal(outbox.num_free, PLACES - model->num_closed - model->num_open);
    assert_int_equal(outbox.acked_sequence, model->acked);
}

static void model_open(Model *model)
{
    Segment *segment = outbox_open(&outbox);
    assert_int_equal(segment != NULL, model->num_open + model->num_closed < PLACES);
    if (segment)
        model->open[model->num_open++] = segment;
}

static void model_close(Model *model, Rng *rng)
{
    if (model->num_open == 0)
        return;
    int which = (int)rng_below(rng, (uint64_t)model->num_open);
    Segment *segment = model->open[which];
    model->open[which] = model->open[--model->num_open];
    if (rng_below(rng, 5) == 0) {
        outbox_discard(&outbox, segment);
        return;
    }
    segment->episode = model->next_episode++;
    segment->num_steps = 1 + (int)rng_below(rng, STEPS_MAX);
    model->episode[model->num_closed] = segment->episode;
    model->num_steps[model->num_closed++] = segment->num_steps;
    outbox_close(&outbox, segment);
}

static void model_send(Model *model, Rng *rng)
{
    uint64_t limit = model->acked + rng_below(rng, PLACES + 2);
    uint64_t sequence = model->acked + (uint64_t)model->num_sent + 1;
    const Segment *segment = outbox_next(&outbox, limit);
    if (sequence > limit || model->num_sent == model->num_closed) {
        assert_null(segment);
        return;
    }
    assert_non_null(segment);
    assert_int_equal(segment->sequence, sequence);
    assert_int_equal(segment->episode, model->episode[model->num_sent]);
    assert_int_equal(segment->num_steps, model->num_steps[model->num_sent]);
    model->num_sent++;
    if (rng_below(rng, 6) == 0) {
        outbox_unsend(&outbox, sequence);
        model->num_sent--;
    }
}

/* How many of the segments the learner may have. */
static int model_seen(const Model *model)
{
    return model->num_seen > model->num_sent ? model->num_seen : model->num_sent;
}

static void model_acknowledge(Model *model, Rng *rng)
{
    uint64_t sequence = rng_below(rng, model->acked + PLACES + 2);
    int seen = model_seen(model);
    outbox_acknowledge(&outbox, sequence);
    if (sequence <= model->acked)
        return;
    int count = sequence - model->acked < (uint64_t)seen ? (int)(sequence - model->acked) : seen;
    model->acked += (uint64_t)count;
    model_pop(model, count);
}

static void model_rewind(Model *model)
{
    outbox_rewind(&outbox);
    model->num_seen = model_seen(model);
    model->num_sent = 0;
}

static void model_restart(Model *model)
{
    uint64_t steps = 0;
    uint64_t wanted = 0;
    int seen = model_seen(model);
    for (int i = 0; i < seen; i++)
        wanted += (uint64_t)model->num_steps[i];
    assert_int_equal(outbox_restart(&outbox, &steps), seen);
    assert_int_equal(steps, wanted);
    model_pop(model, seen);
    model->num_sent = 0;
    model->acked = 0;
}

static void test_random_operations_agree_with_a_list(void **state)
{
    (void)state;
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    Model model = {0};
    for (int i = 0; i < 200000; i++) {
        switch (rng_below(&rng, 16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            model_open(&model);
            break;
        case 4:
        case 5:
        case 6:
        case 7:
            model_close(&model, &rng);
            break;
        case 8:
        case 9:
        case 10:
        case 11:
            model_send(&model, &rng);
            break;
        case 12:
        case 13:
            model_acknowledge(&model, &rng);
            break;
        case 14:
            model_rewind(&model);
            break;
        default:
            if (rng_below(&rng, 8) == 0)
                model_restart(&model);
            break;
        }
        model_check(&model);
    }
    assert_true(model.next_episode > 1000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_segments_are_numbered_from_1_in_the_order_of_closing),
        CASE(test_an_opened_segment_is_empty_and_goes_on),
        CASE(test_places_do_not_overlap),
        CASE(test_nothing_leaves_beyond_the_send_limit),
        CASE(test_a_full_outbox_has_no_place_until_something_is_acknowledged),
        CASE(test_a_discarded_place_is_free_again_and_takes_no_number),
        CASE(test_acknowledging_again_or_less_changes_nothing),
        CASE(test_what_was_never_sent_cannot_be_acknowledged),
        CASE(test_a_rewind_sends_everything_unacknowledged_again),
        CASE(test_after_a_rewind_what_an_earlier_connection_sent_can_be_acknowledged),
        CASE(test_a_restart_drops_what_was_sent_and_keeps_the_rest_numbered_from_1),
        CASE(test_a_restart_drops_what_an_earlier_connection_sent),
        CASE(test_a_restart_leaves_open_segments_open),
        CASE(test_a_segment_that_the_socket_did_not_take_was_never_sent),
        CASE(test_a_segment_that_an_earlier_connection_sent_stays_sent),
        CASE(test_random_operations_agree_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
