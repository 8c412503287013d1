/* What is said in the log of connections that were refused: a line for each peer that is new, and
 * a sum at most every 10 s of all others. So a thousand knocks a second are a line, and the first
 * ones have names. Owned by the loop thread. */
#ifndef POLYAK_NET_TRUST_REFUSALS_H
#define POLYAK_NET_TRUST_REFUSALS_H

#include <stdint.h>

typedef enum RefusalKind {
    REFUSED_KEY,       /* not in the table */
    REFUSED_MECHANISM, /* not CURVE */
    REFUSED_ROLE,      /* no weights for this key */
    REFUSED_PLACE,     /* too many connections */
    REFUSED_HANDSHAKE, /* no handshake of ours: plain text, another learner's key, no ZeroMQ */
    REFUSED_SILENCE,   /* it went away or said nothing */
    NUM_REFUSAL_KINDS,
} RefusalKind;

enum { REFUSALS_KNOWN_MAX = 256, REFUSALS_WHO_BYTES = 128, REFUSALS_LINES_MAX = 10 };

/* A plain value; zero is "nothing refused yet". */
typedef struct Refusals {
    char known[REFUSALS_KNOWN_MAX][REFUSALS_WHO_BYTES]; /* peers that were named */
    uint32_t next;                                      /* place for the next one */
    uint32_t lines;                                     /* since the last sum */
    uint64_t unsaid[NUM_REFUSAL_KINDS];
    uint64_t total[NUM_REFUSAL_KINDS];
    int64_t summed_ms;
} Refusals;

/* A connection to `where` (such as "weights") was refused; `who` is empty where it is not known. */
void refusals_note(Refusals *refusals, RefusalKind kind, const char *where, const char *who);

/* Says the sum when it is due. */
void refusals_tick(Refusals *refusals, int64_t now_ms);

#endif
