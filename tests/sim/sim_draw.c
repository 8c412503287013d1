/* What a run is like, and what may happen in it. */
#include "tests/sim/sim.h"

static void draw_pacer(Sim *sim)
{
    static const double ratios[] = {0, 0.001, 0.3, 0.5, 1, 1, 1, 2};
    SimRng *rng = &sim->rng;
    sim->pacer = (Pacer){
        .total_env_steps = (uint64_t)sim_range(rng, 1, SIM_TOTAL_STEPS_MAX),
        .warmup_env_steps = (uint64_t)sim_range(rng, 0, 200),
        .batch = (uint64_t)sim_range(rng, 1, 300),
        .ratio = ratios[sim_range(rng, 0, 7)],
        .window_env_steps = (uint64_t)(sim_chance(rng, 0.7) ? sim_range(rng, 1, 300) : 0),
    };
}

static void draw_network(Sim *sim)
{
    SimRng *rng = &sim->rng;
    bool calm = sim_chance(rng, 0.1);
    sim->faults_until_ms = calm ? 0 : sim_range(rng, 1000, 20000);
    sim->delay_ms_max = sim_range(rng, 0, 1) ? sim_range(rng, 0, 20) : sim_range(rng, 0, 200);
    sim->slow_chance = sim_range(rng, 0, 1) ? 0.002 : 0;
    sim->twice_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->lost_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->full_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->fault_chance = sim_range(rng, 0, 1) ? 0.003 : 0.02;
}

/* Each kind of fault is there or not; those that hit everybody are rarer. */
static void draw_weights(Sim *sim)
{
    static const int weights[SIM_NUM_FAULTS] = {
        [SIM_ACTOR_CRASH] = 12,  [SIM_ACTOR_FREEZE] = 12,  [SIM_CUT_OFF] = 12,
        [SIM_CUT_UP] = 12,       [SIM_CUT_DOWN] = 12,      [SIM_BREAK] = 24,
        [SIM_LEARNER_CRASH] = 8, [SIM_LEARNER_FREEZE] = 4, [SIM_LEARNER_RESTART] = 3,
        [SIM_POWER_LOSS] = 5,    [SIM_DISK_FULL] = 5,      [SIM_DISK_ERROR] = 8,
        [SIM_STALL_LOG] = 5,     [SIM_STALL_TRAINER] = 4,  [SIM_THIEF] = 8,
        [SIM_REVOKE] = 3,        [SIM_DRAIN] = 3,          [SIM_SET] = 4,
    };
    SimRng *rng = &sim->rng;
    for (int i = 0; i < SIM_NUM_FAULTS; i++) {
        sim->weights[i] = sim_range(rng, 0, 2) ? weights[i] : 0;
        sim->weights_sum += sim->weights[i];
    }
    if (sim->weights_sum == 0)
        sim->weights_sum = sim->weights[SIM_BREAK] = 1;
    if (sim->pacer.ratio == 0) { /* the sides run free, and stay so */
        sim->weights_sum += sim->weights[SIM_BREAK] == 0;
        sim->weights[SIM_BREAK] += sim->weights[SIM_BREAK] == 0;
        sim->weights_sum -= sim->weights[SIM_SET];
        sim->weights[SIM_SET] = 0;
    }
}

static void draw_fleet(Sim *sim)
{
    SimRng *rng = &sim->rng;
    sim->num_actors = sim_range(rng, 1, SIM_ACTORS_MAX);
    sim->sync = sim->pacer.ratio > 0 && sim_chance(rng, 0.2); /* else config_check refuses */
    sim->slots = (uint64_t)(sim_range(rng, 0, 2) ? sim_range(rng, 1, 8) : SIM_SLOTS_MAX);
    sim->ingest_max = sim_range(rng, 1, 8);
    sim->update_max = sim_range(rng, 2, 60);
    sim->episode_max = sim_range(rng, 0, 3) ? sim_range(rng, 1, 50) : 1;
    sim->drop_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->keys = sim_range(rng, 0, 2) > 0;
    sim->strict = sim_range(rng, 0, 3) == 0;
    sim->spec =
        (Spec){.name = "sim", .obs_dim = 1, .act_dim = 1, .action_low = {-1}, .action_high = {1}};
    sim->fleet_config = (FleetConfig){
        .welcome = {.heartbeat_interval_ms =
                        (uint32_t)(sim_range(rng, 100, 1000) + 2 * sim->delay_ms_max),
                    .segment_steps = (uint32_t)sim_range(rng, 1, SIM_STEPS_MAX),
                    .segment_flush_ms = (uint32_t)sim_range(rng, 10, 1000),
                    .publish_interval_ms = 20,
                    .policy_age_s_max = (uint32_t)sim_range(rng, 0, 3),
                    .sync = sim->sync},
        /* Often too few: then some actors are turned away until others leave. */
        .peers_max = (uint32_t)(sim_range(rng, 0, 1) ? sim_range(rng, 1, SIM_ACTORS_MAX)
                                                     : 2 * SIM_ACTORS_MAX),
        .sessions_max = (uint32_t)(sim_range(rng, 0, 3) ? SIM_SESSIONS_MAX : sim_range(rng, 1, 12)),
        .session_retention_ms = sim_range(rng, 0, 3) ? SIM_LONGEST_MS : sim_range(rng, 1000, 20000),
        .obs_dim_max = 8,
        .act_dim_max = 8,
        .actors_awaited = 1,
    };
}

static void draw_log(Sim *sim)
{
    SimRng *rng = &sim->rng;
    sim->logged = !sim_chance(rng, 0.1);
    sim->on_error = sim_range(rng, 0, 1) ? LOG_ON_ERROR_WAIT : LOG_ON_ERROR_CONTINUE;
    sim->fsync_ms = sim_range(rng, 0, 1) ? sim_range(rng, 1, 100) : sim_range(rng, 100, 3000);
    sim->file_bytes_max =
        (uint64_t)(sim_range(rng, 0, 2) ? sim_range(rng, 500, 20000) : LOG_FILE_BYTES_MAX);
    sim->replay_rows = (uint64_t)(sim_range(rng, 0, 1) ? sim_range(rng, 10, 500) : 1 << 20);
    sim->checkpoint_chance = sim_range(rng, 0, 1) ? 0.01 : 0.001;
    sim->disk = memory_disk_new();
    if (sim_range(rng, 0, 2) == 0)
        memory_disk_write_max(sim->disk, (size_t)sim_range(rng, 7, 300));
}

void sim_draw(Sim *sim)
{
    draw_pacer(sim);
    draw_network(sim);
    draw_weights(sim);
    draw_fleet(sim);
    draw_log(sim);
    relay_draw(sim);
    /* By the seed alone, so that runs without spools stay what they were. */
    sim->spool_max = sim->seed % 4 == 0 ? 1 + (int)(sim->seed / 4 % 64) : 0;
}
