/* The tasks beside Gymnasium's own: replays what record.py recorded.
 *
 *     parity_test TRACE PLUGIN
 *
 * Every step is taken twice: by the core, in doubles, and by the plugin behind the host, in floats,
 * which must also end episodes at the step limit. |a − b| <= tolerance · max(1, |b|). */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env_host.h"
#include "actor/envs/mujoco/sim.h"
#include "common/check.h"

enum { VALUES_MAX = 1024, LINE_BYTES_MAX = 1 << 16 };
static const double core_tolerance = 1e-9, host_tolerance = 1e-5;

typedef struct Replay {
    const char *plugin;
    char name[64];
    int line;
    MujocoSim *sim;
    EnvKind *kind;
    Env *env;
    double *sim_state;
    char *env_state;
    double obs[VALUES_MAX];     /* of the core, after the newest start or step */
    float host_obs[VALUES_MAX]; /* of the host */
    double reward;
    bool terminated;
    EnvOutcome outcome;
    int steps, truncated, ended, failures;
    double core_worst, host_worst; /* errors, in units of max(1, |b|) */
} Replay;

static void must(Replay *replay, int rc, const Err *err)
{
    if (rc == ERR_OK)
        return;
    fprintf(stderr, "line %d: %s: %s\n", replay->line, replay->name, err->text);
    exit(1);
}

/* --- Comparing ------------------------------------------------------------------------------- */

static void compare_one(Replay *replay, const char *what, int i, double value, double recorded,
                        double tolerance, double *worst)
{
    double error = fabs(value - recorded) / fmax(1.0, fabs(recorded));
    *worst = fmax(*worst, error);
    if (error <= tolerance)
        return;
    if (replay->failures++ < 5)
        fprintf(stderr, "line %d: %s: %s %d is %.17g, recorded %.17g\n", replay->line, replay->name,
                what, i, value, recorded);
}

static void compare(Replay *replay, const char *what, int i, double core, double host,
                    double recorded)
{
    compare_one(replay, what, i, core, recorded, core_tolerance, &replay->core_worst);
    compare_one(replay, what, i, host, recorded, host_tolerance, &replay->host_worst);
}

static void compare_obs(Replay *replay, const double *values, int count)
{
    if (count != mujoco_sim_obs_dim(replay->sim)) {
        fprintf(stderr, "line %d: %s: obs_dim %d, recorded %d\n", replay->line, replay->name,
                mujoco_sim_obs_dim(replay->sim), count);
        exit(1);
    }
    for (int i = 0; i < count; i++)
        compare(replay, "obs", i, replay->obs[i], (double)replay->host_obs[i], values[i]);
}

static void compare_result(Replay *replay, const double *values)
{
    bool terminated = values[1] != 0.0, truncated = values[2] != 0.0;
    compare(replay, "reward", 0, replay->reward, (double)replay->outcome.reward, values[0]);
    SegmentEnd end = terminated  ? SEGMENT_TERMINATED
                     : truncated ? SEGMENT_TRUNCATED
                                 : SEGMENT_CONTINUES;
    if ((replay->terminated != terminated || replay->outcome.end != end) && replay->failures++ < 5)
        fprintf(stderr, "line %d: %s: terminated %d, the host says end %d, recorded %d\n",
                replay->line, replay->name, replay->terminated, (int)replay->outcome.end, (int)end);
    replay->ended += terminated;
    replay->truncated += truncated;
}

/* --- Replaying ------------------------------------------------------------------------------- */

static void close_task(Replay *replay)
{
    if (!replay->sim)
        return;
    printf("%-26s %4d steps, %2d terminated, %2d truncated; errors: core %.1e, host %.1e\n",
           replay->name, replay->steps, replay->ended, replay->truncated, replay->core_worst,
           replay->host_worst);
    free(replay->sim_state);
    free(replay->env_state);
    env_destroy(&replay->env);
    env_kind_close(&replay->kind);
    mujoco_sim_destroy(&replay->sim);
}

static void open_task(Replay *replay, const char *text)
{
    char options[512];
    close_task(replay);
    *replay =
        (Replay){.plugin = replay->plugin, .line = replay->line, .failures = replay->failures};
    CHECK(sscanf(text, "%63s %511s", replay->name, options) == 2);
    Err err = {""};
    MujocoTask task;
    bool changed;
    must(replay, mujoco_task_parse(options, &task, &changed, &err), &err);
    must(replay, mujoco_sim_new(&task, &replay->sim, &err), &err);
    EnvSetup setup = {.name = replay->plugin, .options = options};
    must(replay, env_kind_open(&setup, &replay->kind, &err), &err);
    must(replay, env_new(replay->kind, &replay->env, &err), &err);
    replay->sim_state = calloc((size_t)mujoco_sim_state_count(replay->sim), sizeof(double));
    replay->env_state = malloc(env_state_bytes(replay->env));
    CHECK(replay->sim_state && replay->env_state && mujoco_sim_obs_dim(replay->sim) <= VALUES_MAX);
}

/* The core starts in the recorded state, and the host in the core's. */
static void start(Replay *replay, const double *values, int count)
{
    const mjModel *model = mujoco_sim_model(replay->sim);
    size_t state_bytes = (size_t)mujoco_sim_state_count(replay->sim) * sizeof(double);
    Err err = {""};
    CHECK(count == (int)(model->nq + model->nv));
    CHECK(env_state_bytes(replay->env) == ENV_STATE_HOST_BYTES + state_bytes);
    must(replay, mujoco_sim_set_state(replay->sim, values, values + model->nq, replay->obs, &err),
         &err);
    mujoco_sim_save(replay->sim, replay->sim_state);
    must(replay, env_reset(replay->env, 1, replay->host_obs, &err), &err);
    must(replay, env_state_get(replay->env, replay->env_state, &err), &err);
    memcpy(replay->env_state + ENV_STATE_HOST_BYTES, replay->sim_state, state_bytes);
    must(replay, env_state_set(replay->env, replay->env_state, replay->host_obs, &err), &err);
}

static void step(Replay *replay, const double *values, int count)
{
    const Spec *spec = env_kind_spec(replay->kind);
    float unit[SPEC_ACT_DIM_MAX], action[SPEC_ACT_DIM_MAX];
    Err err = {""};
    CHECK(count == spec->act_dim);
    for (int i = 0; i < count; i++) {
        double low = (double)spec->action_low[i], high = (double)spec->action_high[i];
        unit[i] = (float)values[i];
        action[i] = (float)(0.5 * (low + high) + 0.5 * (high - low) * values[i]);
    }
    must(replay,
         mujoco_sim_step(replay->sim, action, replay->obs, &replay->reward, &replay->terminated,
                         &err),
         &err);
    must(replay, env_step(replay->env, unit, replay->host_obs, &replay->outcome, &err), &err);
    replay->steps++;
}

static int parse(const char *text, double *values)
{
    int count = 0;
    for (;;) {
        char *end;
        double value = strtod(text, &end);
        if (end == text)
            return count;
        CHECK(count < VALUES_MAX);
        values[count++] = value;
        text = end;
    }
}

static void replay_line(Replay *replay, char *line)
{
    static double values[VALUES_MAX];
    char *text = strchr(line, ' ');
    CHECK(text);
    *text++ = '\0';
    if (strcmp(line, "task") == 0) {
        open_task(replay, text);
        return;
    }
    int count = parse(text, values);
    if (strcmp(line, "start") == 0)
        start(replay, values, count);
    else if (strcmp(line, "obs") == 0)
        compare_obs(replay, values, count);
    else if (strcmp(line, "step") == 0)
        step(replay, values, count);
    else if (strcmp(line, "result") == 0 && count == 3)
        compare_result(replay, values);
    else
        CHECK(false); /* a line of no known kind */
}

int main(int argc, char **argv)
{
    static char line[LINE_BYTES_MAX];
    if (argc != 3) {
        fprintf(stderr, "usage: parity_test TRACE PLUGIN\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "r");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    Replay replay = {.plugin = argv[2]};
    int tasks = 0;
    while (fgets(line, sizeof line, file)) {
        replay.line++;
        tasks += strncmp(line, "task", 4) == 0;
        replay_line(&replay, line);
    }
    fclose(file);
    close_task(&replay);
    if (replay.failures || tasks < 11)
        fprintf(stderr, "%d tasks, %d differences\n", tasks, replay.failures);
    return replay.failures || tasks < 11;
}
