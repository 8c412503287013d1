/* polyak status: asks a learner how it is doing, and prints the answer. */
#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "cli/status_show.h"
#include "common/config/config.h"

static int show_status(const Config *config, Err *err)
{
    Asking asking;
    int code = asking_open(&asking, config, "polyak status", err);
    if (code)
        return code;
    const RunStatus *status = NULL;
    code = asking_status(&asking, &status, err);
    if (!code && config->json)
        code = report_json(status_json(status), err);
    else if (!code)
        status_print(status);
    asking_close(&asking);
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
