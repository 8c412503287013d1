#include "learner/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/check.h"
#include "common/clock.h"

int exchange_new(Exchange *exchange, const Mlp *policy, uint64_t num_slots, int obs_dim,
                 int act_dim, int segment_steps)
{
    memset(exchange, 0, sizeof *exchange);
    exchange->policy = *policy;
    atomic_init(&exchange->stop_requested, false);
    atomic_init(&exchange->publish_interval_ms, 0);
    pthread_mutex_init(&exchange->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&exchange->trainer_wakeup, &attributes);
    pthread_condattr_destroy(&attributes);

    size_t num_params = mlp_num_params(policy);
    exchange->weights = calloc(num_params, sizeof(float));
    exchange->outgoing = calloc(num_params, sizeof(float));
    bool complete = exchange->weights && exchange->outgoing;
    for (int i = 0; i < EXCHANGE_EVALS_MAX; i++) {
        exchange->tickets[i].params = calloc(num_params, sizeof(float));
        complete = complete && exchange->tickets[i].params;
    }
    if (!complete ||
        segment_ring_new(&exchange->ring, num_slots, obs_dim, act_dim, segment_steps) != 0) {
        exchange_destroy(exchange);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void exchange_destroy(Exchange *exchange)
{
    segment_ring_destroy(&exchange->ring);
    for (int i = 0; i < EXCHANGE_EVALS_MAX; i++)
        free(exchange->tickets[i].params);
    free(exchange->weights);
    free(exchange->outgoing);
    exchange->weights = NULL;
    exchange->outgoing = NULL;
    pthread_cond_destroy(&exchange->trainer_wakeup);
    pthread_mutex_destroy(&exchange->mutex);
}

void exchange_wake_trainer(Exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->trainer_woken = true;
    pthread_cond_signal(&exchange->trainer_wakeup);
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_request_stop(Exchange *exchange)
{
    atomic_store(&exchange->stop_requested, true);
    exchange_wake_trainer(exchange);
}

TrainerProgress exchange_progress(Exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    TrainerProgress progress = exchange->progress;
    pthread_mutex_unlock(&exchange->mutex);
    return progress;
}

int64_t exchange_trainer_told_ms(Exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    int64_t told_ms = exchange->told_ms;
    pthread_mutex_unlock(&exchange->mutex);
    return told_ms;
}

bool exchange_take_weights(Exchange *exchange, Version *version)
{
    pthread_mutex_lock(&exchange->mutex);
    bool fresh = exchange->weights_fresh;
    if (fresh) {
        memcpy(exchange->outgoing, exchange->weights,
               mlp_num_params(&exchange->policy) * sizeof(float));
        *version = exchange->progress.published;
        exchange->weights_fresh = false;
    }
    pthread_mutex_unlock(&exchange->mutex);
    return fresh;
}

const EvalTicket *exchange_take_ticket(Exchange *exchange)
{
    EvalTicket *oldest = NULL;
    pthread_mutex_lock(&exchange->mutex);
    for (int i = 0; i < EXCHANGE_EVALS_MAX; i++) {
        EvalTicket *ticket = &exchange->tickets[i];
        if ((exchange->tickets_fresh >> i & 1) != 0 &&
            (!oldest || ticket->eval_id < oldest->eval_id))
            oldest = ticket;
    }
    if (oldest)
        exchange->tickets_fresh &= ~(1U << (oldest - exchange->tickets));
    pthread_mutex_unlock(&exchange->mutex);
    return oldest;
}

void exchange_answer(Exchange *exchange, const EvalOutcome *outcome)
{
    pthread_mutex_lock(&exchange->mutex);
    for (int i = 0; i < EXCHANGE_EVALS_MAX; i++) {
        EvalTicket *ticket = &exchange->tickets[i];
        if (ticket->in_use && ticket->eval_id == outcome->eval_id) {
            ticket->in_use = false;
            CHECK(exchange->num_outcomes < EXCHANGE_EVALS_MAX);
            exchange->outcomes[exchange->num_outcomes++] = *outcome;
            break;
        }
    }
    exchange->trainer_woken = true;
    pthread_cond_signal(&exchange->trainer_wakeup);
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_wait(Exchange *exchange, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)timeout_ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&exchange->mutex);
    while (!exchange->trainer_woken) {
        if (pthread_cond_timedwait(&exchange->trainer_wakeup, &exchange->mutex, &until) != 0)
            break;
    }
    exchange->trainer_woken = false;
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_set_progress(Exchange *exchange, const TrainerProgress *progress)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->progress = *progress;
    exchange->told_ms = clock_ms();
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_publish(Exchange *exchange, const float *params, Version version)
{
    pthread_mutex_lock(&exchange->mutex);
    memcpy(exchange->weights, params, mlp_num_params(&exchange->policy) * sizeof(float));
    exchange->progress.published = version;
    exchange->weights_fresh = true;
    pthread_mutex_unlock(&exchange->mutex);
}

bool exchange_want_evaluation(Exchange *exchange, uint64_t eval_id, uint64_t env_steps,
                              const float *params, Version version)
{
    pthread_mutex_lock(&exchange->mutex);
    EvalTicket *free_ticket = NULL;
    /* A ticket's place is free again only when its outcome was taken, so outcomes always fit. */
    for (int i = 0; i < EXCHANGE_EVALS_MAX && exchange->num_outcomes == 0; i++) {
        if (!exchange->tickets[i].in_use)
            free_ticket = &exchange->tickets[i];
    }
    if (free_ticket) {
        memcpy(free_ticket->params, params, mlp_num_params(&exchange->policy) * sizeof(float));
        free_ticket->eval_id = eval_id;
        free_ticket->env_steps = env_steps;
        free_ticket->version = version;
        free_ticket->in_use = true;
        exchange->tickets_fresh |= 1U << (free_ticket - exchange->tickets);
    }
    pthread_mutex_unlock(&exchange->mutex);
    return free_ticket != NULL;
}

bool exchange_take_outcome(Exchange *exchange, EvalOutcome *outcome)
{
    pthread_mutex_lock(&exchange->mutex);
    bool taken = exchange->num_outcomes > 0;
    if (taken) {
        *outcome = exchange->outcomes[0];
        exchange->num_outcomes--;
        memmove(&exchange->outcomes[0], &exchange->outcomes[1],
                exchange->num_outcomes * sizeof exchange->outcomes[0]);
    }
    pthread_mutex_unlock(&exchange->mutex);
    return taken;
}

void exchange_set_faults(Exchange *exchange, const EnvFaults *faults)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->faults = *faults;
    pthread_mutex_unlock(&exchange->mutex);
}

EnvFaults exchange_faults(Exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    EnvFaults faults = exchange->faults;
    pthread_mutex_unlock(&exchange->mutex);
    return faults;
}

bool exchange_set(Exchange *exchange, const char *assignment)
{
    pthread_mutex_lock(&exchange->mutex);
    bool fits = exchange->num_settings < EXCHANGE_SETTINGS_MAX;
    if (fits)
        snprintf(exchange->settings[exchange->num_settings++], EXCHANGE_SETTING_MAX + 1, "%s",
                 assignment);
    exchange->trainer_woken = true;
    pthread_cond_signal(&exchange->trainer_wakeup);
    pthread_mutex_unlock(&exchange->mutex);
    return fits;
}

bool exchange_take_setting(Exchange *exchange, char assignment[EXCHANGE_SETTING_MAX + 1])
{
    pthread_mutex_lock(&exchange->mutex);
    bool taken = exchange->num_settings > 0;
    if (taken) {
        memcpy(assignment, exchange->settings[0], EXCHANGE_SETTING_MAX + 1);
        exchange->num_settings--;
        memmove(exchange->settings[0], exchange->settings[1],
                (size_t)exchange->num_settings * sizeof exchange->settings[0]);
    }
    pthread_mutex_unlock(&exchange->mutex);
    return taken;
}
