/* The simulator: whole fleets in one process, in virtual time, without sockets or threads.
 *
 * The learner is a real Fleet beside a model of the trainer that keeps to the real pacer; an actor
 * is a real Uplink and a real Outbox beside a model of the rollout. Between them is a network that
 * delays, breaks connections, delivers twice, and cuts hosts off; learners and actors crash and
 * come back. All chance comes from one seed, so a failure is repeated by its number alone.
 *
 * What is looked for at every step is said where it is checked: look for sim_check(). */
#ifndef POLYAK_TESTS_SIM_SIM_H
#define POLYAK_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/outbox.h"
#include "actor/uplink.h"
#include "learner/fleet/fleet.h"
#include "learner/replay/pacer.h"

enum {
    SIM_TICK_MS = 10,
    SIM_SETTLE_MS = 30000, /* after the last failure, until all connections are new */
    SIM_ACTORS_MAX = 6,
    SIM_ENVS_MAX = 3,
    SIM_STEPS_MAX = 8, /* of a segment */
    SIM_SLOTS_MAX = 64,
    SIM_LINKS_MAX = 4096,
    SIM_LIVES_MAX = 256, /* of actor processes */
    SIM_SESSIONS_MAX = 1024,
    SIM_CONNECTIONS_MAX = 256,
    SIM_SEGMENT_FLOATS = 3 * SIM_STEPS_MAX + 1,
};

/* --- Chance ------------------------------------------------------------------------------------
 */

typedef struct SimRng {
    uint64_t state;
} SimRng;

static inline uint64_t sim_u64(SimRng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* In [low, high]. */
static inline int sim_range(SimRng *rng, int low, int high)
{
    return low + (int)(sim_u64(rng) % (uint64_t)(high - low + 1));
}

static inline bool sim_chance(SimRng *rng, double probability)
{
    return (double)(sim_u64(rng) >> 11) * 0x1p-53 < probability;
}

/* --- Network -----------------------------------------------------------------------------------
 */

/* A message on its way, with the numbers of a segment. */
typedef struct Packet {
    int64_t due_ms;
    uint32_t link; /* on which it arrives at the learner */
    int session;   /* of the sender: an index, known to the simulator alone */
    Message message;
    float floats[SIM_SEGMENT_FLOATS];
    struct Packet *next;
} Packet;

/* One direction of a connection: delivered in order, each not before its time. */
typedef struct Pipe {
    Packet *head;
    Packet *tail;
    int64_t last_due_ms;
} Pipe;

typedef struct Connection {
    bool used;
    bool closed;   /* by the actor; what is on its way may still arrive */
    int actor;     /* its place in Sim.actors */
    uint32_t link; /* changes when the connection breaks and is dialled again underneath */
    Pipe up;
    Pipe down;
} Connection;

/* --- Learner -----------------------------------------------------------------------------------
 */

typedef struct SimLearner {
    bool alive;
    Fleet *fleet;
    uint32_t epoch;
    Pacer pacer;
    int64_t begins_ms; /* when a dead one comes back */
    int64_t frozen_ms; /* it does nothing before */
    int64_t next_tick_ms;
    int ring[SIM_SLOTS_MAX]; /* steps of the segments that wait for the trainer */
    uint64_t ring_head;
    uint64_t ring_tail;
    uint64_t env_steps;
    uint64_t updates;
    Version published;
    int64_t publish_ms;
    bool bye_said;
    bool has_checkpoint;
    uint64_t checkpoint_env_steps;
    uint64_t checkpoint_updates;
    uint64_t sum; /* granted and accepted, when it was last looked at */
    /* What was accepted in this life: */
    uint64_t accepted;                                  /* env steps, with those resumed from */
    uint64_t last_sequence[SIM_SESSIONS_MAX];           /* by session */
    uint64_t next_step[SIM_LIVES_MAX][SIM_ENVS_MAX];    /* by process and environment */
    int next_step_session[SIM_LIVES_MAX][SIM_ENVS_MAX]; /* the session of the last one, + 1 */
    Version newest_seen[SIM_LIVES_MAX][SIM_ENVS_MAX];
    int receiving_session;
} SimLearner;

/* --- Actor -------------------------------------------------------------------------------------
 */

typedef struct SimLane {
    Segment *open;
    int64_t opened_ms;
    uint64_t episode;
    uint32_t episode_steps;
    uint64_t steps; /* of this process, ever: a segment carries them as its rewards */
} SimLane;

typedef struct SimActor {
    bool alive;
    int life; /* number of this process */
    int session;
    int64_t begins_ms;
    int64_t frozen_ms;
    int64_t up_blocked_ms; /* nothing that it sends arrives before */
    int64_t down_blocked_ms;
    int envs;
    int speed; /* steps of each environment in a tick, at most */
    Uplink uplink;
    Outbox outbox;
    bool configured;
    uint64_t welcomes_seen;
    uint64_t sessions_seen;
    Connection *connection;
    uint64_t session_steps; /* taken or kept in this session, counted here too */
    uint64_t step_limit;    /* by the messages that came */
    SimLane lanes[SIM_ENVS_MAX];
    int first;
    Version policy;
    int64_t weights_ms;
    bool blocked;
    int64_t waiting_since_ms;
} SimActor;

/* --- All of it ---------------------------------------------------------------------------------
 */

typedef struct Sim {
    uint64_t seed;
    SimRng rng;
    int64_t now_ms;
    int64_t faults_until_ms;
    int64_t progress_ms; /* when anything moved last */
    uint64_t progress;
    bool sync;

    /* What may happen, drawn for each run. */
    int delay_ms_max;
    double slow_chance; /* a message takes seconds */
    double twice_chance;
    double lost_chance; /* an answer of the learner is dropped in silence */
    double full_chance; /* a socket does not take a message */
    double fault_chance;
    int ingest_max; /* segments that the trainer takes in a tick, at most */
    int update_max;
    int episode_max;
    double drop_chance; /* of a step that is not finite */

    FleetConfig fleet_config;
    Pacer pacer;
    uint64_t slots;
    Spec spec;
    SimLearner learner;
    int num_actors;
    SimActor actors[SIM_ACTORS_MAX];
    int num_lives;
    int num_sessions;
    Session sessions[SIM_SESSIONS_MAX];
    uint64_t stream_of[SIM_SESSIONS_MAX]; /* actor_index and incarnation, + 1; 0: none */
    uint32_t num_links;
    int64_t link_gone_ms[SIM_LINKS_MAX]; /* when the learner finds out; INT64_MAX: it is there */
    Connection connections[SIM_CONNECTIONS_MAX];
} Sim;

/* Ends the program with the seed unless the condition holds. */
#define sim_check(sim, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sim_fail(sim, __FILE__, __LINE__, #condition, __VA_ARGS__);                            \
    } while (0)
void sim_fail(const Sim *sim, const char *file, int line, const char *condition, const char *format,
              ...) __attribute__((noreturn, format(printf, 5, 6)));
void sim_say(const Sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern bool sim_talks;

/* sim_net.c */
Connection *sim_connect(Sim *sim, int actor);
void sim_close(Sim *sim, Connection *connection);
void sim_send_up(Sim *sim, Connection *connection, const Message *message, int session);
/* False when the learner is told that the peer is gone. */
bool sim_send_down(Sim *sim, uint32_t link, const Message *message);
Packet *sim_take(Pipe *pipe, int64_t now_ms);
void sim_free_if_done(Connection *connection);
/* The connection is lost and dialled again underneath, as libzmq does by itself. */
void sim_break(Sim *sim, Connection *connection, bool learner_died);
void sim_break_all(Sim *sim);
void sim_packet_free(Packet *packet);
void sim_net_end(Sim *sim);
bool sim_blocked(const Sim *sim, const Connection *connection, bool up);

/* sim_learner.c */
void learner_begin(Sim *sim);
void learner_crash(Sim *sim);
void learner_work(Sim *sim);
void learner_end(Sim *sim);

/* sim_actor.c */
void actor_begin(Sim *sim, int i);
void actor_crash(Sim *sim, int i);
void actor_work(Sim *sim, int i);

#endif
