#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/relay/take_parts.h"
#include "daemon/store/sql.h"

/* An attempt is known by its writer and the time of its opening, so it is found again whatever its
 * number is here, however often it comes and through however many relays. One that is new keeps the
 * relay's number where that is larger than all others, else it gets the next one. */

/* Columns of a table, by their place behind `run`. */
#define RUN_PROJECT             2
#define RUN_CREATED             5
#define RUN_UPDATED             6
#define RUN_REVISION            9
#define ATTEMPT_WRITER          2
#define ATTEMPT_OPENED          3
#define FINDING_RETURNED_IN     14
#define ATTEMPT_IN_FEED         2
#define ATTEMPT_IN_DESCRIPTIONS 1

/* ---- runs ------------------------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct taken_run *)a)->id, ((const struct taken_run *)b)->id);
}

static struct taken_run *find_run(const struct take *take, const char *id)
{
    struct taken_run key = {.id = id};

    return take->n_runs == 0 ? NULL : bsearch(&key, take->runs, take->n_runs, sizeof key, by_id);
}

static double number_of(const struct cell *cell)
{
    return cell->type == CELL_NUMBER ? cell->number : (double)NAN;
}

static void refuse_project(struct take *take, struct taken_run *run, const char *project)
{
    if (run->is_refused || record_projects_have(take->projects, project))
        return;
    run->is_refused = true;
    take->n_refused++;
    snprintf(take->problem, sizeof take->problem,
             "%zu runs were left out: run \"%s\" is in project \"%.64s\", where the key may not"
             " write",
             take->n_refused, run->id, project);
}

/* Statement: id, project, updated and key of the run. */
static int look_at_run(struct take *take, sqlite3_stmt *statement, const struct cell *row,
                       struct taken_run *run, struct err *err)
{
    int rc;

    refuse_project(take, run, row[RUN_PROJECT].type == CELL_TEXT ? row[RUN_PROJECT].data : "");
    sql_bind_text(statement, 1, run->id);
    rc = sql_step(statement, err);
    if (rc == 1) {
        run->run_key = sqlite3_column_int64(statement, 0);
        run->is_older = sql_column_double(statement, 2) > number_of(&row[RUN_UPDATED]);
        refuse_project(take, run, sql_column_text(statement, 1));
        rc = sql_row_check(statement, err);
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* A run that a person has deleted here stays gone, unless it was made again since. */
static int look_at_tombstone(struct store *store, sqlite3_stmt *statement, const struct cell *row,
                             struct taken_run *run, struct err *err)
{
    sqlite3_stmt *drop = store->statement[SQL_TOMBSTONE_DROP];
    bool is_new;
    int rc;

    sql_bind_text(statement, 1, run->id);
    rc = sql_step(statement, err);
    is_new = rc == 1 && number_of(&row[RUN_CREATED]) > sql_column_double(statement, 0);
    sqlite3_reset(statement);
    run->is_refused |= rc == 1 && !is_new;
    if (!is_new || run->is_refused)
        return rc < 0 ? rc : 0;
    sql_bind_text(drop, 1, run->id);
    return sql_run(drop, err);
}

static int look_at_all(struct take *take, struct store *store, sqlite3_stmt *find,
                       sqlite3_stmt *tombstone, struct err *err)
{
    const struct taken *rows = &take->tables[SHARE_TABLE_RUN];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < rows->n_rows; i++) {
        const struct cell *row = taken_row(rows, i);
        struct taken_run *run = &take->runs[i];

        run->id = row[0].data;
        run->revision = row[RUN_REVISION].type == CELL_INTEGER ? row[RUN_REVISION].integer : 0;
        rc = look_at_run(take, find, row, run, err);
        if (rc == 0)
            rc = look_at_tombstone(store, tombstone, row, run, err);
    }
    return rc;
}

static int read_runs(struct take *take, struct store *store, struct err *err)
{
    size_t n = take->tables[SHARE_TABLE_RUN].n_rows;
    sqlite3_stmt *find = NULL, *tombstone = NULL;
    int rc;

    take->runs = calloc(n + 1, sizeof *take->runs);
    if (!take->runs)
        return err_set(err, -ENOMEM, "out of memory");
    rc = sql_prepare(store->db, "SELECT run_key, project, updated FROM run WHERE id = ?1", &find,
                     err);
    if (rc == 0)
        rc = sql_prepare(store->db, "SELECT coalesce(deleted, 0) FROM tombstone WHERE id = ?1",
                         &tombstone, err);
    if (rc == 0)
        rc = look_at_all(take, store, find, tombstone, err);
    sqlite3_finalize(find);
    sqlite3_finalize(tombstone);
    take->n_runs = n;
    qsort(take->runs, n, sizeof *take->runs, by_id);
    for (size_t i = 1; rc == 0 && i < n; i++) {
        if (by_id(&take->runs[i - 1], &take->runs[i]) == 0)
            rc = err_set(err, -EPROTO, "run \"%s\" is described twice", take->runs[i].id);
    }
    return rc;
}

/* ---- attempts -------------------------------------------------------------------------------- */

static int by_run_and_number(const void *a, const void *b)
{
    const struct taken_attempt *x = a, *y = b;
    int order = strcmp(x->run, y->run);

    return order != 0 ? order : (x->theirs > y->theirs) - (x->theirs < y->theirs);
}

/* The number that the store has for it already. `statement`: of a run, a writer and a time. */
static int find_number(sqlite3_stmt *statement, const struct taken_run *run, const struct cell *row,
                       int64_t *out, struct err *err)
{
    int rc;

    *out = 0;
    if (!run || run->run_key == 0)
        return 0;
    SQL_BIND(statement, run->run_key);
    sql_bind_text(statement, 2, row[ATTEMPT_WRITER].data);
    sqlite3_bind_double(statement, 3, number_of(&row[ATTEMPT_OPENED]));
    rc = sql_step(statement, err);
    if (rc == 1)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int find_numbers(struct take *take, sqlite3_stmt *statement, struct err *err)
{
    const struct taken *rows = &take->tables[SHARE_TABLE_ATTEMPT];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < rows->n_rows; i++) {
        const struct cell *row = taken_row(rows, i);
        struct taken_attempt *attempt = &take->attempts[i];

        attempt->run = row[0].data;
        attempt->theirs = row[ATTEMPT_IN_DESCRIPTIONS].integer;
        rc = find_number(statement, find_run(take, attempt->run), row, &attempt->ours, err);
    }
    take->n_attempts = rows->n_rows;
    qsort(take->attempts, take->n_attempts, sizeof *take->attempts, by_run_and_number);
    return rc;
}

/* Those that are new, in the relay's order. */
static int give_numbers(struct take *take, struct store *store, struct err *err)
{
    const char *id = "";
    int64_t last = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < take->n_attempts; i++) {
        struct taken_attempt *attempt = &take->attempts[i];
        const struct taken_run *run = find_run(take, attempt->run);

        if (i > 0 && by_run_and_number(attempt - 1, attempt) == 0)
            return err_set(err, -EPROTO, "an attempt of run \"%s\" comes twice", attempt->run);
        if (strcmp(id, attempt->run) != 0) {
            id = attempt->run;
            last = 0;
            if (run && run->run_key != 0)
                rc = sql_integer_of(store->statement[SQL_ATTEMPT_LAST], run->run_key, &last, err);
        }
        if (attempt->ours == 0)
            attempt->ours = last = attempt->theirs > last ? attempt->theirs : last + 1;
        if (last > INT32_MAX)
            rc = err_set(err, -EPROTO, "run \"%s\" has no attempt left", attempt->run);
    }
    return rc;
}

static int number_attempts(struct take *take, struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc;

    take->attempts = calloc(take->tables[SHARE_TABLE_ATTEMPT].n_rows + 1, sizeof *take->attempts);
    if (!take->attempts)
        return err_set(err, -ENOMEM, "out of memory");
    rc = sql_prepare(store->db,
                     "SELECT attempt FROM attempt WHERE run_key = ?1 AND writer = ?2"
                     " AND coalesce(opened, 0) = ?3",
                     &statement, err);
    if (rc == 0)
        rc = find_numbers(take, statement, err);
    sqlite3_finalize(statement);
    return rc == 0 ? give_numbers(take, store, err) : rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Puts our number into the cell. */
static int renumber(const struct take *take, const char *run, struct cell *cell, struct err *err)
{
    struct taken_attempt key = {.run = run, .theirs = cell->integer};
    const struct taken_attempt *found =
        take->n_attempts == 0
            ? NULL
            : bsearch(&key, take->attempts, take->n_attempts, sizeof key, by_run_and_number);

    if (!found)
        return err_set(err, -EPROTO, "a row of run \"%s\" is of an attempt that is not described",
                       run);
    cell->integer = found->ours;
    return 0;
}

static int renumber_row(const struct take *take, enum share_table_id id, struct cell *row,
                        struct err *err)
{
    int rc = 0;

    if (id == SHARE_TABLE_ATTEMPT || id == SHARE_TABLE_MEMBER)
        rc = renumber(take, row[0].data, &row[ATTEMPT_IN_DESCRIPTIONS], err);
    if (id >= SHARE_TABLE_POINT)
        rc = renumber(take, row[0].data, &row[ATTEMPT_IN_FEED], err);
    if (rc == 0 && id == SHARE_TABLE_FINDING && row[FINDING_RETURNED_IN].type == CELL_INTEGER &&
        row[FINDING_RETURNED_IN].integer != 0)
        rc = renumber(take, row[0].data, &row[FINDING_RETURNED_IN], err);
    return rc;
}

/* Leaves the rows that may be written, with our numbers. */
static int choose_rows(struct take *take, enum share_table_id id, struct err *err)
{
    struct taken *rows = &take->tables[id];
    size_t n = 0;

    for (size_t i = 0; i < rows->n_rows; i++) {
        struct cell *row = taken_row(rows, i);
        const struct taken_run *run = find_run(take, row[0].data);
        int rc;

        if (!run)
            return err_set(err, -EPROTO, "run \"%s\" is not described", row[0].data);
        if (run->is_refused || (run->is_older && id == SHARE_TABLE_RUN_TEXT))
            continue;
        rc = renumber_row(take, id, row, err);
        if (rc < 0)
            return rc;
        memmove(taken_row(rows, n++), row, rows->n_columns * sizeof *row);
    }
    rows->n_rows = n;
    return 0;
}

/* A run that was deleted there goes here, too, where this relay has brought it. */
static int choose_tombstones(struct take *take, struct store *store, struct err *err)
{
    struct taken *rows = &take->tombstones;
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = sql_prepare(store->db,
                         "SELECT project FROM run JOIN relayed_run USING(run_key)"
                         " WHERE source = ?1 AND id = ?2 AND NOT coalesce(created > ?3, 0)",
                         &statement, err);

    for (size_t i = 0; rc == 0 && i < rows->n_rows; i++) {
        struct cell *row = taken_row(rows, i);
        sqlite3_stmt *put = store->statement[SQL_TOMBSTONE_PUT];
        bool is_ours;

        sql_bind_text(statement, 1, take->source);
        sql_bind_text(statement, 2, row[0].data);
        sqlite3_bind_double(statement, 3, number_of(&row[1]));
        rc = sql_step(statement, err);
        is_ours = rc == 1 && record_projects_have(take->projects, sql_column_text(statement, 0));
        sqlite3_reset(statement);
        if (rc < 0 || !is_ours) {
            rc = rc < 0 ? rc : 0;
            continue;
        }
        sql_bind_text(put, 1, row[0].data);
        sql_bind_double(put, 2, number_of(&row[1]));
        rc = sql_run(put, err);
        memmove(taken_row(rows, n++), row, rows->n_columns * sizeof *row);
    }
    rows->n_rows = n;
    sqlite3_finalize(statement);
    return rc;
}

int take_choose_runs(struct take *take, struct store *store, struct err *err)
{
    int rc = choose_tombstones(take, store, err);

    if (rc == 0)
        rc = read_runs(take, store, err);
    if (rc == 0)
        rc = number_attempts(take, store, err);
    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++)
        rc = choose_rows(take, (enum share_table_id)id, err);
    return rc;
}
