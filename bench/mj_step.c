/* What MuJoCo alone does on this machine: a bare loop of mj_step, with which an actor's speed is
 * compared.
 *
 *     mj_step SECONDS MODEL FRAME_SKIP
 *
 * One step is random controls within their ranges, new for each, and FRAME_SKIP steps of the
 * physics; after 1000 steps the simulation begins again. Prints steps per second of the monotonic
 * clock, and per second of the processor's time. It is built with the MuJoCo environments. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mujoco/mujoco.h>

#include "actor/envs/env_random.h"

enum { STEPS_OF_AN_EPISODE = 1000, STEPS_BETWEEN_LOOKS = 100, FRAME_SKIP_MAX = 1000 };

/* Instead of MuJoCo's own, which would write a file into the working directory. */
static void drop_message(const mjLogMessage *message)
{
    if (message->level == mjLOG_ERROR)
        fprintf(stderr, "%s\n", message->subject);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void step(const mjModel *m, mjData *d, long frame_skip, EnvRandom *random)
{
    const mjtNum *range = m->actuator_ctrlrange; /* (nu, 2) */
    for (int i = 0; i < (int)m->nu; i++, range += 2)
        d->ctrl[i] = env_random_uniform(random, range[0], range[1]);
    for (long i = 0; i < frame_skip; i++)
        mj_step(m, d);
}

static void measure(const mjModel *m, mjData *d, double seconds, long frame_skip)
{
    EnvRandom random = {1};
    long steps = 0;
    double begin = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), now;
    do {
        for (int i = 0; i < STEPS_BETWEEN_LOOKS; i++, steps++) {
            if (steps % STEPS_OF_AN_EPISODE == 0)
                mj_resetData(m, d);
            step(m, d, frame_skip, &random);
        }
        now = seconds_of(CLOCK_MONOTONIC);
    } while (now - begin < seconds);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"steps\":%ld,\"steps_per_s\":%.1f,\"steps_per_cpu_s\":%.1f}\n", steps,
           (double)steps / (now - begin), (double)steps / cpu);
}

int main(int argc, char **argv)
{
    char error[256] = "";
    double seconds = argc == 4 ? strtod(argv[1], NULL) : 0.0;
    long frame_skip = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (!(seconds > 0.0) || frame_skip < 1 || frame_skip > FRAME_SKIP_MAX) {
        fprintf(stderr, "usage: mj_step SECONDS MODEL FRAME_SKIP\n");
        return 2;
    }
    mju_setLogHandler(drop_message);
    mjModel *model = mj_loadXML(argv[2], NULL, error, sizeof error);
    mjData *data = model ? mj_makeData(model) : NULL;
    if (!data) {
        fprintf(stderr, "%s: %s\n", argv[2], error);
        return 1;
    }
    measure(model, data, seconds, frame_skip);
    mj_deleteData(data);
    mj_deleteModel(model);
    return 0;
}
