#include <stdio.h>
#include <stdlib.h>
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

/* What the next checkpoint says of the configuration. */
static void note_config(Trainer *trainer)
{
    RunState *run = trainer->core.run;
    char *yaml = NULL;
    if (config_to_yaml(&trainer->config, true, &yaml, NULL) == ERR_OK)
        snprintf(run->config_yaml, sizeof run->config_yaml, "%s", yaml);
    free(yaml);
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
        note_config(trainer);
        if (run_dir_write_config(trainer->setup.dir, &trainer->config, &err) != ERR_OK)
            log_error("%s holds for this start only: %s", assignment, err.text);
    }
    trainer->progress.pacer = trainer->pacer;
}

/* --- Settings across a resume ------------------------------------------------------------------
 */

static const char *const followed[] = {"updates_per_env_step", "actor_lr", "critic_lr"};
enum { NUM_FOLLOWED = sizeof followed / sizeof followed[0] };

/* The value of "name: value # …" in a checkpoint's configuration; false when it has none. */
static bool find_value(const char *yaml, const char *name, char *value, size_t value_bytes)
{
    size_t length = strlen(name);
    for (const char *line = yaml; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *begin = line + length + 1;
        begin += strspn(begin, " ");
        snprintf(value, value_bytes, "%.*s", (int)strcspn(begin, " \n"), begin);
        return true;
    }
    return false;
}

void trainer_take_checkpoint_settings(Trainer *trainer, const char *config_yaml)
{
    Config *config = &trainer->config;
    for (int i = 0; i < NUM_FOLLOWED; i++) {
        char value[64];
        Err err;
        if (find_value(config_yaml, followed[i], value, sizeof value) &&
            config_set(config, followed[i], value, CONFIG_FLAG, &err) != ERR_OK)
            log_warn("of the checkpoint's configuration: %s", err.text);
    }
    /* Its pacer counted at its ratio. */
    trainer->pacer.ratio = config->updates_per_env_step;
    ddpg_set_learning_rates(trainer->core.ddpg, config->actor_lr, config->critic_lr);
    note_config(trainer);
}

void trainer_take_wanted_settings(Trainer *trainer, const Config *wanted)
{
    char was[CONFIG_TEXT_MAX + 1];
    char is[CONFIG_TEXT_MAX + 1];
    char assignment[EXCHANGE_SETTING_MAX + 1];
    for (int i = 0; i < NUM_FOLLOWED; i++) {
        config_get(&trainer->config, followed[i], was);
        config_get(wanted, followed[i], is);
        if (strcmp(was, is) == 0)
            continue;
        snprintf(assignment, sizeof assignment, "%s=%.60s was %.60s", followed[i], is, was);
        recorder_event(&trainer->recorder, trainer->core.run, ORDER_SET, 0, assignment);
    }
    const RunState *run = trainer->core.run;
    if (wanted->updates_per_env_step != trainer->pacer.ratio)
        pacer_set_ratio(&trainer->pacer, wanted->updates_per_env_step, run->env_steps,
                        run->updates);
    trainer->pacer.total_env_steps = (uint64_t)wanted->total_env_steps;
    trainer->pacer.window_env_steps = (uint64_t)wanted->pacing_window_env_steps;
    ddpg_set_learning_rates(trainer->core.ddpg, wanted->actor_lr, wanted->critic_lr);
    trainer->config = *wanted;
    note_config(trainer);
}
