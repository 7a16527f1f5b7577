#include "daemon/share/compare_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/sql.h"

/* A table is read from the one side, then from the other, then both are compared. */

/* ---- comparing ------------------------------------------------------------------------------- */

/* Of one run of the table. */
struct difference {
    struct share_sums sums;
    bool differs[ROWS_COLUMNS_MAX];
};

static uint64_t sum_of(const uint64_t *values, size_t n_columns)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n_columns; i++)
        sum += values[VALUE_COLUMNS + i];
    return sum;
}

static void add_entry(const struct compare *compare, struct difference *difference,
                      const uint64_t *from, const uint64_t *to)
{
    size_t n_columns = compare->push->table[compare->id].n_columns;
    struct share_sums *sums = &difference->sums;

    sums->rows += (int64_t)from[VALUE_ROWS];
    sums->sum += sum_of(from, n_columns);
    if (to) {
        sums->rows_there += (int64_t)to[VALUE_ROWS];
        sums->sum_there += sum_of(to, n_columns);
    }
    for (size_t i = 0; to && i < n_columns; i++)
        difference->differs[i] |= from[VALUE_COLUMNS + i] != to[VALUE_COLUMNS + i];
    if (to && compare->to_server && compare->id <= SHARE_TABLE_RUN_TEXT)
        sums->is_described_elsewhere = (int64_t)to[VALUE_SOURCE] != compare->source;
}

static void tell_sums(const struct compare *compare, struct difference *difference, size_t run,
                      int64_t *n_different)
{
    const struct share_table *table = &compare->push->table[compare->id];
    struct share_sums *sums = &difference->sums;
    char columns[1024] = "";

    for (size_t i = 0; i < table->n_columns; i++) {
        size_t length = strlen(columns);

        if (difference->differs[i])
            snprintf(columns + length, sizeof columns - length, "%s%s", length ? ", " : "",
                     table->column[i].name);
    }
    sums->table = table->name;
    sums->run = compare->runs[run].id;
    sums->columns = columns;
    sums->is_same = sums->rows == sums->rows_there && !*columns;
    sums->is_described_elsewhere &= !sums->is_same;
    *n_different += !sums->is_same && !sums->is_described_elsewhere;
    compare->tell->on_sums(compare->tell->arg, sums);
}

static int compare_table(struct compare *compare, int64_t *n_different, struct err *err)
{
    const struct side *from = compare->to_server ? &compare->store : &compare->server;
    const struct side *to = compare->to_server ? &compare->server : &compare->store;
    struct difference *runs = calloc(compare->n_runs, sizeof *runs);

    if (!runs)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < from->rows.room; i++) {
        uint64_t run, part;
        const uint64_t *values = tally_look(&from->rows, i, &run, &part);

        if (values)
            add_entry(compare, &runs[run], values, tally_find(&to->rows, run, part));
    }
    for (size_t i = 0; i < compare->n_runs; i++) {
        if (runs[i].sums.rows > 0)
            tell_sums(compare, &runs[i], i, n_different);
    }
    free(runs);
    return 0;
}

static int read_and_compare(struct compare *compare, int64_t *n_different, struct err *err)
{
    int rc = 0;

    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++) {
        size_t n_values = VALUE_COLUMNS + compare->push->table[id].n_columns;

        compare->id = (enum share_table_id)id;
        tally_init(&compare->store.rows, n_values);
        tally_init(&compare->server.rows, n_values);
        rc = compare_read_store(compare, err);
        if (rc == 0)
            rc = compare_read_server(compare, err);
        if (rc == 0)
            rc = compare_table(compare, n_different, err);
        tally_release(&compare->store.rows);
        tally_release(&compare->server.rows);
    }
    return rc;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static int add_run(struct compare *compare, size_t *room, const char *id, int64_t key,
                   struct err *err)
{
    struct compared_run *more;

    if (compare->n_runs == *room) {
        *room = *room ? 2 * *room : 64;
        more = realloc(compare->runs, *room * sizeof *more);
        if (!more)
            return err_set(err, -ENOMEM, "out of memory");
        compare->runs = more;
    }
    more = &compare->runs[compare->n_runs++];
    more->key = key;
    snprintf(more->id, sizeof more->id, "%s", id);
    return 0;
}

static int add_server_runs(struct compare *compare, size_t *room, struct err *err)
{
    PGresult *rows;
    int rc =
        remote_query(compare->remote, "SELECT run FROM richd.run ORDER BY run", NULL, &rows, err);

    for (int row = 0; rc == 0 && row < PQntuples(rows); row++)
        rc = add_run(compare, room, remote_cell(rows, row, 0), 0, err);
    PQclear(rows);
    return rc;
}

/* The store's are added, or have their key in it noted. */
static int take_store_runs(struct compare *compare, size_t *room, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(compare->push->store, "SELECT id, run_key FROM run ORDER BY id",
                         &statement, err);

    while (rc == 0 && (rc = sql_step(statement, err)) == 1) {
        const char *id = sql_column_text(statement, 0);
        struct compared_run *run = compare->to_server ? NULL : compare_find_run(compare, id);
        int64_t key = sqlite3_column_int64(statement, 1);

        rc = compare->to_server ? add_run(compare, room, id, key, err) : 0;
        if (run)
            run->key = key;
    }
    sqlite3_finalize(statement);
    return rc;
}

static int find_runs(struct compare *compare, struct err *err)
{
    size_t room = 0;
    int rc = compare->to_server ? 0 : add_server_runs(compare, &room, err);

    if (rc == 0)
        rc = take_store_runs(compare, &room, err);
    if (rc < 0 || compare->n_runs == 0)
        return rc;
    compare->by_key = calloc(compare->n_runs, sizeof *compare->by_key);
    if (!compare->by_key)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < compare->n_runs; i++)
        compare->by_key[i] = (struct run_by_key){compare->runs[i].key, &compare->runs[i]};
    qsort(compare->by_key, compare->n_runs, sizeof *compare->by_key, compare_keys);
    return 0;
}

/* As which source the history knows the store; 0: as none. */
static int find_source(struct compare *compare, struct err *err)
{
    sqlite3_stmt *statement = compare->push->statement[PUSH_SQL_SOURCE];
    struct remote_params params = {0};
    PGresult *rows = NULL;
    int rc = sql_step(statement, err);

    remote_text(&params, rc == 1 ? sql_column_text(statement, 0) : "");
    if (rc >= 0)
        rc = remote_query(compare->remote,
                          "SELECT coalesce(max(source), 0) FROM richd.source"
                          " WHERE id = $1::text OR starts_with(id, $1::text || '-')",
                          &params, &rows, err);
    if (rc == 0)
        compare->source = remote_integer(rows, 0, 0);
    PQclear(rows);
    sqlite3_reset(statement);
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int compare_within(struct compare *compare, int64_t *n_different, struct err *err)
{
    int rc = find_source(compare, err);

    if (rc == 0)
        rc = sql_integer(compare->push->store, "SELECT feed_seq FROM state", &compare->n_expected,
                         err);
    if (rc == 0)
        rc = find_runs(compare, err);
    return rc == 0 && compare->n_runs > 0 ? read_and_compare(compare, n_different, err) : rc;
}

/* A cursor lives within a transaction, and either side stands still meanwhile. */
static int compare_snapshots(struct compare *compare, int64_t *n_different, struct err *err)
{
    int rc = sql_exec(compare->push->store, "BEGIN", err);

    if (rc == 0)
        rc = remote_script(compare->remote, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (rc == 0)
        rc = compare_within(compare, n_different, err);
    return rc == 0 ? remote_script(compare->remote, "COMMIT", err) : rc;
}

int compare_histories(const char *store_path, struct remote *remote,
                      const struct share_migration *what, int64_t *n_different, struct err *err)
{
    struct compare compare = {.remote = remote, .to_server = what->way == SHARE_OUT, .tell = what};
    int rc = push_new(store_path, "", &compare.push, err);

    *n_different = 0;
    tally_init(&compare.store.names, 1);
    tally_init(&compare.server.names, 1);
    if (rc == 0)
        rc = compare_snapshots(&compare, n_different, err);
    tally_release(&compare.store.names);
    tally_release(&compare.server.names);
    free(compare.by_key);
    free(compare.runs);
    push_free(compare.push);
    return rc;
}
