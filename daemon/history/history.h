/* The history read: FEED.md's queries answered over a read-only connection, each
 * within one read transaction, so that an answer shows one instant of the store. A history is used
 * by one thread at a time; each reader has one of its own, and none of them holds up the store. It
 * writes nothing, checkpoints nothing, and knows no socket.
 *
 * The way of a query: the feed makes it, and readers.h runs it on the pool, two at a time, each on
 * a connection of its own. A public function here begins a transaction (history.c), and its file
 * builds the answer: runs.c about runs and layers; series.c with columns, for which selection.c
 * says which attempts, steps and names are meant, and line.c gives one layer or scalar row by row,
 * in pages, or by line_bins.c and bins.c in bins, line_csv.c either of them as CSV; spectrum.c one
 * spectrum; representation*.c the maps of what layers have in common; changes.c what is new, for
 * subscriptions, and events; watched.c what is watched for them. The end of the transaction frees
 * what a failing query made. All SQL stands in history.c; store/schema.h reads a point off a row,
 * format/model_json.h writes it down.
 *
 * Functions return 0, or -errno with a sentence: -ENOENT (no such run, layer or scalar), -EINVAL (a
 * parameter), -ENOMEM, or the disk's. feed_code_of() turns these into JSON-RPC codes.
 *
 * Tested with its files by test_history.c. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/format/answer.h"
#include "proto/base/err.h"
#include "proto/feed.h"

/* Values in an answer of columns, of about 20 bytes: this bounds one answer to 25 MB of text. Where
 * there are many layers, each gets an equal share, whatever `points` asks for. */
#define HISTORY_ANSWER_VALUES 1250000
/* A page of changes (proto/FEED.md, Limits). */
#define HISTORY_PAGE_MAX 1000
/* A run has a transition every twentieth point at most: this is a series of 200,000. Where there
 * are more, the oldest are given; `from` asks for the others. */
#define HISTORY_ANSWER_EVENTS 10000
/* The first layers of a run, of which layer.list fits the law of separation. */
#define HISTORY_SEPARATION_LAYERS 1024
/* Representations on one side of a map. Two sides of 256 rows' kernels are 34 MB while they are
 * multiplied, and take 0.07 s (test_representation.c prints it). */
#define HISTORY_MAP_SIDE 64
/* Rows of other runs that one page passes over before it returns, so that a subscription to one run
 * of a thousand does not keep a thread for seconds. */
#define HISTORY_PAGE_SCAN 20000

struct history;

/* Opens the database that a store has open. Free with history_close, for which NULL is fine. */
int history_open(const char *path, struct history **out, struct err *err);
void history_close(struct history *);

/* Goes on with the file that is at `path` now. Returns 0, or -errno and goes on with the old one.
 */
int history_reopen(struct history *, const char *path);

/* Any thread: while it is cancelled, queries end within milliseconds, with -ECANCELED. */
void history_cancel(struct history *, bool is_cancelled);

/* Whether a query has met damage since this was asked last. */
bool history_take_damage(struct history *);

/* The key of a run by id, project/name, or name (the newest of that name), in this order. */
int history_find_run(struct history *, const char *run, int64_t *run_key, struct err *err);

/* The same, and its id into RUN_ID_MAX + 1 bytes. */
int history_find_id(struct history *, const char *run, int64_t *run_key, char *id, struct err *err);

/* Answers that may be long are written down while they are read. After a failure what was written
 * is no answer. */
int history_run_list(struct history *, const struct feed_run_list *, struct answer *,
                     struct err *err);
int history_layer_list(struct history *, const struct feed_run *, struct answer *, struct err *err);
/* The views that persons have saved, by their names. */
int history_view_list(struct history *, struct answer *, struct err *err);
int history_series(struct history *, const struct feed_series_query *, struct answer *,
                   struct err *err);
int history_scalars(struct history *, const struct feed_scalars_query *, struct answer *,
                    struct err *err);
int history_events(struct history *, const struct feed_event_query *, struct answer *,
                   struct err *err);

/* The others are a tree: `*out` receives it (free with cJSON_Delete), NULL after a failure. */
int history_run_get(struct history *, const struct feed_run *, cJSON **out, struct err *err);
int history_spectrum(struct history *, const struct feed_spectrum_query *, cJSON **out,
                     struct err *err);
int history_representation_list(struct history *, const struct feed_run *, cJSON **out,
                                struct err *err);
int history_representation_map(struct history *, const struct feed_representation_map *,
                               cJSON **out, struct err *err);

/* What a subscription is about. */
enum change_kind {
    CHANGE_SERIES, /* points and scalars */
    CHANGE_EVENTS,
};

/* Things stored, for a subscription. */
struct history_page {
    cJSON *points;      /* array of POINT; empty for CHANGE_EVENTS */
    cJSON *scalars;     /* array of SCALAR; empty for CHANGE_EVENTS */
    cJSON *events;      /* array of EVENT; empty for CHANGE_SERIES */
    size_t n_items;     /* in all */
    uint64_t reached;   /* nothing up to it is missing: go on from this `seq` */
    uint64_t committed; /* the store's last; the page is the last one when reached == committed */
};

/* Takes a thing of the list: "points", "scalars" or "events", one list after the other. NULL:
 * memory ran out. Returns 0 or -errno, which ends the reading. */
typedef int history_put_fn(void *arg, const char *list, cJSON *thing);

/* The latest point of every layer and the latest value of every scalar, or the latest event of
 * every layer and metric, of one run or (0) of all. There may be a million of them: they go to
 * `put`, and the page, in which is how far they reach before the first of them, lists none. */
int history_latest(struct history *, enum change_kind, int64_t run_key, struct history_page *out,
                   history_put_fn *put, void *arg, struct err *err);
/* All that was stored after `since` in the order of the feed, at most `limit` (<= HISTORY_PAGE_MAX)
 * things; a page may be empty and not yet the last. A `since` that the store has not reached (it
 * was replaced, say) yields an empty page with `reached` below it. */
int history_changes(struct history *, enum change_kind, int64_t run_key, uint64_t since,
                    size_t limit, struct history_page *out, struct err *err);
void history_page_release(struct history_page *);
/* Frees what is listed in it; how far it reached stays. */
void history_page_drop(struct history_page *);
