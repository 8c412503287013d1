/* Credit: never more than there is, to everybody in turn, and never to the wrong one. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/fleet/credit.h"

enum { SESSIONS_MAX = 300, SEGMENT_STEPS = 8 };

typedef struct Fixture {
    ActorSession sessions[SESSIONS_MAX];
    ActorSession *pointers[SESSIONS_MAX];
    uint32_t num_sessions;
    CreditPool pool;
    uint64_t slots_used;
    int raised;
} Fixture;

static void start(Fixture *fixture, uint32_t num_sessions, uint64_t slots, uint64_t window)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->num_sessions = num_sessions;
    for (uint32_t i = 0; i < num_sessions; i++) {
        fixture->sessions[i].num_envs = 1;
        fixture->sessions[i].link = i + 1;
        fixture->pointers[i] = &fixture->sessions[i];
    }
    fixture->pool = (CreditPool){.step_limit = window,
                                 .total_steps = 1000000,
                                 .window = window,
                                 .segment_steps = SEGMENT_STEPS,
                                 .slots_free = slots,
                                 .slots = slots};
}

static void count_raised(void *context, ActorSession *session)
{
    Fixture *fixture = context;
    (void)session;
    fixture->raised++;
}

static uint64_t in_hand(const ActorSession *session)
{
    return session->step_limit - session->steps_accepted;
}

static uint64_t slots_in_hand(const ActorSession *session)
{
    return session->send_limit_sequence - session->accepted_sequence;
}

static void give(Fixture *fixture, const ActorSession *only)
{
    fixture->pool.slots_free = fixture->pool.slots - fixture->slots_used;
    credit_give(&fixture->pool, fixture->pointers, fixture->num_sessions, only, count_raised,
                fixture);
}

/* What always holds. */
static void check(const Fixture *fixture, uint64_t seed)
{
    uint64_t granted = fixture->pool.steps_accepted;
    uint64_t reserved = fixture->slots_used;
    for (uint32_t i = 0; i < fixture->num_sessions; i++) {
        granted += in_hand(&fixture->sessions[i]);
        reserved += slots_in_hand(&fixture->sessions[i]);
    }
    if (granted > fixture->pool.step_limit || reserved > fixture->pool.slots)
        fail_msg("seed %" PRIu64 ": %" PRIu64 " steps of %" PRIu64 " are granted, %" PRIu64
                 " slots of %" PRIu64 " promised",
                 seed, granted, fixture->pool.step_limit, reserved, fixture->pool.slots);
}

/* An actor sends one segment of what it has in hand. */
static void send_segment(Fixture *fixture, uint32_t i, uint64_t steps)
{
    ActorSession *session = &fixture->sessions[i];
    assert_true(slots_in_hand(session) > 0 && in_hand(session) >= steps);
    session->accepted_sequence++;
    session->steps_accepted += steps;
    fixture->pool.steps_accepted += steps;
    fixture->slots_used++;
}

static void test_a_grant_is_a_round_of_full_segments(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 1, 64, 2 * 3 * SEGMENT_STEPS);
    fixture.sessions[0].num_envs = 3;
    give(&fixture, NULL);
    assert_int_equal(in_hand(&fixture.sessions[0]), 2 * 3 * SEGMENT_STEPS); /* and two of them */
    assert_int_equal(slots_in_hand(&fixture.sessions[0]), 24);
    assert_true(fixture.raised > 0);
    fixture.raised = 0;
    give(&fixture, NULL);
    assert_int_equal(fixture.raised, 0); /* nothing changed: nobody is told anything */
}

/* Over a long link two rounds are stepped before the first word of them is back. */
static void test_a_large_window_is_held_in_more_rounds(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 2, 64, 2 * 5 * SEGMENT_STEPS);
    give(&fixture, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(in_hand(&fixture.sessions[i]), 5 * SEGMENT_STEPS);
    start(&fixture, 2, 64, 1000000);
    give(&fixture, NULL);
    for (int i = 0; i < 2; i++) /* and no more than it may send */
        assert_int_equal(in_hand(&fixture.sessions[i]), 8 * SEGMENT_STEPS);
    check(&fixture, 0);
}

static void test_a_small_window_is_shared_out_evenly(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 4, 64, 8);
    give(&fixture, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(in_hand(&fixture.sessions[i]), 2);
    start(&fixture, 4, 64, 1);
    give(&fixture, NULL);
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += in_hand(&fixture.sessions[i]);
    assert_int_equal(sum, 1);
    check(&fixture, 0);
}

static void test_a_draining_actor_may_send_and_takes_no_more_steps(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 2, 64, 1024);
    fixture.sessions[0].draining = true;
    give(&fixture, NULL);
    assert_int_equal(in_hand(&fixture.sessions[0]), 0);
    assert_true(slots_in_hand(&fixture.sessions[0]) > 0);
    assert_true(in_hand(&fixture.sessions[1]) > 0);
}

static void test_a_tiny_rest_is_worth_no_message_but_at_the_end(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 1, 64, 16);
    give(&fixture, NULL);
    assert_int_equal(in_hand(&fixture.sessions[0]), 16);
    send_segment(&fixture, 0, 8);
    send_segment(&fixture, 0, 8);
    fixture.pool.step_limit = 16 + 3; /* less than half a segment */
    give(&fixture, NULL);
    assert_int_equal(in_hand(&fixture.sessions[0]), 0);
    fixture.pool.total_steps = 19; /* the last three of the run */
    give(&fixture, NULL);
    assert_int_equal(in_hand(&fixture.sessions[0]), 3);
}

static void test_lockstep_gives_to_one_alone(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 3, 64, 1024);
    give(&fixture, &fixture.sessions[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(in_hand(&fixture.sessions[i]), i == 1 ? SEGMENT_STEPS : 0);
        assert_int_equal(slots_in_hand(&fixture.sessions[i]) > 0, i == 1);
    }
}

static void test_one_actor_with_many_environments_leaves_slots_to_others(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 2, 64, 100000);
    fixture.sessions[0].num_envs = 4096;
    give(&fixture, NULL);
    assert_int_equal(slots_in_hand(&fixture.sessions[0]), 32);
    assert_int_equal(slots_in_hand(&fixture.sessions[1]), 8);
    check(&fixture, 0);
}

static void test_steps_go_only_to_those_who_can_send_them(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 10, 3, 80);
    give(&fixture, NULL);
    int with_steps = 0;
    for (int i = 0; i < 10; i++) {
        with_steps += in_hand(&fixture.sessions[i]) > 0;
        assert_true(in_hand(&fixture.sessions[i]) == 0 || slots_in_hand(&fixture.sessions[i]) > 0);
    }
    assert_int_equal(with_steps, 3);
}

static void test_a_free_slot_goes_to_whoever_holds_steps(void **state)
{
    (void)state;
    static Fixture fixture;
    start(&fixture, 2, 1, 8);
    give(&fixture, NULL);
    uint32_t holder = in_hand(&fixture.sessions[0]) > 0 ? 0 : 1;
    send_segment(&fixture, holder, 1); /* a short episode: it has three steps more */
    give(&fixture, NULL);
    assert_int_equal(slots_in_hand(&fixture.sessions[holder]), 0);
    fixture.slots_used = 0;
    give(&fixture, NULL);
    assert_int_equal(slots_in_hand(&fixture.sessions[holder]), 1);
    assert_int_equal(slots_in_hand(&fixture.sessions[1 - holder]), 0);
}

/* Many actors, few slots, short windows: all have their turn, and none much more often. */
static void test_300_actors_share_few_slots_fairly(void **state)
{
    (void)state;
    static Fixture fixture;
    static uint64_t sent[SESSIONS_MAX];
    memset(sent, 0, sizeof sent);
    start(&fixture, 300, 16, 64);
    for (int round = 0; round < 4000; round++) {
        fixture.pool.step_limit = fixture.pool.steps_accepted + fixture.pool.window;
        give(&fixture, NULL);
        check(&fixture, 0);
        for (uint32_t i = 0; i < 300; i++) {
            if (slots_in_hand(&fixture.sessions[i]) == 0 || in_hand(&fixture.sessions[i]) == 0)
                continue;
            send_segment(&fixture, i, in_hand(&fixture.sessions[i]));
            sent[i]++;
        }
        fixture.slots_used = 0;
    }
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (int i = 0; i < 300; i++) {
        least = sent[i] < least ? sent[i] : least;
        most = sent[i] > most ? sent[i] : most;
    }
    assert_true(least > 0);
    if (most > least + 2)
        fail_msg("one actor sent %d segments and another %d", (int)most, (int)least);
}

/* Random fleets, speeds and windows: the limits hold at every moment, and something always moves.
 */
static void run_at_random(uint64_t seed)
{
    static Fixture fixture;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    start(&fixture, 1 + (uint32_t)rng_below(&rng, 12), 1 + rng_below(&rng, 20),
          1 + rng_below(&rng, 200));
    fixture.pool.total_steps = 500 + rng_below(&rng, 2000);
    for (uint32_t i = 0; i < fixture.num_sessions; i++)
        fixture.sessions[i].num_envs = 1 + (uint32_t)rng_below(&rng, 5);
    int idle = 0;
    while (fixture.pool.steps_accepted < fixture.pool.total_steps) {
        uint64_t limit = fixture.pool.steps_accepted + fixture.pool.window;
        fixture.pool.step_limit =
            limit < fixture.pool.total_steps ? limit : fixture.pool.total_steps;
        give(&fixture, NULL);
        check(&fixture, seed);
        uint32_t i = (uint32_t)rng_below(&rng, fixture.num_sessions);
        uint64_t steps = in_hand(&fixture.sessions[i]);
        if (steps > 0 && slots_in_hand(&fixture.sessions[i]) > 0) {
            uint64_t most = steps < SEGMENT_STEPS ? steps : SEGMENT_STEPS;
            send_segment(&fixture, i, 1 + rng_below(&rng, most));
            idle = 0;
        } else if (idle++ > 1000) {
            fail_msg("seed %" PRIu64 ": nobody can do anything", seed);
        }
        fixture.slots_used -= fixture.slots_used > 0 && rng_below(&rng, 2) == 0;
    }
    assert_int_equal(fixture.pool.steps_accepted, fixture.pool.total_steps);
}

static void test_random_fleets_always_reach_the_total(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_at_random(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_grant_is_a_round_of_full_segments),
        cmocka_unit_test(test_a_large_window_is_held_in_more_rounds),
        cmocka_unit_test(test_a_small_window_is_shared_out_evenly),
        cmocka_unit_test(test_a_draining_actor_may_send_and_takes_no_more_steps),
        cmocka_unit_test(test_a_tiny_rest_is_worth_no_message_but_at_the_end),
        cmocka_unit_test(test_lockstep_gives_to_one_alone),
        cmocka_unit_test(test_one_actor_with_many_environments_leaves_slots_to_others),
        cmocka_unit_test(test_steps_go_only_to_those_who_can_send_them),
        cmocka_unit_test(test_a_free_slot_goes_to_whoever_holds_steps),
        cmocka_unit_test(test_300_actors_share_few_slots_fairly),
        cmocka_unit_test(test_random_fleets_always_reach_the_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
