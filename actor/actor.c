#include "actor/actor.h"

#include <stdio.h>
#include <string.h>

#include <zmq.h>

#include "actor/connection.h"
#include "actor/downlink.h"
#include "actor/envs/env_host.h"
#include "actor/rollout.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/text.h"

enum {
    LOOK_INTERVAL_NS = 200000, /* between two looks at the sockets while stepping */
    CALL_NS = 50000000,        /* the same where the environments are slow */
    WAIT_MAX_MS = 1000,
    WAIT_LOGGED_MS = 5000, /* a wait that lasts longer is logged */
    SLOW_MS = 5000,        /* environments that finish no step for so long are said to be slow */
    STOP_WAIT_MS = 1000,   /* for the last acknowledgements, */
    END_WAIT_MS = 10000,   /* and for each of them where the actor ends by itself */
    RATE_WINDOW_MS = 1000, /* over which steps per second are counted */
    SESSION_WORD_BYTES = 9,
};

typedef struct Actor {
    EnvKind *kind;
    const Spec *spec;
    int num_envs;
    Outbox outbox;    /* without places, and */
    Rollout *rollout; /* NULL, until the first Welcome */
    Policy policy;
    Connection connection;
    Downlink downlink;
    bool configured;          /* a Welcome came */
    int64_t looked_ns;        /* at the sockets */
    uint64_t steps;           /* recorded, ever */
    uint64_t steps_max;       /* then it ends, */
    int64_t ends_ms;          /* or at this time */
    uint64_t rate_steps;      /* of these at the begin of the rate's window, */
    int64_t rate_ms;          /* and when that was */
    int64_t stepped_ms;       /* when a step was last recorded, or none could be */
    int64_t waiting_since_ms; /* 0: it is stepping */
    bool waiting_said;
    char waiting_for[WIRE_TEXT_MAX + 1];
    bool spool_said; /* that it goes on without the learner, */
    bool full_said;  /* and that it cannot any more */
} Actor;

/* Makes outbox and environments, now that the length of a segment is known. */
static int make_rollout(Actor *actor, int segment_steps, Err *err)
{
    int places = OUTBOX_PLACES_PER_ENV * actor->num_envs;
    if (places < OUTBOX_PLACES_MIN)
        places = OUTBOX_PLACES_MIN;
    places += (int)actor->connection.uplink.spool_segments;
    if (outbox_new(&actor->outbox, places, actor->spec->obs_dim, actor->spec->act_dim,
                   segment_steps) != 0)
        return err_set(err, ERR_NOMEM, "out of memory for %d segments", places);
    return rollout_new(actor->kind, actor->num_envs, &actor->outbox, &actor->rollout, err);
}

/* Enough of a session's name to tell it from the others of a run. */
static const char *session_word(const Uplink *uplink, char word[SESSION_WORD_BYTES])
{
    const uint8_t *id = uplink->hello.session.id;
    snprintf(word, SESSION_WORD_BYTES, "%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
    return word;
}

/* Tells a person that the learner is back. */
static void note_return(Actor *actor)
{
    if (actor->spool_said)
        log_info("back after %.1f s with %llu segments",
                 (double)(clock_ms() - actor->connection.uplink.lost_ms) / 1000.0,
                 (unsigned long long)outbox_unacked(&actor->outbox));
    actor->spool_said = false;
    actor->full_said = false;
}

/* Takes the word of a new Welcome: how to act, and where the weights are. */
static int take_welcome(Actor *actor, Err *err)
{
    const Uplink *uplink = &actor->connection.uplink;
    const Welcome *welcome = &uplink->welcome;
    int segment_steps = (int)welcome->segment_steps;
    int code = actor->configured ? ERR_OK : make_rollout(actor, segment_steps, err);
    if (code != 0)
        return code;
    /* Segments that are queued or open may be longer than it takes now. */
    if (segment_steps != actor->outbox.steps_max)
        return err_set(err, ERR_SPEC,
                       "the learner changed segment_steps from %d to %d: restart this actor",
                       actor->outbox.steps_max, segment_steps);
    RolloutConfig config = {
        .seed = welcome->seed,
        .actor_index = welcome->actor_index,
        .incarnation = welcome->incarnation,
        .segment_steps = segment_steps,
        .segment_flush_ms = (int)welcome->segment_flush_ms,
        .call_ns = CALL_NS,
        .explore = {(Noise)welcome->noise, welcome->sigma, welcome->ou_theta, welcome->ou_dt},
    };
    rollout_configure(actor->rollout, &config);
    if (uplink->spool_segments > 0 && welcome->sync && !actor->configured)
        log_info("--spool-segments is not used: in lockstep (--sync) credit names each policy");
    actor->configured = true;
    char session[SESSION_WORD_BYTES];
    log_info("connected to %s as actor %u, session %s, %llu segments acknowledged",
             actor->connection.dealer.endpoint, welcome->actor_index, session_word(uplink, session),
             (unsigned long long)actor->outbox.acked_sequence);
    note_return(actor);
    return downlink_open(&actor->downlink, welcome, actor->connection.dealer.endpoint,
                         &uplink->hello.session, err);
}

/* Why no step may be taken now; NULL when one may. */
static const char *why_not_step(const Actor *actor, int64_t now_ms, char text[WIRE_TEXT_MAX + 1])
{
    const Uplink *uplink = &actor->connection.uplink;
    if (!actor->configured)
        return "waiting for the learner";
    if (uplink_spools(uplink) && uplink_credit(uplink) == 0) {
        snprintf(text, WIRE_TEXT_MAX + 1, "the spool is full: %llu segments wait for the learner",
                 (unsigned long long)outbox_unacked(&actor->outbox));
        return text;
    }
    const char *reason =
        uplink_why_wait(uplink, actor->policy.version, actor->downlink.received_ms, now_ms);
    if (reason)
        return reason;
    if (rollout_is_blocked(actor->rollout))
        return "the outbox is full: waiting for acknowledgements";
    return NULL;
}

/* What is waited for while steps may be taken, but none is finished; NULL: nothing. */
static const char *why_slow(const Actor *actor, int64_t now_ms, char text[WIRE_TEXT_MAX + 1])
{
    int64_t slow_ms = now_ms - actor->stepped_ms;
    if (slow_ms <= SLOW_MS)
        return NULL;
    snprintf(text, WIRE_TEXT_MAX + 1, "waiting for the environment: %.1f s",
             (double)slow_ms / 1000);
    return text;
}

static void note_wait(Actor *actor, const char *reason, int64_t now_ms)
{
    if (!reason) {
        actor->waiting_since_ms = 0;
        actor->waiting_said = false;
        actor->waiting_for[0] = '\0';
        return;
    }
    if (actor->waiting_since_ms == 0)
        actor->waiting_since_ms = now_ms;
    snprintf(actor->waiting_for, sizeof actor->waiting_for, "%s", reason);
    bool connected = actor->connection.uplink.state == UPLINK_ACTIVE;
    if (connected && !actor->waiting_said && now_ms - actor->waiting_since_ms > WAIT_LOGGED_MS) {
        log_info("%s", reason);
        actor->waiting_said = true;
    }
}

static void say_status(const Actor *actor)
{
    if (actor->waiting_for[0] != '\0')
        notify_status("%llu env steps; %s", (unsigned long long)actor->steps, actor->waiting_for);
    else
        notify_status("%llu env steps, %.0f/s", (unsigned long long)actor->steps,
                      actor->connection.uplink.status.steps_per_s);
}

/* Tells a person that it goes on without the learner, and that it cannot any more. */
static void note_spool(Actor *actor, const char *reason)
{
    const Uplink *uplink = &actor->connection.uplink;
    if (!uplink_spools(uplink))
        return;
    if (!actor->spool_said && !reason) {
        log_info("going on without the learner, until %llu segments wait for it",
                 (unsigned long long)uplink->spool_segments);
        actor->spool_said = true;
    } else if (!actor->full_said && reason) {
        log_info("%s", reason);
        actor->full_said = true;
    }
}

static void fill_heartbeat(Actor *actor, int64_t now_ms)
{
    Uplink *uplink = &actor->connection.uplink;
    int64_t window_ms = now_ms - actor->rate_ms;
    if (window_ms >= RATE_WINDOW_MS) {
        uplink->status.steps_per_s =
            (double)(actor->steps - actor->rate_steps) * 1000 / (double)window_ms;
        actor->rate_steps = actor->steps;
        actor->rate_ms = now_ms;
    }
    uplink->status.env_steps = uplink->steps_taken;
    uplink->status.version = actor->policy.version;
    uplink->status.dropped_steps = actor->rollout ? rollout_dropped_steps(actor->rollout) : 0;
    memcpy(uplink->status.waiting_for, actor->waiting_for, sizeof uplink->status.waiting_for);
    uplink->status.sessions = (uint32_t)uplink->sessions;
    if (actor->rollout) {
        uplink->status.faults = *rollout_faults(actor->rollout);
        text_excerpt(rollout_last_fault(actor->rollout), uplink->status.last_fault,
                     sizeof uplink->status.last_fault);
    }
}

/* One look at the sockets: messages in and out, weights in. */
static int look(Actor *actor, int64_t now_ms, Err *err)
{
    Connection *connection = &actor->connection;
    Uplink *uplink = &connection->uplink;
    fill_heartbeat(actor, now_ms);
    int code = connection_drive(connection, now_ms, err);
    if (code != 0)
        return code;
    if (connection_new_session(connection) && actor->rollout)
        uplink_count_steps(uplink, rollout_open_steps(actor->rollout));
    if (connection_welcomed(connection)) {
        code = take_welcome(actor, err);
        if (code != 0)
            return code;
    }
    if (!actor->configured)
        return ERR_OK;
    /* In lockstep a turn is taken with one policy. Between turns the newest is that of the next
     * one: taking it as it comes keeps the socket's queue from filling with older ones. */
    bool in_turn = uplink->welcome.sync && uplink_credit(uplink) > 0 &&
                   version_equal(actor->policy.version, uplink->credit_version);
    if (!in_turn)
        downlink_poll(&actor->downlink, &actor->policy, now_ms);
    downlink_chase(&actor->downlink, &actor->policy, uplink->newest,
                   uplink->welcome.publish_interval_ms, now_ms);
    return ERR_OK;
}

/* Takes steps until it is time to look at the sockets again. */
static int step_for_a_while(Actor *actor, int64_t now_ms, Err *err)
{
    Uplink *uplink = &actor->connection.uplink;
    for (;;) {
        uint64_t credit = uplink_credit(uplink);
        if (credit > actor->steps_max - actor->steps)
            credit = actor->steps_max - actor->steps;
        int steps = rollout_step(actor->rollout, &actor->policy, credit, now_ms, err);
        if (steps < 0)
            return steps;
        uplink_count_steps(uplink, (uint64_t)steps);
        actor->steps += (uint64_t)steps;
        if (actor->steps == actor->steps_max)
            return ERR_OK;
        if (uplink_credit(uplink) == 0) {
            /* No more steps for now: what there is may be what the learner waits for. A full spool
             * has no room for more segments, and nobody to wait for them. */
            if (uplink->state == UPLINK_ACTIVE)
                rollout_flush(actor->rollout, now_ms, true);
            return ERR_OK;
        }
        if (rollout_is_blocked(actor->rollout) || clock_ns() - actor->looked_ns > LOOK_INTERVAL_NS)
            return ERR_OK;
    }
}

static void wait_for_learner(Actor *actor, int64_t now_ms)
{
    int timeout_ms = uplink_timeout_ms(&actor->connection.uplink, now_ms);
    if (timeout_ms > WAIT_MAX_MS)
        timeout_ms = WAIT_MAX_MS;
    if (timeout_ms > actor->ends_ms - now_ms)
        timeout_ms = (int)(actor->ends_ms - now_ms);
    /* Without credit no policy is needed: those that come wait for the next look. */
    bool policy_wanted = uplink_credit(&actor->connection.uplink) > 0;
    connection_wait(&actor->connection, policy_wanted ? actor->downlink.socket : NULL, timeout_ms);
}

/* Whether open segments are closed for their age. While there is no connection, they can still be
 * filled later; in the middle of a turn of lockstep, what is recorded must not depend on time. */
static bool flush_by_age(const Actor *actor)
{
    const Uplink *uplink = &actor->connection.uplink;
    return actor->configured && uplink->state == UPLINK_ACTIVE &&
           !(uplink->welcome.sync && uplink_credit(uplink) > 0);
}

/* Whether the actor has done what it was started for; says so. */
static bool is_over(const Actor *actor, int64_t now_ms)
{
    if (actor->steps >= actor->steps_max)
        log_info("%llu env steps are taken: this actor ends (exit_after_steps)",
                 (unsigned long long)actor->steps);
    else if (now_ms >= actor->ends_ms)
        log_info("its lifetime is over after %llu env steps: this actor ends (max_lifetime_s)",
                 (unsigned long long)actor->steps);
    else
        return false;
    return true;
}

static int act(Actor *actor, const volatile sig_atomic_t *stop, Err *err)
{
    uint64_t steps = 0; /* at the last look */
    while (!*stop) {
        int64_t now_ms = clock_ms();
        actor->looked_ns = clock_ns();
        int code = look(actor, now_ms, err);
        if (code != 0)
            return code;
        if (actor->connection.uplink.state == UPLINK_FINISHED || is_over(actor, now_ms))
            return ERR_OK;
        if (flush_by_age(actor))
            rollout_flush(actor->rollout, now_ms, false);
        char text[WIRE_TEXT_MAX + 1];
        const char *reason = why_not_step(actor, now_ms, text);
        if (reason || actor->steps != steps)
            actor->stepped_ms = now_ms;
        steps = actor->steps;
        note_spool(actor, reason);
        note_wait(actor, reason ? reason : why_slow(actor, now_ms, text), now_ms);
        if (notify_tick(now_ms, true))
            say_status(actor);
        if (reason) {
            wait_for_learner(actor, now_ms);
            continue;
        }
        code = step_for_a_while(actor, now_ms, err);
        if (code != 0)
            return code;
    }
    return err_set(err, ERR_STOPPED, "stopped");
}

/* The last heartbeat: with all faults, and what ended the actor where that was its environment. */
static void say_last_words(Actor *actor, int code, const Err *why)
{
    Uplink *uplink = &actor->connection.uplink;
    if (uplink->state != UPLINK_ACTIVE && uplink->state != UPLINK_FINISHED)
        return;
    fill_heartbeat(actor, clock_ms());
    Message message;
    uplink_heartbeat(uplink, &message);
    if (code == ERR_ENV)
        text_excerpt(why->text, message.heartbeat.last_fault, sizeof message.heartbeat.last_fault);
    dealer_send(&actor->connection.dealer, &message, &actor->connection.dims);
}

/* Sends what is left and waits for its acknowledgement: a moment, where somebody wants the actor
 * gone. Where it ends by itself, as long as the learner takes more, and is back soon. */
static void hand_over(Actor *actor, bool by_itself, const volatile sig_atomic_t *stop)
{
    const Uplink *uplink = &actor->connection.uplink;
    int64_t until_ms = clock_ms() + (by_itself ? END_WAIT_MS : STOP_WAIT_MS);
    uint64_t left = outbox_unacked(&actor->outbox);
    Err err;
    while (left > 0 && clock_ms() < until_ms && !(by_itself && *stop)) {
        if (uplink->state != UPLINK_ACTIVE && !(by_itself && uplink->state == UPLINK_CONNECTING))
            return;
        notify_tick(clock_ms(), true);
        if (connection_drive(&actor->connection, clock_ms(), &err) != 0)
            return;
        connection_wait(&actor->connection, NULL, 20);
        if (by_itself && outbox_unacked(&actor->outbox) < left)
            until_ms = clock_ms() + END_WAIT_MS;
        left = outbox_unacked(&actor->outbox);
    }
}

/* What an end with segments that the learner does not have makes of `code`. One who was told to go
 * says so, one who ended by itself has failed: these steps are lost. A run that is over has all
 * that it wants. */
static int end_with_rest(const Actor *actor, int code, bool stopped, Err *err)
{
    uint64_t left = outbox_unacked(&actor->outbox);
    if (left == 0)
        return code;
    char text[128];
    snprintf(text, sizeof text,
             "%llu segment%s (%llu steps) %s left that the learner did not acknowledge",
             (unsigned long long)left, left == 1 ? "" : "s",
             (unsigned long long)outbox_unacked_steps(&actor->outbox), left == 1 ? "is" : "are");
    bool over = actor->connection.uplink.state == UPLINK_FINISHED;
    if (code == ERR_OK && !over && !stopped)
        return err_set(err, ERR_NET, "%s", text);
    log_warn("%s", text);
    return code == ERR_OK && !over ? err_set(err, ERR_STOPPED, "stopped") : code;
}

/* Sends what is left and says goodbye. `code` and `err` are of the end; returns what it comes to.
 */
static int leave(Actor *actor, int code, const volatile sig_atomic_t *stop, Err *err)
{
    Uplink *uplink = &actor->connection.uplink;
    if (actor->rollout)
        rollout_stop(actor->rollout);
    hand_over(actor, code == 0, stop);
    code = end_with_rest(actor, code, *stop != 0, err);
    char session[SESSION_WORD_BYTES];
    if (actor->configured)
        log_info("session %s ends with %llu segments acknowledged", session_word(uplink, session),
                 (unsigned long long)actor->outbox.acked_sequence);
    say_last_words(actor, code, err);
    Message bye = {.kind = MESSAGE_BYE, .bye = code == 0 ? BYE_FINISHED : BYE_STOPPING};
    dealer_send(&actor->connection.dealer, &bye, &actor->connection.dims);
    return code == 0 && uplink->state != UPLINK_FINISHED ? ACTOR_ENDED : code;
}

int64_t actor_ends_ms(const Config *config)
{
    return config->max_lifetime_s > 0 ? clock_ms() + config->max_lifetime_s * 1000 : INT64_MAX;
}

static int open_actor(Actor *actor, void *zmq_context, const Config *config,
                      const volatile sig_atomic_t *stop, Err *err)
{
    actor->num_envs = (int)config->envs_per_actor;
    actor->outbox = (Outbox){.next_sequence = 1};
    actor->steps_max =
        config->exit_after_steps > 0 ? (uint64_t)config->exit_after_steps : UINT64_MAX;
    actor->ends_ms = actor_ends_ms(config);
    EnvSetup setup = env_setup(config, actor->num_envs);
    setup.stop = stop;
    int code = env_kind_open(&setup, &actor->kind, err);
    if (code != 0)
        return code;
    actor->spec = env_kind_spec(actor->kind);
    policy_init(&actor->policy, actor->num_envs);
    code = downlink_init(&actor->downlink, zmq_context, actor->spec, err);
    if (code != 0)
        return code;
    Hello hello = {.role = ROLE_ACTOR,
                   .has_spec = true,
                   .spec = *actor->spec,
                   .num_envs = (uint32_t)actor->num_envs};
    connection_name(config, hello.name);
    code = connection_labels(config, &hello, err);
    if (code != 0)
        return code;
    downlink_use_keys(&actor->downlink, &actor->connection.dealer.keys);
    code = connection_open(&actor->connection, zmq_context, config, &hello, &actor->outbox,
                           WIRE_SMALL_BYTES_MAX, err);
    actor->connection.uplink.spool_segments = (uint64_t)config->spool_segments;
    return code;
}

int actor_run(const Config *config, const volatile sig_atomic_t *stop, Err *err)
{
    static Actor actor;
    memset(&actor, 0, sizeof actor);
    void *zmq_context = zmq_ctx_new();
    if (!zmq_context)
        return err_set(err, ERR_NOMEM, "out of memory for ZeroMQ");
    int code = open_actor(&actor, zmq_context, config, stop, err);
    if (code == 0) {
        notify_ready(); /* the learner may be away: actors wait for it as long as it takes */
        code = act(&actor, stop, err);
        notify_stopping();
        code = leave(&actor, code, stop, err);
    }
    connection_close(&actor.connection);
    downlink_destroy(&actor.downlink);
    zmq_ctx_term(zmq_context);
    rollout_destroy(&actor.rollout);
    outbox_destroy(&actor.outbox);
    policy_destroy(&actor.policy);
    env_kind_close(&actor.kind);
    return code;
}
