#include "cli/video.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/child.h"
#include "common/fs.h"

enum {
    FRAME_MS = 60000, /* longest wait until ffmpeg takes a part of a frame */
    END_MS = 120000,  /* and until it has written the rest of the file */
    PART_BYTES = FS_PATH_MAX + 32,
};

struct Video {
    Child ffmpeg;
    size_t frame_bytes;
    const volatile sig_atomic_t *stop;
    char path[FS_PATH_MAX];
    char part[PART_BYTES];
};

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), ending_length = strlen(ending);
    return length > ending_length && strcasecmp(path + length - ending_length, ending) == 0;
}

int video_check(const char *path, int width, int height, Err *err)
{
    if (!ends_in(path, ".mp4") && !ends_in(path, ".gif"))
        return err_set(err, ERR_USAGE, "--video %.200s: its name must end in .mp4 or .gif", path);
    if (strlen(path) >= FS_PATH_MAX)
        return err_set(err, ERR_USAGE, "--video %.200s...: the path is too long", path);
    /* Colours are stored for squares of two by two pixels. */
    if (width % 2 != 0 || height % 2 != 0)
        return err_set(err, ERR_USAGE,
                       "--video-width and --video-height must be even, not %d and %d", width,
                       height);
    return ERR_OK;
}

/* Makes the file that ffmpeg will fill, so that a place that cannot be written is found now, and
 * the file has the mode that any new file of this person has. */
static int make_part(Video *video, Err *err)
{
    struct stat status;
    if (stat(video->path, &status) == 0 && S_ISDIR(status.st_mode))
        return err_set(err, ERR_USAGE, "--video %.200s: this is a directory", video->path);
    snprintf(video->part, sizeof video->part, "%s.%d.part", video->path, (int)getpid());
    int fd = open(video->part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(err, ERR_USAGE, "--video %.200s: cannot be written: %s", video->path,
                       strerror(errno));
    close(fd);
    return ERR_OK;
}

static int start_ffmpeg(Video *video, int width, int height, double frame_s, Err *err)
{
    char size[32], rate[48], file[PART_BYTES + 8];
    snprintf(size, sizeof size, "%dx%d", width, height);
    snprintf(rate, sizeof rate, "1000000/%lld", (long long)(frame_s * 1e6 + 0.5));
    snprintf(file, sizeof file, "file:%s", video->part); /* whatever it begins with */
    char *const args_mp4[] = {"ffmpeg",      "-hide_banner", "-loglevel",  "error",    "-nostdin",
                              "-y",          "-f",           "rawvideo",   "-pix_fmt", "rgb24",
                              "-video_size", size,           "-framerate", rate,       "-i",
                              "pipe:0",      "-c:v",         "libx264",    "-pix_fmt", "yuv420p",
                              "-movflags",   "+faststart",   "-f",         "mp4",      file,
                              NULL};
    /* A palette for each frame: one for all frames would hold all of them in memory. */
    char *const args_gif[] = {
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-video_size",
        size,
        "-framerate",
        rate,
        "-i",
        "pipe:0",
        "-filter_complex",
        "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1",
        "-f",
        "gif",
        file,
        NULL};
    int code = child_start(&video->ffmpeg, ends_in(video->path, ".gif") ? args_gif : args_mp4,
                           CHILD_IS_WRITTEN, err);
    if (code == ERR_MISSING)
        return err_set(err, ERR_MISSING,
                       "--video: ffmpeg is not installed: apt-get install ffmpeg");
    return code;
}

int video_open(const char *path, int width, int height, double frame_s,
               const volatile sig_atomic_t *stop, Video **video, Err *err)
{
    *video = NULL;
    int code = video_check(path, width, height, err);
    if (code)
        return code;
    Video *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory for a video");
    self->stop = stop;
    self->frame_bytes = (size_t)width * (size_t)height * 3;
    snprintf(self->path, sizeof self->path, "%s", path);
    code = make_part(self, err);
    if (!code)
        code = start_ffmpeg(self, width, height, frame_s, err);
    if (code)
        video_abandon(&self);
    *video = self;
    return code;
}

void video_abandon(Video **video)
{
    Video *self = *video;
    if (!self)
        return;
    child_kill(&self->ffmpeg);
    if (self->part[0] != '\0')
        (void)unlink(self->part);
    free(self);
    *video = NULL;
}

int video_frame(Video *video, const uint8_t *rgb, Err *err)
{
    return child_write(&video->ffmpeg, rgb, video->frame_bytes, FRAME_MS, video->stop, err);
}

int video_finish(Video **video, Err *err)
{
    Video *self = *video;
    int code = child_end(&self->ffmpeg, END_MS, err);
    if (!code && rename(self->part, self->path) != 0)
        code = err_set(err, ERR_IO, "%.300s cannot be renamed: %s", self->part, strerror(errno));
    if (!code)
        self->part[0] = '\0';
    video_abandon(video);
    return code;
}
