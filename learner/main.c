/* polyak-learner: holds the replay and the networks, trains them, and serves a fleet of actors. */
#include <signal.h>

#include "common/config/config.h"
#include "common/cpu.h"
#include "common/log.h"
#include "common/program.h"
#include "learner/agent/libraries.h"
#include "learner/learner.h"

int main(int argc, char **argv)
{
    if (!program_start("learner"))
        return 1;
    Err err = {""};
    static Config config;
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_LEARNER, "polyak-learner",
                                 "Train a policy from the steps of a fleet of actors.", argc, argv,
                                 &done, &err);
    if (code == 0 && done)
        return 0;
    LearnerEnd end = LEARNER_FINISHED;
    int signal_number = 0;
    if (code == 0)
        code = cpu_pin(config.cpus, &err);
    if (code == 0)
        code = libraries_install(&err);
    if (code == 0)
        code = learner_run(&config, &end, &signal_number, &err);
    if (code != 0) {
        log_error("%s", err.text);
        return code == ERR_USAGE || code == ERR_EXISTS ? 2 : 1;
    }
    return end == LEARNER_STOPPED && signal_number != 0 ? program_end_by(signal_number) : 0;
}
