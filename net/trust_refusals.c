#include "net/trust_refusals.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

enum { SUM_EVERY_MS = 10000, LINE_BYTES = 512 };

static const struct {
    const char *one;  /* "a connection to the uplink is refused: …" */
    const char *many; /* "12 …" */
} words[NUM_REFUSAL_KINDS] = {
    [REFUSED_KEY] = {"its key is not allowed", "with a key that is not allowed"},
    [REFUSED_MECHANISM] = {"it has no key", "without a key"},
    [REFUSED_ROLE] = {"its key does not grant the role actor", "without the role actor"},
    [REFUSED_PLACE] = {"there are too many connections (--peers-max, --peers-per-key-max)",
                       "beyond the limits"},
    [REFUSED_HANDSHAKE] = {"no handshake (no key, the key of another learner, or no Polyak)",
                           "without a sound handshake"},
    [REFUSED_SILENCE] = {"it did not finish its handshake", "that did not finish their handshake"},
};

/* Whether this peer was named for this reason; it is from now on. The oldest makes room. */
static bool is_known(Refusals *refusals, const char *who)
{
    for (int i = 0; i < REFUSALS_KNOWN_MAX; i++) {
        if (strcmp(refusals->known[i], who) == 0)
            return true;
    }
    snprintf(refusals->known[refusals->next++ % REFUSALS_KNOWN_MAX], REFUSALS_WHO_BYTES, "%s", who);
    return false;
}

void refusals_note(Refusals *refusals, RefusalKind kind, const char *where, const char *who)
{
    char entry[REFUSALS_WHO_BYTES];
    refusals->total[kind]++;
    snprintf(entry, sizeof entry, "%d %s %.100s", (int)kind, where, who);
    if (refusals->lines == REFUSALS_LINES_MAX || is_known(refusals, entry)) {
        refusals->unsaid[kind]++;
        return;
    }
    refusals->lines++;
    log_warn("a connection to the %s is refused: %s%s%.100s", where, words[kind].one,
             who[0] ? ": " : "", who);
}

void refusals_tick(Refusals *refusals, int64_t now_ms)
{
    char line[LINE_BYTES] = "";
    size_t length = 0;
    uint64_t sum = 0;
    if (now_ms - refusals->summed_ms < SUM_EVERY_MS)
        return;
    refusals->summed_ms = now_ms;
    refusals->lines = 0;
    for (int i = 0; i < NUM_REFUSAL_KINDS; i++) {
        if (refusals->unsaid[i] == 0)
            continue;
        sum += refusals->unsaid[i];
        length += (size_t)snprintf(line + length, sizeof line - length, "%s%llu %s",
                                   length > 0 ? ", " : "", (unsigned long long)refusals->unsaid[i],
                                   words[i].many);
        refusals->unsaid[i] = 0;
    }
    if (sum > 0)
        log_warn("%llu more connections were refused: %s", (unsigned long long)sum, line);
}
