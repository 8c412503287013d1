#include "learner/learner.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/learner_internal.h"
#include "net/endpoints.h"
#include "net/io_threads.h"

enum {
    TICK_MS = 100,
    MESSAGES_PER_TURN = 256, /* read before other handles have their turn */
    HELLO_BYTES_MAX = 65536,
};

/* --- What the loop calls -----------------------------------------------------------------------
 */

static void on_uplink(void *context)
{
    Learner *learner = context;
    static Message message;
    const Run *run = &learner->run;
    uint64_t accepted = fleet_env_steps_accepted(learner->fleet);
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        Link link = 0;
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
            fleet_receive(learner->fleet, link, router_identity(learner->router), &message,
                          clock_ms());
        else
            fleet_receive_garbage(learner->fleet, link, code, err.text, clock_ms());
    }
    if (run->begun && fleet_env_steps_accepted(learner->fleet) != accepted)
        learner_hand_over(learner);
    learner_pump(learner);
}

static void on_subscription(void *context)
{
    Learner *learner = context;
    publisher_receive(learner->publisher);
}

static void on_revoked(void *context, const char *key)
{
    Learner *learner = context;
    fleet_revoke_key(learner->fleet, key);
    publisher_drop_all(learner->publisher);
}

static void count_peers(void *context, const char *key, uint32_t *peers, uint32_t *peers_of_key)
{
    const Learner *learner = context;
    *peers = fleet_num_peers(learner->fleet);
    *peers_of_key = fleet_num_peers_of_key(learner->fleet, key);
}

static void on_trainer(uv_async_t *handle)
{
    learner_pump(handle->data);
}

static void fill_status(void *context, RunStatus *status)
{
    learner_fill_status(context, status);
}

static void on_tick(uv_timer_t *handle)
{
    Learner *learner = handle->data;
    /* Who has spoken meanwhile is heard before anybody is called silent. After a long wait that is
     * not all of them: then the fleet calls nobody silent for that time. */
    on_uplink(learner);
    int64_t now_ms = clock_ms();
    fleet_tick(learner->fleet, now_ms);
    trust_tick(learner->trust, now_ms);
    publisher_tick(learner->publisher, now_ms);
    if (learner->run.begun) {
        uint32_t interval_ms =
            publisher_interval_ms(learner->publisher, fleet_num_subscribers(learner->fleet),
                                  (uint32_t)learner->config->publish_interval_ms,
                                  (uint64_t)learner->config->weights_bytes_per_s_max);
        atomic_store(&learner->run.exchange.publish_interval_ms, interval_ms);
        learner_drop_evaluations(learner, now_ms);
    }
    learner_pump(learner);
    progress_show(&learner->progress, &learner->run, learner->fleet, now_ms);
    learner_notify(learner, now_ms);
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
        learner_say_farewell(learner, BYE_RESTARTING);
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
    learner->zmq_context = io_threads_context();
    if (!learner->zmq_context)
        return err_set(err, ERR_NOMEM, "out of memory for ZeroMQ");
    learner->status_out = status_out_new();
    if (!learner->status_out)
        return err_set(err, ERR_NOMEM, "out of memory");
    zmq_ctx_set(learner->zmq_context, ZMQ_MAX_SOCKETS, 64);
    int code = trust_new(config, learner->zmq_context, &learner->trust, err);
    if (code == 0)
        code = router_new(learner->zmq_context, config->bind, message_bytes_max(learner),
                          learner->trust, &learner->router, err);
    if (code == 0)
        code = endpoints_weights(router_endpoint(learner->router), learner->weights_endpoint, err);
    if (code == 0)
        code = publisher_new(learner->zmq_context, learner->weights_endpoint, learner->trust,
                             &learner->publisher, err);
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
    FleetSink sink = learner_sink(learner);
    learner->fleet = fleet_new(&fleet_config, &sink);
    if (!learner->fleet)
        return err_set(err, ERR_NOMEM, "out of memory for %lld peers",
                       (long long)config->peers_max);
    fleet_set_status_fill(learner->fleet, fill_status, learner);
    TrustSink trust_sink = {learner, on_revoked, count_peers};
    trust_set_sink(learner->trust, &trust_sink);
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
    if (code == 0)
        code = trust_start(learner->trust, &learner->loop, err);
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
    trust_close(learner->trust);
    uv_walk(&learner->loop, close_handle, NULL);
    uv_run(&learner->loop, UV_RUN_DEFAULT);
    uv_loop_close(&learner->loop);
    fleet_destroy(&learner->fleet);
    publisher_destroy(&learner->publisher);
    router_destroy(&learner->router);
    trust_destroy(&learner->trust);
    if (learner->zmq_context)
        zmq_ctx_term(learner->zmq_context);
    status_out_destroy(&learner->status_out);
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
        code = learner_begin_run(learner, &spec, err);
        if (code != 0)
            return code;
    }
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
    int code = trust_check(config, err);
    if (code == 0)
        code = trust_fit_limits(config, err);
    if (code == 0)
        code = run_check_env(config, err);
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
