/* The learner's loop thread: a real Fleet, told of trainer and log as learner/learner_follow.c
 * does. A restart begins with an empty fleet and what checkpoint and log give back. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

void sim_key_name(int key, char name[IDENTITY_KEY_BYTES])
{
    name[0] = '\0';
    if (key > 0)
        snprintf(name, IDENTITY_KEY_BYTES, "key%d", key);
}

PeerIdentity sim_identity(const Sim *sim, int key)
{
    PeerIdentity identity = identity_without_key(false);
    sim_key_name(key, identity.key);
    if (sim->revoked[key])
        identity.roles = 0;
    return identity;
}

/* --- What the fleet asks of it -----------------------------------------------------------------
 */

/* False when the log cannot be opened. */
static bool begin_run(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    CHECK(segment_ring_new(&learner->ring, sim->slots, 1, 1, SIM_STEPS_MAX) == ERR_OK);
    learner->has_ring = true;
    if (!sim->logged)
        trainer_begin(sim, NULL);
    else if (sim_log_open(sim) != ERR_OK)
        return false;
    CHECK(fleet_set_run(learner->fleet, &sim->spec, &learner->trainer.pacer, learner->accepted,
                        sim->slots) == ERR_OK);
    learner->sum = learner->accepted;
    learner->told = learner->trainer;
    learner->told.env_steps = learner->accepted;
    if (sim->logged && sim->num_checkpoints == 0)
        trainer_save(sim);
    return true;
}

static int adopt_spec(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1])
{
    Sim *sim = context;
    (void)spec;
    (void)text;
    CHECK(begin_run(sim));
    sim->begun = true;
    return 0;
}

static void accept_segment(void *context, const Segment *segment, const SegmentOrigin *origin)
{
    Sim *sim = context;
    SegmentRing *ring = &sim->learner.ring;
    SegmentOrigin *slot_origin;
    truth_accepted(sim, segment, origin);
    Segment *slot = segment_ring_reserve(ring, &slot_origin);
    sim_check(sim, slot, "there is no place in the ring for a segment that was accepted");
    segment_copy(slot, segment, 1, 1);
    *slot_origin = *origin;
    segment_ring_commit(ring);
    if (!sim->logged)
        truth_logged(sim, sim->num_places, false);
}

static void evaluated(void *context, const EvalResult *result)
{
    (void)context;
    (void)result;
}

static void note(void *context, const char *line)
{
    sim_say(context, "learner: %s", line);
}

/* --- Coming and going --------------------------------------------------------------------------
 */

static void learner_begin(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    uint32_t epoch = learner->epoch + 1;
    memset(learner, 0, sizeof *learner);
    learner->alive = true;
    learner->epoch = epoch;
    FleetConfig config = sim->fleet_config;
    config.epoch = epoch;
    FleetSink sink = {sim, adopt_spec, accept_segment, evaluated, note, NULL, NULL};
    learner->fleet = fleet_new(&config, &sink);
    CHECK(learner->fleet);
    const SimCheckpoint *from = trainer_newest(sim);
    if (sim->logged && sim->begun) {
        fleet_set_loading(learner->fleet, true, "reading the log back");
        learner->open_ms = sim->now_ms + sim_range(&sim->rng, 1, 2000);
        return;
    }
    truth_go_back(sim, from ? from->position : 0);
    if (from)
        CHECK(begin_run(sim));
}

static void restore_sessions(Sim *sim)
{
    const LogState *state = &sim->learner.log.recovered.state;
    for (size_t i = 0; i < state->num_sessions; i++) {
        const SessionRecord *record = &state->sessions[i];
        SegmentOrigin origin = {.session = record->id,
                                .actor_index = record->actor_index,
                                .incarnation = record->incarnation,
                                .num_envs = record->num_envs,
                                .session_steps = record->env_steps};
        memcpy(origin.key, record->key, sizeof origin.key);
        memcpy(origin.name, record->name, sizeof origin.name);
        sim_check(sim,
                  fleet_restore_session(sim->learner.fleet, &origin, record->sequence,
                                        (int64_t)record->idle_s * 1000, sim->now_ms),
                  "there is no place for a session that comes back");
    }
}

void learner_crash(Sim *sim, const char *why)
{
    SimLearner *learner = &sim->learner;
    sim_say(sim, "learner: %s", why);
    learner->alive = false;
    learner->begins_ms = sim->now_ms + sim_range(&sim->rng, 10, 8000);
    fleet_destroy(&learner->fleet);
    memory_disk_process_death(sim->disk);
    sim_log_close(sim, false);
    segment_ring_destroy(&learner->ring);
    learner->has_ring = false;
    /* Its connections break; the actors' sockets dial again by themselves. */
    relay_lose_learner(sim);
    sim_break_all(sim);
    for (uint32_t i = 1; i <= sim->num_links; i++) {
        if (sim->link_gone_ms[i] != INT64_MAX && sim->link_relay[i] == 0)
            sim->link_gone_ms[i] = 0; /* the next one never knew it */
    }
}

void learner_lose_power(Sim *sim)
{
    Rng rng = rng_stream(sim->seed, RNG_TEST, sim->power_losses++, 0, 0);
    sim->power_was_lost = true;
    memory_disk_power_loss(sim->disk, sim_chance(&sim->rng, 0.8) ? &rng : NULL);
    if (sim->learner.alive)
        learner_crash(sim, "power is lost");
}

void learner_end(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    fleet_destroy(&learner->fleet);
    sim_log_close(sim, true);
    segment_ring_destroy(&learner->ring);
    learner->has_ring = false;
}

/* --- Credit ------------------------------------------------------------------------------------
 */

/* Everything granted or accepted. It may rise above the limit by what an actor sends that was given
 * up before, and by nothing that the learner does. */
static uint64_t sum_of_grants(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    static ActorStatus actors[SIM_ACTORS_MAX * 2];
    uint32_t num_actors =
        fleet_actor_status(learner->fleet, actors, SIM_ACTORS_MAX * 2, sim->now_ms);
    uint64_t sum = fleet_env_steps_accepted(learner->fleet);
    uint64_t places = learner->has_ring ? segment_ring_used(&learner->ring) : 0;
    for (uint32_t i = 0; i < num_actors; i++) {
        sum += actors[i].unused_credit;
        places += actors[i].send_credit;
    }
    sim_check(sim, places <= sim->slots, "%llu segments are there or allowed, for %llu places",
              (Ull)places, (Ull)sim->slots);
    return sum;
}

void learner_check_grants(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    const SimTrainer *told = &learner->told;
    if (!learner->has_ring)
        return;
    uint64_t sum = sum_of_grants(sim);
    uint64_t window = pacer_window(&told->pacer, SIM_ACTORS_MAX * SIM_ENVS_MAX * 2,
                                   sim->fleet_config.welcome.segment_steps);
    uint64_t limit = pacer_grant_limit(&told->pacer, told->env_steps, told->updates, window);
    sim_check(sim, sum <= limit || sum <= learner->sum,
              "%llu steps are granted or accepted, the limit is %llu", (Ull)sum, (Ull)limit);
    learner->sum = sum;
}

/* --- Messages ----------------------------------------------------------------------------------
 */

/* A Hello: what it says to be lost is counted. */
static void receive_hello(Sim *sim, const Packet *packet, const PeerIdentity *identity)
{
    SimLearner *learner = &sim->learner;
    const Hello *hello = &packet->message.hello;
    FleetCounts before = fleet_counts(learner->fleet);
    sim->link_session[packet->link] = packet->session + 1;
    fleet_receive(learner->fleet, sim->way[packet->link], identity, &packet->message, sim->now_ms);
    FleetCounts after = fleet_counts(learner->fleet);
    uint64_t segments = after.lost_segments - before.lost_segments;
    if (segments == 0)
        return;
    sim_check(sim, segments == hello->oldest_unacked - 1 - sim->sessions[packet->session].accepted,
              "%llu segments are counted as lost", (Ull)segments);
    truth_given_up(sim, packet->session, hello->oldest_unacked,
                   after.lost_steps - before.lost_steps);
}

void learner_receive(Sim *sim, const Packet *packet, const PeerIdentity *identity)
{
    SimLearner *learner = &sim->learner;
    if (packet->message.kind == MESSAGE_HELLO)
        receive_hello(sim, packet, identity);
    else
        fleet_receive(learner->fleet, sim->way[packet->link], NULL, &packet->message, sim->now_ms);
    if (packet->message.kind != MESSAGE_SEGMENT)
        learner_check_grants(sim);
    else if (learner->has_ring && sim->strict)
        learner->sum = sum_of_grants(sim); /* accepting raises nobody's limit */
    else
        learner->sum += (uint64_t)packet->message.segment.num_steps;
}

static void receive(Sim *sim, Connection *connection)
{
    for (;;) {
        if (sim_blocked(sim, connection, true))
            return;
        Packet *packet = sim_take(&connection->up, sim->now_ms);
        if (!packet)
            break;
        PeerIdentity identity = sim_identity(sim, sim->sessions[packet->session].key);
        learner_receive(sim, packet, &identity);
        sim_packet_free(packet);
    }
    sim_free_if_done(connection);
}

static void tell_fleet(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    const SimTrainer *trainer = &learner->trainer;
    if (!learner->has_ring)
        return;
    FleetProgress progress = {.env_steps = trainer->env_steps,
                              .updates = trainer->updates,
                              .slots_used = segment_ring_used(&learner->ring),
                              .newest = trainer->published,
                              .settled = trainer_is_settled(sim),
                              .logged = FLEET_NOT_LOGGED};
    if (sim->logged) {
        const LogStatus *log = &learner->log.reported;
        progress.logged = log->handed_on;
        progress.durable = log->durable && log->unlogged == learner->unlogged;
        learner->unlogged = log->unlogged;
        if (!log->durable && sim->on_error == LOG_ON_ERROR_WAIT)
            snprintf(progress.hold, sizeof progress.hold, "%.*s", WIRE_TEXT_MAX, log->failing);
    }
    fleet_set_pacer(learner->fleet, &trainer->pacer);
    fleet_set_progress(learner->fleet, &progress);
    learner->told = *trainer;
    /* Without news there is nothing to give. */
    if (memcmp(&progress, &learner->progress, sizeof progress) != 0)
        learner_check_grants(sim);
    learner->progress = progress;
}

/* The log is read back, or cannot be. */
static void open_run(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    learner->open_ms = 0;
    if (!begin_run(sim)) {
        sim_tally.failed_starts++;
        learner_crash(sim, "gives up");
        return;
    }
    sim_tally.restarts++;
    restore_sessions(sim);
    fleet_set_loading(learner->fleet, false, "");
    tell_fleet(sim);
}

/* Once nothing fails any more, nobody is turned away but for want of room. */
static void check_reject(Sim *sim, Link link, const Reject *reject)
{
    bool good = sim->now_ms > sim->faults_until_ms + SIM_SETTLE_MS;
    int session = sim->link_session[link] - 1;
    bool thief = session < -1;
    bool crowded = sim->fleet_config.peers_max < (uint32_t)sim->num_actors ||
                   sim->fleet_config.sessions_max < (uint32_t)sim->num_actors;
    sim_check(sim,
              !good || thief || reject->reason == REJECT_FULL ||
                  (crowded && reject->reason == REJECT_SESSION_EXPIRED),
              "%s: %s", reject_reason_name(reject->reason), reject->text);
    if (reject->reason == REJECT_SESSION_EXPIRED && session >= 0 &&
        !sim->sessions[session].expired) {
        sim->sessions[session].expired = true;
        sim_tally.expired++;
    }
}

static void check_sent(Sim *sim, Link link, const Message *message)
{
    bool thief = sim->link_session[link] < 0;
    sim_check(sim, !thief || message->kind == MESSAGE_REJECT || message->kind == MESSAGE_BYE,
              "a thief is sent %s", message_kind_name(message->kind));
    switch (message->kind) {
    case MESSAGE_REJECT:
        check_reject(sim, link, &message->reject);
        break;
    case MESSAGE_WELCOME:
        truth_acknowledged(sim, link, message->welcome.acked_sequence, NULL);
        break;
    case MESSAGE_ACK:
        truth_acknowledged(sim, link, message->ack.acked_sequence, &message->ack);
        break;
    default:
        break;
    }
}

static void send_messages(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    Link way = 0;
    static Message message;
    while (fleet_next_message(learner->fleet, sim->now_ms, &way, &message)) {
        Link link = relay_is_way(way) ? relay_link_of(sim, way) : way;
        if (link != 0)
            check_sent(sim, link, &message);
        bool there = relay_is_way(way) ? relay_send_down(sim, way, &message)
                                       : sim_send_down(sim, link, &message);
        if (!there) { /* the connection, with all its channels */
            fleet_link_gone(learner->fleet, link_make(link_connection(way), 0));
            learner_check_grants(sim);
        }
    }
}

/* --- The loop ----------------------------------------------------------------------------------
 */

static void loop_work(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    for (int i = 0; i < sim->num_connections; i++) {
        Connection *connection = &sim->connections[i];
        if (connection->used && sim->link_relay[connection->link] == 0)
            receive(sim, connection);
    }
    relay_reach_learner(sim);
    tell_fleet(sim);
    if (sim->now_ms >= learner->next_tick_ms) {
        fleet_tick(learner->fleet, sim->now_ms);
        learner_check_grants(sim);
        learner->next_tick_ms = sim->now_ms + 100;
    }
    if (learner->has_ring && !learner->bye_said && !learner->log.past &&
        pacer_finished(&learner->trainer.pacer, learner->trainer.env_steps,
                       learner->trainer.updates)) {
        trainer_check_end(sim);
        fleet_say_bye(learner->fleet, BYE_FINISHED);
        learner->bye_said = true;
        sim_say(sim, "learner: finished");
    }
    send_messages(sim);
}

/* A stop in good order: what waits is written, and a checkpoint. */
void learner_restart(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    fleet_say_bye(learner->fleet, BYE_RESTARTING);
    send_messages(sim);
    if (learner->has_ring)
        trainer_save(sim);
    sim_log_close(sim, true);
    learner_crash(sim, "stops, to begin again");
}

/* The threads have their turns in any order. */
void learner_work(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    if (!learner->alive && sim->now_ms >= learner->begins_ms)
        learner_begin(sim);
    if (learner->alive && sim->now_ms >= learner->frozen_ms && learner->open_ms > 0 &&
        sim->now_ms >= learner->open_ms)
        open_run(sim);
    if (!learner->alive || sim->now_ms < learner->frozen_ms)
        return;
    bool alive = true;
    switch (sim_range(&sim->rng, 0, 3)) {
    case 0:
        loop_work(sim);
        sim_log_turn(sim);
        alive = trainer_work(sim);
        break;
    case 1:
        sim_log_turn(sim);
        loop_work(sim);
        alive = trainer_work(sim);
        break;
    case 2:
        alive = trainer_work(sim);
        loop_work(sim);
        sim_log_turn(sim);
        break;
    default:
        sim_log_turn(sim);
        alive = trainer_work(sim);
        loop_work(sim);
        break;
    }
    if (!alive)
        learner_crash(sim, "cannot read its log");
}
