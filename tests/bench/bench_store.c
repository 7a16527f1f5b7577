/* How fast the store is, in a directory of the caller's choosing (its disk is what is measured):
 * commits a second of one record each, points a second in groups, the time to open and to ask with
 * a million points. `bench_store [directory] [points]`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/history.h"
#include "daemon/store/sql.h"
#include "daemon/store/store.h"
#include "proto/json.h"
#include "tests/lib/answers.h"
#include "tests/lib/records.h"

#define N_COMMITS 2000
#define GROUP     64

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_store: %s\n", e->text);
    exit(1);
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void bench_commits(struct store *store, const struct record *run)
{
    static double times[N_COMMITS];
    double start = now_s();

    for (int i = 0; i < N_COMMITS; i++) {
        struct record *r = record_of(run, RECORD_CHECKPOINT, (uint64_t)i + 1, i);
        double before = now_s();

        record_add_point(r, "head", 0.5);
        if (apply(store, r) < 0)
            exit(1);
        times[i] = now_s() - before;
        record_free(r);
    }
    printf("commits, one record each     %10.0f /s", N_COMMITS / (now_s() - start));
    qsort(times, N_COMMITS, sizeof *times, compare_times);
    printf("   median %.2f ms, p99 %.2f ms\n", times[N_COMMITS / 2] * 1e3,
           times[N_COMMITS * 99 / 100] * 1e3);
}

/* Fills one layer with `n_points`: a million of one layer is the hardest question. */
static void bench_groups(struct store *store, const struct record *run, int64_t n_points)
{
    struct record *batch[GROUP];
    double start = now_s(), seconds;

    for (int64_t i = 0; i < n_points; i += GROUP) {
        for (int j = 0; j < GROUP; j++) {
            batch[j] = record_of(run, RECORD_CHECKPOINT, (uint64_t)(i + j) + 1, (i + j) * 10);
            record_add_point(batch[j], "head", (double)(i % 997) / 997);
        }
        if (apply_many(store, batch, GROUP) < 0)
            exit(1);
        for (int j = 0; j < GROUP; j++)
            record_free(batch[j]);
    }
    seconds = now_s() - start;
    printf("points, groups of %d records %10.0f /s   %.0f commits/s\n", GROUP,
           (double)n_points / seconds, (double)n_points / GROUP / seconds);
}

static void bench_question(struct history *history, const char *what,
                           const struct feed_series_query *query)
{
    double start = now_s(), built;
    struct rusage usage;
    struct err e;
    char *text;
    cJSON *out;

    check(asked_series(history, query, &out, &e), &e);
    built = now_s();
    text = json_print(out);
    getrusage(RUSAGE_SELF, &usage);
    printf("%-28s %10.1f ms   and %.1f ms to print %.2f MB; peak %ld MB\n", what,
           (built - start) * 1e3, (now_s() - built) * 1e3, (double)strlen(text) / 1e6,
           usage.ru_maxrss / 1024);
    cJSON_free(text);
    cJSON_Delete(out);
}

static void bench_page(struct history *history)
{
    struct history_page page;
    double start = now_s();
    uint64_t seq = 0;
    struct err e;
    int n = 0;

    for (bool more = true; more && n < 100; n++) {
        check(history_changes(history, CHANGE_SERIES, 0, seq, HISTORY_PAGE_MAX, &page, &e), &e);
        seq = page.reached;
        more = page.reached != page.committed;
        history_page_release(&page);
    }
    printf("a page of 1000 changes       %10.1f ms\n", (now_s() - start) * 1e3 / n);
}

static void bench_check(const char *path)
{
    double start = now_s();
    sqlite3_stmt *q;
    struct err e;
    sqlite3 *db;

    check(sql_open(path, SQLITE_OPEN_READONLY, &db, &e), &e);
    check(sql_prepare(db, "PRAGMA quick_check", &q, &e), &e);
    sql_step(q, NULL);
    printf("quick_check, for comparison  %10.1f ms   %s\n", (now_s() - start) * 1e3,
           sql_column_text(q, 0));
    sqlite3_finalize(q);
    sqlite3_close(db);
}

/* Opens a copy of the database and its WAL as a killed process leaves them. */
static void bench_open(const char *path)
{
    char command[4096], copy[512];
    struct store *store;
    struct stat st;
    struct err e;
    double start;

    snprintf(copy, sizeof copy, "%s-killed", path);
    snprintf(command, sizeof command, "cp '%s' '%s' && cp '%s-wal' '%s-wal'", path, copy, path,
             copy);
    if (system(command) != 0 || stat(copy, &st) < 0)
        exit(1);
    start = now_s();
    check(store_open(copy, &store, &e), &e);
    printf("opening after a kill         %10.1f ms   %.0f MB\n", (now_s() - start) * 1e3,
           (double)st.st_size / 1e6);
    store_close(store);
}

int main(int argc, char **argv)
{
    int64_t n_points = argc > 2 ? strtoll(argv[2], NULL, 10) : 1000000;
    struct feed_series_query query = {.run = "long", .range = {.to = INT64_MAX, .points = 10000}};
    char *directory = argc > 1 ? argv[1] : scratch_new(), path[400];
    struct record *few, *many;
    struct history *history;
    struct store *store;
    struct err e;

    snprintf(path, sizeof path, "%s/history.db", directory);
    check(store_open(path, &store, &e), &e);
    check(history_open(path, &history, &e), &e);
    few = record_open("few", "w", 0, RESUME_ALLOW);
    many = record_open("long", "w", 0, RESUME_ALLOW);
    if (apply(store, few) < 0 || apply(store, many) < 0)
        exit(1);
    bench_commits(store, few);
    bench_groups(store, many, n_points);
    bench_question(history, "series.query, log bins", &query);
    query.range.linear = true;
    bench_question(history, "series.query, linear bins", &query);
    query.range.points = 1000;
    bench_question(history, "series.query, 1000 points", &query);
    query.range = (struct feed_range){.to = 999990, .points = 100000};
    bench_question(history, "series.query, 100000 raw", &query);
    bench_page(history);
    bench_open(path);
    bench_check(path);
    record_free(few);
    record_free(many);
    history_close(history);
    store_close(store);
    if (argc < 2)
        scratch_free(directory);
    return 0;
}
