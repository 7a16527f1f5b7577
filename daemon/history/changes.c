#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* Where a changed thing has its feed sequence: @point and the scalar's columns begin at 4. */
#define CHANGE_COLUMNS   4
#define POINT_FEED_SEQ   (CHANGE_COLUMNS + SCHEMA_POINT_FEED_SEQ)
#define SCALAR_FEED_SEQ  (CHANGE_COLUMNS + 3)
#define FINDING_FEED_SEQ CHANGE_COLUMNS

/* Rows of one kind in the order of the feed. */
struct stream {
    sqlite3_stmt *q;
    int seq_column;
    cJSON *(*to_json)(sqlite3_stmt *);
    cJSON *into;      /* an array of the page, */
    const char *list; /* and its name */
    uint64_t seq;     /* of the current row; UINT64_MAX at the end */
};
#define MAX_STREAMS 2

static int stream_next(struct stream *stream, struct err *err)
{
    int rc = sql_step(stream->q, err);

    stream->seq =
        rc == 1 ? (uint64_t)sqlite3_column_int64(stream->q, stream->seq_column) : UINT64_MAX;
    return rc < 0 ? rc : 0;
}

static cJSON *point_change(sqlite3_stmt *statement)
{
    struct point point;

    store_schema_point(statement, CHANGE_COLUMNS, &point);
    return point_to_json(sql_column_text(statement, 0), sql_column_text(statement, 1),
                         (uint32_t)sqlite3_column_int64(statement, 2), &point);
}

static cJSON *scalar_change(sqlite3_stmt *statement)
{
    struct scalar scalar = {.value = sql_column_double(statement, CHANGE_COLUMNS + 2)};

    snprintf(scalar.name, sizeof scalar.name, "%s", sql_column_text(statement, 1));
    return scalar_to_json(sql_column_text(statement, 0),
                          (uint32_t)sqlite3_column_int64(statement, 2),
                          sqlite3_column_int64(statement, CHANGE_COLUMNS),
                          sql_column_double(statement, CHANGE_COLUMNS + 1), &scalar);
}

/* The columns of FINDING_COLUMNS. */
static cJSON *finding_change(sqlite3_stmt *statement)
{
    const char *layer = sql_column_text(statement, 1);
    int first = FINDING_FEED_SEQ + 1;
    struct finding finding = {
        .metric = sql_column_text(statement, first + 2),
        .attempt = (uint32_t)sqlite3_column_int64(statement, 2),
        .step = sqlite3_column_int64(statement, first),
        .time = sql_column_double(statement, first + 1),
        .alert = sqlite3_column_type(statement, first + 15) == SQLITE_NULL
                     ? NULL
                     : sql_column_text(statement, first + 15),
        .transition =
            {
                .direction =
                    sqlite3_column_int(statement, first + 3) ? TRANSITION_RISE : TRANSITION_FALL,
                .start = sqlite3_column_int64(statement, first + 4),
                .end = sqlite3_column_int64(statement, first + 5),
                .from = sql_column_double(statement, first + 6),
                .to = sql_column_double(statement, first + 7),
                .returned = -1,
            },
        .n_from = sql_column_double(statement, first + 8),
        .n_to = sql_column_double(statement, first + 9),
        .agrees = (enum agreement)sqlite3_column_int(statement, first + 10),
        .accuracy = {.name = sql_column_text(statement, first + 11),
                     .from = sql_column_double(statement, first + 12),
                     .to = sql_column_double(statement, first + 13)},
    };

    finding.transition.size = fabs(finding.transition.to - finding.transition.from);
    if (sqlite3_column_type(statement, first + 14) != SQLITE_NULL)
        finding.transition.returned = sqlite3_column_int64(statement, first + 14);
    return finding_to_json(sql_column_text(statement, 0), *layer ? layer : NULL, &finding);
}

static int add_change(struct history_page *page, const struct stream *stream, struct err *err)
{
    cJSON *change = stream->to_json(stream->q);

    if (!change)
        return history_no_memory(err);
    cJSON_AddItemToArray(stream->into, change);
    page->n_items++;
    return sql_row_check(stream->q, err);
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

/* Merges the streams into the page until the page is full, or until enough rows of other runs were
 * passed over. */
static int merge(struct history_page *page, struct stream *streams, size_t n, int64_t run_key,
                 size_t limit, struct err *err)
{
    size_t n_scanned = 0;
    int rc;

    for (size_t i = 0; i < n; i++) {
        rc = stream_next(&streams[i], err);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        struct stream *stream = first_of(streams, n);

        if (stream->seq == UINT64_MAX) {
            page->reached = page->committed;
            return 0;
        }
        if (page->n_items == limit || n_scanned++ == HISTORY_PAGE_SCAN)
            return 0;
        page->reached = stream->seq;
        rc = run_key == 0 || sqlite3_column_int64(stream->q, 3) == run_key
                 ? add_change(page, stream, err)
                 : 0;
        if (rc == 0)
            rc = stream_next(stream, err);
        if (rc < 0)
            return rc;
    }
}

static int start_page(struct history *history, struct history_page *page, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_FEED_SEQ];
    int rc;

    memset(page, 0, sizeof *page);
    page->points = cJSON_CreateArray();
    page->scalars = cJSON_CreateArray();
    page->events = cJSON_CreateArray();
    if (!page->points || !page->scalars || !page->events)
        return history_no_memory(err);
    rc = sql_run(history->statement[SQL_BEGIN], err);
    if (rc < 0)
        return rc;
    rc = sql_step(statement, err);
    page->committed = rc == 1 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int finish_page(struct history *history, struct history_page *page, int rc)
{
    history_end_transaction(history, rc);
    if (rc < 0)
        history_page_release(page);
    return rc;
}

/* Which statements find what is new, or the latest; returns how many. */
static size_t list_streams(struct history *history, enum change_kind kind, bool latest,
                           const struct history_page *page, struct stream *out)
{
    if (kind == CHANGE_EVENTS) {
        out[0] =
            (struct stream){history->statement[latest ? SQL_LATEST_FINDINGS : SQL_NEW_FINDINGS],
                            FINDING_FEED_SEQ,
                            finding_change,
                            page->events,
                            "events",
                            0};
        return 1;
    }
    out[0] = (struct stream){history->statement[latest ? SQL_LATEST_POINTS : SQL_NEW_POINTS],
                             POINT_FEED_SEQ,
                             point_change,
                             page->points,
                             "points",
                             0};
    out[1] = (struct stream){history->statement[latest ? SQL_LATEST_SCALARS : SQL_NEW_SCALARS],
                             SCALAR_FEED_SEQ,
                             scalar_change,
                             page->scalars,
                             "scalars",
                             0};
    return 2;
}

static int put_change(const struct stream *stream, history_put_fn *put, void *arg, struct err *err)
{
    int rc = put(arg, stream->list, stream->to_json(stream->q));

    return rc < 0 ? history_no_memory(err) : sql_row_check(stream->q, err);
}

int history_latest(struct history *history, enum change_kind kind, int64_t run_key,
                   struct history_page *out, history_put_fn *put, void *arg, struct err *err)
{
    struct stream streams[MAX_STREAMS];
    int rc = start_page(history, out, err);
    size_t n = list_streams(history, kind, true, out, streams);

    out->reached = out->committed;
    for (size_t i = 0; i < n; i++) {
        SQL_BIND(streams[i].q, run_key);
        while (rc == 0 && (rc = sql_step(streams[i].q, err)) == 1) {
            out->n_items++;
            rc = put_change(&streams[i], put, arg, err);
        }
    }
    return finish_page(history, out, rc);
}

int history_changes(struct history *history, enum change_kind kind, int64_t run_key, uint64_t since,
                    size_t limit, struct history_page *out, struct err *err)
{
    struct stream streams[MAX_STREAMS];
    int rc = start_page(history, out, err);
    size_t n = list_streams(history, kind, false, out, streams);

    assert(limit > 0 && limit <= HISTORY_PAGE_MAX);
    out->reached = since;
    for (size_t i = 0; i < n; i++)
        SQL_BIND(streams[i].q, (int64_t)since);
    if (rc == 0)
        rc = merge(out, streams, n, run_key, limit, err);
    return finish_page(history, out, rc);
}

void history_page_drop(struct history_page *page)
{
    cJSON_Delete(page->points);
    cJSON_Delete(page->scalars);
    cJSON_Delete(page->events);
    page->points = page->scalars = page->events = NULL;
}

void history_page_release(struct history_page *page)
{
    history_page_drop(page);
    memset(page, 0, sizeof *page);
}

/* ---- events -------------------------------------------------------------------------------- */

/* Whether the run has a layer of the name; NULL is none to ask for. */
static int check_layer(struct history *history, int64_t run_key, const char *run, const char *layer,
                       struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    int rc;

    if (!layer)
        return 0;
    SQL_BIND(statement, run_key);
    sql_bind_text(statement, 2, layer);
    rc = sql_step(statement, err);
    sqlite3_reset(statement);
    if (rc == 0)
        return err_set(err, -ENOENT, "run \"%s\" has no layer \"%.128s\"", run, layer);
    return rc < 0 ? rc : 0;
}

static int put_events(sqlite3_stmt *statement, struct answer *answer, struct err *err)
{
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        answer_item(answer, finding_change(statement));
        rc = sql_row_check(statement, err);
        if (rc < 0)
            break;
    }
    return rc;
}

static int put_watched(struct history *history, int64_t run_key, const char *layer,
                       struct answer *answer, struct err *err)
{
    cJSON *tail = cJSON_CreateObject(), *watched = cJSON_AddArrayToObject(tail, "watched");
    int rc =
        watched ? history_watched(history, run_key, layer, watched, err) : history_no_memory(err);

    answer_list_end(answer, tail);
    return rc;
}

static int events(struct history *history, const struct feed_event_query *params,
                  struct answer *answer, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_FINDINGS];
    char id[RUN_ID_MAX + 1];
    int64_t run_key = 0;
    int rc = history_resolve(history, params->run, &run_key, id, err);

    if (rc == 0)
        rc = check_layer(history, run_key, id, params->layer, err);
    if (rc < 0)
        return rc;
    answer_list(answer, history_head(id), "events");
    SQL_BIND(statement, run_key, params->from, params->to, params->all_attempts, INT64_MAX,
             HISTORY_ANSWER_EVENTS);
    sql_bind_text(statement, 7, params->layer);
    rc = put_events(statement, answer, err);
    return rc < 0 ? rc : put_watched(history, run_key, params->layer, answer, err);
}

int history_events(struct history *history, const struct feed_event_query *params,
                   struct answer *answer, struct err *err)
{
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = events(history, params, answer, err);
    return history_end_transaction(history, rc);
}
