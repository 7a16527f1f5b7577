/* The history on disk, and the only connection that writes or checkpoints it: records go in, many
 * in one transaction, and what they produced (attempts, feed sequences, refusals) comes out in
 * them. All calls block on the disk and are made by the store's lane, one at a time; the counters
 * may be read by any thread. Reading belongs to history.h, the order of records to the core.
 *
 * The way of a record: the core makes it, and lane.h queues it. store_apply() begins a transaction
 * (store.c) and gives each record to record.c, which finds its attempt, sees a resend by its number
 * and lets open.c, checkpoint.c, constants.c or itself write the rows; attempt.c, finding.c,
 * probe.c, representation.c, block.c and the blobs write a part of them. The commit makes all of
 * them durable, and each goes back to the core with its outcome. A record that is refused goes back
 * with its sentence; the others are stored all the same. When the disk fails, the whole transaction
 * is undone (fail_all). When the disk is full, memory runs out or another process has the file
 * locked, the core tries the same records again; after any other failure the daemon ends. schema.c
 * has the tables, sql.c SQLite's calls and codes. start.c opens and closes, and has a damaged file
 * repaired: repair.c, salvage.c and mend.c; aside.c gives such a file another name, and check.c
 * looks for the damage. What a person asks for over the feed is no record: edit.c, views.c.
 *
 * The database is in WAL mode with synchronous=FULL: when store_apply() returns 0, its records
 * survive kill -9 and a power cut. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/list.h"

struct errand;
struct store;
struct store_notes;

/* Opens the database at `path`, creates or migrates it, and marks runs that were open when the last
 * process ended as lost. A damaged file is repaired (repair.h), and store_notes() tells of it, as
 * it does of a history that is empty or older than it should be. Returns 0 with a store (free with
 * store_close), or -errno, with the path and the reason in `err`: -EUCLEAN, the file is damaged
 * beyond repair (see store_set_aside); -ENOTSUP, a newer richd wrote it; -EINVAL, another program
 * did; else the error of the disk.
 *
 * After an unclean end the whole file is not checked: a WAL survives such an end by design, and
 * reading every page (0.13 s a million points from the cache, seconds from a disk) would break the
 * promise to be ready within a second. Opening reads the header, the schema and the ends of the
 * feed; check.h reads the rest, beside the work. */
int store_open(const char *path, struct store **out, struct err *err);

/* Closes the connection, folding the WAL into the database. NULL is fine. */
void store_close(struct store *);

/* Applies the records (struct record, linked through `link`) in order, in one transaction, and
 * fills in each one's outcome: rc, error, opened, points, feed sequences. Returns 0 when they are
 * committed. A record that is refused (-EEXIST, -ENOENT, -EBUSY, -ESTALE;
 * -EIDRM, a person has deleted the run; -ENOMEM, an OPEN whose probes find no room; -E2BIG,
 * constants that would be too large) changes nothing and does not hinder the others. When the disk
 * or memory fails, nothing of any record is kept, each has the rc and the text, and so does the
 * return value: -ENOSPC, -ENOMEM and -EAGAIN (another process has the file locked) may be tried
 * again with the same records; -EUCLEAN, which the records have as -EIO, after store_repair; after
 * -EIO only closing is safe. No record at all writes one page as it was: does the store write
 * again?
 *
 * A record that comes twice is stored once: a record with a `seq` at or below the last one stored
 * of its attempt changes nothing and has rc 0. The points of such a CHECKPOINT, and those of a
 * RECALL, are replaced by the stored ones of that step, with their old feed sequences; the feed
 * sequences of such a LOG are 0. An OPEN for a new attempt, by the writer of the newest attempt
 * while that has stored nothing yet, is the same OPEN sent again and yields the same attempt. */
int store_apply(struct store *, struct list *records, struct err *err);

/* Sums up a part of the points that are older than their blocks (block.h), in a transaction.
 * Returns 1 while there is more to do, 0, or -errno: it is then given up until the next start. */
int store_sweep(struct store *, struct err *err);

/* What a person changes of a run. Texts that are NULL stay as they are; tags are a JSON array. */
struct run_edit {
    int64_t run_key;
    const char *name;
    const char *note;
    const char *tags;
    bool has_hidden, hidden;
};

/* Writes it, in a transaction of its own; no later opening of the run by its trainer undoes it.
 * Returns 0 when it is durable, -ENOENT when the run is gone, or -errno of the disk. */
int store_edit_run(struct store *, const struct run_edit *, struct err *err);

/* A view that a person saves: how the page is set. */
struct view_edit {
    const char *name;
    const char *query;
    const char *note; /* NULL: as it is, or empty */
    bool replace;     /* the view of that name, if there is one */
    double time;
};

/* A reader of the page's menu looks for one by eye. */
#define STORE_VIEWS_MAX 1000

/* Each in a transaction of its own; returns 0 when it is durable, or -errno of the disk; saving
 * -EEXIST when there is a view of that name, and -ENOBUFS when there are STORE_VIEWS_MAX; deleting
 * -ENOENT. */
int store_save_view(struct store *, const struct view_edit *, struct err *err);
int store_delete_view(struct store *, const char *name, struct err *err);

/* A piece of an errand (errand.h), in a transaction: 1 while there is more to do, or 0; or -errno,
 * in which case nothing of the piece has happened: -ENOENT, no such run; -EBUSY, it is open; or one
 * of the disk, and it may be tried again where a record may. */
int store_errand(struct store *, struct errand *, struct err *err);

/* Deletes a part of the rows of runs that have left, or gives a part of the free pages back to the
 * file system, in a transaction. Returns 1 while there is more to do, 0, or -errno. */
int store_clear(struct store *, struct err *err);

/* Rewrites a damaged file from what can be read of it, notes what is lost, and goes on with it.
 * Returns 0; or -errno: the file is as it was, and unless it is -EIO the store goes on with it. */
int store_repair(struct store *, struct err *err);

/* What a person should know, since the start. Not while another thread opens or repairs. */
const struct store_notes *store_notes(const struct store *);

/* The last feed sequence committed, and the transactions that wrote since the start. Any thread. */
uint64_t store_feed_seq(const struct store *);
uint64_t store_commits(const struct store *);
