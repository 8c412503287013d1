#include "cli/bench/bench_fleet_actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <zmq.h>

#include "cli/bench/bench_ingest_leg.h"
#include "common/clock.h"
#include "common/text.h"

enum {
    TURNS_MAX = 4, /* of one actor, before the others have theirs */
    LOOK_MS_MAX = 1000,
    RATE_WINDOW_MS = 1000,
};

static void add(_Atomic uint64_t *sum, uint64_t more)
{
    atomic_fetch_add_explicit(sum, more, memory_order_relaxed);
}

static void add_news(_Atomic uint64_t *sum, uint64_t *told, uint64_t now)
{
    add(sum, now - *told);
    *told = now;
}

/* --- Steps -------------------------------------------------------------------------------------
 */

static void close_segment(SimActor *actor, const SimFleet *all, SimLane *lane, SegmentEnd end)
{
    static Message message; /* large: kept off the stack */
    Segment *segment = lane->open;
    segment->end = end;
    segment->episode_return = lane->episode_return;
    outbox_close(&actor->outbox, segment);
    lane->open = NULL;
    actor->segments++;
    message.kind = MESSAGE_SEGMENT;
    message.segment = *segment;
    add(&all->count->segments, 1);
    add(&all->count->bytes, wire_size(&message, &actor->connection.dims));
}

static bool open_segment(SimActor *actor, int i, int64_t now_ms)
{
    SimLane *lane = &actor->lanes[i];
    lane->open = outbox_open(&actor->outbox);
    if (!lane->open)
        return false;
    lane->opened_ms = now_ms;
    lane->open->env_index = (uint32_t)i;
    lane->open->episode = lane->episode;
    lane->open->first_step = lane->episode_steps;
    lane->open->version = actor->version;
    return true;
}

/* A step of one environment: the numbers are in the segment already. False: there is no place. */
static bool record_step(SimActor *actor, const SimFleet *all, int i, int64_t now_ms)
{
    SimLane *lane = &actor->lanes[i];
    if (!lane->open && !open_segment(actor, i, now_ms))
        return false;
    lane->episode_return += (double)lane->open->reward[lane->open->num_steps++];
    lane->episode_steps++;
    if (lane->episode_steps == (uint32_t)all->fleet->spec.step_limit) {
        close_segment(actor, all, lane, SEGMENT_TRUNCATED);
        lane->episode++;
        lane->episode_steps = 0;
        lane->episode_return = 0;
    } else if (lane->open->num_steps >= actor->outbox.steps_max) {
        close_segment(actor, all, lane, SEGMENT_CONTINUES);
    }
    return true;
}

/* A step of each environment that credit and outbox allow; how many. */
static int record_round(SimActor *actor, const SimFleet *all, int64_t now_ms)
{
    Uplink *uplink = &actor->connection.uplink;
    uint64_t credit = uplink_credit(uplink);
    int wanted = credit < (uint64_t)actor->num_lanes ? (int)credit : actor->num_lanes;
    int taken = 0;
    while (taken < wanted &&
           record_step(actor, all, (actor->first + taken) % actor->num_lanes, now_ms))
        taken++;
    actor->first = (actor->first + taken) % actor->num_lanes;
    actor->steps += (uint64_t)taken;
    uplink_count_steps(uplink, (uint64_t)taken);
    return taken;
}

static int open_lanes(const SimActor *actor)
{
    int lanes = 0;
    for (int i = 0; i < actor->num_lanes; i++)
        lanes += actor->lanes[i].open != NULL;
    return lanes;
}

/* Why no step may be taken; NULL when one may. */
static const char *why_wait(const SimActor *actor, int64_t now_ms)
{
    const Outbox *outbox = &actor->outbox;
    if (outbox->places == 0)
        return "waiting for the learner";
    const char *why = uplink_why_wait(&actor->connection.uplink, actor->version,
                                      actor->downlink.received_ms, now_ms);
    if (!why && outbox->num_free == 0 && open_lanes(actor) == 0)
        why = "the outbox is full: waiting for acknowledgements";
    return why;
}

/* Counts the time that an actor waits, and for what. */
static void note_wait(SimActor *actor, const SimFleet *all, const char *why, int64_t now_ns)
{
    if (actor->waiting_ns > 0)
        add(&all->count->waited_ns, (uint64_t)(now_ns - actor->waiting_ns));
    actor->waiting_ns = why ? now_ns : 0;
    if (why && all->measuring)
        (void)err_set(&all->count->waiting_for, ERR_OK, "%s", why);
}

/* Takes the step whose time is over, and begins the next one. */
static void step(SimActor *actor, const SimFleet *all, int64_t now_ns)
{
    int64_t now_ms = now_ns / 1000000;
    const char *why = why_wait(actor, now_ms);
    note_wait(actor, all, why, now_ns);
    if (why) {
        actor->step_ns = 0;
        return;
    }
    if (actor->step_ns == 0)
        actor->step_ns = now_ns + all->step_ns;
    if (now_ns < actor->step_ns)
        return;
    /* Without a step's time, a segment's worth of each. */
    int rounds = all->step_ns > 0 ? 1 : actor->outbox.steps_max;
    uint64_t taken = 0;
    for (int round = 0; round < rounds; round++) {
        int more = record_round(actor, all, now_ms);
        taken += (uint64_t)more;
        if (more < actor->num_lanes)
            break;
    }
    add(&all->count->steps, taken);
    if (taken == 0) { /* the outbox is full: an acknowledgement wakes */
        actor->step_ns = 0;
        return;
    }
    actor->step_ns += all->step_ns;
    if (all->step_ns > 0 && actor->step_ns <= now_ns) {
        uint64_t missed = (uint64_t)((now_ns - actor->step_ns) / all->step_ns + 1);
        add(&all->count->missed_steps, missed * taken);
        actor->step_ns = now_ns + all->step_ns;
    }
}

/* Closes open segments that are old enough, or all. */
static void flush(SimActor *actor, const SimFleet *all, int64_t now_ms, bool everything)
{
    int64_t flush_ms = (int64_t)actor->connection.uplink.welcome.segment_flush_ms;
    for (int i = 0; i < actor->num_lanes; i++) {
        SimLane *lane = &actor->lanes[i];
        if (lane->open && (everything || now_ms - lane->opened_ms >= flush_ms))
            close_segment(actor, all, lane, SEGMENT_CONTINUES);
    }
}

static uint64_t open_steps(const SimActor *actor)
{
    uint64_t steps = 0;
    for (int i = 0; i < actor->num_lanes; i++)
        steps += actor->lanes[i].open ? (uint64_t)actor->lanes[i].open->num_steps : 0;
    return steps;
}

/* --- Sockets -----------------------------------------------------------------------------------
 */

static int make_outbox(SimActor *actor, const SimFleet *all, int segment_steps, Err *err)
{
    const Spec *spec = &all->fleet->spec;
    int places = OUTBOX_PLACES_PER_ENV * actor->num_lanes;
    if (places < OUTBOX_PLACES_MIN)
        places = OUTBOX_PLACES_MIN;
    if (outbox_new(&actor->outbox, places, spec->obs_dim, spec->act_dim, segment_steps) != 0)
        return err_set(err, ERR_NOMEM, "not enough memory for the segments of %d actors",
                       all->fleet->peers);
    uint64_t seed = (uint64_t)all->fleet->config->seed + (uint64_t)actor->number * (uint64_t)places;
    for (int i = 0; i < places; i++)
        ingest_fill_segment(&actor->outbox.segments[i], spec->obs_dim, spec->act_dim, segment_steps,
                            seed + (uint64_t)i);
    return ERR_OK;
}

static int take_welcome(SimActor *actor, SimFleet *all, Err *err)
{
    Uplink *uplink = &actor->connection.uplink;
    int segment_steps = (int)uplink->welcome.segment_steps;
    int code = ERR_OK;
    if (actor->outbox.places == 0) {
        code = make_outbox(actor, all, segment_steps, err);
        add(&all->count->joined, 1);
    } else {
        add(&all->count->reconnects, 1);
    }
    if (code == 0 && segment_steps != actor->outbox.steps_max)
        code = err_set(err, ERR_SPEC, "the learner changed segment_steps from %d to %d",
                       actor->outbox.steps_max, segment_steps);
    if (actor->outbox.seen_sequence > actor->outbox.acked_sequence)
        add(&all->count->resent, actor->outbox.seen_sequence - actor->outbox.acked_sequence);
    actor->first_frame = true;
    return code ? code
                : downlink_open(&actor->downlink, &uplink->welcome,
                                actor->connection.dealer.endpoint, &uplink->hello.session, err);
}

/* The session expired: what was acknowledged in it is what is neither lost nor kept. */
static void take_session(SimActor *actor)
{
    Uplink *uplink = &actor->connection.uplink;
    uint64_t open = open_steps(actor);
    uplink_count_steps(uplink, open);
    actor->acked_steps_before =
        actor->steps - open - outbox_unacked_steps(&actor->outbox) - uplink->lost_steps;
    actor->acked_segments_before =
        actor->segments - outbox_unacked(&actor->outbox) - uplink->lost_segments;
}

static void fill_heartbeat(SimActor *actor, int64_t now_ms)
{
    Heartbeat *status = &actor->connection.uplink.status;
    int64_t window_ms = now_ms - actor->rate_ms;
    if (window_ms >= RATE_WINDOW_MS) {
        status->steps_per_s = (double)(actor->steps - actor->rate_steps) * 1000 / (double)window_ms;
        actor->rate_steps = actor->steps;
        actor->rate_ms = now_ms;
    }
    status->env_steps = actor->connection.uplink.steps_taken;
    status->version = actor->version;
    status->sessions = (uint32_t)actor->connection.uplink.sessions;
    const char *why = why_wait(actor, now_ms);
    snprintf(status->waiting_for, sizeof status->waiting_for, "%s", why ? why : "");
}

static void note_arrival(const SimFleet *all, Version version)
{
    uint64_t number = atomic_load_explicit(&all->count->num_arrivals, memory_order_relaxed);
    if (number == FLEET_ARRIVALS_MAX)
        return;
    all->arrivals[number] = (FleetArrival){version, clock_ns()};
    atomic_store(&all->count->num_arrivals, number + 1);
}

static void take_weights(SimActor *actor, SimFleet *all, int64_t now_ms)
{
    const Uplink *uplink = &actor->connection.uplink;
    all->scratch.version = actor->version;
    downlink_poll(&actor->downlink, &all->scratch, now_ms);
    if (!version_equal(all->scratch.version, actor->version)) {
        actor->version = all->scratch.version;
        add(&all->count->weights, 1);
        if (all->measuring && !actor->first_frame)
            note_arrival(all, actor->version);
        actor->first_frame = false;
    }
    downlink_chase(&actor->downlink, &all->scratch, uplink->newest,
                   uplink->welcome.publish_interval_ms, now_ms);
}

static void tell(SimActor *actor, const SimFleet *all)
{
    const Uplink *uplink = &actor->connection.uplink;
    FleetCount *count = all->count;
    bool active = uplink->state == UPLINK_ACTIVE && !actor->ended;
    if (active != actor->active)
        add(&count->connected, active ? 1 : UINT64_MAX);
    actor->active = active;
    add_news(&count->acked_steps, &actor->acked_steps_told,
             actor->acked_steps_before + actor->outbox.acked_steps);
    add_news(&count->acked_segments, &actor->acked_segments_told,
             actor->acked_segments_before + actor->outbox.acked_sequence);
    add_news(&count->lost_steps, &actor->lost_steps_told, uplink->lost_steps);
    add_news(&count->lost_segments, &actor->lost_segments_told, uplink->lost_segments);
    if (uplink->state == UPLINK_FINISHED && !actor->ended) {
        actor->ended = true;
        add(&count->ended, 1);
    }
}

/* Again and again for the same socket: a closed one leaves by itself, and a new one may have the
 * address of the old. */
static void watch(const SimFleet *all, const SimActor *actor, void *socket)
{
    int fd = -1;
    size_t bytes = sizeof fd;
    if (!socket || zmq_getsockopt(socket, ZMQ_FD, &fd, &bytes) != 0)
        return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = (void *)actor};
    (void)epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Its descriptor tells of nothing that any call has seen: so it is asked after each. */
static bool has_input(void *socket)
{
    int events = 0;
    size_t bytes = sizeof events;
    return socket && zmq_getsockopt(socket, ZMQ_EVENTS, &events, &bytes) == 0 &&
           (events & ZMQ_POLLIN);
}

static int look(SimActor *actor, SimFleet *all, int64_t now_ms, Err *err)
{
    Connection *connection = &actor->connection;
    bool more = true;
    fill_heartbeat(actor, now_ms);
    for (int turn = 0; turn < TURNS_MAX && more; turn++) {
        int code = connection_drive(connection, now_ms, err);
        if (connection_new_session(connection))
            take_session(actor);
        if (code == 0 && connection_welcomed(connection))
            code = take_welcome(actor, all, err);
        if (code != 0)
            return code;
        if (actor->outbox.places > 0)
            take_weights(actor, all, now_ms);
        more = has_input(connection->dealer.socket) || has_input(actor->downlink.socket);
    }
    tell(actor, all);
    watch(all, actor, connection->dealer.socket);
    watch(all, actor, actor->downlink.socket);
    int wait_ms = uplink_timeout_ms(&connection->uplink, now_ms);
    if (wait_ms > LOOK_MS_MAX)
        wait_ms = LOOK_MS_MAX;
    actor->look_ns = more ? 0 : (now_ms + wait_ms) * 1000000;
    return ERR_OK;
}

/* --- Its life ----------------------------------------------------------------------------------
 */

int sim_actor_open(SimActor *actor, SimFleet *all, int number, Err *err)
{
    const Fleet *fleet = all->fleet;
    static Hello hello;
    memset(actor, 0, sizeof *actor);
    actor->number = number;
    actor->num_lanes = (int)fleet->config->envs_per_actor;
    actor->outbox = (Outbox){.next_sequence = 1};
    actor->lanes = calloc((size_t)actor->num_lanes, sizeof *actor->lanes);
    if (!actor->lanes)
        return err_set(err, ERR_NOMEM, "not enough memory for %d actors", fleet->peers);
    hello = (Hello){.role = ROLE_ACTOR,
                    .has_spec = true,
                    .spec = fleet->spec,
                    .num_envs = (uint32_t)actor->num_lanes};
    snprintf(hello.name, sizeof hello.name, "simulated/%d", number);
    int code = downlink_init(&actor->downlink, all->zmq_context, &fleet->spec, err);
    downlink_use_keys(&actor->downlink, &actor->connection.dealer.keys);
    return code ? code
                : connection_open(&actor->connection, all->zmq_context, fleet->config, &hello,
                                  &actor->outbox, WIRE_SMALL_BYTES_MAX, err);
}

/* It cannot go on. */
static void give_up(SimActor *actor, const SimFleet *all, const Err *why)
{
    FleetCount *count = all->count;
    actor->ended = true;
    tell(actor, all);
    add(&count->refused, 1);
    if (!atomic_load(&count->failed)) {
        count->trouble = *why;
        atomic_store(&count->failed, true);
    }
    connection_close(&actor->connection);
    downlink_destroy(&actor->downlink);
}

static int64_t next_turn_ns(const SimActor *actor)
{
    int64_t flush_ms = (int64_t)actor->connection.uplink.welcome.segment_flush_ms;
    int64_t due_ns = actor->look_ns;
    if (actor->step_ns > 0 && actor->step_ns < due_ns)
        due_ns = actor->step_ns;
    if (actor->connection.uplink.state != UPLINK_ACTIVE)
        return due_ns;
    for (int i = 0; i < actor->num_lanes; i++) {
        int64_t flush_ns = (actor->lanes[i].opened_ms + flush_ms) * 1000000;
        if (actor->lanes[i].open && flush_ns < due_ns)
            due_ns = flush_ns;
    }
    return due_ns;
}

int64_t sim_actor_turn(SimActor *actor, SimFleet *all, bool woken, bool steps_wanted,
                       int64_t now_ns)
{
    Err err = {""};
    int64_t now_ms = now_ns / 1000000;
    int code = ERR_OK;
    if (actor->ended)
        return INT64_MAX;
    if (woken || now_ns >= actor->look_ns)
        code = look(actor, all, now_ms, &err);
    uint64_t segments = actor->segments;
    if (!code && steps_wanted && !actor->ended) {
        step(actor, all, now_ns);
        /* No more steps for now: what there is may be what the learner waits for. While there is no
         * connection, segments can still be filled later. */
        if (actor->connection.uplink.state == UPLINK_ACTIVE)
            flush(actor, all, now_ms, uplink_credit(&actor->connection.uplink) == 0);
    }
    if (!code && actor->segments != segments)
        code = look(actor, all, now_ms, &err);
    if (code)
        give_up(actor, all, &err);
    return actor->ended ? INT64_MAX : next_turn_ns(actor);
}

void sim_actor_stop(SimActor *actor, const SimFleet *all)
{
    actor->step_ns = 0;
    actor->look_ns = 0;
    flush(actor, all, 0, true);
}

bool sim_actor_is_done(const SimActor *actor)
{
    return actor->ended || outbox_unacked(&actor->outbox) == 0;
}

void sim_actor_leave(SimActor *actor, SimFleet *all, ByeReason reason)
{
    Connection *connection = &actor->connection;
    FleetSession *session = &all->fleet->sessions[actor->number];
    add(&all->count->unacked_segments, outbox_unacked(&actor->outbox));
    *session = (FleetSession){.id = connection->uplink.hello.session,
                              .segments = actor->outbox.acked_sequence,
                              .steps = actor->outbox.acked_steps};
    if (actor->active) {
        Message message;
        fill_heartbeat(actor, clock_ms());
        uplink_heartbeat(&connection->uplink, &message);
        dealer_send(&connection->dealer, &message, &connection->dims);
        message = (Message){.kind = MESSAGE_BYE, .bye = reason};
        dealer_send(&connection->dealer, &message, &connection->dims);
    }
    if (connection->dealer.arena) /* not given up already */
        connection_close(connection);
    downlink_destroy(&actor->downlink);
    outbox_destroy(&actor->outbox);
    free(actor->lanes);
    actor->lanes = NULL;
}
