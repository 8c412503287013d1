#include "cli/asking.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"

enum { POLL_MS = 100 };

/* "@FILE" stands for the endpoint in the first line of FILE. */
static int resolve_endpoint(const char *connect, char *endpoint, size_t endpoint_bytes, Err *err)
{
    if (connect[0] != '@') {
        if (strlen(connect) >= endpoint_bytes)
            return err_set(err, ERR_USAGE, "--connect is too long for an endpoint");
        memcpy(endpoint, connect, strlen(connect) + 1);
        return 0;
    }
    char *text = NULL;
    size_t num_bytes = 0;
    int code = fs_read_file(connect + 1, endpoint_bytes - 1, &text, &num_bytes, err);
    if (code)
        return code;
    snprintf(endpoint, endpoint_bytes, "%.*s", (int)strcspn(text, " \t\r\n"), text);
    free(text);
    return 0;
}

int asking_open(Asking *asking, const Config *config, const char *name, Err *err)
{
    asking->observer = NULL;
    int code = resolve_endpoint(config->connect, asking->endpoint, sizeof asking->endpoint, err);
    if (code)
        return code;
    DialKeys keys;
    code = dialing_read_keys(config->key, config->learner_key, &keys, err);
    if (!code)
        code = observer_new(asking->endpoint, name, &keys, &asking->observer, err);
    dialing_forget_keys(&keys);
    return code;
}

void asking_close(Asking *asking)
{
    observer_destroy(&asking->observer);
}

static int give_up(const Asking *asking, Err *err)
{
    const char *trouble = observer_trouble(asking->observer);
    return err_set(err, ERR_NET, "no learner answers at %s within %d s%s%s", asking->endpoint,
                   ASKING_ANSWER_MS / 1000, trouble ? ": " : "", trouble ? trouble : "");
}

/* Waits for a status, or for an outcome where an order was given. */
static int await(Asking *asking, const RunStatus **status, const Outcome **outcome, Err *err)
{
    int64_t deadline_ms = clock_ms() + ASKING_ANSWER_MS;
    for (;;) {
        int code = observer_advance(asking->observer, clock_ms(), status, err);
        if (outcome)
            *outcome = observer_outcome(asking->observer);
        if (code || (outcome ? *outcome != NULL : *status != NULL))
            return code;
        if (clock_ms() >= deadline_ms)
            return give_up(asking, err);
        struct pollfd readable = {.fd = observer_fd(asking->observer), .events = POLLIN};
        poll(&readable, 1, POLL_MS);
    }
}

int asking_status(Asking *asking, const RunStatus **status, Err *err)
{
    observer_ask(asking->observer);
    return await(asking, status, NULL, err);
}

int asking_order(Asking *asking, const Message *order, const Outcome **outcome, Err *err)
{
    const RunStatus *status = NULL;
    observer_order(asking->observer, order);
    return await(asking, &status, outcome, err);
}

/* Whether the next word is this one's value: of the flags of these commands, only those named here
 * have none, or have it behind '='. */
static bool takes_next_word(const char *word)
{
    static const char *const alone[] = {"--json", "--help", "--version"};
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        if (strcmp(word, alone[i]) == 0)
            return false;
    }
    return !strchr(word, '=');
}

const char *asking_word(int *argc, char ***argv)
{
    int i = 1;
    while (i < *argc && (*argv)[i][0] == '-')
        i += takes_next_word((*argv)[i]) ? 2 : 1;
    if (i >= *argc)
        return NULL;
    const char *word = (*argv)[i];
    for (; i > 0; i--)
        (*argv)[i] = (*argv)[i - 1];
    ++*argv;
    --*argc;
    return word;
}
