#include "common/run_status.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/text.h"

/* A line that is written piece by piece, and cut where it is full. */
typedef struct Line {
    char *text;
    size_t bytes;
    size_t used;
} Line;

__attribute__((format(printf, 2, 3))) static void line_add(Line *line, const char *format, ...)
{
    if (line->used + 1 >= line->bytes)
        return;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line->text + line->used, line->bytes - line->used, format, args);
    va_end(args);
    if (length > 0)
        line->used += (size_t)length;
}

/* Pieces are two spaces apart. */
static const char *gap(const Line *line)
{
    return line->used > 0 ? "  " : "";
}

static void add_count(Line *line, uint64_t count, const char *unit)
{
    char number[TEXT_NUMBER_BYTES];
    line_add(line, "%s%s %s", gap(line), text_thousands(count, number), unit);
}

static void add_rate(Line *line, double per_s, const char *unit)
{
    if (isfinite(per_s) && per_s >= 0 && per_s < 1e15)
        add_count(line, (uint64_t)llround(per_s), unit);
}

static void add_return(Line *line, const char *name, double value)
{
    if (isfinite(value))
        line_add(line, fabs(value) < 1e7 ? "%s%s %.1f" : "%s%s %.4g", gap(line), name, value);
}

static void add_time_left(Line *line, double seconds_left)
{
    if (!(seconds_left >= 0 && seconds_left < 1e9)) /* also NaN */
        return;
    int64_t seconds = llround(seconds_left);
    int64_t hours = seconds / 3600;
    int minutes = (int)(seconds / 60 % 60);
    if (hours > 0)
        line_add(line, "%sleft %" PRId64 ":%02d:%02d", gap(line), hours, minutes,
                 (int)(seconds % 60));
    else
        line_add(line, "%sleft %d:%02d", gap(line), minutes, (int)(seconds % 60));
}

/* Whether a UTF-8 character goes on with this byte. */
static bool is_inside(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Copies a text; of one that is too long the two ends, with what does not fit left out between. */
static void copy_ends(char *out, size_t out_bytes, const char *text)
{
    static const char gap_text[] = " … ";
    size_t length = strlen(text);
    if (length < out_bytes) {
        memcpy(out, text, length + 1);
        return;
    }
    size_t room = out_bytes - sizeof gap_text;
    size_t head = room / 2;
    size_t tail = length - (room - head);
    while (head > 0 && is_inside(text[head]))
        head--;
    while (is_inside(text[tail]))
        tail++;
    snprintf(out, out_bytes, "%.*s%s%s", (int)head, text, gap_text, text + tail);
}

void run_status_alarm(RunStatus *status, const char *format, ...)
{
    if (status->num_alarms == STATUS_ALARMS_MAX)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    copy_ends(status->alarms[status->num_alarms++], STATUS_TEXT_MAX, text);
}

const char *run_status_faults(const EnvFaults *faults, char text[STATUS_FAULTS_BYTES])
{
    /* One for each environment whose episode it cut short: a worker may have several. */
    static const char *const words[ENV_FAULTS] = {
        [ENV_FAULT_DIVERGED] = "diverged",
        [ENV_FAULT_NOT_FINITE] = "not finite",
        [ENV_FAULT_RAISED] = "lost by an error in a worker",
        [ENV_FAULT_DIED] = "lost with a worker that died",
        [ENV_FAULT_HUNG] = "lost with a worker that hung",
    };
    Line line = {.text = text, .bytes = STATUS_FAULTS_BYTES};
    text[0] = '\0';
    for (int i = 0; i < ENV_FAULTS; i++) {
        char number[TEXT_NUMBER_BYTES];
        uint64_t count = faults->count[i];
        if (count > 0)
            line_add(&line, "%s%s %s", line.used > 0 ? ", " : "", text_thousands(count, number),
                     words[i]);
    }
    return text;
}

void run_status_line(const RunStatus *status, char *text, int text_bytes)
{
    CHECK(text_bytes > 0);
    Line line = {.text = text, .bytes = (size_t)text_bytes};
    text[0] = '\0';
    /* A wait comes first: it must be seen even where the terminal cuts the line. */
    if (status->waiting_for[0] != '\0')
        line_add(&line, "%s%s%s", status->phase, status->phase[0] ? ": " : "", status->waiting_for);
    char steps[TEXT_NUMBER_BYTES];
    char total[TEXT_NUMBER_BYTES];
    text_thousands(status->env_steps, steps);
    text_thousands(status->total_env_steps, total);
    line_add(&line, "%s%s%s%s steps", gap(&line), steps, status->total_env_steps > 0 ? "/" : "",
             status->total_env_steps > 0 ? total : "");
    add_count(&line, status->updates, "updates");
    add_count(&line, status->episodes, "episodes");
    add_return(&line, "return", status->return_mean);
    add_return(&line, "eval", status->eval_return);
    add_rate(&line, status->env_steps_per_s, "steps/s");
    add_time_left(&line, status->seconds_left);
}
