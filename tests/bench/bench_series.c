/* How fast a long series is drawn, in bins, beside what SQLite takes to read as many rows of a
 * table that holds nothing else. Each work and its peer take turns; --json prints one object a
 * line. `bench_series [--json] [points ...]`, 100,000 and 1,000,000 without. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/history.h"
#include "daemon/store/sql.h"
#include "daemon/store/store.h"
#include "tests/bench/bench.h"
#include "tests/lib/records.h"

#define GROUP   64
#define N_TURNS 15

struct turns {
    double ours[N_TURNS], peer[N_TURNS];
};

/* Processor time: nothing here waits, and other work on the machine does not count. */
static double now_ms(void)
{
    return 1e3 * bench_thread_s();
}

static void check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_series: %s\n", e->text);
    exit(1);
}

static void fill(struct store *store, const struct record *run, int64_t n_points)
{
    struct record *batch[GROUP];

    for (int64_t i = 0; i < n_points; i += GROUP) {
        for (int64_t j = 0; j < GROUP; j++) {
            batch[j] = record_of(run, RECORD_CHECKPOINT, (uint64_t)(i + j) + 1, (i + j) * 10);
            record_add_point(batch[j], "head", sin((double)(i + j)) / 997);
        }
        if (apply_many(store, batch, GROUP) < 0)
            exit(1);
        for (int j = 0; j < GROUP; j++)
            record_free(batch[j]);
    }
}

/* The peer's table: a row a bin, as the answer has it. */
static sqlite3 *open_peer(const char *path, int64_t n_rows)
{
    sqlite3 *db;
    char text[256];
    struct err e;

    check(sql_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, &e), &e);
    sqlite3_snprintf(sizeof text, text,
                     "CREATE TABLE bin(step INTEGER PRIMARY KEY, step_end INTEGER, count INTEGER,"
                     " min REAL, max REAL, last REAL);"
                     "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n"
                     " WHERE i < %lld) INSERT INTO bin SELECT i, i + 1, 7, i * .3, i * .7, i * .5"
                     " FROM n",
                     (long long)n_rows - 1);
    check(sql_exec(db, text, &e), &e);
    return db;
}

static double time_peer(sqlite3 *db)
{
    double start = now_ms(), sum = 0;
    sqlite3_stmt *row;
    struct err e;
    int rc;

    check(sql_prepare(db, "SELECT step, step_end, count, min, max, last FROM bin ORDER BY step",
                      &row, &e),
          &e);
    while ((rc = sql_step(row, &e)) == 1) {
        for (int i = 0; i < 6; i++)
            sum += sqlite3_column_double(row, i);
    }
    check(rc, &e);
    sqlite3_finalize(row);
    return sum >= 0 ? now_ms() - start : 0;
}

static double time_question(struct history *history, const struct feed_series_query *query)
{
    double start = now_ms();
    struct answer answer;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    struct err e;

    if (!stream)
        exit(1);
    answer_start(&answer, ANSWER_JSON, NULL, stream);
    check(history_series(history, query, &answer, &e), &e);
    if (answer_end(&answer) < 0 || fclose(stream) != 0)
        exit(1);
    free(text);
    return now_ms() - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *work, int64_t n, struct turns *turns, bool is_json)
{
    double value, peer, low, high;

    qsort(turns->ours, N_TURNS, sizeof(double), compare);
    qsort(turns->peer, N_TURNS, sizeof(double), compare);
    value = turns->ours[N_TURNS / 2];
    peer = turns->peer[N_TURNS / 2];
    low = turns->ours[N_TURNS / 10];
    high = turns->ours[N_TURNS - 1 - N_TURNS / 10];
    if (is_json)
        printf("{\"work\":\"%s\",\"n\":%" PRId64 ",\"unit\":\"ms\",\"value\":%.4g,\"peer\":%.4g,"
               "\"ratio\":%.4g,\"low\":%.4g,\"high\":%.4g}\n",
               work, n, value, peer, peer / value, peer / high, peer / low);
    else
        printf("%-36s %8" PRId64 " points %8.2f ms (%.2f to %.2f)   peer %.2f ms, %.1f x\n", work,
               n, value, low, high, peer, value / peer);
    fflush(stdout);
}

static void bench(const char *work, struct history *history, int64_t n, int64_t points, bool linear,
                  const char *directory, bool is_json)
{
    struct feed_series_query query = {
        .run = "long", .range = {.to = INT64_MAX, .points = points, .linear = linear}};
    cJSON *metrics = cJSON_Parse("[\"d_debiased\"]");
    char path[256];
    struct turns turns;
    sqlite3 *peer;

    snprintf(path, sizeof path, "%s/peer-%" PRId64 "-%d.db", directory, points, linear);
    peer = open_peer(path, points / 2);
    query.metrics = metrics;
    for (int i = 0; i < N_TURNS; i++) {
        turns.ours[i] = time_question(history, &query);
        turns.peer[i] = time_peer(peer);
    }
    print(work, n, &turns, is_json);
    sqlite3_close(peer);
    cJSON_Delete(metrics);
}

static void bench_points(int64_t n, bool is_json)
{
    char *directory = scratch_new(), path[256];
    struct record *run = record_open("long", "w", 0, RESUME_ALLOW);
    struct history *history;
    struct store *store;
    struct stat st;
    struct err e;
    double start;

    snprintf(path, sizeof path, "%s/history.db", directory);
    check(store_open(path, &store, &e), &e);
    if (apply(store, run) < 0)
        exit(1);
    start = now_ms();
    fill(store, run, n);
    if (!is_json)
        printf("filled: %.1f us a point", (now_ms() - start) * 1e3 / (double)n);
    check(history_open(path, &history, &e), &e);
    bench("series in bins, 2000 points, log", history, n, 2000, false, directory, is_json);
    bench("series in bins, 2000 points, linear", history, n, 2000, true, directory, is_json);
    bench("series in bins, 10000 points, log", history, n, 10000, false, directory, is_json);
    bench("series in bins, 10000 points, linear", history, n, 10000, true, directory, is_json);
    history_close(history);
    store_close(store);
    if (!is_json && stat(path, &st) == 0)
        printf("file: %.0f bytes a point\n", (double)st.st_size / (double)n);
    record_free(run);
    scratch_free(directory);
}

int main(int argc, char **argv)
{
    static const int64_t usual[] = {100000, 1000000};
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int first = 1 + is_json;

    for (int i = 0; argc == first && i < 2; i++)
        bench_points(usual[i], is_json);
    for (int i = first; i < argc; i++)
        bench_points(strtoll(argv[i], NULL, 10), is_json);
    return 0;
}
