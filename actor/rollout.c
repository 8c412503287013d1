#include "actor/rollout.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    DROPPED_LOGGED = 10,         /* the first ones are logged one by one, then every 1000th */
    DROPPED_IN_A_ROW_MAX = 1000, /* then the environment is given up */
};

/* One environment and the segment that it is writing. */
typedef struct Lane {
    Env *env;
    Segment *open; /* NULL: none */
    int64_t opened_ms;
    uint64_t episode; /* from 0 */
    uint32_t episode_steps;
    double episode_return;
    int dropped_in_a_row;
    bool running; /* an episode is; else the next step begins with a reset */
    Explore explore;
} Lane;

struct Rollout {
    const Spec *spec;
    Outbox *outbox;
    RolloutConfig config;
    int num_envs;
    int first; /* of the next step: where credit is short, the environments take turns */
    Lane *lanes;
    float *obs;      /* (num_envs, obs_dim) current */
    float *next_obs; /* (obs_dim) */
    bool blocked;
    uint64_t dropped_steps;
};

int rollout_new(EnvKind *kind, int num_envs, Outbox *outbox, Rollout **rollout_pointer, Err *err)
{
    Rollout *rollout = calloc(1, sizeof *rollout);
    if (!rollout)
        return err_set(err, ERR_NOMEM, "out of memory");
    rollout->spec = env_kind_spec(kind);
    rollout->outbox = outbox;
    rollout->num_envs = num_envs;
    size_t obs_dim = (size_t)rollout->spec->obs_dim;
    rollout->lanes = calloc((size_t)num_envs, sizeof(Lane));
    rollout->obs = calloc((size_t)num_envs * obs_dim, sizeof(float));
    rollout->next_obs = calloc(obs_dim, sizeof(float));
    int code = ERR_OK;
    if (!rollout->lanes || !rollout->obs || !rollout->next_obs)
        code = err_set(err, ERR_NOMEM, "out of memory for %d environments", num_envs);
    for (int i = 0; i < num_envs && code == 0; i++)
        code = env_new(kind, &rollout->lanes[i].env, err);
    if (code != 0)
        rollout_destroy(&rollout);
    *rollout_pointer = rollout;
    return code;
}

void rollout_destroy(Rollout **rollout_pointer)
{
    Rollout *rollout = *rollout_pointer;
    if (!rollout)
        return;
    for (int i = 0; rollout->lanes && i < rollout->num_envs; i++)
        env_destroy(&rollout->lanes[i].env);
    free(rollout->lanes);
    free(rollout->obs);
    free(rollout->next_obs);
    free(rollout);
    *rollout_pointer = NULL;
}

void rollout_configure(Rollout *rollout, const RolloutConfig *config)
{
    CHECK(config->segment_steps <= rollout->outbox->steps_max);
    rollout->config = *config;
}

static float *lane_obs(const Rollout *rollout, int i)
{
    return rollout->obs + (size_t)i * (size_t)rollout->spec->obs_dim;
}

static int begin_episode(Rollout *rollout, int i, Err *err)
{
    Lane *lane = &rollout->lanes[i];
    const RolloutConfig *config = &rollout->config;
    uint64_t actor = rng_actor_key(config->actor_index, config->incarnation);
    uint64_t env = (uint64_t)i;
    Rng reset = rng_stream(config->seed, RNG_RESET, actor, env, lane->episode);
    int code = env_reset(lane->env, rng_u64(&reset), lane_obs(rollout, i), err);
    if (code != 0)
        return code;
    explore_reset(&lane->explore, rng_stream(config->seed, RNG_EXPLORE, actor, env, lane->episode),
                  rollout->spec->act_dim);
    lane->episode_steps = 0;
    lane->episode_return = 0;
    lane->running = true;
    return ERR_OK;
}

static void end_episode(Lane *lane)
{
    lane->running = false;
    lane->episode++;
}

static void close_segment(Rollout *rollout, Lane *lane, SegmentEnd end)
{
    lane->open->end = end;
    lane->open->episode_return = lane->episode_return;
    outbox_close(rollout->outbox, lane->open);
    lane->open = NULL;
}

/* Gives a lane what a step needs: a running episode and an open segment. False when it cannot. */
static int prepare_lane(Rollout *rollout, int i, Version version, int64_t now_ms, Err *err)
{
    Lane *lane = &rollout->lanes[i];
    if (!lane->running) {
        int code = begin_episode(rollout, i, err);
        if (code != 0)
            return code;
    }
    if (lane->open && lane->open->num_steps > 0)
        return ERR_OK;
    /* One without steps was opened by a call that had no time left for the step. */
    if (!lane->open)
        lane->open = outbox_open(rollout->outbox);
    if (!lane->open)
        return ERR_FULL;
    lane->opened_ms = now_ms;
    lane->open->env_index = (uint32_t)i;
    lane->open->episode = lane->episode;
    lane->open->first_step = lane->episode_steps;
    lane->open->version = version;
    memcpy(lane->open->obs, lane_obs(rollout, i), (size_t)rollout->spec->obs_dim * sizeof(float));
    return ERR_OK;
}

/* A step whose numbers are not finite did not happen: the segment ends, truncated, at the last good
 * observation, and the next step begins an episode. */
static int drop_step(Rollout *rollout, int i, Err *why)
{
    Lane *lane = &rollout->lanes[i];
    uint64_t count = ++rollout->dropped_steps;
    if (count <= DROPPED_LOGGED || count % 1000 == 0)
        log_warn("environment %d, episode %llu, step %u is dropped: %s (%llu dropped so far)", i,
                 (unsigned long long)lane->episode, lane->episode_steps, why->text,
                 (unsigned long long)count);
    if (lane->open && lane->open->num_steps > 0) {
        close_segment(rollout, lane, SEGMENT_TRUNCATED);
    } else if (lane->open) {
        outbox_discard(rollout->outbox, lane->open);
        lane->open = NULL;
    }
    end_episode(lane);
    if (++lane->dropped_in_a_row < DROPPED_IN_A_ROW_MAX)
        return ERR_OK;
    Err last = *why;
    return err_set(why, ERR_ENV,
                   "%d steps of environment %d in a row were not finite; the last "
                   "one: %.300s",
                   DROPPED_IN_A_ROW_MAX, i, last.text);
}

/* Writes one step into the lane's segment, and closes it when it is full or the episode is over. */
static void record_step(Rollout *rollout, int i, const float *action, const EnvOutcome *outcome)
{
    Lane *lane = &rollout->lanes[i];
    Segment *segment = lane->open;
    size_t obs_dim = (size_t)rollout->spec->obs_dim;
    size_t act_dim = (size_t)rollout->spec->act_dim;
    size_t step = (size_t)segment->num_steps;
    memcpy(segment->action + step * act_dim, action, act_dim * sizeof(float));
    segment->reward[step] = outcome->reward;
    memcpy(segment->obs + (step + 1) * obs_dim, rollout->next_obs, obs_dim * sizeof(float));
    memcpy(lane_obs(rollout, i), rollout->next_obs, obs_dim * sizeof(float));
    segment->num_steps++;
    lane->dropped_in_a_row = 0;
    lane->episode_steps++;
    lane->episode_return += (double)outcome->reward;
    if (outcome->end != SEGMENT_CONTINUES) {
        close_segment(rollout, lane, outcome->end);
        end_episode(lane);
    } else if (segment->num_steps >= rollout->config.segment_steps) {
        close_segment(rollout, lane, SEGMENT_CONTINUES);
    }
}

/* One step of one lane with the policy's action (NULL: uniform). 1 when it was recorded. */
static int step_lane(Rollout *rollout, int i, const float *policy_action, Err *err)
{
    Lane *lane = &rollout->lanes[i];
    int act_dim = rollout->spec->act_dim;
    float action[SPEC_ACT_DIM_MAX];
    if (policy_action) {
        memcpy(action, policy_action, (size_t)act_dim * sizeof(float));
        explore_apply(&lane->explore, &rollout->config.explore, action, act_dim);
    } else {
        explore_uniform(&lane->explore, action, act_dim);
    }
    EnvOutcome outcome;
    int code = env_step(lane->env, action, rollout->next_obs, &outcome, err);
    if (code == ERR_DIVERGED) {
        return drop_step(rollout, i, err);
    }
    if (code != 0)
        return code;
    record_step(rollout, i, action, &outcome);
    return 1;
}

/* Whether a call that began then is over its time. */
static bool out_of_time(const Rollout *rollout, int64_t start_ns)
{
    return rollout->config.call_ns > 0 && clock_ns() - start_ns >= rollout->config.call_ns;
}

/* Steps the next `ready` lanes, or fewer when the time is over. *stepped: how many. Returns the
 * number of steps recorded. */
static int step_lanes(Rollout *rollout, Policy *policy, int ready, int64_t start_ns, int *stepped,
                      Err *err)
{
    int n = rollout->num_envs;
    const float *actions = policy_is_set(policy) ? policy_act(policy, rollout->obs, n) : NULL;
    int recorded = 0;
    int k = 0;
    while (k < ready && (k == 0 || !out_of_time(rollout, start_ns))) {
        int i = (rollout->first + k) % n;
        const float *action = actions ? actions + (size_t)i * (size_t)rollout->spec->act_dim : NULL;
        int result = step_lane(rollout, i, action, err);
        if (result < 0)
            return result;
        recorded += result;
        k++;
    }
    *stepped = k;
    return recorded;
}

int rollout_step(Rollout *rollout, Policy *policy, uint64_t credit_steps, int64_t now_ms, Err *err)
{
    int n = rollout->num_envs;
    int64_t start_ns = clock_ns();
    int wanted = credit_steps < (uint64_t)n ? (int)credit_steps : n;
    int ready = 0;
    int code = ERR_OK;
    rollout->blocked = false;
    /* A reset may be slow too. */
    while (ready < wanted && code == 0 && (ready == 0 || !out_of_time(rollout, start_ns))) {
        code = prepare_lane(rollout, (rollout->first + ready) % n, policy->version, now_ms, err);
        if (code == ERR_DIVERGED) {
            /* The start itself is unsound: try another one, next time. */
            code = drop_step(rollout, (rollout->first + ready) % n, err);
            wanted = ready;
        } else if (code == 0) {
            ready++;
        }
    }
    if (code != 0 && code != ERR_FULL)
        return code;
    int stepped = 0;
    int recorded = ready > 0 ? step_lanes(rollout, policy, ready, start_ns, &stepped, err) : 0;
    if (recorded < 0)
        return recorded;
    rollout->blocked = code == ERR_FULL && stepped == ready;
    rollout->first = (rollout->first + stepped) % n;
    return recorded;
}

void rollout_flush(Rollout *rollout, int64_t now_ms, bool all)
{
    for (int i = 0; i < rollout->num_envs; i++) {
        Lane *lane = &rollout->lanes[i];
        if (!lane->open || (!all && now_ms - lane->opened_ms < rollout->config.segment_flush_ms))
            continue;
        if (lane->open->num_steps > 0) {
            close_segment(rollout, lane, SEGMENT_CONTINUES);
        } else if (all) {
            outbox_discard(rollout->outbox, lane->open);
            lane->open = NULL;
        }
    }
}

uint64_t rollout_open_steps(const Rollout *rollout)
{
    uint64_t steps = 0;
    for (int i = 0; i < rollout->num_envs; i++)
        steps += rollout->lanes[i].open ? (uint64_t)rollout->lanes[i].open->num_steps : 0;
    return steps;
}

bool rollout_is_blocked(const Rollout *rollout)
{
    return rollout->blocked && rollout->outbox->num_free == 0;
}

uint64_t rollout_dropped_steps(const Rollout *rollout)
{
    return rollout->dropped_steps;
}
