/* polyak inspect: what the logs of a run hold, whether they are sound, and whether its checkpoints'
 * replays are what the log says. Changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "common/text.h"
#include "learner/log/log_files.h"
#include "learner/log/log_reader.h"
#include "learner/run_dir.h"
#include "learner/train/history.h"
#include "learner/train/run_log.h"

enum { CHECKPOINTS_MAX = 1024 };

/* What one session has in the log. */
typedef struct SessionCount {
    Session id;
    uint64_t segments;
    uint64_t env_steps;
    uint64_t last_sequence;
    uint64_t holes; /* sequences that are missing between two that are there */
    char name[WIRE_NAME_MAX + 1];
    char key[WIRE_NAME_MAX + 1];
} SessionCount;

typedef struct Inspection {
    const char *run_dir;
    LogReader *reader;
    json_t *damage;
    json_t *checkpoints;
    SessionCount *sessions;
    size_t num_sessions;
    uint64_t segments;
    uint64_t first_position;
    uint64_t last_position;
    uint64_t env_steps;
    uint64_t gap_segments;
    uint64_t missing; /* positions that neither a segment nor a gap has */
    uint64_t bytes;
    /* The replay's digest, from the log: goes on from the first checkpoint, or from the beginning.
     */
    Replay replay;
    bool chained;
    RunState *points; /* of the checkpoints, oldest first */
    size_t num_points;
    size_t next_point;
} Inspection;

/* --- Sessions ----------------------------------------------------------------------------------
 */

static SessionCount *session_of(Inspection *inspection, const Session *id)
{
    /* The newest are at the end, and ask most. */
    for (size_t i = inspection->num_sessions; i > 0; i--) {
        if (memcmp(&inspection->sessions[i - 1].id, id, sizeof *id) == 0)
            return &inspection->sessions[i - 1];
    }
    size_t bytes = (inspection->num_sessions + 1) * sizeof(SessionCount);
    SessionCount *sessions = realloc(inspection->sessions, bytes);
    if (!sessions)
        return NULL;
    inspection->sessions = sessions;
    SessionCount *session = &sessions[inspection->num_sessions++];
    *session = (SessionCount){.id = *id};
    return session;
}

static int take_sessions(Inspection *inspection, const LogSessions *sessions)
{
    for (size_t i = 0; i < sessions->num_records; i++) {
        const SessionRecord *record = &sessions->records[i];
        SessionCount *session = session_of(inspection, &record->id);
        if (!session)
            return ERR_NOMEM;
        memcpy(session->name, record->name, sizeof session->name);
        memcpy(session->key, record->key, sizeof session->key);
        if (session->segments == 0)
            session->last_sequence = record->sequence;
    }
    return ERR_OK;
}

/* --- Segments ----------------------------------------------------------------------------------
 */

/* The checkpoints at this position: does the log make the replay that they had? */
static void compare_points(Inspection *inspection, uint64_t position)
{
    while (inspection->next_point < inspection->num_points &&
           inspection->points[inspection->next_point].log_position <= position) {
        const RunState *point = &inspection->points[inspection->next_point++];
        const char *result = "unknown"; /* the log begins later, or something is missing */
        if (!inspection->chained && point->log_position == position) {
            replay_begin_at(&inspection->replay, point->replay_head, point->replay_digest);
            inspection->chained = true;
            result = "first";
        } else if (inspection->chained && point->log_position == position) {
            bool same = inspection->replay.digest == point->replay_digest &&
                        inspection->replay.head == point->replay_head;
            result = same ? "same" : "differs";
        }
        json_array_append_new(inspection->checkpoints,
                              json_pack("{s:I, s:I, s:I, s:s}", "updates",
                                        (json_int_t)point->updates, "log_position",
                                        (json_int_t)point->log_position, "env_steps",
                                        (json_int_t)point->env_steps, "replay", result));
    }
}

static int take_segment(Inspection *inspection, const SegmentRecord *record)
{
    SessionCount *session = session_of(inspection, &record->session);
    if (!session)
        return ERR_NOMEM;
    if (record->segment.sequence > session->last_sequence + 1 && session->last_sequence > 0)
        session->holes += record->segment.sequence - session->last_sequence - 1;
    session->last_sequence = record->segment.sequence;
    session->segments++;
    session->env_steps += (uint64_t)record->segment.num_steps;
    if (inspection->segments == 0) {
        inspection->first_position = record->position;
        inspection->chained = record->position == 1;
        inspection->last_position = record->position - 1;
    }
    uint64_t missing = record->position - inspection->last_position - 1;
    inspection->missing += missing;
    if (missing > 0) {
        compare_points(inspection, inspection->last_position);
        inspection->chained = false;
    }
    compare_points(inspection, record->position - 1);
    inspection->segments++;
    inspection->last_position = record->position;
    inspection->env_steps = record->env_steps;
    (void)replay_append_at(&inspection->replay, &record->segment, record->row);
    return ERR_OK;
}

/* The replay had them, and the log does not: its digest goes on from the next checkpoint. */
static void take_gap(Inspection *inspection, const GapRecord *gap)
{
    compare_points(inspection, gap->first_position - 1);
    inspection->chained = false;
    inspection->gap_segments += gap->last_position - gap->first_position + 1;
    inspection->last_position = gap->last_position;
}

static void take_damage(Inspection *inspection, const LogDamage *damage, bool torn)
{
    json_array_append_new(inspection->damage,
                          json_pack("{s:s, s:I, s:I, s:b}", "file", damage->path, "offset",
                                    (json_int_t)damage->offset, "bytes",
                                    (json_int_t)damage->num_bytes, "torn_tail", torn));
}

static int read_log(Inspection *inspection, Err *err)
{
    for (;;) {
        LogItem item;
        int code = log_reader_next(inspection->reader, &item, err);
        if (code != ERR_OK || item.kind == LOG_ITEM_END)
            return code;
        if (item.kind == LOG_ITEM_SEGMENT)
            code = take_segment(inspection, &item.segment);
        else if (item.kind == LOG_ITEM_SESSIONS)
            code = take_sessions(inspection, &item.sessions);
        else if (item.kind == LOG_ITEM_DAMAGE || item.kind == LOG_ITEM_TORN)
            take_damage(inspection, &item.damage, item.kind == LOG_ITEM_TORN);
        else if (item.kind == LOG_ITEM_GAP)
            take_gap(inspection, &item.gap);
        if (code != ERR_OK)
            return err_set(err, code, "out of memory");
    }
}

/* --- Opening -----------------------------------------------------------------------------------
 */

/* The checkpoints that the order log names and whose files are there. */
static int read_points(Inspection *inspection, const RunId *run_id, Err *err)
{
    char logs[FS_PATH_MAX], directory[FS_PATH_MAX], path[FS_PATH_MAX];
    History history;
    int code = fs_join(logs, inspection->run_dir, RUN_LOG_DIRECTORY, err);
    if (code == ERR_OK)
        code = fs_join(directory, inspection->run_dir, CHECKPOINT_DIRECTORY, err);
    if (code == ERR_OK)
        code = history_load(&history, disk_real(), logs, run_id, err);
    if (code != ERR_OK)
        return code;
    inspection->points = calloc(CHECKPOINTS_MAX, sizeof *inspection->points);
    uint64_t newest = UINT64_MAX;
    for (size_t i = 0; inspection->points && i < history.num_items; i++) {
        const HistoryItem *item = &history.items[i];
        if (!item->is_event || item->event != ORDER_CHECKPOINT || item->first_update == newest ||
            inspection->num_points == CHECKPOINTS_MAX ||
            checkpoint_path(directory, item->first_update, path, sizeof path, NULL) != ERR_OK ||
            !fs_exists(path))
            continue;
        RunState *point = &inspection->points[inspection->num_points];
        if (checkpoint_read_run(path, point, NULL) != ERR_OK)
            continue;
        newest = item->first_update;
        inspection->num_points++;
    }
    history_free(&history);
    return inspection->points ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

static int open_inspection(Inspection *inspection, Err *err)
{
    char logs[FS_PATH_MAX];
    RunId run_id;
    json_t *machines = NULL;
    const LogDims any = {0};
    int code = run_dir_read_identity(inspection->run_dir, &run_id, &machines, err);
    json_decref(machines);
    if (code == ERR_OK)
        code = fs_join(logs, inspection->run_dir, RUN_LOG_DIRECTORY, err);
    if (code == ERR_OK && !fs_exists(logs))
        return err_set(err, ERR_MISSING, "%s has no logs: was it run without replay_log?",
                       inspection->run_dir);
    if (code == ERR_OK)
        code = log_reader_open(disk_real(), logs, &run_id, &any, &inspection->reader, err);
    if (code == ERR_OK)
        code = log_files_bytes(disk_real(), logs, &inspection->bytes, err);
    if (code == ERR_OK)
        code = read_points(inspection, &run_id, err);
    if (code != ERR_OK)
        return code;
    LogDims dims = log_reader_dims(inspection->reader);
    if (dims.obs_dim == 0)
        return err_set(err, ERR_MISSING, "there is no replay log in %s", logs);
    return replay_new(&inspection->replay, 2 * ((uint64_t)dims.segment_steps + 1), dims.obs_dim,
                      dims.act_dim, err);
}

/* --- Report ------------------------------------------------------------------------------------
 */

static json_t *sessions_as_json(const Inspection *inspection)
{
    json_t *sessions = json_array();
    for (size_t i = 0; i < inspection->num_sessions; i++) {
        const SessionCount *session = &inspection->sessions[i];
        char id[2 * sizeof session->id.id + 1];
        for (size_t b = 0; b < sizeof session->id.id; b++)
            snprintf(id + 2 * b, 3, "%02x", session->id.id[b]);
        json_array_append_new(sessions,
                              json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "session", id,
                                        "name", session->name, "key", session->key, "segments",
                                        (json_int_t)session->segments, "env_steps",
                                        (json_int_t)session->env_steps, "last_sequence",
                                        (json_int_t)session->last_sequence, "missing_sequences",
                                        (json_int_t)session->holes));
    }
    return sessions;
}

static json_t *as_json(const Inspection *inspection)
{
    char digest[17];
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)inspection->replay.digest);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:o, s:O, s:s?}", "bytes",
                     (json_int_t)inspection->bytes, "segments", (json_int_t)inspection->segments,
                     "first_position", (json_int_t)inspection->first_position, "last_position",
                     (json_int_t)inspection->last_position, "env_steps",
                     (json_int_t)inspection->env_steps, "gap_segments",
                     (json_int_t)inspection->gap_segments, "missing_segments",
                     (json_int_t)inspection->missing, "damage", inspection->damage, "sessions",
                     sessions_as_json(inspection), "checkpoints", inspection->checkpoints,
                     "replay_digest", inspection->chained ? digest : NULL);
}

static void print(const Inspection *inspection)
{
    char segments[TEXT_NUMBER_BYTES], steps[TEXT_NUMBER_BYTES];
    printf("%s segments (numbers %llu to %llu), up to env step %s, %.1f MiB\n",
           text_thousands(inspection->segments, segments),
           (unsigned long long)inspection->first_position,
           (unsigned long long)inspection->last_position,
           text_thousands(inspection->env_steps, steps),
           (double)inspection->bytes / (1024.0 * 1024.0));
    printf("went on unlogged: %llu segments; missing: %llu; damaged places: %zu\n",
           (unsigned long long)inspection->gap_segments, (unsigned long long)inspection->missing,
           json_array_size(inspection->damage));
    size_t i;
    json_t *value;
    json_array_foreach(inspection->damage, i, value)
    {
        printf("  %s at byte %lld: %lld bytes%s\n",
               json_string_value(json_object_get(value, "file")),
               json_integer_value(json_object_get(value, "offset")),
               json_integer_value(json_object_get(value, "bytes")),
               json_is_true(json_object_get(value, "torn_tail")) ? ", a torn tail" : "");
    }
    printf("sessions: %zu\n", inspection->num_sessions);
    for (size_t k = 0; k < inspection->num_sessions; k++) {
        const SessionCount *session = &inspection->sessions[k];
        printf("  %-24s %8llu segments %10llu env steps, up to sequence %llu%s\n", session->name,
               (unsigned long long)session->segments, (unsigned long long)session->env_steps,
               (unsigned long long)session->last_sequence,
               session->holes > 0 ? ", with sequences missing" : "");
    }
    json_array_foreach(inspection->checkpoints, i, value)
    {
        printf("checkpoint of update %lld: its replay against the log: %s\n",
               json_integer_value(json_object_get(value, "updates")),
               json_string_value(json_object_get(value, "replay")));
    }
}

static int inspect(const Config *config, Err *err)
{
    if (config->run_dir[0] == '\0')
        return err_set(err, ERR_USAGE, "--run-dir is missing: name the directory of a run");
    Inspection inspection = {
        .run_dir = config->run_dir, .damage = json_array(), .checkpoints = json_array()};
    int code = open_inspection(&inspection, err);
    if (code == ERR_OK)
        code = read_log(&inspection, err);
    if (code == ERR_OK) {
        compare_points(&inspection, inspection.last_position);
        if (config->json)
            code = report_json(as_json(&inspection), err);
        else
            print(&inspection);
    }
    if (inspection.reader)
        log_reader_close(&inspection.reader);
    replay_destroy(&inspection.replay);
    free(inspection.sessions);
    free(inspection.points);
    json_decref(inspection.damage);
    json_decref(inspection.checkpoints);
    return code;
}

int command_inspect(int argc, char **argv)
{
    static Config config;
    Err err = {""};
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_INSPECT, "polyak inspect",
                                 "Says what the logs of a run hold, and whether they are sound.",
                                 argc, argv, &done, &err);
    if (!code && !done)
        code = inspect(&config, &err);
    return code ? report_error("inspect", code, &err) : EXIT_DONE;
}
