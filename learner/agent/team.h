/* A team of threads that do one piece of work together: fork and join, many thousand times a
 * second.
 *
 * The caller of team_run() is worker 0; a team of one creates no thread. Idle workers spin for some
 * microseconds and then sleep. One thread at a time may call team_run(): the trainer owns the team.
 * Every worker flushes denormal numbers to zero, the caller from its first run on. */
#ifndef POLYAK_LEARNER_AGENT_TEAM_H
#define POLYAK_LEARNER_AGENT_TEAM_H

#include "common/err.h"

enum { TEAM_WORKERS_MAX = 256 };

typedef struct Team Team;

/* One worker's share: 0 <= worker < workers. */
typedef void TeamFunction(void *arg, int worker, int workers);

/* ERR_NOMEM when a thread cannot be made. 1 <= workers <= TEAM_WORKERS_MAX. */
int team_new(int workers, Team **team, Err *err);
void team_destroy(Team **team);

/* Runs function(arg, worker, workers) once on every worker and returns when all have returned; what
 * they wrote is visible to the caller, and to every later run. */
void team_run(Team *team, TeamFunction *function, void *arg);

#endif
