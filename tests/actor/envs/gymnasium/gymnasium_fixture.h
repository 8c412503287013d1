/* A kind of environments in a Python worker, which imports the Gymnasium in stub/, and what this
 * process says meanwhile: for the tests of the backend. They need a Python with NumPy:
 * $POLYAK_TEST_PYTHON, python3 or /usr/bin/python3. */
#ifndef POLYAK_TESTS_ACTOR_ENVS_GYMNASIUM_FIXTURE_H
#define POLYAK_TESTS_ACTOR_ENVS_GYMNASIUM_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "actor/envs/gymnasium/gymnasium.h"
#include "common/clock.h"

#define HERE POLYAK_SOURCE_DIR "/tests/actor/envs/gymnasium"

enum { LANES_MAX = 8, DIM_MAX = 8, FOREVER = -1, DEADLINE_MS = 60000, LOG_BYTES = 1 << 20 };

typedef struct Fixture {
    EnvSetup setup;
    char options[512];
    char directory[64];
    char log_path[96];
    char log[LOG_BYTES];
    int stderr_fd; /* the real one, while a test runs */
    void *kind;
    Spec spec;
    void *lanes[LANES_MAX];
    float obs[LANES_MAX][DIM_MAX];
    PolyakEnvResult result;
    EnvFault fault;
    Err err;
} Fixture;

static const EnvBackend *const backend = &gymnasium_backend;
static const char *test_python;

/* --- What a test needs ------------------------------------------------------------------------ */

static inline bool has_numpy(const char *python)
{
    char command[256];
    snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", python);
    return system(command) == 0;
}

/* For a group: finds Python, and has it import the stub. */
static inline int find_python(void **state)
{
    (void)state;
    const char *const candidates[] = {getenv("POLYAK_TEST_PYTHON"), "python3", "/usr/bin/python3"};
    setenv("PYTHONPATH", HERE "/stub", 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0] && !test_python; i++) {
        if (candidates[i] && has_numpy(candidates[i]))
            test_python = candidates[i];
    }
    if (!test_python)
        print_message("SKIPPED: no Python with NumPy: install python3-numpy, or set "
                      "POLYAK_TEST_PYTHON\n");
    return 0;
}

/* For a test: a directory of its own, and a log in it. */
static inline int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->stderr_fd = -1;
    f->setup = (EnvSetup){.num_envs = 1,
                          .python = test_python,
                          .options = f->options,
                          .step_timeout_ms = 20000,
                          .restarts_max = 5};
    strcpy(f->directory, "/tmp/polyak-gymnasium-XXXXXX");
    if (!mkdtemp(f->directory))
        return -1;
    snprintf(f->log_path, sizeof f->log_path, "%s/log", f->directory);
    fflush(stderr);
    f->stderr_fd = dup(STDERR_FILENO);
    return freopen(f->log_path, "a", stderr) ? 0 : -1;
}

/* What was logged so far. */
static inline const char *log_of(Fixture *f)
{
    fflush(stderr);
    FILE *file = fopen(f->log_path, "r");
    assert_non_null(file);
    f->log[fread(f->log, 1, sizeof f->log - 1, file)] = '\0';
    fclose(file);
    return f->log;
}

static inline void assert_logged(Fixture *f, const char *text)
{
    if (!strstr(log_of(f), text))
        fail_msg("not logged: %s\nbut: %s", text, f->log);
}

static inline void close_kind(Fixture *f)
{
    for (int i = 0; i < LANES_MAX; i++) {
        if (f->lanes[i])
            backend->destroy(f->lanes[i]);
        f->lanes[i] = NULL;
    }
    if (f->kind)
        backend->close(f->kind);
    f->kind = NULL;
}

static inline int tear_down(void **state)
{
    Fixture *f = *state;
    close_kind(f);
    log_of(f);
    dup2(f->stderr_fd, STDERR_FILENO);
    close(f->stderr_fd);
    fputs(f->log, stderr); /* cmocka has told there what is wrong */
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->directory);
    int rc = system(command);
    free(f);
    return rc;
}

#define NEEDS_PYTHON()                                                                             \
    do {                                                                                           \
        if (!test_python)                                                                          \
            skip();                                                                                \
    } while (0)

#define UNIT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* --- Opening ---------------------------------------------------------------------------------- */

/* Each @ of the options stands for the test's directory. */
static inline int try_open(Fixture *f, const char *id, int num_envs, const char *options)
{
    size_t used = 0;
    for (; *options; options++) {
        if (*options == '@')
            used +=
                (size_t)snprintf(f->options + used, sizeof f->options - used, "%s", f->directory);
        else
            f->options[used++] = *options;
        assert_true(used + 1 < sizeof f->options);
    }
    f->options[used] = '\0';
    f->setup.num_envs = num_envs;
    return gymnasium_open(&f->setup, id, &f->kind, &f->spec, &f->err);
}

static inline void open_id(Fixture *f, const char *id, int num_envs, const char *options)
{
    if (try_open(f, id, num_envs, options) != ERR_OK)
        fail_msg("%s", f->err.text);
    for (int i = 0; i < num_envs; i++)
        assert_int_equal(backend->create(f->kind, &f->lanes[i], &f->err), ERR_OK);
}

static inline void open_count(Fixture *f, int num_envs, const char *options)
{
    open_id(f, "Count-v0", num_envs, options);
}

/* --- Episodes --------------------------------------------------------------------------------- */

static inline void reset_begin(Fixture *f, int lane, uint64_t seed)
{
    assert_int_equal(backend->reset_begin(f->lanes[lane], seed, &f->err), ERR_OK);
}

static inline void step_begin(Fixture *f, int lane, float a0, float a1)
{
    const float action[] = {a0, a1, 0, 0};
    assert_int_equal(backend->step_begin(f->lanes[lane], action, &f->err), ERR_OK);
}

static inline int finish(Fixture *f, int lane, int timeout_ms)
{
    f->result = (PolyakEnvResult){0};
    return backend->finish(f->lanes[lane], timeout_ms, f->obs[lane], &f->result, &f->fault,
                           &f->err);
}

static inline void finish_ok(Fixture *f, int lane)
{
    if (finish(f, lane, FOREVER) != ERR_OK)
        fail_msg("lane %d: %s", lane, f->err.text);
}

static inline void reset(Fixture *f, int lane, uint64_t seed)
{
    reset_begin(f, lane, seed);
    finish_ok(f, lane);
}

static inline int step(Fixture *f, int lane)
{
    step_begin(f, lane, 0.5f, 0.25f);
    return finish(f, lane, FOREVER);
}

static inline void step_ok(Fixture *f, int lane)
{
    step_begin(f, lane, 0.5f, 0.25f);
    finish_ok(f, lane);
}

/* What Count-v0 observes. */
static inline pid_t worker_pid(const Fixture *f, int lane)
{
    return (pid_t)f->obs[lane][2];
}

/* Whether there is such a process, and not only its exit code. */
static inline bool is_running(pid_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state != 'Z';
}

static inline void assert_ends(pid_t pid)
{
    for (int64_t end_ms = clock_ms() + DEADLINE_MS; is_running(pid); usleep(1000)) {
        if (clock_ms() > end_ms)
            fail_msg("process %d lives on", (int)pid);
    }
}

/* --- Trouble -----------------------------------------------------------------------------------
 */

static inline void assert_lost(Fixture *f, int lane, EnvFault fault)
{
    int code = finish(f, lane, FOREVER);
    if (code != ERR_LOST)
        fail_msg("lane %d: %d, not lost: %s", lane, code, code ? f->err.text : "");
    assert_int_equal(f->fault, fault);
}

static inline void kill_worker(pid_t pid)
{
    assert_true(pid > 1);
    kill(pid, SIGKILL);
    for (int64_t end_ms = clock_ms() + DEADLINE_MS; is_running(pid); usleep(1000))
        assert_true(clock_ms() < end_ms);
}

#endif
