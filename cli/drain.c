/* polyak drain: takes actors out of a run, and waits until they are gone. */
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "common/clock.h"
#include "common/log.h"

enum { LOOK_MS = 300, WORD_EVERY_MS = 10000 };

/* The draining actors of that name that are still there; *first is one of them. */
static uint32_t count_left(const RunStatus *status, const char *name, const ActorStatus **first)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < status->num_actors; i++) {
        const ActorStatus *actor = &status->actors[i];
        if (!actor->draining || fnmatch(name, actor->name, 0) != 0)
            continue;
        if (count++ == 0)
            *first = actor;
    }
    return count;
}

/* Each look is answered within seconds or fails, so this ends: the learner itself gives up an actor
 * that does not go on. */
static int await_end(Asking *asking, const char *name, Err *err)
{
    int64_t next_word_ms = clock_ms() + WORD_EVERY_MS;
    for (;;) {
        const RunStatus *status = NULL;
        const ActorStatus *first = NULL;
        int code = asking_status(asking, &status, err);
        if (code)
            return code;
        uint32_t left = count_left(status, name, &first);
        if (left == 0)
            return 0;
        if (clock_ms() >= next_word_ms) {
            next_word_ms = clock_ms() + WORD_EVERY_MS;
            log_info("%u actor%s still there; %s has %llu env steps of credit left", left,
                     left == 1 ? " is" : "s are", first->name,
                     (unsigned long long)first->unused_credit);
        }
        poll(NULL, 0, LOOK_MS);
    }
}

static int drain(const Config *config, const char *name, Err *err)
{
    if (!name || name[0] == '\0' || strlen(name) > WIRE_NAME_MAX)
        return err_set(
            err, ERR_USAGE,
            "write polyak drain NAME, the name of an actor or a pattern of 1 to %d bytes "
            "such as 'node7/*'; polyak status lists the names",
            WIRE_NAME_MAX);
    Message order = {.kind = MESSAGE_DRAIN};
    memcpy(order.drain.name, name, strlen(name) + 1);
    Asking asking;
    const Outcome *outcome = NULL;
    int code = asking_open(&asking, config, "polyak drain", err);
    if (!code)
        code = asking_order(&asking, &order, &outcome, err);
    if (!code && !config->json && outcome->done)
        printf("%s\n", outcome->text);
    fflush(stdout);
    if (!code && outcome->done)
        code = await_end(&asking, name, err);
    if (!code && config->json)
        code =
            report_json(json_pack("{s:b, s:s}", "done", outcome->done, "text", outcome->text), err);
    else if (!code && outcome->done)
        printf("drained: none of them is connected any more\n");
    if (!code && !outcome->done)
        code = err_set(err, ERR_MISSING, "%s", outcome->text);
    asking_close(&asking);
    return code;
}

int command_drain(int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    const char *name = asking_word(&argc, &argv);
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_OPERATE, "polyak drain NAME",
                                 "Takes actors out of a run: those with this name, which may be a "
                                 "shell pattern. They get no more steps, send what they have, and "
                                 "end with exit code 0. Waits until they are gone.",
                                 argc, argv, &done, &err);
    if (!code && !done)
        code = drain(&config, name, &err);
    return code ? report_error("drain", code, &err) : EXIT_DONE;
}
