#include "learner/log_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/log/log_files.h"

enum { QUEUE_RECORDS = 64, TURN_MS_MAX = 100 };

/* An order record on its way. */
typedef struct QueuedRecord {
    bool is_block;
    union {
        OrderBlock block;
        OrderEvent event;
    };
} QueuedRecord;

struct LogThread {
    pthread_t thread;
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    LogKeeper keeper;    /* the thread's own */
    QueuedRecord *taken; /* (QUEUE_RECORDS) the thread's own: those that it works on */
    void (*logged)(void *context);
    void *context;

    pthread_mutex_t mutex; /* all below */
    pthread_cond_t work;   /* CLOCK_MONOTONIC: something to do */
    pthread_cond_t done;   /* room in the queue, or a sync is over */
    bool woken;
    bool stop;
    QueuedRecord *queue; /* (QUEUE_RECORDS) */
    int num_queued;
    uint64_t syncs_asked;
    uint64_t syncs_done;
    int sync_code; /* of the newest sync */
    Err sync_err;
    LogOnError on_error;
    int64_t fsync_ms;
    uint64_t row_needed;
    bool prune;
    LogStatus status;
};

/* What is to be done, taken under the mutex in one go. */
typedef struct Orders {
    int num_taken;
    uint64_t syncs_asked;
    bool sync;
    bool prune;
    uint64_t row_needed;
    bool stop;
} Orders;

static void wait_until(LogThread *thread, int64_t due_ms)
{
    struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    while (!thread->woken && !thread->stop) {
        if (pthread_cond_timedwait(&thread->work, &thread->mutex, &until) != 0)
            return;
    }
}

static Orders take_orders(LogThread *thread, int64_t due_ms)
{
    /* Order records wake nobody, and should not lie here for long. */
    int64_t latest_ms = clock_ms() + TURN_MS_MAX;
    pthread_mutex_lock(&thread->mutex);
    wait_until(thread, due_ms < latest_ms ? due_ms : latest_ms);
    QueuedRecord *queue = thread->queue;
    thread->queue = thread->taken;
    thread->taken = queue;
    Orders orders = {.num_taken = thread->num_queued,
                     .syncs_asked = thread->syncs_asked,
                     .sync = thread->syncs_asked != thread->syncs_done,
                     .prune = thread->prune,
                     .row_needed = thread->row_needed,
                     .stop = thread->stop};
    thread->num_queued = 0;
    thread->woken = false;
    thread->prune = false;
    thread->keeper.on_error = thread->on_error;
    thread->keeper.fsync_ms = thread->fsync_ms;
    pthread_cond_broadcast(&thread->done);
    pthread_mutex_unlock(&thread->mutex);
    return orders;
}

static void prune(LogThread *thread, uint64_t row_needed)
{
    Err err;
    size_t num_removed = 0;
    uint64_t bytes_removed = 0;
    /* The newest session table comes to disk before an older one goes. Where it cannot, the files
     * stay until the next checkpoint asks again. */
    if (log_keeper_sync(&thread->keeper, clock_ms(), &err) != ERR_OK)
        return;
    int code = log_files_prune(thread->disk, thread->directory, row_needed, &num_removed,
                               &bytes_removed, &err);
    if (num_removed > 0)
        code = log_writer_recount(thread->keeper.writer, &err);
    if (code != ERR_OK)
        log_warn("old files of the replay log stay: %s", err.text);
}

static void report(LogThread *thread, const Orders *orders, int sync_code, const Err *err)
{
    pthread_mutex_lock(&thread->mutex);
    thread->status = thread->keeper.status;
    if (orders->sync) {
        thread->syncs_done = orders->syncs_asked;
        thread->sync_code = sync_code;
        if (sync_code != ERR_OK)
            thread->sync_err = *err;
        pthread_cond_broadcast(&thread->done);
    }
    pthread_mutex_unlock(&thread->mutex);
}

static void *log_main(void *argument)
{
    LogThread *thread = argument;
    LogKeeper *keeper = &thread->keeper;
    Orders orders;
    pthread_setname_np(pthread_self(), "log");
    do {
        orders = take_orders(thread, log_keeper_due_ms(keeper, clock_ms()));
        for (int i = 0; i < orders.num_taken; i++) {
            const QueuedRecord *record = &thread->taken[i];
            if (record->is_block)
                log_keeper_block(keeper, &record->block);
            else
                log_keeper_event(keeper, &record->event);
        }
        Err err = {""};
        bool moved = log_keeper_turn(keeper, clock_ms());
        int code = orders.sync ? log_keeper_sync(keeper, clock_ms(), &err) : ERR_OK;
        if (orders.prune)
            prune(thread, orders.row_needed);
        report(thread, &orders, code, &err);
        if (moved)
            thread->logged(thread->context);
    } while (!orders.stop);
    return NULL;
}

static void free_thread(LogThread **thread)
{
    pthread_cond_destroy(&(*thread)->work);
    pthread_cond_destroy(&(*thread)->done);
    pthread_mutex_destroy(&(*thread)->mutex);
    free((*thread)->queue);
    free((*thread)->taken);
    free(*thread);
    *thread = NULL;
}

static void init_mutex(LogThread *thread)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->work, &attributes);
    pthread_cond_init(&thread->done, &attributes);
    pthread_condattr_destroy(&attributes);
}

int log_thread_start(const LogThreadSetup *setup, LogThread **thread_pointer, Err *err)
{
    LogThread *thread = calloc(1, sizeof *thread);
    LogKeeper keeper;
    log_keeper_init(&keeper, setup->writer, setup->order, setup->ring, setup->on_error,
                    setup->fsync_ms, clock_ms());
    if (!thread) {
        log_keeper_close(&keeper, clock_ms());
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    init_mutex(thread);
    thread->keeper = keeper;
    thread->disk = setup->disk;
    snprintf(thread->directory, sizeof thread->directory, "%s", setup->directory);
    thread->logged = setup->logged;
    thread->context = setup->context;
    thread->on_error = setup->on_error;
    thread->fsync_ms = setup->fsync_ms;
    thread->status = keeper.status;
    segment_ring_add_log_stage(setup->ring);
    thread->queue = calloc(QUEUE_RECORDS, sizeof *thread->queue);
    thread->taken = calloc(QUEUE_RECORDS, sizeof *thread->taken);
    if (!thread->queue || !thread->taken ||
        pthread_create(&thread->thread, NULL, log_main, thread) != 0) {
        log_keeper_close(&thread->keeper, clock_ms());
        free_thread(&thread);
        return err_set(err, ERR_NOMEM, "the log thread could not be started");
    }
    *thread_pointer = thread;
    return ERR_OK;
}

void log_thread_stop(LogThread **thread)
{
    if (!*thread)
        return;
    pthread_mutex_lock(&(*thread)->mutex);
    (*thread)->stop = true;
    pthread_cond_signal(&(*thread)->work);
    pthread_mutex_unlock(&(*thread)->mutex);
    pthread_join((*thread)->thread, NULL);
    log_keeper_close(&(*thread)->keeper, clock_ms());
    free_thread(thread);
}

void log_thread_wake(LogThread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    thread->woken = true;
    pthread_cond_signal(&thread->work);
    pthread_mutex_unlock(&thread->mutex);
}

LogStatus log_thread_status(LogThread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    LogStatus status = thread->status;
    pthread_mutex_unlock(&thread->mutex);
    return status;
}

void log_thread_configure(LogThread *thread, LogOnError on_error, int64_t fsync_ms)
{
    pthread_mutex_lock(&thread->mutex);
    thread->on_error = on_error;
    thread->fsync_ms = fsync_ms;
    thread->woken = true;
    pthread_cond_signal(&thread->work);
    pthread_mutex_unlock(&thread->mutex);
}

/* A free place of the queue, with the mutex held; waits for one. */
static QueuedRecord *reserve(LogThread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    while (thread->num_queued == QUEUE_RECORDS) {
        thread->woken = true;
        pthread_cond_signal(&thread->work);
        pthread_cond_wait(&thread->done, &thread->mutex);
    }
    return &thread->queue[thread->num_queued++];
}

void log_thread_block(LogThread *thread, const OrderBlock *block)
{
    QueuedRecord *record = reserve(thread);
    record->is_block = true;
    record->block = *block;
    pthread_mutex_unlock(&thread->mutex);
}

void log_thread_event(LogThread *thread, const OrderEvent *event)
{
    QueuedRecord *record = reserve(thread);
    record->is_block = false;
    record->event = *event;
    pthread_mutex_unlock(&thread->mutex);
}

int log_thread_sync(LogThread *thread, Err *err)
{
    pthread_mutex_lock(&thread->mutex);
    uint64_t number = ++thread->syncs_asked;
    thread->woken = true;
    pthread_cond_signal(&thread->work);
    while (thread->syncs_done < number)
        pthread_cond_wait(&thread->done, &thread->mutex);
    int code = thread->sync_code;
    if (code != ERR_OK && err)
        *err = thread->sync_err;
    pthread_mutex_unlock(&thread->mutex);
    return code;
}

void log_thread_prune(LogThread *thread, uint64_t row_needed)
{
    pthread_mutex_lock(&thread->mutex);
    thread->prune = true;
    thread->row_needed = row_needed;
    pthread_mutex_unlock(&thread->mutex);
}
