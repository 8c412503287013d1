/* The actor process: rollout_step → uplink → downlink, again and again. And the evaluator, which is
 * the same process without noise and without steps to send. */
#ifndef POLYAK_ACTOR_ACTOR_H
#define POLYAK_ACTOR_ACTOR_H

#include <signal.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/err.h"

/* No error: it ended as it was told, with all handed over, and the run goes on without it. */
enum { ACTOR_ENDED = 1 };

/* Runs until the learner says that the run is finished (0), until exit_after_steps or
 * max_lifetime_s are over (ACTOR_ENDED; ERR_NET where the learner did not take all), until *stop is
 * set (ERR_STOPPED), or until something fails. ERR_USAGE is for a person to mend on the command
 * line. */
int actor_run(const Config *config, const volatile sig_atomic_t *stop, Err *err);
int evaluator_run(const Config *config, const volatile sig_atomic_t *stop, Err *err);

/* When max_lifetime_s, counted from now, is over; INT64_MAX: never. */
int64_t actor_ends_ms(const Config *config);

#endif
