#include "daemon/history/history.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* A reader never checkpoints: with SQLite 3.40.1 only the writing connection may. */
#define PRAGMAS                                                                                    \
    "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF;"          \
    " PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY"

/* Two columns: the ranks of the job that has opened the attempt, NULL without; and how many of them
 * are open. */
#define RANKS_OF(run_key, attempt)                                                                 \
    "(SELECT world FROM attempt r WHERE r.run_key = " run_key " AND r.attempt = " attempt "),"     \
    " (SELECT count(*) FROM member m WHERE m.run_key = " run_key " AND m.attempt = " attempt       \
    " AND m.state = 0)"

/* `returned` is the column, or what is left of it. */
#define FINDING_COLUMNS(returned)                                                                  \
    "SELECT run.id, layer.name, finding.attempt, run.run_key, finding.feed_seq, finding.step,"     \
    " finding.time, metric, direction, start_step, end_step, level_from, level_to, n_from, n_to,"  \
    " agrees, accuracy, accuracy_from, accuracy_to, " returned                                     \
    ", CASE direction WHEN 2 THEN coalesce((SELECT value FROM run_summary s, json_each(s.summary)" \
    " WHERE s.run_key = finding.run_key AND key = metric), '{}') END"
/* The first step that an attempt behind this one has superseded, ?5 when there is none. */
#define SUPERSEDED_FROM(attempt_of)                                                                \
    "coalesce((SELECT min(first_step) FROM attempt WHERE attempt.run_key = ?1"                     \
    " AND attempt.attempt > " attempt_of "), ?5)"

#define POINT_RANGE                                                                                \
    " WHERE point.layer_key = ?1 AND point.attempt = ?2 AND point.step BETWEEN ?3 AND ?4"
#define SCALAR_RANGE " WHERE name_key = ?1 AND attempt = ?2 AND step BETWEEN ?3 AND ?4"

#define BLOCKS " WHERE is_scalar = ?1 AND curve_key = ?2 AND attempt = ?3 AND level = ?4"

/* The joins are CROSS where the order of the loops is the point: the feed's index outside. */
static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_END] = "ROLLBACK",
    [SQL_FEED_SEQ] = "SELECT feed_seq FROM state",

    [SQL_FIND_ID] = "SELECT run_key, id FROM run WHERE id = ?1",
    [SQL_FIND_PATH] = "SELECT run_key, id FROM run WHERE project || '/' || name = ?1"
                      " ORDER BY run_key DESC LIMIT 1",
    [SQL_FIND_NAME] = "SELECT run_key, id FROM run WHERE name = ?1 ORDER BY run_key DESC LIMIT 1",
    /* A configuration has up to 1 MiB: it is not read unless it is asked for (?2). */
    [SQL_RUN_GET] =
        "SELECT run.run_key, id, name, project, run_group, tags, CASE WHEN ?2 THEN config END,"
        " state, attempt, created, updated, last_step, n_points, coalesce(summary, '{}'),"
        " " RANKS_OF("run.run_key", "run.attempt") ", coalesce(note, ''), hidden,"
                                                   " (SELECT host FROM attempt h"
                                                   " WHERE h.run_key = run.run_key"
                                                   " AND h.attempt = run.attempt) FROM run"
                                                   " LEFT JOIN run_config USING(run_key)"
                                                   " LEFT JOIN run_summary USING(run_key)"
                                                   " LEFT JOIN run_note USING(run_key)"
                                                   " WHERE run.run_key = ?1",
    [SQL_RUN_CONFIG] = "SELECT config FROM run_config WHERE run_key = ?1",
    [SQL_VIEWS] = "SELECT name, query, note, saved FROM saved_view ORDER BY name",
    [SQL_ATTEMPTS] = "SELECT attempt, first_step, opened, closed, state,"
                     " " RANKS_OF("a.run_key", "a.attempt") ", host FROM attempt a"
                                                            " WHERE run_key = ?1 ORDER BY attempt",
    [SQL_LAYERS] = "SELECT layer.layer_key, layer.name, layer.p, layer.c, layer.n_points,"
                   " point.attempt, probe.n_rows, @point FROM layer"
                   " LEFT JOIN probe ON probe.layer_key = layer.layer_key LEFT JOIN point"
                   " ON point.layer_key = layer.layer_key AND point.attempt = layer.last_attempt"
                   " AND point.step = layer.last_step WHERE layer.run_key = ?1 AND layer.p > 0"
                   " AND (?2 IS NULL OR layer.name = ?2) ORDER BY layer.layer_key",
    [SQL_LAYER_KEYS] = "SELECT layer_key FROM layer WHERE run_key = ?1"
                       " ORDER BY name GLOB '*@eval', layer_key DESC",
    [SQL_RUN_LAYERS] =
        "SELECT layer.name, layer.p, layer.c, point.step, point.d_lr,"
        " point.d_debiased FROM layer LEFT JOIN point"
        " ON point.layer_key = layer.layer_key AND point.attempt = layer.last_attempt"
        " AND point.step = layer.last_step WHERE layer.run_key = ?1 AND layer.p > 0"
        " ORDER BY layer.layer_key",
    [SQL_LATEST_NC1] = "SELECT point.nc1 FROM layer JOIN run USING (run_key) LEFT JOIN point"
                       " ON point.layer_key = layer.layer_key AND point.attempt = run.attempt"
                       " AND point.step = run.last_step WHERE layer.run_key = ?1 AND layer.p > 0"
                       " ORDER BY layer.layer_key",
    [SQL_NAMES] = "SELECT name_key, name FROM scalar_name WHERE run_key = ?1 ORDER BY name",

    [SQL_NAME_KEY] = "SELECT name_key FROM scalar_name WHERE run_key = ?1 AND name = ?2",
    [SQL_LATEST_POINTS] = "SELECT run.id, layer.name, point.attempt, run.run_key, @point"
                          " FROM layer JOIN run ON run.run_key = layer.run_key JOIN point"
                          " ON point.layer_key = layer.layer_key"
                          " AND point.attempt = layer.last_attempt"
                          " AND point.step = layer.last_step"
                          " WHERE ?1 = 0 OR layer.run_key = ?1 ORDER BY point.feed_seq",
    [SQL_LATEST_SCALARS] = "SELECT run.id, scalar_name.name, scalar.attempt, run.run_key, step,"
                           " time, value, feed_seq FROM scalar_name"
                           " JOIN run ON run.run_key = scalar_name.run_key JOIN scalar"
                           " ON scalar.name_key = scalar_name.name_key"
                           " AND scalar.attempt = scalar_name.last_attempt"
                           " AND scalar.step = scalar_name.last_step"
                           " WHERE ?1 = 0 OR scalar_name.run_key = ?1 ORDER BY feed_seq",
    [SQL_NEW_POINTS] = "SELECT run.id, layer.name, point.attempt, run.run_key, @point"
                       " FROM point INDEXED BY point_by_feed_seq"
                       " CROSS JOIN layer ON layer.layer_key = point.layer_key"
                       " CROSS JOIN run ON run.run_key = layer.run_key"
                       " WHERE point.feed_seq > ?1 ORDER BY point.feed_seq",
    [SQL_NEW_SCALARS] = "SELECT run.id, scalar_name.name, scalar.attempt, run.run_key, step,"
                        " time, value, feed_seq FROM scalar INDEXED BY scalar_by_feed_seq"
                        " CROSS JOIN scalar_name ON scalar_name.name_key = scalar.name_key"
                        " CROSS JOIN run ON run.run_key = scalar_name.run_key"
                        " WHERE feed_seq > ?1 ORDER BY feed_seq",

    [SQL_LATEST_FINDINGS] =
        FINDING_COLUMNS("returned") " FROM finding JOIN run USING (run_key)"
                                    " LEFT JOIN layer ON layer.layer_key = finding.layer_key"
                                    " WHERE (?1 = 0 OR finding.run_key = ?1)"
                                    " AND finding.feed_seq = (SELECT max(f.feed_seq)"
                                    " FROM finding f WHERE f.run_key = finding.run_key"
                                    " AND f.layer_key = finding.layer_key"
                                    " AND f.metric = finding.metric) ORDER BY finding.feed_seq",
    [SQL_NEW_FINDINGS] =
        FINDING_COLUMNS("returned") " FROM finding INDEXED BY finding_by_feed_seq"
                                    " CROSS JOIN run USING (run_key)"
                                    " LEFT JOIN layer ON layer.layer_key = finding.layer_key"
                                    " WHERE finding.feed_seq > ?1 ORDER BY finding.feed_seq",
    [SQL_FINDINGS] = FINDING_COLUMNS(
        "CASE WHEN ?4 OR returned < " SUPERSEDED_FROM("returned_attempt") //
        " THEN returned END") " FROM finding JOIN run USING (run_key)"
                              " LEFT JOIN layer"
                              " ON layer.layer_key = finding.layer_key"
                              " WHERE finding.run_key = ?1"
                              " AND end_step >= ?2 AND start_step <= ?3"
                              " AND (?4 OR finding.step < " SUPERSEDED_FROM("finding.attempt") //
    ") AND (?7 IS NULL OR layer.name = ?7)"
    " ORDER BY start_step, finding.feed_seq LIMIT ?6",

    [SQL_WATCHED] = "SELECT name, is_scalar, in_turn FROM watched WHERE run_key = ?1"
                    " ORDER BY place",
    [SQL_WATCHED_POINTS] = "SELECT @point FROM layer CROSS JOIN attempt a CROSS JOIN point"
                           " ON point.layer_key = layer.layer_key AND point.attempt = a.attempt"
                           " AND point.step < " SUPERSEDED_FROM("a.attempt") //
    " WHERE layer.layer_key = ?2 AND a.run_key = ?1 ORDER BY a.attempt, point.step LIMIT ?3",
    [SQL_WATCHED_SCALARS] = "SELECT count(*) FROM (SELECT 1 FROM scalar_name n CROSS JOIN attempt a"
                            " CROSS JOIN scalar s ON s.name_key = n.name_key"
                            " AND s.attempt = a.attempt"
                            " AND s.step < " SUPERSEDED_FROM("a.attempt") //
    " WHERE n.run_key = ?1 AND n.name = ?2 AND a.run_key = ?1 AND s.value IS NOT NULL"
    " LIMIT ?3)",

    [SQL_POINTS] = "SELECT point.attempt, @point FROM layer CROSS JOIN point" POINT_RANGE
                   " AND layer.layer_key = ?1 ORDER BY point.step",
    [SQL_POINT_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM point" POINT_RANGE " LIMIT ?5)",
    [SQL_POINT_ENDS] = "SELECT (SELECT min(step) FROM point" POINT_RANGE "),"
                       " (SELECT max(step) FROM point" POINT_RANGE ")",
    [SQL_BLOCK_AT] = "SELECT to_step, data FROM block" BLOCKS " AND name = ?5 AND to_step >= ?6"
                     " ORDER BY to_step LIMIT 1",
    [SQL_BLOCK_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM block" BLOCKS " AND name = ''"
                        " AND to_step BETWEEN ?5 AND ?6 LIMIT ?7)",
    [SQL_SCALARS] = "SELECT attempt, step, time, value FROM scalar" SCALAR_RANGE " ORDER BY step",
    [SQL_SCALAR_AT] = "SELECT value FROM scalar WHERE name_key = ?1 AND attempt = ?2"
                      " AND step = ?3",
    [SQL_SCALAR_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM scalar" SCALAR_RANGE " LIMIT ?5)",
    [SQL_SCALAR_ENDS] = "SELECT (SELECT min(step) FROM scalar" SCALAR_RANGE "),"
                        " (SELECT max(step) FROM scalar" SCALAR_RANGE ")",

    /* The newest that no newer attempt has superseded, or the one of step ?2. */
    [SQL_SPECTRUM] = "SELECT s.attempt, s.step, point.n, s.rank, s.rank_targets, s.uncentred,"
                     " s.few_rows, s.total, s.n_values, s.data FROM spectrum AS s JOIN point"
                     " ON point.layer_key = s.layer_key AND point.attempt = s.attempt"
                     " AND point.step = s.step WHERE s.layer_key = ?1 AND (?2 < 0 OR s.step = ?2)"
                     " AND NOT EXISTS(SELECT 1 FROM attempt WHERE attempt.run_key = ?3"
                     " AND attempt.attempt > s.attempt AND attempt.first_step <= s.step)"
                     " ORDER BY s.attempt DESC, s.step DESC LIMIT 1",

    [SQL_REPRESENTATIONS] =
        "SELECT layer.layer_key, layer.name, r.attempt, r.step, r.n_rows FROM layer"
        " CROSS JOIN representation AS r USING (layer_key) WHERE layer.run_key = ?1"
        " AND r.step BETWEEN ?2 AND ?3 AND NOT EXISTS(SELECT 1 FROM attempt"
        " WHERE attempt.run_key = ?1 AND attempt.attempt > r.attempt"
        " AND attempt.first_step <= r.step) ORDER BY layer.layer_key, r.attempt, r.step",
    [SQL_REPRESENTATION] = "SELECT data FROM representation WHERE layer_key = ?1"
                           " AND attempt = ?2 AND step = ?3",
};

/* Steps of SQLite's machine between two looks at the flag, microseconds. sqlite3_interrupt would
 * not do: it reaches the statement that runs at that moment, and not the one after it. */
#define CANCEL_STEPS 1000

static int is_cancelled(void *arg)
{
    return ((struct history *)arg)->is_cancelled;
}

void history_cancel(struct history *history, bool cancelled)
{
    history->is_cancelled = cancelled;
}

static int prepare(struct history *history, const char *path, struct err *err)
{
    int64_t version = 0;
    int rc;

    rc = sql_open(path, SQLITE_OPEN_READONLY, &history->db, err);
    if (rc == 0)
        rc = sql_exec(history->db, PRAGMAS, err);
    if (rc == 0)
        rc = store_schema_recognise(history->db, &version, err);
    if (rc == 0 && version != STORE_SCHEMA_VERSION)
        rc = err_set(err, -ENOTSUP, "it has schema version %" PRId64 ", not %d", version,
                     STORE_SCHEMA_VERSION);
    for (int i = 0; rc == 0 && i < SQL_COUNT; i++)
        rc = store_schema_prepare(history->db, statements[i], &history->statement[i], err);
    if (rc == 0)
        sqlite3_progress_handler(history->db, CANCEL_STEPS, is_cancelled, history);
    return rc;
}

int history_open(const char *path, struct history **out, struct err *err)
{
    struct history *history = calloc(1, sizeof *history);
    int rc;

    assert(path && out);
    *out = NULL;
    if (!history)
        return history_no_memory(err);
    rc = prepare(history, path, err);
    if (rc < 0) {
        history_close(history);
        return err_prefix(err, rc, "%s: ", path);
    }
    history->runs = run_cache_new();
    *out = history;
    return 0;
}

static void forget_values(struct history *history)
{
    sql_finalize(history->between, METRIC_COUNT + 1);
    sql_finalize(history->latest, METRIC_COUNT + 1);
}

void history_close(struct history *history)
{
    if (!history)
        return;
    forget_values(history);
    sql_finalize(history->statement, SQL_COUNT);
    sqlite3_close(history->db);
    jsontext_release(&history->scratch);
    run_cache_free(history->runs);
    free(history);
}

bool history_take_damage(struct history *history)
{
    bool is_damaged = history->is_damaged;

    history->is_damaged = false;
    return is_damaged;
}

int history_reopen(struct history *history, const char *path)
{
    struct history fresh = {0};
    int rc = prepare(&fresh, path, NULL);
    struct history *old = rc < 0 ? &fresh : history;

    sql_finalize(old->statement, SQL_COUNT);
    sqlite3_close(old->db);
    if (rc < 0)
        return rc;
    history->db = fresh.db;
    run_cache_clear(history->runs);
    memcpy(history->statement, fresh.statement, sizeof fresh.statement);
    sqlite3_progress_handler(history->db, CANCEL_STEPS, is_cancelled, history);
    return 0;
}

int history_no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

int history_end_transaction(struct history *history, int rc)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_reset(history->statement[i]);
    forget_values(history);
    if (!sqlite3_get_autocommit(history->db))
        sql_run(history->statement[SQL_END], NULL);
    history->is_damaged |= rc == -EUCLEAN;
    return rc;
}

int history_begin_transaction(struct history *history, struct err *err)
{
    assert(history && sqlite3_get_autocommit(history->db));
    return sql_run(history->statement[SQL_BEGIN], err);
}

int history_begin(struct history *history, cJSON **out, struct err *err)
{
    assert(out);
    *out = NULL;
    return history_begin_transaction(history, err);
}

int history_end(struct history *history, int rc, cJSON **out)
{
    if (history_end_transaction(history, rc) >= 0)
        return 0;
    cJSON_Delete(*out);
    *out = NULL;
    return rc;
}

int history_resolve(struct history *history, const char *run, int64_t *run_key, char *id,
                    struct err *err)
{
    for (int i = SQL_FIND_ID; i <= SQL_FIND_NAME; i++) {
        sqlite3_stmt *statement = history->statement[i];
        int rc;

        sql_bind_text(statement, 1, run);
        rc = sql_step(statement, err);
        if (rc == 0)
            continue;
        if (rc == 1) {
            *run_key = sqlite3_column_int64(statement, 0);
            snprintf(id, RUN_ID_MAX + 1, "%s", sql_column_text(statement, 1));
            rc = sql_row_check(statement, err);
        }
        sqlite3_reset(statement);
        return rc;
    }
    return err_set(err, -ENOENT, "no run \"%.200s\"", run);
}

int history_find_id(struct history *history, const char *run, int64_t *run_key, char *id,
                    struct err *err)
{
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = history_resolve(history, run, run_key, id, err);
    return history_end_transaction(history, rc);
}

int history_find_run(struct history *history, const char *run, int64_t *run_key, struct err *err)
{
    char id[RUN_ID_MAX + 1];

    return history_resolve(history, run, run_key, id, err);
}

cJSON *history_head(const char *run)
{
    cJSON *head = cJSON_CreateObject();

    if (head && cJSON_AddStringToObject(head, "run", run))
        return head;
    cJSON_Delete(head);
    return NULL;
}
