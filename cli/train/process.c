#include "cli/train/process.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/train/lines.h"
#include "common/log.h"

/* How long the output of an ended process may stay open: a grandchild that inherited it could hold
 * it for ever. */
enum { OUTPUT_LINGER_MS = 200 };

typedef struct Output {
    uv_pipe_t pipe;
    Lines lines;
    char bytes[8192];
} Output;

struct Process {
    char name[PROCESS_NAME_MAX + 1];
    uv_process_t handle;
    uv_timer_t linger;
    Output output[2]; /* of its stdout and stderr */
    ProcessEnded ended;
    void *owner;
    ProcessEnd end;
    int outputs_open;
    int handles_open;
    bool exited;
    bool reported;
    bool released;
};

static bool has_time(const char *line)
{
    for (const char *pattern = "dd:dd:dd "; *pattern; pattern++, line++)
        if (*pattern == 'd' ? !isdigit((unsigned char)*line) : *line != *pattern)
            return false;
    return true;
}

static void print_line(void *owner, const char *line)
{
    const Process *self = owner;
    if (has_time(line))
        log_raw(line);
    else if (line[0] != '\0')
        log_info("%s: %s", self->name, line);
}

/* --- Ends --------------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    Process *self = handle->data;
    if (--self->handles_open == 0 && self->released)
        free(self);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_output(Process *self, Output *output)
{
    if (uv_is_closing((uv_handle_t *)&output->pipe))
        return;
    lines_end(&output->lines, print_line, self);
    uv_close((uv_handle_t *)&output->pipe, on_closed);
    self->outputs_open--;
}

static void report_if_ended(Process *self)
{
    if (!self->exited || self->outputs_open > 0 || self->reported)
        return;
    self->reported = true;
    self->ended(self->owner, self, self->end);
}

static void on_linger(uv_timer_t *timer)
{
    Process *self = timer->data;
    close_output(self, &self->output[0]);
    close_output(self, &self->output[1]);
    report_if_ended(self);
}

static void on_exit_of(uv_process_t *handle, int64_t exit_code, int signal_number)
{
    Process *self = handle->data;
    self->end = (ProcessEnd){exit_code, signal_number};
    self->exited = true;
    if (self->outputs_open > 0)
        uv_timer_start(&self->linger, on_linger, OUTPUT_LINGER_MS, 0);
    report_if_ended(self);
}

/* --- Output ------------------------------------------------------------------------------------
 */

static void on_room_wanted(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    (void)suggested_bytes;
    Process *self = handle->data;
    Output *output = &self->output[handle == (uv_handle_t *)&self->output[1].pipe];
    *buffer = uv_buf_init(output->bytes, sizeof output->bytes);
}

static void on_output(uv_stream_t *stream, ssize_t num_bytes, const uv_buf_t *buffer)
{
    Process *self = stream->data;
    Output *output = &self->output[stream == (uv_stream_t *)&self->output[1].pipe];
    if (num_bytes > 0) {
        lines_add(&output->lines, buffer->base, (size_t)num_bytes, print_line, self);
    } else if (num_bytes < 0) {
        close_output(self, output);
        report_if_ended(self);
    }
}

/* --- Start -------------------------------------------------------------------------------------
 */

int process_start(uv_loop_t *loop, const char *name, char **args, ProcessEnded ended, void *owner,
                  Process **process, Err *err)
{
    *process = NULL;
    Process *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory to start %s", name);
    snprintf(self->name, sizeof self->name, "%s", name);
    self->ended = ended;
    self->owner = owner;
    self->handles_open = 4;
    self->outputs_open = 2;
    self->handle.data = self->linger.data = self;
    uv_timer_init(loop, &self->linger);
    for (int i = 0; i < 2; i++) {
        uv_pipe_init(loop, &self->output[i].pipe, 0);
        self->output[i].pipe.data = self;
    }
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, /* libuv opens /dev/null */
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&self->output[0].pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&self->output[1].pipe},
    };
    uv_process_options_t options = {
        .file = args[0],
        .args = args,
        .exit_cb = on_exit_of,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int failed = uv_spawn(loop, &self->handle, &options);
    for (int i = 0; !failed && i < 2; i++)
        failed = uv_read_start((uv_stream_t *)&self->output[i].pipe, on_room_wanted, on_output);
    if (failed) {
        if (self->handle.pid > 0)
            uv_process_kill(&self->handle, SIGKILL);
        process_destroy(&self);
        return err_set(err, ERR_IO, "%s cannot be started: %s: %s", name, args[0],
                       uv_strerror(failed));
    }
    *process = self;
    return 0;
}

void process_destroy(Process **process)
{
    Process *self = *process;
    if (!self)
        return;
    *process = NULL;
    self->released = true;
    close_handle((uv_handle_t *)&self->handle);
    close_handle((uv_handle_t *)&self->linger);
    close_handle((uv_handle_t *)&self->output[0].pipe);
    close_handle((uv_handle_t *)&self->output[1].pipe);
}

void process_signal(Process *process, int signal_number)
{
    if (!process->exited)
        uv_process_kill(&process->handle, signal_number);
}

const char *process_end_text(ProcessEnd end, char *text)
{
    if (end.signal)
        snprintf(text, PROCESS_END_TEXT_MAX + 1, "was killed by signal %d (%s)", end.signal,
                 strsignal(end.signal));
    else if (end.exit_code)
        snprintf(text, PROCESS_END_TEXT_MAX + 1, "failed with exit code %d", (int)end.exit_code);
    else
        snprintf(text, PROCESS_END_TEXT_MAX + 1, "ended");
    return text;
}
