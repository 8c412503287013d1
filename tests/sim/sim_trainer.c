/* The trainer: ingests and updates at a random speed as the real pacer allows, keeps the order log,
 * and saves checkpoints as learner/train does. */
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

const SimCheckpoint *trainer_newest(const Sim *sim)
{
    return sim->num_checkpoints > 0 ? &sim->checkpoints[sim->num_checkpoints - 1] : NULL;
}

/* --- Beginning ---------------------------------------------------------------------------------
 */

/* Stands for what an update computes: the same again, whenever it is done again. */
static uint32_t digest_of(uint64_t update, uint64_t position)
{
    return (uint32_t)(update * 2654435761U ^ position * 40503);
}

static size_t find_checkpoint(const History *history, const SimCheckpoint *from)
{
    for (size_t i = history->num_items; i > 0; i--) {
        const HistoryItem *item = &history->items[i - 1];
        if (item->is_event && item->event == ORDER_CHECKPOINT &&
            item->first_update == from->updates && item->position == from->position)
            return i;
    }
    return 0;
}

/* Does the updates again that the order log knows of. */
static uint64_t follow(Sim *sim, const History *history, const SimCheckpoint *from)
{
    SimTrainer *trainer = &sim->learner.trainer;
    uint64_t position = from->position;
    size_t next = find_checkpoint(history, from);
    sim_check(sim, next > 0 || !from->synced, "the order log does not know the checkpoint at %llu",
              (Ull)from->updates);
    for (; next > 0 && next < history->num_items; next++) {
        const HistoryItem *item = &history->items[next];
        if (item->is_event)
            continue;
        if (item->first_update != trainer->updates || item->position > sim->learner.log.base)
            break;
        for (uint32_t i = 0; i < item->count; i++)
            sim_check(sim,
                      history->digests[item->first_digest + i] ==
                          digest_of(item->first_update + i, item->position),
                      "update %llu is recorded as another one", (Ull)item->first_update + i);
        trainer->updates += item->count;
        position = item->position;
    }
    return position;
}

static void record_event(Sim *sim, OrderEventType type, uint64_t position, uint64_t value)
{
    SimTrainer *trainer = &sim->learner.trainer;
    OrderEvent event = {
        .type = type, .update = trainer->updates, .position = position, .value = value};
    if (sim->learner.log.open)
        log_keeper_event(&sim->learner.log.keeper, &event);
}

/* Without a log the replay is empty, and the pacing begins anew. */
static Pacer pacer_from(const Sim *sim, const SimCheckpoint *from)
{
    Pacer pacer = sim->pacer;
    if (!from)
        return pacer;
    if (sim->logged)
        return from->pacer;
    pacer.env_steps_start = from->env_steps;
    pacer.updates_start = from->updates;
    return pacer;
}

void trainer_begin(Sim *sim, const History *history)
{
    SimTrainer *trainer = &sim->learner.trainer;
    const SimCheckpoint *from = trainer_newest(sim);
    *trainer = (SimTrainer){.pacer = pacer_from(sim, from)};
    if (from) {
        trainer->position = from->position;
        trainer->row = from->row;
        trainer->env_steps = from->env_steps;
        trainer->episodes = from->episodes;
        trainer->updates = from->updates;
        trainer->published = (Version){sim->learner.epoch, trainer->updates};
        for (uint64_t i = 1; i <= from->position && i <= sim->num_places; i++)
            sim->places[i].ingested = true;
    }
    if (history && from) {
        uint64_t position = follow(sim, history, from);
        record_event(sim, ORDER_RESUME, position, from->updates);
    }
    record_event(sim, ORDER_START, trainer->position, sim->learner.epoch);
    sim_say(sim, "learner: start %u at %llu steps and %llu updates", sim->learner.epoch,
            (Ull)trainer->env_steps, (Ull)trainer->updates);
}

/* Where the log ends the run goes on, also where that is behind what could be read. */
static void end_past(Sim *sim)
{
    SimTrainer *trainer = &sim->learner.trainer;
    SimLog *log = &sim->learner.log;
    const SimPlace *last = &sim->places[log->base];
    log_reader_close(&log->past);
    trainer->position = log->base;
    trainer->row = last->row_end;
    trainer->env_steps = last->env_steps;
    uint64_t window = pacer_window(&trainer->pacer, SIM_ACTORS_MAX * SIM_ENVS_MAX,
                                   sim->fleet_config.welcome.segment_steps);
    pacer_drop_debt(&trainer->pacer, trainer->env_steps, trainer->updates, 2 * window);
    if (trainer->pacer.ratio != sim->pacer.ratio)
        pacer_set_ratio(&trainer->pacer, sim->pacer.ratio, trainer->env_steps, trainer->updates);
}

/* Ingests again what came after the checkpoint. False when it cannot be read. */
static bool ingest_past(Sim *sim)
{
    SimTrainer *trainer = &sim->learner.trainer;
    SimLog *log = &sim->learner.log;
    for (int i = 0; i < 8 * sim->ingest_max; i++) {
        LogItem item;
        Err err;
        if (log_reader_next(log->past, &item, &err) != ERR_OK)
            return false;
        if (item.kind == LOG_ITEM_END) {
            end_past(sim);
            return true;
        }
        if (item.kind != LOG_ITEM_SEGMENT)
            continue;
        sim_check(sim, item.segment.position > trainer->position, "position %llu comes after %llu",
                  (Ull)item.segment.position, (Ull)trainer->position);
        trainer->position = item.segment.position;
        trainer->env_steps = item.segment.env_steps;
        trainer->row = item.segment.row + segment_rows(&item.segment.segment);
        truth_ingested(sim, trainer->position, &item.segment.segment);
    }
    return true;
}

/* --- Checkpoints -------------------------------------------------------------------------------
 */

void trainer_save(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    SimTrainer *trainer = &learner->trainer;
    bool synced = false;
    if (learner->log.past || sim->now_ms < learner->log.stalled_ms)
        return;
    if (learner->log.open) {
        record_event(sim, ORDER_CHECKPOINT, trainer->position, 0);
        synced = sim_log_sync(sim);
        if (!synced && sim->on_error == LOG_ON_ERROR_WAIT)
            return;
    }
    /* It lies on the same disk. */
    if (sim->num_checkpoints > 0 && sim->now_ms < sim->disk_fails_ms && sim_chance(&sim->rng, 0.5))
        return;
    if (sim->num_checkpoints == SIM_CHECKPOINTS)
        memmove(sim->checkpoints, sim->checkpoints + 1,
                (size_t)--sim->num_checkpoints * sizeof sim->checkpoints[0]);
    sim->checkpoints[sim->num_checkpoints++] = (SimCheckpoint){.position = trainer->position,
                                                               .row = trainer->row,
                                                               .env_steps = trainer->env_steps,
                                                               .episodes = trainer->episodes,
                                                               .updates = trainer->updates,
                                                               .synced = synced,
                                                               .pacer = trainer->pacer};
    sim_say(sim, "learner: a checkpoint at position %llu and update %llu, the logs are %s",
            (Ull)trainer->position, (Ull)trainer->updates, synced ? "synced" : "not synced");
    const SimCheckpoint *oldest = &sim->checkpoints[0];
    if (learner->log.open && oldest->row > sim->replay_rows)
        sim_log_prune(sim, oldest->row - sim->replay_rows);
}

/* --- The loop ----------------------------------------------------------------------------------
 */

static void ingest(Sim *sim)
{
    SimTrainer *trainer = &sim->learner.trainer;
    SegmentRing *ring = &sim->learner.ring;
    int segments = sim_range(&sim->rng, 0, sim->ingest_max);
    while (segments-- > 0) {
        const Segment *segment = segment_ring_peek(ring);
        if (!segment ||
            (sim->sync && pacer_may_update(&trainer->pacer, trainer->env_steps, trainer->updates)))
            return;
        truth_ingested(sim, ++trainer->position, segment);
        trainer->env_steps += (uint64_t)segment->num_steps;
        trainer->row += segment_rows(segment);
        trainer->episodes += segment->end != SEGMENT_CONTINUES;
        segment_ring_release(ring);
    }
}

static void update(Sim *sim)
{
    SimTrainer *trainer = &sim->learner.trainer;
    OrderBlock block = {.first_update = trainer->updates, .position = trainer->position};
    int updates = sim_range(&sim->rng, 0, sim->update_max);
    while (updates-- > 0 && pacer_may_update(&trainer->pacer, trainer->env_steps, trainer->updates))
        block.digests[block.count++] = digest_of(trainer->updates++, trainer->position);
    if (block.count > 0 && sim->learner.log.open)
        log_keeper_block(&sim->learner.log.keeper, &block);
}

static void publish(Sim *sim)
{
    SimTrainer *trainer = &sim->learner.trainer;
    bool first = trainer->published.epoch == 0;
    bool at_rest = !pacer_may_update(&trainer->pacer, trainer->env_steps, trainer->updates);
    bool due = sim->sync ? at_rest : sim->now_ms >= trainer->publish_ms;
    if (!due || !(first ? pacer_warmed_up(&trainer->pacer, trainer->env_steps)
                        : trainer->published.update < trainer->updates))
        return;
    trainer->published = (Version){sim->learner.epoch, trainer->updates};
    trainer->publish_ms = sim->now_ms + sim_range(&sim->rng, 20, 200);
}

bool trainer_work(Sim *sim)
{
    SimLearner *learner = &sim->learner;
    if (!learner->has_ring || sim->now_ms < learner->trainer.stalled_ms)
        return true;
    if (learner->log.past)
        return ingest_past(sim);
    ingest(sim);
    update(sim);
    publish(sim);
    if (sim_chance(&sim->rng, sim->checkpoint_chance))
        trainer_save(sim);
    return true;
}

bool trainer_is_settled(const Sim *sim)
{
    const SimLearner *learner = &sim->learner;
    const SimTrainer *trainer = &learner->trainer;
    if (learner->log.past ||
        segment_ring_logged(&learner->ring) > atomic_load(&learner->ring.tail) ||
        pacer_may_update(&trainer->pacer, trainer->env_steps, trainer->updates))
        return false;
    if (trainer->published.epoch == 0)
        return !pacer_warmed_up(&trainer->pacer, trainer->env_steps);
    return trainer->published.update == trainer->updates;
}

/* The end: exactly all steps, exactly all updates. Where a ratio was set, updates that are done
 * again may have been done at the one before. */
void trainer_check_end(Sim *sim)
{
    const SimTrainer *trainer = &sim->learner.trainer;
    const Pacer *pacer = &trainer->pacer;
    sim_check(sim, trainer->env_steps == pacer->total_env_steps, "ended at %llu steps",
              (Ull)trainer->env_steps);
    uint64_t steps = trainer->env_steps - pacer->env_steps_start;
    bool begun = steps > pacer->warmup_env_steps && (pacer->underway || steps >= pacer->batch);
    if (pacer->ratio == 0 || !begun)
        return;
    double due = pacer->ratio * (double)(steps - pacer->warmup_env_steps);
    double done = (double)(trainer->updates - pacer->updates_start);
    sim_check(sim, done >= due && (done < due + 1 || sim->ratio_was_set),
              "ended after %.0f of %.3f updates", done, due);
}
