/* A video file that is written frame by frame, by ffmpeg in a process of its own. Belongs to one
 * thread.
 *
 * The file appears under its name when it is complete, and not before: until then it is
 * NAME.PID.part beside it, which goes when anything fails. */
#ifndef POLYAK_CLI_VIDEO_H
#define POLYAK_CLI_VIDEO_H

#include <signal.h>
#include <stdint.h>

#include "common/err.h"

typedef struct Video Video;

/* ERR_USAGE unless the name ends in .mp4 or .gif and both sides are even. */
int video_check(const char *path, int width, int height, Err *err);

/* Starts ffmpeg. `frame_s` is the time that one frame is shown. Once *stop is set, nothing waits
 * any more. ERR_USAGE (video_check(); a place that cannot be written), ERR_MISSING (no ffmpeg),
 * ERR_IO, ERR_NOMEM. */
int video_open(const char *path, int width, int height, double frame_s,
               const volatile sig_atomic_t *stop, Video **video, Err *err);

/* Adds a frame: rgb (height, width, 3), rows from the top. ERR_IO with ffmpeg's own words,
 * ERR_STOPPED. */
int video_frame(Video *video, const uint8_t *rgb, Err *err);

/* Completes the file under its name. ERR_IO with ffmpeg's own words. *video is gone after it. */
int video_finish(Video **video, Err *err);

/* Gives it up: nothing is left of it. Does nothing for NULL. */
void video_abandon(Video **video);

#endif
