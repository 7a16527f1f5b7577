#include "daemon/share/tables.h"

#include <sqlite3.h>
#include <string.h>

#include "proto/base/point.h"

#define RUN                                                                                        \
    {                                                                                              \
        "run", SHARE_RUN, SHARE_KEY                                                                \
    }
/* The key of what belongs to a checkpoint of a layer. */
#define CHECKPOINT                                                                                 \
    RUN, {"layer", SHARE_LAYER, SHARE_KEY}, {"attempt", SHARE_ATTEMPT, SHARE_KEY},                 \
    {                                                                                              \
        "step", SHARE_INTEGER, SHARE_KEY                                                           \
    }

/* Of a run that several daemons have had, the one speaks that wrote last. */
#define NEWER "(t.source = excluded.source OR t.updated IS NULL OR t.updated <= excluded.updated)"

/* A point's columns are those of point_table, behind its key. */
static const struct share_table tables[SHARE_TABLE_COUNT] =
    {
        [SHARE_TABLE_RUN] = {"run",
                             NEWER,
                             10,
                             {RUN,
                              {"name", SHARE_TEXT, 0},
                              {"project", SHARE_TEXT, 0},
                              {"run_group", SHARE_TEXT, 0},
                              {"tags", SHARE_TEXT, 0},
                              {"created", SHARE_NUMBER, SHARE_EARLIEST},
                              {"updated", SHARE_NUMBER, 0},
                              {"hidden", SHARE_INTEGER, 0},
                              {"edited", SHARE_INTEGER, 0},
                              {"revision", SHARE_INTEGER, 0}}},
        /* Apart, because it is long, and `updated` changes with each checkpoint. */
        [SHARE_TABLE_RUN_TEXT] = {.name = "run_text",
                                  .is_of_newest = true,
                                  .n_columns = 6,
                                  .column = {RUN,
                                             {"config", SHARE_TEXT, 0},
                                             {"updates", SHARE_TEXT, 0},
                                             {"summary", SHARE_TEXT, 0},
                                             {"note", SHARE_TEXT, 0},
                                             {"watched", SHARE_TEXT, 0}}},
        [SHARE_TABLE_ATTEMPT] = {"attempt",
                                 NULL,
                                 11,
                                 {RUN,
                                  {"attempt", SHARE_ATTEMPT, SHARE_KEY},
                                  {"writer", SHARE_TEXT, SHARE_IDENTITY},
                                  {"opened", SHARE_NUMBER, SHARE_IDENTITY},
                                  {"state", SHARE_INTEGER, 0},
                                  {"closed", SHARE_NUMBER, 0},
                                  {"first_step", SHARE_INTEGER, 0},
                                  {"last_step", SHARE_INTEGER, 0},
                                  {"launch", SHARE_TEXT, 0},
                                  {"world", SHARE_INTEGER, 0},
                                  {"host", SHARE_TEXT, 0}}},
        [SHARE_TABLE_MEMBER] = {"member",
                                NULL,
                                6,
                                {RUN,
                                 {"attempt", SHARE_ATTEMPT, SHARE_KEY},
                                 {"rank", SHARE_INTEGER, SHARE_KEY},
                                 {"writer", SHARE_TEXT, 0},
                                 {"state", SHARE_INTEGER, 0},
                                 {"last_step", SHARE_INTEGER, 0}}},
        [SHARE_TABLE_LAYER] = {"layer",
                               NULL,
                               5,
                               {RUN,
                                {"layer", SHARE_LAYER, SHARE_KEY},
                                {"name", SHARE_TEXT, SHARE_IDENTITY},
                                {"p", SHARE_INTEGER, 0},
                                {"c", SHARE_INTEGER, 0}}},
        [SHARE_TABLE_SCALAR_NAME] = {"scalar_name",
                                     NULL,
                                     3,
                                     {RUN,
                                      {"scalar", SHARE_SCALAR, SHARE_KEY},
                                      {"name", SHARE_TEXT, SHARE_IDENTITY}}},
        [SHARE_TABLE_POINT] = {"point",
                               NULL,
                               3,
                               {RUN,
                                {"layer", SHARE_LAYER, SHARE_KEY},
                                {"attempt", SHARE_ATTEMPT, SHARE_KEY}}},
        [SHARE_TABLE_SPECTRUM] = {"spectrum",
                                  NULL,
                                  11,
                                  {CHECKPOINT,
                                   {"rank", SHARE_INTEGER, 0},
                                   {"rank_targets", SHARE_INTEGER, 0},
                                   {"uncentred", SHARE_INTEGER, 0},
                                   {"few_rows", SHARE_INTEGER, 0},
                                   {"n_values", SHARE_INTEGER, 0},
                                   {"total", SHARE_NUMBER, 0},
                                   {"data", SHARE_BYTES, 0}}},
        [SHARE_TABLE_REPRESENTATION] = {"representation",
                                        NULL,
                                        7,
                                        {CHECKPOINT,
                                         {"ordinal", SHARE_INTEGER, 0},
                                         {"n_rows", SHARE_INTEGER, 0},
                                         {"data", SHARE_BYTES, 0}}},
        [SHARE_TABLE_SCALAR] = {"scalar",
                                NULL,
                                6,
                                {RUN,
                                 {"scalar", SHARE_SCALAR, SHARE_KEY},
                                 {"attempt", SHARE_ATTEMPT, SHARE_KEY},
                                 {"step", SHARE_INTEGER, SHARE_KEY},
                                 {"time", SHARE_NUMBER, 0},
                                 {"value", SHARE_NUMBER, 0}}},
        /* Layer 0: of a scalar, whose name is the metric. */
        [SHARE_TABLE_FINDING] =
            {"finding",
             NULL,
             19,
             {CHECKPOINT,
              {"metric", SHARE_TEXT, SHARE_KEY},
              {"time", SHARE_NUMBER, 0},
              {"direction", SHARE_INTEGER, 0},
              {"start_step", SHARE_INTEGER, 0},
              {"end_step", SHARE_INTEGER, 0},
              {"level_from", SHARE_NUMBER, 0},
              {"level_to", SHARE_NUMBER, 0},
              {"n_from", SHARE_NUMBER, 0},
              {"n_to", SHARE_NUMBER, 0},
              {"returned", SHARE_INTEGER, 0},
              {"returned_attempt", SHARE_ATTEMPT, 0},
              {"agrees", SHARE_INTEGER, 0},
              {"accuracy", SHARE_TEXT, 0},
              {"accuracy_from", SHARE_NUMBER, 0},
              {"accuracy_to", SHARE_NUMBER, 0}}},
};

static void add_point_columns(struct share_table *table)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        const struct point_field *field = &point_table[i];
        bool is_number = field->kind == POINT_KIND_NUMBER;

        if (field->place == POINT_PLACE_ROW)
            table->column[table->n_columns++] =
                (struct share_column){field->name, is_number ? SHARE_NUMBER : SHARE_INTEGER,
                                      i == POINT_step ? SHARE_KEY : 0};
    }
}

void share_table(enum share_table_id id, struct share_table *out)
{
    *out = tables[id];
    if (id == SHARE_TABLE_POINT)
        add_point_columns(out);
}

enum rows_type share_rows_type(enum share_type type)
{
    switch (type) {
    case SHARE_RUN:
    case SHARE_TEXT:
        return ROWS_TEXT;
    case SHARE_NUMBER:
        return ROWS_NUMBER;
    case SHARE_BYTES:
        return ROWS_BYTES;
    default:
        return ROWS_INTEGER;
    }
}

/* ---- creation -------------------------------------------------------------------------------- */

/* Ids and names are compared byte by byte, which is faster than by a language's rules, and the
 * order in which names.c searches. */
static const char *column_type(const struct share_column *column)
{
    switch (column->type) {
    case SHARE_RUN:
        return "text COLLATE \"C\"";
    case SHARE_TEXT:
        return column->flags ? "text COLLATE \"C\"" : "text";
    case SHARE_NUMBER:
        return "double precision";
    case SHARE_BYTES:
        return "bytea";
    case SHARE_ATTEMPT:
    case SHARE_LAYER:
    case SHARE_SCALAR:
        return "integer";
    default:
        return "bigint";
    }
}

/* "a", "b" of the columns that have one of the flags (0: of all), each behind a prefix. */
static void append_names(sqlite3_str *out, const struct share_table *table, unsigned flags,
                         const char *prefix)
{
    const char *comma = "";

    for (size_t i = 0; i < table->n_columns; i++) {
        if (flags && !(table->column[i].flags & flags))
            continue;
        sqlite3_str_appendf(out, "%s%s\"%s\"", comma, prefix, table->column[i].name);
        comma = ", ";
    }
}

static void append_partitions(sqlite3_str *out, const char *name, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sqlite3_str_appendf(out,
                            "CREATE TABLE richd.%s_%u PARTITION OF richd.%s"
                            " FOR VALUES WITH (MODULUS %u, REMAINDER %u);",
                            name, i, name, n, i);
}

static void append_create(sqlite3_str *out, const struct share_table *table, unsigned n_partitions)
{
    sqlite3_str_appendf(out, "CREATE TABLE richd.%s(", table->name);
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct share_column *column = &table->column[i];

        sqlite3_str_appendf(out, "\"%s\" %s%s, ", column->name, column_type(column),
                            column->flags & SHARE_IDENTITY ? " NOT NULL" : "");
    }
    sqlite3_str_appendall(out, "source integer NOT NULL, batch bigint NOT NULL, PRIMARY KEY(");
    append_names(out, table, SHARE_KEY, "");
    sqlite3_str_appendf(out, "))%s;", n_partitions > 0 ? " PARTITION BY HASH (run)" : "");
    sqlite3_str_appendf(out, "CREATE INDEX %s_by_batch ON richd.%s(source, batch);", table->name,
                        table->name);
    append_partitions(out, table->name, n_partitions);
}

char *share_sql_create(unsigned n_partitions)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    sqlite3_str_appendf(
        out,
        "CREATE SCHEMA IF NOT EXISTS richd;"
        "CREATE TABLE richd.version(one boolean PRIMARY KEY CHECK (one), version integer NOT NULL,"
        " history text NOT NULL);"
        "INSERT INTO richd.version VALUES(true, %d, md5(random()::text || clock_timestamp()));"
        "CREATE TABLE richd.source(source integer PRIMARY KEY, id text COLLATE \"C\" NOT NULL "
        "UNIQUE,"
        " host text NOT NULL, session text NOT NULL, batch bigint NOT NULL,"
        " feed_seq bigint NOT NULL, pushed timestamptz NOT NULL);"
        "CREATE TABLE richd.tombstone(run text COLLATE \"C\" PRIMARY KEY,"
        " deleted double precision NOT NULL, source integer NOT NULL, batch bigint NOT NULL);"
        "CREATE INDEX tombstone_by_batch ON richd.tombstone(source, batch);",
        SHARE_VERSION);
    for (int i = 0; i < SHARE_TABLE_COUNT; i++) {
        struct share_table table;

        share_table((enum share_table_id)i, &table);
        append_create(out, &table, i >= SHARE_TABLE_POINT ? n_partitions : 0);
    }
    sqlite3_str_appendall(out, "CREATE UNIQUE INDEX layer_by_name ON richd.layer(run, name);"
                               "CREATE UNIQUE INDEX scalar_by_name ON richd.scalar_name(run, name);"
                               "CREATE VIEW richd.series AS SELECT p.*, l.name AS layer_name, l.p,"
                               " l.c FROM richd.point p JOIN richd.layer l USING (run, layer);"
                               "CREATE VIEW richd.logged AS SELECT s.*, n.name"
                               " FROM richd.scalar s JOIN richd.scalar_name n USING (run, scalar)");
    return sqlite3_str_finish(out);
}

char *share_sql_add_columns(void)
{
    sqlite3_str *out = sqlite3_str_new(NULL);
    struct share_table table;

    share_table(SHARE_TABLE_POINT, &table);
    sqlite3_str_appendall(out, "ALTER TABLE richd.point");
    for (size_t i = 0; i < table.n_columns; i++)
        sqlite3_str_appendf(out, "%s ADD COLUMN IF NOT EXISTS \"%s\" %s", i ? "," : "",
                            table.column[i].name, column_type(&table.column[i]));
    return sqlite3_str_finish(out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const char *array_type(enum share_type type)
{
    static const char *const names[] = {[ROWS_INTEGER] = "bigint[]",
                                        [ROWS_NUMBER] = "double precision[]",
                                        [ROWS_TEXT] = "text[]",
                                        [ROWS_BYTES] = "bytea[]"};

    return names[share_rows_type(type)];
}

/* A number that two daemons gave to two names at once becomes NULL, which its column refuses: the
 * transaction is undone, and the later one looks again. */
static void append_new_value(sqlite3_str *out, const struct share_column *column)
{
    const char *name = column->name;

    if (column->flags & SHARE_IDENTITY)
        sqlite3_str_appendf(out,
                            "\"%s\" = CASE WHEN t.\"%s\" = excluded.\"%s\" THEN t.\"%s\" END, ",
                            name, name, name, name);
    else if (column->flags & SHARE_EARLIEST)
        sqlite3_str_appendf(out, "\"%s\" = least(t.\"%s\", excluded.\"%s\"), ", name, name, name);
    else if (!(column->flags & SHARE_KEY))
        sqlite3_str_appendf(out, "\"%s\" = excluded.\"%s\", ", name, name);
}

char *share_sql_upsert(const struct share_table *table)
{
    sqlite3_str *out = sqlite3_str_new(NULL);
    int n = (int)table->n_columns;

    sqlite3_str_appendf(out, "INSERT INTO richd.%s AS t(", table->name);
    append_names(out, table, 0, "");
    sqlite3_str_appendf(out, ", source, batch) SELECT u.*, $%d::integer, $%d::bigint FROM unnest(",
                        n + 1, n + 2);
    for (int i = 0; i < n; i++)
        sqlite3_str_appendf(out, "%s$%d::%s", i ? ", " : "", i + 1,
                            array_type(table->column[i].type));
    sqlite3_str_appendall(out, ") u(");
    append_names(out, table, 0, "");
    sqlite3_str_appendall(out, ")");
    if (table->is_of_newest)
        sqlite3_str_appendf(out,
                            " WHERE u.run IN (SELECT r.run FROM richd.run r"
                            " WHERE r.run = ANY($1::text[]) AND r.source = $%d::integer)",
                            n + 1);
    sqlite3_str_appendall(out, " ON CONFLICT (");
    append_names(out, table, SHARE_KEY, "");
    sqlite3_str_appendall(out, ") DO UPDATE SET ");
    for (int i = 0; i < n; i++)
        append_new_value(out, &table->column[i]);
    sqlite3_str_appendall(out, "source = excluded.source, batch = excluded.batch WHERE (");
    append_names(out, table, 0, "t.");
    sqlite3_str_appendall(out, ") IS DISTINCT FROM (");
    append_names(out, table, 0, "excluded.");
    sqlite3_str_appendf(out, ")%s%s", table->guard ? " AND " : "",
                        table->guard ? table->guard : "");
    return sqlite3_str_finish(out);
}

char *share_sql_bury(const struct share_table *table)
{
    return sqlite3_mprintf("DELETE FROM richd.%s t USING richd.tombstone b WHERE b.run = t.run"
                           " AND b.source = $1::integer AND b.batch = $2::bigint",
                           table->name);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Rows of one look; less of a spectrum, which has up to 200 KB, a representation, and the texts of
 * a run, which may have 3 MiB. A batch is never cut, so there may be as many more as one has. */
#define WINDOW_ROWS       4000
#define WINDOW_LARGE_ROWS 64

static bool has_type(const struct share_table *table, enum share_type type)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->column[i].type == type)
            return true;
    }
    return false;
}

char *share_sql_select(const struct share_table *table, bool is_of_feed)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    for (size_t i = 0; i < table->n_columns; i++) {
        const struct share_column *column = &table->column[i];
        bool is_named = is_of_feed && (column->type == SHARE_LAYER || column->type == SHARE_SCALAR);

        sqlite3_str_appendf(out, "%s%s.\"%s\"", i ? ", " : "SELECT ", is_named ? "n" : "t",
                            is_named ? "name" : column->name);
    }
    sqlite3_str_appendf(out, " FROM richd.%s t", table->name);
    if (has_type(table, SHARE_LAYER) && is_of_feed)
        sqlite3_str_appendf(out, "%s JOIN richd.layer n ON n.run = t.run AND n.layer = t.layer",
                            strcmp(table->name, "finding") == 0 ? " LEFT" : "");
    if (has_type(table, SHARE_SCALAR) && is_of_feed)
        sqlite3_str_appendall(out, " JOIN richd.scalar_name n ON n.run = t.run"
                                   " AND n.scalar = t.scalar");
    sqlite3_str_appendall(out, " WHERE t.source = $1::integer AND t.batch > $2::bigint"
                               " AND t.batch <= $3::bigint ORDER BY t.batch");
    if (has_type(table, SHARE_ATTEMPT))
        sqlite3_str_appendall(out, ", t.attempt");
    if (has_type(table, SHARE_LAYER))
        sqlite3_str_appendall(out, ", t.layer"); /* a store lists them as they were made */
    if (is_of_feed)
        sqlite3_str_appendall(out, ", t.step"); /* later points are latest points */
    return sqlite3_str_finish(out);
}

char *share_sql_window(bool is_feed)
{
    sqlite3_str *out = sqlite3_str_new(NULL);
    int first = is_feed ? SHARE_TABLE_POINT : 0;
    int end = is_feed ? SHARE_TABLE_COUNT : SHARE_TABLE_POINT;

    sqlite3_str_appendall(out, "SELECT least($3::bigint");
    for (int id = first; id < end; id++) {
        bool is_large = id == SHARE_TABLE_SPECTRUM || id == SHARE_TABLE_REPRESENTATION ||
                        id == SHARE_TABLE_RUN_TEXT;

        sqlite3_str_appendf(out,
                            ", (SELECT batch FROM richd.%s WHERE source = $1::integer"
                            " AND batch > $2::bigint ORDER BY batch OFFSET %d LIMIT 1)",
                            tables[id].name, is_large ? WINDOW_LARGE_ROWS : WINDOW_ROWS);
    }
    sqlite3_str_appendall(out, ")"); /* least() passes NULL over */
    return sqlite3_str_finish(out);
}
