#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "learner/train/trainer_internal.h"

int trainer_apply_setting(Config *config, Pacer *pacer, Ddpg *ddpg, const RunState *run,
                          const char *assignment, Err *err)
{
    char name[CONFIG_NAME_MAX + 1];
    char text[EXCHANGE_SETTING_MAX + 1];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(assignment, " "), assignment);
    int code = config_set_live(config, text, name, err);
    if (code != ERR_OK)
        return code;
    if (config->updates_per_env_step != pacer->ratio)
        pacer_set_ratio(pacer, config->updates_per_env_step, run->env_steps, run->updates);
    pacer->total_env_steps = (uint64_t)config->total_env_steps;
    pacer->window_env_steps = (uint64_t)config->pacing_window_env_steps;
    ddpg_set_learning_rates(ddpg, config->actor_lr, config->critic_lr);
    return ERR_OK;
}

void trainer_take_settings(Trainer *trainer)
{
    char assignment[EXCHANGE_SETTING_MAX + 1];
    while (exchange_take_setting(trainer->setup.exchange, assignment)) {
        Err err;
        int code = trainer_apply_setting(&trainer->config, &trainer->pacer, trainer->core.ddpg,
                                         trainer->core.run, assignment, &err);
        if (code != ERR_OK) {
            log_error("%s was not set: %s", assignment, err.text);
            continue;
        }
        trainer->evaluations.interval_env_steps = (uint64_t)trainer->config.eval_interval_env_steps;
        recorder_event(&trainer->recorder, trainer->core.run, ORDER_SET, 0, assignment);
        if (run_dir_write_config(trainer->setup.dir, &trainer->config, &err) != ERR_OK)
            log_error("%s holds for this start only: %s", assignment, err.text);
    }
    trainer->progress.pacer = trainer->pacer;
}
