#include "cli/bench/bench_env_actor.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench/bench_process.h"
#include "cli/train/launch.h"
#include "common/clock.h"

enum {
    LOOK_MS = 4,
    PATIENCE_MS = 90000, /* longest wait for steps: a Python worker takes its time to start */
    WARMUP_MS = 150,
    END_MS = 3000,
    HEARTBEAT_MS = 60000, /* a stopped actor is not a lost one */
    REPLAY_STEPS = 100000,
    WINDOW_STEPS = 1000000, /* what the learner owes never holds the actor up */
};

/* --- Begin -------------------------------------------------------------------------------------
 */

static void fill_config(Config *learner, const Config *bench)
{
    learner->hidden = bench->hidden;
    learner->warmup_env_steps = 0;
    learner->updates_per_env_step = 1e-9; /* the first policy, and no other */
    learner->pacing_window_env_steps = WINDOW_STEPS;
    learner->replay_capacity = (ConfigCapacity){.steps = REPLAY_STEPS};
    learner->heartbeat_interval_ms = HEARTBEAT_MS;
    learner->policy_age_s_max = 0;
    learner->noise = NOISE_GAUSSIAN;
    /* Motion as wild as that of the environments alone: physics at rest, in contact with the
     * ground, costs another time. */
    learner->sigma = 1.0;
    learner->threads = 1;
}

int bench_actor_prepare(BenchActor *actor, const Config *config, Err *err)
{
    Launch launch = {.endpoint = ""};
    int code = launch_find_programs(&launch, err);
    if (!code)
        code = bench_learner_prepare(&actor->learner, config, err);
    if (code)
        return code;
    fill_config(&actor->learner.config, config);
    snprintf(launch.endpoint, sizeof launch.endpoint, "%.*s", LAUNCH_ENDPOINT_MAX,
             actor->learner.actor.connect);
    actor->args = launch_actor_args(&launch, config, 0);
    if (!actor->args)
        return err_set(err, ERR_NOMEM, "not enough memory to start an actor");
    return bench_learner_start(&actor->learner, err);
}

static int run_actor(const void *arg, int index)
{
    const BenchActor *actor = arg;
    (void)index;
    bench_learner_redirect_log(&actor->learner, "actor");
    execv(actor->args[0], actor->args);
    perror(actor->args[0]);
    return 1;
}

/* --- Measuring ---------------------------------------------------------------------------------
 */

/* What there is at a moment. */
typedef struct Point {
    int64_t ns;
    double cpu_s;
    uint64_t steps; /* that the learner has accepted */
} Point;

static int check_processes(BenchActor *actor, Err *err)
{
    if (!bench_has_ended(&actor->learner.pid) && !bench_has_ended(&actor->pid))
        return bench_check_signals(err);
    bench_learner_show_log(&actor->learner);
    return err_set(err, ERR_NET, "a process of the benchmark ended too early");
}

/* Waits until another segment is there. */
static int next_point(BenchActor *actor, Point *point, Err *err)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        const RunStatus *status = NULL;
        uint64_t steps = 0;
        const char *reason = "";
        int code = check_processes(actor, err);
        if (!code)
            code = asking_status(&actor->asking, &status, err);
        if (code)
            return code;
        for (uint32_t i = 0; i < status->num_actors; i++) {
            steps += status->actors[i].env_steps;
            reason = status->actors[i].waiting_for;
        }
        if (steps != point->steps) {
            *point = (Point){clock_ns(), bench_cpu_family_s(actor->pid), steps};
            return ERR_OK;
        }
        if (clock_ms() >= deadline_ms)
            return err_set(err, ERR_NET, "the actor has taken no step for %d s%s%s",
                           PATIENCE_MS / 1000, reason[0] ? ": " : "", reason);
        bench_sleep_ms(LOOK_MS);
    }
}

/* From a segment that came after at least WARMUP_MS to one that comes after `seconds` more. */
static int measure(BenchActor *actor, double seconds, BenchRate *rate, Err *err)
{
    Point first = {0};
    int64_t began_ns = clock_ns();
    int code = ERR_OK;
    do {
        code = next_point(actor, &first, err);
    } while (!code && first.ns - began_ns < WARMUP_MS * INT64_C(1000000));
    Point last = first;
    while (!code && (last.steps == first.steps || (double)(last.ns - first.ns) < seconds * 1e9))
        code = next_point(actor, &last, err);
    double steps = (double)(last.steps - first.steps);
    rate->steps_per_s = steps / ((double)(last.ns - first.ns) / 1e9);
    rate->steps_per_cpu_s = steps / (last.cpu_s - first.cpu_s);
    return code;
}

int bench_actor_measure(BenchActor *actor, double seconds, BenchRate *rate, Err *err)
{
    kill(actor->pid, SIGCONT);
    int code = measure(actor, seconds, rate, err);
    if (actor->pid != 0)
        kill(actor->pid, SIGSTOP);
    return code;
}

int bench_actor_start(BenchActor *actor, Err *err)
{
    BenchRate unused;
    int code = bench_fork(run_actor, actor, 0, &actor->pid, err);
    if (!code)
        code = asking_open(&actor->asking, &actor->learner.actor, "bench", err);
    return code ? code : bench_actor_measure(actor, 0, &unused, err);
}

void bench_actor_end(BenchActor *actor)
{
    asking_close(&actor->asking);
    if (actor->pid != 0)
        kill(actor->pid, SIGCONT);
    bench_end(&actor->pid, SIGTERM, END_MS);
    (void)bench_learner_end(&actor->learner, NULL); /* it has no log to check */
    bench_learner_remove(&actor->learner);
    launch_free_args(actor->args);
    actor->args = NULL;
}
