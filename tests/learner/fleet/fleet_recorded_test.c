/* A learner meets actors of every version that was released: each joins, or is refused in one line
 * that names both versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/learner/fleet/fleet_world.h"
#include "tests/proto/wire_recorded.h"

/* What the learner answers to a Hello of that version; NULL when none is recorded. */
static const Message *answer_to(World *world, int version)
{
    static Recorded recorded;
    static Message hello;
    if (!recorded_find(version, "hello", &recorded))
        return NULL;
    assert_int_equal(recorded_unpack(&recorded, NULL, &hello, NULL), ERR_OK);
    world_init(world);
    world_start(world);
    fleet_receive(world->fleet, 1, NULL, &hello, world->now_ms);
    const Message *answer =
        world_flush(world, 1, version == WIRE_PROTOCOL_VERSION ? MESSAGE_WELCOME : MESSAGE_REJECT);
    assert_non_null(answer);
    return answer;
}

static void test_every_recorded_hello_joins_or_is_refused_naming_both_versions(void **state)
{
    (void)state;
    static World world;
    for (int version = RECORDED_FIRST_VERSION; version <= WIRE_PROTOCOL_VERSION; version++) {
        const Message *answer = answer_to(&world, version);
        if (!answer)
            continue;
        if (version != WIRE_PROTOCOL_VERSION) {
            assert_int_equal(answer->reject.reason, REJECT_VERSION);
            assert_true(recorded_names_both(answer->reject.text, version));
            assert_int_equal(fleet_num_peers(world.fleet), 0);
        }
        fleet_destroy(&world.fleet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_recorded_hello_joins_or_is_refused_naming_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
