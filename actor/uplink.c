#include "actor/uplink.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/rng.h"

enum {
    HELLO_TIMEOUT_MS = 3000, /* an unanswered Hello is said again on a new socket */
    LOST_AFTER_HEARTBEATS = 3,
    RETRY_FULL_MS = 250, /* a learner that is full, or has no run yet, is asked again */
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 2000,
    DEFAULT_HEARTBEAT_MS = 1000, /* before the first Welcome */
};

/* From half of `mean_ms` to one and a half: a pure function of session and number. */
static int64_t jitter(Uplink *uplink, int64_t mean_ms)
{
    uint64_t halves[2];
    _Static_assert(sizeof halves == sizeof uplink->hello.session, "a session is two numbers");
    memcpy(halves, &uplink->hello.session, sizeof halves);
    Rng rng = rng_stream(halves[0], RNG_BACKOFF, halves[1], uplink->waits++, 0);
    return mean_ms / 2 + (int64_t)rng_below(&rng, (uint64_t)mean_ms + 1);
}

/* The wait before the next attempt, longer with each that failed. */
static int64_t backoff(Uplink *uplink, int64_t mean_ms)
{
    for (uint32_t i = 0; i < uplink->retries && mean_ms < RETRY_MAX_MS; i++)
        mean_ms *= 2;
    uplink->retries++;
    return jitter(uplink, mean_ms < RETRY_MAX_MS ? mean_ms : RETRY_MAX_MS);
}

static void reconnect(Uplink *uplink, int64_t now_ms, int64_t delay_ms)
{
    if (uplink->state == UPLINK_ACTIVE)
        uplink->lost_ms = now_ms;
    uplink->state = UPLINK_CONNECTING;
    uplink->socket_wanted = true;
    uplink->hello_due = false;
    uplink->retry_ms = now_ms + delay_ms;
}

void uplink_start(Uplink *uplink, const Hello *hello, Outbox *outbox, const Session *session,
                  int64_t now_ms)
{
    memset(uplink, 0, sizeof *uplink);
    uplink->hello = *hello;
    uplink->hello.protocol_version = WIRE_PROTOCOL_VERSION;
    uplink->hello.session = *session;
    uplink->outbox = outbox;
    uplink->sessions = 1;
    uplink->lost_ms = now_ms;
    uplink->welcome.heartbeat_interval_ms = DEFAULT_HEARTBEAT_MS;
    reconnect(uplink, now_ms, 0);
}

static int64_t silence_allowed_ms(const Uplink *uplink)
{
    if (uplink->state == UPLINK_CONNECTING)
        return HELLO_TIMEOUT_MS;
    return (int64_t)LOST_AFTER_HEARTBEATS * uplink->welcome.heartbeat_interval_ms;
}

void uplink_heartbeat(const Uplink *uplink, Message *message)
{
    message->kind = MESSAGE_HEARTBEAT;
    message->heartbeat = uplink->status;
    message->heartbeat.outbox_segments =
        uplink->outbox ? (uint32_t)outbox_unacked(uplink->outbox) : 0;
    message->heartbeat.lost_segments = uplink->lost_segments;
    message->heartbeat.lost_steps = uplink->lost_steps;
}

/* What the present connection has to send. */
static bool next_message(Uplink *uplink, int64_t now_ms, Message *message)
{
    if (uplink->hello_due) {
        uplink->hello_due = false;
        uplink->hello.oldest_unacked = uplink->outbox ? uplink->outbox->acked_sequence + 1 : 1;
        uplink->hello.acked_steps = uplink->outbox ? uplink->outbox->acked_steps : 0;
        uplink->hello.has_sent = uplink->outbox && outbox_has_sent(uplink->outbox);
        message->kind = MESSAGE_HELLO;
        message->hello = uplink->hello;
        return true;
    }
    if (uplink->state != UPLINK_ACTIVE)
        return false;
    const Segment *segment =
        uplink->outbox ? outbox_next(uplink->outbox, uplink->send_limit_sequence) : NULL;
    if (segment) {
        message->kind = MESSAGE_SEGMENT;
        message->segment = *segment;
        return true;
    }
    /* Segments are signs of life too, but only a heartbeat tells how the actor is doing. */
    if (now_ms - uplink->told_ms >= uplink->welcome.heartbeat_interval_ms) {
        uplink_heartbeat(uplink, message);
        return true;
    }
    return false;
}

UplinkAction uplink_next(Uplink *uplink, int64_t now_ms, Message *message)
{
    if (uplink->state == UPLINK_FINISHED || uplink->state == UPLINK_REFUSED)
        return UPLINK_NOTHING;
    if (!uplink->socket_wanted && now_ms - uplink->heard_ms > silence_allowed_ms(uplink)) {
        /* A Hello without an answer has taken its time already. */
        bool active = uplink->state == UPLINK_ACTIVE;
        if (active)
            uplink->silent_ms = now_ms - uplink->heard_ms;
        reconnect(uplink, now_ms, active ? backoff(uplink, RETRY_MIN_MS) : 0);
    }
    if (uplink->socket_wanted) {
        if (now_ms < uplink->retry_ms)
            return UPLINK_NOTHING;
        uplink->socket_wanted = false;
        uplink->hello_due = true;
        uplink->heard_ms = now_ms;
        return UPLINK_OPEN;
    }
    if (!next_message(uplink, now_ms, message))
        return UPLINK_NOTHING;
    if (message->kind == MESSAGE_HELLO || message->kind == MESSAGE_HEARTBEAT)
        uplink->told_ms = now_ms;
    return UPLINK_SEND;
}

void uplink_not_sent(Uplink *uplink, const Message *message)
{
    if (message->kind == MESSAGE_SEGMENT)
        outbox_unsend(uplink->outbox, message->segment.sequence);
}

static void take_welcome(Uplink *uplink, const Welcome *welcome)
{
    if (uplink->state != UPLINK_CONNECTING)
        return;
    if (welcome->protocol_version != WIRE_PROTOCOL_VERSION) {
        snprintf(uplink->refusal, sizeof uplink->refusal,
                 "the learner speaks protocol version %u, this program %d: use programs of one "
                 "version",
                 welcome->protocol_version, WIRE_PROTOCOL_VERSION);
        uplink->state = UPLINK_REFUSED;
        return;
    }
    uplink->state = UPLINK_ACTIVE;
    uplink->retries = 0;
    uplink->silent_ms = 0;
    uplink->welcome = *welcome;
    uplink->welcomes++;
    uplink->send_limit_sequence = welcome->send_limit_sequence;
    uplink->step_limit = welcome->step_limit;
    uplink->newest = welcome->newest;
    uplink->credit_version = welcome->newest;
    uplink->reason[0] = '\0';
    uplink->refusal[0] = '\0';
    if (uplink->outbox) {
        outbox_acknowledge(uplink->outbox, welcome->acked_sequence);
        outbox_rewind(uplink->outbox);
    }
}

static void take_ack(Uplink *uplink, const Ack *ack)
{
    if (uplink->state != UPLINK_ACTIVE)
        return;
    if (uplink->outbox)
        outbox_acknowledge(uplink->outbox, ack->acked_sequence);
    if (ack->send_limit_sequence > uplink->send_limit_sequence)
        uplink->send_limit_sequence = ack->send_limit_sequence;
    if (ack->step_limit > uplink->step_limit) {
        uplink->step_limit = ack->step_limit;
        uplink->credit_version = ack->newest;
    } else if (!version_equal(uplink->status.version, uplink->credit_version)) {
        /* Only after a break can there be a newer version before the actor had that of its turn,
         * which then comes no more. */
        uplink->credit_version = ack->newest;
    }
    uplink->newest = ack->newest;
    memcpy(uplink->reason, ack->reason, sizeof uplink->reason);
}

/* The learner does not know our session any more: a new one begins. What was sent and not
 * acknowledged is counted as lost. */
static void begin_session(Uplink *uplink, const Session *fresh_session)
{
    uplink->hello.session = *fresh_session;
    uplink->sessions++;
    uplink->steps_taken = 0;
    uplink->step_limit = 0;
    uplink->send_limit_sequence = 0;
    if (!uplink->outbox)
        return;
    uplink->lost_segments += outbox_restart(uplink->outbox, &uplink->lost_steps);
    uplink->steps_taken = outbox_unacked_steps(uplink->outbox);
}

static void take_reject(Uplink *uplink, const Reject *reject, const Session *fresh_session,
                        int64_t now_ms)
{
    snprintf(uplink->refusal, sizeof uplink->refusal, "%s", reject->text);
    switch (reject->reason) {
    case REJECT_HELLO_FIRST:
        reconnect(uplink, now_ms, backoff(uplink, RETRY_MIN_MS));
        break;
    case REJECT_SESSION_EXPIRED:
        begin_session(uplink, fresh_session);
        reconnect(uplink, now_ms, 0);
        break;
    case REJECT_FULL:
        reconnect(uplink, now_ms, jitter(uplink, RETRY_FULL_MS));
        break;
    case REJECT_LOADING: /* a whole fleet is told so: it must not keep the other side busy */
        reconnect(uplink, now_ms, backoff(uplink, RETRY_FULL_MS));
        break;
    default:
        uplink->state = UPLINK_REFUSED;
        break;
    }
}

void uplink_receive(Uplink *uplink, const Message *message, const Session *fresh_session,
                    int64_t now_ms)
{
    if (uplink->socket_wanted || uplink->state == UPLINK_FINISHED ||
        uplink->state == UPLINK_REFUSED)
        return;
    uplink->heard_ms = now_ms;
    switch (message->kind) {
    case MESSAGE_WELCOME:
        take_welcome(uplink, &message->welcome);
        break;
    case MESSAGE_ACK:
        take_ack(uplink, &message->ack);
        break;
    case MESSAGE_REJECT:
        take_reject(uplink, &message->reject, fresh_session, now_ms);
        break;
    case MESSAGE_BYE:
        if (message->bye == BYE_FINISHED)
            uplink->state = UPLINK_FINISHED;
        else
            reconnect(uplink, now_ms, backoff(uplink, RETRY_MIN_MS));
        break;
    default:
        break;
    }
}

void uplink_not_opened(Uplink *uplink, const char *why, int64_t now_ms)
{
    snprintf(uplink->refusal, sizeof uplink->refusal, "%.*s", WIRE_TEXT_MAX, why);
    reconnect(uplink, now_ms, backoff(uplink, RETRY_MIN_MS));
}

bool uplink_spools(const Uplink *uplink)
{
    return uplink->spool_segments > 0 && uplink->outbox && uplink->state == UPLINK_CONNECTING &&
           uplink->welcomes > 0 && !uplink->welcome.sync;
}

uint64_t uplink_credit(const Uplink *uplink)
{
    if (uplink_spools(uplink)) {
        uint64_t waiting = outbox_unacked(uplink->outbox);
        return waiting < uplink->spool_segments ? uplink->spool_segments - waiting : 0;
    }
    if (uplink->state != UPLINK_ACTIVE || uplink->step_limit <= uplink->steps_taken)
        return 0;
    return uplink->step_limit - uplink->steps_taken;
}

const char *uplink_why_wait(const Uplink *uplink, Version policy, int64_t weights_ms,
                            int64_t now_ms)
{
    const Welcome *welcome = &uplink->welcome;
    if (uplink->state != UPLINK_ACTIVE && !uplink_spools(uplink))
        return "waiting for the learner";
    if (uplink_credit(uplink) == 0 && uplink->state != UPLINK_ACTIVE)
        return "the spool is full: waiting for the learner";
    if (uplink_credit(uplink) == 0)
        return uplink->reason[0] ? uplink->reason : "waiting for credit";
    /* A turn without a policy stays without one, also where the first is published meanwhile. */
    if (welcome->sync)
        return uplink->credit_version.epoch != 0 && !version_equal(policy, uplink->credit_version)
                   ? "lockstep: waiting for the policy of this turn"
                   : NULL;
    /* A learner that began again has no policy yet, and waits for steps to make one: an actor that
     * has one from before acts with it. */
    if (uplink->newest.epoch == 0)
        return NULL;
    if (policy.epoch == 0)
        return "waiting for the first policy";
    if (welcome->policy_age_s_max > 0 &&
        now_ms - weights_ms > (int64_t)welcome->policy_age_s_max * 1000)
        return "the policy is too old (policy_age_s_max): waiting for a newer one";
    return NULL;
}

void uplink_count_steps(Uplink *uplink, uint64_t steps)
{
    uplink->steps_taken += steps;
}

int uplink_timeout_ms(const Uplink *uplink, int64_t now_ms)
{
    int64_t lost_ms = uplink->heard_ms + silence_allowed_ms(uplink) + 1;
    int64_t heartbeat_ms = uplink->told_ms + uplink->welcome.heartbeat_interval_ms;
    int64_t due_ms = lost_ms;
    if (uplink->socket_wanted)
        due_ms = uplink->retry_ms;
    else if (uplink->state == UPLINK_ACTIVE && heartbeat_ms < lost_ms)
        due_ms = heartbeat_ms;
    int64_t wait_ms = due_ms - now_ms;
    return wait_ms <= 0 ? 0 : wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}
