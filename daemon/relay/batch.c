#include "daemon/relay/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/relay/batch_parts.h"
#include "daemon/share/new_rows.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* One look at the store, in one transaction: where the batch ends, which runs have rows up to
 * there, what describes these, then the rows. Each batch says all that is needed to merge it, so
 * nothing has to be agreed upon between the two sides but the place. */

#define NEW_SCALARS NEW("scalar") " CROSS JOIN scalar_name USING(name_key)"

/* A table's columns are those of share_table(), with the run's key in the place of its id, and
 * names in the place of numbers of layers and scalars. */
static const char *const statements[BATCH_SQL_COUNT] = {
    [BATCH_SQL_BEGIN] = "BEGIN",
    [BATCH_SQL_END] = "ROLLBACK",
    [BATCH_SQL_SOURCE] = "SELECT source FROM source",
    [BATCH_SQL_FEED_SEQ] = "SELECT feed_seq FROM state",
    [BATCH_SQL_RUNS] = "SELECT run_key, id, revision FROM run ORDER BY run_key",
    [BATCH_SQL_REACH] = "SELECT feed_seq, run_key, " POINT_BYTES " + " OF_CHECKPOINT("spectrum") //
    " + " OF_CHECKPOINT("representation") NEW_POINTS WINDOW                                      //
    " UNION ALL SELECT feed_seq, run_key, " SCALAR_BYTES NEW_SCALARS WINDOW                      //
    " UNION ALL SELECT feed_seq, run_key, " FINDING_BYTES NEW("finding") WINDOW " ORDER BY 1",
    [BATCH_SQL_TOMBSTONES] = "SELECT id, coalesce(deleted, 0) FROM tombstone",

    [BATCH_SQL_TABLES + SHARE_TABLE_RUN] = RUN_ROW,
    [BATCH_SQL_TABLES + SHARE_TABLE_RUN_TEXT] = RUN_TEXT_ROW,
    [BATCH_SQL_TABLES + SHARE_TABLE_ATTEMPT] =
        "SELECT run_key, attempt, writer, coalesce(opened, 0.0), state, closed, first_step,"
        " last_step, launch, world, host FROM attempt WHERE run_key = ?1",
    [BATCH_SQL_TABLES + SHARE_TABLE_MEMBER] = MEMBER_ROWS,
    [BATCH_SQL_TABLES + SHARE_TABLE_LAYER] =
        "SELECT run_key, layer_key, name, p, c FROM layer WHERE run_key = ?1 ORDER BY layer_key",
    [BATCH_SQL_TABLES + SHARE_TABLE_SCALAR_NAME] = NULL, /* each value has its name */
    [BATCH_SQL_TABLES + SHARE_TABLE_POINT] =
        "SELECT run_key, layer.name, attempt @columns" NEW_POINTS WINDOW,
    [BATCH_SQL_TABLES + SHARE_TABLE_SPECTRUM] =
        "SELECT run_key, layer.name, attempt, step, s.rank, rank_targets, uncentred, few_rows,"
        " n_values, total, data" NEW_POINTS
        " CROSS JOIN spectrum s USING(layer_key, attempt, step)" WINDOW,
    [BATCH_SQL_TABLES + SHARE_TABLE_REPRESENTATION] =
        "SELECT run_key, layer.name, attempt, step, ordinal, n_rows, data" NEW_POINTS
        " CROSS JOIN representation USING(layer_key, attempt, step)" WINDOW,
    [BATCH_SQL_TABLES + SHARE_TABLE_SCALAR] =
        "SELECT run_key, scalar_name.name, attempt, step, time, value" NEW_SCALARS WINDOW,
    [BATCH_SQL_TABLES + SHARE_TABLE_FINDING] =
        "SELECT finding.run_key, layer.name, attempt, step, metric, time, direction, start_step,"
        " end_step, level_from, level_to, n_from, n_to, returned, returned_attempt, agrees,"
        " accuracy, accuracy_from, accuracy_to" NEW(
            "finding") " LEFT JOIN layer USING(layer_key)" WINDOW,
};

/* ---- making ---------------------------------------------------------------------------------- */

static int open_store(struct batch_reader *reader, const char *path, struct err *err)
{
    int64_t version = 0;
    int rc = sql_open(path, SQLITE_OPEN_READONLY, &reader->store, err);

    if (rc == 0)
        rc = sql_exec(reader->store,
                      "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;"
                      " PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048",
                      err);
    if (rc == 0)
        rc = store_schema_recognise(reader->store, &version, err);
    for (int i = 0; rc == 0 && i < BATCH_SQL_COUNT; i++) {
        if (statements[i])
            rc = store_schema_prepare(reader->store, statements[i], &reader->statement[i], err);
    }
    return rc;
}

int batch_new(const char *store_path, struct batch_reader **out, struct err *err)
{
    struct batch_reader *reader = calloc(1, sizeof *reader);
    int rc;

    *out = NULL;
    if (!reader)
        return err_set(err, -ENOMEM, "out of memory");
    for (int id = 0; id < SHARE_TABLE_COUNT; id++)
        share_table((enum share_table_id)id, &reader->table[id]);
    rc = open_store(reader, store_path, err);
    if (rc < 0) {
        batch_free(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

void batch_free(struct batch_reader *reader)
{
    if (!reader)
        return;
    batch_forget(reader);
    sql_finalize(reader->statement, BATCH_SQL_COUNT);
    sqlite3_close(reader->store);
    free(reader);
}

int batch_source(struct batch_reader *reader, char out[33], struct err *err)
{
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_SOURCE];
    int rc = sql_step(statement, err);

    if (rc == 1)
        snprintf(out, 33, "%s", sql_column_text(statement, 0));
    sqlite3_reset(statement);
    if (rc == 0 || (rc == 1 && strlen(out) != 32))
        return err_set(err, -EUCLEAN, "the store has no source");
    return rc < 0 ? rc : 0;
}

int batch_committed(struct batch_reader *reader, int64_t *out, struct err *err)
{
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_FEED_SEQ];
    int rc = sql_step(statement, err);

    if (rc == 1)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void put_cell(struct cbor *out, sqlite3_stmt *statement, int i)
{
    size_t size;

    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
        cbor_put_integer(out, sqlite3_column_int64(statement, i));
        break;
    case SQLITE_FLOAT:
        cbor_put_number(out, sqlite3_column_double(statement, i));
        break;
    case SQLITE_TEXT:
        size = strlen(sql_column_text(statement, i));
        cbor_put_text(out, sql_column_text(statement, i), size);
        break;
    case SQLITE_BLOB:
        cbor_put_bytes(out, sqlite3_column_blob(statement, i),
                       (size_t)sqlite3_column_bytes(statement, i));
        break;
    default:
        cbor_put_null(out);
    }
}

/* All rows that the statement finds, of runs that are chosen. */
static int put_rows(struct batch_reader *reader, enum share_table_id id, struct cbor *out,
                    uint32_t *n_cells, struct err *err)
{
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_TABLES + id];
    size_t n_columns = reader->table[id].n_columns;
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        const struct sent_run *run = batch_find_run(reader, sqlite3_column_int64(statement, 0));

        if (!run || !run->is_chosen)
            continue;
        cbor_put_text(out, run->id, strlen(run->id));
        for (size_t i = 1; i < n_columns; i++)
            put_cell(out, statement, (int)i);
        *n_cells += (uint32_t)n_columns;
        rc = sql_row_check(statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

/* FNV-1a; never 0. */
static uint64_t hash(const char *data, size_t size)
{
    uint64_t value = 0xcbf29ce484222325;

    for (size_t i = 0; i < size; i++)
        value = (value ^ (unsigned char)data[i]) * 0x100000001b3;
    return value | 1;
}

/* What describes the run, unless it was sent as it is. Its own row and its attempts always go, as
 * what follows is understood by them. */
static int put_description(struct batch_reader *reader, enum share_table_id id,
                           struct sent_run *run, struct cbor *out, uint32_t *n_cells,
                           struct err *err)
{
    bool is_needed = id == SHARE_TABLE_RUN || id == SHARE_TABLE_ATTEMPT;
    uint32_t before = *n_cells;
    size_t at = out->size;
    int rc;

    run->new_hash[id] = run->hash[id];
    if (!is_needed && out->size > BATCH_TEXTS_MAX) {
        run->is_whole = false;
        return 0;
    }
    SQL_BIND(reader->statement[BATCH_SQL_TABLES + id], run->key);
    rc = put_rows(reader, id, out, n_cells, err);
    if (rc < 0 || out->has_failed)
        return rc;
    run->new_hash[id] = hash(out->data + at, out->size - at);
    if (!is_needed && run->new_hash[id] == run->hash[id]) {
        cbor_cut(out, at);
        *n_cells = before;
    }
    return 0;
}

static int put_descriptions(struct batch_reader *reader, enum share_table_id id, struct cbor *out,
                            uint32_t *n_cells, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < reader->n_runs; i++) {
        if (reader->runs[i].is_chosen)
            rc = put_description(reader, id, &reader->runs[i], out, n_cells, err);
    }
    return rc;
}

/* A table: its name, its columns, its cells row by row. */
static size_t begin_table(struct cbor *out, const char *name, const struct share_column *columns,
                          size_t n_columns)
{
    cbor_put_array(out, 3);
    cbor_put_text(out, name, strlen(name));
    cbor_put_array(out, (uint32_t)n_columns);
    for (size_t i = 0; i < n_columns; i++)
        cbor_put_text(out, columns[i].name, strlen(columns[i].name));
    return cbor_begin_array(out);
}

static int put_table(struct batch_reader *reader, enum share_table_id id, struct cbor *out,
                     struct err *err)
{
    const struct share_table *table = &reader->table[id];
    size_t at = begin_table(out, table->name, table->column, table->n_columns);
    uint32_t n_cells = 0;
    int rc;

    if (id < SHARE_TABLE_POINT) {
        rc = put_descriptions(reader, id, out, &n_cells, err);
    } else {
        SQL_BIND(reader->statement[BATCH_SQL_TABLES + id], reader->position, reader->reach);
        rc = put_rows(reader, id, out, &n_cells, err);
    }
    cbor_end_array(out, at, n_cells);
    return rc;
}

/* All of them, when there is one more, or another. */
static int put_tombstones(struct batch_reader *reader, struct cbor *out, struct err *err)
{
    static const struct share_column columns[] = {{"run", SHARE_RUN, 0},
                                                  {"deleted", SHARE_NUMBER, 0}};
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_TOMBSTONES];
    size_t at = begin_table(out, "tombstone", columns, 2), first = out->size;
    int64_t *now = reader->tombstones_now;
    int rc;

    now[0] = now[1] = 0;
    while ((rc = sql_step(statement, err)) == 1) {
        put_cell(out, statement, 0);
        cbor_put_number(out, sqlite3_column_double(statement, 1));
        now[0]++;
        if ((int64_t)(1e3 * sqlite3_column_double(statement, 1)) > now[1])
            now[1] = (int64_t)(1e3 * sqlite3_column_double(statement, 1));
    }
    if (memcmp(now, reader->tombstones_sent, sizeof reader->tombstones_sent) == 0)
        cbor_cut(out, first);
    cbor_end_array(out, at, out->size == first ? 0 : 2 * (uint32_t)now[0]);
    return rc;
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* Where it ends: before the first row of a run too many, or when it has enough. */
static int find_reach(struct batch_reader *reader, struct err *err)
{
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_REACH];
    size_t n = 0, size = 0;
    int rc;

    reader->reach = reader->committed;
    SQL_BIND(statement, reader->position, reader->committed);
    while ((rc = sql_step(statement, err)) == 1) {
        int64_t feed_seq = sqlite3_column_int64(statement, 0);
        struct sent_run *run = batch_find_run(reader, sqlite3_column_int64(statement, 1));

        if (run && !batch_choose(reader, run)) {
            reader->reach = feed_seq - 1;
            break;
        }
        size += (size_t)sqlite3_column_int64(statement, 2);
        if (++n < BATCH_ROWS_MAX && size < BATCH_BYTES_MAX)
            continue;
        reader->reach = feed_seq;
        break;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int put_tables(struct batch_reader *reader, struct cbor *out, struct err *err)
{
    int rc;

    cbor_put_array(out, SHARE_TABLE_COUNT); /* of scalar_name there is none, and tombstones */
    rc = put_tombstones(reader, out, err);
    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++) {
        if (id != SHARE_TABLE_SCALAR_NAME)
            rc = put_table(reader, (enum share_table_id)id, out, err);
    }
    if (rc == 0 && out->has_failed)
        rc = err_set(err, -ENOMEM, "a batch does not fit into memory, or into %u MiB",
                     BATCH_SIZE_MAX >> 20);
    return rc;
}

static int read_all(struct batch_reader *reader, struct cbor *out, struct err *err)
{
    int rc = batch_committed(reader, &reader->committed, err);

    if (rc == 0)
        rc = batch_look(reader, err);
    if (rc == 0)
        rc = find_reach(reader, err);
    if (rc < 0)
        return rc;
    batch_choose_changed(reader);
    rc = put_tables(reader, out, err);
    if (rc < 0)
        return rc;
    return reader->n_chosen > 0 || reader->reach > reader->position ||
           memcmp(reader->tombstones_now, reader->tombstones_sent,
                  sizeof reader->tombstones_sent) != 0;
}

int batch_read(struct batch_reader *reader, struct cbor *out, int64_t *feed_seq, struct err *err)
{
    int rc = sql_run(reader->statement[BATCH_SQL_BEGIN], err);

    out->size_max = BATCH_SIZE_MAX;
    out->has_failed = false;
    cbor_cut(out, 0);
    if (rc == 0)
        rc = read_all(reader, out, err);
    for (int i = 0; i < BATCH_SQL_COUNT; i++)
        sqlite3_reset(reader->statement[i]);
    if (!sqlite3_get_autocommit(reader->store))
        sql_run(reader->statement[BATCH_SQL_END], NULL);
    *feed_seq = reader->reach;
    return rc;
}
