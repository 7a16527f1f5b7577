#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/relay/batch_parts.h"
#include "daemon/store/sql.h"

static int add_run(struct sent_run **runs, size_t *n, size_t *room, struct err *err)
{
    struct sent_run *more;

    if (*n == *room) {
        *room = *room ? 2 * *room : 64;
        more = realloc(*runs, *room * sizeof *more);
        if (!more)
            return err_set(err, -ENOMEM, "out of memory");
        *runs = more;
    }
    ++*n;
    return 0;
}

/* Both are in the order of their keys, which are given once. */
int batch_look(struct batch_reader *reader, struct err *err)
{
    sqlite3_stmt *statement = reader->statement[BATCH_SQL_RUNS];
    struct sent_run *runs = NULL;
    size_t n = 0, room = 0, old = 0;
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        int64_t key = sqlite3_column_int64(statement, 0);

        rc = add_run(&runs, &n, &room, err);
        if (rc < 0)
            break;
        while (old < reader->n_runs && reader->runs[old].key < key)
            old++;
        if (old < reader->n_runs && reader->runs[old].key == key)
            runs[n - 1] = reader->runs[old];
        else
            runs[n - 1] = (struct sent_run){.key = key, .sent = -1};
        snprintf(runs[n - 1].id, sizeof runs[n - 1].id, "%s", sql_column_text(statement, 1));
        runs[n - 1].revision = sqlite3_column_int64(statement, 2);
        runs[n - 1].is_chosen = false;
    }
    sqlite3_reset(statement);
    if (rc < 0) {
        free(runs);
        return rc;
    }
    free(reader->runs);
    reader->runs = runs;
    reader->n_runs = n;
    reader->n_chosen = 0;
    reader->has_more = false;
    return 0;
}

struct sent_run *batch_find_run(struct batch_reader *reader, int64_t key)
{
    size_t low = 0, high = reader->n_runs;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (reader->runs[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < reader->n_runs && reader->runs[low].key == key ? &reader->runs[low] : NULL;
}

bool batch_choose(struct batch_reader *reader, struct sent_run *run)
{
    if (run->is_chosen)
        return true;
    if (reader->n_chosen == BATCH_RUNS_MAX)
        return false;
    run->is_chosen = run->is_whole = true;
    reader->n_chosen++;
    return true;
}

void batch_choose_changed(struct batch_reader *reader)
{
    for (size_t i = 0; i < reader->n_runs; i++) {
        struct sent_run *run = &reader->runs[i];

        if (run->sent != run->revision && !batch_choose(reader, run))
            reader->has_more = true;
    }
}

int batch_note_run(struct batch_reader *reader, const char *id, int64_t revision, struct err *err)
{
    if (reader->n_runs == 0) {
        int rc = batch_look(reader, err);

        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < reader->n_runs; i++) {
        if (strcmp(reader->runs[i].id, id) == 0)
            reader->runs[i].sent = revision;
    }
    return 0;
}

void batch_note_place(struct batch_reader *reader, int64_t feed_seq)
{
    reader->position = feed_seq;
}

void batch_forget(struct batch_reader *reader)
{
    free(reader->runs);
    reader->runs = NULL;
    reader->n_runs = 0;
    reader->tombstones_sent[0] = reader->tombstones_sent[1] = 0;
}

bool batch_note_sent(struct batch_reader *reader)
{
    for (size_t i = 0; i < reader->n_runs; i++) {
        struct sent_run *run = &reader->runs[i];

        if (!run->is_chosen)
            continue;
        memcpy(run->hash, run->new_hash, sizeof run->hash);
        run->sent = run->is_whole ? run->revision : -1;
        reader->has_more |= !run->is_whole;
    }
    reader->position = reader->reach;
    memcpy(reader->tombstones_sent, reader->tombstones_now, sizeof reader->tombstones_sent);
    return reader->has_more || reader->position < reader->committed;
}
