#include "daemon/share/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/sql.h"

/* How far this store has come with a source, and how far that is there. */
struct place {
    int64_t source;
    int64_t described, fed;
    int64_t batch;
};

struct pull {
    sqlite3 *store;
    pull_merge_fn *merge_into;
    void *arg;
    struct merge merge;
    char *select[SHARE_TABLE_COUNT];
    char *window[2]; /* of descriptions, and of the feed */
    struct place *places;
    size_t n_places;
};

/* ---- rows ------------------------------------------------------------------------------------ */

/* Types of columns, of pg_type.h. */
#define TYPE_BYTEA  17
#define TYPE_INT8   20
#define TYPE_INT4   23
#define TYPE_FLOAT8 701

static struct cell read_cell(const void *of, int row, int column)
{
    const PGresult *rows = of;
    struct cell cell = {.type = CELL_NULL};

    if (PQgetisnull(rows, row, column))
        return cell;
    switch (PQftype(rows, column)) {
    case TYPE_INT4:
    case TYPE_INT8:
        return (struct cell){.type = CELL_INTEGER, .integer = remote_integer(rows, row, column)};
    case TYPE_FLOAT8:
        return (struct cell){.type = CELL_NUMBER, .number = remote_number(rows, row, column)};
    case TYPE_BYTEA:
        cell.type = CELL_BYTES;
        break;
    default:
        cell.type = CELL_TEXT;
    }
    cell.data = PQgetvalue(rows, row, column);
    cell.size = (size_t)PQgetlength(rows, row, column);
    return cell;
}

/* The answer to a question, to be merged. */
static int ask(struct remote *remote, const char *sql, const struct remote_params *params,
               struct merge_rows *out, struct err *err)
{
    PGresult *rows = NULL;
    int rc = remote_query(remote, sql, params, &rows, err);

    if (rc == 0)
        *out = (struct merge_rows){rows, PQntuples(rows), PQnfields(rows), read_cell};
    return rc;
}

static void clear_rows(struct merge_rows *rows)
{
    PQclear(rows->of);
    *rows = (struct merge_rows){0};
}

static void clear(struct pull *pull)
{
    for (int id = 0; id < SHARE_TABLE_COUNT; id++)
        clear_rows(&pull->merge.rows[id]);
    clear_rows(&pull->merge.tombstones);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int make_texts(struct pull *pull, struct err *err)
{
    bool is_made = true;

    for (int id = 0; id < SHARE_TABLE_COUNT; id++) {
        struct share_table table;

        share_table((enum share_table_id)id, &table);
        pull->select[id] = share_sql_select(&table, id >= SHARE_TABLE_POINT);
        is_made &= pull->select[id] != NULL;
    }
    for (int i = 0; i < 2; i++) {
        pull->window[i] = share_sql_window(i);
        is_made &= pull->window[i] != NULL;
    }
    return is_made ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Attempts have the numbers that the history gives: this store's own would be others. */
static int check_store(struct pull *pull, const char *path, struct err *err)
{
    int64_t n_own = 0;
    int rc = sql_open(path, SQLITE_OPEN_READONLY, &pull->store, err);

    if (rc == 0)
        rc = sql_exec(pull->store, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0", err);
    if (rc == 0)
        rc = sql_integer(pull->store,
                         "SELECT EXISTS(SELECT 1 FROM run) AND NOT EXISTS(SELECT 1 FROM pulled)",
                         &n_own, err);
    if (rc < 0 || n_own == 0)
        return rc;
    return err_set(
        err, -EEXIST,
        "%s has runs of its own: a daemon that only reads needs a --state-dir of its own", path);
}

int pull_new(const char *store_path, pull_merge_fn *merge_into, void *arg, struct pull **out,
             struct err *err)
{
    struct pull *pull = calloc(1, sizeof *pull);
    int rc;

    *out = NULL;
    if (!pull)
        return err_set(err, -ENOMEM, "out of memory");
    pull->merge_into = merge_into;
    pull->arg = arg;
    pull->merge.task.work = merge_work;
    rc = make_texts(pull, err);
    if (rc == 0)
        rc = check_store(pull, store_path, err);
    if (rc < 0) {
        pull_free(pull);
        return rc;
    }
    *out = pull;
    return 0;
}

void pull_free(struct pull *pull)
{
    if (!pull)
        return;
    clear(pull);
    for (int id = 0; id < SHARE_TABLE_COUNT; id++)
        sqlite3_free(pull->select[id]);
    for (int i = 0; i < 2; i++)
        sqlite3_free(pull->window[i]);
    free(pull->places);
    sqlite3_close(pull->store);
    free(pull);
}

/* ---- places ---------------------------------------------------------------------------------- */

static struct place *find_place(struct pull *pull, int64_t source)
{
    for (size_t i = 0; i < pull->n_places; i++) {
        if (pull->places[i].source == source)
            return &pull->places[i];
    }
    return NULL;
}

static struct place *add_place(struct pull *pull, int64_t source)
{
    struct place *more = realloc(pull->places, (pull->n_places + 1) * sizeof *more);

    if (!more)
        return NULL;
    pull->places = more;
    more[pull->n_places] = (struct place){.source = source};
    return &more[pull->n_places++];
}

/* As this store has noted them. */
static int read_places(struct pull *pull, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        sql_prepare(pull->store, "SELECT source, described, fed FROM pulled WHERE history = ?1",
                    &statement, err);

    pull->n_places = 0;
    if (rc == 0)
        sql_bind_text(statement, 1, pull->merge.history);
    while (rc == 0 && (rc = sql_step(statement, err)) == 1) {
        struct place *place = add_place(pull, sqlite3_column_int64(statement, 0));

        rc = place ? 0 : err_set(err, -ENOMEM, "out of memory");
        if (!place)
            break;
        place->described = sqlite3_column_int64(statement, 1);
        place->fed = sqlite3_column_int64(statement, 2);
    }
    sqlite3_finalize(statement);
    return rc;
}

/* A source that is behind what this store has seen was put back, with its database, or lost that
 * with its server. What it brings again has later numbers than all that was lost. */
static void set_place(struct place *place, int64_t batch)
{
    place->batch = batch;
    if (place->described > batch)
        place->described = batch;
    if (place->fed > batch)
        place->fed = batch;
}

/* How far the sources are. */
static int read_sources(struct pull *pull, struct remote *remote, struct err *err)
{
    PGresult *rows;
    int rc = remote_query(remote, "SELECT source, batch FROM richd.source", NULL, &rows, err);

    for (int row = 0; rc == 0 && row < PQntuples(rows); row++) {
        int64_t source = remote_integer(rows, row, 0);
        struct place *place = find_place(pull, source);

        if (!place)
            place = add_place(pull, source);
        if (!place) {
            rc = err_set(err, -ENOMEM, "out of memory");
            break;
        }
        set_place(place, remote_integer(rows, row, 1));
    }
    PQclear(rows);
    return rc;
}

/* ---- windows --------------------------------------------------------------------------------- */

/* A source, and the batches behind one up to another. */
struct window {
    char source[24], from[24], to[24];
    struct remote_params params;
};

static void set_window(struct window *window, int64_t source, int64_t from, int64_t to)
{
    snprintf(window->source, sizeof window->source, "%" PRId64, source);
    snprintf(window->from, sizeof window->from, "%" PRId64, from);
    snprintf(window->to, sizeof window->to, "%" PRId64, to);
    window->params = (struct remote_params){0};
    remote_text(&window->params, window->source);
    remote_text(&window->params, window->from);
    remote_text(&window->params, window->to);
}

/* Ends the window where it has enough; `*to` is where that is. */
static int cut_window(struct pull *pull, struct remote *remote, bool is_feed, struct window *window,
                      int64_t source, int64_t from, int64_t *to, struct err *err)
{
    PGresult *rows;
    int rc;

    set_window(window, source, from, *to);
    rc = remote_query(remote, pull->window[is_feed], &window->params, &rows, err);
    if (rc == 0)
        *to = remote_integer(rows, 0, 0);
    PQclear(rows);
    set_window(window, source, from, *to);
    return rc;
}

static int fetch(struct pull *pull, struct remote *remote, const struct window *window, int first,
                 int end, struct err *err)
{
    int rc = 0;

    for (int id = first; rc == 0 && id < end; id++) {
        if (id != SHARE_TABLE_SCALAR_NAME)
            rc = ask(remote, pull->select[id], &window->params, &pull->merge.rows[id], err);
    }
    return rc;
}

static int merge(struct pull *pull, const struct place *place, int64_t described, int64_t fed,
                 struct err *err)
{
    int rc;

    pull->merge.source = place ? place->source : 0;
    pull->merge.described = described;
    pull->merge.fed = fed;
    rc = pull->merge_into(pull->arg, &pull->merge, err);
    clear(pull);
    return rc;
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static int describe_window(struct pull *pull, struct remote *remote, struct place *place,
                           struct err *err)
{
    int64_t to = place->batch;
    struct window window = {0};
    int rc = cut_window(pull, remote, false, &window, place->source, place->described, &to, err);

    if (rc == 0)
        rc = ask(remote,
                 "SELECT run, deleted FROM richd.tombstone WHERE source = $1::integer"
                 " AND batch > $2::bigint AND batch <= $3::bigint",
                 &window.params, &pull->merge.tombstones, err);
    if (rc == 0)
        rc = fetch(pull, remote, &window, 0, SHARE_TABLE_POINT, err);
    if (rc == 0)
        rc = merge(pull, place, to, place->fed, err);
    if (rc == 0)
        place->described = to;
    return rc;
}

static int describe_all(struct pull *pull, struct remote *remote, struct err *err)
{
    int rc = read_sources(pull, remote, err);

    for (size_t i = 0; rc == 0 && i < pull->n_places; i++) {
        while (rc == 0 && pull->places[i].described < pull->places[i].batch)
            rc = describe_window(pull, remote, &pull->places[i], err);
    }
    return rc;
}

/* The rows of the feed that were read before wait in `feed`. */
static int describe(struct pull *pull, struct remote *remote, struct err *err)
{
    struct merge_rows feed[SHARE_TABLE_COUNT];
    int rc = remote_script(remote, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);

    memcpy(feed, pull->merge.rows, sizeof feed);
    memset(pull->merge.rows, 0, sizeof pull->merge.rows);
    if (rc == 0)
        rc = describe_all(pull, remote, err);
    if (rc == 0)
        rc = remote_script(remote, "COMMIT", err);
    clear(pull);
    memcpy(pull->merge.rows, feed, sizeof feed);
    return rc;
}

/* ---- the feed -------------------------------------------------------------------------------- */

static int feed_window(struct pull *pull, struct remote *remote, size_t i, struct err *err)
{
    struct place *place = &pull->places[i];
    int64_t to = place->batch;
    struct window window = {0};
    int rc = cut_window(pull, remote, true, &window, place->source, place->fed, &to, err);

    if (rc == 0)
        rc = fetch(pull, remote, &window, SHARE_TABLE_POINT, SHARE_TABLE_COUNT, err);
    if (rc == 0)
        rc = describe(pull, remote, err);
    place = &pull->places[i]; /* describing may have found a source more */
    if (rc == 0)
        rc = merge(pull, place, place->described, to, err);
    if (rc == 0)
        place->fed = to;
    clear(pull);
    return rc;
}

int pull_step(struct pull *pull, struct remote *remote, struct err *err)
{
    int rc = read_sources(pull, remote, err);
    bool has_more = false;

    for (size_t i = 0; rc == 0 && i < pull->n_places; i++) {
        if (pull->places[i].fed < pull->places[i].batch)
            rc = feed_window(pull, remote, i, err);
        has_more |= pull->places[i].fed < pull->places[i].batch;
    }
    return rc < 0 ? rc : has_more;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* At a start the store takes runs that were open for lost (store/start.c), as its own would be. */
static int reopen_runs(struct pull *pull, struct remote *remote, struct err *err)
{
    struct share_table table;
    char *text;
    int rc;

    share_table(SHARE_TABLE_ATTEMPT, &table);
    text = sqlite3_mprintf("SELECT run, attempt, writer, opened, state, closed, first_step,"
                           " last_step, launch, world, host FROM richd.attempt WHERE state = 0");
    rc = text ? ask(remote, text, NULL, &pull->merge.rows[SHARE_TABLE_ATTEMPT], err)
              : err_set(err, -ENOMEM, "out of memory");
    sqlite3_free(text);
    return rc == 0 ? merge(pull, NULL, 0, 0, err) : rc;
}

int pull_begin(struct pull *pull, struct remote *remote, struct err *err)
{
    PGresult *rows;
    int rc = remote_query(remote, "SELECT version, history FROM richd.version", NULL, &rows, err);

    if (rc == -ENOENT)
        return err_set(err, rc, "%s: no richd has written there yet", remote->server);
    if (rc < 0)
        return rc;
    if (PQntuples(rows) == 0)
        rc = err_set(err, -EPROTO, "%s: its tables do not say of which version they are",
                     remote->server);
    else if (remote_integer(rows, 0, 0) > SHARE_VERSION)
        rc = err_set(err, -ENOTSUP,
                     "%s: its tables have version %" PRId64 ", of a newer richd; this one reads"
                     " version %d",
                     remote->server, remote_integer(rows, 0, 0), SHARE_VERSION);
    if (rc == 0)
        snprintf(pull->merge.history, sizeof pull->merge.history, "%s", remote_cell(rows, 0, 1));
    PQclear(rows);
    if (rc == 0)
        rc = read_places(pull, err);
    return rc == 0 ? reopen_runs(pull, remote, err) : rc;
}
