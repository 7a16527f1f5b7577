#include "daemon/share/new_rows.h"
#include "daemon/share/push_parts.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* What a push asks the store. A row of a window is one whose number of the feed lies in it. */

static const char *const statements[PUSH_SQL_COUNT] = {
    [PUSH_SQL_BEGIN] = "BEGIN",
    [PUSH_SQL_END] = "ROLLBACK",
    [PUSH_SQL_SOURCE] = "SELECT source FROM source",
    [PUSH_SQL_FEED_SEQ] = "SELECT feed_seq FROM state",
    [PUSH_SQL_RUNS] = "SELECT run_key, id, created, revision FROM run ORDER BY run_key",
    [PUSH_SQL_ATTEMPTS] = "SELECT attempt, writer, coalesce(opened, 0) FROM attempt"
                          " WHERE run_key = ?1 ORDER BY attempt",
    [PUSH_SQL_LAYERS] = "SELECT layer_key, name FROM layer WHERE run_key = ?1 ORDER BY layer_key",
    [PUSH_SQL_NAMES] = "SELECT name_key, name FROM scalar_name WHERE run_key = ?1"
                       " ORDER BY name_key",
    [PUSH_SQL_REACH] = "SELECT feed_seq, " POINT_BYTES " + " OF_CHECKPOINT("spectrum") " + " //
    OF_CHECKPOINT("representation") NEW("point") WINDOW                                      //
    " UNION ALL SELECT feed_seq, " SCALAR_BYTES NEW("scalar") WINDOW                         //
    " UNION ALL SELECT feed_seq, " FINDING_BYTES NEW("finding") WINDOW " ORDER BY 1",
    [PUSH_SQL_TOMBSTONES] = "SELECT id, coalesce(deleted, 0) FROM tombstone",

    [PUSH_SQL_TABLES + SHARE_TABLE_RUN] = RUN_ROW,
    [PUSH_SQL_TABLES + SHARE_TABLE_RUN_TEXT] = RUN_TEXT_ROW,
    [PUSH_SQL_TABLES + SHARE_TABLE_ATTEMPT] =
        "SELECT run_key, attempt, writer, coalesce(opened, 0), state, closed, first_step,"
        " last_step, launch, world, host FROM attempt WHERE run_key = ?1",
    [PUSH_SQL_TABLES + SHARE_TABLE_MEMBER] = MEMBER_ROWS,
    [PUSH_SQL_TABLES + SHARE_TABLE_LAYER] =
        "SELECT run_key, layer_key, name, p, c FROM layer WHERE run_key = ?1",
    [PUSH_SQL_TABLES + SHARE_TABLE_SCALAR_NAME] =
        "SELECT run_key, name_key, name FROM scalar_name WHERE run_key = ?1",
    [PUSH_SQL_TABLES + SHARE_TABLE_POINT] =
        "SELECT run_key, layer_key, attempt @columns" NEW_POINTS WINDOW,
    [PUSH_SQL_TABLES + SHARE_TABLE_SPECTRUM] =
        "SELECT run_key, layer_key, attempt, step, s.rank, rank_targets, uncentred, few_rows,"
        " n_values, total, data" NEW_POINTS
        " CROSS JOIN spectrum s USING(layer_key, attempt, step)" WINDOW,
    [PUSH_SQL_TABLES + SHARE_TABLE_REPRESENTATION] =
        "SELECT run_key, layer_key, attempt, step, ordinal, n_rows, data" NEW_POINTS
        " CROSS JOIN representation USING(layer_key, attempt, step)" WINDOW,
    [PUSH_SQL_TABLES + SHARE_TABLE_SCALAR] =
        "SELECT run_key, name_key, attempt, step, time, value" NEW("scalar") //
    " CROSS JOIN scalar_name USING(name_key)" WINDOW,
    [PUSH_SQL_TABLES + SHARE_TABLE_FINDING] =
        "SELECT run_key, layer_key, attempt, step, metric, time, direction, start_step, end_step,"
        " level_from, level_to, n_from, n_to, returned, returned_attempt, agrees, accuracy,"
        " accuracy_from, accuracy_to" NEW("finding") WINDOW,
};

int push_open_store(struct push *push, const char *path, struct err *err)
{
    int64_t version = 0;
    int rc = sql_open(path, SQLITE_OPEN_READONLY, &push->store, err);

    if (rc == 0)
        rc = sql_exec(push->store,
                      "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;"
                      " PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048",
                      err);
    if (rc == 0)
        rc = store_schema_recognise(push->store, &version, err);
    for (int i = 0; rc == 0 && i < PUSH_SQL_COUNT; i++)
        rc = store_schema_prepare(push->store, statements[i], &push->statement[i], err);
    return rc;
}
