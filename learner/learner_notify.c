/* What the service manager hears of a learner: common/notify.h. */
#include "common/log.h"
#include "common/notify.h"
#include "common/text.h"
#include "learner/learner_internal.h"

/* A trainer that has neither updated nor waited for so long is stuck. One update takes
 * milliseconds, the largest some seconds, a checkpoint on a slow disk perhaps a minute. */
enum { TRAINER_SILENT_MS = 300000 };

/* The loop lives when it gets here. The trainer shows it by what it reports; while it reads its log
 * back it reports nothing, and that takes as long as there is log. */
static bool trainer_is_well(Learner *learner, int64_t now_ms)
{
    Exchange *exchange = &learner->run.exchange;
    if (!learner->serving)
        return true;
    bool well = exchange_trainer_told_ms(exchange) > now_ms - TRAINER_SILENT_MS ||
                exchange_progress(exchange).ended;
    if (!well && !learner->trainer_stuck)
        log_error("the trainer has done nothing for %d s: it is stuck, and the service manager "
                  "gets no more signs of life",
                  TRAINER_SILENT_MS / 1000);
    learner->trainer_stuck = !well;
    return well;
}

static void say_status(Learner *learner)
{
    char env_steps[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES], updates[TEXT_NUMBER_BYTES];
    RunStatus status = {0};
    progress_fill_status(&learner->progress, &learner->run, learner->fleet, &status);
    bool reading = learner->run.begun && !learner->serving;
    notify_status("%s: %s of %s env steps, %s updates, %u actors%s%s",
                  reading ? "reading the replay log back" : status.phase,
                  text_thousands(status.env_steps, env_steps),
                  text_thousands(status.total_env_steps, total),
                  text_thousands(status.updates, updates), fleet_num_actors(learner->fleet),
                  status.waiting_for[0] != '\0' ? "; " : "", status.waiting_for);
}

void learner_notify(Learner *learner, int64_t now_ms)
{
    notify_ready(); /* it listens; actors may come while it reads its log back, and are told so */
    if (learner->signal_number != 0 || learner->farewell_ms != 0)
        notify_stopping();
    if (notify_tick(now_ms, trainer_is_well(learner, now_ms)))
        say_status(learner);
}
