/* Faults of environments, as the fleet counts them: once each, whatever a heartbeat says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/learner/fleet/fleet_world.h"

static int make(void **state)
{
    World *world = malloc(sizeof *world);
    CHECK(world);
    world_init(world);
    *state = world;
    return 0;
}

static int unmake(void **state)
{
    World *world = *state;
    fleet_destroy(&world->fleet);
    free(world);
    return 0;
}

/* A heartbeat of the first session of a process. */
static Heartbeat beat_of(uint64_t diverged, uint64_t died, const char *last)
{
    Heartbeat heartbeat = {.sessions = 1};
    heartbeat.faults.count[ENV_FAULT_DIVERGED] = diverged;
    heartbeat.faults.count[ENV_FAULT_DIED] = died;
    snprintf(heartbeat.last_fault, sizeof heartbeat.last_fault, "%s", last);
    return heartbeat;
}

static void beat(World *world, Link link, const Heartbeat *heartbeat)
{
    static Message message;
    message = (Message){.kind = MESSAGE_HEARTBEAT, .heartbeat = *heartbeat};
    world_say(world, link, &message);
}

static void beat_faults(World *world, Link link, uint64_t diverged, uint64_t died)
{
    Heartbeat heartbeat = beat_of(diverged, died, "environment 0: the point left the line");
    beat(world, link, &heartbeat);
}

static uint64_t sum_of(const World *world, EnvFault fault)
{
    return fleet_counts(world->fleet).faults.count[fault];
}

#define SUMS(diverged, died)                                                                       \
    do {                                                                                           \
        assert_int_equal(sum_of(world, ENV_FAULT_DIVERGED), diverged);                             \
        assert_int_equal(sum_of(world, ENV_FAULT_DIED), died);                                     \
        assert_int_equal(sum_of(world, ENV_FAULT_HUNG), 0);                                        \
    } while (0)

static const RunStatus *status_of(World *world)
{
    world_join(world, 99, ROLE_OBSERVER, 99);
    Message message = {.kind = MESSAGE_STATUS_REQUEST};
    world_say(world, 99, &message);
    const Message *found = world_flush(world, 99, MESSAGE_STATUS);
    assert_non_null(found);
    return &found->status;
}

static void test_the_sums_are_of_all_actors(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    SUMS(0, 0);
    beat_faults(world, 1, 3, 1);
    beat_faults(world, 2, 4, 0);
    SUMS(7, 1);
    beat_faults(world, 1, 3, 1); /* the same again */
    beat_faults(world, 1, 5, 1);
    SUMS(9, 1);
    const RunStatus *status = status_of(world);
    assert_int_equal(status->faults.count[ENV_FAULT_DIVERGED], 9);
    assert_string_equal(status->last_fault, "peer 1: environment 0: the point left the line");
    assert_int_equal(status->num_actors, 2);
    assert_int_equal(status->actors[0].faults.count[ENV_FAULT_DIVERGED], 5);
    assert_int_equal(status->actors[0].faults.count[ENV_FAULT_DIED], 1);
    assert_int_equal(status->actors[1].faults.count[ENV_FAULT_DIVERGED], 4);
    assert_string_equal(status->actors[1].last_fault, "environment 0: the point left the line");
}

static void test_an_actor_that_leaves_takes_nothing_along(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    beat_faults(world, 1, 3, 1);
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    world_say(world, 1, &bye);
    SUMS(3, 1);
    world_join(world, 2, ROLE_ACTOR, 2); /* another process */
    beat_faults(world, 2, 2, 0);
    SUMS(5, 1);
    const RunStatus *status = status_of(world);
    assert_int_equal(status->num_actors, 1);
    assert_int_equal(status->actors[0].faults.count[ENV_FAULT_DIVERGED], 2);
    assert_int_equal(status->faults.count[ENV_FAULT_DIVERGED], 5);
}

static void test_a_reconnect_of_a_session_counts_nothing_twice(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    beat_faults(world, 1, 3, 1);
    fleet_link_gone(world->fleet, 1);
    world_join(world, 2, ROLE_ACTOR, 1);
    /* It is not forgotten before the first heartbeat. */
    assert_int_equal(status_of(world)->actors[0].faults.count[ENV_FAULT_DIVERGED], 3);
    beat_faults(world, 2, 3, 1);
    SUMS(3, 1);
    beat_faults(world, 2, 4, 1);
    SUMS(4, 1);
}

static void test_a_count_that_goes_back_takes_nothing_away(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    beat_faults(world, 1, 10, 2);
    beat_faults(world, 1, 0, 3);
    SUMS(10, 3);
    beat_faults(world, 1, 10, 3); /* up and down again and again is no way to grow */
    beat_faults(world, 1, 1, 0);
    beat_faults(world, 1, 10, 3);
    SUMS(10, 3);
    assert_int_equal(status_of(world)->actors[0].faults.count[ENV_FAULT_DIVERGED], 10);
}

static void test_no_count_makes_a_sum_overflow(void **state)
{
    World *world = *state;
    world_start(world);
    for (Link link = 1; link <= 4; link++) {
        world_join(world, link, ROLE_ACTOR, (int)link);
        beat_faults(world, link, UINT64_MAX, link);
        assert_true(sum_of(world, ENV_FAULT_DIVERGED) == WIRE_COUNT_MAX);
    }
    assert_int_equal(sum_of(world, ENV_FAULT_DIED), 1 + 2 + 3 + 4);
    assert_true(status_of(world)->actors[3].faults.count[ENV_FAULT_DIVERGED] == WIRE_COUNT_MAX);
}

/* The learner was restarted, and the actor goes on with its session. */
static void test_what_was_before_this_start_is_not_counted(void **state)
{
    World *world = *state;
    world_start(world);
    SegmentOrigin origin = {.session = world_session(1), .num_envs = 1, .name = "peer 1"};
    assert_true(fleet_restore_session(world->fleet, &origin, 7, 0, world->now_ms));
    Hello hello = world_hello(ROLE_ACTOR, 1, 8);
    world_say_hello(world, 1, &hello);
    beat_faults(world, 1, 500, 2);
    SUMS(0, 0);
    assert_string_equal(status_of(world)->last_fault, "");
    assert_int_equal(status_of(world)->actors[0].faults.count[ENV_FAULT_DIVERGED], 500);
    beat_faults(world, 1, 501, 4);
    SUMS(1, 2);
}

/* The learner had forgotten the session: the process goes on counting in another one. */
static void test_another_session_of_a_process_counts_nothing_twice(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    beat_faults(world, 1, 3, 0);
    fleet_link_gone(world->fleet, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    Heartbeat heartbeat = beat_of(4, 0, "it diverged");
    heartbeat.sessions = 2;
    beat(world, 2, &heartbeat);
    SUMS(3, 0);
    heartbeat.faults.count[ENV_FAULT_DIVERGED] = 6;
    beat(world, 2, &heartbeat);
    SUMS(5, 0);
}

static void test_only_actors_count(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_OBSERVER, 1);
    world_join(world, 2, ROLE_EVALUATOR, 2);
    beat_faults(world, 1, 3, 0);
    beat_faults(world, 2, 3, 0);
    SUMS(0, 0);
    assert_int_equal(status_of(world)->num_alarms, 0);
}

static void test_the_first_of_a_kind_is_logged_with_who_and_what(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world->num_notes = 0;
    beat_faults(world, 1, 2, 0);
    assert_int_equal(world->num_notes, 1);
    assert_string_equal(world->note, "actor 0 (peer 1): faults of its environments: 2 diverged; "
                                     "last: environment 0: the point left the line");
    beat_faults(world, 1, 9, 0);
    assert_int_equal(world->num_notes, 1);
    beat_faults(world, 1, 10, 1);
    assert_int_equal(world->num_notes, 2);
    assert_non_null(strstr(world->note, "1 lost with a worker that died; last"));
    assert_null(strstr(world->note, "diverged; last"));
}

/* What ends an actor need not be a fault that is counted. */
static void test_what_ends_an_actor_is_logged_and_in_the_status(void **state)
{
    World *world = *state;
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    Heartbeat last = beat_of(0, 0, "toy: step failed: it broke");
    beat(world, 1, &last); /* its first heartbeat */
    world_say(world, 1, &bye);
    assert_string_equal(world->note,
                        "actor peer 1 says goodbye; its last fault: toy: step failed: it broke");
    assert_string_equal(status_of(world)->last_fault, "peer 1: toy: step failed: it broke");

    world_join(world, 2, ROLE_ACTOR, 2);
    beat_faults(world, 2, 3, 0);
    last = beat_of(3, 0, "toy: the worker ended 6 times");
    beat(world, 2, &last);
    world_say(world, 2, &bye);
    assert_string_equal(status_of(world)->last_fault, "peer 2: toy: the worker ended 6 times");

    world_join(world, 3, ROLE_ACTOR, 3);
    world_say(world, 3, &bye);
    assert_string_equal(world->note, "actor peer 3 says goodbye");
}

/* Its last fault is an old one, and somebody else's is newer. */
static void test_a_reconnect_makes_no_fault_the_newest(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    Heartbeat old = beat_of(1, 0, "old");
    beat(world, 1, &old);
    world_join(world, 2, ROLE_ACTOR, 2);
    Heartbeat newer = beat_of(1, 0, "newer");
    beat(world, 2, &newer);
    fleet_link_gone(world->fleet, 1);
    world_join(world, 3, ROLE_ACTOR, 1);
    beat(world, 3, &old);
    beat(world, 3, &old);
    assert_string_equal(status_of(world)->last_fault, "peer 2: newer");
}

static void test_a_flood_of_faults_is_few_lines(void **state)
{
    World *world = *state;
    enum { ACTORS = 100 };
    world->config.peers_max = ACTORS;
    world_start(world);
    for (Link link = 1; link <= ACTORS; link++)
        world_join(world, link, ROLE_ACTOR, (int)link);
    world->num_notes = 0;
    for (uint64_t count = 1; count < 10; count++) {
        for (Link link = 1; link <= ACTORS; link++)
            beat_faults(world, link, count, count);
    }
    assert_in_range(world->num_notes, 1, 5);
    for (int i = 0; i < 11; i++) { /* and then how many there were */
        for (Link link = 1; link <= ACTORS; link++)
            world_beat(world, link);
        world_pass(world, WORLD_HEARTBEAT_MS);
    }
    assert_string_equal(world->note, "… and 95 more about faults of environments: see the status");
    assert_in_range(world->num_notes, 2, 6);
}

static void test_many_faults_within_a_minute_are_an_alarm(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    beat_faults(world, 1, 100, 0);
    assert_int_equal(status_of(world)->num_alarms, 0);
    beat_faults(world, 1, 101, 0);
    const RunStatus *status = status_of(world);
    assert_int_equal(status->num_alarms, 1);
    assert_string_equal(status->alarms[0],
                        "actor 0 (peer 1): more than 100 faults of environments within a minute: "
                        "environment 0: the point left the line");
    beat_faults(world, 2, 300, 0);
    status = status_of(world);
    assert_int_equal(status->num_alarms, 1);
    assert_non_null(strstr(status->alarms[0], "actor 1 (peer 2) and 1 other: "));
    world->now_ms += 60000;
    beat_faults(world, 1, 150, 0);
    beat_faults(world, 2, 301, 0);
    assert_int_equal(status_of(world)->num_alarms, 0);
}

static void test_a_few_faults_a_minute_are_no_alarm(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    for (uint64_t second = 0; second < 1000; second++) {
        world->now_ms += 1000;
        beat_faults(world, 1, second, 0);
        assert_int_equal(status_of(world)->num_alarms, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_the_sums_are_of_all_actors),
        TEST(test_an_actor_that_leaves_takes_nothing_along),
        TEST(test_a_reconnect_of_a_session_counts_nothing_twice),
        TEST(test_a_count_that_goes_back_takes_nothing_away),
        TEST(test_no_count_makes_a_sum_overflow),
        TEST(test_what_was_before_this_start_is_not_counted),
        TEST(test_another_session_of_a_process_counts_nothing_twice),
        TEST(test_only_actors_count),
        TEST(test_the_first_of_a_kind_is_logged_with_who_and_what),
        TEST(test_what_ends_an_actor_is_logged_and_in_the_status),
        TEST(test_a_reconnect_makes_no_fault_the_newest),
        TEST(test_a_flood_of_faults_is_few_lines),
        TEST(test_many_faults_within_a_minute_are_an_alarm),
        TEST(test_a_few_faults_a_minute_are_no_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
