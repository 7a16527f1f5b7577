#include "daemon/store/mend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/store/sql.h"

/* The run of layers and scalars whose own run is not known any more. */
#define LOST_RUN "'recovered'"

#define TIMES "strftime('%s', 'now')"
#define NEW_RUN                                                                                    \
    "INSERT OR IGNORE INTO run(run_key, id, name, project, run_group, tags, state, attempt,"       \
    " created, updated)"

/* Runs that the other tables know. */
#define RUN_KEYS                                                                                   \
    "(SELECT run_key FROM attempt UNION SELECT run_key FROM layer"                                 \
    " UNION SELECT run_key FROM scalar_name)"
/* Attempts that have points or scalars, with the first step of each. */
#define USED_ATTEMPTS                                                                              \
    "(SELECT run_key, point.attempt AS attempt, step FROM point JOIN layer USING(layer_key)"       \
    " UNION ALL SELECT run_key, scalar.attempt, step FROM scalar JOIN scalar_name"                 \
    " USING(name_key) UNION ALL SELECT run_key, attempt, NULL FROM run WHERE attempt > 0)"

/* Rows that no program reads without an error. */
static const struct {
    const char *table;
    const char *condition;
    const char *what;
} unreadable[] = {
    {"run_config", "NOT json_valid(config)", NULL}, /* told when it is made again, below */
    {"run_config", "NOT json_valid(updates)", NULL},
    {"run_summary", "NOT json_valid(summary)", "summaries of runs"},
    {"probe", "n_rows < 1 OR length(data) <> 8 * (n_rows * n_rows + n_rows + 1)", "probes"},
    {"spectrum", "n_values < 1 OR length(data) NOT IN (8 * n_values, 16 * n_values, 24 * n_values)",
     "spectra"},
};

/* In this order; `what` is lost in as many cases as rows change. Statements about tables that an
 * older schema does not have are passed over. */
static const struct {
    const char *statement;
    const char *what;
} steps[] = {
    /* Of runs that have left nothing is kept, whatever was deleted already. */
    {"DELETE FROM point WHERE layer_key IN (SELECT layer_key FROM layer JOIN leaving"
     " USING(run_key))",
     NULL},
    {"DELETE FROM scalar WHERE name_key IN (SELECT name_key FROM scalar_name JOIN leaving"
     " USING(run_key))",
     NULL},
    {"DELETE FROM layer WHERE run_key IN (SELECT run_key FROM leaving)", NULL},
    {"DELETE FROM scalar_name WHERE run_key IN (SELECT run_key FROM leaving)", NULL},
    {"DELETE FROM attempt WHERE run_key IN (SELECT run_key FROM leaving)", NULL},
    {"DELETE FROM finding WHERE run_key IN (SELECT run_key FROM leaving)", NULL},
    {"DELETE FROM member WHERE run_key IN (SELECT run_key FROM leaving)", NULL},
    {"DELETE FROM leaving", NULL},

    {"UPDATE run SET tags = '[]' WHERE NOT json_valid(tags)", "tags of runs"},

    /* Layers and scalars whose rows are there get a name, runs an id. */
    {NEW_RUN " SELECT (SELECT coalesce(max(k), 0) + 1 FROM (SELECT max(run_key) AS k FROM run"
             " UNION ALL SELECT max(run_key) FROM attempt UNION ALL SELECT max(run_key) FROM layer"
             " UNION ALL SELECT max(run_key) FROM scalar_name)),"
             " " LOST_RUN ", " LOST_RUN ", 'default', '', '[]', 3, 1, " TIMES ", " TIMES
             " WHERE EXISTS(SELECT 1 FROM point WHERE layer_key NOT IN"
             " (SELECT layer_key FROM layer)) OR EXISTS(SELECT 1 FROM scalar"
             " WHERE name_key NOT IN (SELECT name_key FROM scalar_name))",
     NULL},
    {"INSERT INTO layer(layer_key, run_key, name, p, c) SELECT DISTINCT layer_key,"
     " (SELECT run_key FROM run WHERE id = " LOST_RUN "), 'layer-' || layer_key, 1, 1 FROM point"
     " WHERE layer_key NOT IN (SELECT layer_key FROM layer)",
     "names, shapes and runs of layers, whose points are in the run \"recovered\""},
    {"INSERT INTO scalar_name(name_key, run_key, name) SELECT DISTINCT name_key,"
     " (SELECT run_key FROM run WHERE id = " LOST_RUN "), 'scalar-' || name_key FROM scalar"
     " WHERE name_key NOT IN (SELECT name_key FROM scalar_name)",
     "names and runs of scalars, which are in the run \"recovered\""},
    {NEW_RUN " SELECT run_key, 'recovered-' || run_key, 'recovered-' || run_key, 'default', '',"
             " '[]', 3, 1, " TIMES ", " TIMES " FROM " RUN_KEYS
             " WHERE run_key NOT IN (SELECT run_key FROM run)",
     "names of runs, which are called recovered-NUMBER"},
    {"INSERT INTO attempt(run_key, attempt, writer, state, first_step)"
     " SELECT run_key, attempt, '', 3, min(step) FROM " USED_ATTEMPTS " u"
     " WHERE NOT EXISTS(SELECT 1 FROM attempt a WHERE a.run_key = u.run_key"
     " AND a.attempt = u.attempt) GROUP BY run_key, attempt",
     "attempts, apart from their points"},

    /* What refers to nothing. */
    {"DELETE FROM run_config WHERE run_key NOT IN (SELECT run_key FROM run)", NULL},
    {"INSERT INTO run_config(run_key, config) SELECT run_key, '{}' FROM run"
     " WHERE run_key NOT IN (SELECT run_key FROM run_config)",
     "configurations of runs"},
    {"DELETE FROM run_summary WHERE run_key NOT IN (SELECT run_key FROM run)", NULL},
    {"DELETE FROM run_note WHERE run_key NOT IN (SELECT run_key FROM run)", NULL},
    {"DELETE FROM relayed_run WHERE run_key NOT IN (SELECT run_key FROM run)", NULL},
    {"DELETE FROM watched WHERE run_key NOT IN (SELECT run_key FROM run)", NULL},
    {"DELETE FROM finding WHERE layer_key <> 0"
     " AND layer_key NOT IN (SELECT layer_key FROM layer)",
     "transitions"},
    {"DELETE FROM spectrum WHERE layer_key NOT IN (SELECT layer_key FROM layer)", NULL},
    {"DELETE FROM probe WHERE layer_key NOT IN (SELECT layer_key FROM layer)", NULL},
    {"DELETE FROM representation WHERE layer_key NOT IN (SELECT layer_key FROM layer)", NULL},
    {"DELETE FROM total WHERE layer_key NOT IN (SELECT layer_key FROM layer)", NULL},
    {"DELETE FROM member_total WHERE NOT EXISTS(SELECT 1 FROM layer JOIN member USING(run_key)"
     " WHERE layer.layer_key = member_total.layer_key AND member.attempt = member_total.attempt"
     " AND member.rank = member_total.rank)",
     NULL},

    {"INSERT OR IGNORE INTO state(id, feed_seq) VALUES(1, 0)", NULL},
    {"UPDATE state SET feed_seq = max(feed_seq, (SELECT coalesce(max(feed_seq), 0) FROM point),"
     " (SELECT coalesce(max(feed_seq), 0) FROM scalar))",
     NULL},
    {"UPDATE state SET feed_seq = max(feed_seq, (SELECT coalesce(max(feed_seq), 0) FROM finding))",
     NULL},
};

/* How many points each layer has, and how many it had: the difference is noted by run. */
#define LOST_POINTS                                                                                \
    "SELECT run.id, sum(layer.n_points), sum(layer.n_points - (SELECT count(*) FROM point"         \
    " WHERE point.layer_key = layer.layer_key)) AS lost FROM layer JOIN run USING(run_key)"        \
    " GROUP BY run.run_key HAVING lost > 0 ORDER BY lost DESC"

static const char *const counts[] = {
    "UPDATE layer SET n_points = (SELECT count(*) FROM point"
    " WHERE point.layer_key = layer.layer_key)",
    "UPDATE layer SET (last_attempt, last_step) = (SELECT attempt, step FROM point"
    " WHERE point.layer_key = layer.layer_key ORDER BY attempt DESC, step DESC LIMIT 1)",
    "UPDATE scalar_name SET (last_attempt, last_step) = (SELECT attempt, step FROM scalar"
    " WHERE scalar.name_key = scalar_name.name_key ORDER BY attempt DESC, step DESC LIMIT 1)",
    "UPDATE run SET n_points = (SELECT coalesce(sum(n_points), 0) FROM layer"
    " WHERE layer.run_key = run.run_key), attempt = max(attempt,"
    " (SELECT coalesce(max(attempt), 1) FROM attempt WHERE attempt.run_key = run.run_key))",
    "UPDATE run SET last_step = (SELECT max(last_step) FROM layer"
    " WHERE layer.run_key = run.run_key) WHERE last_step IS NULL",
};

/* Tables and columns that an older schema lacks are no error. */
static int take_step(sqlite3 *database, const char *text, const char *what,
                     struct store_notes *notes, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(database, text, &statement, err);
    int n;

    if (rc < 0)
        return sqlite3_errcode(database) == SQLITE_ERROR ? 0 : rc;
    rc = sql_run(statement, err);
    n = sqlite3_changes(database);
    sqlite3_finalize(statement);
    if (rc == 0 && n > 0 && what)
        store_note(notes, "lost, %d of: %s", n, what);
    return rc;
}

static int drop_unreadable(sqlite3 *database, struct store_notes *notes, struct err *err)
{
    char text[256];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof unreadable / sizeof *unreadable; i++) {
        snprintf(text, sizeof text, "DELETE FROM %s WHERE %s", unreadable[i].table,
                 unreadable[i].condition);
        rc = take_step(database, text, unreadable[i].what, notes, err);
    }
    return rc;
}

int store_mend_find(sqlite3 *database, struct err *err)
{
    char text[256];
    int64_t found = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof unreadable / sizeof *unreadable; i++) {
        snprintf(text, sizeof text, "SELECT EXISTS(SELECT 1 FROM %s WHERE %s)", unreadable[i].table,
                 unreadable[i].condition);
        rc = sql_integer(database, text, &found, err);
        if (rc == 0 && found)
            rc = err_set(err, -EUCLEAN, "the table \"%s\" has values that cannot be read",
                         unreadable[i].table);
    }
    return rc;
}

static int note_lost_points(sqlite3 *database, struct store_notes *notes, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(database, LOST_POINTS, &statement, err);

    while (rc == 0 && (rc = sql_step(statement, err)) == 1) {
        store_note(notes, "run \"%s\": %lld of %lld points are lost", sql_column_text(statement, 0),
                   sqlite3_column_int64(statement, 2), sqlite3_column_int64(statement, 1));
        rc = 0;
    }
    sqlite3_finalize(statement);
    return rc;
}

/* The feed goes on behind all numbers that were given out. */
static int mend_feed(sqlite3 *database, uint64_t feed_seq, struct err *err)
{
    char text[128];

    snprintf(text, sizeof text, "UPDATE state SET feed_seq = max(feed_seq, %" PRIu64 ")", feed_seq);
    return sql_exec(database, text, err);
}

int store_mend(sqlite3 *database, uint64_t feed_seq, struct store_notes *notes, struct err *err)
{
    int rc = drop_unreadable(database, notes, err);

    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof *steps; i++)
        rc = take_step(database, steps[i].statement, steps[i].what, notes, err);
    if (rc == 0)
        rc = note_lost_points(database, notes, err);
    for (size_t i = 0; rc == 0 && i < sizeof counts / sizeof *counts; i++)
        rc = sql_exec(database, counts[i], err);
    return rc == 0 ? mend_feed(database, feed_seq, err) : rc;
}
