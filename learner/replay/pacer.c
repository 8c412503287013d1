#include "learner/replay/pacer.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t steps_here(const Pacer *pacer, uint64_t env_steps)
{
    return env_steps - pacer->env_steps_start;
}

bool pacer_warmed_up(const Pacer *pacer, uint64_t env_steps)
{
    return steps_here(pacer, env_steps) >= pacer->warmup_env_steps;
}

/* Steps before the first update: the warm-up, and at least a batch to sample from. */
static uint64_t steps_before_updates(const Pacer *pacer)
{
    return pacer->underway ? pacer->warmup_env_steps
                           : max_u64(pacer->warmup_env_steps, pacer->batch);
}

bool pacer_may_update(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    uint64_t steps = steps_here(pacer, env_steps);
    if (steps < steps_before_updates(pacer))
        return false;
    if (pacer->ratio == 0)
        return env_steps < pacer->total_env_steps;
    double done = (double)(updates - pacer->updates_start);
    return done < pacer->ratio * (double)(steps - pacer->warmup_env_steps);
}

uint64_t pacer_updates_owed(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    if (pacer->ratio == 0 || !pacer_may_update(pacer, env_steps, updates))
        return 0;
    double done = (double)(updates - pacer->updates_start);
    double due =
        pacer->ratio * (double)(steps_here(pacer, env_steps) - pacer->warmup_env_steps) - done;
    uint64_t whole = (uint64_t)due;
    return (double)whole < due ? whole + 1 : whole;
}

bool pacer_finished(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    return env_steps >= pacer->total_env_steps && !pacer_may_update(pacer, env_steps, updates);
}

uint64_t pacer_window(const Pacer *pacer, uint64_t environments, uint64_t segment_steps)
{
    if (pacer->window_env_steps > 0)
        return pacer->window_env_steps;
    return max_u64(2 * environments * segment_steps, 1024);
}

/* Steps, of this start, for which all the work is done. */
static uint64_t steps_worked_off(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    uint64_t steps = steps_here(pacer, env_steps);
    /* Nothing owed means nothing left to do, also where one update is worth many steps. */
    if (pacer->ratio == 0 || !pacer_may_update(pacer, env_steps, updates))
        return steps;
    double done = (double)(updates - pacer->updates_start) / pacer->ratio;
    uint64_t worked =
        max_u64(steps_before_updates(pacer), pacer->warmup_env_steps + (uint64_t)done);
    return worked < steps ? worked : steps;
}

uint64_t pacer_steps_ahead(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    return steps_here(pacer, env_steps) - steps_worked_off(pacer, env_steps, updates);
}

uint64_t pacer_grant_limit(const Pacer *pacer, uint64_t env_steps, uint64_t updates,
                           uint64_t window)
{
    uint64_t limit = pacer->env_steps_start + steps_worked_off(pacer, env_steps, updates) + window;
    return limit < pacer->total_env_steps ? limit : pacer->total_env_steps;
}

/* Counts from here on, with updates owed for the newest `ahead` steps: the warm-up is behind. */
static void begin_here(Pacer *pacer, uint64_t env_steps, uint64_t updates, uint64_t ahead)
{
    pacer->env_steps_start = env_steps - ahead - pacer->warmup_env_steps;
    pacer->updates_start = updates;
    pacer->underway = true;
}

void pacer_set_ratio(Pacer *pacer, double ratio, uint64_t env_steps, uint64_t updates)
{
    uint64_t ahead = pacer_steps_ahead(pacer, env_steps, updates);
    if (steps_here(pacer, env_steps) >= steps_before_updates(pacer))
        begin_here(pacer, env_steps, updates, ahead);
    pacer->ratio = ratio;
}

uint64_t pacer_drop_debt(Pacer *pacer, uint64_t env_steps, uint64_t updates, uint64_t steps_max)
{
    uint64_t owed = pacer_updates_owed(pacer, env_steps, updates);
    if (pacer_steps_ahead(pacer, env_steps, updates) <= steps_max)
        return 0;
    begin_here(pacer, env_steps, updates, steps_max);
    return owed - pacer_updates_owed(pacer, env_steps, updates);
}
