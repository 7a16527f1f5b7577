/* Parts of the statements that read from a store what was committed since a place in its feed: for
 * a shared history (push_sql.c) and for a relay (relay/batch.c). ?1 and ?2 are the places, the
 * first one not included.
 *
 * Tested by what asks with them: test_what_is_stored_is_copied_to_the_shared_history.py and
 * test_a_relay_forwards_what_it_has.py. */
#pragma once

/* About what a row takes on its way, without what is long in it. */
#define POINT_BYTES   "500"
#define SCALAR_BYTES  "100"
#define FINDING_BYTES "250"

#define OF_CHECKPOINT(table)                                                                       \
    "coalesce((SELECT length(data) FROM " table " x WHERE x.layer_key = point.layer_key"           \
    " AND x.attempt = point.attempt AND x.step = point.step), 0)"
#define NEW(table) " FROM " table " INDEXED BY " table "_by_feed_seq"
#define WINDOW     " WHERE feed_seq > ?1 AND feed_seq <= ?2"
#define NEW_POINTS NEW("point") " CROSS JOIN layer USING(layer_key)"

/* What describes the run ?1, in the order of share_table(), with the run's key in the place of its
 * id. */
#define RUN_ROW                                                                                    \
    "SELECT run_key, name, project, run_group, tags, created, updated, hidden, edited, revision"   \
    " FROM run WHERE run_key = ?1"
#define RUN_TEXT_ROW                                                                               \
    "SELECT run.run_key, config, updates, summary, note, (SELECT group_concat(is_scalar"           \
    " || ' ' || in_turn || ' ' || name, char(10)) FROM (SELECT * FROM watched"                     \
    " WHERE watched.run_key = ?1 ORDER BY place)) FROM run LEFT JOIN run_config USING(run_key)"    \
    " LEFT JOIN run_summary USING(run_key) LEFT JOIN run_note USING(run_key)"                      \
    " WHERE run.run_key = ?1"
#define MEMBER_ROWS                                                                                \
    "SELECT run_key, attempt, rank, writer, state, last_step FROM member WHERE run_key = ?1"
