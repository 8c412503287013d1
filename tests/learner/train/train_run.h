/* A whole run in this process, in a directory of its own: the trainer and the log thread behind a
 * real Exchange, with the test in the place of the loop. For tests only; include it after cmocka.h.
 */
#ifndef POLYAK_TESTS_LEARNER_TRAIN_TRAIN_RUN_H
#define POLYAK_TESTS_LEARNER_TRAIN_TRAIN_RUN_H

#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>

#include "learner/run.h"
#include "learner/train/history.h"
#include "tests/common/scratch.h"
#include "tests/learner/train/train_world.h"

enum { TRAIN_DEADLINE_MS = 60000 };

typedef struct TrainRun {
    Config config;
    RunDir dir;
    Run run;
    uint64_t seed;     /* of the segments */
    uint64_t position; /* segments given so far */
} TrainRun;

static inline void train_wake(void *context)
{
    (void)context;
}

/* A small run; `settings` are "key=value", up to a NULL. */
static inline void train_run_configure(TrainRun *r, const char *path, bool resume,
                                       const char *const *settings)
{
    static const char *const small[] = {
        "hidden=8",
        "batch=4",
        "warmup_env_steps=8",
        "updates_per_env_step=1",
        "total_env_steps=100000",
        "segment_steps=6",
        "replay_capacity=60",
        "checkpoint_interval_s=3600",
        "checkpoint_keep=100",
        "eval_interval_env_steps=0",
        "publish_interval_ms=0",
        "threads=1",
        "actor_lr=0.001",
        "critic_lr=0.001",
        "tau=0.1",
        "replay_log_fsync_ms=5",
        "progress=off",
        NULL,
    };
    uint64_t seed = r->seed;
    uint64_t position = r->position;
    memset(r, 0, sizeof *r);
    r->seed = seed;
    r->position = position;
    config_init(&r->config);
    snprintf(r->config.run_dir, sizeof r->config.run_dir, "%s", path);
    r->config.resume = resume;
    const char *const *lists[] = {resume ? NULL : small, settings};
    for (int i = 0; i < 2; i++) {
        for (const char *const *at = lists[i]; at && *at; at++) {
            char key[64];
            Err err = {""};
            snprintf(key, sizeof key, "%.*s", (int)strcspn(*at, "="), *at);
            if (config_set(&r->config, key, strchr(*at, '=') + 1, CONFIG_FLAG, &err) != 0)
                fail_msg("%s", err.text);
        }
    }
}

static inline int train_run_try(TrainRun *r, const char *path, bool resume,
                                const char *const *settings, Err *err)
{
    Spec spec = train_spec();
    train_run_configure(r, path, resume, settings);
    r->run.config = &r->config;
    r->run.dir = &r->dir;
    int code = run_dir_open(&r->dir, &r->config, err);
    if (code == ERR_OK)
        code = run_reserve_early(&r->run, err);
    if (code == ERR_OK)
        code = run_dir_begin(&r->dir, &r->config, r->config.env, err);
    if (code == ERR_OK)
        code = run_begin(&r->run, &spec, train_wake, NULL, err);
    return code;
}

static inline TrainerProgress train_run_progress(TrainRun *r)
{
    return exchange_progress(&r->run.exchange);
}

/* Waits until all that was given is ingested and worked off, or the trainer has ended. */
static inline void train_run_settle(TrainRun *r)
{
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    for (;;) {
        TrainerProgress progress = train_run_progress(r);
        bool done = progress.ready && !progress.redoing && progress.settled &&
                    segment_ring_used(&r->run.exchange.ring) == 0 &&
                    !pacer_may_update(&progress.pacer, progress.env_steps, progress.updates);
        if (done || progress.ended)
            return;
        assert_true(clock_ms() < deadline_ms);
        usleep(200);
    }
}

static inline void train_run_start(TrainRun *r, const char *path, bool resume,
                                   const char *const *settings)
{
    Err err = {""};
    if (train_run_try(r, path, resume, settings, &err) != ERR_OK)
        fail_msg("%s", err.text);
    train_run_settle(r);
}

static inline void train_run_put(TrainRun *r, const TrainSegment *made)
{
    while (!train_put(&r->run.exchange.ring, made))
        usleep(200);
    if (r->run.log.thread)
        log_thread_wake(r->run.log.thread);
    else
        exchange_wake_trainer(&r->run.exchange);
}

/* Gives the next segments, one at a time, so that what is learned does not depend on time. */
static inline void train_run_feed(TrainRun *r, int count)
{
    for (int i = 0; i < count; i++) {
        TrainSegment made;
        train_segment(r->seed, ++r->position, &made);
        uint64_t before = train_run_progress(r).env_steps;
        train_run_put(r, &made);
        int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
        while (train_run_progress(r).env_steps == before && !train_run_progress(r).ended) {
            assert_true(clock_ms() < deadline_ms);
            usleep(200);
        }
        train_run_settle(r);
    }
}

/* Sets a key as the loop does, and waits until the trainer has it. */
static inline void train_run_set(TrainRun *r, const char *assignment)
{
    assert_true(exchange_set(&r->run.exchange, assignment));
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    for (bool there = true; there;) {
        assert_true(clock_ms() < deadline_ms);
        usleep(200);
        pthread_mutex_lock(&r->run.exchange.mutex);
        there = r->run.exchange.num_settings > 0;
        pthread_mutex_unlock(&r->run.exchange.mutex);
    }
    exchange_wake_trainer(&r->run.exchange);
    usleep(2000);
    train_run_settle(r);
}

static inline void train_run_stop(TrainRun *r)
{
    run_end(&r->run);
    run_dir_close(&r->dir);
}

/* After a test that failed. */
static inline void train_run_stop_if_running(TrainRun *r)
{
    if (r->run.begun)
        train_run_stop(r);
}

/* --- A crash -----------------------------------------------------------------------------------
 */

static char train_copy_from[256];
static char train_copy_to[256];

static inline int train_copy_entry(const char *path, const struct stat *info, int type,
                                   struct FTW *place)
{
    char to[600];
    (void)place;
    snprintf(to, sizeof to, "%s%s", train_copy_to, path + strlen(train_copy_from));
    if (type == FTW_D)
        return mkdir(to, info->st_mode);
    size_t num_bytes = 0;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    scratch_write(to, bytes, num_bytes);
    free(bytes);
    return 0;
}

/* Updates that the order log has. */
static inline uint64_t train_run_recorded(TrainRun *r)
{
    Err err = {""};
    History history;
    uint64_t updates = 0;
    if (history_load(&history, disk_real(), r->run.log.directory, &r->dir.run_id, &err) != ERR_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < history.num_items; i++) {
        if (!history.items[i].is_event)
            updates = history.items[i].first_update + history.items[i].count;
    }
    history_free(&history);
    return updates;
}

/* The directory as a kill of the learner would leave it now, under another name. */
static inline void train_run_copy(TrainRun *r, const char *to)
{
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    while (train_run_recorded(r) < train_run_progress(r).updates) {
        assert_true(clock_ms() < deadline_ms);
        usleep(1000); /* the order records are on their way */
    }
    snprintf(train_copy_from, sizeof train_copy_from, "%.255s", r->dir.path);
    snprintf(train_copy_to, sizeof train_copy_to, "%s", to);
    assert_int_equal(nftw(train_copy_from, train_copy_entry, 16, FTW_PHYS), 0);
}

/* --- What came out -----------------------------------------------------------------------------
 */

typedef struct TrainOutcome {
    RunState run;
    uint64_t fingerprint;
    bool finite;
} TrainOutcome;

/* Of the newest checkpoint of a run directory. */
static inline void train_outcome(const char *path, TrainOutcome *outcome)
{
    char newest[FS_PATH_MAX];
    Err err = {""};
    Ddpg *ddpg = NULL;
    DdpgConfig config = {.obs_dim = TRAIN_OBS,
                         .act_dim = TRAIN_ACT,
                         .num_hidden = 1,
                         .hidden = {8},
                         .batch = 1,
                         .threads = 1};
    int code = checkpoint_resolve(path, "newest", newest, sizeof newest, &err);
    if (code == 0)
        code = ddpg_new(&config, &ddpg, &err);
    if (code == 0)
        code = checkpoint_read(newest, ddpg_state(ddpg), &outcome->run, &err);
    if (code != 0)
        fail_msg("%s", err.text);
    TrainCore core = {.ddpg = ddpg};
    outcome->fingerprint = core_fingerprint(ddpg_state(ddpg));
    outcome->finite = core_is_finite(&core);
    ddpg_destroy(&ddpg);
}

static inline void assert_same_outcome(const TrainOutcome *a, const TrainOutcome *b)
{
    assert_int_equal(a->run.env_steps, b->run.env_steps);
    assert_int_equal(a->run.updates, b->run.updates);
    assert_int_equal(a->run.episodes, b->run.episodes);
    assert_int_equal(a->run.log_position, b->run.log_position);
    assert_int_equal(a->run.replay_head, b->run.replay_head);
    assert_int_equal(a->run.replay_digest, b->run.replay_digest);
    assert_int_equal(a->run.skipped_updates, b->run.skipped_updates);
    assert_int_equal(a->run.rollbacks, b->run.rollbacks);
    assert_int_equal(a->fingerprint, b->fingerprint);
}

/* --- What was said -----------------------------------------------------------------------------
 */

static char train_said_path[128];
static int train_stderr = -1;

/* From here on the log goes to a file. */
static inline void train_listen(const Scratch *scratch)
{
    snprintf(train_said_path, sizeof train_said_path, "%s", scratch_path(scratch, "stderr"));
    int file = open(train_said_path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    train_stderr = dup(STDERR_FILENO);
    assert_true(file >= 0 && train_stderr >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    close(file);
}

static inline bool train_said(const char *text)
{
    size_t num_bytes = 0;
    unsigned char *bytes = scratch_read(train_said_path, &num_bytes);
    bytes[num_bytes] = '\0';
    bool found = strstr((char *)bytes, text) != NULL;
    free(bytes);
    return found;
}

/* Says again what was said, for whoever looks at a failure. */
static inline void train_stop_listening(void)
{
    size_t num_bytes = 0;
    unsigned char *bytes = scratch_read(train_said_path, &num_bytes);
    dup2(train_stderr, STDERR_FILENO);
    close(train_stderr);
    fwrite(bytes, 1, num_bytes, stderr);
    free(bytes);
}

#endif
