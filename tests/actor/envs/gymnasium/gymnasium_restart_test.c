/* The life of a Python worker: started again, what it prints, and that nothing is left behind. */
#include "gymnasium_fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

/* --- Starting again --------------------------------------------------------------------------- */

static void test_a_worker_is_started_again_in_the_background(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 2, "");
    reset(f, 0, 1);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    reset_begin(f, 0, 4);
    reset_begin(f, 1, 5);
    assert_int_equal(finish(f, 0, 0), ERR_AGAIN);
    assert_int_equal(finish(f, 1, 1), ERR_AGAIN);
    finish_ok(f, 1);
    finish_ok(f, 0);
    assert_true(f->obs[0][1] == 4.0f && f->obs[1][1] == 5.0f);
    assert_logged(f, "gymnasium:Count-v0: starting the Python worker again (1 of 5 in a minute)\n");
    assert_logged(f, "gymnasium:Count-v0: the Python worker is ready again, after ");
}

static void test_too_many_starts_in_a_minute_are_given_up(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 3;
    open_count(f, 2, "fault=raise,at=0");
    for (int i = 0; i < 4; i++) {
        reset_begin(f, 0, 1);
        assert_lost(f, 0, ENV_FAULT_RAISED);
    }
    for (int lane = 0; lane < 2; lane++) {
        assert_int_equal(backend->reset_begin(f->lanes[lane], 1, &f->err), ERR_ENV);
        assert_string_equal(f->err.text,
                            "the Python worker of gymnasium:Count-v0 ended 4 times within a "
                            "minute, the last time: reset raised ValueError: the joint is broken "
                            "(environment 0) (--env-restarts-max 3)");
    }
}

static void test_a_worker_is_not_started_again_where_none_may_be(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 0;
    open_count(f, 1, "");
    reset(f, 0, 1);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    assert_int_equal(backend->reset_begin(f->lanes[0], 1, &f->err), ERR_ENV);
    assert_non_null(strstr(f->err.text, "ended 1 time within a minute, the last time: the Python "
                                        "worker was killed by signal 9 (Killed)"));
}

static void test_a_start_that_fails_may_be_repeated(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "");
    reset(f, 0, 1);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    setenv("PYTHONPATH", f->directory, 1);
    char command[128];
    snprintf(command, sizeof command, "echo 'raise ImportError(\"away\")' >%s/gymnasium.py",
             f->directory);
    int rc = system(command);
    reset_begin(f, 0, 1);
    setenv("PYTHONPATH", HERE "/stub", 1);
    assert_int_equal(rc, 0);
    assert_lost(f, 0, ENV_FAULT_RAISED);
    assert_non_null(strstr(f->err.text, "cannot import gymnasium (ImportError: away)"));
    reset(f, 0, 1);
    step_ok(f, 0);
}

static void test_another_environment_under_the_same_name_is_refused(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "grows=@/grown");
    reset(f, 0, 1);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    char path[96];
    snprintf(path, sizeof path, "%s/grown", f->directory);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    reset_begin(f, 0, 1);
    assert_int_equal(finish(f, 0, FOREVER), ERR_ENV);
    assert_string_equal(f->err.text,
                        "gymnasium:Count-v0 is another environment since its worker was started "
                        "again: the run has obs_dim 4 and act_dim 2, not 5 and 2");
    assert_int_equal(backend->reset_begin(f->lanes[0], 1, &f->err), ERR_ENV);
}

static void test_a_python_that_has_gone_is_an_error_of_the_environment(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    char path[96], command[256];
    snprintf(path, sizeof path, "%s/python", f->directory);
    snprintf(command, sizeof command, "ln -s \"$(%s -c 'import sys; print(sys.executable)')\" %s",
             test_python, path);
    assert_int_equal(system(command), 0);
    f->setup.python = path;
    open_count(f, 1, "");
    reset(f, 0, 1);
    unlink(path);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    assert_int_equal(backend->reset_begin(f->lanes[0], 1, &f->err), ERR_ENV);
    assert_non_null(strstr(f->err.text, "cannot be run (No such file or directory)"));
}

/* --- What it prints --------------------------------------------------------------------------- */

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void test_what_it_prints_is_logged(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "say=now at step");
    reset(f, 0, 1);
    for (int i = 0; i < 3; i++)
        step_ok(f, 0);
    close_kind(f);
    assert_logged(f, "gymnasium:Count-v0: now at step 1\n");
    assert_logged(f, "gymnasium:Count-v0: now at step 3\n");
}

static void test_a_flood_is_bounded_and_counted(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=flood");
    reset(f, 0, 1);
    step_ok(f, 0);
    step_ok(f, 0);
    close_kind(f);
    assert_logged(f, "gymnasium:Count-v0: line 0\n");
    assert_logged(f, " lines left out)\n");
    assert_in_range(count_lines(log_of(f)), 60, 300);
}

static void test_a_long_line_is_cut_and_an_unfinished_one_is_logged(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=long");
    reset(f, 0, 1);
    step_ok(f, 0);
    close_kind(f);
    assert_logged(f, "xxxxx");
    assert_logged(f, "gymnasium:Count-v0: tab here, no end\n");
    assert_true(strlen(log_of(f)) < 1000);
}

/* --- Nothing is left behind ------------------------------------------------------------------- */

static pid_t first_pid(const Fixture *f)
{
    char path[96], line[32] = "";
    snprintf(path, sizeof path, "%s/starts", f->directory);
    for (int64_t end_ms = clock_ms() + DEADLINE_MS; !strchr(line, '\n'); usleep(1000)) {
        FILE *file = fopen(path, "r");
        if (file && !fgets(line, sizeof line, file))
            line[0] = '\0';
        if (file)
            fclose(file);
        assert_true(clock_ms() < end_ms);
    }
    return (pid_t)strtol(line, NULL, 10);
}

/* Opens, and steps for ever in an environment that hangs; does not return. */
static void be_an_actor(Fixture *f, const char *options)
{
    alarm(DEADLINE_MS / 1000);
    if (try_open(f, "Count-v0", 1, options) == ERR_OK) {
        backend->create(f->kind, &f->lanes[0], &f->err);
        backend->reset_begin(f->lanes[0], 1, &f->err);
        finish(f, 0, FOREVER);
        step_begin(f, 0, 0, 0);
        finish(f, 0, FOREVER);
    }
    for (;;)
        pause();
}

static void test_a_worker_dies_with_an_actor_that_is_killed(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    const char *const options[] = {"starts=@/starts", "starts=@/starts,fault=hang",
                                   "starts=@/starts,fault=hang,at=-1"};
    for (int i = 0; i < 3; i++) {
        pid_t actor = fork();
        if (actor == 0)
            be_an_actor(f, options[i]);
        pid_t worker = first_pid(f);
        usleep(200000); /* so that it is in the middle of it */
        assert_true(is_running(worker));
        kill(actor, SIGKILL);
        waitpid(actor, NULL, 0);
        assert_ends(worker);
        char path[96];
        snprintf(path, sizeof path, "%s/starts", f->directory);
        unlink(path);
    }
}

static void test_closing_closes_the_environments_and_ends_the_worker(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 3, "closed=@/closed");
    reset(f, 0, 1);
    pid_t pid = worker_pid(f, 0);
    close_kind(f);
    assert_false(is_running(pid));
    assert_int_equal(kill(pid, 0), -1); /* not even its exit code */
    char path[96], text[64] = "";
    snprintf(path, sizeof path, "%s/closed", f->directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text, file), 3 * strlen("closed\n"));
    fclose(file);
}

static void test_closing_does_not_wait_for_a_worker_that_hangs(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=hang");
    reset(f, 0, 1);
    pid_t pid = worker_pid(f, 0);
    step_begin(f, 0, 0, 0);
    assert_int_equal(finish(f, 0, 50), ERR_AGAIN);
    close_kind(f);
    assert_false(is_running(pid));
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_no_descriptor_leaks_into_the_worker_nor_stays_here(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    int before = open_descriptors();
    int leaky = open("/dev/zero", O_RDONLY); // NOLINT(android-cloexec-open)
    open_count(f, 1, "");
    reset(f, 0, 1);
    char command[160];
    snprintf(command, sizeof command, "ls -l /proc/%d/fd | grep -q /dev/zero",
             (int)worker_pid(f, 0));
    assert_int_not_equal(system(command), 0);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    reset(f, 0, 1);
    close_kind(f);
    close(leaky);
    assert_int_equal(open_descriptors(), before);
}

static void test_signals_to_all_processes_at_once_are_the_actors_to_heed(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "");
    reset(f, 0, 1);
    pid_t pid = worker_pid(f, 0);
    assert_int_equal(getpgid(pid), pid);
    kill(pid, SIGINT);
    kill(pid, SIGTERM);
    for (int i = 0; i < 20; i++)
        step_ok(f, 0);
    assert_int_equal(worker_pid(f, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_a_worker_is_started_again_in_the_background),
        UNIT(test_too_many_starts_in_a_minute_are_given_up),
        UNIT(test_a_worker_is_not_started_again_where_none_may_be),
        UNIT(test_a_start_that_fails_may_be_repeated),
        UNIT(test_another_environment_under_the_same_name_is_refused),
        UNIT(test_a_python_that_has_gone_is_an_error_of_the_environment),
        UNIT(test_what_it_prints_is_logged),
        UNIT(test_a_flood_is_bounded_and_counted),
        UNIT(test_a_long_line_is_cut_and_an_unfinished_one_is_logged),
        UNIT(test_a_worker_dies_with_an_actor_that_is_killed),
        UNIT(test_closing_closes_the_environments_and_ends_the_worker),
        UNIT(test_closing_does_not_wait_for_a_worker_that_hangs),
        UNIT(test_no_descriptor_leaks_into_the_worker_nor_stays_here),
        UNIT(test_signals_to_all_processes_at_once_are_the_actors_to_heed),
    };
    return cmocka_run_group_tests(tests, find_python, NULL);
}
