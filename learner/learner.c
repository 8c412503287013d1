#include "learner/learner.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/config/presets.h"
#include "common/log.h"
#include "learner/fleet/endpoints.h"
#include "learner/fleet/fleet.h"
#include "learner/fleet/publish.h"
#include "learner/fleet/router.h"
#include "learner/fleet/zmq_watch.h"
#include "learner/run.h"
#include "learner/watch/progress.h"

enum {
    TICK_MS = 100,
    MESSAGES_PER_TURN = 256, /* read before other handles have their turn */
    FAREWELL_MS = 2000,      /* longest wait for the peers to leave after the last Bye */
    HELLO_BYTES_MAX = 65536,
    EVALUATOR_WAIT_MS = 10000, /* evaluations are left out when no evaluator came for so long */
};

typedef struct Learner {
    Config *config;
    RunDir dir;
    Run run;
    void *zmq_context;
    Router *router;
    Publisher *publisher;
    char weights_endpoint[WIRE_ENDPOINT_MAX + 1];
    Fleet *fleet;
    ProgressView progress;

    uv_loop_t loop;
    uv_async_t trainer_spoke;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    ZmqWatch router_watch;
    ZmqWatch publisher_watch;

    int signal_number; /* that asked us to stop; 0: none */
    int64_t farewell_ms;
    int64_t evaluator_seen_ms;
    bool finished;
    int error;
    Err err;
} Learner;

/* --- What the fleet asks of us -----------------------------------------------------------------
 */

static void wake_loop(void *context)
{
    Learner *learner = context;
    uv_async_send(&learner->trainer_spoke);
}

/* Starts the run. The dimensions are those of the first actor, or known before. */
static int begin_run(Learner *learner, const Spec *spec, Err *err)
{
    Run *run = &learner->run;
    int code = run_begin(run, spec, wake_loop, learner, err);
    if (code != 0)
        return code;
    endpoints_fill_welcome(learner->config, fleet_welcome(learner->fleet));
    code = fleet_set_run(learner->fleet, spec, &run->pacer, run->state.env_steps,
                         run->exchange.ring.num_slots);
    if (code != 0)
        return err_set(err, code, "out of memory for the run's books");
    log_info("the run is %s: obs_dim %d, act_dim %d; %lld env steps", spec->name, spec->obs_dim,
             spec->act_dim, (long long)learner->config->total_env_steps);
    return ERR_OK;
}

static int adopt_spec(void *context, const Spec *spec, char text[WIRE_TEXT_MAX + 1])
{
    Learner *learner = context;
    Err err;
    const Preset *preset = preset_find(learner->config->env);
    if (preset && strcmp(preset->env, spec->name) != 0) {
        snprintf(text, WIRE_TEXT_MAX + 1, "the run trains %s, not %s", preset->env, spec->name);
        return REJECT_SPEC;
    }
    int code = begin_run(learner, spec, &err);
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
    (void)origin;
    Learner *learner = context;
    SegmentRing *ring = &learner->run.exchange.ring;
    Segment *slot = segment_ring_reserve(ring);
    if (!slot) {
        /* Credit never covers more than the ring has; so this is a fault of ours. */
        log_error("the hand-over ring is full: a segment is lost");
        return;
    }
    segment_copy(slot, segment, ring->obs_dim, ring->act_dim);
    segment_ring_commit(ring);
}

static void evaluated(void *context, const EvalResult *result)
{
    Learner *learner = context;
    EvalOutcome outcome = {.eval_id = result->eval_id,
                           .return_mean = result->return_mean,
                           .return_std = result->return_std,
                           .length_mean = result->length_mean};
    exchange_answer(&learner->run.exchange, &outcome);
}

static bool set_key(void *context, const char *assignment, char text[WIRE_TEXT_MAX + 1])
{
    Learner *learner = context;
    char name[CONFIG_NAME_MAX + 1];
    Err err;
    bool done = config_set_live(learner->config, assignment, name, &err) == 0;
    snprintf(text, WIRE_TEXT_MAX + 1, "%.*s", WIRE_TEXT_MAX, done ? assignment : err.text);
    return done;
}

static void note(void *context, const char *line)
{
    (void)context;
    log_info("%s", line);
}

/* --- Between the trainer and the fleet ---------------------------------------------------------
 */

static void send_weights(Learner *learner)
{
    Run *run = &learner->run;
    Version version;
    if (exchange_take_weights(&run->exchange, &version) &&
        publisher_send(learner->publisher, &run->exchange.policy, run->exchange.outgoing, version,
                       clock_ms()) != 0)
        log_error("out of memory for the weights: they are not published");
}

static void skip_evaluation(Learner *learner, uint64_t eval_id)
{
    EvalOutcome outcome = {.eval_id = eval_id, .skipped = true};
    exchange_answer(&learner->run.exchange, &outcome);
}

static void ask_evaluations(Learner *learner)
{
    Run *run = &learner->run;
    for (;;) {
        const EvalTicket *ticket = exchange_take_ticket(&run->exchange);
        if (!ticket)
            return;
        EvalRequest request = {.eval_id = ticket->eval_id,
                               .env_steps = ticket->env_steps,
                               .episodes = (uint32_t)learner->config->eval_episodes,
                               .seed = (uint64_t)learner->config->seed,
                               .version = ticket->version,
                               .mlp = run->exchange.policy,
                               .params = ticket->params};
        if (!fleet_request_evaluation(learner->fleet, &request))
            skip_evaluation(learner, request.eval_id);
    }
}

/* Gives up evaluations that nobody runs. */
static void drop_evaluations(Learner *learner, int64_t now_ms)
{
    if (fleet_num_evaluators(learner->fleet) > 0)
        learner->evaluator_seen_ms = now_ms;
    if (now_ms - learner->evaluator_seen_ms < EVALUATOR_WAIT_MS)
        return;
    uint64_t eval_id = 0;
    while (fleet_take_back_evaluation(learner->fleet, &eval_id))
        skip_evaluation(learner, eval_id);
}

static void say_farewell(Learner *learner, ByeReason reason)
{
    if (learner->farewell_ms != 0)
        return;
    /* Peers of a finished run leave for good, and say so; others come back, and are not waited for.
     */
    learner->farewell_ms = clock_ms() + (reason == BYE_FINISHED ? FAREWELL_MS : 0);
    fleet_say_bye(learner->fleet, reason);
}

static void follow_trainer(Learner *learner)
{
    Run *run = &learner->run;
    if (!run->begun)
        return;
    TrainerProgress trainer = exchange_progress(&run->exchange);
    FleetProgress progress = {.env_steps = trainer.env_steps,
                              .updates = trainer.updates,
                              .slots_used = segment_ring_used(&run->exchange.ring),
                              .newest = trainer.published,
                              .settled = trainer.settled,
                              .logged = FLEET_NOT_LOGGED};
    send_weights(learner);
    ask_evaluations(learner);
    fleet_set_progress(learner->fleet, &progress);
    if (!trainer.ended)
        return;
    learner->finished = trainer.finished;
    if (trainer.error != 0 && learner->error == 0)
        learner->error =
            err_set(&learner->err, trainer.error, "the run failed: %s", err_name(trainer.error));
    if (trainer.finished)
        say_farewell(learner, BYE_FINISHED);
    else
        say_farewell(learner, learner->error != 0 ? BYE_STOPPING : BYE_RESTARTING);
}

static void send_messages(Learner *learner)
{
    uint32_t link = 0;
    static Message message; /* large: kept off the stack */
    while (fleet_next_message(learner->fleet, clock_ms(), &link, &message)) {
        int code = router_send(learner->router, link, &message);
        /* An evaluator that does not take its request is given up: another one gets it. */
        if (code == ERR_MISSING || (code == ERR_FULL && message.kind == MESSAGE_EVAL_REQUEST))
            fleet_link_gone(learner->fleet, link);
    }
}

/* Brings everybody up to date: the trainer's news to the fleet, the fleet's messages out. */
static void pump(Learner *learner)
{
    follow_trainer(learner);
    send_messages(learner);
    if (learner->error != 0 && learner->farewell_ms == 0)
        say_farewell(learner, BYE_STOPPING);
}

/* --- What the loop calls -----------------------------------------------------------------------
 */

static void on_uplink(void *context)
{
    Learner *learner = context;
    static Message message;
    const Run *run = &learner->run;
    uint64_t accepted = fleet_env_steps_accepted(learner->fleet);
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        uint32_t link = 0;
        Err err;
        WireLimits limits = {run->begun ? run->replay.obs_dim : 0,
                             run->begun ? run->replay.act_dim : 0,
                             (int)learner->config->segment_steps};
        int code = router_receive(learner->router, &limits, &link, &message, &err);
        if (code == ERR_MISSING)
            break;
        if (link == 0)
            continue;
        if (code == 0)
            fleet_receive(learner->fleet, link, NULL, &message, clock_ms());
        else
            fleet_receive_garbage(learner->fleet, link, code, err.text);
    }
    if (run->begun && fleet_env_steps_accepted(learner->fleet) != accepted)
        exchange_wake_trainer(&learner->run.exchange);
    pump(learner);
}

static void on_subscription(void *context)
{
    Learner *learner = context;
    publisher_receive(learner->publisher);
}

static void on_trainer(uv_async_t *handle)
{
    pump(handle->data);
}

static void fill_status(void *context, RunStatus *status)
{
    Learner *learner = context;
    progress_fill_status(&learner->progress, &learner->run, learner->fleet, status);
}

static void on_tick(uv_timer_t *handle)
{
    Learner *learner = handle->data;
    int64_t now_ms = clock_ms();
    fleet_tick(learner->fleet, now_ms);
    publisher_tick(learner->publisher, now_ms);
    if (learner->run.begun) {
        uint32_t interval_ms =
            publisher_interval_ms(learner->publisher, fleet_num_actors(learner->fleet),
                                  (uint32_t)learner->config->publish_interval_ms,
                                  (uint64_t)learner->config->weights_bytes_per_s_max);
        atomic_store(&learner->run.exchange.publish_interval_ms, interval_ms);
        drop_evaluations(learner, now_ms);
    }
    pump(learner);
    progress_show(&learner->progress, &learner->run, learner->fleet, now_ms);
    bool alone = fleet_num_actors(learner->fleet) + fleet_num_evaluators(learner->fleet) == 0;
    if (learner->farewell_ms != 0 && (alone || now_ms >= learner->farewell_ms))
        uv_stop(&learner->loop);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    Learner *learner = handle->data;
    if (learner->signal_number != 0)
        return;
    learner->signal_number = signal_number;
    if (learner->run.begun) {
        log_info("stopping: a last checkpoint is written");
        exchange_request_stop(&learner->run.exchange);
    } else {
        log_info("stopping");
        say_farewell(learner, BYE_RESTARTING);
    }
}

/* --- Life --------------------------------------------------------------------------------------
 */

static size_t message_bytes_max(const Learner *learner)
{
    const Config *config = learner->config;
    const Run *run = &learner->run;
    int obs_dim = run->reserved ? run->replay.obs_dim : (int)config->obs_dim_max;
    int act_dim = run->reserved ? run->replay.act_dim : (int)config->act_dim_max;
    size_t bytes = wire_segment_bytes_max(obs_dim, act_dim, (int)config->segment_steps);
    return bytes > HELLO_BYTES_MAX ? bytes : HELLO_BYTES_MAX;
}

static int open_sockets(Learner *learner, Err *err)
{
    const Config *config = learner->config;
    learner->zmq_context = zmq_ctx_new();
    if (!learner->zmq_context)
        return err_set(err, ERR_NOMEM, "out of memory for ZeroMQ");
    zmq_ctx_set(learner->zmq_context, ZMQ_MAX_SOCKETS, 16);
    int code = router_new(learner->zmq_context, config->bind, message_bytes_max(learner),
                          &learner->router, err);
    if (code == 0)
        code = endpoints_weights(router_endpoint(learner->router), learner->weights_endpoint, err);
    if (code == 0)
        code = publisher_new(learner->zmq_context, learner->weights_endpoint, &learner->publisher,
                             err);
    return code;
}

/* After the epoch of this start is known. */
static int make_fleet(Learner *learner, Err *err)
{
    const Config *config = learner->config;
    FleetConfig fleet_config = {
        .epoch = learner->dir.epoch,
        .peers_max = (uint32_t)config->peers_max,
        .peers_per_key_max = (uint32_t)config->peers_per_key_max,
        .sessions_max = (uint32_t)config->sessions_max,
        .session_retention_ms = config->session_retention_s * 1000,
        .obs_dim_max = (int)config->obs_dim_max,
        .act_dim_max = (int)config->act_dim_max,
        .actors_awaited = (uint32_t)config->actors,
    };
    endpoints_fill_welcome(config, &fleet_config.welcome);
    int code = endpoints_advertise(config, learner->weights_endpoint, &fleet_config.welcome, err);
    if (code != 0)
        return code;
    FleetSink sink = {learner, adopt_spec, accept_segment, evaluated, note, set_key};
    learner->fleet = fleet_new(&fleet_config, &sink);
    if (!learner->fleet)
        return err_set(err, ERR_NOMEM, "out of memory for %lld peers",
                       (long long)config->peers_max);
    fleet_set_status_fill(learner->fleet, fill_status, learner);
    return ERR_OK;
}

static int start_loop(Learner *learner, Err *err)
{
    uv_async_init(&learner->loop, &learner->trainer_spoke, on_trainer);
    learner->trainer_spoke.data = learner;
    uv_timer_init(&learner->loop, &learner->tick);
    learner->tick.data = learner;
    uv_timer_start(&learner->tick, on_tick, 0, TICK_MS);
    uv_signal_init(&learner->loop, &learner->sigterm);
    learner->sigterm.data = learner;
    uv_signal_start(&learner->sigterm, on_signal, SIGTERM);
    uv_signal_init(&learner->loop, &learner->sigint);
    learner->sigint.data = learner;
    uv_signal_start(&learner->sigint, on_signal, SIGINT);
    int code = zmq_watch_start(&learner->router_watch, &learner->loop,
                               router_socket(learner->router), on_uplink, learner, err);
    if (code == 0)
        code = zmq_watch_start(&learner->publisher_watch, &learner->loop,
                               publisher_socket(learner->publisher), on_subscription, learner, err);
    return code;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(Learner *learner)
{
    run_end(&learner->run);
    zmq_watch_close(&learner->router_watch);
    zmq_watch_close(&learner->publisher_watch);
    uv_walk(&learner->loop, close_handle, NULL);
    uv_run(&learner->loop, UV_RUN_DEFAULT);
    uv_loop_close(&learner->loop);
    fleet_destroy(&learner->fleet);
    publisher_destroy(&learner->publisher);
    router_destroy(&learner->router);
    if (learner->zmq_context)
        zmq_ctx_term(learner->zmq_context);
    run_dir_close(&learner->dir);
}

static void say_end(Learner *learner)
{
    Run *run = &learner->run;
    if (!run->begun || learner->error != 0)
        return;
    TrainerProgress progress = exchange_progress(&run->exchange);
    log_info("%s at %llu env steps and %llu updates%s", learner->finished ? "finished" : "stopped",
             (unsigned long long)progress.env_steps, (unsigned long long)progress.updates,
             learner->finished ? "" : "; --resume goes on from here");
}

static int run_loop(Learner *learner, Err *err)
{
    int code = start_loop(learner, err);
    if (code != 0)
        return code;
    if (learner->dir.has_checkpoint) {
        Spec spec = learner->dir.run.spec;
        code = begin_run(learner, &spec, err);
        if (code != 0)
            return code;
    }
    if (endpoints_are_public(router_endpoint(learner->router)))
        log_warn("%s can be reached from other machines, and connections are neither encrypted nor "
                 "authenticated: use it inside a network that you trust",
                 router_endpoint(learner->router));
    log_info("listening on %s, run directory %s", router_endpoint(learner->router),
             learner->dir.path);
    uv_run(&learner->loop, UV_RUN_DEFAULT);
    progress_end(&learner->progress);
    say_end(learner);
    if (learner->error != 0)
        *err = learner->err;
    return learner->error;
}

int learner_run(Config *config, LearnerEnd *end, int *signal_number, Err *err)
{
    Learner *learner = calloc(1, sizeof *learner);
    if (!learner)
        return err_set(err, ERR_NOMEM, "out of memory");
    learner->config = config;
    learner->run.config = config;
    learner->run.dir = &learner->dir;
    learner->evaluator_seen_ms = clock_ms();
    progress_start(&learner->progress, config->progress != PROGRESS_OFF, clock_ms());
    uv_loop_init(&learner->loop);
    int code = run_check_env(config, err);
    if (code == 0)
        code = run_dir_open(&learner->dir, config, err);
    if (code == 0)
        code = run_reserve_early(&learner->run, err);
    if (code == 0)
        code = open_sockets(learner, err);
    if (code == 0)
        code = run_dir_begin(&learner->dir, config, config->env, err);
    if (code == 0)
        code = make_fleet(learner, err);
    if (code == 0)
        code = run_loop(learner, err);
    *end = learner->finished ? LEARNER_FINISHED : LEARNER_STOPPED;
    *signal_number = learner->signal_number;
    close_all(learner);
    free(learner);
    return code;
}
