/* The evaluator: runs policies without noise when the learner asks, and tells how they did. */
#include <stdio.h>
#include <string.h>

#include <zmq.h>

#include "actor/actor.h"
#include "actor/connection.h"
#include "actor/envs/env_host.h"
#include "actor/evaluate.h"
#include "actor/policy.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"

enum {
    LOOK_INTERVAL_MS = 50, /* between two looks at the socket; a step may be slower */
    WAIT_MAX_MS = 1000,
};

typedef struct Evaluator {
    EnvKind *kind;
    Env *env;
    Connection connection;
    Policy policy; /* of the request in work */
    Evaluation *evaluation;
    uint64_t eval_id;
    int64_t ends_ms; /* between two evaluations */
    int code;        /* of a request that could not be begun; 0: none */
    Err err;         /* and why */
} Evaluator;

static void begin(Evaluator *evaluator, const EvalRequest *request)
{
    evaluation_destroy(&evaluator->evaluation);
    Weights weights = {request->version, request->mlp, request->params};
    const Spec *spec = env_kind_spec(evaluator->kind);
    evaluator->eval_id = request->eval_id;
    int code = policy_set(&evaluator->policy, &weights, spec, &evaluator->err);
    if (code == 0)
        code = evaluation_new(evaluator->env, spec, &evaluator->policy.mlp,
                              evaluator->policy.params, (int)request->episodes, request->seed,
                              &evaluator->evaluation, &evaluator->err);
    evaluator->code = code;
}

static void on_message(void *context, const Message *message)
{
    Evaluator *evaluator = context;
    if (message->kind == MESSAGE_WELCOME) {
        /* A new connection: what was asked on the old one is given to somebody again. A request may
         * come right behind the Welcome, so this is not left for later. */
        evaluation_destroy(&evaluator->evaluation);
        log_info("connected to %s as an evaluator", evaluator->connection.dealer.endpoint);
    } else if (message->kind == MESSAGE_EVAL_REQUEST) {
        begin(evaluator, &message->eval_request);
    }
}

static void send_result(Evaluator *evaluator)
{
    EvaluationResult result = evaluation_result(evaluator->evaluation);
    Message message = {.kind = MESSAGE_EVAL_RESULT,
                       .eval_result = {.eval_id = evaluator->eval_id,
                                       .episodes = (uint32_t)result.episodes,
                                       .return_mean = result.return_mean,
                                       .return_std = result.return_std,
                                       .length_mean = result.length_mean,
                                       .diverged = (uint32_t)result.diverged}};
    dealer_send(&evaluator->connection.dealer, &message, &evaluator->connection.dims);
    evaluation_destroy(&evaluator->evaluation);
}

/* Takes steps until it is time to look at the socket again. */
static int step_for_a_while(Evaluator *evaluator, Err *err)
{
    const int64_t until_ms = clock_ms() + LOOK_INTERVAL_MS;
    bool done = false;
    do {
        int code = evaluation_advance(evaluator->evaluation, 1, &done, err);
        if (code != 0)
            return code;
    } while (!done && clock_ms() < until_ms);
    if (done)
        send_result(evaluator);
    return ERR_OK;
}

static void say_status(const Evaluator *evaluator)
{
    if (evaluator->connection.uplink.state != UPLINK_ACTIVE)
        notify_status("waiting for the learner");
    else if (!evaluator->evaluation)
        notify_status("waiting for the next evaluation");
    else
        notify_status("evaluation %llu", (unsigned long long)evaluator->eval_id);
}

static void wait_for_work(Evaluator *evaluator, int64_t now_ms)
{
    int timeout_ms = uplink_timeout_ms(&evaluator->connection.uplink, now_ms);
    if (timeout_ms > WAIT_MAX_MS)
        timeout_ms = WAIT_MAX_MS;
    if (timeout_ms > evaluator->ends_ms - now_ms)
        timeout_ms = (int)(evaluator->ends_ms - now_ms);
    connection_wait(&evaluator->connection, NULL, timeout_ms);
}

static int evaluate(Evaluator *evaluator, const volatile sig_atomic_t *stop, Err *err)
{
    Connection *connection = &evaluator->connection;
    while (!*stop) {
        int64_t now_ms = clock_ms();
        int code = connection_drive(connection, now_ms, err);
        if (code != 0)
            return code;
        if (connection->uplink.state == UPLINK_FINISHED)
            return ERR_OK;
        if (notify_tick(now_ms, true))
            say_status(evaluator);
        /* There is no answer for a request that cannot be done, and the learner waits for one as
         * long as it has this evaluator. */
        if (evaluator->code != 0)
            return err_set(err, evaluator->code, "an evaluation cannot be done: %.400s",
                           evaluator->err.text);
        if (!evaluator->evaluation && now_ms >= evaluator->ends_ms) {
            log_info("its lifetime is over: this evaluator ends (max_lifetime_s)");
            return ACTOR_ENDED;
        }
        if (!evaluator->evaluation) {
            wait_for_work(evaluator, now_ms);
            continue;
        }
        code = step_for_a_while(evaluator, err);
        if (code != 0)
            return code;
    }
    return err_set(err, ERR_STOPPED, "stopped");
}

static int open_evaluator(Evaluator *evaluator, void *zmq_context, const Config *config,
                          const volatile sig_atomic_t *stop, Err *err)
{
    EnvSetup setup = env_setup(config, 1);
    setup.stop = stop;
    evaluator->ends_ms = actor_ends_ms(config);
    int code = env_kind_open(&setup, &evaluator->kind, err);
    if (code == 0)
        code = env_new(evaluator->kind, &evaluator->env, err);
    if (code != 0)
        return code;
    policy_init(&evaluator->policy, 1);
    Hello hello = {
        .role = ROLE_EVALUATOR, .has_spec = true, .spec = *env_kind_spec(evaluator->kind)};
    connection_name(config, hello.name);
    code = connection_labels(config, &hello, err);
    if (code != 0)
        return code;
    evaluator->connection.on_message = on_message;
    evaluator->connection.context = evaluator;
    return connection_open(&evaluator->connection, zmq_context, config, &hello, NULL,
                           WIRE_POLICY_BYTES_MAX, err);
}

int evaluator_run(const Config *config, const volatile sig_atomic_t *stop, Err *err)
{
    static Evaluator evaluator;
    memset(&evaluator, 0, sizeof evaluator);
    void *zmq_context = zmq_ctx_new();
    if (!zmq_context)
        return err_set(err, ERR_NOMEM, "out of memory for ZeroMQ");
    int code = open_evaluator(&evaluator, zmq_context, config, stop, err);
    if (code == 0) {
        notify_ready();
        code = evaluate(&evaluator, stop, err);
        notify_stopping();
        Message bye = {.kind = MESSAGE_BYE, .bye = code >= 0 ? BYE_FINISHED : BYE_STOPPING};
        dealer_send(&evaluator.connection.dealer, &bye, &evaluator.connection.dims);
    }
    evaluation_destroy(&evaluator.evaluation);
    connection_close(&evaluator.connection);
    zmq_ctx_term(zmq_context);
    policy_destroy(&evaluator.policy);
    env_destroy(&evaluator.env);
    env_kind_close(&evaluator.kind);
    return code;
}
