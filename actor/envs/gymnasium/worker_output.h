/* What a worker prints, as lines of the log: cut to a length, bounded in rate, and without repeats,
 * since an environment may print at every step. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_OUTPUT_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTPUT_LINE_BYTES = 400 };

typedef struct WorkerOutput {
    char prefix[160];
    char line[OUTPUT_LINE_BYTES]; /* that has not ended */
    size_t used;
    bool in_escape;               /* in a terminal's escape sequence */
    char last[OUTPUT_LINE_BYTES]; /* that was said; "" when none */
    uint64_t repeats;             /* of it, not logged */
    uint64_t left_out;            /* lines beyond the rate */
    int64_t filled_ms;
    int allowance; /* lines that may be logged at once */
} WorkerOutput;

void worker_output_init(WorkerOutput *output, const char *prefix);

/* Takes bytes as they come. */
void worker_output_take(WorkerOutput *output, const char *bytes, size_t count);

/* What comes next is about an error: lets a traceback's length through, whatever came before. */
void worker_output_allow(WorkerOutput *output);

/* The worker has ended: logs what is left. */
void worker_output_end(WorkerOutput *output);

#endif
