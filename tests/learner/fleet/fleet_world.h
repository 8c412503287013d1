/* A fleet with a learner around it that only takes notes. For tests only. */
#ifndef POLYAK_TESTS_LEARNER_FLEET_FLEET_WORLD_H
#define POLYAK_TESTS_LEARNER_FLEET_FLEET_WORLD_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet.h"

enum {
    WORLD_SLOTS = 16,
    WORLD_STEPS_MAX = 8,
    WORLD_ACCEPTED_MAX = 1024,
    WORLD_HEARTBEAT_MS = 1000
};

/* The header of a segment that was accepted. */
typedef struct Accepted {
    uint64_t sequence;
    int num_steps;
    SegmentEnd end;
    SegmentOrigin origin;
} Accepted;

typedef struct World {
    Fleet *fleet;
    FleetConfig config;
    Pacer pacer;
    FleetProgress progress;
    Spec spec;
    uint64_t slots;
    bool run_known; /* at the start; else the first actor brings it */
    int64_t now_ms;
    int adopt_answer; /* 0: takes it */
    int num_adopted;
    int num_accepted;
    Accepted accepted[WORLD_ACCEPTED_MAX];
    int num_evaluated;
    EvalResult evaluated;
    PeerIdentity identity; /* of whoever says Hello */
    int num_notes;
    char note[512]; /* the newest */
    bool set_answer;
    char assignment[WIRE_TEXT_MAX + 1]; /* the newest */
    Link stalled;                       /* takes no Status; 0: none */
} World;

static inline int world_adopt(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1])
{
    World *world = context;
    world->num_adopted++;
    if (world->adopt_answer != 0) {
        snprintf(text, WIRE_TEXT_MAX + 1, "no room for obs_dim %d", spec->obs_dim);
        return world->adopt_answer;
    }
    CHECK(fleet_set_run(world->fleet, spec, &world->pacer, world->progress.env_steps,
                        world->slots) == 0);
    fleet_set_progress(world->fleet, &world->progress);
    return 0;
}

static inline void world_accept(void *context, const Segment *segment, const SegmentOrigin *origin)
{
    World *world = context;
    CHECK(world->num_accepted < WORLD_ACCEPTED_MAX);
    CHECK(world->progress.slots_used < world->slots);
    world->progress.slots_used++;
    world->accepted[world->num_accepted++] =
        (Accepted){segment->sequence, segment->num_steps, segment->end, *origin};
}

static inline void world_evaluated(void *context, const EvalResult *result)
{
    World *world = context;
    world->num_evaluated++;
    world->evaluated = *result;
}

static inline void world_note(void *context, const char *line)
{
    World *world = context;
    world->num_notes++;
    snprintf(world->note, sizeof world->note, "%s", line);
}

static inline bool world_set(void *context, const char *assignment, char text[WIRE_TEXT_MAX + 1])
{
    World *world = context;
    snprintf(world->assignment, sizeof world->assignment, "%s", assignment);
    snprintf(text, WIRE_TEXT_MAX + 1, world->set_answer ? "it was so" : "it cannot be");
    return world->set_answer;
}

static inline bool world_status_fits(void *context, Link link)
{
    const World *world = context;
    return world->stalled != link;
}

static inline Spec world_spec(void)
{
    return (Spec){.name = "toy",
                  .obs_dim = 1,
                  .act_dim = 1,
                  .step_limit = 100,
                  .action_low = {-2},
                  .action_high = {2}};
}

/* What a test does not set is this: a known run of 1,000 steps, 16 slots, credit in plenty. */
static inline void world_start(World *world)
{
    FleetSink sink = {world,      world_adopt, world_accept,     world_evaluated,
                      world_note, world_set,   world_status_fits};
    world->fleet = fleet_new(&world->config, &sink);
    CHECK(world->fleet);
    if (!world->run_known)
        return;
    CHECK(fleet_set_run(world->fleet, &world->spec, &world->pacer, world->progress.env_steps,
                        world->slots) == 0);
    fleet_set_progress(world->fleet, &world->progress);
}

static inline void world_init(World *world)
{
    memset(world, 0, sizeof *world);
    world->config = (FleetConfig){
        .welcome = {.heartbeat_interval_ms = WORLD_HEARTBEAT_MS,
                    .segment_steps = WORLD_STEPS_MAX,
                    .seed = 77},
        .epoch = 3,
        .peers_max = 8,
        .sessions_max = 100,
        .session_retention_ms = 60000,
        .obs_dim_max = 16,
        .act_dim_max = 4,
        .actors_awaited = 1,
    };
    world->pacer = (Pacer){.total_env_steps = 1000, .batch = 4, .ratio = 1};
    world->spec = world_spec();
    world->slots = WORLD_SLOTS;
    world->run_known = true;
    world->progress.logged = FLEET_NOT_LOGGED;
    world->identity = identity_without_key(false);
    world->now_ms = 1000;
}

static inline Session world_session(int number)
{
    Session session = {{0}};
    memcpy(session.id, &number, sizeof number);
    return session;
}

static inline Hello world_hello(Role role, int session, uint64_t oldest_unacked)
{
    Hello hello = {.protocol_version = WIRE_PROTOCOL_VERSION,
                   .role = role,
                   .session = world_session(session),
                   .oldest_unacked = oldest_unacked,
                   .has_spec = role_has_spec(role),
                   .spec = world_spec(),
                   .num_envs = 1};
    snprintf(hello.name, sizeof hello.name, "peer %d", session);
    return hello;
}

static inline void world_say_hello(World *world, Link link, const Hello *hello)
{
    static Message message;
    message = (Message){.kind = MESSAGE_HELLO, .hello = *hello};
    fleet_receive(world->fleet, link, &world->identity, &message, world->now_ms);
}

static inline void world_join(World *world, Link link, Role role, int session)
{
    Hello hello = world_hello(role, session, 1);
    world_say_hello(world, link, &hello);
}

static inline void world_say(World *world, Link link, const Message *message)
{
    fleet_receive(world->fleet, link, NULL, message, world->now_ms);
}

static inline void world_beat(World *world, Link link)
{
    static const Message heartbeat = {.kind = MESSAGE_HEARTBEAT};
    fleet_receive(world->fleet, link, NULL, &heartbeat, world->now_ms);
}

/* A frame that cannot be read. */
static inline void world_garbage(World *world, Link link, int code, const char *why)
{
    fleet_receive_garbage(world->fleet, link, code, why, world->now_ms);
}

static inline void world_send_segment(World *world, Link link, uint64_t sequence, int num_steps,
                                      SegmentEnd end)
{
    static float block[3 * WORLD_STEPS_MAX + 1];
    static Message message;
    message = (Message){.kind = MESSAGE_SEGMENT,
                        .segment = {.sequence = sequence, .num_steps = num_steps, .end = end}};
    segment_bind(&message.segment, block, 1, 1, WORLD_STEPS_MAX);
    fleet_receive(world->fleet, link, NULL, &message, world->now_ms);
}

/* The trainer ingests and works off all that is there. */
static inline void world_train(World *world)
{
    world->progress.env_steps = fleet_env_steps_accepted(world->fleet);
    while (pacer_may_update(&world->pacer, world->progress.env_steps, world->progress.updates) &&
           world->pacer.ratio > 0)
        world->progress.updates++;
    world->progress.slots_used = 0;
    world->progress.settled = true;
    fleet_set_progress(world->fleet, &world->progress);
}

/* Time passes, in steps as the learner's own timer makes them. */
static inline void world_pass(World *world, int64_t ms)
{
    for (int64_t until_ms = world->now_ms + ms; world->now_ms < until_ms;) {
        world->now_ms += 100;
        fleet_tick(world->fleet, world->now_ms);
    }
}

/* The newest message of a kind for a link, of all that goes out now; NULL when there is none. */
static inline const Message *world_flush(World *world, Link link, MessageKind kind)
{
    static Message found;
    static Message message;
    bool any = false;
    Link to = 0;
    while (fleet_next_message(world->fleet, world->now_ms, &to, &message)) {
        if (to != link || message.kind != kind)
            continue;
        found = message;
        any = true;
    }
    return any ? &found : NULL;
}

/* The reason for which a link is refused now; 0 when it is not. */
static inline RejectReason world_refusal(World *world, Link link)
{
    const Message *message = world_flush(world, link, MESSAGE_REJECT);
    return message ? message->reject.reason : 0;
}

static inline Welcome world_welcome(World *world, Link link)
{
    const Message *message = world_flush(world, link, MESSAGE_WELCOME);
    CHECK(message);
    return message->welcome;
}

#endif
