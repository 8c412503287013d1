#include "net/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/keys.h"
#include "common/log.h"
#include "net/allowed_keys.h"
#include "net/trust_alarm.h"
#include "net/trust_refusals.h"
#include "net/zap.h"
#include "net/zmq_watch.h"

enum {
    READ_EVERY_MS = 1000,
    READ_LATE_MS = 5000, /* the directory is too slow for what is promised */
    GRANTS_MS = 10000,   /* connections that say no Hello are counted for so long */
    ADDRESS_BYTES = 128,
    /* ZMQ_ZAP_ENFORCE_DOMAIN: libzmq 4.3 has it, but its header hides it among the drafts. */
    ZAP_ENFORCE_DOMAIN = 93,
};

_Static_assert(KEY_ROLE_ACTOR == 1 << ROLE_ACTOR && KEY_ROLE_EVALUATOR == 1 << ROLE_EVALUATOR &&
                   KEY_ROLE_OBSERVER == 1 << ROLE_OBSERVER &&
                   KEY_ROLE_OPERATOR == 1 << ROLE_OPERATOR && KEY_ROLE_RELAY == 1 << ROLE_RELAY,
               "roles of key files and of the wire have the same numbers");

static const char *const domain_names[NUM_TRUST_DOMAINS] = {"uplink", "weights"};

enum { ALARM_KEYS, ALARM_HALF_OPEN, ALARM_DESCRIPTORS, NUM_ALARMS };

typedef struct Domain {
    struct Trust *trust;
    TrustDomain number;
    SocketMonitor *monitor;
    ZmqWatch watch;   /* of the monitor: soon enough to ask a connection for its address */
    uint32_t *grants; /* by the key's place: let in and not heard of since, within GRANTS_MS */
} Domain;

struct Trust {
    const Config *config;
    void *zmq_context;
    TrustSink sink;
    SecretKey key;
    Zap *zap;
    ZmqWatch zap_watch;
    Domain domains[NUM_TRUST_DOMAINS];
    Refusals refusals;
    Alarm alarms[NUM_ALARMS];
    uint64_t not_accepted_seen;
    int64_t grants_ms;
    unsigned num_secured;

    AllowedKeys *table; /* NULL without keys */
    uv_loop_t *loop;    /* NULL: trust_tick() reads the directory itself */
    uv_work_t work;
    bool reading;
    bool closed;
    int64_t read_ms;    /* when the last reading began */
    AllowedKeys *fresh; /* written by the pool's thread while `reading` */
    int read_code;
    Err read_err;
};

const char *trust_alarm(const Trust *trust, int index)
{
    for (int i = 0; i < NUM_ALARMS; i++) {
        if (trust->alarms[i].text[0] != '\0' && index-- == 0)
            return trust->alarms[i].text;
    }
    return NULL;
}

/* --- Who may come in ---------------------------------------------------------------------------
 */

static void forget_grants(Domain *domain)
{
    if (domain->grants)
        memset(domain->grants, 0,
               (size_t)allowed_keys_count(domain->trust->table) * sizeof *domain->grants);
}

/* What the log calls the holder of a key that is not in the table. */
static void name_stranger(const ZapRequest *request, char who[ADDRESS_BYTES])
{
    char text[KEY_TEXT_CHARS + 1] = "";
    zmq_z85_encode(text, request->key, KEY_BYTES);
    snprintf(who, ADDRESS_BYTES, "%.40s from %.60s", text, request->address);
}

/* Whether there is room for another connection. As many again as may be peers: all may come back at
 * once before the connections that they had are known to be lost. */
static bool has_place(Trust *trust, Domain *domain, const PublicKey *key)
{
    const Config *config = trust->config;
    int64_t open = 0;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++) {
        if (trust->domains[i].monitor)
            open += socket_monitor_counts(trust->domains[i].monitor)->open;
    }
    if (open >= 2 * config->peers_max + config->half_open_max)
        return false;
    uint32_t *grants = &domain->grants[allowed_keys_place(trust->table, key)];
    uint32_t peers = 0;
    uint32_t peers_of_key = 0;
    if (domain->number == TRUST_UPLINK && trust->sink.count)
        trust->sink.count(trust->sink.context, key->name, &peers, &peers_of_key);
    if (*grants + peers_of_key >= 2 * config->peers_per_key_max ||
        *grants + peers >= 2 * config->peers_max)
        return false;
    ++*grants;
    return true;
}

static bool decide(void *context, const ZapRequest *request, char user_id[ZAP_USER_ID_BYTES])
{
    Trust *trust = context;
    char who[ADDRESS_BYTES];
    Domain *domain = NULL;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++) {
        if (strcmp(request->domain, domain_names[i]) == 0)
            domain = &trust->domains[i];
    }
    if (!domain)
        return false;
    const char *name = domain_names[domain->number];
    if (!request->has_key) {
        refusals_note(&trust->refusals, REFUSED_MECHANISM, name, request->address);
        return false;
    }
    const PublicKey *key = allowed_keys_find(trust->table, request->key);
    if (!key) {
        name_stranger(request, who);
        refusals_note(&trust->refusals, REFUSED_KEY, name, who);
        return false;
    }
    /* Only actors use weights that are broadcast, and relays pass them on. */
    if (domain->number == TRUST_WEIGHTS && !(key->roles & (KEY_ROLE_ACTOR | KEY_ROLE_RELAY))) {
        refusals_note(&trust->refusals, REFUSED_ROLE, name, key->name);
        return false;
    }
    if (!has_place(trust, domain, key)) {
        refusals_note(&trust->refusals, REFUSED_PLACE, name, key->name);
        return false;
    }
    /* With the key itself: its name may be another key's later, while this connection lasts. */
    snprintf(user_id, ZAP_USER_ID_BYTES, "%s %s", key->name, key->text);
    return true;
}

static bool is_local(const char *address)
{
    return !address || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

void trust_identify(Trust *trust, const char *user_id, const char *address, PeerIdentity *identity)
{
    if (!trust || !trust->table) {
        *identity = identity_without_key(is_local(address));
        return;
    }
    *identity = (PeerIdentity){.local = is_local(address)};
    const char *space = user_id ? strchr(user_id, ' ') : NULL;
    uint8_t bytes[KEY_BYTES];
    if (!space || strlen(space + 1) != KEY_TEXT_CHARS || !zmq_z85_decode(bytes, space + 1))
        return; /* of a connection that ZAP did not let in: there is none */
    snprintf(identity->key, sizeof identity->key, "%.*s", (int)(space - user_id), user_id);
    const PublicKey *key = allowed_keys_find(trust->table, bytes);
    if (!key || strcmp(key->name, identity->key) != 0)
        return;
    identity->roles = key->roles;
    uint32_t *grants = trust->domains[TRUST_UPLINK].grants;
    int place = allowed_keys_place(trust->table, key);
    if (grants[place] > 0)
        grants[place]--;
}

/* --- The directory -----------------------------------------------------------------------------
 */

static int make_grants(Trust *trust, const AllowedKeys *table, uint32_t *grants[NUM_TRUST_DOMAINS])
{
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
        grants[i] = calloc((size_t)allowed_keys_count(table) + 1, sizeof *grants[i]);
    if (grants[TRUST_UPLINK] && grants[TRUST_WEIGHTS])
        return ERR_OK;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
        free(grants[i]);
    return err_set(&trust->read_err, ERR_NOMEM, "out of memory for the allowed keys");
}

static void on_revoked(void *context, const PublicKey *key)
{
    Trust *trust = context;
    if (trust->sink.revoked)
        trust->sink.revoked(trust->sink.context, key->name);
}

/* Puts the table that was read in place of the old one; from then on the new one counts. */
static void take_table(Trust *trust)
{
    uint32_t *grants[NUM_TRUST_DOMAINS];
    AllowedKeys *before = trust->table;
    if (trust->read_code == ERR_OK)
        trust->read_code = make_grants(trust, trust->fresh, grants);
    if (trust->read_code != ERR_OK) {
        allowed_keys_destroy(&trust->fresh);
        alarm_raise(&trust->alarms[ALARM_KEYS], clock_ms(), trust->read_err.text);
        return;
    }
    trust->table = trust->fresh;
    trust->fresh = NULL;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++) {
        free(trust->domains[i].grants);
        trust->domains[i].grants = grants[i];
    }
    allowed_keys_compare(before, trust->table, on_revoked, trust);
    allowed_keys_destroy(&before);
}

static void read_table(Trust *trust)
{
    trust->read_code = allowed_keys_read(trust->config->allowed_keys, trust->table, &trust->fresh,
                                         &trust->read_err);
}

static void on_work(uv_work_t *work)
{
    read_table(work->data);
}

static void on_work_done(uv_work_t *work, int status)
{
    Trust *trust = work->data;
    trust->reading = false;
    if (status == 0 && !trust->closed)
        take_table(trust);
}

static void read_when_due(Trust *trust, int64_t now_ms)
{
    char text[ALARM_BYTES];
    if (trust->reading) {
        if (now_ms - trust->read_ms > READ_LATE_MS) {
            snprintf(text, sizeof text,
                     "the allowed keys have not been read for %lld s: %.150s does not answer",
                     (long long)(now_ms - trust->read_ms) / 1000, trust->config->allowed_keys);
            alarm_raise(&trust->alarms[ALARM_KEYS], now_ms, text);
        }
        return;
    }
    if (now_ms - trust->read_ms < READ_EVERY_MS)
        return;
    trust->read_ms = now_ms;
    if (!trust->loop) {
        read_table(trust);
        take_table(trust);
        return;
    }
    trust->work.data = trust;
    trust->reading = uv_queue_work(trust->loop, &trust->work, on_work, on_work_done) == 0;
}

/* --- Sockets -----------------------------------------------------------------------------------
 */

static void on_failed_handshake(void *context, HandshakeFailure failure, const char *address)
{
    const Domain *domain = context;
    /* Whoever ZAP refused was named there. */
    if (failure != HANDSHAKE_REFUSED)
        refusals_note(&domain->trust->refusals,
                      failure == HANDSHAKE_PROTOCOL ? REFUSED_HANDSHAKE : REFUSED_SILENCE,
                      domain_names[domain->number], address);
}

int trust_secure(Trust *trust, void *socket, TrustDomain domain, Err *err)
{
    Domain *self = &trust->domains[domain];
    const char *name = domain_names[domain];
    const int yes = 1;
    if (trust->table && (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, name, strlen(name)) != 0 ||
                         zmq_setsockopt(socket, ZAP_ENFORCE_DOMAIN, &yes, sizeof yes) != 0 ||
                         zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) != 0 ||
                         zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, trust->key.secret_text,
                                        KEY_TEXT_CHARS + 1) != 0))
        return err_set(err, ERR_NET, "the %s cannot be encrypted: %s", name,
                       zmq_strerror(zmq_errno()));
    /* A name of its own: libzmq gives the last one's free only later. */
    char monitor_name[ZAP_DOMAIN_BYTES + 16];
    snprintf(monitor_name, sizeof monitor_name, "%s.%u", name, trust->num_secured++);
    trust_release(trust, domain);
    return socket_monitor_new(trust->zmq_context, socket, monitor_name, on_failed_handshake, self,
                              &self->monitor, err);
}

void trust_release(Trust *trust, TrustDomain domain)
{
    zmq_watch_close(&trust->domains[domain].watch);
    socket_monitor_destroy(&trust->domains[domain].monitor);
}

void trust_forget(Trust *trust, TrustDomain domain)
{
    if (trust->domains[domain].monitor)
        socket_monitor_forget(trust->domains[domain].monitor);
    forget_grants(&trust->domains[domain]);
}

static void watch_connections(Trust *trust, int64_t now_ms)
{
    char text[ALARM_BYTES];
    TrustStatus status;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++) {
        if (trust->domains[i].monitor)
            socket_monitor_read(trust->domains[i].monitor, now_ms);
    }
    trust_status(trust, &status);
    if (status.half_open > trust->config->half_open_max) {
        snprintf(text, sizeof text,
                 "%u connections have not finished their handshake, more than --half-open-max "
                 "%lld: see the firewall rule of docs/security.md",
                 status.half_open, (long long)trust->config->half_open_max);
        alarm_raise(&trust->alarms[ALARM_HALF_OPEN], now_ms, text);
    }
    if (status.not_accepted > trust->not_accepted_seen) {
        trust->not_accepted_seen = status.not_accepted;
        alarm_raise(&trust->alarms[ALARM_DESCRIPTORS], now_ms,
                    "connections cannot be accepted: no more files may be open (ulimit -Hn)");
    }
}

/* --- Life --------------------------------------------------------------------------------------
 */

int trust_new(const Config *config, void *zmq_context, Trust **trust_pointer, Err *err)
{
    Trust *trust = calloc(1, sizeof *trust);
    if (!trust)
        return err_set(err, ERR_NOMEM, "out of memory");
    trust->config = config;
    trust->zmq_context = zmq_context;
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
        trust->domains[i] = (Domain){.trust = trust, .number = (TrustDomain)i};
    char derived[KEY_TEXT_CHARS + 1];
    int code = trust_check(config, err);
    if (code == ERR_OK && config->key[0] != '\0') {
        code = keys_read_secret(config->key, &trust->key, err);
        if (code == ERR_OK && (zmq_curve_public(derived, trust->key.secret_text) != 0 ||
                               strcmp(derived, trust->key.public_text) != 0))
            code = err_set(err, ERR_USAGE, "%s: its public key is not that of its secret key",
                           config->key);
        if (code == ERR_OK) {
            read_table(trust);
            code = trust->read_code;
            *err = trust->read_err;
        }
        if (code == ERR_OK)
            take_table(trust);
        if (code == ERR_OK)
            code = zap_new(zmq_context, decide, trust, &trust->zap, err);
        if (code != ERR_OK && code != ERR_NOMEM)
            code = ERR_USAGE;
    }
    if (code != ERR_OK)
        trust_destroy(&trust);
    else if (trust->table)
        log_info("%d keys are allowed, from %s", allowed_keys_count(trust->table),
                 config->allowed_keys);
    else if (config->insecure)
        log_warn("--insecure: connections are neither encrypted nor authenticated; use it inside a "
                 "network that you trust");
    *trust_pointer = trust;
    return code;
}

void trust_set_sink(Trust *trust, const TrustSink *sink)
{
    trust->sink = *sink;
}

static void on_zap(void *context)
{
    Trust *trust = context;
    zap_serve(trust->zap);
}

static void on_monitor(void *context)
{
    Domain *domain = context;
    socket_monitor_read(domain->monitor, clock_ms());
}

int trust_start(Trust *trust, uv_loop_t *loop, Err *err)
{
    int code = ERR_OK;
    trust->loop = loop;
    if (trust->zap)
        code = zmq_watch_start(&trust->zap_watch, loop, zap_socket(trust->zap), on_zap, trust, err);
    for (int i = 0; i < NUM_TRUST_DOMAINS && code == ERR_OK; i++) {
        Domain *domain = &trust->domains[i];
        if (domain->monitor)
            code = zmq_watch_start(&domain->watch, loop, socket_monitor_socket(domain->monitor),
                                   on_monitor, domain, err);
    }
    return code;
}

void trust_tick(Trust *trust, int64_t now_ms)
{
    if (trust->zap && !trust->loop)
        zap_serve(trust->zap);
    if (trust->table)
        read_when_due(trust, now_ms);
    watch_connections(trust, now_ms);
    if (now_ms - trust->grants_ms > GRANTS_MS) {
        trust->grants_ms = now_ms;
        for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
            forget_grants(&trust->domains[i]);
    }
    refusals_tick(&trust->refusals, now_ms);
    for (int i = 0; i < NUM_ALARMS; i++)
        alarm_tick(&trust->alarms[i], now_ms);
}

void trust_status(const Trust *trust, TrustStatus *status)
{
    *status = (TrustStatus){.keyed = trust->table != NULL};
    if (trust->table)
        status->keys = (uint32_t)allowed_keys_count(trust->table);
    for (int i = 0; i < NUM_REFUSAL_KINDS; i++)
        status->refused += trust->refusals.total[i];
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++) {
        if (!trust->domains[i].monitor)
            continue;
        const MonitorCounts *counts = socket_monitor_counts(trust->domains[i].monitor);
        status->connections += counts->open;
        status->half_open += counts->half_open;
        status->not_accepted += counts->not_accepted;
        for (int j = 0; j < NUM_HANDSHAKE_FAILURES; j++)
            status->failed[j] += counts->failed[j];
    }
}

void trust_close(Trust *trust)
{
    if (!trust)
        return;
    trust->closed = true;
    zmq_watch_close(&trust->zap_watch);
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
        trust_release(trust, (TrustDomain)i);
}

void trust_destroy(Trust **trust)
{
    Trust *self = *trust;
    if (!self)
        return;
    trust_close(self);
    CHECK(!self->reading);
    zap_destroy(&self->zap);
    allowed_keys_destroy(&self->table);
    allowed_keys_destroy(&self->fresh);
    for (int i = 0; i < NUM_TRUST_DOMAINS; i++)
        free(self->domains[i].grants);
    keys_wipe(&self->key);
    free(self);
    *trust = NULL;
}
