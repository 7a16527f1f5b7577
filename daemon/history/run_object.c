#include <errno.h>

#include "daemon/format/jsontext.h"
#include "daemon/history/db.h"
#include "daemon/store/sql.h"
#include "proto/base/state.h"
#include "proto/json.h"

/* RUN OBJECT: its members stand in two tables, and are written down as text, for a list, or as a
 * tree, for what has more than its text (run.get, CSV, OpenMetrics). Tested by test_history.c. */

enum kind {
    TEXT,
    OPTIONAL_TEXT, /* or null */
    JSON,          /* that a trainer sent and the codec has checked */
    STATE,
    INTEGER, /* or null */
    NUMBER,  /* or null */
    FLAG,
    RANKS, /* {"world","open"} of two columns; null without ranks */
};

struct member {
    const char *name;
    enum kind kind;
    int column;
};

/* Columns of SQL_RUN_GET. The configuration, which not all have, is not among them. */
static const struct member members[] = {
    {"run", TEXT, 1},           {"name", TEXT, 2},
    {"project", TEXT, 3},       {"group", TEXT, 4},
    {"tags", JSON, 5},          {"summary", JSON, 13},
    {"state", STATE, 7},        {"attempt", INTEGER, 8},
    {"created", NUMBER, 9},     {"updated", NUMBER, 10},
    {"last_step", INTEGER, 11}, {"n_points", INTEGER, 12},
    {"ranks", RANKS, 14},       {"note", TEXT, 16},
    {"hidden", FLAG, 17},       {"host", OPTIONAL_TEXT, 18},
};
#define CONFIG_COLUMN 6

/* Columns of SQL_RUN_LAYERS. */
static const struct member layer_members[] = {
    {"layer", TEXT, 0},   {"p", INTEGER, 1},   {"c", INTEGER, 2},
    {"step", INTEGER, 3}, {"d_lr", NUMBER, 4}, {"d_debiased", NUMBER, 5},
};

#define N(rows) (sizeof(rows) / sizeof *(rows))

static bool is_null(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

/* ---- as text --------------------------------------------------------------------------------- */

static void put_ranks(struct jsontext *out, sqlite3_stmt *statement, int column)
{
    if (is_null(statement, column)) {
        jsontext_puts(out, "null");
        return;
    }
    jsontext_puts(out, "{\"world\":");
    jsontext_put_integer(out, sqlite3_column_int64(statement, column));
    jsontext_puts(out, ",\"open\":");
    jsontext_put_integer(out, sqlite3_column_int64(statement, column + 1));
    jsontext_puts(out, "}");
}

static void put_value(struct jsontext *out, const struct member *m, sqlite3_stmt *statement)
{
    switch (m->kind) {
    case OPTIONAL_TEXT:
        if (is_null(statement, m->column)) {
            jsontext_puts(out, "null");
            break;
        }
        /* fallthrough */
    case TEXT:
        jsontext_put_text(out, sql_column_text(statement, m->column));
        break;
    case JSON:
        jsontext_put_json(out, sql_column_text(statement, m->column));
        break;
    case STATE:
        jsontext_put_text(out, state_name(sqlite3_column_int(statement, m->column)));
        break;
    case INTEGER:
        if (is_null(statement, m->column))
            jsontext_puts(out, "null");
        else
            jsontext_put_integer(out, sqlite3_column_int64(statement, m->column));
        break;
    case NUMBER:
        jsontext_put_number(out, sql_column_double(statement, m->column));
        break;
    case FLAG:
        jsontext_puts(out, sqlite3_column_int(statement, m->column) ? "true" : "false");
        break;
    case RANKS:
        put_ranks(out, statement, m->column);
        break;
    }
}

/* An object, but for its closing brace. */
static void put_members(struct jsontext *out, const struct member *rows, size_t n,
                        sqlite3_stmt *statement)
{
    for (size_t i = 0; i < n; i++) {
        jsontext_puts(out, i == 0 ? "{\"" : ",\"");
        jsontext_puts(out, rows[i].name);
        jsontext_puts(out, "\":");
        put_value(out, &rows[i], statement);
    }
}

static int put_layers(struct history *history, int64_t run_key, struct jsontext *out,
                      struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_RUN_LAYERS];
    bool is_first = true;
    int rc;

    SQL_BIND(statement, run_key);
    jsontext_puts(out, ",\"layers\":[");
    while ((rc = sql_step(statement, err)) == 1) {
        if (!is_first)
            jsontext_puts(out, ",");
        put_members(out, layer_members, N(layer_members), statement);
        jsontext_puts(out, "}");
        is_first = false;
        if (sql_row_check(statement, err) < 0)
            return -ENOMEM;
    }
    jsontext_puts(out, "]");
    return rc;
}

static int put_run(struct history *history, int64_t run_key, struct jsontext *out, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_RUN_GET];
    int rc;

    SQL_BIND(statement, run_key, false);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    put_members(out, members, N(members), statement);
    rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : put_layers(history, run_key, out, err);
}

static int put_config(struct history *history, int64_t run_key, struct jsontext *out,
                      struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_RUN_CONFIG];
    int rc;

    SQL_BIND(statement, run_key);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    jsontext_puts(out, ",\"config\":");
    jsontext_put_json(out, rc == 1 ? sql_column_text(statement, 0) : "");
    rc = rc == 1 ? sql_row_check(statement, err) : 0;
    sqlite3_reset(statement);
    return rc;
}

int history_put_run(struct history *history, int64_t run_key, int64_t revision, bool config,
                    struct jsontext *out, struct err *err)
{
    size_t size = 0, start = out->size;
    const char *kept = run_cache_find(history->runs, run_key, revision, &size);
    int rc = 0;

    if (kept)
        jsontext_put(out, kept, size);
    else
        rc = put_run(history, run_key, out, err);
    if (rc < 0)
        return rc;
    if (!kept && !out->failed)
        run_cache_keep(history->runs, run_key, revision, out->text + start, out->size - start);
    if (config)
        rc = put_config(history, run_key, out, err);
    return rc;
}

/* ---- as a tree ------------------------------------------------------------------------------- */

bool history_add_integer(cJSON *object, const char *name, sqlite3_stmt *statement, int column)
{
    if (is_null(statement, column))
        return cJSON_AddNullToObject(object, name) != NULL;
    return json_add_integer(object, name, sqlite3_column_int64(statement, column));
}

bool history_add_text(cJSON *object, const char *name, sqlite3_stmt *statement, int column)
{
    if (is_null(statement, column))
        return cJSON_AddNullToObject(object, name) != NULL;
    return cJSON_AddStringToObject(object, name, sql_column_text(statement, column)) != NULL;
}

static bool add_json(cJSON *object, const char *name, sqlite3_stmt *statement, int column)
{
    const char *text = sql_column_text(statement, column);
    cJSON *raw = cJSON_AddRawToObject(object, name, *text ? text : "null");

    if (!raw)
        return false;
    for (char *c = raw->valuestring; *c; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
    return true;
}

bool history_add_ranks(cJSON *object, sqlite3_stmt *statement, int column)
{
    cJSON *ranks;

    if (is_null(statement, column))
        return cJSON_AddNullToObject(object, "ranks") != NULL;
    ranks = cJSON_AddObjectToObject(object, "ranks");
    return ranks && json_add_integer(ranks, "world", sqlite3_column_int64(statement, column)) &&
           json_add_integer(ranks, "open", sqlite3_column_int64(statement, column + 1));
}

static bool add_value(cJSON *object, const struct member *m, sqlite3_stmt *statement)
{
    switch (m->kind) {
    case OPTIONAL_TEXT:
        return history_add_text(object, m->name, statement, m->column);
    case TEXT:
        return cJSON_AddStringToObject(object, m->name, sql_column_text(statement, m->column));
    case JSON:
        return add_json(object, m->name, statement, m->column);
    case STATE:
        return cJSON_AddStringToObject(object, m->name,
                                       state_name(sqlite3_column_int(statement, m->column)));
    case INTEGER:
        return history_add_integer(object, m->name, statement, m->column);
    case NUMBER:
        return json_add_double(object, m->name, sql_column_double(statement, m->column));
    case FLAG:
        return cJSON_AddBoolToObject(object, m->name, sqlite3_column_int(statement, m->column));
    case RANKS:
        return history_add_ranks(object, statement, m->column);
    }
    return false;
}

static bool add_members(cJSON *object, const struct member *rows, size_t n, sqlite3_stmt *statement)
{
    bool done = object != NULL;

    for (size_t i = 0; done && i < n; i++)
        done = add_value(object, &rows[i], statement);
    return done;
}

static int add_layers(struct history *history, int64_t run_key, cJSON *run, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_RUN_LAYERS];
    cJSON *array = cJSON_AddArrayToObject(run, "layers");
    int rc;

    if (!array)
        return history_no_memory(err);
    SQL_BIND(statement, run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!add_members(json_push_object(array), layer_members, N(layer_members), statement) ||
            sql_row_check(statement, err) < 0)
            return history_no_memory(err);
    }
    return rc;
}

int history_add_run(struct history *history, int64_t run_key, bool config, cJSON *object,
                    struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_RUN_GET];
    int rc;

    SQL_BIND(statement, run_key, config);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    if (!add_members(object, members, N(members), statement) ||
        (config && !add_json(object, "config", statement, CONFIG_COLUMN)))
        rc = history_no_memory(err);
    else
        rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : add_layers(history, run_key, object, err);
}
