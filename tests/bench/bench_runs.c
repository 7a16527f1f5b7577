/* How fast the list of many runs is: a page of 100 as the page asks for it, in each order, and the
 * whole in pages of 1,000; beside what SQLite takes to read as many rows that hold the same text.
 * Processor time. `bench_runs [--json] [runs]`, 10,000 without. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/history.h"
#include "daemon/store/sql.h"
#include "daemon/store/store.h"
#include "proto/feed.h"
#include "tests/bench/bench.h"
#include "tests/lib/records.h"

#define N_LAYERS 4
#define N_TURNS  9
#define GROUP    100

/* Processor time: nothing here waits, and other work on the machine does not count. */
static double now_ms(void)
{
    return 1e3 * bench_thread_s();
}

static void check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_runs: %s\n", e->text);
    exit(1);
}

static void fill(struct store *store, int n_runs)
{
    struct record *open[GROUP], *point[GROUP];
    char name[32], layer[32];

    for (int i = 0; i < n_runs; i += GROUP) {
        for (int k = 0; k < GROUP; k++) {
            snprintf(name, sizeof name, "run-%05d", (i + k) * 7919 % n_runs);
            open[k] = record_open(name, "w", 0, RESUME_ALLOW);
        }
        if (apply_many(store, open, GROUP) < 0)
            exit(1);
        for (int k = 0; k < GROUP; k++) {
            point[k] = record_of(open[k], RECORD_CHECKPOINT, 1, i + k);
            for (int j = 0; j < N_LAYERS; j++) {
                snprintf(layer, sizeof layer, "blocks.%d", j);
                record_add_point(point[k], layer, .3 + .1 / (i + j + 1));
            }
        }
        if (apply_many(store, point, GROUP) < 0)
            exit(1);
        for (int k = 0; k < GROUP; k++) {
            record_free(open[k]);
            record_free(point[k]);
        }
    }
}

/* The text of the answer; free with free. */
static char *list(struct history *history, const struct feed_run_list *query, size_t *size)
{
    struct answer answer;
    char *text = NULL;
    FILE *stream = open_memstream(&text, size);
    struct err e;

    if (!stream)
        exit(1);
    answer_start(&answer, ANSWER_JSON, NULL, stream);
    check(history_run_list(history, query, &answer, &e), &e);
    if (answer_end(&answer) < 0 || fclose(stream) != 0)
        exit(1);
    return text;
}

static double time_list(struct history *history, struct feed_run_list query, int n_runs)
{
    double start = now_ms();
    size_t size;

    for (; query.offset < n_runs; query.offset += query.limit) {
        free(list(history, &query, &size));
        if (query.limit < 1000)
            break; /* one page */
    }
    return now_ms() - start;
}

/* A row for each run, with as much text as the answer has for it. */
static sqlite3 *open_peer(const char *path, int n_rows, size_t row_size)
{
    char text[256];
    sqlite3 *db;
    struct err e;

    check(sql_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, &e), &e);
    sqlite3_snprintf(sizeof text, text,
                     "CREATE TABLE run(run_key INTEGER PRIMARY KEY, text TEXT);"
                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
                     " INSERT INTO run SELECT i, hex(zeroblob(%d)) FROM n",
                     n_rows, (int)row_size / 2);
    check(sql_exec(db, text, &e), &e);
    return db;
}

static double time_peer(sqlite3 *db, int n_rows)
{
    double start = now_ms();
    sqlite3_stmt *row;
    size_t size = 0;
    struct err e;

    check(sql_prepare(db, "SELECT text FROM run ORDER BY run_key DESC LIMIT ?1", &row, &e), &e);
    sqlite3_bind_int(row, 1, n_rows);
    while (sql_step(row, &e) == 1)
        size += strlen(sql_column_text(row, 0));
    sqlite3_finalize(row);
    return size > 0 ? now_ms() - start : 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void bench(const char *work, struct history *history, sqlite3 *peer,
                  const struct feed_run_list *query, int n_runs, bool is_json)
{
    int n_rows = query->limit < 1000 ? (int)query->limit : n_runs;
    double ours[N_TURNS], other[N_TURNS], value, beside;

    for (int i = 0; i < N_TURNS; i++) {
        ours[i] = time_list(history, *query, n_runs);
        other[i] = time_peer(peer, n_rows);
    }
    qsort(ours, N_TURNS, sizeof *ours, compare);
    qsort(other, N_TURNS, sizeof *other, compare);
    value = ours[N_TURNS / 2];
    beside = other[N_TURNS / 2];
    if (is_json)
        printf("{\"work\":\"%s\",\"n\":%d,\"unit\":\"ms\",\"value\":%.4g,\"peer\":%.4g,"
               "\"ratio\":%.4g,\"low\":%.4g,\"high\":%.4g}\n",
               work, n_runs, value, beside, value / beside, ours[1], ours[N_TURNS - 2]);
    else
        printf("%-44s %6d runs %8.2f ms (%.2f to %.2f)   peer %.2f ms, %.1f x\n", work, n_runs,
               value, ours[1], ours[N_TURNS - 2], beside, value / beside);
}

int main(int argc, char **argv)
{
    static const char *const orders[] = {"list of runs, a page of 100, newest first",
                                         "list of runs, a page of 100, by change",
                                         "list of runs, a page of 100, by name"};
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int n_runs = argc > 1 + is_json ? atoi(argv[1 + is_json]) : 10000;
    struct feed_run_list query = {.limit = 100, .config = true};
    char *directory = scratch_new(), path[256], other[256];
    struct history *history;
    struct store *store;
    sqlite3 *peer;
    size_t size;
    struct err e;

    snprintf(path, sizeof path, "%s/history.db", directory);
    snprintf(other, sizeof other, "%s/peer.db", directory);
    check(store_open(path, &store, &e), &e);
    fill(store, n_runs);
    check(history_open(path, &history, &e), &e);
    free(list(history, &query, &size));
    peer = open_peer(other, n_runs, size / 100);
    for (int order = 0; order < 3; order++) {
        query.sort = (enum feed_sort)order;
        query.descending = query.sort != FEED_BY_NAME;
        bench(orders[order], history, peer, &query, n_runs, is_json);
    }
    query = (struct feed_run_list){.descending = true, .limit = 1000, .config = true};
    bench("list of runs, the whole in pages of 1000", history, peer, &query, n_runs, is_json);
    sqlite3_close(peer);
    history_close(history);
    store_close(store);
    scratch_free(directory);
    return 0;
}
