#include "daemon/store/schema.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/sql.h"

/* "RICH" in PRAGMA application_id: distinguishes our file from another program's. */
#define APPLICATION_ID 0x52494348

/* One entry a version, run once, in order, each in a transaction with its user_version. An entry is
 * never changed after a release; a change of the tables is a new entry.
 *
 * Keys are narrow: a run, a layer and a scalar's name are numbers, and the rows that come by the
 * million hold only numbers. What run.list shows (state, last step, counts, where the latest point
 * is) stands in run and layer, so that no list scans points; `config`, up to 1 MiB, stands apart,
 * so that no update of a run rewrites it. A REAL is never NOT NULL: NaN is stored as NULL, and one
 * trainer's wrong clock must not fail the transaction that others share. Only the first members of
 * a point are here: add_columns() makes the columns of the others from point_table. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    "CREATE TABLE state(id INTEGER PRIMARY KEY CHECK (id = 1), feed_seq INTEGER NOT NULL);"
    "INSERT INTO state VALUES(1, 0);"

    "CREATE TABLE run(run_key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    " project TEXT NOT NULL, run_group TEXT NOT NULL, tags TEXT NOT NULL, state INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, created REAL, updated REAL, last_step INTEGER,"
    " n_points INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX run_by_name ON run(name, project);"
    "CREATE TABLE run_config(run_key INTEGER PRIMARY KEY REFERENCES run, config TEXT NOT NULL);"

    /* first_step: of the first checkpoint or log that the trainer gave a step for; NULL before it.
     */
    "CREATE TABLE attempt(run_key INTEGER NOT NULL REFERENCES run, attempt INTEGER NOT NULL,"
    " writer TEXT NOT NULL, state INTEGER NOT NULL, opened REAL, closed REAL,"
    " last_seq INTEGER NOT NULL DEFAULT 0, first_step INTEGER, PRIMARY KEY(run_key, attempt))"
    " WITHOUT ROWID;"

    /* p = 0: only totals have been seen. last_*: the key of the latest point, NULL before it. */
    "CREATE TABLE layer(layer_key INTEGER PRIMARY KEY, run_key INTEGER NOT NULL REFERENCES run,"
    " name TEXT NOT NULL, p INTEGER NOT NULL, c INTEGER NOT NULL,"
    " n_points INTEGER NOT NULL DEFAULT 0, last_attempt INTEGER, last_step INTEGER,"
    " UNIQUE(run_key, name));"
    "CREATE TABLE total(layer_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " batch_seq INTEGER NOT NULL, rows_offered INTEGER NOT NULL, PRIMARY KEY(layer_key, attempt))"
    " WITHOUT ROWID;"
    "CREATE TABLE point(layer_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " step INTEGER NOT NULL, time REAL, n REAL, rows_missing INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, flags INTEGER NOT NULL, feed_seq INTEGER NOT NULL,"
    " PRIMARY KEY(layer_key, attempt, step)) WITHOUT ROWID;"
    "CREATE INDEX point_by_feed_seq ON point(feed_seq);"

    "CREATE TABLE scalar_name(name_key INTEGER PRIMARY KEY, run_key INTEGER NOT NULL"
    " REFERENCES run, name TEXT NOT NULL, last_attempt INTEGER, last_step INTEGER,"
    " UNIQUE(run_key, name));"
    "CREATE TABLE scalar(name_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " step INTEGER NOT NULL, time REAL, value REAL, feed_seq INTEGER NOT NULL,"
    " PRIMARY KEY(name_key, attempt, step)) WITHOUT ROWID;"
    "CREATE INDEX scalar_by_feed_seq ON scalar(feed_seq);",

    /* A transition, kept with the point that completed it. direction: 0 fall, 1 rise; agrees and
     * accuracy: as enum agreement says, and NULL when none was logged. confidence: of older
     * programs, no longer written. */
    "CREATE TABLE finding(layer_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " step INTEGER NOT NULL, metric TEXT NOT NULL, time REAL, direction INTEGER NOT NULL,"
    " start_step INTEGER NOT NULL, end_step INTEGER NOT NULL, level_from REAL, level_to REAL,"
    " confidence REAL, agrees INTEGER NOT NULL, accuracy TEXT, accuracy_from REAL,"
    " accuracy_to REAL, feed_seq INTEGER NOT NULL,"
    " PRIMARY KEY(layer_key, attempt, step, metric)) WITHOUT ROWID;"
    "CREATE INDEX finding_by_feed_seq ON finding(feed_seq);",
    /* data: rho, then u, then q, each n_values f64, little-endian; u and q, or q alone, may be
     * missing. f64, because what is read back must satisfy sum rho u = sqrt(r sum rho^2) (1 - d_lr)
     * to 1e-8; 24 p bytes a spectrum are little beside the moments that it took. With a rowid,
     * because long rows would make a tree of keys deep. */
    "CREATE TABLE spectrum(layer_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " step INTEGER NOT NULL, rank INTEGER NOT NULL, rank_targets INTEGER NOT NULL,"
    " uncentred INTEGER NOT NULL, few_rows INTEGER NOT NULL, n_values INTEGER NOT NULL,"
    " total REAL, data BLOB NOT NULL, PRIMARY KEY(layer_key, attempt, step));",

    /* Steps of the window's first and last batch: NULL for points that are older than this. */
    "ALTER TABLE point ADD COLUMN rows_from INTEGER;"
    "ALTER TABLE point ADD COLUMN rows_to INTEGER;",

    /* The probe of a layer's first window: data as probe.h has it, f64, little-endian. */
    "CREATE TABLE probe(layer_key INTEGER PRIMARY KEY REFERENCES layer, n_rows INTEGER NOT NULL,"
    " data BLOB NOT NULL);",

    /* What some checkpoints of a layer keep of a probe's rows (representation.c says which), data
     * as representation_blob.h has it. ordinal: the layer's points before it. */
    "CREATE TABLE representation(layer_key INTEGER NOT NULL REFERENCES layer,"
    " attempt INTEGER NOT NULL, step INTEGER NOT NULL, ordinal INTEGER NOT NULL,"
    " n_rows INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(layer_key, attempt, step));",

    /* A transition may return: `returned` is the step at which it was found to have, and
     * returned_attempt its attempt. layer_key 0: of a scalar, whose name stands in `metric`. The
     * confidence is gone. */
    "CREATE TABLE transition(run_key INTEGER NOT NULL REFERENCES run, layer_key INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, step INTEGER NOT NULL, metric TEXT NOT NULL, time REAL,"
    " direction INTEGER NOT NULL, start_step INTEGER NOT NULL, end_step INTEGER NOT NULL,"
    " level_from REAL, level_to REAL, n_from REAL, n_to REAL, returned INTEGER,"
    " returned_attempt INTEGER, agrees INTEGER NOT NULL, accuracy TEXT, accuracy_from REAL,"
    " accuracy_to REAL, feed_seq INTEGER NOT NULL,"
    " PRIMARY KEY(run_key, layer_key, attempt, step, metric)) WITHOUT ROWID;"
    "INSERT INTO transition(run_key, layer_key, attempt, step, metric, time, direction, start_step,"
    " end_step, level_from, level_to, agrees, accuracy, accuracy_from, accuracy_to, feed_seq)"
    " SELECT run_key, layer_key, attempt, step, metric, time, direction, start_step, end_step,"
    " level_from, level_to, agrees, accuracy, accuracy_from, accuracy_to, feed_seq"
    " FROM finding JOIN layer USING(layer_key);"
    "DROP TABLE finding;"
    "ALTER TABLE transition RENAME TO finding;"
    "CREATE INDEX finding_by_feed_seq ON finding(feed_seq);"
    /* What the newest opening of a run has watched; in_turn: the first that a layer has. */
    "CREATE TABLE watched(run_key INTEGER NOT NULL REFERENCES run, place INTEGER NOT NULL,"
    " is_scalar INTEGER NOT NULL, in_turn INTEGER NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY(run_key, place)) WITHOUT ROWID;",

    /* updates: what config messages said, over all attempts; each open brings the rest. */
    "ALTER TABLE run_config ADD COLUMN updates TEXT NOT NULL DEFAULT '{}';"
    "CREATE TABLE run_summary(run_key INTEGER PRIMARY KEY REFERENCES run, summary TEXT NOT NULL);",

    /* Rows that the trainer thinned out, beside those that it offered. */
    "ALTER TABLE total ADD COLUMN rows_thinned INTEGER NOT NULL DEFAULT 0;",
    /* launch, world: of an attempt that the ranks of a job have opened, else NULL. Such an attempt
     * has a member for each rank that came, with a last_seq of its own, and member_total in the
     * place of total. last_step: of the last checkpoint of a member, and of all of them. */
    "ALTER TABLE attempt ADD COLUMN launch TEXT;"
    "ALTER TABLE attempt ADD COLUMN world INTEGER;"
    "ALTER TABLE attempt ADD COLUMN last_step INTEGER;"
    "CREATE TABLE member(run_key INTEGER NOT NULL REFERENCES run, attempt INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, writer TEXT NOT NULL, state INTEGER NOT NULL,"
    " last_seq INTEGER NOT NULL DEFAULT 0, last_step INTEGER,"
    " PRIMARY KEY(run_key, attempt, rank)) WITHOUT ROWID;"
    "CREATE TABLE member_total(layer_key INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, batch_seq INTEGER NOT NULL, rows_offered INTEGER NOT NULL,"
    " rows_thinned INTEGER NOT NULL, PRIMARY KEY(layer_key, attempt, rank)) WITHOUT ROWID;",

    /* in_use: 1 from a start to an orderly end. While it is 1 a WAL belongs to the file. */
    "ALTER TABLE state ADD COLUMN in_use INTEGER NOT NULL DEFAULT 0;",

    /* Points summed up (block.h): curve_key is a layer's or a scalar's. They are made of the points
     * that are there later (sweep.c). n_put: values that were put since there are blocks. */
    "CREATE TABLE block(is_scalar INTEGER NOT NULL, curve_key INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, name TEXT NOT NULL, level INTEGER NOT NULL,"
    " to_step INTEGER NOT NULL, data BLOB,"
    " PRIMARY KEY(is_scalar, curve_key, attempt, name, level, to_step)) WITHOUT ROWID;"
    "CREATE INDEX block_empty ON block(is_scalar, curve_key, attempt, level, to_step)"
    " WHERE data IS NULL;"
    "ALTER TABLE scalar_name ADD COLUMN n_put INTEGER NOT NULL DEFAULT 0;",

    /* What a person wrote about a run. edited: which of it no opening of the run overwrites, 1 the
     * name, 2 the tags. The note stands apart, so that no update of a run rewrites it. */
    "ALTER TABLE run ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE run ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX run_by_hidden ON run(hidden);"
    /* revision: another number whenever what run.list shows of the run may have changed. */
    "ALTER TABLE run ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE run_note(run_key INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,"
    " note TEXT NOT NULL);",
    /* Runs that a person has deleted stay gone (tombstone), and rows of runs that are gone are
     * deleted in pieces (leaving, leave.c). gone_key: the largest number of a run that is gone,
     * which no other run gets: subscriptions and rows that leave have it. */
    "CREATE TABLE tombstone(tombstone_key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " deleted REAL);"
    "CREATE TABLE leaving(run_key INTEGER PRIMARY KEY);"
    "ALTER TABLE state ADD COLUMN gone_key INTEGER NOT NULL DEFAULT 0;",
    /* How a person has set the page: query is the page's own (base/permalink.js). It names runs and
     * does not refer to them, so it outlives them. */
    "CREATE TABLE saved_view(view_key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " query TEXT NOT NULL, note TEXT NOT NULL, saved REAL);"
    /* host: where the trainer of an attempt runs, as it says; NULL when it said nothing. */
    "ALTER TABLE attempt ADD COLUMN host TEXT;",
    /* How the shared history knows this store (daemon/share). */
    "CREATE TABLE source(id INTEGER PRIMARY KEY CHECK (id = 1), source TEXT NOT NULL);"
    "INSERT INTO source VALUES(1, lower(hex(randomblob(16))));"
    /* How far this store has come in reading the sources of a shared history: what describes runs,
     * and what is in the feed's order. */
    "CREATE TABLE pulled(history TEXT NOT NULL, source INTEGER NOT NULL,"
    " described INTEGER NOT NULL DEFAULT 0, fed INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE(history, source));",
    /* Blocks of points have their flags: those that lack them are made again (sweep.c). */
    "UPDATE block SET data = NULL WHERE is_scalar = 0 AND name = '';",
    /* How far the relays have come that write into this store (daemon/relay), and which revision of
     * a run each has described last. */
    "CREATE TABLE relayed(source TEXT NOT NULL UNIQUE, session TEXT NOT NULL,"
    " batch INTEGER NOT NULL, feed_seq INTEGER NOT NULL);"
    "CREATE TABLE relayed_run(source TEXT NOT NULL, run_key INTEGER NOT NULL,"
    " revision INTEGER NOT NULL, UNIQUE(run_key, source));",
};

int store_schema_recognise(sqlite3 *database, int64_t *version, struct err *err)
{
    int64_t application = 0, n_tables = 0;
    int rc;

    rc = sql_integer(database, "PRAGMA user_version", version, err);
    if (rc == 0)
        rc = sql_integer(database, "PRAGMA application_id", &application, err);
    if (rc == 0)
        rc = sql_integer(database, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
    if (rc < 0)
        return rc;
    if (application != APPLICATION_ID && (n_tables > 0 || *version != 0))
        return err_set(err, -EINVAL, "it is a database of another program");
    if (*version > STORE_SCHEMA_VERSION)
        return err_set(err, -ENOTSUP,
                       "it has schema version %" PRId64
                       ", written by a newer richd; this one reads up to version %d",
                       *version, STORE_SCHEMA_VERSION);
    return 0;
}

static int migrate(sqlite3 *database, int version, struct err *err)
{
    char stamp[96];
    int rc;

    rc = sql_exec(database, migrations[version], err);
    if (rc < 0)
        return rc;
    snprintf(stamp, sizeof stamp, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, version + 1);
    return sql_exec(database, stamp, err);
}

static const char *column_type(const struct point_field *field)
{
    return field->kind == POINT_KIND_NUMBER ? "REAL" : "INTEGER";
}

/* Adds the column of each member of a point that the database does not know yet. */
static int add_columns(sqlite3 *database, struct err *err)
{
    char text[160];
    int64_t found = 0;
    int rc;

    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        const struct point_field *field = &point_table[i];

        if (field->place != POINT_PLACE_ROW)
            continue;
        snprintf(text, sizeof text,
                 "SELECT count(*) FROM pragma_table_info('point') WHERE name='%s'", field->name);
        rc = sql_integer(database, text, &found, err);
        if (rc < 0)
            return rc;
        if (found)
            continue;
        snprintf(text, sizeof text, "ALTER TABLE point ADD COLUMN \"%s\" %s", field->name,
                 column_type(field));
        rc = sql_exec(database, text, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int store_schema_update(sqlite3 *database, struct err *err)
{
    int64_t version = 0;
    int rc;

    rc = sql_exec(database, "BEGIN IMMEDIATE", err);
    if (rc < 0)
        return rc;
    rc = store_schema_recognise(database, &version, err);
    for (int i = (int)version; rc == 0 && i < STORE_SCHEMA_VERSION; i++)
        rc = migrate(database, i, err);
    if (rc == 0)
        rc = add_columns(database, err);
    if (rc == 0)
        rc = sql_exec(database, "COMMIT", err);
    if (rc < 0 && !sqlite3_get_autocommit(database))
        sql_exec(database, "ROLLBACK", NULL);
    return rc;
}

/* The lists of columns that a statement may ask for. */
static void append_point(sqlite3_str *out)
{
    sqlite3_str_appendall(out, "point.feed_seq");
    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        sqlite3_str_appendf(out, ", %s.\"%w\"",
                            point_table[i].place == POINT_PLACE_LAYER ? "layer" : "point",
                            point_table[i].name);
}

static void append_columns(sqlite3_str *out)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (point_table[i].place == POINT_PLACE_ROW)
            sqlite3_str_appendf(out, ", \"%w\"", point_table[i].name);
    }
}

static void append_values(sqlite3_str *out)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (point_table[i].place == POINT_PLACE_ROW)
            sqlite3_str_appendall(out, ", ?");
    }
}

static void append_measures(sqlite3_str *out)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        sqlite3_str_appendf(out, ", \"%w\"", metric_table[i].name);
}

/* Appends what the marker at `at` stands for; returns the marker's length, 0 when it is none. */
static size_t expand(sqlite3_str *out, const char *at)
{
    static const struct {
        const char *name;
        void (*append)(sqlite3_str *);
    } markers[] = {
        {"@point", append_point},
        {"@columns", append_columns},
        {"@values", append_values},
        {"@measures", append_measures},
    };

    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++) {
        size_t length = strlen(markers[i].name);

        if (strncmp(at, markers[i].name, length) != 0)
            continue;
        markers[i].append(out);
        return length;
    }
    return 0;
}

int store_schema_prepare(sqlite3 *database, const char *text, sqlite3_stmt **out, struct err *err)
{
    sqlite3_str *expanded = sqlite3_str_new(database);
    char *full;
    int rc;

    while (*text) {
        size_t marker = *text == '@' ? expand(expanded, text) : 0;

        if (marker == 0)
            sqlite3_str_appendchar(expanded, 1, *text++);
        text += marker;
    }
    full = sqlite3_str_finish(expanded);
    if (!full)
        return err_set(err, -ENOMEM, "the database: out of memory");
    rc = sql_prepare(database, full, out, err);
    sqlite3_free(full);
    return rc;
}

static void read_member(sqlite3_stmt *statement, int column, const struct point_field *field,
                        struct point *out)
{
    if (field->kind == POINT_KIND_NUMBER)
        point_set_number(out, field, sql_column_double(statement, column));
    else if (field->kind == POINT_KIND_STEP &&
             sqlite3_column_type(statement, column) == SQLITE_NULL)
        point_set_integer(out, field, -1);
    else
        point_set_integer(out, field, sqlite3_column_int64(statement, column));
}

uint64_t store_schema_point(sqlite3_stmt *statement, int first, struct point *out)
{
    assert(first + SCHEMA_POINT_MEMBERS + POINT_MEMBER_COUNT <= sqlite3_column_count(statement));
    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        read_member(statement, first + SCHEMA_POINT_MEMBERS + i, &point_table[i], out);
    return (uint64_t)sqlite3_column_int64(statement, first);
}

static void bind_member(sqlite3_stmt *statement, int index, const struct point_field *field,
                        const struct point *point)
{
    if (field->kind == POINT_KIND_NUMBER)
        sql_bind_double(statement, index, point_number(point, field));
    else if (field->kind == POINT_KIND_STEP && point_integer(point, field) < 0)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_int64(statement, index, point_integer(point, field));
}

void store_schema_bind_point(sqlite3_stmt *statement, int first, const struct point *point)
{
    assert(first > 0 && point);
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (point_table[i].place == POINT_PLACE_ROW)
            bind_member(statement, first++, &point_table[i], point);
    }
}
