/* polyak envs: which environments there are here, and what one of them is. */
#include "cli/envs/envs.h"

#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/report.h"

int command_envs(int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    const char *name = asking_word(&argc, &argv);
    config_init(&config);
    int code = config_parse_args(
        &config, CONFIG_ENVS, "polyak envs",
        "Lists the environments that can be used here, and says why others cannot. With a NAME, as "
        "--env takes it, as in `polyak envs pendulum`, says what that environment is.",
        argc, argv, &done, &err);
    if (!code && !done && name && name[0] == '\0')
        code = err_set(&err, ERR_USAGE, "the name of the environment is empty");
    if (!code && !done)
        code = name ? envs_show(&config, name, &err) : envs_list(&config, &err);
    return code ? report_error("envs", code, &err) : EXIT_DONE;
}
