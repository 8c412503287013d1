/* What `polyak status` shows of a status: nothing is cut that says why, and faults of environments
 * are named where there were some. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/status_show.h"

enum { PAGE_BYTES = 1 << 14, PAGE_COLUMNS = 120 };

static char page[PAGE_BYTES];

/* The page that it prints. */
static const char *show(const RunStatus *status)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int old = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    status_print(status);
    fflush(stdout);
    assert_true(dup2(old, STDOUT_FILENO) >= 0);
    close(old);
    rewind(file);
    size_t bytes = fread(page, 1, sizeof page - 1, file);
    assert_true(bytes < sizeof page - 1);
    page[bytes] = '\0';
    fclose(file);
    return page;
}

/* Makes all white space single blanks: where lines are broken is for another test. */
static void words(char *text)
{
    char *end = text;
    for (const char *at = text; *at; at++) {
        bool blank = isspace((unsigned char)*at);
        if (!blank || (end > text && end[-1] != ' '))
            *end++ = blank ? ' ' : *at;
    }
    *end = '\0';
}

static RunStatus some_status(ActorStatus *actor)
{
    *actor = (ActorStatus){.actor_index = 3, .name = "node7/0", .num_envs = 2, .env_steps = 640};
    return (RunStatus){.env = "pendulum",
                       .phase = "training",
                       .return_mean = NAN,
                       .eval_return = NAN,
                       .best_return = NAN,
                       .seconds_left = NAN,
                       .num_actors = 1,
                       .actors = actor};
}

static void test_a_run_without_faults_says_nothing_of_them(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    show(&status);
    assert_non_null(strstr(page, "pendulum: training\n"));
    assert_non_null(strstr(page, "node7/0"));
    assert_null(strstr(page, "faults"));
    assert_null(strstr(page, "dropped"));
}

static void test_faults_are_named_for_the_run_and_for_each_actor(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    actor.faults = (EnvFaults){{12, 3, 0, 1, 0}};
    actor.dropped_steps = 16;
    strcpy(actor.last_fault, "environment 1: worker 4711 ended with signal 11");
    status.faults = (EnvFaults){{1200, 3, 2, 1, 5}};
    strcpy(status.last_fault, "node7/0: environment 1: worker 4711 ended with signal 11");
    show(&status);
    words(page);
    assert_non_null(strstr(page,
                           "faults 1,200 diverged, 3 not finite, 2 lost by an error in a worker, "
                           "1 lost with a worker that died, 5 lost with a worker that hung; "
                           "last: node7/0: environment 1: worker 4711 ended with signal 11"));
    assert_non_null(strstr(page,
                           "faults 12 diverged, 3 not finite, 1 lost with a worker that died; "
                           "last: environment 1: worker 4711 ended with signal 11"));
    assert_non_null(strstr(page, "16 steps"));
}

/* Characters of the longest line. */
static int widest(const char *text)
{
    int width = 0;
    int most = 0;
    for (; *text; text++) {
        width = *text == '\n' ? 0 : width + (((unsigned char)*text & 0xC0) != 0x80);
        most = width > most ? width : most;
    }
    return most;
}

static void test_a_long_alarm_goes_on_in_the_next_line(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    status.num_alarms = 2;
    snprintf(
        status.alarms[0], sizeof status.alarms[0],
        "the replay log fails: /srv/runs/%060d/replay/segments-000017.log: no space is left on "
        "the device: free some, and it goes on by itself",
        7);
    strcpy(status.alarms[1], "short");
    show(&status);
    assert_memory_equal(page, "ALARM: the replay log fails:", 28);
    assert_non_null(strstr(page, "it goes on by itself\nALARM: short\n"));
    assert_null(strstr(page, "..."));
    assert_true(widest(page) <= PAGE_COLUMNS);
    assert_non_null(strstr(page, "\n       ")); /* under the text */
}

static void test_words_longer_than_the_page_are_whole(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    status.num_alarms = 1;
    memset(status.alarms[0], 'x', STATUS_TEXT_MAX - 1);
    memcpy(status.alarms[0] + 9, " ", 1);
    memcpy(status.alarms[0] + STATUS_TEXT_MAX - 4, " é", 3);
    show(&status);
    assert_memory_equal(page, "ALARM: xxxxxxxxx\n       xxx", 27);
    assert_non_null(strstr(page, "x\n       é\n"));
}

static void test_names_are_told_from_each_other_by_their_ends(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    strcpy(actor.name, "polyak-actor-7c9d8b6f5-abcde-in-a-long-name/17");
    show(&status);
    assert_non_null(strstr(page, " polyak-actor-7c9d8b6f5-abcde-in-a-long-name/17 "));
    strcpy(actor.name, "polyak-actor-of-a-name-that-is-longer-than-any-column-7c9d8-x7z");
    show(&status);
    assert_non_null(strstr(page, " polyak-actor-of-a-name..."));
    assert_non_null(strstr(page, "column-7c9d8-x7z "));
    strcpy(actor.name, "short");
    show(&status);
    assert_true(widest(page) <= PAGE_COLUMNS);
}

static void test_refusals_are_attempts(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    status.refused_peers = 1234;
    show(&status);
    assert_non_null(strstr(page, "  refused     1,234 attempts to join"));
}

static void test_relays_are_shown_where_there_are_some(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    show(&status);
    assert_null(strstr(page, "relays"));
    assert_null(strstr(page, "via"));
    status.relays = 2;
    strcpy(actor.via, "rack1");
    show(&status);
    assert_non_null(strstr(page, "  relays      2 connected\n"));
    words(page);
    assert_non_null(strstr(page, "via rack1"));
    json_t *json = status_json(&status);
    int relays = 0;
    const char *via = NULL;
    assert_int_equal(
        json_unpack(json, "{s:i, s:[{s:s}]}", "relays", &relays, "actors", "via", &via), 0);
    assert_int_equal(relays, 2);
    assert_string_equal(via, "rack1");
    json_decref(json);
}

static void test_json_has_the_faults_of_the_run_and_of_each_actor(void **state)
{
    (void)state;
    ActorStatus actor;
    RunStatus status = some_status(&actor);
    actor.faults = (EnvFaults){{1, 2, 3, 4, 5}};
    strcpy(actor.last_fault, "it hung");
    status.faults = (EnvFaults){{10, 0, 0, 0, 50}};
    strcpy(status.last_fault, "node7/0: it hung");
    json_t *json = status_json(&status);
    assert_non_null(json);
    int diverged = 0, not_finite = 0, raised = 0, died = 0, hung = 0;
    const char *last = NULL;
    assert_int_equal(json_unpack(json, "{s:s, s:{s:i, s:i}}", "last_fault", &last, "faults",
                                 "diverged", &diverged, "hung", &hung),
                     0);
    assert_string_equal(last, "node7/0: it hung");
    assert_int_equal(diverged, 10);
    assert_int_equal(hung, 50);
    assert_int_equal(json_unpack(json, "{s:[{s:s, s:{s:i, s:i, s:i, s:i, s:i !}}]}", "actors",
                                 "last_fault", &last, "faults", "diverged", &diverged, "not_finite",
                                 &not_finite, "raised", &raised, "died", &died, "hung", &hung),
                     0);
    assert_string_equal(last, "it hung");
    assert_true(diverged == 1 && not_finite == 2 && raised == 3 && died == 4 && hung == 5);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_without_faults_says_nothing_of_them),
        cmocka_unit_test(test_faults_are_named_for_the_run_and_for_each_actor),
        cmocka_unit_test(test_a_long_alarm_goes_on_in_the_next_line),
        cmocka_unit_test(test_words_longer_than_the_page_are_whole),
        cmocka_unit_test(test_names_are_told_from_each_other_by_their_ends),
        cmocka_unit_test(test_refusals_are_attempts),
        cmocka_unit_test(test_relays_are_shown_where_there_are_some),
        cmocka_unit_test(test_json_has_the_faults_of_the_run_and_of_each_actor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
