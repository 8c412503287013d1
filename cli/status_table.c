#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/status_show.h"
#include "common/text.h"

enum { NAME_COLUMNS = 24, NAME_COLUMNS_MAX = 48, LINE_BYTES = 110, PAGE_COLUMNS = 120 };

/* Prints text after a title, on as many lines as it needs: none is cut, since a reason often comes
 * last. The lines after the first begin below the text. */
static void print_wrapped(const char *title, const char *text)
{
    int indent = (int)strlen(title);
    int column = indent;
    fputs(title, stdout);
    while (*text) {
        int bytes = (int)strcspn(text, " ");
        int width = 0; /* of the word, in characters */
        for (int i = 0; i < bytes; i++)
            width += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (column > indent && column + 1 + width > PAGE_COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", bytes, text);
        column += width;
        text += bytes;
        text += strspn(text, " ");
    }
    putchar('\n');
}

/* What went wrong in environments, where something did. */
static void print_faults(const char *title, const EnvFaults *faults, const char *last)
{
    char line[STATUS_FAULTS_BYTES + STATUS_TEXT_MAX + 16], text[STATUS_FAULTS_BYTES];
    run_status_faults(faults, text);
    if (text[0] == '\0')
        return;
    snprintf(line, sizeof line, "%s%s%s", text, last[0] ? "; last: " : "", last);
    print_wrapped(title, line);
}

/* --- The run -----------------------------------------------------------------------------------
 */

static void print_evaluations(const RunStatus *status)
{
    printf("  evaluation  ");
    if (isnan(status->eval_return))
        printf("none yet");
    else
        printf("return %.1f, best %.1f", status->eval_return, status->best_return);
    printf("; %u evaluator%s\n", status->evaluators, status->evaluators == 1 ? "" : "s");
}

static void print_updates(const RunStatus *status)
{
    char a[TEXT_NUMBER_BYTES], b[TEXT_NUMBER_BYTES];
    printf("  updates     %s, %.0f/s, %s owed", text_thousands(status->updates, a),
           status->updates_per_s, text_thousands(status->updates_owed, b));
    if (status->skipped_updates > 0 || status->rollbacks > 0)
        printf("; %s skipped (not finite), %s times back to a checkpoint",
               text_thousands(status->skipped_updates, a), text_thousands(status->rollbacks, b));
    putchar('\n');
}

static void print_log(const RunStatus *status)
{
    char excerpt[LINE_BYTES], a[TEXT_NUMBER_BYTES], b[TEXT_NUMBER_BYTES];
    if (status->log_state[0] == '\0')
        return;
    printf("  replay log  %s\n", text_excerpt(status->log_state, excerpt, sizeof excerpt));
    if (status->log_position > 0)
        printf("              %s segments, %s of them would survive a power cut; %.1f MiB\n",
               text_thousands(status->log_position, a),
               text_thousands(status->log_synced_position, b),
               (double)status->log_bytes / (1024 * 1024));
}

static void print_peers(const RunStatus *status)
{
    char a[TEXT_NUMBER_BYTES], b[TEXT_NUMBER_BYTES];
    printf("  sessions    %s remembered\n", text_thousands(status->sessions, a));
    if (status->relays > 0)
        printf("  relays      %s connected\n", text_thousands(status->relays, a));
    if (status->refused_peers > 0 || status->garbage_messages > 0)
        printf("  refused     %s attempts to join, %s messages that could not be read\n",
               text_thousands(status->refused_peers, a),
               text_thousands(status->garbage_messages, b));
    if (status->half_open > 0)
        printf("  half open   %u connections that did not finish their handshake\n",
               status->half_open);
    if (status->lost_segments > 0)
        printf("  lost        %s segments (%s env steps) that were acknowledged before a power "
               "cut\n",
               text_thousands(status->lost_segments, a), text_thousands(status->lost_steps, b));
}

static void print_run(const RunStatus *status)
{
    char a[TEXT_NUMBER_BYTES], b[TEXT_NUMBER_BYTES], excerpt[LINE_BYTES];
    for (uint32_t i = 0; i < status->num_alarms; i++)
        print_wrapped("ALARM: ", status->alarms[i]);
    printf("%s: %s\n", status->env[0] ? status->env : "no environment yet", status->phase);
    if (status->waiting_for[0] != '\0')
        printf("  waiting     %s\n", text_excerpt(status->waiting_for, excerpt, sizeof excerpt));
    printf("  env steps   %s of %s, %.0f/s\n", text_thousands(status->env_steps, a),
           text_thousands(status->total_env_steps, b), status->env_steps_per_s);
    print_updates(status);
    printf("  episodes    %s", text_thousands(status->episodes, a));
    if (!isnan(status->return_mean))
        printf(", return %.1f (mean of the last ones)", status->return_mean);
    putchar('\n');
    print_evaluations(status);
    printf("  weights     at most every %u ms, epoch %u\n", status->publish_interval_ms,
           status->epoch);
    print_log(status);
    print_peers(status);
    print_faults("  faults      ", &status->faults, status->last_fault);
    printf("  running     %.0f s", (double)status->wall_ms / 1000);
    if (!isnan(status->seconds_left))
        printf(", about %.0f s left", status->seconds_left);
    putchar('\n');
}

/* --- The actors --------------------------------------------------------------------------------
 */

static void print_detail(const char *title, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line under an actor's, cut to the page. */
static void print_detail(const char *title, const char *format, ...)
{
    char line[512], excerpt[LINE_BYTES - 12];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printf("        %-8s %s\n", title, text_excerpt(line, excerpt, sizeof excerpt));
}

static void print_losses(const ActorStatus *actor)
{
    if (actor->dropped_steps > 0)
        print_detail("dropped", "%llu steps, which a fault of the environment took",
                     (unsigned long long)actor->dropped_steps);
    print_faults("        faults   ", &actor->faults, actor->last_fault);
    if (actor->lost_steps > 0)
        print_detail("lost", "%llu acknowledged steps, in a power cut of the learner",
                     (unsigned long long)actor->lost_steps);
    if (actor->expired_segments > 0)
        print_detail(
            "lost", "%llu segments (%llu steps) that a learner had forgotten the session of",
            (unsigned long long)actor->expired_segments, (unsigned long long)actor->expired_steps);
}

/* A name for its column. What is too long loses its middle: pods of one set differ in their ends.
 */
static const char *fit_name(const char *name, char out[NAME_COLUMNS_MAX + 1])
{
    char whole[sizeof((ActorStatus *)0)->name + 8];
    text_excerpt(name, whole, sizeof whole);
    size_t length = strlen(whole);
    if (length <= NAME_COLUMNS_MAX) {
        memcpy(out, whole, length + 1);
        return out;
    }
    size_t head = (NAME_COLUMNS_MAX - 3) / 2;
    size_t tail = length - (NAME_COLUMNS_MAX - 3 - head);
    while (head > 0 && ((unsigned char)whole[head] & 0xC0) == 0x80)
        head--; /* never inside a UTF-8 character */
    while (((unsigned char)whole[tail] & 0xC0) == 0x80)
        tail++;
    snprintf(out, NAME_COLUMNS_MAX + 1, "%.*s...%s", (int)head, whole, whole + tail);
    return out;
}

/* Of the column of names: as wide as the longest of them needs. */
static int name_columns(const RunStatus *status)
{
    int columns = NAME_COLUMNS;
    for (uint32_t i = 0; i < status->num_actors; i++) {
        int length = (int)strlen(status->actors[i].name);
        columns = length > columns ? length : columns;
    }
    return columns < NAME_COLUMNS_MAX ? columns : NAME_COLUMNS_MAX;
}

static void print_actor(const ActorStatus *actor, int columns)
{
    char name[NAME_COLUMNS_MAX + 1], steps[TEXT_NUMBER_BYTES], lag[TEXT_NUMBER_BYTES + 8], rate[32];
    char credit[TEXT_NUMBER_BYTES], send[TEXT_NUMBER_BYTES], outbox[TEXT_NUMBER_BYTES];
    text_thousands(actor->policy_lag_updates, lag);
    if (actor->policy_epoch_old)
        snprintf(lag, sizeof lag, "old");
    snprintf(rate, sizeof rate, "%.0f", actor->env_steps_per_s);
    printf("  %5u %-*s %5u %14s %8s %9s %8s %6s %7s %7.1f%s\n", actor->actor_index, columns,
           fit_name(actor->name, name), actor->num_envs, text_thousands(actor->env_steps, steps),
           isnan(actor->env_steps_per_s) ? "-" : rate, lag,
           text_thousands(actor->unused_credit, credit), text_thousands(actor->send_credit, send),
           text_thousands(actor->outbox_segments, outbox), actor->silent_ms / 1000.0,
           actor->draining ? " drains" : "");
    if (actor->labels[0] != '\0')
        print_detail("labels", "%s", actor->labels);
    if (actor->key[0] != '\0')
        print_detail("key", "%s", actor->key);
    if (actor->via[0] != '\0')
        print_detail("via", "%s", actor->via);
    if (actor->waiting_for[0] != '\0')
        print_detail("waits", "%s", actor->waiting_for);
    if (actor->learner_reason[0] != '\0' && strcmp(actor->learner_reason, actor->waiting_for) != 0)
        print_detail("learner", "%s", actor->learner_reason);
    print_losses(actor);
}

void status_print(const RunStatus *status)
{
    print_run(status);
    if (status->num_actors == 0) {
        printf("  actors      none connected\n");
        return;
    }
    int columns = name_columns(status);
    printf("\n  %5s %-*s %5s %14s %8s %9s %8s %6s %7s %7s\n", "actor", columns, "name", "envs",
           "env steps", "steps/s", "lag", "credit", "send", "unacked", "silent");
    for (uint32_t i = 0; i < status->num_actors; i++)
        print_actor(&status->actors[i], columns);
}
