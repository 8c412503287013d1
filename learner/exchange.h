/* All that crosses between the loop thread and the trainer thread, in one place.
 *
 *   loop → trainer: segments (the ring), evaluation results, faults of environments, the request to
 *                   stop, and a wake-up;
 *   trainer → loop: progress, the newest policy, evaluation requests, and a wake-up.
 *
 * Segments go through the lock-free ring. The rest are small snapshots under one mutex that is held
 * for a copy only. Buffers are allocated by exchange_new. */
#ifndef POLYAK_LEARNER_EXCHANGE_H
#define POLYAK_LEARNER_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/env_fault.h"
#include "common/mlp.h"
#include "common/version.h"
#include "learner/replay/pacer.h"
#include "learner/segment_ring.h"

enum { EXCHANGE_EVALS_MAX = 16, EXCHANGE_SETTINGS_MAX = 8, EXCHANGE_SETTING_MAX = 199 };

/* How far the trainer is. */
typedef struct TrainerProgress {
    uint64_t env_steps; /* ingested */
    uint64_t updates;
    uint64_t episodes;
    double return_mean; /* of the last finished episodes; NaN before the first */
    double env_steps_per_s;
    double updates_per_s;
    double eval_return;       /* newest; NaN before the first */
    double best_return;       /* NaN before the first */
    Version published;        /* epoch 0 before the first */
    bool ready;               /* the log of an earlier start is read back: segments may come */
    uint64_t env_steps_there; /* when it was ready: ingested, or in the log and about to be */
    bool redoing;             /* what was done after the checkpoint is done again */
    bool save_failed;         /* the newest checkpoint could not be written */
    uint64_t skipped_updates; /* not finite */
    uint64_t rollbacks;
    Pacer pacer;   /* as it is now */
    bool settled;  /* nothing is owed, and what is learned is published */
    bool finished; /* the run is done, the last checkpoint written */
    bool ended;    /* the trainer's thread is at its end, for whatever reason */
    int error;     /* the trainer gave up with this code; 0 while it is well */
} TrainerProgress;

/* An evaluation that the trainer wants: the policy is in exchange's memory until it is answered. */
typedef struct EvalTicket {
    uint64_t eval_id;
    uint64_t env_steps;
    Version version;
    float *params; /* (mlp_num_params) */
    bool in_use;
} EvalTicket;

typedef struct EvalOutcome {
    uint64_t eval_id;
    bool skipped; /* nobody could run it */
    double return_mean;
    double return_std;
    double length_mean;
    uint32_t episodes;
    uint32_t diverged; /* of the episodes: cut short, so that their returns are partial */
} EvalOutcome;

typedef struct Exchange {
    SegmentRing ring;
    Mlp policy;

    _Atomic bool stop_requested;
    _Atomic uint32_t publish_interval_ms; /* effective: the loop stretches it for a large fleet */
    void (*wake_loop)(void *context);     /* from the trainer; any thread may call it */
    void *wake_context;

    pthread_mutex_t mutex;
    pthread_cond_t trainer_wakeup; /* CLOCK_MONOTONIC */
    bool trainer_woken;
    TrainerProgress progress;
    int64_t told_ms; /* when it was told */
    float *weights;  /* (mlp_num_params) the newest policy */
    float
        *outgoing; /* (mlp_num_params) the loop's copy of it, on its way out; not under the mutex */
    bool weights_fresh;
    EvalTicket tickets[EXCHANGE_EVALS_MAX];
    uint32_t tickets_fresh; /* bit set: not yet taken by the loop */
    EvalOutcome outcomes[EXCHANGE_EVALS_MAX];
    uint32_t num_outcomes;
    char settings[EXCHANGE_SETTINGS_MAX][EXCHANGE_SETTING_MAX + 1];
    int num_settings;
    EnvFaults faults;
} Exchange;

/* ERR_NOMEM. */
int exchange_new(Exchange *exchange, const Mlp *policy, uint64_t num_slots, int obs_dim,
                 int act_dim, int segment_steps);
void exchange_destroy(Exchange *exchange);

/* --- Loop side ---------------------------------------------------------------------------------
 */

void exchange_wake_trainer(Exchange *exchange);
void exchange_request_stop(Exchange *exchange);
TrainerProgress exchange_progress(Exchange *exchange);

/* When the trainer last told its progress, which it does at each update and in each wait. */
int64_t exchange_trainer_told_ms(Exchange *exchange);

/* Copies the newest policy to `outgoing` if it was not taken yet. */
bool exchange_take_weights(Exchange *exchange, Version *version);

/* The next evaluation that is wanted, or NULL. Its memory stays until exchange_answer. */
const EvalTicket *exchange_take_ticket(Exchange *exchange);
void exchange_answer(Exchange *exchange, const EvalOutcome *outcome);

/* Faults of all environments, since this start of the learner: for the metrics. */
void exchange_set_faults(Exchange *exchange, const EnvFaults *faults);

/* A key=value for the trainer, which was found to be sound; false when too many wait. */
bool exchange_set(Exchange *exchange, const char *assignment);

/* --- Trainer side ------------------------------------------------------------------------------
 */

/* Waits until woken, or until timeout_ms has passed. */
void exchange_wait(Exchange *exchange, int timeout_ms);
void exchange_set_progress(Exchange *exchange, const TrainerProgress *progress);
void exchange_publish(Exchange *exchange, const float *params, Version version);

/* False when too many are unanswered. */
bool exchange_want_evaluation(Exchange *exchange, uint64_t eval_id, uint64_t env_steps,
                              const float *params, Version version);
bool exchange_take_outcome(Exchange *exchange, EvalOutcome *outcome);

EnvFaults exchange_faults(Exchange *exchange);

/* The oldest setting that waits; false when there is none. */
bool exchange_take_setting(Exchange *exchange, char assignment[EXCHANGE_SETTING_MAX + 1]);

#endif
