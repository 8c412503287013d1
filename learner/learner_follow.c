/* Between the trainer, the log and the fleet: who has to hear what. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/learner_internal.h"

enum {
    FAREWELL_MS = 2000,        /* longest wait for the peers to leave after the last Bye */
    EVALUATOR_WAIT_MS = 10000, /* evaluations are left out when no evaluator came for so long */
};

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
void learner_drop_evaluations(Learner *learner, int64_t now_ms)
{
    if (fleet_num_evaluators(learner->fleet) > 0)
        learner->evaluator_seen_ms = now_ms;
    if (now_ms - learner->evaluator_seen_ms < EVALUATOR_WAIT_MS)
        return;
    uint64_t eval_id = 0;
    while (fleet_take_back_evaluation(learner->fleet, &eval_id))
        skip_evaluation(learner, eval_id);
}

void learner_say_farewell(Learner *learner, ByeReason reason)
{
    if (learner->farewell_ms != 0)
        return;
    /* Peers of a finished run leave for good, and say so; others come back, and are not waited for.
     */
    learner->farewell_ms = clock_ms() + (reason == BYE_FINISHED ? FAREWELL_MS : 0);
    fleet_say_bye(learner->fleet, reason);
}

static void restore_sessions(Learner *learner)
{
    const LogRecovered *log = &learner->run.log.recovered;
    int64_t now_ms = clock_ms();
    for (size_t i = 0; i < log->state.num_sessions; i++) {
        const SessionRecord *record = &log->state.sessions[i];
        SegmentOrigin origin = {.session = record->id,
                                .actor_index = record->actor_index,
                                .incarnation = record->incarnation,
                                .num_envs = record->num_envs,
                                .session_steps = record->env_steps};
        memcpy(origin.key, record->key, sizeof origin.key);
        memcpy(origin.name, record->name, sizeof origin.name);
        fleet_restore_session(learner->fleet, &origin, record->sequence,
                              (int64_t)record->idle_s * 1000, now_ms);
    }
}

void learner_start_serving(Learner *learner)
{
    Run *run = &learner->run;
    TrainerProgress trainer = exchange_progress(&run->exchange);
    if (learner->serving)
        return;
    if (!trainer.ready) {
        fleet_set_loading(learner->fleet, true, "the learner reads its replay log back");
        return;
    }
    int code = fleet_set_run(learner->fleet, &run->state.spec, &run->pacer, trainer.env_steps_there,
                             run->exchange.ring.num_slots);
    if (code != 0) {
        learner->error = err_set(&learner->err, code, "out of memory for the run's books");
        return;
    }
    restore_sessions(learner);
    /* An operator may have changed these while the log was read back. */
    if (run->log.thread)
        log_thread_configure(run->log.thread, learner->config->replay_log_on_error,
                             learner->config->replay_log_fsync_ms);
    fleet_set_loading(learner->fleet, false, "");
    learner->serving = true;
}

/* What the trainer and the log have done, for the fleet; and what the fleet heard, for the trainer.
 */
static void tell_fleet(Learner *learner, const TrainerProgress *trainer)
{
    Run *run = &learner->run;
    FleetProgress progress = {.env_steps = trainer->env_steps,
                              .updates = trainer->updates,
                              .slots_used = segment_ring_used(&run->exchange.ring),
                              .newest = trainer->published,
                              .settled = trainer->settled,
                              .logged = FLEET_NOT_LOGGED};
    if (run->log.thread) {
        /* One word of the log thread: the ring may say more meanwhile, and less durable. */
        LogStatus log = log_thread_status(run->log.thread);
        progress.logged = log.handed_on;
        progress.durable = log.durable && log.unlogged == learner->unlogged;
        learner->unlogged = log.unlogged;
        if (!log.durable && learner->config->replay_log_on_error == LOG_ON_ERROR_WAIT)
            snprintf(progress.hold, sizeof progress.hold, "%.*s", WIRE_TEXT_MAX, log.failing);
    }
    /* An operator may have changed the pacing. */
    run->pacer = trainer->pacer;
    fleet_set_pacer(learner->fleet, &run->pacer);
    fleet_set_progress(learner->fleet, &progress);
    FleetCounts counts = fleet_counts(learner->fleet);
    exchange_set_faults(&run->exchange, &counts.faults);
}

static void follow_trainer(Learner *learner)
{
    Run *run = &learner->run;
    if (!run->begun)
        return;
    TrainerProgress trainer = exchange_progress(&run->exchange);
    send_weights(learner);
    ask_evaluations(learner);
    learner_start_serving(learner);
    if (learner->serving)
        tell_fleet(learner, &trainer);
    if (!trainer.ended)
        return;
    learner->finished = trainer.finished;
    if (trainer.error != 0 && learner->error == 0)
        learner->error =
            err_set(&learner->err, trainer.error, "the run failed: %s", err_name(trainer.error));
    if (trainer.finished)
        learner_say_farewell(learner, BYE_FINISHED);
    else
        learner_say_farewell(learner, learner->error != 0 ? BYE_STOPPING : BYE_RESTARTING);
}

void learner_hand_over(Learner *learner)
{
    if (learner->run.log.thread)
        log_thread_wake(learner->run.log.thread);
    else
        exchange_wake_trainer(&learner->run.exchange);
}

/* --- Status ------------------------------------------------------------------------------------
 */

static void fill_log_status(const Learner *learner, RunStatus *status)
{
    const Run *run = &learner->run;
    if (!run->log.thread) {
        snprintf(status->log_state, sizeof status->log_state, "%s",
                 learner->config->replay_log ? "reading back" : "off");
        return;
    }
    LogStatus log = log_thread_status(run->log.thread);
    status->log_bytes = log.bytes;
    status->log_position = log.position;
    status->log_synced_position = log.synced_position;
    snprintf(status->log_state, sizeof status->log_state, "%s", log.durable ? "on" : "failing");
    if (!log.durable)
        run_status_alarm(status, "the replay log fails: %s", log.failing);
    if (log.unlogged > 0)
        run_status_alarm(status, "%llu segments are not in the replay log",
                         (unsigned long long)log.unlogged);
}

void learner_fill_status(Learner *learner, RunStatus *status)
{
    Run *run = &learner->run;
    progress_fill_status(&learner->progress, run, learner->fleet, status);
    TrustStatus trust;
    trust_status(learner->trust, &trust);
    status->half_open = trust.half_open;
    status->refused_peers = trust.refused; /* and the fleet adds its own */
    const char *alarm;
    for (int i = 0; (alarm = trust_alarm(learner->trust, i)) != NULL; i++)
        run_status_alarm(status, "%s", alarm);
    if (!run->begun) {
        snprintf(status->log_state, sizeof status->log_state, "%s",
                 learner->config->replay_log ? "on" : "off");
        return;
    }
    fill_log_status(learner, status);
    TrainerProgress trainer = exchange_progress(&run->exchange);
    status->skipped_updates = trainer.skipped_updates;
    status->rollbacks = trainer.rollbacks;
    if (trainer.save_failed)
        run_status_alarm(status, "the newest checkpoint could not be written: see the log");
}

/* --- Messages out ------------------------------------------------------------------------------
 */

static void send_messages(Learner *learner)
{
    Link link = 0;
    static Message message; /* large: kept off the stack */
    while (fleet_next_message(learner->fleet, clock_ms(), &link, &message)) {
        int code = message.kind == MESSAGE_STATUS
                       ? status_out_send(learner->status_out, learner->router, link, &message)
                       : router_send(learner->router, link, &message);
        if (code == ERR_MISSING) /* the connection, with all its channels */
            fleet_link_gone(learner->fleet, link_make(link_connection(link), 0));
        /* An evaluator that does not take its request is given up: another one gets it. */
        if (code == ERR_FULL && message.kind == MESSAGE_EVAL_REQUEST)
            fleet_link_gone(learner->fleet, link);
    }
}

/* Brings everybody up to date: the trainer's news to the fleet, the fleet's messages out. */
void learner_pump(Learner *learner)
{
    follow_trainer(learner);
    send_messages(learner);
    if (learner->error != 0 && learner->farewell_ms == 0)
        learner_say_farewell(learner, BYE_STOPPING);
}
