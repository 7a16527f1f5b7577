/* The inside of a store, shared by its files, and with share/merge.c, which writes what other
 * daemons have stored: the connection and its statements. Threads as in
 * store.h, which describes the way of a record. Tested with its files by test_store.c and
 * test_store_faults.c. */
#pragma once

#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/block.h"
#include "daemon/store/notes.h"
#include "daemon/store/store.h"
#include "proto/base/err.h"
#include "proto/base/limits.h"
#include "proto/base/state.h"

struct probe;
struct record;
struct representation;
struct finding;
struct open_result;
struct layer_point;
struct stored_layer;

enum store_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_FEED_SEQ,
    SQL_TOUCH,
    SQL_RUN_FIND,
    SQL_RUN_NEW,
    SQL_RUN_RENEW,
    SQL_RUN_EDIT,
    SQL_NOTE_PUT,
    SQL_VIEW_COUNT,
    SQL_VIEW_PUT,
    SQL_VIEW_DROP,
    SQL_RUN_STATE,
    SQL_RUN_CHECKPOINT,
    SQL_RUN_TOUCH,
    SQL_RUN_REVISE,
    SQL_CONFIG_GET,
    SQL_CONFIG_PUT,
    SQL_SUMMARY_GET,
    SQL_SUMMARY_PUT,
    SQL_WATCHED_DROP,
    SQL_WATCHED_PUT,
    SQL_ATTEMPT_FIND,
    SQL_ATTEMPT_LAST,
    SQL_ATTEMPT_OF_WRITER,
    SQL_ATTEMPT_OF_LAUNCH,
    SQL_ATTEMPT_NEW,
    SQL_ATTEMPT_STATE,
    SQL_ATTEMPT_ADVANCE,
    SQL_MEMBER_FIND,
    SQL_MEMBER_PUT,
    SQL_MEMBER_STATE,
    SQL_MEMBER_ADVANCE,
    SQL_MEMBER_TOTALS_DROP,
    SQL_MEMBER_TOTAL_PUT,
    SQL_MEMBERS,
    SQL_MEMBERS_STATE,
    SQL_MEMBER_TOTALS,
    SQL_LAYERS,
    SQL_LAYER_FIND,
    SQL_LAYER_NEW,
    SQL_LAYER_SHAPE,
    SQL_LAYER_LATEST,
    SQL_LAYER_POINTS,
    SQL_TOTAL_PUT,
    SQL_POINT_FIND,
    SQL_POINT_PUT,
    SQL_POINTS_AT,
    SQL_PAST_POINTS,
    SQL_PAST_SCALARS,
    SQL_ACCURACY,
    SQL_FINDING_PUT,
    SQL_FINDING_RETURN,
    SQL_FINDING_AGREEMENT,
    SQL_ALERT_DROP,
    SQL_SPECTRUM_DROP,
    SQL_SPECTRUM_PUT,
    SQL_PROBE_PUT,
    SQL_PROBE_GET,
    SQL_PROBE_SIZE,
    SQL_REPRESENTATION_THIN,
    SQL_REPRESENTATION_PUT,
    SQL_NAME_FIND,
    SQL_NAME_NEW,
    SQL_NAME_LATEST,
    SQL_NAME_PUTS,
    SQL_SCALAR_PUT,
    SQL_CURVE_POINTS,
    SQL_CURVE_SCALARS,
    SQL_CURVE_MEASURE_POINTS,
    SQL_CURVE_MEASURE_SCALARS,
    SQL_BLOCK_MEASURE,
    SQL_BLOCK_END,
    SQL_BLOCK_NEXT,
    SQL_BLOCK_GET,
    SQL_BLOCK_PUT,
    SQL_BLOCK_DROP,
    SQL_BLOCK_EMPTY,
    SQL_BLOCK_EMPTY_OUT,
    SQL_SWEEP_LAYERS,
    SQL_SWEEP_SCALARS,
    SQL_TOMBSTONE_FIND,
    SQL_TOMBSTONE_PUT,
    SQL_TOMBSTONE_DROP,
    SQL_RUN_CHOOSE,
    SQL_RUN_OLDEST,
    SQL_RUN_DROP,
    SQL_RUN_SIZE,
    SQL_GONE_KEY,
    SQL_LEAVING_NEXT,
    SQL_LEAVING_PUT,
    SQL_LEAVING_DROP,
    SQL_LEAVE_POINT, /* from here to the end: what belongs to a run, in the order in which it goes
                      */
    SQL_LEAVE_SPECTRUM,
    SQL_LEAVE_REPRESENTATION,
    SQL_LEAVE_PROBE,
    SQL_LEAVE_TOTAL,
    SQL_LEAVE_MEMBER_TOTAL,
    SQL_LEAVE_BLOCK_POINT,
    SQL_LEAVE_SCALAR,
    SQL_LEAVE_BLOCK_SCALAR,
    SQL_LEAVE_FINDING,
    SQL_LEAVE_LAYER,
    SQL_LEAVE_SCALAR_NAME,
    SQL_LEAVE_MEMBER,
    SQL_LEAVE_WATCHED,
    SQL_LEAVE_SUMMARY,
    SQL_LEAVE_CONFIG,
    SQL_LEAVE_NOTE,
    SQL_LEAVE_RELAYED,
    SQL_LEAVE_ATTEMPT,
    SQL_COUNT,
};
#define SQL_LEAVE_FIRST SQL_LEAVE_POINT

/* What the store knows of an attempt. */
struct attempt_row {
    bool exists;
    int64_t newest; /* attempt of the run */
    uint64_t last_seq;
    enum state state;
    char writer[WRITER_MAX + 1];
    bool has_members;
    double opened;
};

/* And of one of its members. */
struct member_row {
    bool exists;
    uint64_t last_seq;
    enum state state;
    char writer[WRITER_MAX + 1];
};

/* Which run's rows are being deleted, and which of its tables has some left. */
struct leaving {
    int64_t run_key; /* 0: none */
    int at;          /* of enum store_sql */
    bool gives_back; /* its pages go back to the file system */
};

struct store {
    char *path, *wal_path;
    sqlite3 *db;     /* NULL: a repair has failed on the way */
    bool is_in_use;  /* the file says so, for us */
    bool has_failed; /* nobody knows what is on disk: it is not written again, not at the end either
                      */
    struct store_notes notes;
    sqlite3_stmt *statement[SQL_COUNT];
    struct curve swept; /* the last curve that a sweep has visited */
    struct leaving leaving;
    uint64_t feed_seq;          /* last one given out, committed or not */
    _Atomic uint64_t committed; /* last feed sequence on disk */
    _Atomic uint64_t commits;
};

/* Prepares all statements. Returns 0 or -errno. */
int store_prepare_statements(struct store *, struct err *err);

/* Runs `work` in a transaction of its own, which is undone when it fails. Returns what `work` does,
 * or -errno of the transaction. `work` numbers nothing for the feed. */
typedef int store_work_fn(struct store *, void *arg, struct err *err);
int store_transact(struct store *, store_work_fn *work, void *arg, struct err *err);

/* Applies one record inside the open transaction. Returns 0 with the outcome in the record, which
 * may be a refusal; or -errno when the disk or memory failed and the transaction must be undone. */
int store_record_apply(struct store *, struct record *, struct err *err);

/* The writers of records; each returns as store_record_apply does. */
int store_open_apply(struct store *, struct record *, struct err *err);
int store_checkpoint_put(struct store *, struct record *, struct err *err);
/* Puts the point in the place of the one without spectrum. */
int store_checkpoint_complete(struct store *, struct record *, struct err *err);
/* Puts the stored points of the record's step in the place of its own. */
int store_checkpoint_recall(struct store *, struct record *, struct err *err);

/* Merges the constants of a SUMMARY or CONFIG record; refuses those that grow too large. Late ones,
 * of an attempt that is not the newest, change no name that is there. */
/* The tree of a stored text, or of one that came (cJSON_Delete); NULL with `*rc`. */
cJSON *store_constants_parse(struct store *, const char *text, int *rc, struct err *);
int store_constants_put(struct store *, struct record *, bool late, struct err *err);
/* Writes the configuration that a new attempt of run `opened.run_key` brings. */
int store_config_open(struct store *, const struct record *, struct err *err);
/* What run.list shows of the run has changed, but no column of its own. */
int store_run_revise(struct store *, const struct record *, struct err *err);
/* Notes the time of the record. */
int store_run_touch(struct store *, const struct record *, struct err *err);

/* Returns 1 when the run exists, 0 when not, or -errno. */
int store_attempt_find(struct store *, int64_t run_key, uint32_t attempt, struct attempt_row *out,
                       struct err *err);
/* Moves the newest attempt, and the run with it. */
int store_attempt_move(struct store *, const struct record *, uint32_t attempt, enum state,
                       struct err *err);
/* Notes that the record is stored: a record that comes again is compared with this. */
int store_attempt_advance(struct store *, const struct record *, bool has_step, struct err *err);

/* Returns 1 when the attempt has a member of that rank, 0 when not, or -errno. */
int store_member_find(struct store *, const struct record *, uint32_t attempt, uint32_t rank,
                      struct member_row *out, struct err *err);
/* The record's writer has that rank from now on; another than before begins with nothing. Its
 * attempt is open again, unless the same writer has closed. */
int store_member_join(struct store *, struct record *, uint32_t attempt, uint32_t rank,
                      struct err *err);
/* Moves the sender, and the attempt where it was the last that was open: to failed if any has
 * failed, to lost if any is lost, else to finished. */
int store_member_leave(struct store *, const struct record *, enum state, struct err *err);
/* Notes for all senders that the record is stored. */
int store_members_advance(struct store *, const struct record *, bool has_step, struct err *err);
/* Writes where the next windows of that point's layer begin. */
int store_member_totals_put(struct store *, const struct record *, size_t point, int64_t layer_key,
                            struct err *err);
/* Adds the members and their totals to the answer, which has the layers. */
int store_members_read(struct store *, struct record *, struct err *err);

/* The key of a point's layer; the first message that names it makes it. */
int store_layer_find(struct store *, const struct record *, const struct layer_point *,
                     int64_t *key, struct err *err);
/* Writes the point, in the place of the one of the same attempt and step if there is one; `*added`
 * counts the points that are new. */
int store_point_put(struct store *, const struct record *, int64_t layer_key, struct layer_point *,
                    int64_t *added, struct err *err);
/* Writes scalar `i` of the record. */
int store_scalar_put(struct store *, struct record *, size_t i, struct err *err);
/* Hides the run from every query, whether it exists or not; its rows go later. */
int store_run_hide(struct store *, int64_t run_key, struct err *err);

/* Writes a finding, with the accuracy that was logged beside it; `layer_key` 0: of a scalar. One
 * that has returned is written into its row, and gets a new feed sequence: 0 when it has no row,
 * because it was never told. */
/* Of the members of a summary that are alerts those that `stored`, the summary before, did not
 * have: each becomes one of the record's findings, in the place of an earlier one of its name.
 * `late`: of an attempt that a newer one has followed, whose word counts more. */
int store_alerts_put(struct store *, struct record *, const char *stored, bool late, struct err *);
int store_finding_put(struct store *, const struct record *, int64_t layer_key, struct finding *,
                      struct err *err);

/* Adds the layer of the current row of SQL_LAYERS to the answer, `*added`; doubles the array when
 * `*capacity` is used up. */
int store_read_layer(sqlite3_stmt *, struct open_result *out, size_t *capacity,
                     struct stored_layer **added, struct err *err);

/* Looks what an earlier process has left of runs that have gone. */
int store_leave_start(struct store *, struct err *err);

/* Shows a run's past to new watches of what the record names, which it then owns. */
int store_replay(struct store *store, struct record *, struct err *err);

/* Writes the probe of a layer's first window. A probe without rows is passed over, and so is one
 * for a layer that has a probe. */
int store_probe_put(struct store *, int64_t layer_key, const struct probe *, struct err *err);
/* Reads it; without rows when there is none (free with probe_release). */
int store_probe_read(struct store *, int64_t layer_key, struct probe *out, struct err *err);
/* Bytes of memory that those of all layers of a run will take. */
int store_probe_size(struct store *, int64_t run_key, double *size_bytes, struct err *err);

/* Deletes the representation of an older point of the same attempt and step, and writes this one's
 * if it has rows; then those that are not kept any longer go, too. */
int store_representation_put(struct store *, const struct record *, int64_t layer_key,
                             const struct representation *, struct err *err);

/* Writes the outcome of a record that is refused; returns 0, for the transaction goes on. */
int store_record_refuse(struct record *, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
