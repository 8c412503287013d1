#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char log_name[32] = "polyak";
static char status_line[512];

void log_set_name(const char *name)
{
    pthread_mutex_lock(&log_mutex);
    snprintf(log_name, sizeof log_name, "%s", name);
    pthread_mutex_unlock(&log_mutex);
}

bool log_is_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

static void draw_status_line(void)
{
    if (status_line[0] == '\0')
        return;
    struct winsize size = {0};
    int columns = 80;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        columns = size.ws_col;
    /* One column less than the terminal has, so that it never wraps. */
    fprintf(stderr, "\r\033[K%.*s", columns - 1, status_line);
    fflush(stderr);
}

static void print_line(const char *line)
{
    if (status_line[0] != '\0')
        fputs("\r\033[K", stderr);
    fprintf(stderr, "%s\n", line);
    draw_status_line();
}

static void log_line(const char *label, const char *format, va_list args)
{
    char text[1024];
    char line[1200];
    vsnprintf(text, sizeof text, format, args);
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    pthread_mutex_lock(&log_mutex);
    snprintf(line, sizeof line, "%02d:%02d:%02d %s: %s%s", local.tm_hour, local.tm_min,
             local.tm_sec, log_name, label, text);
    print_line(line);
    pthread_mutex_unlock(&log_mutex);
}

void log_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line("", format, args);
    va_end(args);
}

void log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line("warning: ", format, args);
    va_end(args);
}

void log_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line("error: ", format, args);
    va_end(args);
}

void log_raw(const char *line)
{
    pthread_mutex_lock(&log_mutex);
    print_line(line);
    pthread_mutex_unlock(&log_mutex);
}

void log_status_line(const char *text)
{
    if (!log_is_terminal())
        return;
    pthread_mutex_lock(&log_mutex);
    if (text) {
        snprintf(status_line, sizeof status_line, "%s", text);
        draw_status_line();
    } else if (status_line[0] != '\0') {
        status_line[0] = '\0';
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    pthread_mutex_unlock(&log_mutex);
}
