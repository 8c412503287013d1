/* polyak status: asks a learner how it is doing, and prints the answer. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/observer.h"
#include "cli/report.h"
#include "common/clock.h"
#include "common/config/config.h"
#include "common/fs.h"
#include "common/text.h"

enum { ANSWER_MS = 5000, POLL_MS = 100 };

/* --- As a table --------------------------------------------------------------------------------
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

static void print_run(const RunStatus *status)
{
    char a[TEXT_NUMBER_BYTES], b[TEXT_NUMBER_BYTES];
    printf("%s: %s\n", status->env[0] ? status->env : "no environment yet", status->phase);
    if (status->waiting_for[0] != '\0')
        printf("  waiting     %s\n", status->waiting_for);
    printf("  env steps   %s of %s, %.0f/s\n", text_thousands(status->env_steps, a),
           text_thousands(status->total_env_steps, b), status->env_steps_per_s);
    printf("  updates     %s, %.0f/s, %s owed\n", text_thousands(status->updates, a),
           status->updates_per_s, text_thousands(status->updates_owed, b));
    printf("  episodes    %s", text_thousands(status->episodes, a));
    if (!isnan(status->return_mean))
        printf(", return %.1f (mean of the last ones)", status->return_mean);
    putchar('\n');
    print_evaluations(status);
    printf("  weights     at most every %u ms, epoch %u\n", status->publish_interval_ms,
           status->epoch);
    printf("  running     %.0f s", (double)status->wall_ms / 1000);
    if (!isnan(status->seconds_left))
        printf(", about %.0f s left", status->seconds_left);
    putchar('\n');
}

static void print_actors(const RunStatus *status)
{
    if (status->num_actors == 0) {
        printf("  actors      none connected\n");
        return;
    }
    printf("\n  %-7s %-20s %14s %8s %9s %8s  %s\n", "actor", "name", "env steps", "credit",
           "silent s", "dropped", "waiting for");
    for (uint32_t i = 0; i < status->num_actors; i++) {
        const ActorStatus *actor = &status->actors[i];
        char index[24], steps[TEXT_NUMBER_BYTES], credit[TEXT_NUMBER_BYTES];
        char dropped[TEXT_NUMBER_BYTES];
        snprintf(index, sizeof index, "%u", actor->actor_index);
        printf("  %-7s %-20s %14s %8s %9.1f %8s  %s\n", index, actor->name,
               text_thousands(actor->env_steps, steps),
               text_thousands(actor->unused_credit, credit), actor->silent_ms / 1000.0,
               text_thousands(actor->dropped_steps, dropped),
               actor->waiting_for[0] ? actor->waiting_for : "-");
    }
}

/* --- As JSON -----------------------------------------------------------------------------------
 */

static json_t *actor_json(const ActorStatus *actor)
{
    return json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:s}", "actor_index",
                     (json_int_t)actor->actor_index, "incarnation", (json_int_t)actor->incarnation,
                     "name", actor->name, "env_steps", (json_int_t)actor->env_steps,
                     "unused_credit", (json_int_t)actor->unused_credit, "silent_ms",
                     (json_int_t)actor->silent_ms, "dropped_steps",
                     (json_int_t)actor->dropped_steps, "waiting_for", actor->waiting_for);
}

static json_t *status_json(const RunStatus *status)
{
    json_t *actors = json_array();
    for (uint32_t i = 0; i < status->num_actors; i++)
        json_array_append_new(actors, actor_json(&status->actors[i]));
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, "
        "s:o, s:o}",
        "env", status->env, "phase", status->phase, "waiting_for", status->waiting_for, "epoch",
        (json_int_t)status->epoch, "env_steps", (json_int_t)status->env_steps, "total_env_steps",
        (json_int_t)status->total_env_steps, "updates", (json_int_t)status->updates, "updates_owed",
        (json_int_t)status->updates_owed, "episodes", (json_int_t)status->episodes, "return_mean",
        report_real(status->return_mean), "env_steps_per_s", report_real(status->env_steps_per_s),
        "updates_per_s", report_real(status->updates_per_s), "seconds_left",
        report_real(status->seconds_left), "eval_return", report_real(status->eval_return),
        "best_return", report_real(status->best_return), "publish_interval_ms",
        (json_int_t)status->publish_interval_ms, "evaluators", (json_int_t)status->evaluators,
        "wall_s", report_real((double)status->wall_ms / 1000), "actors", actors);
}

/* --- Asking ------------------------------------------------------------------------------------
 */

/* "@FILE" stands for the endpoint in the first line of FILE. */
static int resolve_endpoint(const char *connect, char *endpoint, size_t endpoint_bytes, Err *err)
{
    if (connect[0] != '@') {
        if (strlen(connect) >= endpoint_bytes)
            return err_set(err, ERR_USAGE, "--connect is too long for an endpoint");
        memcpy(endpoint, connect, strlen(connect) + 1);
        return 0;
    }
    char *text = NULL;
    size_t num_bytes = 0;
    int code = fs_read_file(connect + 1, endpoint_bytes - 1, &text, &num_bytes, err);
    if (code)
        return code;
    snprintf(endpoint, endpoint_bytes, "%.*s", (int)strcspn(text, " \t\r\n"), text);
    free(text);
    return 0;
}

static int give_up(Observer *observer, const char *endpoint, Err *err)
{
    const char *trouble = observer_trouble(observer);
    return err_set(err, ERR_NET, "no learner answers at %s within %d s%s%s", endpoint,
                   ANSWER_MS / 1000, trouble ? ": " : "", trouble ? trouble : "");
}

/* Waits for a status until the deadline. */
static int await_status(Observer *observer, const char *endpoint, const RunStatus **status,
                        Err *err)
{
    int64_t deadline_ms = clock_ms() + ANSWER_MS;
    observer_ask(observer);
    for (;;) {
        int code = observer_advance(observer, clock_ms(), status, err);
        if (code || *status)
            return code;
        if (clock_ms() >= deadline_ms)
            return give_up(observer, endpoint, err);
        struct pollfd readable = {.fd = observer_fd(observer), .events = POLLIN};
        poll(&readable, 1, POLL_MS);
    }
}

static int show_status(const Config *config, Err *err)
{
    char endpoint[256];
    int code = resolve_endpoint(config->connect, endpoint, sizeof endpoint, err);
    if (code)
        return code;
    Observer *observer = NULL;
    DialKeys keys;
    code = dialing_read_keys(config->key, config->learner_key, &keys, err);
    if (!code)
        code = observer_new(endpoint, "polyak status", &keys, &observer, err);
    dialing_forget_keys(&keys);
    if (code)
        return code;
    const RunStatus *status = NULL;
    code = await_status(observer, endpoint, &status, err);
    if (!code && config->json) {
        code = report_json(status_json(status), err);
    } else if (!code) {
        print_run(status);
        print_actors(status);
    }
    observer_destroy(&observer);
    return code;
}

int command_status(int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    config_init(&config);
    int code =
        config_parse_args(&config, CONFIG_STATUS, "polyak status",
                          "Asks a running learner how it is doing.", argc, argv, &done, &err);
    if (!code && !done)
        code = show_status(&config, &err);
    return code ? report_error("status", code, &err) : EXIT_DONE;
}
