/* What a person wants to know of a run, as a snapshot: the learner fills it, `status` and the
 * progress line show it. A plain value; strings are copies. */
#ifndef POLYAK_COMMON_RUN_STATUS_H
#define POLYAK_COMMON_RUN_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/env_fault.h"
#include "common/spec.h"

enum {
    STATUS_TEXT_MAX = 200,
    STATUS_ACTORS_MAX = 4096,
    STATUS_ALARMS_MAX = 8,
    STATUS_FAULTS_BYTES = 256, /* hold any faults in words */
};

typedef struct ActorStatus {
    uint32_t actor_index;
    uint32_t incarnation;
    char name[64];
    uint64_t env_steps;                   /* accepted from this session */
    uint64_t unused_credit;               /* env steps granted and not yet received */
    uint32_t silent_ms;                   /* since it was last heard */
    uint64_t dropped_steps;               /* that a fault took, never sent */
    char waiting_for[STATUS_TEXT_MAX];    /* the actor's own reason */
    char learner_reason[STATUS_TEXT_MAX]; /* why the learner withholds its credit */
    char labels[STATUS_TEXT_MAX];         /* joined by commas */
    char key[64];                         /* the name of its key; empty without encryption */
    uint32_t num_envs;
    double env_steps_per_s;      /* as it says; NaN before it said so */
    uint64_t policy_lag_updates; /* done since the policy that it acts with */
    bool policy_epoch_old;       /* that policy is from before the learner's last start */
    uint64_t send_credit;        /* segments that it may still send */
    uint32_t outbox_segments;    /* that it holds until they are acknowledged */
    uint64_t lost_steps;         /* acknowledged, and lost by the learner with the power */
    uint64_t expired_segments;   /* lost by the actor, when the learner had forgotten its session */
    uint64_t expired_steps;
    bool draining;
    EnvFaults faults;                 /* of its environments, since its process began */
    char last_fault[STATUS_TEXT_MAX]; /* empty before the first */
    char via[64];                     /* the relay that it has dialled; empty: none */
} ActorStatus;

typedef struct RunStatus {
    char env[SPEC_NAME_MAX + 1];
    char phase[32];                    /* "waiting for actors", "warm-up", "training", … */
    char waiting_for[STATUS_TEXT_MAX]; /* why nothing moves; empty when something does */
    uint32_t epoch;
    uint64_t env_steps;
    uint64_t total_env_steps;
    uint64_t updates;
    uint64_t updates_owed;
    uint64_t episodes;
    double return_mean; /* of the last finished episodes; NaN before the first */
    double env_steps_per_s;
    double updates_per_s;
    double seconds_left;          /* NaN while unknown */
    double eval_return;           /* of the newest evaluation; NaN before the first */
    double best_return;           /* of the best evaluation; NaN before the first */
    uint32_t publish_interval_ms; /* effective */
    uint32_t evaluators;
    uint32_t relays;
    uint64_t wall_ms; /* since this start of the learner */
    uint32_t num_alarms;
    char alarms[STATUS_ALARMS_MAX][STATUS_TEXT_MAX]; /* what a person should look at */
    char log_state[STATUS_TEXT_MAX]; /* of the replay log: "on", "off", "failing: …" */
    uint64_t log_bytes;
    uint64_t log_position;            /* segments of the run that are logged */
    uint64_t log_synced_position;     /* and would survive a power cut */
    uint64_t skipped_updates;         /* that were not finite */
    uint64_t rollbacks;               /* to the last checkpoint */
    uint64_t refused_peers;           /* attempts to join that were refused */
    uint64_t garbage_messages;        /* that could not be read */
    uint32_t half_open;               /* connections that have not finished their handshake */
    uint32_t sessions;                /* remembered */
    uint64_t lost_segments;           /* acknowledged, and lost with the power */
    uint64_t lost_steps;              /* their env steps */
    EnvFaults faults;                 /* of all environments, since this start of the learner */
    char last_fault[STATUS_TEXT_MAX]; /* whose, and what; empty before the first */
    uint32_t num_actors;
    ActorStatus *actors; /* (num_actors), owned by whoever made the snapshot */
} RunStatus;

/* Adds an alarm. One that is too long loses its middle: it begins with what is wrong and ends with
 * why. Beyond STATUS_ALARMS_MAX it is left out. */
void run_status_alarm(RunStatus *status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "12 diverged, 3 not finite, 1 lost with a worker that died": the kinds that there were; empty
 * when there was none. Returns `text`. */
const char *run_status_faults(const EnvFaults *faults, char text[STATUS_FAULTS_BYTES]);

/* Writes the one-line progress: env steps, updates, episodes, return, rates, time left. */
void run_status_line(const RunStatus *status, char *text, int text_bytes);

#endif
