#include "actor/envs/gymnasium/worker_output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum {
    BURST_LINES = 60,
    TRACEBACK_LINES = 40,
    REFILL_MS = 500, /* for one line more */
};

void worker_output_init(WorkerOutput *output, const char *prefix)
{
    *output = (WorkerOutput){.allowance = BURST_LINES, .filled_ms = clock_ms()};
    text_excerpt(prefix, output->prefix, sizeof output->prefix);
}

static void say_repeats(WorkerOutput *output)
{
    if (output->repeats > 0)
        log_info("%s: (%" PRIu64 " times more)", output->prefix, output->repeats);
    output->repeats = 0;
}

static void say_left_out(WorkerOutput *output)
{
    if (output->left_out > 0)
        log_info("%s: (%" PRIu64 " lines left out)", output->prefix, output->left_out);
    output->left_out = 0;
}

static bool may_log(WorkerOutput *output)
{
    int64_t lines = (clock_ms() - output->filled_ms) / REFILL_MS;
    output->filled_ms += lines * REFILL_MS;
    if (output->allowance < BURST_LINES)
        output->allowance =
            lines < BURST_LINES - output->allowance ? output->allowance + (int)lines : BURST_LINES;
    if (output->allowance == 0)
        return false;
    output->allowance--;
    return true;
}

static void end_line(WorkerOutput *output)
{
    output->line[output->used] = '\0';
    output->used = 0;
    char line[OUTPUT_LINE_BYTES];
    text_excerpt(output->line, line, sizeof line);
    if (line[strspn(line, " ")] == '\0')
        return;
    if (strcmp(line, output->last) == 0) {
        output->repeats++;
        return;
    }
    bool logged = may_log(output);
    if (logged) {
        say_repeats(output);
        say_left_out(output);
        log_info("%s: %s", output->prefix, line);
    } else {
        output->left_out += 1 + output->repeats;
        output->repeats = 0;
    }
    memcpy(output->last, line, sizeof line);
}

void worker_output_take(WorkerOutput *output, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (output->in_escape || bytes[i] == '\033') { /* a colour: up to its letter */
            output->in_escape = bytes[i] == '\033' || bytes[i] == '[' || bytes[i] == ';' ||
                                (bytes[i] >= '0' && bytes[i] <= '9');
            continue;
        }
        /* A progress bar ends its lines with a carriage return. */
        if (bytes[i] == '\n' || bytes[i] == '\r')
            end_line(output);
        else if (output->used < sizeof output->line - 1)
            output->line[output->used++] = (char)(bytes[i] == '\t' || !bytes[i] ? ' ' : bytes[i]);
    }
}

void worker_output_allow(WorkerOutput *output)
{
    if (output->allowance < TRACEBACK_LINES)
        output->allowance = TRACEBACK_LINES;
}

void worker_output_end(WorkerOutput *output)
{
    if (output->used > 0)
        end_line(output);
    say_repeats(output);
    say_left_out(output);
}
