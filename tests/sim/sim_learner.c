/* The learner: a real Fleet, and a trainer that ingests and updates at a random speed as the real
 * pacer allows. A restart begins with an empty fleet and, where there is one, a checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

static int adopt_spec(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1])
{
    Sim *sim = context;
    (void)text;
    SimLearner *learner = &sim->learner;
    return fleet_set_run(learner->fleet, spec, &learner->pacer, learner->env_steps, sim->slots);
}

/* The numbers that the rollout wrote into a segment say which step of which process it is. */
static void check_order(Sim *sim, const Segment *segment)
{
    SimLearner *learner = &sim->learner;
    int life = (int)segment->obs[0];
    uint32_t env = segment->env_index;
    uint64_t first = (uint64_t)segment->reward[0];
    int session = learner->receiving_session;
    uint64_t expected = learner->next_step[life][env];
    bool same_session = learner->next_step_session[life][env] == session + 1;
    sim_check(sim, first >= expected, "life %d, environment %u: step %llu came twice", life, env,
              (unsigned long long)first);
    sim_check(sim, !same_session || first == expected,
              "life %d, environment %u: step %llu where %llu belongs", life, env,
              (unsigned long long)first, (unsigned long long)expected);
    learner->next_step[life][env] = first + (uint64_t)segment->num_steps;
    learner->next_step_session[life][env] = session + 1;
    sim_check(sim, !version_is_newer(learner->newest_seen[life][env], segment->version),
              "life %d, environment %u: its policy went back", life, env);
    learner->newest_seen[life][env] = segment->version;
}

static void accept_segment(void *context, const Segment *segment, const SegmentOrigin *origin)
{
    (void)origin;
    Sim *sim = context;
    SimLearner *learner = &sim->learner;
    int session = learner->receiving_session;
    sim_check(sim, segment->sequence == learner->last_sequence[session] + 1,
              "session %d: segment %llu after %llu", session, (unsigned long long)segment->sequence,
              (unsigned long long)learner->last_sequence[session]);
    learner->last_sequence[session] = segment->sequence;
    check_order(sim, segment);
    sim_check(sim, learner->ring_head - learner->ring_tail < sim->slots, "the ring is full");
    learner->ring[learner->ring_head++ % sim->slots] = segment->num_steps;
    learner->accepted += (uint64_t)segment->num_steps;
    sim_check(sim, learner->accepted <= sim->pacer.total_env_steps, "%llu steps of %llu",
              (unsigned long long)learner->accepted,
              (unsigned long long)sim->pacer.total_env_steps);
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

void learner_begin(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    SimLearner fresh = {.alive = true,
                        .epoch = learner->epoch + 1,
                        .pacer = sim->pacer,
                        .has_checkpoint = learner->has_checkpoint,
                        .checkpoint_env_steps = learner->checkpoint_env_steps,
                        .checkpoint_updates = learner->checkpoint_updates};
    *learner = fresh;
    if (learner->has_checkpoint) {
        learner->env_steps = learner->checkpoint_env_steps;
        learner->updates = learner->checkpoint_updates;
        learner->published = (Version){learner->epoch, learner->updates};
    }
    learner->accepted = learner->env_steps;
    learner->pacer.env_steps_start = learner->env_steps;
    learner->pacer.updates_start = learner->updates;
    FleetConfig config = sim->fleet_config;
    config.epoch = learner->epoch;
    FleetSink sink = {sim, adopt_spec, accept_segment, evaluated, note, NULL};
    learner->fleet = fleet_new(&config, &sink);
    CHECK(learner->fleet);
    if (learner->has_checkpoint)
        CHECK(fleet_set_run(learner->fleet, &sim->spec, &learner->pacer, learner->env_steps,
                            sim->slots) == 0);
    sim_say(sim, "learner: start %u at %llu steps and %llu updates", learner->epoch,
            (unsigned long long)learner->env_steps, (unsigned long long)learner->updates);
}

void learner_crash(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    sim_say(sim, "learner: crash");
    learner->alive = false;
    learner->begins_ms = sim->now_ms + sim_range(&sim->rng, 10, 8000);
    fleet_destroy(&learner->fleet);
    /* Its connections break; the actors' sockets dial again by themselves. */
    sim_break_all(sim);
    for (uint32_t i = 1; i <= sim->num_links; i++) {
        if (sim->link_gone_ms[i] != INT64_MAX)
            sim->link_gone_ms[i] = 0; /* the next one never knew it */
    }
}

void learner_end(Sim *sim)
{
    fleet_destroy(&sim->learner.fleet);
}

/* Everything granted or accepted. It may rise above the total by what an actor sends that was given
 * up before, and by nothing that the learner does. */
static uint64_t sum_of_grants(Sim *sim)
{
    ActorStatus actors[SIM_ACTORS_MAX * 2];
    uint32_t num_actors =
        fleet_actor_status(sim->learner.fleet, actors, SIM_ACTORS_MAX * 2, sim->now_ms);
    uint64_t sum = fleet_env_steps_accepted(sim->learner.fleet);
    for (uint32_t i = 0; i < num_actors; i++)
        sum += actors[i].unused_credit;
    return sum;
}

static void check_grants(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    uint64_t sum = sum_of_grants(sim);
    uint64_t window = pacer_window(&learner->pacer, SIM_ACTORS_MAX * SIM_ENVS_MAX * 2,
                                   sim->fleet_config.welcome.segment_steps);
    uint64_t limit =
        pacer_grant_limit(&learner->pacer, learner->env_steps, learner->updates, window);
    sim_check(sim, sum <= limit || sum <= learner->sum,
              "%llu steps are granted or accepted, the limit is %llu", (unsigned long long)sum,
              (unsigned long long)limit);
    learner->sum = sum;
}

static void receive(Sim *sim, Connection *connection)
{
    SimLearner *learner = &sim->learner;
    for (;;) {
        if (sim_blocked(sim, connection, true))
            return;
        Packet *packet = sim_take(&connection->up, sim->now_ms);
        if (!packet)
            break;
        learner->receiving_session = packet->session;
        fleet_receive(learner->fleet, packet->link, NULL, &packet->message, sim->now_ms);
        if (packet->message.kind == MESSAGE_SEGMENT)
            learner->sum = sum_of_grants(sim); /* accepting raises nobody's limit */
        else
            check_grants(sim);
        sim_packet_free(packet);
    }
    sim_free_if_done(connection);
}

static void train(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    const Pacer *pacer = &learner->pacer;
    int segments = sim_range(&sim->rng, 0, sim->ingest_max);
    while (segments-- > 0 && learner->ring_tail < learner->ring_head) {
        if (sim->sync && pacer_may_update(pacer, learner->env_steps, learner->updates))
            break;
        learner->env_steps += (uint64_t)learner->ring[learner->ring_tail++ % sim->slots];
    }
    int updates = sim_range(&sim->rng, 0, sim->update_max);
    while (updates-- > 0 && pacer_may_update(pacer, learner->env_steps, learner->updates))
        learner->updates++;
    bool first = learner->published.epoch == 0;
    bool at_rest = !pacer_may_update(pacer, learner->env_steps, learner->updates);
    bool due = sim->sync ? at_rest : sim->now_ms >= learner->publish_ms;
    if (due && (first ? pacer_warmed_up(pacer, learner->env_steps)
                      : learner->published.update < learner->updates)) {
        learner->published = (Version){learner->epoch, learner->updates};
        learner->publish_ms = sim->now_ms + sim_range(&sim->rng, 20, 200);
    }
    if (sim_chance(&sim->rng, 0.01)) {
        learner->has_checkpoint = true;
        learner->checkpoint_env_steps = learner->env_steps;
        learner->checkpoint_updates = learner->updates;
    }
}

static bool is_settled(const Sim *sim)
{
    const SimLearner *learner = &sim->learner;
    if (learner->ring_tail < learner->ring_head ||
        pacer_may_update(&learner->pacer, learner->env_steps, learner->updates))
        return false;
    if (learner->published.epoch == 0)
        return !pacer_warmed_up(&learner->pacer, learner->env_steps);
    return learner->published.update == learner->updates;
}

/* Once nothing fails any more, nobody is turned away but for want of room. */
static void check_reject(Sim *sim, const Reject *reject)
{
    bool good = sim->now_ms > sim->faults_until_ms + SIM_SETTLE_MS;
    sim_check(sim, !good || reject->reason == REJECT_FULL, "%s: %s",
              reject_reason_name(reject->reason), reject->text);
}

/* The end: exactly all steps, exactly all updates. */
static void finish(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    const Pacer *pacer = &learner->pacer;
    sim_check(sim, learner->env_steps == pacer->total_env_steps, "ended at %llu steps",
              (unsigned long long)learner->env_steps);
    uint64_t steps = learner->env_steps - pacer->env_steps_start;
    if (pacer->ratio > 0 && steps >= pacer->batch && steps > pacer->warmup_env_steps) {
        double due = pacer->ratio * (double)(steps - pacer->warmup_env_steps);
        double done = (double)(learner->updates - pacer->updates_start);
        sim_check(sim, done >= due && done < due + 1, "ended after %.0f of %.3f updates", done,
                  due);
    }
    fleet_say_bye(learner->fleet, BYE_FINISHED);
    learner->bye_said = true;
    sim_say(sim, "learner: finished");
}

void learner_work(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    if (!learner->alive && sim->now_ms >= learner->begins_ms)
        learner_begin(sim);
    if (!learner->alive || sim->now_ms < learner->frozen_ms)
        return;
    for (int i = 0; i < SIM_CONNECTIONS_MAX; i++) {
        if (sim->connections[i].used)
            receive(sim, &sim->connections[i]);
    }
    train(sim);
    FleetProgress progress = {.env_steps = learner->env_steps,
                              .updates = learner->updates,
                              .slots_used = learner->ring_head - learner->ring_tail,
                              .newest = learner->published,
                              .settled = is_settled(sim),
                              .logged = FLEET_NOT_LOGGED};
    fleet_set_progress(learner->fleet, &progress);
    check_grants(sim);
    if (sim->now_ms >= learner->next_tick_ms) {
        fleet_tick(learner->fleet, sim->now_ms);
        check_grants(sim);
        learner->next_tick_ms = sim->now_ms + 100;
    }
    if (!learner->bye_said && pacer_finished(&learner->pacer, learner->env_steps, learner->updates))
        finish(sim);
    uint32_t link = 0;
    static Message message;
    while (fleet_next_message(learner->fleet, sim->now_ms, &link, &message)) {
        if (message.kind == MESSAGE_REJECT)
            check_reject(sim, &message.reject);
        if (!sim_send_down(sim, link, &message)) {
            fleet_link_gone(learner->fleet, link);
            check_grants(sim);
        }
    }
}
