/* What goes out beside acknowledgements: evaluations, status, the last Bye. */
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

static void ask(World *world, uint64_t eval_id)
{
    EvalRequest request = {.eval_id = eval_id, .episodes = 3, .seed = 9};
    assert_true(fleet_request_evaluation(world->fleet, &request));
}

/* The evaluation that a link is given now; 0 for none. */
static uint64_t given(World *world, Link link)
{
    const Message *message = world_flush(world, link, MESSAGE_EVAL_REQUEST);
    return message ? message->eval_request.eval_id : 0;
}

static void answer(World *world, Link link, uint64_t eval_id, double return_mean)
{
    Message message = {
        .kind = MESSAGE_EVAL_RESULT,
        .eval_result = {.eval_id = eval_id, .episodes = 3, .return_mean = return_mean}};
    world_say(world, link, &message);
}

static void test_an_evaluator_has_one_request_at_a_time(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    ask(world, 11);
    ask(world, 12);
    assert_int_equal(fleet_num_evaluations(world->fleet), 2);
    assert_int_equal(given(world, 1), 11);
    world_pass(world, WORLD_HEARTBEAT_MS);
    assert_int_equal(given(world, 1), 0);
    answer(world, 1, 11, -5);
    assert_int_equal(world->num_evaluated, 1);
    assert_int_equal(world->evaluated.eval_id, 11);
    assert_true(world->evaluated.return_mean == -5);
    assert_int_equal(given(world, 1), 12);
    assert_int_equal(fleet_num_evaluations(world->fleet), 1);
}

static void test_two_evaluators_share_the_work(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    world_join(world, 2, ROLE_EVALUATOR, 2);
    ask(world, 11);
    ask(world, 12);
    uint64_t sum = 0;
    Link link = 0;
    Link links = 0;
    static Message message;
    while (fleet_next_message(world->fleet, world->now_ms, &link, &message)) {
        if (message.kind != MESSAGE_EVAL_REQUEST)
            continue;
        sum += message.eval_request.eval_id;
        links |= link;
    }
    assert_int_equal(sum, 23);
    assert_int_equal(links, 3);
}

static void test_the_request_of_a_lost_evaluator_goes_to_a_free_one_at_once(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    ask(world, 11);
    assert_int_equal(given(world, 1), 11);
    world_join(world, 2, ROLE_EVALUATOR, 2);
    assert_int_equal(given(world, 2), 0);
    fleet_link_gone(world->fleet, 1);
    assert_int_equal(given(world, 2), 11);
    answer(world, 2, 11, 1);
    assert_int_equal(world->num_evaluated, 1);
}

static void test_a_request_waits_for_the_next_evaluator(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    ask(world, 11);
    assert_int_equal(given(world, 1), 11);
    fleet_link_gone(world->fleet, 1);
    assert_int_equal(fleet_num_evaluators(world->fleet), 0);
    world_join(world, 2, ROLE_EVALUATOR, 2);
    assert_int_equal(given(world, 2), 11);
}

static void test_a_result_that_nobody_waits_for_is_left_out(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    ask(world, 11);
    answer(world, 1, 11, 1); /* it was not sent yet */
    assert_int_equal(given(world, 1), 11);
    answer(world, 1, 99, 1);
    answer(world, 2, 11, 1); /* an actor evaluates nothing */
    assert_int_equal(world->num_evaluated, 0);
    answer(world, 1, 11, 1);
    answer(world, 1, 11, 1); /* once is enough */
    assert_int_equal(world->num_evaluated, 1);
}

static void test_the_queue_of_evaluations_is_bounded(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    EvalRequest request = {.episodes = 1};
    int taken = 0;
    while (taken < 1000 && fleet_request_evaluation(world->fleet, &request))
        taken++;
    assert_in_range(taken, 1, 100);
}

static void fill(void *context, RunStatus *status)
{
    const World *world = context;
    status->env_steps = (uint64_t)world->num_accepted;
}

static void test_an_observer_gets_the_status_that_it_asks_for(void **state)
{
    World *world = *state;
    world_start(world);
    fleet_set_status_fill(world->fleet, fill, world);
    world_join(world, 1, ROLE_OBSERVER, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_send_segment(world, 2, 1, 5, SEGMENT_CONTINUES);
    Message heartbeat = {.kind = MESSAGE_HEARTBEAT,
                         .heartbeat = {.dropped_steps = 7, .waiting_for = "credit"}};
    world_say(world, 2, &heartbeat);
    world->now_ms += 250;
    Message message = {.kind = MESSAGE_STATUS_REQUEST};
    world_say(world, 1, &message);
    const Message *found = world_flush(world, 1, MESSAGE_STATUS);
    assert_non_null(found);
    const RunStatus *status = &found->status;
    assert_int_equal(status->env_steps, 1);
    assert_int_equal(status->epoch, 3);
    assert_int_equal(status->num_actors, 1);
    assert_string_equal(status->actors[0].name, "peer 2");
    assert_string_equal(status->actors[0].waiting_for, "credit");
    assert_int_equal(status->actors[0].env_steps, 5);
    assert_int_equal(status->actors[0].dropped_steps, 7);
    assert_int_equal(status->actors[0].silent_ms, 250);
    assert_null(world_flush(world, 1, MESSAGE_STATUS)); /* one for each request */
}

/* The number of Statuses that a link is given in this time, with requests in a flood before. */
static int statuses(World *world, Link link, int64_t ms)
{
    static Message message;
    int count = 0;
    Link to = 0;
    for (int64_t until_ms = world->now_ms + ms; world->now_ms < until_ms; world_pass(world, 100)) {
        world_beat(world, link);
        while (fleet_next_message(world->fleet, world->now_ms, &to, &message))
            count += to == link && message.kind == MESSAGE_STATUS;
    }
    return count;
}

static void test_who_asks_without_end_gets_a_status_now_and_then(void **state)
{
    World *world = *state;
    static const Message request = {.kind = MESSAGE_STATUS_REQUEST};
    world_start(world);
    world_join(world, 1, ROLE_OBSERVER, 1);
    int count = 0;
    for (int i = 0; i < 5000; i++) {
        world_say(world, 1, &request);
        count += world_flush(world, 1, MESSAGE_STATUS) != NULL;
        if (i % 1000 == 999)
            world_pass(world, 100);
    }
    assert_int_equal(count, 5); /* in 500 ms */
    /* The last request is answered too, once. */
    assert_int_equal(statuses(world, 1, 2000), 1);
    world_say(world, 1, &request);
    assert_non_null(world_flush(world, 1, MESSAGE_STATUS));
}

/* It is told the rest, and gets its Status when it has read the last one. */
static void test_who_does_not_read_gets_no_status(void **state)
{
    World *world = *state;
    static const Message request = {.kind = MESSAGE_STATUS_REQUEST};
    world_start(world);
    world_join(world, 1, ROLE_OBSERVER, 1);
    world_join(world, 2, ROLE_OBSERVER, 2);
    world->stalled = 1;
    world_say(world, 1, &request);
    assert_int_equal(statuses(world, 1, 500), 0);
    world_say(world, 2, &request);
    assert_int_equal(statuses(world, 2, 500), 1);
    world_join(world, 1, ROLE_OBSERVER, 1); /* a new Hello changes nothing */
    assert_non_null(world_flush(world, 1, MESSAGE_WELCOME));
    world_say(world, 1, &request);
    assert_int_equal(statuses(world, 1, 500), 0);
    world->stalled = 0;
    assert_int_equal(statuses(world, 1, 500), 1);
    world_say(world, 1, &request);
    world->stalled = 1;
    fleet_say_bye(world->fleet, BYE_FINISHED);
    assert_non_null(world_flush(world, 1, MESSAGE_BYE));
}

/* Both in bytes and in number, with texts as long as they get. */
static void test_a_status_of_a_huge_fleet_fits_a_frame(void **state)
{
    World *world = *state;
    enum { ACTORS = STATUS_ACTORS_MAX + 10 };
    world->config.peers_max = ACTORS + 1;
    world->config.sessions_max = ACTORS + 1;
    world_start(world);
    Message heartbeat = {.kind = MESSAGE_HEARTBEAT, .heartbeat = {.dropped_steps = UINT64_MAX}};
    memset(heartbeat.heartbeat.waiting_for, 'w', WIRE_TEXT_MAX);
    memset(heartbeat.heartbeat.last_fault, 'f', WIRE_TEXT_MAX);
    memset(&heartbeat.heartbeat.faults, 0x7f, sizeof heartbeat.heartbeat.faults);
    Hello hello = world_hello(ROLE_ACTOR, 0, 1);
    memset(hello.name, 'n', WIRE_NAME_MAX);
    static Message message;
    for (Link link = 1; link <= ACTORS; link++) {
        hello.session = world_session((int)link);
        world_say_hello(world, link, &hello);
        world_say(world, link, &heartbeat);
    }
    assert_int_equal(fleet_num_actors(world->fleet), ACTORS);
    world_join(world, ACTORS + 1, ROLE_OBSERVER, 0);
    message = (Message){.kind = MESSAGE_STATUS_REQUEST};
    world_say(world, ACTORS + 1, &message);
    const Message *status = world_flush(world, ACTORS + 1, MESSAGE_STATUS);
    assert_non_null(status);
    assert_int_equal(status->status.num_actors, STATUS_ACTORS_MAX);

    size_t bytes = wire_size(status, NULL);
    assert_true(bytes <= WIRE_STATUS_BYTES_MAX);
    uint8_t *frame = malloc(bytes);
    WireArena *arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    assert_true(frame && arena);
    wire_pack(status, NULL, frame);
    Err err;
    if (wire_unpack(frame, bytes, NULL, arena, &message, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(message.status.num_actors, STATUS_ACTORS_MAX);
    wire_arena_destroy(&arena);
    free(frame);
}

static void test_the_last_bye_is_said_until_a_peer_leaves(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    fleet_say_bye(world->fleet, BYE_FINISHED);
    const Message *message = world_flush(world, 1, MESSAGE_BYE);
    assert_non_null(message);
    assert_int_equal(message->bye, BYE_FINISHED);
    assert_null(world_flush(world, 1, MESSAGE_BYE));
    world_pass(world, WORLD_HEARTBEAT_MS); /* it may have been lost */
    assert_non_null(world_flush(world, 1, MESSAGE_BYE));
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_FINISHED};
    world_say(world, 1, &bye);
    world_pass(world, WORLD_HEARTBEAT_MS);
    assert_null(world_flush(world, 1, MESSAGE_BYE));
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_an_evaluator_has_one_request_at_a_time),
        TEST(test_two_evaluators_share_the_work),
        TEST(test_the_request_of_a_lost_evaluator_goes_to_a_free_one_at_once),
        TEST(test_a_request_waits_for_the_next_evaluator),
        TEST(test_a_result_that_nobody_waits_for_is_left_out),
        TEST(test_the_queue_of_evaluations_is_bounded),
        TEST(test_an_observer_gets_the_status_that_it_asks_for),
        TEST(test_who_asks_without_end_gets_a_status_now_and_then),
        TEST(test_who_does_not_read_gets_no_status),
        TEST(test_a_status_of_a_huge_fleet_fits_a_frame),
        TEST(test_the_last_bye_is_said_until_a_peer_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
