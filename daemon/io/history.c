#include "daemon/io/history.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/history_db.h"
#include "daemon/io/model_json.h"
#include "daemon/io/sql.h"
#include "daemon/io/store_schema.h"
#include "proto/json.h"

/* A reader never checkpoints: with SQLite 3.40.1 only the writing connection may. */
#define PRAGMAS                                                                                    \
    "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF;"          \
    " PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY"

#define RUN_COLUMNS                                                                                \
    "SELECT run.run_key, id, name, project, run_group, tags, config, state, attempt, created,"     \
    " updated, last_step, n_points FROM run LEFT JOIN run_config"                                  \
    " ON run_config.run_key = run.run_key"
#define RUN_FILTER " WHERE (?1 IS NULL OR project = ?1) AND (?2 < 0 OR state = ?2)"

#define FINDING_COLUMNS                                                                            \
    "SELECT run.id, layer.name, finding.attempt, run.run_key, finding.feed_seq, finding.step,"     \
    " finding.time, metric, direction, start_step, end_step, level_from, level_to, confidence,"    \
    " agrees, accuracy, accuracy_from, accuracy_to"

#define POINT_RANGE                                                                                \
    " WHERE point.layer_key = ?1 AND point.attempt = ?2 AND point.step BETWEEN ?3 AND ?4"
#define SCALAR_RANGE " WHERE name_key = ?1 AND attempt = ?2 AND step BETWEEN ?3 AND ?4"

/* The joins are CROSS where the order of the loops is the point: the feed's index outside. */
static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_END] = "ROLLBACK",
    [SQL_FEED_SEQ] = "SELECT feed_seq FROM state",

    [SQL_FIND_ID] = "SELECT run_key, id FROM run WHERE id = ?1",
    [SQL_FIND_PATH] = "SELECT run_key, id FROM run WHERE project || '/' || name = ?1"
                      " ORDER BY run_key DESC LIMIT 1",
    [SQL_FIND_NAME] = "SELECT run_key, id FROM run WHERE name = ?1 ORDER BY run_key DESC LIMIT 1",
    [SQL_RUN_COUNT] = "SELECT count(*) FROM run" RUN_FILTER,
    [SQL_RUN_LIST] = RUN_COLUMNS RUN_FILTER " ORDER BY run.run_key DESC LIMIT ?3 OFFSET ?4",
    [SQL_RUN_GET] = RUN_COLUMNS " WHERE run.run_key = ?1",
    [SQL_ATTEMPTS] = "SELECT attempt, first_step, opened, closed, state FROM attempt"
                     " WHERE run_key = ?1 ORDER BY attempt",
    [SQL_LAYERS] = "SELECT layer.layer_key, layer.name, layer.p, layer.c, layer.n_points,"
                   " point.attempt, @point FROM layer LEFT JOIN point"
                   " ON point.layer_key = layer.layer_key AND point.attempt = layer.last_attempt"
                   " AND point.step = layer.last_step WHERE layer.run_key = ?1 AND layer.p > 0"
                   " AND (?2 IS NULL OR layer.name = ?2) ORDER BY layer.layer_key",
    [SQL_NAMES] = "SELECT name_key, name FROM scalar_name WHERE run_key = ?1 ORDER BY name",

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

    [SQL_LATEST_FINDINGS] = FINDING_COLUMNS " FROM finding JOIN layer USING (layer_key)"
                                            " JOIN run USING (run_key)"
                                            " WHERE (?1 = 0 OR layer.run_key = ?1)"
                                            " AND finding.feed_seq = (SELECT max(f.feed_seq)"
                                            " FROM finding f WHERE f.layer_key = layer.layer_key)"
                                            " ORDER BY finding.feed_seq",
    [SQL_NEW_FINDINGS] = FINDING_COLUMNS " FROM finding INDEXED BY finding_by_feed_seq"
                                         " CROSS JOIN layer USING (layer_key)"
                                         " CROSS JOIN run USING (run_key)"
                                         " WHERE finding.feed_seq > ?1 ORDER BY finding.feed_seq",
    [SQL_FINDINGS] = FINDING_COLUMNS " FROM layer CROSS JOIN finding USING (layer_key)"
                                     " JOIN run USING (run_key) WHERE layer.run_key = ?1"
                                     " AND end_step >= ?2 AND start_step <= ?3"
                                     " AND (?4 OR finding.step < coalesce((SELECT min(first_step)"
                                     " FROM attempt WHERE attempt.run_key = ?1"
                                     " AND attempt.attempt > finding.attempt), ?5))"
                                     " AND (?7 IS NULL OR layer.name = ?7)"
                                     " ORDER BY start_step, finding.feed_seq LIMIT ?6",

    [SQL_POINTS] = "SELECT point.attempt, @point FROM layer CROSS JOIN point" POINT_RANGE
                   " AND layer.layer_key = ?1 ORDER BY point.step",
    [SQL_POINT_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM point" POINT_RANGE " LIMIT ?5)",
    [SQL_POINT_ENDS] = "SELECT (SELECT min(step) FROM point" POINT_RANGE "),"
                       " (SELECT max(step) FROM point" POINT_RANGE ")",
    [SQL_POINT_VALUES] = "SELECT step @columns FROM point" POINT_RANGE " ORDER BY step",
    [SQL_SCALARS] = "SELECT attempt, step, time, value FROM scalar" SCALAR_RANGE " ORDER BY step",
    [SQL_SCALAR_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM scalar" SCALAR_RANGE " LIMIT ?5)",
    [SQL_SCALAR_ENDS] = "SELECT (SELECT min(step) FROM scalar" SCALAR_RANGE "),"
                        " (SELECT max(step) FROM scalar" SCALAR_RANGE ")",
    [SQL_SCALAR_VALUES] = "SELECT step, value FROM scalar" SCALAR_RANGE " ORDER BY step",

    /* Of what newer attempts have not superseded, the newest, or that of step ?2. */
    [SQL_SPECTRUM] = "SELECT s.attempt, s.step, point.n, s.rank, s.rank_targets, s.uncentred,"
                     " s.few_rows, s.total, s.n_values, s.data FROM spectrum AS s JOIN point"
                     " ON point.layer_key = s.layer_key AND point.attempt = s.attempt"
                     " AND point.step = s.step WHERE s.layer_key = ?1 AND (?2 < 0 OR s.step = ?2)"
                     " AND NOT EXISTS(SELECT 1 FROM attempt WHERE attempt.run_key = ?3"
                     " AND attempt.attempt > s.attempt AND attempt.first_step <= s.step)"
                     " ORDER BY s.attempt DESC, s.step DESC LIMIT 1",
};

/* Where a changed thing has its feed sequence: @point and the scalar's columns begin at 4. */
#define CHANGE_COLUMNS   4
#define POINT_FEED_SEQ   (CHANGE_COLUMNS + 8)
#define SCALAR_FEED_SEQ  (CHANGE_COLUMNS + 3)
#define FINDING_FEED_SEQ CHANGE_COLUMNS

/* ---- the connection ------------------------------------------------------------------------ */

static int prepare(struct history *h, const char *path, struct err *e)
{
    int64_t version = 0;
    int rc;

    rc = sql_open(path, SQLITE_OPEN_READONLY, &h->db, e);
    if (rc == 0)
        rc = sql_exec(h->db, PRAGMAS, e);
    if (rc == 0)
        rc = store_schema_recognise(h->db, &version, e);
    if (rc == 0 && version != STORE_SCHEMA_VERSION)
        rc = err_set(e, -ENOTSUP, "it has schema version %" PRId64 ", not %d", version,
                     STORE_SCHEMA_VERSION);
    for (int i = 0; rc == 0 && i < SQL_COUNT; i++)
        rc = store_schema_prepare(h->db, statements[i], &h->statement[i], e);
    return rc;
}

int history_open(const char *path, struct history **out, struct err *e)
{
    struct history *h = calloc(1, sizeof *h);
    int rc;

    *out = NULL;
    if (!h)
        return history_no_memory(e);
    rc = prepare(h, path, e);
    if (rc < 0) {
        history_close(h);
        return err_prefix(e, rc, "%s: ", path);
    }
    *out = h;
    return 0;
}

void history_close(struct history *h)
{
    if (!h)
        return;
    sql_finalize(h->statement, SQL_COUNT);
    sqlite3_close(h->db);
    free(h);
}

int history_no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, "out of memory");
}

/* A statement that an error left in mid-row is reset first: it would keep the snapshot alive. */
static void end_transaction(struct history *h)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_reset(h->statement[i]);
    if (!sqlite3_get_autocommit(h->db))
        sql_run(h->statement[SQL_END], NULL);
}

int history_read(struct history *h, history_query *query, const void *params, cJSON **out,
                 struct err *e)
{
    int rc;

    *out = NULL;
    rc = sql_run(h->statement[SQL_BEGIN], e);
    if (rc == 0)
        rc = query(h, params, out, e);
    end_transaction(h);
    if (rc < 0) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- runs ---------------------------------------------------------------------------------- */

int history_resolve(struct history *h, const char *run, int64_t *run_key, char *id, struct err *e)
{
    for (int i = SQL_FIND_ID; i <= SQL_FIND_NAME; i++) {
        sqlite3_stmt *q = h->statement[i];
        int rc;

        sql_bind_text(q, 1, run);
        rc = sql_step(q, e);
        if (rc == 0)
            continue;
        if (rc == 1) {
            *run_key = sqlite3_column_int64(q, 0);
            snprintf(id, RUN_ID_MAX + 1, "%s", sql_column_text(q, 1));
            rc = sql_row_check(q, e);
        }
        sqlite3_reset(q);
        return rc;
    }
    return err_set(e, -ENOENT, "no run \"%.200s\"", run);
}

int history_find_run(struct history *h, const char *run, int64_t *run_key, struct err *e)
{
    char id[RUN_ID_MAX + 1];

    return history_resolve(h, run, run_key, id, e);
}

static bool add_text(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    return cJSON_AddStringToObject(object, name, sql_column_text(q, column)) != NULL;
}

/* JSON that a trainer sent and the codec has checked. A newline between its members would end the
 * feed's line; inside a string it cannot stand. */
static bool add_json(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    const char *text = sql_column_text(q, column);
    cJSON *raw = cJSON_AddRawToObject(object, name, *text ? text : "null");

    if (!raw)
        return false;
    for (char *c = raw->valuestring; *c; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
    return true;
}

static bool add_integer_or_null(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    if (sqlite3_column_type(q, column) == SQLITE_NULL)
        return cJSON_AddNullToObject(object, name) != NULL;
    return json_add_integer(object, name, sqlite3_column_int64(q, column));
}

cJSON *history_push_object(cJSON *array)
{
    cJSON *object = cJSON_CreateObject();

    if (object)
        cJSON_AddItemToArray(array, object);
    return object;
}

/* The layer of the row at hand, as RUN OBJECT shows it. */
static bool add_run_layer(cJSON *array, sqlite3_stmt *q)
{
    struct point point;
    cJSON *o = history_push_object(array);

    store_schema_point(q, LAYERS_POINT, &point);
    return o && add_text(o, "layer", q, 1) &&
           json_add_integer(o, "p", sqlite3_column_int64(q, 2)) &&
           json_add_integer(o, "c", sqlite3_column_int64(q, 3)) &&
           add_integer_or_null(o, "step", q, LAYERS_POINT) &&
           json_add_double(o, "d_lr", point.value[METRIC_D_LR]);
}

static int add_run_layers(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    cJSON *array = cJSON_AddArrayToObject(run, "layers");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    sql_bind_text(q, 2, NULL);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_run_layer(array, q) || sql_row_check(q, e) < 0)
            return history_no_memory(e);
    }
    return rc;
}

static bool add_run_columns(cJSON *o, sqlite3_stmt *q)
{
    return add_text(o, "run", q, 1) && add_text(o, "name", q, 2) && add_text(o, "project", q, 3) &&
           add_text(o, "group", q, 4) && add_json(o, "tags", q, 5) && add_json(o, "config", q, 6) &&
           cJSON_AddStringToObject(o, "state", stored_state_name(sqlite3_column_int(q, 7))) &&
           json_add_integer(o, "attempt", sqlite3_column_int64(q, 8)) &&
           json_add_double(o, "created", sql_column_double(q, 9)) &&
           json_add_double(o, "updated", sql_column_double(q, 10)) &&
           add_integer_or_null(o, "last_step", q, 11) &&
           json_add_integer(o, "n_points", sqlite3_column_int64(q, 12));
}

/* RUN OBJECT of the row at hand. */
static int add_run(struct history *h, cJSON *o, sqlite3_stmt *q, struct err *e)
{
    if (!o || !add_run_columns(o, q) || sql_row_check(q, e) < 0)
        return history_no_memory(e);
    return add_run_layers(h, sqlite3_column_int64(q, 0), o, e);
}

static void bind_filter(sqlite3_stmt *q, const struct feed_run_list *params)
{
    sql_bind_text(q, 1, params->project);
    sqlite3_bind_int(q, 2, params->state ? stored_state_find(params->state) : -1);
}

static int run_list(struct history *h, const void *arg, cJSON **out, struct err *e)
{
    const struct feed_run_list *params = arg;
    sqlite3_stmt *count = h->statement[SQL_RUN_COUNT], *q = h->statement[SQL_RUN_LIST];
    cJSON *runs;
    int rc;

    if (params->state && stored_state_find(params->state) < 0)
        return err_set(e, -EINVAL, "\"state\": no state \"%.64s\"", params->state);
    bind_filter(count, params);
    rc = sql_step(count, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    if (!*out || !json_add_integer(*out, "total", sqlite3_column_int64(count, 0)))
        return history_no_memory(e);
    runs = cJSON_AddArrayToObject(*out, "runs");
    if (!runs)
        return history_no_memory(e);
    bind_filter(q, params);
    sql_bind_integers(q, 3, (int64_t[]){params->limit, params->offset}, 2);
    while ((rc = sql_step(q, e)) == 1) {
        rc = add_run(h, history_push_object(runs), q, e);
        if (rc < 0)
            break;
    }
    return rc;
}

static bool add_attempt(cJSON *array, sqlite3_stmt *q)
{
    cJSON *o = history_push_object(array);

    return o && json_add_integer(o, "attempt", sqlite3_column_int64(q, 0)) &&
           add_integer_or_null(o, "first_step", q, 1) &&
           json_add_double(o, "opened", sql_column_double(q, 2)) &&
           json_add_double(o, "closed", sql_column_double(q, 3)) &&
           cJSON_AddStringToObject(o, "state", stored_state_name(sqlite3_column_int(q, 4)));
}

static int add_attempts(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_ATTEMPTS];
    cJSON *array = cJSON_AddArrayToObject(run, "attempts");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_attempt(array, q))
            return history_no_memory(e);
    }
    return rc;
}

static int add_names(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_NAMES];
    cJSON *array = cJSON_AddArrayToObject(run, "scalars");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    while ((rc = sql_step(q, e)) == 1) {
        cJSON *name = cJSON_CreateString(sql_column_text(q, 1));

        if (!name)
            return history_no_memory(e);
        cJSON_AddItemToArray(array, name);
        if (sql_row_check(q, e) < 0)
            return -ENOMEM;
    }
    return rc;
}

static int run_get(struct history *h, const void *arg, cJSON **out, struct err *e)
{
    const struct feed_run *params = arg;
    sqlite3_stmt *q = h->statement[SQL_RUN_GET];
    int64_t run_key = 0;
    int rc;

    rc = history_find_run(h, params->run, &run_key, e);
    if (rc < 0)
        return rc;
    SQL_BIND(q, run_key);
    rc = sql_step(q, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    rc = add_run(h, *out, q, e);
    if (rc == 0)
        rc = add_attempts(h, run_key, *out, e);
    return rc < 0 ? rc : add_names(h, run_key, *out, e);
}

/* The layer of the row at hand with its latest POINT. */
static bool add_layer(cJSON *array, const char *run, sqlite3_stmt *q)
{
    const char *name = sql_column_text(q, 1);
    cJSON *o = history_push_object(array), *last;
    struct point point;

    if (!o || !cJSON_AddStringToObject(o, "layer", name) ||
        !json_add_integer(o, "p", sqlite3_column_int64(q, 2)) ||
        !json_add_integer(o, "c", sqlite3_column_int64(q, 3)) ||
        !json_add_integer(o, "n_points", sqlite3_column_int64(q, 4)))
        return false;
    if (sqlite3_column_type(q, 5) == SQLITE_NULL)
        return cJSON_AddNullToObject(o, "last") != NULL;
    store_schema_point(q, LAYERS_POINT, &point);
    last = point_to_json(run, name, (uint32_t)sqlite3_column_int64(q, 5), &point);
    if (last && cJSON_AddItemToObject(o, "last", last))
        return true;
    cJSON_Delete(last);
    return false;
}

static int layer_list(struct history *h, const void *arg, cJSON **out, struct err *e)
{
    const struct feed_run *params = arg;
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    char id[RUN_ID_MAX + 1];
    int64_t run_key = 0;
    cJSON *array;
    int rc;

    rc = history_resolve(h, params->run, &run_key, id, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    if (!*out || !cJSON_AddStringToObject(*out, "run", id))
        return history_no_memory(e);
    array = cJSON_AddArrayToObject(*out, "layers");
    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    sql_bind_text(q, 2, NULL);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_layer(array, id, q) || sql_row_check(q, e) < 0)
            return history_no_memory(e);
    }
    return rc;
}

int history_run_list(struct history *h, const struct feed_run_list *params, cJSON **out,
                     struct err *e)
{
    return history_read(h, run_list, params, out, e);
}

int history_run_get(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    return history_read(h, run_get, params, out, e);
}

int history_layer_list(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    return history_read(h, layer_list, params, out, e);
}

/* ---- changes ------------------------------------------------------------------------------- */

/* Rows of one kind in the order of the feed. */
struct stream {
    sqlite3_stmt *q;
    int seq_column;
    cJSON *(*to_json)(sqlite3_stmt *);
    cJSON *into;  /* an array of the page */
    uint64_t seq; /* of the row at hand; UINT64_MAX at the end */
};
#define MAX_STREAMS 2

static int stream_next(struct stream *s, struct err *e)
{
    int rc = sql_step(s->q, e);

    s->seq = rc == 1 ? (uint64_t)sqlite3_column_int64(s->q, s->seq_column) : UINT64_MAX;
    return rc < 0 ? rc : 0;
}

static cJSON *point_change(sqlite3_stmt *q)
{
    struct point point;

    store_schema_point(q, CHANGE_COLUMNS, &point);
    return point_to_json(sql_column_text(q, 0), sql_column_text(q, 1),
                         (uint32_t)sqlite3_column_int64(q, 2), &point);
}

static cJSON *scalar_change(sqlite3_stmt *q)
{
    struct scalar scalar = {.value = sql_column_double(q, CHANGE_COLUMNS + 2)};

    snprintf(scalar.name, sizeof scalar.name, "%s", sql_column_text(q, 1));
    return scalar_to_json(sql_column_text(q, 0), (uint32_t)sqlite3_column_int64(q, 2),
                          sqlite3_column_int64(q, CHANGE_COLUMNS),
                          sql_column_double(q, CHANGE_COLUMNS + 1), &scalar);
}

/* The columns of FINDING_COLUMNS. A metric that this program does not know reads as d_lr. */
static cJSON *finding_change(sqlite3_stmt *q)
{
    int first = FINDING_FEED_SEQ + 1, metric = metric_find(sql_column_text(q, first + 2));
    struct finding f = {
        .metric = metric < 0 ? METRIC_D_LR : (enum metric)metric,
        .step = sqlite3_column_int64(q, first),
        .time = sql_column_double(q, first + 1),
        .transition =
            {
                .direction = sqlite3_column_int(q, first + 3) ? TRANSITION_RISE : TRANSITION_FALL,
                .start = sqlite3_column_int64(q, first + 4),
                .end = sqlite3_column_int64(q, first + 5),
                .from = sql_column_double(q, first + 6),
                .to = sql_column_double(q, first + 7),
                .confidence = sql_column_double(q, first + 8),
            },
        .agrees = (enum agreement)sqlite3_column_int(q, first + 9),
        .accuracy = {.from = sql_column_double(q, first + 11),
                     .to = sql_column_double(q, first + 12)},
    };

    f.transition.size = fabs(f.transition.to - f.transition.from);
    snprintf(f.accuracy.name, sizeof f.accuracy.name, "%s", sql_column_text(q, first + 10));
    return finding_to_json(sql_column_text(q, 0), sql_column_text(q, 1),
                           (uint32_t)sqlite3_column_int64(q, 2), &f);
}

static int add_change(struct history_page *page, const struct stream *s, struct err *e)
{
    cJSON *change = s->to_json(s->q);

    if (!change)
        return history_no_memory(e);
    cJSON_AddItemToArray(s->into, change);
    page->n_items++;
    return sql_row_check(s->q, e);
}

/* The stream whose row is next. */
static struct stream *first_of(struct stream *streams, size_t n)
{
    struct stream *first = streams;

    for (size_t i = 1; i < n; i++) {
        if (streams[i].seq < first->seq)
            first = &streams[i];
    }
    return first;
}

/* Merges the streams into the page until it is full, or enough other runs' rows were passed. */
static int merge(struct history_page *page, struct stream *streams, size_t n, int64_t run_key,
                 size_t limit, struct err *e)
{
    size_t n_scanned = 0;
    int rc;

    for (size_t i = 0; i < n; i++) {
        rc = stream_next(&streams[i], e);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        struct stream *s = first_of(streams, n);

        if (s->seq == UINT64_MAX) {
            page->reached = page->committed;
            return 0;
        }
        if (page->n_items == limit || n_scanned++ == HISTORY_PAGE_SCAN)
            return 0;
        page->reached = s->seq;
        rc = run_key == 0 || sqlite3_column_int64(s->q, 3) == run_key ? add_change(page, s, e) : 0;
        if (rc == 0)
            rc = stream_next(s, e);
        if (rc < 0)
            return rc;
    }
}

static int start_page(struct history *h, struct history_page *page, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_FEED_SEQ];
    int rc;

    memset(page, 0, sizeof *page);
    page->points = cJSON_CreateArray();
    page->scalars = cJSON_CreateArray();
    page->events = cJSON_CreateArray();
    if (!page->points || !page->scalars || !page->events)
        return history_no_memory(e);
    rc = sql_run(h->statement[SQL_BEGIN], e);
    if (rc < 0)
        return rc;
    rc = sql_step(q, e);
    page->committed = rc == 1 ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
    sqlite3_reset(q);
    return rc < 0 ? rc : 0;
}

static int finish_page(struct history *h, struct history_page *page, int rc)
{
    end_transaction(h);
    if (rc < 0)
        history_page_release(page);
    return rc;
}

/* Which statements tell of what is new, or latest; returns how many. */
static size_t list_streams(struct history *h, enum change_kind kind, bool latest,
                           const struct history_page *page, struct stream *out)
{
    if (kind == CHANGE_EVENTS) {
        out[0] = (struct stream){h->statement[latest ? SQL_LATEST_FINDINGS : SQL_NEW_FINDINGS],
                                 FINDING_FEED_SEQ, finding_change, page->events, 0};
        return 1;
    }
    out[0] = (struct stream){h->statement[latest ? SQL_LATEST_POINTS : SQL_NEW_POINTS],
                             POINT_FEED_SEQ, point_change, page->points, 0};
    out[1] = (struct stream){h->statement[latest ? SQL_LATEST_SCALARS : SQL_NEW_SCALARS],
                             SCALAR_FEED_SEQ, scalar_change, page->scalars, 0};
    return 2;
}

int history_latest(struct history *h, enum change_kind kind, int64_t run_key,
                   struct history_page *out, struct err *e)
{
    struct stream streams[MAX_STREAMS];
    int rc = start_page(h, out, e);
    size_t n = list_streams(h, kind, true, out, streams);

    for (size_t i = 0; i < n; i++) {
        SQL_BIND(streams[i].q, run_key);
        while (rc == 0 && (rc = sql_step(streams[i].q, e)) == 1)
            rc = add_change(out, &streams[i], e);
    }
    out->reached = out->committed;
    return finish_page(h, out, rc);
}

int history_changes(struct history *h, enum change_kind kind, int64_t run_key, uint64_t since,
                    size_t limit, struct history_page *out, struct err *e)
{
    struct stream streams[MAX_STREAMS];
    int rc = start_page(h, out, e);
    size_t n = list_streams(h, kind, false, out, streams);

    assert(limit > 0 && limit <= HISTORY_PAGE_MAX);
    out->reached = since;
    for (size_t i = 0; i < n; i++)
        SQL_BIND(streams[i].q, (int64_t)since);
    if (rc == 0)
        rc = merge(out, streams, n, run_key, limit, e);
    return finish_page(h, out, rc);
}

void history_page_release(struct history_page *page)
{
    cJSON_Delete(page->points);
    cJSON_Delete(page->scalars);
    cJSON_Delete(page->events);
    memset(page, 0, sizeof *page);
}

/* ---- events -------------------------------------------------------------------------------- */

static int events(struct history *h, const void *arg, cJSON **out, struct err *e)
{
    const struct feed_event_query *params = arg;
    sqlite3_stmt *q = h->statement[SQL_FINDINGS];
    struct history_page page = {0};
    struct stream stream = {q, FINDING_FEED_SEQ, finding_change, NULL, 0};
    char id[RUN_ID_MAX + 1];
    int64_t run_key = 0;
    int rc = history_resolve(h, params->run, &run_key, id, e);

    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    if (!*out || !cJSON_AddStringToObject(*out, "run", id))
        return history_no_memory(e);
    stream.into = cJSON_AddArrayToObject(*out, "events");
    if (!stream.into)
        return history_no_memory(e);
    SQL_BIND(q, run_key, params->from, params->to, params->all_attempts, INT64_MAX,
             HISTORY_ANSWER_EVENTS);
    sql_bind_text(q, 7, params->layer);
    while ((rc = sql_step(q, e)) == 1) {
        rc = add_change(&page, &stream, e);
        if (rc < 0)
            break;
    }
    return rc;
}

int history_events(struct history *h, const struct feed_event_query *params, cJSON **out,
                   struct err *e)
{
    return history_read(h, events, params, out, e);
}
