/* Statuses on their way out. A Status may have megabytes, anybody may ask, and who asks need not
 * read: so libzmq tells when it has let go of one, sent or dropped, and until then it counts. Of
 * one connection less than a MiB waits when the next one is made, of all together less than 32 MiB.
 * With keys libzmq lets go of one when it encrypts it: then that one is held beside. Owned by the
 * loop thread. */
#ifndef POLYAK_LEARNER_STATUS_OUT_H
#define POLYAK_LEARNER_STATUS_OUT_H

#include <stdbool.h>
#include <stddef.h>

#include "net/router.h"

enum {
    STATUS_OUT_CONNECTION_BYTES = 1 << 20,
    STATUS_OUT_ALL_BYTES = 32 << 20,
    STATUS_OUT_LEAST_BYTES = 16 << 10, /* that each counts for: it bounds their number */
};

typedef struct StatusOut StatusOut;

/* NULL when out of memory. */
StatusOut *status_out_new(void);

/* To be called when the ZeroMQ context is gone: until then messages point into it. */
void status_out_destroy(StatusOut **out);

/* Whether another Status may be sent to this link. A relay's channels are one connection. */
bool status_out_fits(StatusOut *out, Link link);

/* Sends it, as router_send() does; ERR_NOMEM. */
int status_out_send(StatusOut *out, Router *router, Link link, const Message *message);

/* What waits now. */
size_t status_out_bytes(StatusOut *out);

#endif
