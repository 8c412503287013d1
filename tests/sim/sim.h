/* The simulator: whole fleets in one process, in virtual time, without sockets or threads.
 *
 * The learner is a real Fleet, a real SegmentRing and the real logs (LogKeeper, LogWriter,
 * OrderLog) on a disk in memory, beside a model of the trainer that keeps to the real pacer; an
 * actor is a real Uplink and a real Outbox beside a model of the rollout. Between them is a network
 * that delays, breaks connections, delivers twice, and cuts hosts off; disks fill up and fail;
 * actors and learner crash, lose power and come back; operators and thieves do what they do. All
 * chance comes from one seed, so a failure is repeated by its number alone. In a third of the runs
 * some actors come through relays, which die too.
 *
 * What must hold is said where it is checked: look for sim_check(). The truth, to which all is
 * compared, is in sim_truth.c. */
#ifndef POLYAK_TESTS_SIM_SIM_H
#define POLYAK_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/outbox.h"
#include "actor/uplink.h"
#include "learner/fleet/fleet.h"
#include "learner/log/log_keeper.h"
#include "learner/log/log_reader.h"
#include "learner/log/log_recover.h"
#include "learner/replay/pacer.h"
#include "learner/segment_ring.h"
#include "learner/train/history.h"
#include "relay/hub.h"
#include "tests/learner/log/memory_disk.h"
#include "tests/sim/sim_rng.h"

enum {
    SIM_TICK_MS = 10,
    SIM_SETTLE_MS = 30000, /* after the last failure, until all connections are new */
    SIM_LONGEST_MS = 3600000,
    SIM_ACTORS_MAX = 6,
    SIM_ENVS_MAX = 3,
    SIM_STEPS_MAX = 8, /* of a segment */
    SIM_SLOTS_MAX = 64,
    SIM_LINKS_MAX = 8192,
    SIM_LIVES_MAX = 512, /* of actor processes */
    SIM_SESSIONS_MAX = 1024,
    SIM_CONNECTIONS_MAX = 256,
    SIM_SEGMENT_FLOATS = 3 * SIM_STEPS_MAX + 1,
    SIM_TOTAL_STEPS_MAX = 1500,
    SIM_PLACES_MAX = 2 * SIM_TOTAL_STEPS_MAX,
    SIM_CHECKPOINTS = 2, /* that are kept */
    SIM_RELAYS_MAX = 2,
};
#define SIM_DIRECTORY "run/replay"

/* --- Network -----------------------------------------------------------------------------------
 */

/* A message on its way, with the numbers of a segment. */
typedef struct Packet {
    int64_t due_ms;
    Link link;        /* of the actor, on which it arrives; 0: it is a relay's own */
    uint32_t channel; /* between a relay and the learner */
    int session;      /* of the sender: an index, known to the simulator alone */
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
    bool closed; /* by the actor; what is on its way may still arrive */
    int actor;   /* its place in Sim.actors */
    Link link;   /* changes when the connection breaks and is dialled again underneath */
    Pipe up;
    Pipe down;
} Connection;

/* A relay: a real Hub and a real Uplink. */
typedef struct SimRelay {
    struct Sim *sim;
    int number;             /* from 1 */
    Hub *hub;               /* NULL: it is dead */
    struct SimRelay *above; /* that it has dialled; NULL: the learner */
    Link connection;        /* as its parent knows it: beyond all of the simulator's links */
    Uplink uplink;
    Pipe up;
    Pipe down;
    uint64_t lives;
    int64_t begins_ms;
    int64_t frozen_ms;
    int64_t held_up_ms; /* its parent takes nothing before, and it reads nothing from below */
    int64_t next_tick_ms;
} SimRelay;

/* --- The truth ---------------------------------------------------------------------------------
 */

/* A segment as it left the rollout, and what became of it. */
typedef struct SimSegment {
    int life;
    uint32_t env;
    uint64_t first; /* step of this environment, ever */
    int steps;
    bool given_up;      /* the learner counted it as lost */
    bool dropped;       /* the actor counted it as lost */
    bool out;           /* all steps of the run were there: not needed */
    uint64_t handed_on; /* its position in the run, in the newest history; 0: none */
} SimSegment;

/* A session, as actor and learner should know it. */
typedef struct SimSession {
    int life;
    int key;              /* that opened it; 0: none */
    SimSegment *segments; /* [sequence - 1] */
    uint64_t num_segments;
    uint64_t room;
    uint64_t accepted;  /* by the learner, or given up by it: the next one must follow */
    uint64_t waiting;   /* of these, segments that are not logged yet */
    uint64_t logged;    /* the newest that is */
    uint64_t said;      /* acknowledged in this start of the learner */
    uint64_t said_ever; /* acknowledged by any */
    bool expired;       /* the learner said so */
    bool welcomed;      /* by this start of the learner */
} SimSession;

/* A position of the run: a segment that was accepted. */
typedef struct SimPlace {
    int session;
    uint64_t sequence;
    int steps; /* that were taken of it */
    uint64_t row_end;
    uint64_t env_steps; /* of the run, after it */
    bool logged;        /* survives the death of the process */
    bool synced;        /* survives a power loss */
    bool suspect;       /* was in a file that failed */
    bool skipped;       /* went on without the log */
    bool named;         /* as a gap, in a file */
    bool lost;          /* the log has it no more, and counted it */
    bool there;         /* scratch of a recovery: it was read back */
    bool ingested;
} SimPlace;

/* --- Learner -----------------------------------------------------------------------------------
 */

/* What a checkpoint says. */
typedef struct SimCheckpoint {
    uint64_t position;
    uint64_t row;
    uint64_t env_steps;
    uint64_t episodes;
    uint64_t updates;
    bool synced; /* the logs were, up to it */
    Pacer pacer;
} SimCheckpoint;

/* The log thread's half of a learner. */
typedef struct SimLog {
    bool open;
    LogKeeper keeper;
    LogReader *past; /* of what is to be ingested again; NULL: it is */
    LogRecovered recovered;
    LogStatus reported; /* how it stands, as the loop knows it */
    uint64_t base;      /* position of the ring's first segment, - 1 */
    uint64_t marked;    /* of the ring's segments, those known to be logged or skipped */
    uint64_t unlogged;  /* the keeper's, at that time */
    uint64_t synced;    /* positions known to be synced */
    uint64_t named;     /* positions known to be in a file, or named as a gap */
    int64_t stalled_ms; /* it does nothing before */
} SimLog;

/* The trainer thread's half. */
typedef struct SimTrainer {
    Pacer pacer;
    uint64_t position; /* of the newest segment that it ingested */
    uint64_t row;
    uint64_t env_steps;
    uint64_t episodes;
    uint64_t updates;
    Version published;
    int64_t publish_ms;
    int64_t stalled_ms;
} SimTrainer;

typedef struct SimLearner {
    bool alive;
    Fleet *fleet;
    uint32_t epoch;
    int64_t begins_ms; /* when a dead one comes back */
    int64_t open_ms;   /* a living one reads its log back until then; 0: it is done */
    int64_t frozen_ms; /* it does nothing before */
    int64_t next_tick_ms;
    bool has_ring;
    SegmentRing ring;
    SimLog log;
    SimTrainer trainer;
    SimTrainer told; /* as the fleet knows it */
    FleetProgress progress;
    uint64_t unlogged; /* segments that went on without the log, as the fleet was told last */
    bool bye_said;
    uint64_t sum;      /* granted and accepted, when it was last looked at */
    uint64_t accepted; /* env steps, with those resumed from */
    /* By process and environment, of what its run's history holds: */
    uint64_t next_step[SIM_LIVES_MAX][SIM_ENVS_MAX];
    Version newest_seen[SIM_LIVES_MAX][SIM_ENVS_MAX];
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
    int key; /* 0: none */
    int64_t begins_ms;
    int64_t frozen_ms;
    int64_t up_blocked_ms; /* nothing that it sends arrives before */
    int64_t down_blocked_ms;
    int envs;
    int speed;      /* steps of each environment in a tick, at most */
    uint64_t spool; /* segments that it gathers when it lost its learner */
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
    uint64_t moved;   /* its steps and acknowledgements, and */
    int64_t moved_ms; /* when there was a new one */
} SimActor;

/* --- All of it ---------------------------------------------------------------------------------
 */

/* What may happen; each has a weight that is drawn for each run. */
typedef enum SimFault {
    SIM_ACTOR_CRASH,
    SIM_ACTOR_FREEZE,
    SIM_CUT_OFF,
    SIM_CUT_UP,
    SIM_CUT_DOWN,
    SIM_BREAK,
    SIM_LEARNER_CRASH,
    SIM_LEARNER_FREEZE,
    SIM_LEARNER_RESTART, /* in good order */
    SIM_POWER_LOSS,
    SIM_DISK_FULL,
    SIM_DISK_ERROR,
    SIM_STALL_LOG,
    SIM_STALL_TRAINER,
    SIM_THIEF,
    SIM_REVOKE,
    SIM_DRAIN,
    SIM_SET,
    SIM_NUM_FAULTS,
} SimFault;

/* What happened, over all runs: that nothing happens would be no test. */
typedef struct SimTally {
    uint64_t faults[SIM_NUM_FAULTS];
    uint64_t restarts; /* from a log */
    uint64_t failed_starts;
    uint64_t log_failures;
    uint64_t skipped;     /* segments that went on without the log */
    uint64_t given_up;    /* segments: acknowledged, lost, and counted by the learner */
    uint64_t lost_in_log; /* segments: counted when the log was read back */
    uint64_t dropped;     /* segments: counted by an actor whose session had expired */
    uint64_t expired;     /* sessions */
    uint64_t pruned_files;
    uint64_t spooled; /* steps without credit, */
    uint64_t full;    /* and ticks in which a spool had no more room */
    uint64_t relayed; /* messages that went through relays, */
    uint64_t relay_deaths;
    uint64_t relay_full; /* messages for which a peer's queue had no place */
    uint64_t stacked;    /* messages through two */
    uint64_t ms;         /* of virtual time */
    uint64_t segments;
    uint64_t steps;
} SimTally;

typedef struct Sim {
    uint64_t seed;
    SimRng rng;
    int64_t now_ms;
    int64_t faults_until_ms;
    int64_t progress_ms; /* when anything moved last */
    uint64_t progress;
    bool sync;

    /* What may happen, drawn for each run. */
    int weights[SIM_NUM_FAULTS];
    int weights_sum;
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
    bool keys;          /* peers have one each */
    int spool_max;      /* segments of an actor's spool, at most */
    bool strict; /* grants are checked after each segment too, which takes most of the time */

    FleetConfig fleet_config;
    Pacer pacer;
    uint64_t slots;
    Spec spec;

    /* The log; without one a crash of the learner loses what is not in a checkpoint. */
    bool logged;
    LogOnError on_error;
    int64_t fsync_ms;
    uint64_t file_bytes_max;
    uint64_t replay_rows; /* of the replay: what lies before needs no log */
    double checkpoint_chance;
    MemoryDisk *disk;
    int64_t disk_fails_ms; /* until then */
    uint64_t power_losses;
    bool power_was_lost; /* since the log was last opened */
    uint64_t skipped;    /* segments that went on without the log */
    bool ratio_was_set;  /* by an operator */
    bool begun;          /* the run is: it can be resumed */

    SimLearner learner;
    SimCheckpoint checkpoints[SIM_CHECKPOINTS]; /* the newest last */
    int num_checkpoints;
    uint64_t pruned_row; /* rows before it may be gone from the log */

    int num_actors;
    SimActor actors[SIM_ACTORS_MAX];
    int num_lives;
    bool life_over[SIM_LIVES_MAX]; /* the process is gone, and what it held with it */
    int num_keys;
    bool revoked[SIM_LIVES_MAX]; /* by key; 0 is none */

    int num_sessions;
    Session ids[SIM_SESSIONS_MAX]; /* of the sessions */
    SimSession sessions[SIM_SESSIONS_MAX];
    uint64_t stream_of[SIM_SESSIONS_MAX]; /* actor_index and incarnation, + 1; 0: none */
    uint64_t num_places;
    SimPlace places[SIM_PLACES_MAX + 1]; /* [position] */

    Link num_links;
    int64_t link_gone_ms[SIM_LINKS_MAX]; /* when the learner finds out; INT64_MAX: it is there */
    int link_session[SIM_LINKS_MAX];     /* of the newest Hello that came, + 1; -1: a thief */
    int link_relay[SIM_LINKS_MAX];       /* that the link goes through, + 1; 0: none */
    Link way[SIM_LINKS_MAX]; /* the fleet's name of a link: it, or a channel of a relay */
    int num_relays;
    SimRelay relays[SIM_RELAYS_MAX];
    Link num_relay_connections;
    SimRng relay_rng;
    Connection connections[SIM_CONNECTIONS_MAX];
    int num_connections; /* places in use lie below */
} Sim;

extern SimTally sim_tally;

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

typedef unsigned long long Ull; /* for printf */

/* sim_draw.c */
void sim_draw(Sim *sim);

/* sim_faults.c */
void sim_strike(Sim *sim);
const char *sim_fault_name(SimFault fault);

/* sim_net.c */
Link sim_new_link(Sim *sim);
Connection *sim_connect(Sim *sim, int actor);
void sim_close(Sim *sim, Connection *connection);
void sim_send_up(Sim *sim, Connection *connection, const Message *message, int session);
/* False when the learner is told that the peer is gone. */
bool sim_send_down(Sim *sim, Link link, const Message *message);
Packet *sim_take(Pipe *pipe, int64_t now_ms);
void sim_free_if_done(Connection *connection);
/* The connection is lost and dialled again underneath, as libzmq does by itself. */
void sim_break(Sim *sim, Connection *connection, bool learner_died);
void sim_break_all(Sim *sim);
void sim_packet_free(Packet *packet);
void sim_net_end(Sim *sim);
bool sim_blocked(const Sim *sim, const Connection *connection, bool up);

Packet *sim_packet_new(const Message *message);
void sim_pipe_send(Sim *sim, Pipe *pipe, Packet *packet);
void sim_pipe_clear(Pipe *pipe);

/* sim_relay.c */
void relay_draw(Sim *sim);
int relay_choose(Sim *sim); /* for a new link; 0: none */
void relay_work(Sim *sim);
/* What relays sent arrives at the learner. */
void relay_reach_learner(Sim *sim);
/* Whether the fleet's name of a link is a relay's or one of its channels'. */
bool relay_is_way(Link way);
/* The actor's link on this channel; 0: there is none. */
Link relay_link_of(const Sim *sim, Link way);
/* Sends a message of the learner. False when it is told that there is no such connection. */
bool relay_send_down(Sim *sim, Link way, const Message *message);
void relay_lose_learner(Sim *sim);
void relay_revoke(Sim *sim, const char *key);
void relay_end(Sim *sim);

/* sim_truth.c */
void truth_closed(Sim *sim, int session, const Segment *segment);
uint64_t truth_steps(const SimSession *session, uint64_t first, uint64_t last);
void truth_accepted(Sim *sim, const Segment *segment, const SegmentOrigin *origin);
void truth_given_up(Sim *sim, int session, uint64_t oldest_unacked, uint64_t steps);
void truth_logged(Sim *sim, uint64_t position, bool skipped);
void truth_ingested(Sim *sim, uint64_t position, const Segment *segment);
void truth_session_restored(Sim *sim, const SessionRecord *record);
/* The learner begins again behind `position`: what came later never was. */
void truth_go_back(Sim *sim, uint64_t position);
void truth_acknowledged(Sim *sim, Link link, uint64_t acked, const Ack *ack);
void truth_at_end(Sim *sim);
void truth_end(Sim *sim);

/* sim_log.c: the log thread. */
int sim_log_open(Sim *sim); /* reads it back, and begins the trainer where it leaves off */
void sim_log_turn(Sim *sim);
bool sim_log_sync(Sim *sim); /* false while it fails */
void sim_log_prune(Sim *sim, uint64_t row_needed);
void sim_log_close(Sim *sim, bool in_order);

/* sim_recover.c: what comes back from the disk is compared to the truth. */
int recover_log(Sim *sim, LogRecovered *recovered, Err *err);
void recover_truth(Sim *sim, const LogRecovered *recovered, uint64_t base);
void recover_at_end(Sim *sim);

/* sim_trainer.c */
void trainer_begin(Sim *sim, const History *history); /* NULL: without a log */
bool trainer_work(Sim *sim);                          /* false when it cannot go on */
const SimCheckpoint *trainer_newest(const Sim *sim);  /* NULL: there is no checkpoint */
void trainer_save(Sim *sim);
bool trainer_is_settled(const Sim *sim);
void trainer_check_end(Sim *sim);

/* sim_learner.c */
/* A packet arrives; `identity` is that of a Hello. */
void learner_receive(Sim *sim, const Packet *packet, const PeerIdentity *identity);
void learner_crash(Sim *sim, const char *why);
void learner_restart(Sim *sim);
void learner_lose_power(Sim *sim);
void learner_work(Sim *sim);
void learner_end(Sim *sim);
void learner_check_grants(Sim *sim);
PeerIdentity sim_identity(const Sim *sim, int key);
void sim_key_name(int key, char name[IDENTITY_KEY_BYTES]);

/* sim_actor.c */
void actor_begin(Sim *sim, int i);
void actor_end(Sim *sim, int i); /* crashed, or done: the process is gone */
void actor_work(Sim *sim, int i);

#endif
