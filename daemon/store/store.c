#include "daemon/store/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* The first step of attempt `a` that is not part of the run's series as attempt ?3 of run ?2 sees
 * it: a newer one has superseded it, or ?3 does with its first message, of step ?4 while none of it
 * is stored. ?5 is beyond all steps. */
#define PAST_END                                                                                   \
    "CASE a.attempt WHEN ?3 THEN ?5 ELSE"                                                          \
    " min(coalesce((SELECT first_step FROM attempt b WHERE b.run_key = ?2 AND b.attempt = ?3), "   \
    "?4),"                                                                                         \
    " coalesce((SELECT min(first_step) FROM attempt b WHERE b.run_key = ?2"                        \
    " AND b.attempt > a.attempt), ?5)) END"

#define TEXT_OF_TOKEN(token) #token
#define TEXT_OF(macro)       TEXT_OF_TOKEN(macro)

/* With each change of what run.list shows. No run takes the key of one that has gone. */
#define REVISED "revision = revision + 1,"

#define BLOCKS " WHERE is_scalar = ?1 AND curve_key = ?2 AND attempt = ?3 AND level = ?4"
/* How many rows, at most ?5, lie behind step ?3 up to step ?4, and where the last of them is. */
#define MEASURE(step, rows)                                                                        \
    "SELECT count(*), max(" step ") FROM (SELECT " step " FROM " rows " AND " step " > ?3"         \
    " AND " step " <= ?4 ORDER BY " step " LIMIT ?5)"

/* Some rows of a run, ?2 at most; and the blocks of one of its curves' measures. */
#define LEAVE(table, key, from)                                                                    \
    "DELETE FROM " table " WHERE (" key ") IN (SELECT " key " FROM " from                          \
    " WHERE run_key = ?1 LIMIT ?2)"
#define LEAVE_BLOCKS(is_scalar, curves, key)                                                       \
    "DELETE FROM block WHERE is_scalar = " is_scalar                                               \
    " AND (curve_key, attempt, name) = (SELECT curve_key, attempt, block.name FROM " curves        \
    " CROSS JOIN block ON is_scalar = " is_scalar " AND curve_key = " key                          \
    " WHERE run_key = ?1 LIMIT ?2)"

static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FEED_SEQ] = "UPDATE state SET feed_seq = ?1",
    [SQL_TOUCH] = "PRAGMA user_version = " TEXT_OF(STORE_SCHEMA_VERSION),

    [SQL_RUN_FIND] = "SELECT run_key, attempt, last_step, project FROM run WHERE id = ?1",
    [SQL_RUN_NEW] = "INSERT INTO run(run_key, id, name, project, run_group, tags, state, attempt,"
                    " created, updated) SELECT 1 + max(gone_key, coalesce((SELECT max(run_key)"
                    " FROM run), 0)), ?1, coalesce(?2, ?1), coalesce(?3, 'default'),"
                    " coalesce(?4, ''), coalesce(?5, '[]'), 0, 0, ?6, ?6 FROM state",
    /* What a person has edited stays. */
    [SQL_RUN_RENEW] = "UPDATE run SET " REVISED " name = CASE WHEN edited & 1 THEN name"
                      " ELSE coalesce(?2, name) END, project = coalesce(?3, project),"
                      " run_group = coalesce(?4, run_group), tags = CASE WHEN edited & 2 THEN tags"
                      " ELSE coalesce(?5, tags) END WHERE id = ?1",
    [SQL_RUN_EDIT] =
        "UPDATE run SET " REVISED " name = coalesce(?2, name), tags = coalesce(?3, tags),"
        " hidden = coalesce(?4, hidden), edited = edited | (?2 IS NOT NULL)"
        " | 2 * (?3 IS NOT NULL) WHERE run_key = ?1",
    [SQL_NOTE_PUT] = "REPLACE INTO run_note(run_key, note) VALUES(?1, ?2)",
    /* How many there are of other names, and of that name. */
    [SQL_VIEW_COUNT] = "SELECT count(*) FILTER (WHERE name <> ?1),"
                       " count(*) FILTER (WHERE name = ?1) FROM saved_view",
    [SQL_VIEW_PUT] = "INSERT INTO saved_view(name, query, note, saved)"
                     " VALUES(?1, ?2, coalesce(?3, ''), ?4) ON CONFLICT(name) DO UPDATE SET"
                     " query = ?2, note = coalesce(?3, note), saved = ?4",
    [SQL_VIEW_DROP] = "DELETE FROM saved_view WHERE name = ?1",
    [SQL_RUN_STATE] =
        "UPDATE run SET " REVISED " attempt = ?2, state = ?3, updated = ?4 WHERE run_key = ?1"
        " AND attempt <= ?2",
    [SQL_RUN_CHECKPOINT] =
        "UPDATE run SET " REVISED " last_step = CASE WHEN (?4 OR attempt > ?6) AND last_step > ?2"
        " THEN last_step ELSE ?2 END, n_points = n_points + ?3, updated = ?5"
        " WHERE run_key = ?1",
    [SQL_RUN_TOUCH] = "UPDATE run SET " REVISED " updated = ?2 WHERE run_key = ?1",
    [SQL_RUN_REVISE] = "UPDATE run SET revision = revision + 1 WHERE run_key = ?1",
    [SQL_CONFIG_GET] = "SELECT config, updates FROM run_config WHERE run_key = ?1",
    [SQL_CONFIG_PUT] = "REPLACE INTO run_config(run_key, config, updates) VALUES(?1, ?2, ?3)",
    [SQL_SUMMARY_GET] = "SELECT summary FROM run_summary WHERE run_key = ?1",
    [SQL_SUMMARY_PUT] = "REPLACE INTO run_summary(run_key, summary) VALUES(?1, ?2)",

    [SQL_WATCHED_DROP] = "DELETE FROM watched WHERE run_key = ?1",
    [SQL_WATCHED_PUT] = "INSERT INTO watched(run_key, place, is_scalar, in_turn, name)"
                        " VALUES(?1, ?2, ?3, ?4, ?5)",

    [SQL_ATTEMPT_FIND] = "SELECT run.attempt, attempt.last_seq, attempt.state, attempt.writer,"
                         " attempt.launch IS NOT NULL, attempt.opened"
                         " FROM run LEFT JOIN attempt ON attempt.run_key = run.run_key"
                         " AND attempt.attempt = ?2 WHERE run.run_key = ?1",
    [SQL_ATTEMPT_LAST] = "SELECT max(attempt) FROM attempt WHERE run_key = ?1",
    [SQL_ATTEMPT_OF_WRITER] = "SELECT coalesce(max(attempt), 0) FROM attempt"
                              " WHERE run_key = ?1 AND writer = ?2 AND launch IS NULL",
    /* But one that all ranks have closed, and ?3 is none of them: the same key once more. */
    [SQL_ATTEMPT_OF_LAUNCH] =
        "SELECT a.attempt, world, last_step FROM (SELECT attempt, world, last_step FROM attempt"
        " WHERE run_key = ?1 AND launch = ?2 ORDER BY attempt DESC LIMIT 1) a"
        " WHERE (SELECT count(*) FROM member m WHERE m.run_key = ?1 AND m.attempt = a.attempt"
        " AND m.state IN (1, 2) AND m.writer <> ?3) < world",
    [SQL_ATTEMPT_NEW] =
        "INSERT INTO attempt(run_key, attempt, state, writer, opened, launch, world, host)"
        " VALUES(?1, ?2, 0, coalesce(?3, ''), ?4, ?5, ?6, ?7)",
    [SQL_ATTEMPT_STATE] = "UPDATE attempt SET state = ?3, closed = ?4"
                          " WHERE run_key = ?1 AND attempt = ?2",
    [SQL_ATTEMPT_ADVANCE] =
        "UPDATE attempt SET last_seq = ?3,"
        " first_step = coalesce(first_step, ?4), last_step = coalesce(?5, last_step)"
        " WHERE run_key = ?1 AND attempt = ?2",

    [SQL_MEMBER_FIND] = "SELECT last_seq, state, writer FROM member"
                        " WHERE run_key = ?1 AND attempt = ?2 AND rank = ?3",
    [SQL_MEMBER_PUT] = "REPLACE INTO member(run_key, attempt, rank, writer, state)"
                       " VALUES(?1, ?2, ?3, ?4, 0)",
    [SQL_MEMBER_STATE] = "UPDATE member SET state = ?4"
                         " WHERE run_key = ?1 AND attempt = ?2 AND rank = ?3",
    [SQL_MEMBER_ADVANCE] = "UPDATE member SET last_seq = ?4, last_step = coalesce(?5, last_step)"
                           " WHERE run_key = ?1 AND attempt = ?2 AND rank = ?3",
    [SQL_MEMBER_TOTALS_DROP] = "DELETE FROM member_total WHERE attempt = ?2 AND rank = ?3"
                               " AND layer_key IN"
                               " (SELECT layer_key FROM layer WHERE run_key = ?1)",
    [SQL_MEMBER_TOTAL_PUT] = "REPLACE INTO member_total(layer_key, attempt, rank, batch_seq,"
                             " rows_offered, rows_thinned) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_MEMBERS] = "SELECT rank, writer, state, last_seq, last_step FROM member"
                    " WHERE run_key = ?1 AND attempt = ?2 ORDER BY rank",
    /* By enum state: open before failed, lost and finished. */
    [SQL_MEMBERS_STATE] = "SELECT CASE WHEN sum(state = 0) > 0 THEN 0"
                          " WHEN sum(state = 2) > 0 THEN 2 WHEN sum(state = 3) > 0 THEN 3 ELSE 1"
                          " END FROM member WHERE run_key = ?1 AND attempt = ?2",
    [SQL_MEMBER_TOTALS] = "SELECT name, rank, batch_seq, rows_offered, rows_thinned FROM layer"
                          " JOIN member_total USING(layer_key)"
                          " WHERE run_key = ?1 AND attempt = ?2 ORDER BY layer_key, rank",

    [SQL_LAYERS] = "SELECT name, p, c, batch_seq, rows_offered, layer.layer_key,"
                   " rows_thinned FROM layer"
                   " LEFT JOIN total"
                   " ON total.layer_key = layer.layer_key AND total.attempt = ?2"
                   " WHERE run_key = ?1 ORDER BY layer.layer_key",
    [SQL_LAYER_FIND] = "SELECT layer_key, p FROM layer WHERE run_key = ?1 AND name = ?2",
    [SQL_LAYER_NEW] = "INSERT INTO layer(run_key, p, c, name) VALUES(?1, ?2, ?3, ?4)",
    [SQL_LAYER_SHAPE] = "UPDATE layer SET p = ?2, c = ?3 WHERE layer_key = ?1",
    [SQL_LAYER_LATEST] = "UPDATE layer SET n_points = n_points + ?2,"
                         " last_step = CASE WHEN last_attempt > ?3 THEN last_step ELSE ?4 END,"
                         " last_attempt = max(coalesce(last_attempt, 0), ?3)"
                         " WHERE layer_key = ?1",
    [SQL_LAYER_POINTS] = "SELECT n_points FROM layer WHERE layer_key = ?1",
    [SQL_TOTAL_PUT] = "REPLACE INTO total(layer_key, attempt, batch_seq, rows_offered,"
                      " rows_thinned) VALUES(?1, ?2, ?3, ?4, ?5)",

    [SQL_POINT_FIND] = "SELECT 1 FROM point WHERE layer_key = ?1 AND attempt = ?2 AND step = ?3",
    [SQL_POINT_PUT] = "REPLACE INTO point(layer_key, attempt, feed_seq @columns)"
                      " VALUES(?, ?, ? @values)",
    [SQL_POINTS_AT] = "SELECT layer.name, @point FROM layer JOIN point"
                      " ON point.layer_key = layer.layer_key AND point.attempt = ?2"
                      " AND point.step = ?3 WHERE layer.run_key = ?1 ORDER BY layer.layer_key",

    [SQL_PAST_POINTS] = "SELECT a.attempt, @point FROM layer CROSS JOIN attempt a CROSS JOIN point"
                        " ON point.layer_key = ?1 AND point.attempt = a.attempt"
                        " AND point.step < " PAST_END " WHERE layer.layer_key = ?1"
                        " AND a.run_key = ?2 AND a.attempt <= ?3 ORDER BY a.attempt, point.step",
    [SQL_PAST_SCALARS] = "SELECT a.attempt, s.step, s.time, s.value FROM scalar_name n"
                         " CROSS JOIN attempt a CROSS JOIN scalar s ON s.name_key = n.name_key"
                         " AND s.attempt = a.attempt AND s.step < " PAST_END
                         " WHERE n.name = ?1 AND n.run_key = ?2 AND a.run_key = ?2"
                         " AND a.attempt <= ?3 ORDER BY a.attempt, s.step",
    [SQL_ACCURACY] = "SELECT max(CASE WHEN s.step <= ?7 THEN value END),"
                     " max(CASE WHEN s.step > ?7 THEN value END) FROM scalar_name n"
                     " CROSS JOIN attempt a CROSS JOIN scalar s ON s.name_key = n.name_key"
                     " AND s.attempt = a.attempt AND s.step < " PAST_END
                     " WHERE n.name = ?1 AND n.run_key = ?2 AND a.run_key = ?2"
                     " AND a.attempt <= ?3 AND s.step <= ?6",
    [SQL_FINDING_PUT] =
        "REPLACE INTO finding(run_key, layer_key, attempt, step, direction, start_step, end_step,"
        " agrees, feed_seq, metric, time, level_from, level_to, n_from, n_to, accuracy,"
        " accuracy_from, accuracy_to) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_FINDING_RETURN] = "UPDATE finding SET returned = ?5, returned_attempt = ?6, feed_seq = ?7"
                           " WHERE run_key = ?1 AND layer_key = ?2 AND attempt = ?3 AND step = ?4"
                           " AND metric = ?8",
    [SQL_ALERT_DROP] = "DELETE FROM finding WHERE run_key = ?1 AND layer_key = 0 AND metric = ?2"
                       " AND direction = 2",
    [SQL_FINDING_AGREEMENT] = "SELECT agrees, accuracy, accuracy_from, accuracy_to FROM finding"
                              " WHERE run_key = ?1 AND layer_key = ?2 AND attempt = ?3"
                              " AND step = ?4 AND metric = ?5",
    [SQL_SPECTRUM_DROP] = "DELETE FROM spectrum WHERE layer_key = ?1 AND attempt = ?2"
                          " AND step = ?3",
    [SQL_SPECTRUM_PUT] = "INSERT INTO spectrum(layer_key, attempt, step, rank, rank_targets,"
                         " uncentred, few_rows, n_values, total, data)"
                         " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",

    [SQL_PROBE_PUT] = "INSERT OR IGNORE INTO probe(layer_key, n_rows, data) VALUES(?1, ?2, ?3)",
    [SQL_PROBE_GET] = "SELECT n_rows, data FROM probe WHERE layer_key = ?1",
    [SQL_PROBE_SIZE] = "SELECT total(length(data)) FROM layer JOIN probe USING(layer_key)"
                       " WHERE run_key = ?1",

    [SQL_REPRESENTATION_THIN] = "DELETE FROM representation WHERE layer_key = ?1"
                                " AND (ordinal % ?2 != 0 OR (attempt = ?3 AND step = ?4))",
    [SQL_REPRESENTATION_PUT] = "REPLACE INTO representation(layer_key, attempt, step, ordinal,"
                               " n_rows, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",

    [SQL_NAME_FIND] = "SELECT name_key FROM scalar_name WHERE run_key = ?1 AND name = ?2",
    [SQL_NAME_NEW] = "INSERT INTO scalar_name(run_key, name) VALUES(?1, ?2)",
    [SQL_NAME_LATEST] = "UPDATE scalar_name SET n_put = n_put + 1,"
                        " last_step = CASE WHEN last_attempt > ?2 THEN last_step ELSE ?3 END,"
                        " last_attempt = max(coalesce(last_attempt, 0), ?2)"
                        " WHERE name_key = ?1",
    [SQL_NAME_PUTS] = "SELECT n_put FROM scalar_name WHERE name_key = ?1",
    [SQL_SCALAR_PUT] = "REPLACE INTO scalar(name_key, attempt, step, feed_seq, time, value)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",

    [SQL_CURVE_POINTS] = "SELECT step @measures, flags FROM point"
                         " WHERE layer_key = ?1 AND attempt = ?2"
                         " AND step > ?3 ORDER BY step LIMIT ?4",
    [SQL_CURVE_SCALARS] = "SELECT step, value FROM scalar WHERE name_key = ?1 AND attempt = ?2"
                          " AND step > ?3 ORDER BY step LIMIT ?4",
    [SQL_CURVE_MEASURE_POINTS] = MEASURE("step", "point WHERE layer_key = ?1 AND attempt = ?2"),
    [SQL_CURVE_MEASURE_SCALARS] = MEASURE("step", "scalar WHERE name_key = ?1 AND attempt = ?2"),
    [SQL_BLOCK_MEASURE] = MEASURE("to_step", "block WHERE is_scalar = ?6 AND curve_key = ?1"
                                             " AND attempt = ?2 AND level = ?7 AND name = ''"),
    [SQL_BLOCK_END] = "SELECT max(to_step) FROM block" BLOCKS " AND name = '' AND to_step < ?5",
    [SQL_BLOCK_NEXT] = "SELECT min(to_step) FROM block" BLOCKS " AND name = '' AND to_step > ?5",
    [SQL_BLOCK_GET] = "SELECT data FROM block" BLOCKS " AND name = ?5 AND to_step = ?6",
    [SQL_BLOCK_PUT] =
        "REPLACE INTO block(is_scalar, curve_key, attempt, level, name, to_step, data)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_BLOCK_DROP] = "DELETE FROM block" BLOCKS " AND name = ?5 AND to_step = ?6",
    [SQL_BLOCK_EMPTY] = "SELECT level, to_step FROM block INDEXED BY block_empty"
                        " WHERE is_scalar = ?1 AND curve_key = ?2 AND attempt = ?3"
                        " AND (level, to_step) > (?4, ?5) AND data IS NULL"
                        " ORDER BY level, to_step LIMIT 1",
    [SQL_BLOCK_EMPTY_OUT] = "UPDATE block SET data = NULL" BLOCKS
                            " AND name = '' AND to_step = ?5 AND data IS NOT NULL",

    [SQL_SWEEP_LAYERS] = "SELECT layer_key, a.attempt FROM layer CROSS JOIN attempt a"
                         " USING(run_key) WHERE n_points >= " TEXT_OF(BLOCK_POINTS) //
    " AND layer_key >= ?1 AND (layer_key, a.attempt) > (?1, ?2)"
    " ORDER BY layer_key, a.attempt LIMIT 1",
    [SQL_SWEEP_SCALARS] = "SELECT name_key, a.attempt FROM scalar_name CROSS JOIN attempt a"
                          " USING(run_key) WHERE name_key >= ?1"
                          " AND (name_key, a.attempt) > (?1, ?2)"
                          " ORDER BY name_key, a.attempt LIMIT 1",

    [SQL_TOMBSTONE_FIND] = "SELECT 1 FROM tombstone WHERE id = ?1",
    [SQL_TOMBSTONE_PUT] = "REPLACE INTO tombstone(id, deleted) VALUES(?1, ?2)",
    [SQL_TOMBSTONE_DROP] = "DELETE FROM tombstone WHERE id = ?1",
    /* As FEED.md's RUN: an id, project/name, or a name. */
    [SQL_RUN_CHOOSE] = "SELECT run_key, id, state, n_points FROM run WHERE run_key ="
                       " coalesce((SELECT run_key FROM run WHERE id = ?1),"
                       " (SELECT max(run_key) FROM run WHERE project || '/' || name = ?1),"
                       " (SELECT max(run_key) FROM run WHERE name = ?1))",
    /* Behind the run that was updated at ?1, with number ?2. One without a time is the oldest. One
     * that is lost goes when that was before ?3. */
    [SQL_RUN_OLDEST] = "SELECT run_key, id, state, n_points, coalesce(updated, 0) FROM run"
                       " WHERE (state IN (1, 2) OR state = 3 AND coalesce(updated, 0) < ?3)"
                       " AND (coalesce(updated, 0), run_key) > (?1, ?2)"
                       " ORDER BY coalesce(updated, 0), run_key LIMIT 1",
    [SQL_RUN_DROP] = "DELETE FROM run WHERE run_key = ?1",
    /* About the bytes that a run has in the file: of a point's row with its blocks, of a scalar's,
     * and of what is large. */
    [SQL_RUN_SIZE] = "SELECT (SELECT total(n_points) FROM layer WHERE run_key = ?1) * ?2"
                     " + (SELECT total(n_put) FROM scalar_name WHERE run_key = ?1) * ?3"
                     " + (SELECT total(length(data)) FROM layer CROSS JOIN spectrum"
                     " USING(layer_key) WHERE run_key = ?1)"
                     " + (SELECT total(length(data)) FROM layer CROSS JOIN representation"
                     " USING(layer_key) WHERE run_key = ?1)"
                     " + (SELECT total(length(data)) FROM layer CROSS JOIN probe USING(layer_key)"
                     " WHERE run_key = ?1)"
                     " + coalesce((SELECT length(config) FROM run_config WHERE run_key = ?1), 0)"
                     " + coalesce((SELECT length(summary) FROM run_summary WHERE run_key = ?1), 0)",
    [SQL_GONE_KEY] = "UPDATE state SET gone_key = max(gone_key, ?1)",
    [SQL_LEAVING_NEXT] = "SELECT run_key FROM leaving ORDER BY run_key LIMIT 1",
    [SQL_LEAVING_PUT] = "INSERT INTO leaving(run_key) VALUES(?1)",
    [SQL_LEAVING_DROP] = "DELETE FROM leaving WHERE run_key = ?1",
    [SQL_LEAVE_POINT] =
        LEAVE("point", "layer_key, attempt, step", "layer CROSS JOIN point USING(layer_key)"),
    [SQL_LEAVE_SPECTRUM] =
        LEAVE("spectrum", "spectrum.rowid", "layer CROSS JOIN spectrum USING(layer_key)"),
    [SQL_LEAVE_REPRESENTATION] = LEAVE("representation", "representation.rowid",
                                       "layer CROSS JOIN representation USING(layer_key)"),
    [SQL_LEAVE_PROBE] = LEAVE("probe", "layer_key", "layer CROSS JOIN probe USING(layer_key)"),
    [SQL_LEAVE_TOTAL] =
        LEAVE("total", "layer_key, attempt", "layer CROSS JOIN total USING(layer_key)"),
    [SQL_LEAVE_MEMBER_TOTAL] = LEAVE("member_total", "layer_key, attempt, rank",
                                     "layer CROSS JOIN member_total USING(layer_key)"),
    [SQL_LEAVE_BLOCK_POINT] = LEAVE_BLOCKS("0", "layer", "layer_key"),
    [SQL_LEAVE_SCALAR] =
        LEAVE("scalar", "name_key, attempt, step", "scalar_name CROSS JOIN scalar USING(name_key)"),
    [SQL_LEAVE_BLOCK_SCALAR] = LEAVE_BLOCKS("1", "scalar_name", "name_key"),
    [SQL_LEAVE_FINDING] = LEAVE("finding", "run_key, layer_key, attempt, step, metric", "finding"),
    [SQL_LEAVE_LAYER] = LEAVE("layer", "layer_key", "layer"),
    [SQL_LEAVE_SCALAR_NAME] = LEAVE("scalar_name", "name_key", "scalar_name"),
    [SQL_LEAVE_MEMBER] = LEAVE("member", "run_key, attempt, rank", "member"),
    [SQL_LEAVE_WATCHED] = LEAVE("watched", "run_key, place", "watched"),
    [SQL_LEAVE_SUMMARY] = LEAVE("run_summary", "run_key", "run_summary"),
    [SQL_LEAVE_CONFIG] = LEAVE("run_config", "run_key", "run_config"),
    [SQL_LEAVE_NOTE] = LEAVE("run_note", "run_key", "run_note"),
    [SQL_LEAVE_RELAYED] = LEAVE("relayed_run", "run_key, source", "relayed_run"),
    [SQL_LEAVE_ATTEMPT] = LEAVE("attempt", "run_key, attempt", "attempt"),
};

/* Forgets what an earlier, failed try left in the record. */
static void reset_outcome(struct record *record)
{
    record->rc = 0;
    record->error[0] = '\0';
    open_result_release(&record->opened);
}

/* A file that was deleted takes what is written to it, and keeps nothing. */
static int check_place(struct store *store, struct err *err)
{
    int has_moved = 0;

    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (has_moved)
        return err_set(err, -EIO, "%s was deleted or replaced while it was in use", store->path);
    if (access(store->wal_path, F_OK) < 0 && errno == ENOENT)
        return err_set(err, -EIO, "%s was deleted while it was in use", store->wal_path);
    return 0;
}

static int apply_all(struct store *store, struct list *records, struct err *err)
{
    int rc = sql_run(store->statement[SQL_BEGIN], err);

    if (rc < 0)
        return rc;
    LIST_EACH(link, records)
    {
        struct record *record = LIST_ENTRY(link, struct record, link);

        reset_outcome(record);
        rc = store_record_apply(store, record, err);
        if (rc < 0)
            return err_prefix(err, rc, "run \"%s\": ", record->run);
    }
    if (list_empty(records)) /* the number that is there; its page is written all the same */
        rc = sql_run(store->statement[SQL_TOUCH], err);
    if (store->feed_seq != store->committed) {
        SQL_BIND(store->statement[SQL_FEED_SEQ], (int64_t)store->feed_seq);
        rc = sql_run(store->statement[SQL_FEED_SEQ], err);
    }
    if (rc == 0)
        rc = check_place(store, err);
    return rc < 0 ? rc : sql_run(store->statement[SQL_COMMIT], err);
}

/* Undoes the transaction and writes the failure into every record. A record may carry few codes:
 * those of what heals by itself, and -EIO for all else. */
static int fail_all(struct store *store, struct list *records, int rc, const struct err *why)
{
    if (!record_may_come_again(rc))
        rc = -EIO;
    if (store->db && !sqlite3_get_autocommit(store->db))
        store->has_failed |= sql_run(store->statement[SQL_ROLLBACK], NULL) < 0;
    store->feed_seq = store->committed;
    LIST_EACH(link, records)
    {
        struct record *record = LIST_ENTRY(link, struct record, link);

        reset_outcome(record);
        store_record_refuse(record, rc, "%s", why->text);
    }
    return rc;
}

int store_apply(struct store *store, struct list *records, struct err *err)
{
    int changes = store->db ? sqlite3_total_changes(store->db) : 0;
    struct err why = {0};
    int rc, told;

    assert(records && (!store->db || store->has_failed || sqlite3_get_autocommit(store->db)));
    if (!store->db)
        rc = err_set(&why, -EIO, "the database is closed: its repair has failed");
    else if (store->has_failed)
        rc = err_set(&why, -EIO, "an earlier write has failed");
    else
        rc = apply_all(store, records, &why);
    if (rc < 0) {
        told = fail_all(store, records, rc, &why);
        store->has_failed |= told == -EIO && rc != -EUCLEAN; /* damage is no failed write */
        return err_set(err, rc == -EUCLEAN ? rc : told, "%s", why.text);
    }
    store->committed = store->feed_seq;
    store->commits += sqlite3_total_changes(store->db) != changes;
    return 0;
}

int store_transact(struct store *store, store_work_fn *work, void *arg, struct err *err)
{
    int changes = store->db ? sqlite3_total_changes(store->db) : 0;
    int rc;

    if (!store->db || store->has_failed)
        return err_set(err, -EIO, "an earlier write has failed");
    rc = sql_run(store->statement[SQL_BEGIN], err);
    if (rc == 0)
        rc = work(store, arg, err);
    if (rc >= 0) {
        int ended = check_place(store, err);

        if (ended == 0)
            ended = sql_run(store->statement[SQL_COMMIT], err);
        rc = ended < 0 ? ended : rc;
    }
    if (!sqlite3_get_autocommit(store->db))
        store->has_failed |= sql_run(store->statement[SQL_ROLLBACK], NULL) < 0;
    store->has_failed |= rc == -EIO || rc == -EACCES;
    store->commits += rc >= 0 && sqlite3_total_changes(store->db) != changes;
    return rc;
}

int store_prepare_statements(struct store *store, struct err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < SQL_COUNT; i++)
        rc = store_schema_prepare(store->db, statements[i], &store->statement[i], err);
    return rc;
}

const struct store_notes *store_notes(const struct store *store)
{
    return &store->notes;
}

uint64_t store_feed_seq(const struct store *store)
{
    return store->committed;
}

uint64_t store_commits(const struct store *store)
{
    return store->commits;
}
