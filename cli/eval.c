/* polyak eval: runs a trained policy without noise. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/policy_score.h"
#include "cli/report.h"
#include "cli/video.h"
#include "common/config/config.h"
#include "common/fs.h"
#include "common/text.h"

static json_t *score_json(const char *checkpoint, const PolicyScore *score, const FilmPlan *film)
{
    json_t *json = json_pack(
        "{s:i, s:i, s:o, s:o, s:o, s:s, s:I, s:I}", "episodes", score->result.episodes, "diverged",
        score->result.diverged, "return_mean", report_real(score->result.return_mean), "return_std",
        report_real(score->result.return_std), "length_mean",
        report_real(score->result.length_mean), "checkpoint", checkpoint, "env_steps",
        (json_int_t)score->run.env_steps, "updates", (json_int_t)score->run.updates);
    if (json && film) {
        json_object_set_new(json, "video", json_string(film->path));
        json_object_set_new(json, "video_frames", json_integer((json_int_t)score->film.frames));
        json_object_set_new(json, "video_frames_per_s", report_real(score->film.frames_per_s));
    }
    return json;
}

static void print_score(const char *checkpoint, const PolicyScore *score, const FilmPlan *film)
{
    char steps[TEXT_NUMBER_BYTES], updates[TEXT_NUMBER_BYTES];
    printf("%s: %s after %s env steps and %s updates\n", checkpoint, score->run.spec.name,
           text_thousands(score->run.env_steps, steps),
           text_thousands(score->run.updates, updates));
    printf("return %.2f ± %.2f, length %.1f; mean over %d episodes without noise\n",
           score->result.return_mean, score->result.return_std, score->result.length_mean,
           score->result.episodes);
    if (score->result.diverged > 0)
        printf("%d of %d episodes diverged: their returns are partial\n", score->result.diverged,
               score->result.episodes);
    if (film) {
        int filmed =
            film->episodes < score->result.episodes ? film->episodes : score->result.episodes;
        printf("%s: %d episode%s, %lld frames, %.4g in a second\n", film->path, filmed,
               filmed == 1 ? "" : "s", (long long)score->film.frames, score->film.frames_per_s);
    }
}

/* Where no checkpoint is due yet, an evaluation may still have kept one. */
static bool has_best_alone(const Config *config)
{
    char best[FS_PATH_MAX];
    return config->run_dir[0] != '\0' && strcmp(config->checkpoint, "newest") == 0 &&
           checkpoint_resolve(config->run_dir, "best", best, sizeof best, NULL) == 0;
}

static int evaluate(const Config *config, Err *err)
{
    char checkpoint[FS_PATH_MAX];
    const FilmPlan film = {config->video, (int)config->video_width, (int)config->video_height,
                           (int)config->video_episodes};
    const FilmPlan *wanted = film.path[0] != '\0' ? &film : NULL;
    int code = wanted ? video_check(film.path, film.width, film.height, err) : 0;
    if (code)
        return code;
    code =
        checkpoint_resolve(config->run_dir, config->checkpoint, checkpoint, sizeof checkpoint, err);
    if (code == ERR_MISSING && has_best_alone(config))
        return err_set(err, ERR_MISSING,
                       "there is no regular checkpoint in %.300s yet, but a best one: take it by "
                       "--checkpoint best",
                       config->run_dir);
    if (code)
        return code;
    PolicyTrial trial = {
        .checkpoint = checkpoint,
        .env = config->env,
        .env_options = config->env_options,
        .given = config,
        .episodes = (int)config->episodes,
        .seed = (uint64_t)config->seed,
        .film = wanted,
    };
    PolicyScore score = {0};
    code = policy_score(&trial, &score, err);
    if (code)
        return code;
    if (config->json)
        return report_json(score_json(checkpoint, &score, wanted), err);
    print_score(checkpoint, &score, wanted);
    return 0;
}

int command_eval(int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_EVAL, "polyak eval",
                                 "Runs a trained policy without noise.", argc, argv, &done, &err);
    if (!code && !done)
        code = evaluate(&config, &err);
    if (code == ERR_STOPPED)
        film_raise();
    return code ? report_error("eval", code, &err) : EXIT_DONE;
}
