/* A film of the first episodes of an evaluation, at the environment's own speed: it watches the
 * evaluation, draws the states that become frames, and hands them to a Video. One at a time; for
 * the main thread.
 *
 * While there is a film, SIGINT and SIGTERM end the evaluation with ERR_STOPPED, so that no part of
 * a file is left. */
#ifndef POLYAK_CLI_FILM_H
#define POLYAK_CLI_FILM_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/envs/env_host.h"
#include "common/err.h"

typedef struct FilmPlan {
    const char *path; /* ends in .mp4 or .gif */
    int width;
    int height;
    int episodes;
} FilmPlan;

/* What became of it. */
typedef struct FilmFacts {
    int64_t frames;
    double frames_per_s;
} FilmFacts;

typedef struct Film Film;

/* The options with which an environment can draw: Gymnasium wants to know it when it makes one.
 * Returns `options`, or `text` with more. */
const char *film_env_options(const char *env, const char *options, char *text, size_t text_bytes);

/* A step lasts step_s seconds; 0: unknown, then it is shown as 1/30 s. The errors of video_open().
 */
int film_new(const FilmPlan *plan, double step_s, Film **film, Err *err);

/* An EvaluationWatch whose context is the film. ERR_USAGE when the environment has no picture;
 * ERR_STOPPED, ERR_IO, ERR_ENV. */
int film_watch(void *context, Env *env, int episode, int step, Err *err);

/* ERR_STOPPED once a signal came; for when there is nothing to watch. */
int film_check(const Film *film, Err *err);

/* Set once a signal came; 0 where there is no film. For an environment that is not to be waited for
 * then. */
const volatile sig_atomic_t *film_stop(void);

/* Drawn so far. */
int64_t film_frames(const Film *film);

/* Completes the file, or gives it up. *film is gone after it. */
int film_finish(Film **film, FilmFacts *facts, Err *err);
void film_abandon(Film **film);

/* Ends the program by the signal that stopped the last film, as a caller expects it; returns where
 * there was none. */
void film_raise(void);

/* Every stride-th state is a frame, shown for *frame_s: in real time, with at most 50 in a second.
 */
void film_pace(double step_s, int *stride, double *frame_s);

#endif
