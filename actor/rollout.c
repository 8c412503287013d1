#include "actor/rollout.h"

#include <stdio.h>
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
    Segment *open;   /* NULL: none; a lane with a step in flight has one */
    Version version; /* of the policy that the step in flight was taken with */
    int64_t opened_ms;
    uint64_t episode; /* from 0; one without a recorded step is not counted */
    uint64_t starts;  /* begun, also those that failed: each has random streams of its own, or one
                         that diverges would do so for ever */
    uint32_t episode_steps;
    double episode_return;
    int dropped_in_a_row;
    bool running;   /* an episode is; else the next step begins with a reset, */
    bool resetting; /* which is in flight */
    Explore explore;
} Lane;

struct Rollout {
    const Spec *spec;
    Outbox *outbox;
    RolloutConfig config;
    int num_envs;
    int first;       /* whose turn it is: where credit is short, the environments take turns */
    int in_flight;   /* steps, of the lanes from `first` on */
    int failed_code; /* not 0: the last of these could not even be begun, for the reason */
    Err failed_err;
    Lane *lanes;
    float *obs;      /* (num_envs, obs_dim) current */
    float *next_obs; /* (obs_dim) */
    float *actions;  /* (num_envs, act_dim) of the steps in flight */
    int ended_code; /* an error that came after steps of the same call: for the next one; 0: none */
    Err ended_err;
    bool blocked;
    uint64_t dropped_steps;
    EnvFaults faults;
    char last_fault[sizeof(Err)]; /* "": none */
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
    rollout->actions = calloc((size_t)num_envs * (size_t)rollout->spec->act_dim, sizeof(float));
    int code = ERR_OK;
    if (!rollout->lanes || !rollout->obs || !rollout->next_obs || !rollout->actions)
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
    free(rollout->actions);
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

static float *lane_action(const Rollout *rollout, int i)
{
    return rollout->actions + (size_t)i * (size_t)rollout->spec->act_dim;
}

static int begin_episode(Rollout *rollout, int i, Err *err)
{
    Lane *lane = &rollout->lanes[i];
    const RolloutConfig *config = &rollout->config;
    uint64_t actor = rng_actor_key(config->actor_index, config->incarnation);
    uint64_t env = (uint64_t)i;
    uint64_t start = lane->starts++;
    Rng reset = rng_stream(config->seed, RNG_RESET, actor, env, start);
    explore_reset(&lane->explore, rng_stream(config->seed, RNG_EXPLORE, actor, env, start),
                  rollout->spec->act_dim);
    lane->episode_steps = 0;
    lane->episode_return = 0;
    int code = env_reset_begin(lane->env, rng_u64(&reset), err);
    lane->resetting = code == 0;
    return code;
}

static void end_episode(Lane *lane)
{
    lane->running = false;
    if (lane->episode_steps > 0)
        lane->episode++;
}

static void close_segment(Rollout *rollout, Lane *lane, SegmentEnd end)
{
    lane->open->end = end;
    lane->open->episode_return = lane->episode_return;
    outbox_close(rollout->outbox, lane->open);
    lane->open = NULL;
}

/* Begins to write a segment at the lane's present observation. ERR_FULL. */
static int open_segment(Rollout *rollout, int i, Version version, int64_t now_ms)
{
    Lane *lane = &rollout->lanes[i];
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

/* Closes a lane's segment, or gives it back where nothing is in it. */
static void end_segment(Rollout *rollout, Lane *lane, SegmentEnd end)
{
    if (lane->open && lane->open->num_steps > 0) {
        close_segment(rollout, lane, end);
    } else if (lane->open) {
        outbox_discard(rollout->outbox, lane->open);
        lane->open = NULL;
    }
}

/* Counts what went wrong in a lane, and says it: the first ones, then now and then. */
static void count_fault(Rollout *rollout, int i, bool is_start, const Err *why)
{
    const Lane *lane = &rollout->lanes[i];
    EnvFault fault = env_fault(lane->env);
    rollout->faults.count[fault]++;
    snprintf(rollout->last_fault, sizeof rollout->last_fault, "environment %d: %.400s", i,
             why->text);
    uint64_t count = env_faults_sum(&rollout->faults);
    if (count > DROPPED_LOGGED && count % 1000 != 0)
        return;
    char what[32] = "does not start";
    if (!is_start)
        snprintf(what, sizeof what, "step %u is dropped", lane->episode_steps);
    log_warn("environment %d, episode %llu, %s: %s (%s, fault %llu)", i,
             (unsigned long long)lane->episode, what, why->text, env_fault_name(fault),
             (unsigned long long)count);
}

/* A step or a start whose numbers are not finite, or that was lost with its worker, did not happen:
 * the segment ends, truncated, at the last good observation, and the next step begins an episode.
 * Returns code where it is another error, or why this cannot go on. */
static int drop_step(Rollout *rollout, int i, int code, Err *why)
{
    if (code != ERR_DIVERGED && code != ERR_LOST)
        return code;
    Lane *lane = &rollout->lanes[i];
    bool is_start = !lane->running;
    count_fault(rollout, i, is_start, why);
    /* While a worker is started again its starts are lost: nothing was to be recorded yet. */
    if (!is_start || code == ERR_DIVERGED)
        rollout->dropped_steps++;
    end_segment(rollout, lane, SEGMENT_TRUNCATED);
    end_episode(lane);
    /* How often a worker may fail is for its backend to say. */
    if (code == ERR_LOST || ++lane->dropped_in_a_row < DROPPED_IN_A_ROW_MAX)
        return ERR_OK;
    Err last = *why;
    return err_set(why, ERR_ENV,
                   "%d steps of environment %d in a row were not finite; the last "
                   "one: %.300s",
                   DROPPED_IN_A_ROW_MAX, i, last.text);
}

/* Writes one step into the lane's segment, and closes it when it is full or the episode is over. */
static void record_step(Rollout *rollout, int i, const EnvOutcome *outcome)
{
    Lane *lane = &rollout->lanes[i];
    Segment *segment = lane->open;
    size_t obs_dim = (size_t)rollout->spec->obs_dim;
    size_t act_dim = (size_t)rollout->spec->act_dim;
    size_t step = (size_t)segment->num_steps;
    memcpy(segment->action + step * act_dim, lane_action(rollout, i), act_dim * sizeof(float));
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

/* A call of rollout_step, and its time. */
typedef struct Call {
    int64_t start_ns;
    bool finished; /* something, which may have taken long */
} Call;

/* What is left of a call's time; INT64_MAX where it has no limit. */
static int64_t left_ns(const Rollout *rollout, const Call *call)
{
    int64_t call_ns = rollout->config.call_ns;
    if (call_ns == 0)
        return INT64_MAX;
    if (!call->finished)
        return call_ns;
    int64_t left = call->start_ns + call_ns - clock_ns();
    return left > 0 ? left : 0;
}

/* Finishes what a lane has in flight, within this time. */
static int finish(const Rollout *rollout, int i, Call *call, int64_t within_ns, float *obs,
                  EnvOutcome *outcome, Err *err)
{
    int timeout_ms = within_ns == INT64_MAX ? -1 : (int)(within_ns / 1000000);
    call->finished = true;
    return env_finish(rollout->lanes[i].env, timeout_ms, obs, outcome, err);
}

/* Finishes a lane's reset and gives it a segment to write. ERR_FULL, ERR_AGAIN. */
static int prepare_lane(Rollout *rollout, int i, Version version, int64_t now_ms, Call *call,
                        int64_t within_ns, Err *err)
{
    Lane *lane = &rollout->lanes[i];
    if (lane->resetting) {
        int code = finish(rollout, i, call, within_ns, lane_obs(rollout, i), NULL, err);
        if (code == ERR_AGAIN)
            return code;
        lane->resetting = false;
        if (code != 0)
            return code;
        lane->running = true;
    }
    if (lane->open && lane->open->num_steps > 0)
        return ERR_OK;
    /* One without steps was opened by a call that could not begin the step. */
    return open_segment(rollout, i, version, now_ms);
}

/* Gives up to `wanted` lanes, from `first` on, what a step needs: a running episode and an open
 * segment. *ready: how many have it. ERR_FULL when the outbox has no more places. */
static int prepare_lanes(Rollout *rollout, int wanted, Version version, int64_t now_ms, Call *call,
                         int *ready, Err *err)
{
    int n = rollout->num_envs;
    *ready = 0;
    /* All resets begin before the first one is waited for. */
    for (int k = 0; k < wanted; k++) {
        int i = (rollout->first + k) % n;
        if (rollout->lanes[i].running || rollout->lanes[i].resetting)
            continue;
        int code = begin_episode(rollout, i, err);
        if (code != 0) {
            code = drop_step(rollout, i, code, err);
            wanted = k;
        }
        if (code != 0)
            return code;
    }
    /* A reset may be slow too. */
    while (*ready < wanted) {
        int i = (rollout->first + *ready) % n;
        int64_t left = rollout->lanes[i].resetting ? left_ns(rollout, call) : 0;
        if (rollout->lanes[i].resetting && left == 0 && *ready > 0)
            return ERR_OK;
        int code = prepare_lane(rollout, i, version, now_ms, call, left, err);
        if (code == ERR_AGAIN)
            return ERR_OK;
        if (code == ERR_FULL)
            return code;
        if (code != 0) /* the start itself is unsound: try another one, next time */
            return drop_step(rollout, i, code, err);
        (*ready)++;
    }
    return ERR_OK;
}

/* Begins a step of each of the next `ready` lanes, with the policy's action or a uniform one. */
static void begin_steps(Rollout *rollout, Policy *policy, int ready)
{
    int n = rollout->num_envs;
    int act_dim = rollout->spec->act_dim;
    const float *actions = policy_is_set(policy) ? policy_act(policy, rollout->obs, n) : NULL;
    while (rollout->in_flight < ready && rollout->failed_code == 0) {
        int i = (rollout->first + rollout->in_flight) % n;
        Lane *lane = &rollout->lanes[i];
        float *action = lane_action(rollout, i);
        if (actions) {
            memcpy(action, actions + (size_t)i * (size_t)act_dim, (size_t)act_dim * sizeof(float));
            explore_apply(&lane->explore, &rollout->config.explore, action, act_dim);
        } else {
            explore_uniform(&lane->explore, action, act_dim);
        }
        lane->version = policy->version;
        /* One that cannot begin is dropped when its turn comes, after those before it. */
        rollout->failed_code = env_step_begin(lane->env, action, &rollout->failed_err);
        rollout->in_flight++;
    }
}

/* Finishes the step of the lane whose turn it is. 1 when it was recorded, 0 when it was dropped,
 * ERR_AGAIN when it is still in flight. */
static int finish_step(Rollout *rollout, Call *call, int64_t within_ns, Err *err)
{
    int i = rollout->first;
    EnvOutcome outcome = {0};
    int code = 0;
    if (rollout->failed_code != 0 && rollout->in_flight == 1) {
        code = rollout->failed_code;
        rollout->failed_code = 0;
        *err = rollout->failed_err;
    } else {
        code = finish(rollout, i, call, within_ns, rollout->next_obs, &outcome, err);
    }
    if (code == ERR_AGAIN)
        return code;
    rollout->in_flight--;
    rollout->first = (i + 1) % rollout->num_envs;
    if (code != 0)
        return drop_step(rollout, i, code, err);
    record_step(rollout, i, &outcome);
    return 1;
}

/* Finishes steps in flight until one is not ready or the time is over. Returns the number of steps
 * recorded: where an error comes after some, they are told first, since they are in segments. */
static int finish_steps(Rollout *rollout, uint64_t credit_steps, Call *call, Err *err)
{
    int recorded = 0;
    bool first = true;
    while (rollout->in_flight > 0 && (uint64_t)recorded < credit_steps) {
        int64_t within_ns = left_ns(rollout, call);
        if (within_ns == 0 && !first)
            break;
        int result = finish_step(rollout, call, within_ns, err);
        if (result == ERR_AGAIN)
            break;
        if (result < 0 && recorded > 0) {
            rollout->ended_code = result;
            rollout->ended_err = *err;
            break;
        }
        if (result < 0)
            return result;
        recorded += result;
        first = false;
    }
    return recorded;
}

int rollout_step(Rollout *rollout, Policy *policy, uint64_t credit_steps, int64_t now_ms, Err *err)
{
    Call call = {.start_ns = clock_ns()};
    rollout->blocked = false;
    if (rollout->ended_code != 0) {
        *err = rollout->ended_err;
        return rollout->ended_code;
    }
    if (rollout->in_flight > 0)
        return finish_steps(rollout, credit_steps, &call, err);

    int n = rollout->num_envs;
    int wanted = credit_steps < (uint64_t)n ? (int)credit_steps : n;
    int ready = 0;
    int code = prepare_lanes(rollout, wanted, policy->version, now_ms, &call, &ready, err);
    if (code != 0 && code != ERR_FULL)
        return code;
    int recorded = 0;
    if (ready > 0) {
        begin_steps(rollout, policy, ready);
        recorded = finish_steps(rollout, credit_steps, &call, err);
    }
    rollout->blocked = code == ERR_FULL && rollout->in_flight == 0 && rollout->ended_code == 0;
    return recorded;
}

/* Whether one of a lane's steps is in flight. */
static bool steps_now(const Rollout *rollout, int i)
{
    int turn = (i - rollout->first + rollout->num_envs) % rollout->num_envs;
    return turn < rollout->in_flight;
}

void rollout_flush(Rollout *rollout, int64_t now_ms, bool all)
{
    for (int i = 0; i < rollout->num_envs; i++) {
        Lane *lane = &rollout->lanes[i];
        if (!lane->open || (!all && now_ms - lane->opened_ms < rollout->config.segment_flush_ms))
            continue;
        if (!steps_now(rollout, i)) {
            if (all || lane->open->num_steps > 0)
                end_segment(rollout, lane, SEGMENT_CONTINUES);
        } else if (lane->open->num_steps > 0 && rollout->outbox->num_free > 0) {
            close_segment(rollout, lane, SEGMENT_CONTINUES);
            CHECK(open_segment(rollout, i, lane->version, now_ms) == 0);
        }
    }
}

void rollout_stop(Rollout *rollout)
{
    rollout->in_flight = 0;
    rollout->failed_code = 0;
    for (int i = 0; i < rollout->num_envs; i++)
        end_segment(rollout, &rollout->lanes[i], SEGMENT_CONTINUES);
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

const EnvFaults *rollout_faults(const Rollout *rollout)
{
    return &rollout->faults;
}

const char *rollout_last_fault(const Rollout *rollout)
{
    return rollout->last_fault;
}
