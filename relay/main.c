/* polyak-relay: stands between actors and their learner, and carries what both say. */
#include <signal.h>

#include "common/config/config.h"
#include "common/cpu.h"
#include "common/log.h"
#include "common/program.h"
#include "relay/relay.h"

int main(int argc, char **argv)
{
    if (!program_start("relay"))
        return 1;
    Err err = {""};
    static Config config;
    bool done = false;
    int signal_number = 0;
    config_init(&config);
    config.connect[0] = '\0'; /* its default is also that of --bind */
    int code = config_parse_args(&config, CONFIG_RELAY, "polyak-relay",
                                 "Carry what actors and their learner say, for a rack or a site.",
                                 argc, argv, &done, &err);
    if (code == 0 && done)
        return 0;
    if (code == 0 && config.connect[0] == '\0')
        code = err_set(&err, ERR_USAGE,
                       "--connect is missing: name the endpoint of the learner, or of another "
                       "relay");
    if (code == 0 && config.name[0] != '\0')
        log_set_name(config.name);
    if (code == 0)
        code = cpu_pin(config.cpus, &err);
    if (code == 0)
        code = relay_run(&config, &signal_number, &err);
    if (code != 0) {
        log_error("%s", err.text);
        return code == ERR_USAGE ? 2 : 1;
    }
    return signal_number != 0 ? program_end_by(signal_number) : 0;
}
