#include "learner/watch/evaluations.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/fs.h"
#include "common/log.h"

enum { NAME_MAX_BYTES = 64, BEST_JSON_BYTES_MAX = 65536 };

static const char candidate_prefix[] = "candidate-";

static void candidate_path(const Evaluations *evaluations, uint64_t eval_id, char *path)
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "%s%08llu.safetensors", candidate_prefix,
             (unsigned long long)eval_id);
    if (fs_join(path, evaluations->directory, name, NULL) != 0)
        path[0] = '\0';
}

/* The best return of earlier starts: a best.safetensors can be newer than the newest checkpoint. */
static double read_best_return(const char *directory)
{
    char path[FS_PATH_MAX];
    char *text = NULL;
    size_t bytes = 0;
    double best = -INFINITY;
    if (fs_join(path, directory, "best.json", NULL) != 0 ||
        fs_read_file(path, BEST_JSON_BYTES_MAX, &text, &bytes, NULL) != 0)
        return best;
    json_t *json = json_loadb(text, bytes, 0, NULL);
    const json_t *value = json_object_get(json, "return_mean");
    if (json_is_number(value))
        best = json_number_value(value);
    json_decref(json);
    free(text);
    return best;
}

static void remove_candidates(const char *directory)
{
    DIR *entries = opendir(directory);
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[FS_PATH_MAX];
        if (strncmp(entry->d_name, candidate_prefix, strlen(candidate_prefix)) == 0 &&
            fs_join(path, directory, entry->d_name, NULL) == 0)
            unlink(path);
    }
    closedir(entries);
}

void evaluations_start(Evaluations *evaluations, Exchange *exchange, const char *directory,
                       uint64_t interval_env_steps, uint32_t epoch, RunState *run)
{
    memset(evaluations, 0, sizeof *evaluations);
    evaluations->exchange = exchange;
    evaluations->directory = directory;
    evaluations->interval_env_steps = interval_env_steps;
    evaluations->epoch = epoch;
    evaluations->newest_return = NAN;
    evaluations->last_env_steps = run->env_steps;
    if (interval_env_steps > 0)
        evaluations->next_env_steps =
            (run->env_steps / interval_env_steps + 1) * interval_env_steps;
    remove_candidates(directory);
    double best = read_best_return(directory);
    if (best > run->best_return)
        run->best_return = best;
}

bool evaluations_ask_if_due(Evaluations *evaluations, bool warmed_up, bool at_end, RunState *run,
                            const DdpgState *ddpg)
{
    if (evaluations->interval_env_steps == 0 || !warmed_up)
        return false;
    bool due = run->env_steps >= evaluations->next_env_steps;
    if (!due && !(at_end && evaluations->last_env_steps < run->env_steps))
        return false;
    evaluations->next_env_steps =
        (run->env_steps / evaluations->interval_env_steps + 1) * evaluations->interval_env_steps;
    evaluations->last_env_steps = run->env_steps;
    uint64_t eval_id = run->evals + 1;
    if (evaluations->num_pending == EXCHANGE_EVALS_MAX ||
        !exchange_want_evaluation(evaluations->exchange, eval_id, run->env_steps,
                                  ddpg->actor.params,
                                  (Version){evaluations->epoch, run->updates})) {
        log_warn("the evaluation at %llu env steps is left out: %d are not done yet",
                 (unsigned long long)run->env_steps, evaluations->num_pending);
        return false;
    }
    run->evals = eval_id;
    evaluations->pending[evaluations->num_pending++] =
        (EvaluationTicket){eval_id, run->env_steps, run->updates};
    char path[FS_PATH_MAX];
    Err err;
    candidate_path(evaluations, eval_id, path);
    if (checkpoint_write(path, ddpg, run, &err) != 0)
        log_error("the evaluated policy is not kept: %s", err.text);
    return true;
}

static bool keep_best(const Evaluations *evaluations, const EvaluationTicket *ticket,
                      const EvalOutcome *outcome)
{
    char from[FS_PATH_MAX];
    char to[FS_PATH_MAX];
    char json_path[FS_PATH_MAX];
    char text[512];
    Err err = {""};
    candidate_path(evaluations, ticket->eval_id, from);
    int bytes =
        snprintf(text, sizeof text,
                 "{\"return_mean\": %.9g, \"return_std\": %.9g, \"length_mean\": %.9g, "
                 "\"env_steps\": %llu, \"updates\": %llu}\n",
                 outcome->return_mean, outcome->return_std, outcome->length_mean,
                 (unsigned long long)ticket->env_steps, (unsigned long long)ticket->updates);
    if (fs_join(to, evaluations->directory, "best.safetensors", &err) == 0 &&
        fs_join(json_path, evaluations->directory, "best.json", &err) == 0 &&
        rename(from, to) == 0 && fs_write_file(json_path, text, (size_t)bytes, &err) == 0)
        return true;
    log_error("the best policy is not kept: %s", err.text[0] ? err.text : from);
    return false;
}

static void say_result(const EvaluationTicket *ticket, const EvalOutcome *outcome, bool best)
{
    if (outcome->diverged > 0)
        log_warn("evaluation at %llu env steps: return %.1f ± %.1f; %u of %u episodes diverged, so "
                 "it is not taken as the best",
                 (unsigned long long)ticket->env_steps, outcome->return_mean, outcome->return_std,
                 outcome->diverged, outcome->episodes);
    else
        log_info("evaluation at %llu env steps: return %.1f ± %.1f%s",
                 (unsigned long long)ticket->env_steps, outcome->return_mean, outcome->return_std,
                 best ? ", the best so far" : "");
}

bool evaluations_take_result(Evaluations *evaluations, RunState *run, double *return_mean)
{
    EvalOutcome outcome;
    if (!exchange_take_outcome(evaluations->exchange, &outcome))
        return false;
    int i = 0;
    while (i < evaluations->num_pending && evaluations->pending[i].eval_id != outcome.eval_id)
        i++;
    if (i == evaluations->num_pending)
        return false;
    EvaluationTicket ticket = evaluations->pending[i];
    evaluations->num_pending--;
    memmove(&evaluations->pending[i], &evaluations->pending[i + 1],
            (size_t)(evaluations->num_pending - i) * sizeof ticket);
    char path[FS_PATH_MAX];
    candidate_path(evaluations, ticket.eval_id, path);
    if (outcome.skipped) {
        if (!evaluations->skipped_said)
            log_info("no evaluator is connected: evaluations are left out");
        evaluations->skipped_said = true;
        unlink(path);
        *return_mean = NAN;
        return true;
    }
    evaluations->newest_return = outcome.return_mean;
    *return_mean = outcome.return_mean;
    bool best = outcome.diverged == 0 && outcome.return_mean > run->best_return;
    say_result(&ticket, &outcome, best);
    if (!best)
        unlink(path);
    else if (keep_best(evaluations, &ticket, &outcome))
        run->best_return = outcome.return_mean;
    return true;
}

int evaluations_pending(const Evaluations *evaluations)
{
    return evaluations->num_pending;
}

void evaluations_drop(Evaluations *evaluations)
{
    evaluations->num_pending = 0;
    remove_candidates(evaluations->directory);
}
