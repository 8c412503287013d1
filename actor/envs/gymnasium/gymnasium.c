#include "actor/envs/gymnasium/gymnasium.h"

#include <stdlib.h>
#include <string.h>

#include "actor/envs/gymnasium/worker.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum {
    STEP_TIMEOUT_MS = 10000, /* as the key has it */
    START_TIMEOUT_MS = 60000,
    START_STEPS = 6, /* or as long as this many steps may take */
    MINUTE_MS = 60000,
    RESTARTS_MAX = 1000,
};

typedef struct Lane {
    struct Kind *kind;
    int index;
    bool used;
    uint64_t start; /* the worker, by number, in which its episode is */
    bool is_reset;  /* what was begun last */
} Lane;

typedef struct Kind {
    Worker *worker;
    Spec spec;
    char *id;
    char *options;
    char *python;
    char name[151]; /* for a person; as long as messages show it */
    int num_lanes;
    Lane *lanes; /* (num_lanes) */
    int restarts_max;
    int num_restarts;     /* since it was opened */
    int64_t *restarts_ms; /* (restarts_max) when the last ones were, as a ring */
    int ends_in_a_row;    /* of the worker, without a finished step in between */
    bool hopeless;        /* it will not be started again */
    Err why;
    bool restarting;                   /* it has not been ready since */
    const volatile sig_atomic_t *stop; /* NULL: none */
} Kind;

static void gymnasium_close(void *opaque)
{
    Kind *kind = opaque;
    worker_destroy(&kind->worker);
    free(kind->id);
    free(kind->options);
    free(kind->python);
    free(kind->lanes);
    free(kind->restarts_ms);
    free(kind);
}

/* --- The worker's life ------------------------------------------------------------------------ */

static int hopeless(Kind *kind, const char *why)
{
    if (!kind->hopeless)
        err_set(&kind->why, 0, "%s", why);
    kind->hopeless = true;
    return ERR_ENV;
}

/* A worker that is ready once more must be what the first was. */
static int check_spec(Kind *kind)
{
    Spec spec;
    Err err;
    char difference[256];
    int rc = channel_spec(&kind->worker->channel, &spec, &err);
    if (rc == ERR_OK && spec_equal(&spec, &kind->spec))
        return ERR_OK;
    if (rc == ERR_OK)
        spec_difference(&kind->spec, &spec, difference, sizeof difference);
    err_set(&err, 0, "%s is another environment since its worker was started again: %s", kind->name,
            rc == ERR_OK ? difference : "its spec is not sound");
    return hopeless(kind, err.text);
}

/* The worker ended too often; `when` says how often that was. */
static int give_up(Kind *kind, int ends, const char *when)
{
    Err why;
    const char *last = kind->worker->ending.text + strlen(kind->name);
    err_set(&why, 0,
            "the Python worker of %s ended %d time%s %s the last time%.250s (--env-restarts-max "
            "%d)",
            kind->name, ends, ends > 1 ? "s" : "", when, last, kind->restarts_max);
    return hopeless(kind, why.text);
}

/* Starts the worker again, unless it has been too often: within a minute, or, where it takes long
 * to fail, without any use in between. */
static int restart(Kind *kind, Err *err)
{
    int64_t now_ms = clock_ms();
    int in_a_minute = 0;
    log_warn("%s", kind->worker->ending.text);
    for (int i = 0; i < kind->restarts_max && i < kind->num_restarts; i++)
        in_a_minute += now_ms - kind->restarts_ms[i] < MINUTE_MS;
    if (in_a_minute >= kind->restarts_max)
        return give_up(kind, in_a_minute + 1, "within a minute,");
    if (++kind->ends_in_a_row > kind->restarts_max)
        return give_up(kind, kind->ends_in_a_row, "in a row without a finished step;");
    kind->restarts_ms[kind->num_restarts++ % kind->restarts_max] = now_ms;
    log_info("%s: starting the Python worker again (%d of %d in a minute)", kind->name,
             in_a_minute + 1, kind->restarts_max);
    kind->restarting = true;
    return worker_start(kind->worker, err);
}

/* Waits for the worker, and looks at one that has become ready again. */
static int wait_for_news(Kind *kind, int timeout_ms)
{
    worker_wait(kind->worker, timeout_ms);
    if (!kind->restarting || kind->worker->state != WORKER_READY)
        return ERR_OK;
    kind->restarting = false;
    log_info("%s: the Python worker is ready again, after %.1f s", kind->name,
             (double)(clock_ms() - kind->worker->started_ms) / 1000.0);
    return check_spec(kind);
}

/* Waits for news as long as it takes, but not when this program is to stop: a worker's wait is
 * short, or ended by the signal. */
static int wait_unless_stopped(const Kind *kind, Err *err)
{
    if (kind->stop && *kind->stop)
        return err_set(err, ERR_STOPPED, "stopped");
    worker_wait(kind->worker, -1);
    return ERR_OK;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* The first worker has ended before it was ready. */
static int set_up_failed(const Worker *worker, Err *err)
{
    int code = worker->failure == FAILURE_USAGE     ? ERR_USAGE
               : worker->failure == FAILURE_MISSING ? ERR_MISSING
                                                    : ERR_ENV;
    return err_set(err, code, "%s", worker->ending.text);
}

static int first_start(Kind *kind, Err *err)
{
    Worker *worker = kind->worker;
    int rc = worker_start(worker, err);
    if (rc != ERR_OK)
        return rc;
    while (rc == ERR_OK && worker->state == WORKER_STARTING)
        rc = wait_unless_stopped(kind, err);
    if (rc != ERR_OK)
        return rc;
    if (worker->state != WORKER_READY)
        return set_up_failed(worker, err);
    return channel_spec(&worker->channel, &kind->spec, err);
}

static char *copy_of(const char *text)
{
    return strdup(text ? text : "");
}

static Kind *kind_new(const EnvSetup *setup, const char *id)
{
    Kind *kind = calloc(1, sizeof *kind);
    if (!kind)
        return NULL;
    kind->num_lanes = setup->num_envs > 0 ? setup->num_envs : 1;
    kind->restarts_max = setup->restarts_max < RESTARTS_MAX ? setup->restarts_max : RESTARTS_MAX;
    kind->stop = setup->stop;
    kind->id = copy_of(id);
    kind->options = copy_of(setup->options);
    kind->python = copy_of(setup->python ? setup->python : "python3");
    kind->lanes = calloc((size_t)kind->num_lanes, sizeof *kind->lanes);
    kind->restarts_ms = calloc((size_t)kind->restarts_max + 1, sizeof *kind->restarts_ms);
    if (!kind->id || !kind->options || !kind->python || !kind->lanes || !kind->restarts_ms) {
        gymnasium_close(kind);
        return NULL;
    }
    Err full;
    err_set(&full, 0, "gymnasium:%s", id);
    text_excerpt(full.text, kind->name, sizeof kind->name);
    for (int i = 0; i < kind->num_lanes; i++)
        kind->lanes[i] = (Lane){.kind = kind, .index = i};
    return kind;
}

int gymnasium_open(const EnvSetup *setup, const char *id, void **kind_pointer, Spec *spec, Err *err)
{
    if (id[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "gymnasium: needs the ID of an environment, as in gymnasium:Pendulum-v1");
    Kind *kind = kind_new(setup, id);
    if (!kind)
        return err_set(err, ERR_NOMEM, "no memory for environment gymnasium:%.100s", id);
    int step_ms = setup->step_timeout_ms > 0 ? setup->step_timeout_ms : STEP_TIMEOUT_MS;
    WorkerConfig config = {
        .python = kind->python,
        .id = kind->id,
        .options = kind->options,
        .name = kind->name,
        .num_lanes = kind->num_lanes,
        .step_timeout_ms = step_ms,
        .start_timeout_ms =
            step_ms < START_TIMEOUT_MS / START_STEPS ? START_TIMEOUT_MS : START_STEPS * step_ms,
    };
    int rc = worker_new(&config, &kind->worker, err);
    if (rc == ERR_OK)
        rc = first_start(kind, err);
    if (rc != ERR_OK) {
        gymnasium_close(kind);
        return rc;
    }
    *spec = kind->spec;
    *kind_pointer = kind;
    return ERR_OK;
}

/* --- Instances -------------------------------------------------------------------------------- */

static int gymnasium_create(void *opaque, void **instance, Err *err)
{
    Kind *kind = opaque;
    for (int i = 0; i < kind->num_lanes; i++) {
        if (!kind->lanes[i].used) {
            kind->lanes[i].used = true;
            *instance = &kind->lanes[i];
            return ERR_OK;
        }
    }
    return err_set(err, ERR_ENV, "%s was opened for %d environments at once", kind->name,
                   kind->num_lanes);
}

/* What it is doing is left to the worker; the lane's next owner begins with a reset. */
static void gymnasium_destroy(void *instance)
{
    Lane *lane = instance;
    lane->used = false;
}

/* Waits until a lane's earlier owner has nothing in flight any more. */
static int clear_lane(Lane *lane)
{
    Worker *worker = lane->kind->worker;
    WorkerLane *work = &worker->lanes[lane->index];
    while (worker->state != WORKER_ENDED &&
           (work->state == LANE_BEGUN || work->state == LANE_TOLD)) {
        int rc = wait_for_news(lane->kind, -1);
        if (rc != ERR_OK)
            return rc;
    }
    work->state = LANE_IDLE;
    return ERR_OK;
}

static int gymnasium_reset_begin(void *instance, uint64_t seed, Err *err)
{
    Lane *lane = instance;
    Kind *kind = lane->kind;
    int rc = kind->hopeless ? ERR_ENV : clear_lane(lane);
    if (rc == ERR_OK && kind->worker->state == WORKER_ENDED)
        rc = restart(kind, err);
    if (kind->hopeless)
        return err_set(err, ERR_ENV, "%s", kind->why.text);
    if (rc != ERR_OK)
        return ERR_ENV; /* it cannot even be started; err says why */
    lane->start = kind->worker->starts;
    lane->is_reset = true;
    kind->worker->channel.seeds[lane->index] = seed;
    kind->worker->channel.commands[lane->index] = COMMAND_RESET;
    worker_begin(kind->worker, lane->index);
    return ERR_OK;
}

/* Whether the lane's episode is in a worker that is gone. */
static bool is_lost(const Lane *lane)
{
    const Worker *worker = lane->kind->worker;
    return worker->state == WORKER_ENDED || worker->starts != lane->start;
}

static int gymnasium_step_begin(void *instance, const float *action, Err *err)
{
    Lane *lane = instance;
    Kind *kind = lane->kind;
    (void)err;
    lane->is_reset = false;
    if (is_lost(lane))
        return ERR_OK; /* finish says so, and why */
    Channel *channel = &kind->worker->channel;
    memcpy(channel_action(channel, lane->index), action,
           (size_t)kind->spec.act_dim * sizeof *action);
    channel->commands[lane->index] = COMMAND_STEP;
    worker_begin(kind->worker, lane->index);
    return ERR_OK;
}

/* Copies what the worker wrote. */
static void take_result(Lane *lane, float *obs, PolyakEnvResult *result)
{
    const Kind *kind = lane->kind;
    const Channel *channel = &kind->worker->channel;
    memcpy(obs, channel_obs(channel, lane->index), (size_t)kind->spec.obs_dim * sizeof *obs);
    kind->worker->lanes[lane->index].state = LANE_IDLE;
    if (lane->is_reset)
        return;
    lane->kind->ends_in_a_row = 0;
    int ends = channel->ends[lane->index];
    result->reward = (float)channel->rewards[lane->index];
    result->terminated = (ends & END_TERMINATED) != 0;
    result->truncated = (ends & END_TRUNCATED) != 0;
}

static int gymnasium_finish(void *instance, int timeout_ms, float *obs, PolyakEnvResult *result,
                            EnvFault *fault, Err *err)
{
    Lane *lane = instance;
    Kind *kind = lane->kind;
    const WorkerLane *work = &kind->worker->lanes[lane->index];
    int64_t end_ms = timeout_ms < 0 ? INT64_MAX : clock_ms() + timeout_ms;
    for (;;) {
        if (kind->hopeless)
            return err_set(err, ERR_ENV, "%s", kind->why.text);
        if (work->state == LANE_DONE) {
            take_result(lane, obs, result);
            return ERR_OK;
        }
        if (is_lost(lane)) {
            *fault = kind->worker->fault;
            return err_set(err, ERR_LOST, "%s", kind->worker->ending.text);
        }
        int64_t left_ms = -1;
        if (timeout_ms >= 0) {
            int64_t now_ms = clock_ms();
            left_ms = now_ms < end_ms ? end_ms - now_ms : 0;
        }
        wait_for_news(kind, (int)left_ms);
        if (left_ms == 0 && work->state != LANE_DONE && !is_lost(lane) && !kind->hopeless)
            return ERR_AGAIN;
    }
}

/* --- Pictures --------------------------------------------------------------------------------- */

static int gymnasium_render(void *instance, uint8_t *rgb, int width, int height, Err *err)
{
    Lane *lane = instance;
    Kind *kind = lane->kind;
    Worker *worker = kind->worker;
    WorkerLane *work = &worker->lanes[lane->index];
    if (kind->hopeless || is_lost(lane))
        return err_set(err, ERR_ENV, "%s",
                       kind->hopeless           ? kind->why.text
                       : worker->ending.text[0] ? worker->ending.text
                                                : "a picture needs a reset first");
    uint8_t *picture = NULL;
    int rc = channel_picture_open(&worker->channel, width, height, &picture, err);
    if (rc != ERR_OK)
        return rc;
    worker->channel.commands[lane->index] = COMMAND_RENDER;
    worker_begin(worker, lane->index);
    while (rc == ERR_OK && work->state != LANE_DONE && !is_lost(lane))
        rc = wait_unless_stopped(kind, err);
    if (rc != ERR_OK) {
        channel_picture_close(&picture, width, height);
        return rc; /* the lane stays as it is: a reset waits for the worker */
    }
    int ends = worker->channel.ends[lane->index];
    if (work->state != LANE_DONE) {
        rc = err_set(err, ERR_ENV, "%s", worker->ending.text);
    } else if (ends & (END_NO_PICTURE | END_BAD_PICTURE)) {
        char text[CHANNEL_TEXT_BYTES];
        rc = err_set(err, ends & END_NO_PICTURE ? ERR_MISSING : ERR_ENV, "%s: %s", kind->name,
                     channel_text(&worker->channel, text, sizeof text));
    } else {
        memcpy(rgb, picture, (size_t)width * (size_t)height * 3);
    }
    channel_picture_close(&picture, width, height);
    work->state = LANE_IDLE;
    return rc;
}

static double gymnasium_step_seconds(const void *instance)
{
    const Lane *lane = instance;
    return (double)lane->kind->worker->channel.header->step_seconds;
}

const EnvBackend gymnasium_backend = {
    .close = gymnasium_close,
    .create = gymnasium_create,
    .destroy = gymnasium_destroy,
    .reset_begin = gymnasium_reset_begin,
    .step_begin = gymnasium_step_begin,
    .finish = gymnasium_finish,
    .render = gymnasium_render,
    .step_seconds = gymnasium_step_seconds,
};
