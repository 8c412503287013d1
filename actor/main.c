/* polyak-actor: steps environments with a noisy copy of the policy and streams what it saw to the
 * learner; or, as an evaluator, runs policies without noise when the learner asks. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "actor/actor.h"
#include "common/config/config.h"
#include "common/cpu.h"
#include "common/fpu.h"
#include "common/kernels.h"
#include "common/log.h"
#include "common/program.h"

/* Whoever started this actor tells by it that another one is wanted: 0 is the end of the run. */
enum { EXIT_RUN_GOES_ON = 3 };

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits end early */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv)
{
    if (!program_start("actor"))
        return 1;
    Err err = {""};
    static Config config;
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_ACTOR, "polyak-actor",
                                 "Step environments for a learner.", argc, argv, &done, &err);
    if (code == 0 && done)
        return 0;
    if (code == 0 && config.env[0] == '\0')
        code = err_set(&err, ERR_USAGE, "--env is missing: name an environment or a plugin");
    if (code == 0 && config.name[0] != '\0')
        log_set_name(config.name);
    if (code == 0)
        code = cpu_pin(config.cpus, &err);
    if (code == 0)
        code = kernels_init(&err);
    fpu_flush_denormals();
    if (code == 0) {
        catch_signals();
        code = config.role == ACTOR_ROLE_EVALUATOR ? evaluator_run(&config, &stop_signal, &err)
                                                   : actor_run(&config, &stop_signal, &err);
    }
    if (code == ERR_STOPPED)
        return program_end_by(stop_signal);
    if (code == ACTOR_ENDED)
        return EXIT_RUN_GOES_ON;
    if (code != 0)
        log_error("%s", err.text);
    if (code == ERR_USAGE)
        return 2;
    return code == 0 ? 0 : 1;
}
