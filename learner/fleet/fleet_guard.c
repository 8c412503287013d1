/* Who may come in: identities and roles, peers by key, and links that send what cannot be read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

/* --- Lines for the log -------------------------------------------------------------------------
 */

bool fleet_may_say(const Fleet *fleet, GuardLines *lines)
{
    if (lines->said == 0)
        lines->since_ms = fleet->now_ms;
    if (lines->said == GUARD_LINES_MAX) {
        lines->unsaid++;
        return false;
    }
    lines->said++;
    return true;
}

void fleet_lines_tick(const Fleet *fleet, GuardLines *lines, const char *what)
{
    if (lines->said == 0 || fleet->now_ms - lines->since_ms < GUARD_INTERVAL_MS)
        return;
    if (lines->unsaid > 0)
        fleet_note(fleet, "… and %llu more %s", (unsigned long long)lines->unsaid, what);
    *lines = (GuardLines){0};
}

void fleet_note_stranger(Fleet *fleet, const char *format, ...)
{
    if (!fleet_may_say(fleet, &fleet->guard_lines))
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fleet_note(fleet, "%s", line);
}

void fleet_guard_tick(Fleet *fleet)
{
    fleet_lines_tick(fleet, &fleet->guard_lines, "that were not let in");
}

/* --- Keys --------------------------------------------------------------------------------------
 */

static KeyUse *find_key(const Fleet *fleet, const char *key)
{
    KeyUse *use = NULL;
    HASH_FIND_STR(fleet->keys, key, use);
    return use;
}

static void forget_key(Fleet *fleet, KeyUse *use)
{
    /* The analyzer loses track of the table's list. */
    HASH_DEL(fleet->keys, use); // NOLINT(clang-analyzer-unix.Malloc)
    free(use);
}

/* Makes room by those that nobody uses. */
static void forget_unused_keys(Fleet *fleet)
{
    KeyUse *use = NULL;
    KeyUse *next = NULL;
    HASH_ITER(hh, fleet->keys, use, next)
    {
        if (use->peers == 0)
            forget_key(fleet, use);
    }
}

/* NULL where there is no key or no memory. There is a place always: those that are used are no more
 * than the peers. */
static KeyUse *use_key(Fleet *fleet, const char *key)
{
    if (key[0] == '\0')
        return NULL;
    KeyUse *use = find_key(fleet, key);
    if (use)
        return use;
    if (HASH_COUNT(fleet->keys) >= fleet->config.peers_max + KEYS_UNUSED_MAX)
        forget_unused_keys(fleet);
    use = calloc(1, sizeof *use);
    if (!use)
        return NULL;
    snprintf(use->key, sizeof use->key, "%s", key);
    HASH_ADD_STR(fleet->keys, key, use);
    return use;
}

uint32_t fleet_num_peers_of_key(const Fleet *fleet, const char *key)
{
    const KeyUse *use = find_key(fleet, key);
    return use ? use->peers : 0;
}

bool fleet_key_is_counted(Fleet *fleet, const char *key)
{
    return key[0] == '\0' || use_key(fleet, key);
}

bool fleet_key_has_room(const Fleet *fleet, const char *key)
{
    uint32_t max = fleet->config.peers_per_key_max;
    return max == 0 || key[0] == '\0' || fleet_num_peers_of_key(fleet, key) < max;
}

void fleet_key_join(Fleet *fleet, const char *key)
{
    if (key[0] == '\0')
        return;
    KeyUse *use = find_key(fleet, key);
    CHECK(use);
    use->peers++;
}

void fleet_key_leave(Fleet *fleet, const char *key)
{
    KeyUse *use = find_key(fleet, key);
    if (use && use->peers > 0)
        use->peers--;
}

uint32_t fleet_revoke_key(Fleet *fleet, const char *key)
{
    if (key[0] == '\0')
        return 0;
    uint32_t count = 0;
    char with[FLEET_CHANNELS_BYTES];
    Peer *peer = NULL;
    Peer *next = NULL;
    HASH_ITER(hh, fleet->peers, peer, next)
    {
        if (strcmp(peer->key, key) != 0)
            continue;
        fleet_note_stranger(fleet, "%s %s is turned away%s: its key \"%s\" is not allowed any more",
                            role_name(peer->role), peer->name, fleet_with_channels(peer, with),
                            key);
        fleet_refuse(fleet, peer->link, REJECT_NOT_ALLOWED,
                     "the key \"%s\" is not allowed any more", key);
        fleet_drop_channels(fleet, peer);
        next = peer->hh.next;
        fleet_drop_peer(fleet, peer);
        count++;
    }
    fleet_credit(fleet);
    return count;
}

/* --- Roles -------------------------------------------------------------------------------------
 */

/* The relay whose key withholds a role that the peer's own key has at the relay; else NULL. Of
 * relays behind relays the learner knows the last one alone. */
static const Peer *withholding_relay(const Fleet *fleet, Link link, const Hello *hello)
{
    unsigned operates = hello->role == ROLE_OBSERVER ? 1U << ROLE_OPERATOR : 0;
    if (link_channel(link) == 0 || hello->origin_key[0] == '\0' ||
        !(hello->origin_roles & (1U << hello->role | operates)))
        return NULL;
    return fleet_find_peer(fleet, link_make(link_connection(link), 0));
}

static void refuse_role(Fleet *fleet, Link link, const char *key, const Hello *hello)
{
    const char *role = role_name(hello->role);
    const Peer *relay = withholding_relay(fleet, link, hello);
    if (relay && relay->key[0] != '\0')
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED,
                     "the key \"%s\" of the relay %s has not the role %s", relay->key, relay->name,
                     role);
    else if (key[0] != '\0' && !relay)
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "the key \"%s\" has not the role %s", key,
                     role);
    else if (hello->role == ROLE_OPERATOR)
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED,
                     "without keys a run is steered from the learner's own machine only");
    else
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "this connection has not the role %s", role);
    if (relay && relay->key[0] != '\0')
        fleet_note_stranger(fleet,
                            "%s, with the key \"%s\", is refused: the key \"%s\" of its relay has "
                            "not the role %s",
                            hello->name, key, relay->key, role);
    else
        fleet_note_stranger(fleet, "%s, with %s%s%s, is refused: it has not the role %s",
                            hello->name, key[0] ? "the key \"" : "no key", key, key[0] ? "\"" : "",
                            role);
}

bool fleet_may_join(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello)
{
    /* Who steers may look, too. */
    unsigned watches = identity->roles & 1U << ROLE_OPERATOR ? 1U << ROLE_OBSERVER : 0;
    bool granted = ((identity->roles | watches) & 1U << hello->role) != 0;
    bool has_key = identity->key[0] != '\0';
    if (hello->role == ROLE_OPERATOR && !has_key)
        granted = identity->local;
    bool nested = hello->role == ROLE_RELAY && link_channel(link) != 0;
    if (granted && !nested)
        return true;
    if (nested)
        fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "a relay may not speak for another relay");
    else
        refuse_role(fleet, link, identity->key, hello);
    return false;
}

/* --- Garbage -----------------------------------------------------------------------------------
 */

static Stranger *find_stranger(const Fleet *fleet, Link link)
{
    Stranger *stranger = NULL;
    HASH_FIND(hh, fleet->strangers, &link, sizeof link, stranger);
    return stranger;
}

static void forget_stranger(Fleet *fleet, Stranger *stranger)
{
    /* The analyzer loses track of the table's list. */
    HASH_DEL(fleet->strangers, stranger); // NOLINT(clang-analyzer-unix.Malloc)
    free(stranger);
}

/* Remembers the link; the oldest makes room. NULL when out of memory. */
static Stranger *meet_stranger(Fleet *fleet, Link link)
{
    Stranger *stranger = find_stranger(fleet, link);
    if (stranger)
        return stranger;
    if (HASH_COUNT(fleet->strangers) >= STRANGERS_MAX)
        forget_stranger(fleet, fleet->strangers);
    stranger = calloc(1, sizeof *stranger);
    if (!stranger)
        return NULL;
    stranger->link = link;
    HASH_ADD(hh, fleet->strangers, link, sizeof stranger->link, stranger);
    return stranger;
}

bool fleet_is_barred(const Fleet *fleet, Link link)
{
    const Stranger *stranger = find_stranger(fleet, link);
    return stranger && stranger->barred;
}

/* A link that said no Hello. What it sends may come from before a restart of the learner: then it
 * is no fault of the peer, which opens another one as soon as it hears of it. */
static void receive_strange_garbage(Fleet *fleet, Link link, int code, const char *why)
{
    Stranger *stranger = meet_stranger(fleet, link);
    if (!stranger || stranger->barred)
        return;
    stranger->garbage++;
    if (code == ERR_SPEC) {
        fleet_note_stranger(fleet, "an actor is refused: %s", why);
        fleet_refuse(fleet, link, REJECT_SPEC, "%s", why);
        return;
    }
    if (stranger->garbage < STRANGER_GARBAGE_MAX) {
        fleet_refuse(fleet, link, REJECT_HELLO_FIRST, "say Hello first (%s)", why);
        return;
    }
    stranger->barred = true;
    fleet_note_stranger(fleet, "a connection that says no Hello is not listened to any more: %s",
                        why);
}

void fleet_receive_garbage(Fleet *fleet, Link link, int code, const char *why, int64_t now_ms)
{
    Peer *peer = fleet_find_peer(fleet, link);
    fleet->now_ms = now_ms;
    fleet->counts.garbage_messages++;
    if (!fleet_channel_is_open(fleet, link))
        return;
    if (!peer) {
        receive_strange_garbage(fleet, link, code, why);
        return;
    }
    KeyUse *use = use_key(fleet, peer->key);
    char times[128] = "";
    if (use && ++use->garbage > 1)
        snprintf(times, sizeof times, "; the key \"%.63s\" did so %llu times", use->key,
                 (unsigned long long)use->garbage);
    char with[FLEET_CHANNELS_BYTES];
    fleet_note_stranger(
        fleet, "%s %s sent a message that cannot be read (%s%s): it is turned away%s",
        role_name(peer->role), peer->name, why, times, fleet_with_channels(peer, with));
    fleet_refuse(fleet, link, REJECT_NOT_ALLOWED, "a message could not be read: %s", why);
    fleet_drop_peer(fleet, peer);
    Stranger *stranger = meet_stranger(fleet, link);
    if (stranger)
        stranger->barred = true;
    fleet_credit(fleet);
}

void fleet_guard_destroy(Fleet *fleet)
{
    Stranger *stranger = NULL;
    Stranger *next = NULL;
    HASH_ITER(hh, fleet->strangers, stranger, next)
    {
        forget_stranger(fleet, stranger);
    }
    KeyUse *use = NULL;
    KeyUse *other = NULL;
    HASH_ITER(hh, fleet->keys, use, other)
    {
        forget_key(fleet, use);
    }
}
