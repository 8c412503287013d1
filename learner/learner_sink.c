/* What the fleet asks of the learner around it. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/config/presets.h"
#include "common/log.h"
#include "learner/learner_internal.h"
#include "net/endpoints.h"

static void wake_loop(void *context)
{
    Learner *learner = context;
    uv_async_send(&learner->trainer_spoke);
}

int learner_begin_run(Learner *learner, const Spec *spec, Err *err)
{
    Run *run = &learner->run;
    int code = run_begin(run, spec, wake_loop, learner, err);
    if (code != 0)
        return code;
    endpoints_fill_welcome(learner->config, fleet_welcome(learner->fleet));
    learner_start_serving(learner);
    if (learner->error != 0) {
        *err = learner->err;
        return learner->error;
    }
    log_info("the run is %s: obs_dim %d, act_dim %d; %lld env steps", spec->name, spec->obs_dim,
             spec->act_dim, (long long)learner->config->total_env_steps);
    return ERR_OK;
}

static int adopt_spec(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1])
{
    Learner *learner = context;
    Err err;
    const Config *config = learner->config;
    if (!preset_is_of(config->env, config->env_options[0] != '\0', spec->name)) {
        snprintf(text, WIRE_TEXT_MAX + 1, "the run trains %.80s, not %.90s", config->env,
                 spec->name);
        return REJECT_SPEC;
    }
    int code = learner_begin_run(learner, spec, &err);
    if (code == 0)
        return 0;
    snprintf(text, WIRE_TEXT_MAX + 1, "%.*s", WIRE_TEXT_MAX, err.text);
    if (code == ERR_NOMEM)
        return REJECT_OUT_OF_MEMORY;
    if (code == ERR_SPEC)
        return REJECT_SPEC;
    learner->error = code;
    learner->err = err;
    return REJECT_NOT_ALLOWED;
}

static void accept_segment(void *context, const Segment *segment, const SegmentOrigin *origin)
{
    Learner *learner = context;
    SegmentRing *ring = &learner->run.exchange.ring;
    SegmentOrigin *slot_origin = NULL;
    Segment *slot = segment_ring_reserve(ring, &slot_origin);
    CHECK(slot); /* credit never covers more than the ring has */
    segment_copy(slot, segment, ring->obs_dim, ring->act_dim);
    *slot_origin = *origin;
    segment_ring_commit(ring);
}

static void evaluated(void *context, const EvalResult *result)
{
    Learner *learner = context;
    EvalOutcome outcome = {.eval_id = result->eval_id,
                           .return_mean = result->return_mean,
                           .return_std = result->return_std,
                           .length_mean = result->length_mean,
                           .episodes = result->episodes,
                           .diverged = result->diverged};
    exchange_answer(&learner->run.exchange, &outcome);
}

/* Sets a key for whoever looks at it: this thread, the log, the trainer. */
static bool set_key(void *context, const char *assignment, char text[WIRE_TEXT_MAX + 1])
{
    Learner *learner = context;
    Run *run = &learner->run;
    char name[CONFIG_NAME_MAX + 1];
    char was[CONFIG_TEXT_MAX + 1];
    char is[CONFIG_TEXT_MAX + 1];
    char setting[EXCHANGE_SETTING_MAX + 1];
    Err err;
    Config before = *learner->config;
    if (config_set_live(learner->config, assignment, name, &err) != 0) {
        snprintf(text, WIRE_TEXT_MAX + 1, "%.*s", WIRE_TEXT_MAX, err.text);
        return false;
    }
    config_get(&before, name, was);
    config_get(learner->config, name, is);
    int length = snprintf(setting, sizeof setting, "%.63s=%.60s was %.60s", name, is, was);
    if (length > ORDER_TEXT_MAX) {
        *learner->config = before;
        snprintf(text, WIRE_TEXT_MAX + 1, "%.63s: write the value with fewer digits", name);
        return false;
    }
    if (run->begun && !exchange_set(&run->exchange, setting)) {
        *learner->config = before;
        snprintf(text, WIRE_TEXT_MAX + 1, "the trainer is busy: try again");
        return false;
    }
    if (run->log.thread)
        log_thread_configure(run->log.thread, learner->config->replay_log_on_error,
                             learner->config->replay_log_fsync_ms);
    endpoints_fill_welcome(learner->config, fleet_welcome(learner->fleet));
    snprintf(text, WIRE_TEXT_MAX + 1, "%.63s was %.60s, is %.60s", name, was, is);
    return true;
}

static bool status_fits(void *context, Link link)
{
    const Learner *learner = context;
    return status_out_fits(learner->status_out, link);
}

static void note(void *context, const char *line)
{
    (void)context;
    log_info("%s", line);
}

FleetSink learner_sink(Learner *learner)
{
    return (FleetSink){learner, adopt_spec, accept_segment, evaluated, note, set_key, status_fits};
}
