/* Who may connect: the learner's key, the directory of allowed keys, what ZAP is answered, and what
 * is known of those who knock (docs/security.md). With keys, nobody comes in whose key is not in
 * the table, and nobody at all while the table cannot be asked. Owned by the loop thread; only the
 * directory is read elsewhere, since a file system may be slow. */
#ifndef POLYAK_NET_TRUST_H
#define POLYAK_NET_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/config/config.h"
#include "common/err.h"
#include "net/identity.h"
#include "net/socket_monitor.h"

typedef enum TrustDomain { TRUST_UPLINK, TRUST_WEIGHTS, NUM_TRUST_DOMAINS } TrustDomain;

/* What the trust tells, and asks of, the learner around it. */
typedef struct TrustSink {
    void *context;
    /* A key is no longer allowed, or grants something else: its peers are to be refused, and its
     * subscribers thrown out. */
    void (*revoked)(void *context, const char *key);
    /* How many peers have said Hello: in all, and with this key. */
    void (*count)(void *context, const char *key, uint32_t *peers, uint32_t *peers_of_key);
} TrustSink;

typedef struct TrustStatus {
    bool keyed;            /* connections need keys */
    uint32_t keys;         /* allowed */
    uint32_t connections;  /* open on both sockets */
    uint32_t half_open;    /* of them, those that have not finished their handshake */
    uint64_t refused;      /* connections, since the start */
    uint64_t not_accepted; /* connections for which there was no descriptor */
    uint64_t failed[NUM_HANDSHAKE_FAILURES];
} TrustStatus;

typedef struct Trust Trust;

/* Refuses (ERR_USAGE) a key without allowed keys and the reverse, and an endpoint that others can
 * reach without keys unless --insecure is said. Touches nothing. */
int trust_check(const Config *config, Err *err);

/* Raises the limit of open files as far as it goes, and lowers peers_max to what then fits, with a
 * line in the log. ERR_USAGE when not even one peer fits. */
int trust_fit_limits(Config *config, Err *err);

/* Reads the keys, where the configuration names some, and makes the ZAP handler: before any socket
 * is bound. `config` is borrowed. ERR_USAGE for keys that cannot be read. */
int trust_new(const Config *config, void *zmq_context, Trust **trust, Err *err);
void trust_set_sink(Trust *trust, const TrustSink *sink);

/* Makes a new socket, not yet bound, ask for keys where there are some; and counts its connections.
 */
int trust_secure(Trust *trust, void *socket, TrustDomain domain, Err *err);

/* To be called before a socket that was secured is closed, if trust_close() was not. */
void trust_release(Trust *trust, TrustDomain domain);

/* From now on ZAP is answered by the loop, and the directory is read by a thread of its pool.
 * Without a loop trust_tick() does both. */
int trust_start(Trust *trust, uv_loop_t *loop, Err *err);

/* Time passes: to be called every 100 ms or so. */
void trust_tick(Trust *trust, int64_t now_ms);

/* Who sent a message, by its ZAP user id (NULL: none) and the address of its peer (NULL: ipc). To
 * be asked at each Hello: roles are what the key grants at that moment, none when it has been
 * revoked. */
void trust_identify(Trust *trust, const char *user_id, const char *address, PeerIdentity *identity);

/* A socket has dropped all its connections. */
void trust_forget(Trust *trust, TrustDomain domain);

void trust_status(const Trust *trust, TrustStatus *status);

/* What an operator must know, one line each: index from 0; NULL after the last. */
const char *trust_alarm(const Trust *trust, int index);

/* Stops watching, before the loop ends and the sockets are closed; the loop must run once more. */
void trust_close(Trust *trust);
void trust_destroy(Trust **trust);

#endif
