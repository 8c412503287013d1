/* polyak set: changes a key of a running learner. */
#include <stdio.h>
#include <string.h>

#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/report.h"

static int set_key(const Config *config, const char *assignment, Err *err)
{
    if (!assignment || !strchr(assignment, '='))
        return err_set(err, ERR_USAGE,
                       "write polyak set KEY=VALUE, as in polyak set updates_per_env_step=0.5");
    if (strlen(assignment) > WIRE_TEXT_MAX)
        return err_set(err, ERR_USAGE, "KEY=VALUE has more than %d bytes", WIRE_TEXT_MAX);
    Message order = {.kind = MESSAGE_SET};
    memcpy(order.set.assignment, assignment, strlen(assignment) + 1);
    Asking asking;
    const Outcome *outcome = NULL;
    int code = asking_open(&asking, config, "polyak set", err);
    if (!code)
        code = asking_order(&asking, &order, &outcome, err);
    if (!code && config->json)
        code =
            report_json(json_pack("{s:b, s:s}", "done", outcome->done, "text", outcome->text), err);
    else if (!code && outcome->done)
        printf("%s\n", outcome->text);
    if (!code && !outcome->done)
        code = err_set(err, ERR_USAGE, "%s", outcome->text);
    asking_close(&asking);
    return code;
}

int command_set(int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    const char *assignment = asking_word(&argc, &argv);
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_OPERATE, "polyak set KEY=VALUE",
                                 "Changes a key of a running learner. docs/config.md tells which "
                                 "keys may be changed while a run goes on.",
                                 argc, argv, &done, &err);
    if (!code && !done)
        code = set_key(&config, assignment, &err);
    return code ? report_error("set", code, &err) : EXIT_DONE;
}
