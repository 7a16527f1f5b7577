#include "daemon/share/merge.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/detect/finding.h"
#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* A text that answers have as it is, on one line. Who may write there is not only richd: what is no
 * such JSON would end an answer, or begin one of its own. */
#define JSON_TEXT(column, type, empty)                                                             \
    "CASE WHEN json_valid(" column ") THEN CASE json_type(" column ") WHEN '" type                 \
    "' THEN json(" column ") ELSE '" empty "' END ELSE '" empty "' END"

/* ?1 is the run's key, ?2 and so on the columns behind `run`. What a row describes may come before
 * the row of its run, which then begins as a stub. */
enum merge_sql {
    MERGE_FIND,
    MERGE_STUB,
    MERGE_RUN,
    MERGE_CONFIG,
    MERGE_SUMMARY,
    MERGE_NOTE,
    MERGE_UNWATCH,
    MERGE_WATCH,
    MERGE_ATTEMPT,
    MERGE_NEWEST,
    MERGE_MEMBER,
    MERGE_LAYER,
    MERGE_COUNT_POINT,
    MERGE_SPECTRUM,
    MERGE_REPRESENTATION,
    MERGE_FINDING,
    MERGE_PLACE,
    MERGE_SQL_COUNT,
};

static const char *const statements[MERGE_SQL_COUNT] = {
    [MERGE_FIND] = "SELECT run_key, created FROM run WHERE id = ?1",
    [MERGE_STUB] = "INSERT INTO run(run_key, id, name, project, run_group, tags, state, attempt)"
                   " SELECT 1 + max(gone_key, coalesce((SELECT max(run_key) FROM run), 0)), ?1, ?1,"
                   " 'default', '', '[]', 0, 0 FROM state",
    [MERGE_RUN] = "UPDATE run SET name = coalesce(?2, id), project = coalesce(?3, 'default'),"
                  " run_group = coalesce(?4, ''), created = ?6, updated = ?7, hidden = ?8,"
                  " edited = ?9, revision = revision + 1,"
                  " tags = " JSON_TEXT("?5", "array", "[]") " WHERE run_key = ?1",
    [MERGE_CONFIG] =
        "REPLACE INTO run_config(run_key, config, updates)"
        " VALUES(?1, " JSON_TEXT("?2", "object", "{}") ", " JSON_TEXT("?3", "object", "{}") ")",
    [MERGE_SUMMARY] = "REPLACE INTO run_summary(run_key, summary)"
                      " VALUES(?1, " JSON_TEXT("?4", "object", "{}") ")",
    [MERGE_NOTE] = "REPLACE INTO run_note(run_key, note) VALUES(?1, coalesce(?5, ''))",
    [MERGE_UNWATCH] = "DELETE FROM watched WHERE run_key = ?1",
    [MERGE_WATCH] = "INSERT INTO watched(run_key, place, is_scalar, in_turn, name)"
                    " VALUES(?1, ?2, ?3, ?4, ?5)",
    [MERGE_ATTEMPT] =
        "INSERT INTO attempt(run_key, attempt, writer, opened, state, closed, first_step,"
        " last_step, launch, world, host) VALUES(?1, ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9,"
        " ?10, ?11) ON CONFLICT(run_key, attempt) DO UPDATE SET writer = ?3,"
        " opened = nullif(?4, 0), state = ?5, closed = ?6, first_step = ?7, last_step = ?8,"
        " launch = ?9, world = ?10, host = ?11",
    [MERGE_NEWEST] = "UPDATE run SET (attempt, state) = (SELECT attempt, state FROM attempt a"
                     " WHERE a.run_key = ?1 ORDER BY attempt DESC LIMIT 1),"
                     " revision = revision + 1 WHERE run_key = ?1",
    [MERGE_MEMBER] = "INSERT INTO member(run_key, attempt, rank, writer, state, last_step)"
                     " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(run_key, attempt, rank)"
                     " DO UPDATE SET writer = ?4, state = ?5, last_step = ?6",
    [MERGE_LAYER] = "INSERT INTO layer(run_key, name, p, c) VALUES(?1, ?3, ?4, ?5)"
                    " ON CONFLICT(run_key, name) DO UPDATE SET p = ?4, c = ?5",
    [MERGE_COUNT_POINT] =
        "UPDATE run SET n_points = n_points + ?2, last_step = CASE WHEN attempt > ?3"
        " AND last_step > ?4 THEN last_step ELSE ?4 END, revision = revision + 1"
        " WHERE run_key = ?1",
    /* ?2: the layer's key. */
    [MERGE_SPECTRUM] = "REPLACE INTO spectrum(layer_key, attempt, step, rank, rank_targets,"
                       " uncentred, few_rows, n_values, total, data)"
                       " VALUES(?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [MERGE_REPRESENTATION] =
        "REPLACE INTO representation(layer_key, attempt, step, ordinal, n_rows, data)"
        " VALUES(?2, ?3, ?4, ?5, ?6, ?7)",
    [MERGE_FINDING] =
        "REPLACE INTO finding(run_key, layer_key, attempt, step, metric, time, direction,"
        " start_step, end_step, level_from, level_to, n_from, n_to, returned, returned_attempt,"
        " agrees, accuracy, accuracy_from, accuracy_to, feed_seq)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
        " ?19, ?20)",
    [MERGE_PLACE] = "INSERT INTO pulled(history, source, described, fed) VALUES(?4, ?1, ?2, ?3)"
                    " ON CONFLICT(history, source) DO UPDATE SET described = ?2, fed = ?3",
};

/* The statements that differ where the rows are a relay's. Here a run may have been trained, or
 * edited by a person: who wrote last speaks, what was edited stays, and of the attempts the one
 * that was opened last is the newest. One that comes late has a larger number all the same, and
 * hides nothing of those that were opened after it. */
#define IS_OLDER "(updated > ?7)"
#define FIRST_STEP                                                                                 \
    "CASE WHEN EXISTS(SELECT 1 FROM attempt o WHERE o.run_key = ?1 AND o.attempt < ?2"             \
    " AND o.opened > ?4) THEN NULL ELSE ?7 END"

static const char *const relayed[MERGE_SQL_COUNT] = {
    [MERGE_RUN] =
        "UPDATE run SET name = CASE WHEN edited & 1 OR " IS_OLDER
        " THEN name ELSE coalesce(?2, id) END, project = CASE WHEN " IS_OLDER
        " THEN project ELSE coalesce(?3, 'default') END, run_group = CASE WHEN " IS_OLDER
        " THEN run_group ELSE coalesce(?4, '') END, tags = CASE WHEN edited & 2 OR " IS_OLDER
        " THEN tags ELSE " JSON_TEXT(
            "?5", "array",
            "[]") " END,"
                  " hidden = CASE WHEN created IS NULL THEN coalesce(?8, 0) ELSE hidden END,"
                  " created = coalesce(min(created, ?6), ?6),"
                  " updated = coalesce(max(updated, ?7), ?7), edited = edited | coalesce(?9, 0),"
                  " revision = revision + 1 WHERE run_key = ?1",
    [MERGE_NOTE] = "INSERT INTO run_note(run_key, note) VALUES(?1, coalesce(?5, ''))"
                   " ON CONFLICT(run_key) DO UPDATE SET note = excluded.note WHERE note = ''",
    [MERGE_ATTEMPT] =
        "INSERT INTO attempt(run_key, attempt, writer, opened, state, closed, first_step,"
        " last_step, launch, world, host) VALUES(?1, ?2, ?3, nullif(?4, 0), ?5, ?6, " FIRST_STEP
        ", ?8, ?9, ?10, ?11) ON CONFLICT(run_key, attempt) DO UPDATE SET state = ?5, closed = ?6,"
        " first_step = " FIRST_STEP ", last_step = ?8, launch = ?9, world = ?10, host = ?11",
    [MERGE_NEWEST] = "UPDATE run SET (attempt, state) = (SELECT attempt, state FROM attempt a"
                     " WHERE a.run_key = ?1 ORDER BY coalesce(opened, 0) DESC, attempt DESC"
                     " LIMIT 1), revision = revision + 1 WHERE run_key = ?1",
    [MERGE_COUNT_POINT] =
        "UPDATE run SET n_points = n_points + ?2, last_step = CASE WHEN attempt <> ?3"
        " AND last_step > ?4 THEN last_step ELSE ?4 END, revision = revision + 1"
        " WHERE run_key = ?1",
};

/* What one merge works with. */
struct work {
    struct store *store;
    struct merge *merge;
    sqlite3_stmt *statement[MERGE_SQL_COUNT];
    /* The run of the last row, which mostly is the next one's. */
    char run[RUN_ID_MAX + 1];
    int64_t run_key; /* 0: there is none */
};

/* ---- cells ----------------------------------------------------------------------------------- */

static struct cell cell_at(const struct merge_rows *rows, int row, int column)
{
    return rows->cell(rows->of, row, column);
}

/* NULL is 0, NaN and "". */
static int64_t integer_at(const struct merge_rows *rows, int row, int column)
{
    struct cell cell = cell_at(rows, row, column);

    return cell.type == CELL_INTEGER ? cell.integer : 0;
}

static double number_at(const struct merge_rows *rows, int row, int column)
{
    struct cell cell = cell_at(rows, row, column);

    return cell.type == CELL_NUMBER ? cell.number : (double)NAN;
}

static const char *text_at(const struct merge_rows *rows, int row, int column)
{
    struct cell cell = cell_at(rows, row, column);

    return cell.type == CELL_TEXT ? cell.data : "";
}

static bool is_null_at(const struct merge_rows *rows, int row, int column)
{
    return cell_at(rows, row, column).type == CELL_NULL;
}

/* Column `column` of the row as parameter `index`. */
static void bind_cell(sqlite3_stmt *statement, int index, const struct merge_rows *rows, int row,
                      int column)
{
    struct cell cell = cell_at(rows, row, column);

    switch (cell.type) {
    case CELL_NULL:
        sqlite3_bind_null(statement, index);
        break;
    case CELL_INTEGER:
        sqlite3_bind_int64(statement, index, cell.integer);
        break;
    case CELL_NUMBER:
        sqlite3_bind_double(statement, index, cell.number);
        break;
    case CELL_TEXT:
        sqlite3_bind_text(statement, index, cell.data, (int)cell.size, SQLITE_STATIC);
        break;
    case CELL_BYTES:
        sqlite3_bind_blob(statement, index, cell.data, (int)cell.size, SQLITE_STATIC);
        break;
    }
}

/* All columns behind the run, from parameter 2 on, as far as the statement has them. */
static int run_row(struct work *work, enum merge_sql sql, const struct merge_rows *rows, int row,
                   struct err *err)
{
    sqlite3_stmt *statement = work->statement[sql];
    int rc;

    SQL_BIND(statement, work->run_key);
    for (int column = 1; column < rows->n_columns; column++) {
        if (column < sqlite3_bind_parameter_count(statement))
            bind_cell(statement, column + 1, rows, row, column);
    }
    rc = sql_run(statement, err);
    sqlite3_clear_bindings(statement);
    return rc;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static int look_up(struct work *work, double *created, struct err *err)
{
    sqlite3_stmt *statement = work->statement[MERGE_FIND];
    int rc;

    sql_bind_text(statement, 1, work->run);
    rc = sql_step(statement, err);
    work->run_key = rc == 1 ? sqlite3_column_int64(statement, 0) : 0;
    *created = rc == 1 ? sql_column_double(statement, 1) : (double)NAN;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int make_stub(struct work *work, struct err *err)
{
    int rc;

    sql_bind_text(work->statement[MERGE_STUB], 1, work->run);
    rc = sql_run(work->statement[MERGE_STUB], err);
    work->run_key = sqlite3_last_insert_rowid(work->store->db);
    return rc;
}

/* The run of the row; with `makes` one that is not there is begun. */
static int find_run(struct work *work, const struct merge_rows *rows, int row, bool makes,
                    struct err *err)
{
    const char *id = text_at(rows, row, 0);
    double created;
    int rc = 0;

    if (strcmp(work->run, id) != 0 || (makes && work->run_key == 0)) {
        snprintf(work->run, sizeof work->run, "%s", id);
        rc = look_up(work, &created, err);
    }
    return rc == 0 && makes && work->run_key == 0 ? make_stub(work, err) : rc;
}

static int put_description(struct work *work, const struct merge_rows *rows, int row,
                           struct err *err)
{
    return run_row(work, MERGE_RUN, rows, row, err);
}

/* "0 1 d_lr\n1 0 loss": whether it is a scalar, and the first that a layer has; then the name. */
static int put_watched(struct work *work, const char *text, struct err *err)
{
    sqlite3_stmt *statement = work->statement[MERGE_WATCH];
    char name[LAYER_NAME_MAX + 1];
    int rc = 0;

    for (int place = 0; rc == 0 && place < RUN_WATCHED_MAX && *text; place++) {
        int is_scalar, in_turn, length = 0;

        if (sscanf(text, "%1d %1d %n", &is_scalar, &in_turn, &length) < 2 || length == 0)
            break;
        text += length;
        length = (int)strcspn(text, "\n");
        snprintf(name, sizeof name, "%.*s", length, text);
        text += length + (text[length] == '\n');
        SQL_BIND(statement, work->run_key, place, is_scalar, in_turn);
        sql_bind_text(statement, 5, name);
        rc = sql_run(statement, err);
    }
    return rc;
}

static int put_texts(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    static const enum merge_sql parts[] = {MERGE_CONFIG, MERGE_SUMMARY, MERGE_NOTE, MERGE_UNWATCH};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++)
        rc = run_row(work, parts[i], rows, row, err);
    return rc == 0 ? put_watched(work, text_at(rows, row, 5), err) : rc;
}

static int put_attempt(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    int rc = run_row(work, MERGE_ATTEMPT, rows, row, err);

    return rc == 0 ? run_row(work, MERGE_NEWEST, rows, row, err) : rc;
}

static int put_member(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    return run_row(work, MERGE_MEMBER, rows, row, err);
}

static int put_layer(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    return run_row(work, MERGE_LAYER, rows, row, err);
}

/* ---- the feed -------------------------------------------------------------------------------- */

/* A record of the row's run, which the store's own writers take. Column 2 is the attempt, 3 the
 * step. */
static struct record record_of(const struct work *work, const struct merge_rows *rows, int row)
{
    struct record record = {.run_key = work->run_key,
                            .attempt = (uint32_t)integer_at(rows, row, 2),
                            .step = integer_at(rows, row, 3)};

    snprintf(record.run, sizeof record.run, "%s", work->run);
    return record;
}

/* Column 1 is the layer's name. */
static int find_layer(struct work *work, const struct merge_rows *rows, int row, int64_t *key,
                      struct err *err)
{
    struct record record = record_of(work, rows, row);
    struct layer_point named = {0};

    *key = 0;
    if (is_null_at(rows, row, 1)) /* of a scalar's finding */
        return 0;
    snprintf(named.layer, sizeof named.layer, "%s", text_at(rows, row, 1));
    return store_layer_find(work->store, &record, &named, key, err);
}

/* The columns are those of point_table that stand in a point's row, behind its key. */
static void read_point(const struct merge_rows *rows, int row, struct point *out)
{
    int column = 3;

    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        const struct point_field *field = &point_table[i];

        if (field->place != POINT_PLACE_ROW)
            continue;
        if (field->kind == POINT_KIND_NUMBER)
            point_set_number(out, field, number_at(rows, row, column));
        else if (field->kind == POINT_KIND_STEP && is_null_at(rows, row, column))
            point_set_integer(out, field, -1);
        else
            point_set_integer(out, field, integer_at(rows, row, column));
        column++;
    }
}

static int put_point(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    struct record record = record_of(work, rows, row);
    struct layer_point point = {0};
    int64_t key, added = 0;
    int rc;

    snprintf(point.layer, sizeof point.layer, "%s", text_at(rows, row, 1));
    read_point(rows, row, &point.point);
    rc = store_layer_find(work->store, &record, &point, &key, err);
    if (rc == 0)
        rc = store_point_put(work->store, &record, key, &point, &added, err);
    if (rc < 0)
        return rc;
    SQL_BIND(work->statement[MERGE_COUNT_POINT], work->run_key, added, record.attempt, record.step);
    return sql_run(work->statement[MERGE_COUNT_POINT], err);
}

/* A row with a layer's key in the place of its name. */
static int put_with_layer(struct work *work, enum merge_sql sql, const struct merge_rows *rows,
                          int row, int64_t feed_seq, struct err *err)
{
    sqlite3_stmt *statement = work->statement[sql];
    int64_t key;
    int rc = find_layer(work, rows, row, &key, err);

    if (rc < 0)
        return rc;
    if (feed_seq > 0) {
        SQL_BIND(statement, work->run_key);
        sqlite3_bind_int64(statement, rows->n_columns + 1, feed_seq);
    }
    for (int column = 2; column < rows->n_columns; column++)
        bind_cell(statement, column + 1, rows, row, column);
    sqlite3_bind_int64(statement, 2, key);
    rc = sql_run(statement, err);
    sqlite3_clear_bindings(statement);
    return rc;
}

static int put_spectrum(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    return put_with_layer(work, MERGE_SPECTRUM, rows, row, 0, err);
}

static int put_representation(struct work *work, const struct merge_rows *rows, int row,
                              struct err *err)
{
    return put_with_layer(work, MERGE_REPRESENTATION, rows, row, 0, err);
}

/* An alert stands in the place of an earlier one of its name: columns 4 and 6 are the name and the
 * direction. */
static int drop_alert(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    sqlite3_stmt *statement = work->store->statement[SQL_ALERT_DROP];

    if (integer_at(rows, row, 6) != ALERT_DIRECTION)
        return 0;
    SQL_BIND(statement, work->run_key);
    sql_bind_text(statement, 2, text_at(rows, row, 4));
    return sql_run(statement, err);
}

static int put_finding(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    int rc = drop_alert(work, rows, row, err);

    if (rc < 0)
        return rc;
    return put_with_layer(work, MERGE_FINDING, rows, row, (int64_t)++work->store->feed_seq, err);
}

static int put_scalar(struct work *work, const struct merge_rows *rows, int row, struct err *err)
{
    struct record record = record_of(work, rows, row);
    struct scalar scalar = {.value = number_at(rows, row, 5)};
    uint64_t feed_seq;

    snprintf(scalar.name, sizeof scalar.name, "%s", text_at(rows, row, 1));
    record.time = number_at(rows, row, 4);
    record.scalars = &scalar;
    record.scalar_feed_seqs = &feed_seq;
    record.n_scalars = 1;
    return store_scalar_put(work->store, &record, 0, err);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* One row a table; a run that is not there is begun by what describes it alone. */
static int (*const writers[SHARE_TABLE_COUNT])(struct work *, const struct merge_rows *, int row,
                                               struct err *) = {
    [SHARE_TABLE_RUN] = put_description,   [SHARE_TABLE_RUN_TEXT] = put_texts,
    [SHARE_TABLE_ATTEMPT] = put_attempt,   [SHARE_TABLE_MEMBER] = put_member,
    [SHARE_TABLE_LAYER] = put_layer,       [SHARE_TABLE_POINT] = put_point,
    [SHARE_TABLE_SPECTRUM] = put_spectrum, [SHARE_TABLE_REPRESENTATION] = put_representation,
    [SHARE_TABLE_SCALAR] = put_scalar,     [SHARE_TABLE_FINDING] = put_finding,
};

static bool is_constraint(const struct store *store)
{
    return (sqlite3_errcode(store->db) & 0xff) == SQLITE_CONSTRAINT;
}

/* A row that breaks a rule of this store, as a person may have altered it, is left out, and told
 * of: it would stop all that comes behind it. */
static int leave_out(struct work *work, enum share_table_id id, int rc)
{
    struct merge *merge = work->merge;
    struct share_table table;

    if (rc != -EIO || !is_constraint(work->store) || merge->is_relayed)
        return rc; /* a relay is told no, and keeps it */
    share_table(id, &table);
    if (merge->n_left_out++ == 0)
        snprintf(merge->left_out, sizeof merge->left_out, "of run \"%.100s\" in %s: %.80s",
                 work->run, table.name, sqlite3_errmsg(work->store->db));
    return 0;
}

static int put_table(struct work *work, enum share_table_id id, struct err *err)
{
    const struct merge_rows *rows = &work->merge->rows[id];
    /* A run is there only with the place of who wrote it: by that a start knows this store. */
    bool has_place = work->merge->source != 0 || work->merge->is_relayed;
    bool makes = id < SHARE_TABLE_POINT && has_place;
    int rc = 0;

    for (int row = 0; rc == 0 && row < rows->n; row++) {
        rc = find_run(work, rows, row, makes, err);
        if (rc == 0 && work->run_key != 0)
            rc = leave_out(work, id, writers[id](work, rows, row, err));
    }
    return rc;
}

/* Runs that a person has deleted go, unless they were made again since. */
static int put_tombstones(struct work *work, struct err *err)
{
    const struct merge_rows *rows = &work->merge->tombstones;
    int rc = 0;

    for (int row = 0; rc == 0 && row < rows->n; row++) {
        double created;

        snprintf(work->run, sizeof work->run, "%s", text_at(rows, row, 0));
        rc = look_up(work, &created, err);
        if (rc == 0 && work->run_key != 0 && !(created > number_at(rows, row, 1)))
            rc = store_run_hide(work->store, work->run_key, err);
        work->run[0] = '\0';
    }
    return rc;
}

static int note_place(struct work *work, struct err *err)
{
    const struct merge *merge = work->merge;
    sqlite3_stmt *statement = work->statement[MERGE_PLACE];
    int rc = 0;

    if (merge->source != 0) {
        SQL_BIND(statement, merge->source, merge->described, merge->fed);
        sql_bind_text(statement, 4, merge->history);
        rc = sql_run(statement, err);
    }
    SQL_BIND(work->store->statement[SQL_FEED_SEQ], (int64_t)work->store->feed_seq);
    return rc == 0 ? sql_run(work->store->statement[SQL_FEED_SEQ], err) : rc;
}

static int step(struct work *work, merge_step_fn *step_of_sender, struct err *err)
{
    return step_of_sender ? step_of_sender(work->store, work->merge, err) : 0;
}

static int put_all(struct store *store, void *arg, struct err *err)
{
    struct work work = {.store = store, .merge = arg};
    int rc = step(&work, work.merge->before, err);

    for (int i = 0; rc == 0 && i < MERGE_SQL_COUNT; i++) {
        const char *text = work.merge->is_relayed && relayed[i] ? relayed[i] : statements[i];

        rc = sql_prepare(store->db, text, &work.statement[i], err);
    }
    if (rc == 0)
        rc = put_tombstones(&work, err);
    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++) {
        if (work.merge->rows[id].of && writers[id])
            rc = put_table(&work, (enum share_table_id)id, err);
    }
    if (rc == 0)
        rc = step(&work, work.merge->after, err);
    if (rc == 0)
        rc = note_place(&work, err);
    if (rc == -EIO && is_constraint(store))
        rc = -EPROTO; /* what came is wrong, and not the disk */
    sql_finalize(work.statement, MERGE_SQL_COUNT);
    return rc;
}

int merge_work(struct store *store, struct store_task *task, struct err *err)
{
    struct merge *merge = LIST_ENTRY(task, struct merge, task);
    int rc = 0;

    /* A run that is hidden leaves rows without a parent (store/leave.c). */
    if (store->db)
        rc = sql_exec(store->db, "PRAGMA foreign_keys = OFF", err);
    if (rc == 0)
        rc = store_transact(store, put_all, merge, err);
    if (store->db)
        sql_exec(store->db, "PRAGMA foreign_keys = ON", NULL);
    if (rc == 0)
        store->committed = store->feed_seq;
    else
        store->feed_seq = store->committed;
    merge->feed_seq = store->committed;
    return rc;
}
