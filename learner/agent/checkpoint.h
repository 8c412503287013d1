/* Checkpoints: all of a DdpgState and the run's counters in one safetensors file.
 *
 * Files are checkpoints/checkpoint-<updates, 12 digits>.safetensors; `best.safetensors` is the best
 * evaluation's. The same state gives the same bytes: no time, no path, no identity of a run is in
 * them. A file is written whole or not at all, and read only when its checksum, its counters and
 * every shape are right. Called from the trainer thread, and from programs that only read.
 * docs/checkpoint.md has the format. */
#ifndef POLYAK_LEARNER_AGENT_CHECKPOINT_H
#define POLYAK_LEARNER_AGENT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mlp.h"
#include "common/spec.h"
#include "learner/agent/ddpg.h"

#define CHECKPOINT_DIRECTORY "checkpoints" /* in a run directory */
#define CHECKPOINT_BEST "best.safetensors" /* in CHECKPOINT_DIRECTORY */

/* The run's counters and identity, beside the networks. */
typedef struct RunState {
    Spec spec;
    char config_yaml[16384]; /* what is learned: config_to_yaml(run_only) */
    uint64_t env_steps;      /* ingested */
    uint64_t updates;
    uint64_t episodes;
    double best_return;    /* of the evaluations; -infinity before the first */
    uint64_t evals;        /* evaluations asked for */
    uint64_t seed;         /* with `updates`, the position of every learner stream */
    uint64_t log_position; /* segments ingested: the number of the newest one in the log */
    uint64_t replay_head;
    uint64_t replay_digest;
    uint64_t pacer_env_steps; /* Pacer.env_steps_start, */
    uint64_t pacer_updates;   /* .updates_start and */
    bool pacer_underway;      /* .underway */
    uint64_t skipped_updates; /* not finite */
    uint64_t rollbacks;       /* to an earlier checkpoint, after too many skipped ones in a row */
} RunState;

/* Writes one file at path. ERR_IO, ERR_NOMEM, or ERR_USAGE when the configuration is not UTF-8. */
int checkpoint_write(const char *path, const DdpgState *ddpg, const RunState *run, Err *err);

/* About how large a checkpoint is. */
uint64_t checkpoint_bytes(const DdpgState *ddpg);

/* Writes the newest checkpoint into directory (made when missing) and deletes all but the newest
 * `keep` up to it, and what an interrupted write left behind; never best.safetensors, and never a
 * file of more updates than these: that is what a resume passed over. */
int checkpoint_save(const char *directory, const DdpgState *ddpg, const RunState *run, int keep,
                    Err *err);

/* Reads counters and identity alone (spec, configuration). Verifies the whole file all the same.
 * Errors, as of every reader here: those of safetensors_open(), and ERR_VERSION for a file of
 * another format version. */
int checkpoint_read_run(const char *path, RunState *run, Err *err);

/* Reads one file into a DdpgState of the same shapes; ERR_SPEC when they differ. Nothing is changed
 * on failure. */
int checkpoint_read(const char *path, DdpgState *ddpg, RunState *run, Err *err);

/* Finds the newest sound checkpoint in directory: damaged ones are passed over, each with one
 * warning in the log that names the file and what is wrong. ERR_MISSING when there is no
 * checkpoint; ERR_CHECKSUM when there are some and none is sound, for then it would be wrong to
 * begin anew. */
int checkpoint_find_newest(const char *directory, char *path, int path_bytes, Err *err);

/* The path of the checkpoint of so many updates, whether it is there or not. */
int checkpoint_path(const char *directory, uint64_t updates, char *path, int path_bytes, Err *err);

/* The oldest one, sound or not, but best.safetensors. ERR_MISSING when there is none. */
int checkpoint_find_oldest(const char *directory, char *path, int path_bytes, Err *err);

/* The path of the checkpoint that a person asks for: "newest" (sound) and "best" of run_dir, else a
 * file's path, or a file's name in run_dir/checkpoints. ERR_MISSING when there is none; ERR_USAGE
 * when run_dir is needed and empty. */
int checkpoint_resolve(const char *run_dir, const char *which, char *path, int path_bytes,
                       Err *err);

/* A policy alone, for acting: reads the actor's parameters. *params is malloc'ed. */
int checkpoint_read_policy(const char *path, Mlp *mlp, float **params, RunState *run, Err *err);

#endif
