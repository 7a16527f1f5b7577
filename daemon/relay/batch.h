/* What the store has committed behind a place, as a batch that another daemon can merge: in the
 * order of the feed, with all that describes its runs. A reader belongs to one thread and has a
 * read-only connection of its own. It keeps in memory what was sent of each run, so that texts go
 * once; batch_forget() when the other side is asked again what it has. RELAY.md, has the
 * form. relay.c decides when, and take.c is the other end.
 *
 * Tested with its files by tests/e2e/relay/test_a_relay_forwards_what_it_has.py. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/cbor.h"

/* A batch: enough that a way of 100 ms costs little (20,000 rows a second), and small enough that
 * the other side's trainers wait for its transaction no longer than for one of their own. */
#define BATCH_ROWS_MAX  2000
#define BATCH_RUNS_MAX  64
#define BATCH_BYTES_MAX (2u << 20)
/* Texts of runs are no longer put behind so many bytes, and wait for the next batch. */
#define BATCH_TEXTS_MAX (8u << 20)
/* What is taken at most: texts and a run's attempts and layers are some MiB. */
#define BATCH_SIZE_MAX (32u << 20)

struct batch_reader;

/* Returns 0 (free with batch_free), or -errno of the store. */
int batch_new(const char *store_path, struct batch_reader **out, struct err *err);
void batch_free(struct batch_reader *);

/* The id of the store. Returns 0 or -errno. */
int batch_source(struct batch_reader *, char out[33], struct err *err);
/* How far the store is in the order of its feed. */
int batch_committed(struct batch_reader *, int64_t *out, struct err *err);

void batch_forget(struct batch_reader *);
/* The other side has described the run of that id in that revision, and is where the feed was. */
int batch_note_run(struct batch_reader *, const char *id, int64_t revision, struct err *err);
void batch_note_place(struct batch_reader *, int64_t feed_seq);

/* Reads the next batch into `out`, which is emptied. Returns 1 with one, 0 when all was sent, or
 * -errno. `*feed_seq` is where it ends. */
int batch_read(struct batch_reader *, struct cbor *out, int64_t *feed_seq, struct err *err);
/* The batch is there. Returns whether there is more that is known of. */
bool batch_note_sent(struct batch_reader *);
