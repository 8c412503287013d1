/* Faults of environments, as heartbeats tell of them: counted, named in the log, and an alarm where
 * they are many. A heartbeat's counts are its process's; what is told twice is counted once, and a
 * count that goes back takes nothing away. */
#include <stdio.h>
#include <string.h>

#include "learner/fleet/fleet_internal.h"

enum {
    FAULTS_ALARM = 100, /* more of an actor's within a minute are an alarm */
    FAULTS_MINUTE_MS = 60000,
};

/* What a peer says, within what is counted. */
static uint64_t sound(uint64_t count)
{
    return count < WIRE_COUNT_MAX ? count : WIRE_COUNT_MAX;
}

/* The kinds that the session has not had before, with their counts. */
static EnvFaults first_of_kind(ActorSession *session, const EnvFaults *grown)
{
    EnvFaults first = {{0}};
    for (int i = 0; i < ENV_FAULTS; i++) {
        if (grown->count[i] == 0 || (session->faults_said >> i & 1) != 0)
            continue;
        session->faults_said |= 1U << i;
        first.count[i] = grown->count[i];
    }
    return first;
}

/* Adds to the run's sums what is new; returns that. */
static EnvFaults add_new(Fleet *fleet, ActorSession *session, const Heartbeat *heartbeat)
{
    EnvFaults grown = {{0}};
    /* What the process counted before this start of the learner, or in an earlier session, is
     * there already or none of ours. */
    bool is_base = !session->faults_known && (session->restored || heartbeat->sessions > 1);
    session->faults_known = true;
    for (int i = 0; i < ENV_FAULTS; i++) {
        uint64_t count = sound(heartbeat->faults.count[i]);
        uint64_t before = session->faults.count[i];
        if (count <= before)
            continue;
        session->faults.count[i] = count;
        if (is_base)
            continue;
        grown.count[i] = count - before;
        fleet->counts.faults.count[i] = sound(fleet->counts.faults.count[i] + grown.count[i]);
    }
    return grown;
}

/* Whether this heartbeat makes it an alarm. */
static bool watch_minute(Peer *peer, uint64_t num_new, int64_t now_ms)
{
    if (now_ms - peer->faults_minute_ms >= FAULTS_MINUTE_MS) {
        peer->faults_minute_ms = now_ms;
        peer->faults_in_minute = 0;
    }
    peer->faults_in_minute = sound(peer->faults_in_minute + num_new);
    if (peer->faults_in_minute <= FAULTS_ALARM)
        return false;
    bool was_calm = now_ms >= peer->faults_alarm_ms;
    peer->faults_alarm_ms = now_ms + FAULTS_MINUTE_MS;
    return was_calm;
}

/* Whether the words of the last fault are new, also where no count grew: what ends an actor need
 * not be counted. Of a process that was known before this connection nothing can be compared. */
static bool has_new_words(const Peer *peer, const Heartbeat *heartbeat)
{
    const ActorSession *session = peer->session;
    bool is_fresh = !session->faults_known && !session->restored && heartbeat->sessions <= 1;
    return (peer->has_heartbeat || is_fresh) &&
           strcmp(peer->heartbeat.last_fault, heartbeat->last_fault) != 0;
}

/* To be called while peer->heartbeat is still the one before. */
void fleet_handle_faults(Fleet *fleet, Peer *peer, const Heartbeat *heartbeat)
{
    ActorSession *session = peer->session;
    if (!session)
        return;
    bool new_words = has_new_words(peer, heartbeat);
    EnvFaults grown = add_new(fleet, session, heartbeat);
    uint64_t num_new = env_faults_sum(&grown);
    if (watch_minute(peer, num_new, fleet->now_ms) && fleet_may_say(fleet, &fleet->fault_lines))
        fleet_note(fleet,
                   "actor %u (%s): more than %d faults of its environments within a minute: %s",
                   session->actor_index, session->name, FAULTS_ALARM, heartbeat->last_fault);
    if (num_new > 0 || new_words)
        snprintf(fleet->last_fault, sizeof fleet->last_fault, "%s: %.*s", session->name,
                 STATUS_TEXT_MAX - WIRE_NAME_MAX - 3, heartbeat->last_fault);
    if (num_new == 0)
        return;
    EnvFaults first = first_of_kind(session, &grown);
    char text[STATUS_FAULTS_BYTES];
    if (env_faults_sum(&first) > 0 && fleet_may_say(fleet, &fleet->fault_lines))
        fleet_note(fleet, "actor %u (%s): faults of its environments: %s; last: %s",
                   session->actor_index, session->name, run_status_faults(&first, text),
                   heartbeat->last_fault);
}

void fleet_faults_tick(Fleet *fleet)
{
    fleet_lines_tick(fleet, &fleet->fault_lines, "about faults of environments: see the status");
}

void fleet_faults_alarm(const Fleet *fleet, RunStatus *status)
{
    const Peer *worst = NULL;
    uint32_t num_others = 0;
    for (const Peer *peer = fleet->peers; peer; peer = peer->hh.next) {
        if (fleet->now_ms >= peer->faults_alarm_ms)
            continue;
        num_others += worst != NULL;
        if (!worst || peer->faults_in_minute > worst->faults_in_minute)
            worst = peer;
    }
    char others[64] = "";
    if (num_others > 0)
        snprintf(others, sizeof others, " and %u other%s", num_others, num_others == 1 ? "" : "s");
    if (worst)
        run_status_alarm(status,
                         "actor %u (%s)%s: more than %d faults of environments within a minute: %s",
                         worst->session->actor_index, worst->session->name, others, FAULTS_ALARM,
                         worst->heartbeat.last_fault);
}
