#include "cli/film.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/video.h"

enum { STRIDE_MAX = 1000000 };
static const double frame_s_min = 1.0 / 50, frame_s_unknown = 1.0 / 30;

struct Film {
    Video *video;
    uint8_t *rgb; /* (height, width, 3) */
    int width;
    int height;
    int episodes;
    int stride;
    double frame_s;
    int64_t frames;
    struct sigaction before[2]; /* what SIGINT and SIGTERM did */
};

/* --- Signals -----------------------------------------------------------------------------------
 */

static const int signals[2] = {SIGINT, SIGTERM};
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void catch_signals(Film *film)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits end early */
    stop_signal = 0;
    for (int i = 0; i < 2; i++)
        sigaction(signals[i], &action, &film->before[i]);
}

static void leave_signals(const Film *film)
{
    for (int i = 0; i < 2; i++)
        sigaction(signals[i], &film->before[i], NULL);
}

void film_raise(void)
{
    if (stop_signal == 0)
        return;
    signal(stop_signal, SIG_DFL);
    raise(stop_signal);
}

int film_check(const Film *film, Err *err)
{
    (void)film;
    return stop_signal ? err_set(err, ERR_STOPPED, "stopped") : ERR_OK;
}

const volatile sig_atomic_t *film_stop(void)
{
    return &stop_signal;
}

const char *film_env_options(const char *env, const char *options, char *text, size_t text_bytes)
{
    static const char scheme[] = "gymnasium:";
    if (strncmp(env, scheme, strlen(scheme)) != 0 || strstr(options, "render_mode="))
        return options;
    snprintf(text, text_bytes, "%s%srender_mode=rgb_array", options, options[0] ? "," : "");
    return text;
}

/* --- Frames ------------------------------------------------------------------------------------
 */

void film_pace(double step_s, int *stride, double *frame_s)
{
    *stride = 1;
    *frame_s = frame_s_unknown;
    if (step_s <= 0.0)
        return;
    /* A step of exactly 1/50 s must not become two by rounding. */
    double wanted = ceil(frame_s_min / step_s - 1e-6);
    *stride = (int)fmin(fmax(wanted, 1.0), STRIDE_MAX);
    *frame_s = step_s * *stride;
}

int film_new(const FilmPlan *plan, double step_s, Film **film, Err *err)
{
    *film = NULL;
    Film *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory for a film");
    self->width = plan->width;
    self->height = plan->height;
    self->episodes = plan->episodes;
    film_pace(step_s, &self->stride, &self->frame_s);
    catch_signals(self);
    self->rgb = calloc((size_t)plan->width * (size_t)plan->height, 3);
    int code = self->rgb ? video_open(plan->path, plan->width, plan->height, self->frame_s,
                                      &stop_signal, &self->video, err)
                         : err_set(err, ERR_NOMEM, "not enough memory for a picture");
    if (code)
        film_abandon(&self);
    *film = self;
    return code;
}

int film_watch(void *context, Env *env, int episode, int step, Err *err)
{
    Film *film = context;
    int code = film_check(film, err);
    if (code || episode >= film->episodes || step % film->stride != 0)
        return code;
    code = env_render(env, film->rgb, film->width, film->height, err);
    if (code == ERR_MISSING) {
        Err reason = *err;
        return err_set(err, ERR_USAGE, "--video: %.400s", reason.text);
    }
    if (!code)
        code = video_frame(film->video, film->rgb, err);
    film->frames += code == 0;
    return code;
}

int64_t film_frames(const Film *film)
{
    return film->frames;
}

int film_finish(Film **film, FilmFacts *facts, Err *err)
{
    Film *self = *film;
    *facts = (FilmFacts){.frames = self->frames, .frames_per_s = 1.0 / self->frame_s};
    int code = video_finish(&self->video, err);
    film_abandon(film);
    return code;
}

void film_abandon(Film **film)
{
    Film *self = *film;
    if (!self)
        return;
    video_abandon(&self->video);
    leave_signals(self);
    free(self->rgb);
    free(self);
    *film = NULL;
}
