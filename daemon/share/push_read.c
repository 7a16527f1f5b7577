#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/share/push_parts.h"
#include "daemon/store/sql.h"

/* A batch has two looks at the store. The first finds the runs that have changed and the names that
 * need numbers, which the server gives; the second reads rows up to the position that the first one
 * saw, so each of them has its numbers. No transaction is open while the server is asked: one that
 * stays open would let the WAL grow. */

/* A configuration, or a summary, may have 1 MiB. */
#define TEXT_BYTES_MAX (16u << 20)
static int begin(struct push *push, struct err *err)
{
    return sql_run(push->statement[PUSH_SQL_BEGIN], err);
}

static int end(struct push *push, int rc)
{
    for (int i = 0; i < PUSH_SQL_COUNT; i++)
        sqlite3_reset(push->statement[i]);
    if (!sqlite3_get_autocommit(push->store))
        sql_run(push->statement[PUSH_SQL_END], NULL);
    return rc;
}

/* ---- the first look -------------------------------------------------------------------------- */

static void forget_run(struct known_run *run)
{
    free(run->attempts);
    run->attempts = NULL;
    run->n_attempts = 0;
}

/* The runs as the store has them now; what is known of those that were there stays. Both are in the
 * order of their keys. */
static int read_runs(struct push *push, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_RUNS];
    struct known_run *runs = NULL;
    size_t n = 0, room = 0, old = 0;
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        int64_t key = sqlite3_column_int64(statement, 0);
        struct known_run *run;

        if (n == room) {
            room = room ? 2 * room : 64;
            run = realloc(runs, room * sizeof *runs);
            if (!run) {
                rc = err_set(err, -ENOMEM, "out of memory");
                break;
            }
            runs = run;
        }
        while (old < push->n_runs && push->runs[old].key < key)
            forget_run(&push->runs[old++]);
        run = &runs[n++];
        if (old < push->n_runs && push->runs[old].key == key) {
            *run = push->runs[old];
            push->runs[old++].attempts = NULL;
        } else
            *run = (struct known_run){.key = key, .pushed = -1};
        snprintf(run->id, sizeof run->id, "%s", sql_column_text(statement, 1));
        run->created = sql_column_double(statement, 2);
        run->revision = sqlite3_column_int64(statement, 3);
        run->is_changed = run->has_text = false;
    }
    while (old < push->n_runs)
        forget_run(&push->runs[old++]);
    free(push->runs);
    push->runs = runs;
    push->n_runs = n;
    return rc < 0 ? rc : 0;
}

struct known_run *push_find_run(struct push *push, int64_t key)
{
    size_t low = 0, high = push->n_runs;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (push->runs[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < push->n_runs && push->runs[low].key == key ? &push->runs[low] : NULL;
}

static int add_pending(struct push *push, struct known_run *run, enum share_type type, int64_t key,
                       struct pending **out, struct err *err)
{
    if (push->n_pending == push->pending_room) {
        size_t room = push->pending_room ? 2 * push->pending_room : 64;
        struct pending *more = realloc(push->pending, room * sizeof *more);

        if (!more)
            return err_set(err, -ENOMEM, "out of memory");
        push->pending = more;
        push->pending_room = room;
    }
    *out = &push->pending[push->n_pending++];
    **out = (struct pending){.run = run, .type = type, .key = key};
    return 0;
}

/* Of the rows that are without a number: `numbers` has those of layers and scalars, the run those
 * of its attempts. */
static int find_pending(struct push *push, struct known_run *run, enum push_sql sql,
                        enum share_type type, struct numbers *numbers, struct err *err)
{
    sqlite3_stmt *statement = push->statement[sql];
    struct pending *pending;
    int rc;

    SQL_BIND(statement, run->key);
    while ((rc = sql_step(statement, err)) == 1) {
        int64_t key = sqlite3_column_int64(statement, 0);
        bool is_known = numbers ? numbers_find(numbers, run->key, key) != NULL
                                : (size_t)key < run->n_attempts && run->attempts[key] > 0;

        if (is_known)
            continue;
        rc = add_pending(push, run, type, key, &pending, err);
        if (rc < 0)
            break;
        snprintf(pending->name, sizeof pending->name, "%s", sql_column_text(statement, 1));
        pending->opened = type == SHARE_ATTEMPT ? sqlite3_column_double(statement, 2) : 0;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int look_at_run(struct push *push, struct known_run *run, struct err *err)
{
    int rc;

    run->is_changed = true;
    push->n_changed++;
    rc = find_pending(push, run, PUSH_SQL_ATTEMPTS, SHARE_ATTEMPT, NULL, err);
    if (rc == 0)
        rc = find_pending(push, run, PUSH_SQL_LAYERS, SHARE_LAYER, &push->layers, err);
    if (rc == 0)
        rc = find_pending(push, run, PUSH_SQL_NAMES, SHARE_SCALAR, &push->scalars, err);
    return rc;
}

/* A run's own row goes first: where there are more runs than a batch takes, no rows are read. */
static int choose_runs(struct push *push, struct err *err)
{
    int rc = 0;

    push->n_changed = push->n_pending = 0;
    push->has_more_runs = false;
    for (size_t i = 0; rc == 0 && i < push->n_runs; i++) {
        struct known_run *run = &push->runs[i];

        if (run->is_gone || run->pushed == run->revision)
            continue;
        if (push->n_changed == PUSH_RUNS_MAX || push->n_pending >= PUSH_NAMES_MAX) {
            push->has_more_runs = true;
            break;
        }
        rc = look_at_run(push, run, err);
    }
    return rc;
}

static int look(struct push *push, struct err *err)
{
    int rc = sql_step(push->statement[PUSH_SQL_FEED_SEQ], err);

    if (rc < 0)
        return rc;
    push->committed = sqlite3_column_int64(push->statement[PUSH_SQL_FEED_SEQ], 0);
    rc = read_runs(push, err);
    return rc == 0 ? choose_runs(push, err) : rc;
}

int push_look(struct push *push, struct err *err)
{
    int rc = begin(push, err);

    return end(push, rc == 0 ? look(push, err) : rc);
}

/* ---- the second look ------------------------------------------------------------------------- */

/* FNV-1a, which tells one text from the next. */
static uint64_t hash_row(sqlite3_stmt *statement)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (int i = 1; i < sqlite3_column_count(statement); i++) {
        const unsigned char *text = sqlite3_column_text(statement, i);
        size_t length = (size_t)sqlite3_column_bytes(statement, i);

        for (size_t at = 0; at <= length; at++) /* and what ends it */
            hash = (hash ^ (text && at < length ? text[at] : text ? 0u : 1u)) * 0x100000001b3;
    }
    return hash | 1; /* 0: none */
}

/* The history's number of an attempt, a layer or a scalar; 0: it has none. */
static int32_t number_of(const struct push *push, const struct known_run *run, enum share_type type,
                         int64_t key)
{
    const struct number *found;

    if (type == SHARE_ATTEMPT)
        return (size_t)key < run->n_attempts ? run->attempts[key] : 0;
    found = numbers_find(type == SHARE_LAYER ? &push->layers : &push->scalars, run->key, key);
    return found ? found->number : 0;
}

/* Puts one cell; false: it has no number. A finding of a scalar has layer 0. */
static bool put_cell(struct push *push, struct rows *rows, const struct known_run *run,
                     const struct share_column *column, sqlite3_stmt *statement, int i)
{
    int64_t integer = sqlite3_column_int64(statement, i);
    const void *bytes;

    if (column->type == SHARE_RUN) {
        rows_put_bytes(rows, (size_t)i, run->id, strlen(run->id));
        return true;
    }
    if (sqlite3_column_type(statement, i) == SQLITE_NULL) {
        rows_put_null(rows, (size_t)i);
        return true;
    }
    switch (column->type) {
    case SHARE_NUMBER:
        rows_put_number(rows, (size_t)i, sqlite3_column_double(statement, i));
        return true;
    case SHARE_TEXT:
    case SHARE_BYTES:
        bytes = column->type == SHARE_TEXT ? (const void *)sqlite3_column_text(statement, i)
                                           : sqlite3_column_blob(statement, i);
        rows_put_bytes(rows, (size_t)i, bytes, (size_t)sqlite3_column_bytes(statement, i));
        return true;
    case SHARE_ATTEMPT:
    case SHARE_LAYER:
    case SHARE_SCALAR:
        if (integer != 0)
            integer = number_of(push, run, column->type, integer);
        rows_put_integer(rows, (size_t)i, integer);
        return integer != 0 || sqlite3_column_int64(statement, i) == 0;
    default:
        rows_put_integer(rows, (size_t)i, integer);
        return true;
    }
}

static bool put_cells(struct push *push, enum share_table_id id, const struct known_run *run)
{
    const struct share_table *table = &push->table[id];
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TABLES + id];
    bool is_whole = true;

    for (size_t i = 0; i < table->n_columns; i++)
        is_whole &= put_cell(push, &push->rows[id], run, &table->column[i], statement, (int)i);
    return is_whole;
}

/* Whether a description differs from what is there. */
static bool is_wanted(struct push *push, enum share_table_id id, struct known_run *run)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TABLES + id];
    int64_t key = sqlite3_column_int64(statement, 1);
    const struct number *found;

    if (id == SHARE_TABLE_LAYER || id == SHARE_TABLE_SCALAR_NAME) {
        found =
            numbers_find(id == SHARE_TABLE_LAYER ? &push->layers : &push->scalars, run->key, key);
        return !found || !found->is_sent;
    }
    if (id != SHARE_TABLE_RUN_TEXT)
        return true;
    run->new_text = hash_row(statement);
    run->has_text = run->new_text != run->text;
    return run->has_text;
}

/* A name goes once, a layer's until it has its shape. When the batch fails all is asked again. */
static void note_sent(struct push *push, enum share_table_id id, const struct known_run *run)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TABLES + id];
    struct number *found;

    if (id != SHARE_TABLE_LAYER && id != SHARE_TABLE_SCALAR_NAME)
        return;
    found = numbers_find(id == SHARE_TABLE_LAYER ? &push->layers : &push->scalars, run->key,
                         sqlite3_column_int64(statement, 1));
    if (found)
        found->is_sent = id == SHARE_TABLE_SCALAR_NAME || sqlite3_column_int64(statement, 3) > 0;
}

/* The run's numbers are not known, as after a start: it is described in the next batch. */
static void miss(struct push *push, struct known_run *run)
{
    run->pushed = -1;
    run->is_changed = false;
    push->has_missed = true;
}

/* Takes the row of the statement. One that has no number yet waits: of a description, which has
 * changed since the first look, for the next batch; of the feed, and with it the batch. */
static int take_row(struct push *push, enum share_table_id id, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TABLES + id];
    struct rows *rows = &push->rows[id];
    struct known_run *run = push_find_run(push, sqlite3_column_int64(statement, 0));

    if (!run || run->is_gone || !is_wanted(push, id, run))
        return sql_row_check(statement, err);
    if (put_cells(push, id, run)) {
        rows_keep(rows);
        note_sent(push, id, run);
    } else {
        rows_undo(rows);
        if (id >= SHARE_TABLE_POINT)
            miss(push, run);
    }
    return rows->has_failed ? err_set(err, -ENOMEM, "out of memory")
                            : sql_row_check(statement, err);
}

static int read_table(struct push *push, enum share_table_id id, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TABLES + id];
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        rc = take_row(push, id, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

static int read_descriptions(struct push *push, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < push->n_runs; i++) {
        struct known_run *run = &push->runs[i];
        bool is_wanted = run->is_changed && !run->is_gone;

        if (is_wanted && rows_bytes(&push->rows[SHARE_TABLE_RUN_TEXT]) > TEXT_BYTES_MAX) {
            run->is_changed = false;
            push->has_more_runs = true;
            continue;
        }
        for (int id = 0; rc == 0 && is_wanted && id < SHARE_TABLE_POINT; id++) {
            SQL_BIND(push->statement[PUSH_SQL_TABLES + id], run->key);
            rc = read_table(push, (enum share_table_id)id, err);
        }
    }
    return rc;
}

/* Where the batch ends: behind a whole number of the feed's sequence. */
static int find_reach(struct push *push, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_REACH];
    size_t n = 0, size = 0;
    int rc;

    push->reach = push->committed;
    SQL_BIND(statement, push->position, push->committed);
    while ((rc = sql_step(statement, err)) == 1) {
        size += (size_t)sqlite3_column_int64(statement, 1);
        if (++n < PUSH_ROWS_MAX && size < PUSH_BYTES_MAX)
            continue;
        push->reach = sqlite3_column_int64(statement, 0);
        break;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static void drop_feed(struct push *push)
{
    for (int id = SHARE_TABLE_POINT; id < SHARE_TABLE_COUNT; id++)
        rows_clear(&push->rows[id]);
    push->reach = push->position;
}

static int read_feed(struct push *push, struct err *err)
{
    int rc = find_reach(push, err);

    for (int id = SHARE_TABLE_POINT; rc == 0 && id < SHARE_TABLE_COUNT; id++) {
        SQL_BIND(push->statement[PUSH_SQL_TABLES + id], push->position, push->reach);
        rc = read_table(push, (enum share_table_id)id, err);
    }
    if (push->has_missed)
        drop_feed(push);
    return rc;
}

/* All of them, when there is one more, or another. */
static int read_tombstones(struct push *push, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_TOMBSTONES];
    int rc;

    push->tombstones_now[0] = push->tombstones_now[1] = 0;
    while ((rc = sql_step(statement, err)) == 1) {
        const char *id = sql_column_text(statement, 0);
        double deleted = sqlite3_column_double(statement, 1);

        rows_put_bytes(&push->tombstones, 0, id, strlen(id));
        rows_put_number(&push->tombstones, 1, deleted);
        rows_keep(&push->tombstones);
        push->tombstones_now[0]++;
        if ((int64_t)(1e3 * deleted) > push->tombstones_now[1])
            push->tombstones_now[1] = (int64_t)(1e3 * deleted);
    }
    if (push->tombstones_now[0] == push->tombstones_seen[0] &&
        push->tombstones_now[1] == push->tombstones_seen[1])
        rows_clear(&push->tombstones);
    return rc;
}

static int read_batch(struct push *push, struct err *err)
{
    int rc = read_tombstones(push, err);

    push->reach = push->position;
    push->has_missed = false;
    if (rc == 0)
        rc = read_descriptions(push, err);
    return rc == 0 && !push->has_more_runs ? read_feed(push, err) : rc;
}

int push_read(struct push *push, struct err *err)
{
    int rc = begin(push, err);

    for (int i = 0; i < SHARE_TABLE_COUNT; i++)
        rows_clear(&push->rows[i]);
    rows_clear(&push->tombstones);
    return end(push, rc == 0 ? read_batch(push, err) : rc);
}

bool push_is_empty(const struct push *push)
{
    size_t n = push->tombstones.n;

    for (int i = 0; i < SHARE_TABLE_COUNT; i++)
        n += push->rows[i].n;
    return n == 0 && push->reach == push->position;
}

/* ---- what is known --------------------------------------------------------------------------- */

void push_note(struct push *push)
{
    for (size_t i = 0; i < push->n_runs; i++) {
        struct known_run *run = &push->runs[i];

        if (run->is_changed)
            run->pushed = run->revision;
        if (run->is_changed && run->has_text)
            run->text = run->new_text;
    }
    push->position = push->reach;
    push->tombstones_seen[0] = push->tombstones_now[0];
    push->tombstones_seen[1] = push->tombstones_now[1];
}

void push_forget(struct push *push)
{
    for (size_t i = 0; i < push->n_runs; i++)
        forget_run(&push->runs[i]);
    free(push->runs);
    free(push->layers.at);
    free(push->scalars.at);
    free(push->pending);
    push->runs = NULL;
    push->pending = NULL;
    push->layers = push->scalars = (struct numbers){0};
    push->n_runs = push->n_pending = push->pending_room = 0;
    push->tombstones_seen[0] = push->tombstones_seen[1] = 0;
}
