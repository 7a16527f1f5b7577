#include "daemon/share/push.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/detect/finding.h"
#include "daemon/share/push_parts.h"
#include "daemon/store/sql.h"
#include "proto/base/clock.h"

/* ---- making ---------------------------------------------------------------------------------- */

static int make_tables(struct push *push, struct err *err)
{
    static const enum rows_type tombstone[] = {ROWS_TEXT, ROWS_NUMBER};

    rows_init(&push->tombstones, tombstone, 2);
    for (int id = 0; id < SHARE_TABLE_COUNT; id++) {
        struct share_table *table = &push->table[id];
        enum rows_type types[ROWS_COLUMNS_MAX];

        share_table((enum share_table_id)id, table);
        for (size_t i = 0; i < table->n_columns; i++)
            types[i] = share_rows_type(table->column[i].type);
        rows_init(&push->rows[id], types, table->n_columns);
        push->upsert[id] = share_sql_upsert(table);
        push->bury[id] = share_sql_bury(table);
        if (!push->upsert[id] || !push->bury[id])
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

int push_new(const char *store_path, const char *session, struct push **out, struct err *err)
{
    struct push *push = calloc(1, sizeof *push);
    int rc;

    *out = NULL;
    if (!push)
        return err_set(err, -ENOMEM, "out of memory");
    snprintf(push->session, sizeof push->session, "%s", session);
    rc = make_tables(push, err);
    if (rc == 0)
        rc = push_open_store(push, store_path, err);
    if (rc < 0) {
        push_free(push);
        return rc;
    }
    *out = push;
    return 0;
}

void push_divide(struct push *push, unsigned n_partitions)
{
    push->n_partitions = n_partitions;
}

void push_free(struct push *push)
{
    if (!push)
        return;
    push_forget(push);
    for (int id = 0; id < SHARE_TABLE_COUNT; id++) {
        rows_release(&push->rows[id]);
        sqlite3_free(push->upsert[id]);
        sqlite3_free(push->bury[id]);
    }
    rows_release(&push->tombstones);
    sql_finalize(push->statement, PUSH_SQL_COUNT);
    sqlite3_close(push->store);
    free(push);
}

/* ---- the tables ------------------------------------------------------------------------------ */

/* Runs a text that was made; takes it. */
static int run_made(struct remote *remote, char *text, struct err *err)
{
    int rc = text ? remote_script(remote, text, err) : err_set(err, -ENOMEM, "out of memory");

    sqlite3_free(text);
    return rc;
}

/* Adding a column takes a lock that waits for all who write, so it is looked first. */
static int add_columns(struct push *push, struct remote *remote, struct err *err)
{
    PGresult *rows;
    size_t n_columns = push->table[SHARE_TABLE_POINT].n_columns;
    int rc = remote_query(remote,
                          "SELECT count(*) FROM information_schema.columns"
                          " WHERE table_schema = 'richd' AND table_name = 'point'",
                          NULL, &rows, err);

    if (rc < 0)
        return rc;
    if ((size_t)remote_integer(rows, 0, 0) < n_columns + 2) /* source and batch */
        rc = run_made(remote, share_sql_add_columns(), err);
    PQclear(rows);
    return rc;
}

static int check_version(struct push *push, struct remote *remote, struct err *err)
{
    PGresult *rows;
    int64_t version;
    int rc = remote_query(remote, "SELECT version FROM richd.version", NULL, &rows, err);

    if (rc == -ENOENT)
        return run_made(remote, share_sql_create(push->n_partitions), err);
    if (rc < 0)
        return rc;
    version = PQntuples(rows) > 0 ? remote_integer(rows, 0, 0) : 0;
    PQclear(rows);
    if (version > SHARE_VERSION)
        return err_set(err, -ENOTSUP,
                       "%s: its tables have version %" PRId64 ", of a newer richd; this one"
                       " writes version %d, and nothing is copied until it is updated",
                       remote->server, version, SHARE_VERSION);
    return add_columns(push, remote, err);
}

/* ---- the source ------------------------------------------------------------------------------ */

/* The id by which the history knows this store: its own, and behind it a number where another one
 * has the same, because one of them is a copy. */
static int read_source(struct push *push, char *out, size_t size, struct err *err)
{
    sqlite3_stmt *statement = push->statement[PUSH_SQL_SOURCE];
    int rc = sql_step(statement, err);

    if (rc == 1)
        snprintf(out, size, "%s", sql_column_text(statement, 0));
    sqlite3_reset(statement);
    if (rc == 0)
        return err_set(err, -EUCLEAN, "the store has no source");
    if (rc == 1 && push->generation > 0)
        snprintf(out + strlen(out), size - strlen(out), "-%" PRId64, push->generation);
    return rc < 0 ? rc : 0;
}

/* Makes its row, or says that this process writes it from now on. A number that another daemon
 * takes at the same moment is refused, and asked for again. */
static int register_source(struct push *push, struct remote *remote, const char *id, PGresult **out,
                           struct err *err)
{
    struct remote_params params = {0};
    char host[128] = "";

    gethostname(host, sizeof host - 1);
    remote_text(&params, id);
    remote_text(&params, host);
    remote_text(&params, push->session);
    return remote_query(remote,
                        "INSERT INTO richd.source AS t(source, id, host, session, batch, feed_seq,"
                        " pushed) SELECT 1 + coalesce(max(source), 0), $1::text, $2::text,"
                        " $3::text, 0, 0, now() FROM richd.source"
                        " ON CONFLICT (id) DO UPDATE SET host = excluded.host,"
                        " session = excluded.session RETURNING source, batch, feed_seq",
                        &params, out, err);
}

/* Whether another process writes as the source since we did: one of the two stores is a copy. A
 * replica that has taken over may not have heard of us yet: it names who wrote before. */
static int is_taken(struct push *push, struct remote *remote, const char *id, struct err *err)
{
    struct remote_params params = {0};
    const char *session;
    PGresult *rows;
    int rc;

    remote_text(&params, id);
    rc = remote_query(remote, "SELECT session, host FROM richd.source WHERE id = $1::text", &params,
                      &rows, err);
    session = rc == 0 && PQntuples(rows) > 0 ? remote_cell(rows, 0, 0) : "";
    if (!push->has_begun)
        snprintf(push->predecessor, sizeof push->predecessor, "%s", session);
    else if (*session)
        rc = strcmp(session, push->session) != 0 && strcmp(session, push->predecessor) != 0;
    if (rc == 1)
        snprintf(push->remark, sizeof push->remark,
                 "a daemon on %.60s writes with a copy of this store; this one goes on as a source"
                 " of its own (copy a store with richd --backup)",
                 remote_cell(rows, 0, 1));
    PQclear(rows);
    return rc;
}

/* The source of that generation: 0, 1 when another one has to be taken, or -errno. */
static int try_source(struct push *push, struct remote *remote, int64_t committed, struct err *err)
{
    PGresult *rows = NULL;
    char id[96];
    int rc = read_source(push, id, sizeof id, err);

    if (rc == 0)
        rc = is_taken(push, remote, id, err);
    if (rc == 0)
        rc = register_source(push, remote, id, &rows, err);
    if (rc == 0) {
        snprintf(push->source_text, sizeof push->source_text, "%" PRId64,
                 remote_integer(rows, 0, 0));
        push->batch = remote_integer(rows, 0, 1);
        push->position = remote_integer(rows, 0, 2);
        if (push->newest < push->batch)
            push->newest = push->batch;
        rc = push->position > committed; /* the store is older than what it has copied */
    }
    PQclear(rows);
    return rc;
}

static int find_source(struct push *push, struct remote *remote, struct err *err)
{
    int64_t committed = 0;
    int rc = sql_integer(push->store, "SELECT feed_seq FROM state", &committed, err);

    if (rc < 0)
        return rc;
    while ((rc = try_source(push, remote, committed, err)) == 1) {
        push->generation++;
        push->has_begun = false;
    }
    push->has_begun |= rc == 0;
    return rc;
}

/* Of which runs the description is there. */
static int read_pushed(struct push *push, struct remote *remote, struct err *err)
{
    struct remote_params params = {0};
    PGresult *rows;
    int rc;

    remote_text(&params, push->source_text);
    rc = remote_query(remote,
                      "SELECT run, revision FROM richd.run WHERE source = $1::integer ORDER BY run",
                      &params, &rows, err);
    for (size_t i = 0; rc == 0 && i < push->n_runs; i++) {
        int low = 0, high = PQntuples(rows);

        while (low < high) {
            int middle = low + (high - low) / 2;

            if (strcmp(remote_cell(rows, middle, 0), push->runs[i].id) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < PQntuples(rows) && strcmp(remote_cell(rows, low, 0), push->runs[i].id) == 0)
            push->runs[i].pushed = remote_integer(rows, low, 1);
    }
    PQclear(rows);
    return rc;
}

int push_begin(struct push *push, struct remote *remote, struct err *err)
{
    int rc;

    push_forget(push);
    rc = check_version(push, remote, err);
    if (rc == 0)
        rc = find_source(push, remote, err);
    if (rc == 0)
        rc = push_look(push, err);
    return rc == 0 ? read_pushed(push, remote, err) : rc;
}

/* ---- a batch --------------------------------------------------------------------------------- */

#define TEXT_OF_TOKEN(token) #token
#define TEXT_OF(macro)       TEXT_OF_TOKEN(macro)

/* A run that was deleted and then made again is no deleted one. */
#define REVIVE                                                                                     \
    "DELETE FROM richd.tombstone t USING richd.run r WHERE r.run = t.run"                          \
    " AND r.source = $1::integer AND r.batch = $2::bigint AND r.created > t.deleted"
#define ENTOMB                                                                                     \
    "INSERT INTO richd.tombstone AS t(run, deleted, source, batch)"                                \
    " SELECT u.run, u.deleted, $3::integer, $4::bigint"                                            \
    " FROM unnest($1::text[], $2::double precision[]) AS u(run, deleted) WHERE u.run NOT IN"       \
    " (SELECT r.run FROM unnest($1::text[], $2::double precision[]) AS v(run, deleted)"            \
    " JOIN richd.run r ON r.run = v.run WHERE r.created > v.deleted)"                              \
    " ON CONFLICT (run) DO UPDATE SET deleted = excluded.deleted, source = excluded.source,"       \
    " batch = excluded.batch WHERE t.deleted < excluded.deleted"
/* Of a layer those stay whose ordinal is a multiple of the stride, as in the store
 * (store/representation.c), and the newest. */
#define THIN                                                                                       \
    "DELETE FROM richd.representation r USING (SELECT run, layer, max(ordinal) AS newest,"         \
    " (SELECT min(1::bigint << k) FROM generate_series(0, 40) k"                                   \
    " WHERE max(n.ordinal) / (1::bigint << k) < 32) AS stride FROM richd.representation n"         \
    " WHERE source = $1::integer AND batch = $2::bigint GROUP BY run, layer) n"                    \
    " WHERE r.run = n.run AND r.layer = n.layer AND r.ordinal < n.newest"                          \
    " AND r.ordinal % n.stride <> 0"
/* An alert stands in the place of an earlier one of its name (store/alert.c). */
#define REPLACE_ALERTS                                                                             \
    "DELETE FROM richd.finding t USING richd.finding n WHERE n.source = $1::integer"               \
    " AND n.batch = $2::bigint AND n.direction = " TEXT_OF(                                        \
        ALERT_DIRECTION) " AND n.run = t.run"                                                      \
                         " AND n.layer = 0 AND t.layer = 0 AND n.metric = t.metric"                \
                         " AND (n.attempt, n.step) <> (t.attempt, t.step)"
/* Refused where another process has taken the source, or another version the tables. */
#define ADVANCE                                                                                    \
    "UPDATE richd.source SET batch = CASE WHEN batch = $6::bigint AND session = $4::text"          \
    " AND (SELECT version FROM richd.version) <= $5::integer THEN $2::bigint END,"                 \
    " feed_seq = $3::bigint, pushed = now() WHERE source = $1::integer"

/* The source and the batch, as the last parameters. */
static void add_batch(const struct push *push, struct remote_params *params, const char *batch)
{
    remote_text(params, push->source_text);
    remote_text(params, batch);
}

static int add_rows(struct push *push, struct remote *remote, struct rows *rows, const char *sql,
                    const char *batch, struct err *err)
{
    struct remote_params params = {0};

    if (rows->n == 0)
        return 0;
    for (size_t i = 0; i < rows->n_columns; i++) {
        int size;
        const char *array = rows_array(rows, i, &size);

        remote_binary(&params, array, size);
    }
    add_batch(push, &params, batch);
    return remote_add(remote, sql, &params, err);
}

static int add_statement(const struct push *push, struct remote *remote, const char *sql,
                         const char *batch, struct err *err)
{
    struct remote_params params = {0};

    add_batch(push, &params, batch);
    return remote_add(remote, sql, &params, err);
}

/* What a person has deleted goes before all else. */
static int add_tombstones(struct push *push, struct remote *remote, const char *batch,
                          struct err *err)
{
    int rc = add_rows(push, remote, &push->tombstones, ENTOMB, batch, err);

    for (int id = 0; rc == 0 && push->tombstones.n > 0 && id < SHARE_TABLE_COUNT; id++)
        rc = add_statement(push, remote, push->bury[id], batch, err);
    return rc;
}

static int add_advance(const struct push *push, struct remote *remote, const char *batch,
                       struct err *err)
{
    struct remote_params params = {0};
    char reach[24], version[16], before[24];

    snprintf(before, sizeof before, "%" PRId64, push->batch);
    snprintf(reach, sizeof reach, "%" PRId64, push->reach);
    snprintf(version, sizeof version, "%d", SHARE_VERSION);
    add_batch(push, &params, batch);
    remote_text(&params, reach);
    remote_text(&params, push->session);
    remote_text(&params, version);
    remote_text(&params, before);
    return remote_add(remote, ADVANCE, &params, err);
}

static int add_all(struct push *push, struct remote *remote, const char *batch, struct err *err)
{
    int rc = add_tombstones(push, remote, batch, err);

    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++)
        rc = add_rows(push, remote, &push->rows[id], push->upsert[id], batch, err);
    if (rc == 0 && push->rows[SHARE_TABLE_RUN].n > 0)
        rc = add_statement(push, remote, REVIVE, batch, err);
    if (rc == 0 && push->rows[SHARE_TABLE_FINDING].n > 0)
        rc = add_statement(push, remote, REPLACE_ALERTS, batch, err);
    if (rc == 0 && push->rows[SHARE_TABLE_REPRESENTATION].n > 0)
        rc = add_statement(push, remote, THIN, batch, err);
    return rc == 0 ? add_advance(push, remote, batch, err) : rc;
}

/* A batch has a number that no earlier one had, also of those that a server has lost since: who has
 * read these goes on behind them. So it is not the next one, but the time, in milliseconds. */
static int64_t next_batch(struct push *push)
{
    int64_t now_ms = (int64_t)(1e3 * clock_wall_s());

    push->newest = now_ms > push->newest ? now_ms : push->newest + 1;
    return push->newest;
}

static int send_batch(struct push *push, struct remote *remote, struct err *err)
{
    char batch[24];
    int rc = remote_begin(remote, err);

    snprintf(batch, sizeof batch, "%" PRId64, next_batch(push));
    if (rc == 0)
        rc = add_all(push, remote, batch, err);
    if (rc == 0)
        rc = remote_commit(remote, err);
    if (rc == 0)
        push->batch = push->newest;
    return rc;
}

int push_step(struct push *push, struct remote *remote, struct err *err)
{
    int rc = push_look(push, err);

    if (rc == 0 && push->n_pending > 0)
        rc = push_give_numbers(push, remote, err);
    if (rc == 0)
        rc = push_read(push, err);
    if (rc == 0 && !push_is_empty(push))
        rc = send_batch(push, remote, err);
    if (rc < 0)
        return rc;
    push_note(push);
    return push->has_more_runs || push->has_missed || push->position < push->committed;
}

const char *push_remark(const struct push *push)
{
    return push->remark;
}

int64_t push_position(const struct push *push)
{
    return push->position;
}
