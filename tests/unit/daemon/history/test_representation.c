/* representation.list and representation.map: what a map says, which checkpoints are in it, and
 * what cannot be compared. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/core/monitor/record.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/history/history.h"
#include "daemon/store/store.h"
#include "proto/json.h"
#include "tests/lib/random.h"
#include "tests/lib/records.h"

#define P 6

struct fixture {
    char *directory;
    char path[256];
    struct store *store;
    struct history *history;
    struct record *opened; /* run "a" */
    uint64_t seq;
};

static struct record *open_run(struct fixture *f, const char *id, const char *writer)
{
    struct record *r = record_open(id, writer, 0, RESUME_ALLOW);

    assert_int_equal(apply(f->store, r), 0);
    return r;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};

    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    if (store_open(f->path, &f->store, &e) < 0 || history_open(f->path, &f->history, &e) < 0)
        fail_msg("%s", e.text);
    f->opened = open_run(f, "a", "w");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    record_free(f->opened);
    history_close(f->history);
    store_close(f->store);
    scratch_free(f->directory);
    free(f);
    return 0;
}

/* Features of n rows by a seed; turned by an angle in the plane of the first two. */
static struct representation features(uint64_t seed, size_t n, double angle)
{
    double *x = malloc(n * P * sizeof *x);
    struct probe probe = {.n = n, .values = calloc(probe_n_values(n), sizeof(double))};
    struct representation out;
    struct random r;

    random_seed(&r, seed);
    random_fill_gaussian(&r, n * P, x);
    for (size_t i = 0; i < n; i++) {
        double a = x[i * P], b = x[i * P + 1];

        x[i * P] = cos(angle) * a - sin(angle) * b;
        x[i * P + 1] = sin(angle) * a + cos(angle) * b;
    }
    for (size_t i = 0; i < n * n; i++) {
        for (size_t c = 0; c < P; c++)
            probe.values[i] += x[i / n * P + c] * x[i % n * P + c];
    }
    assert_int_equal(representation_init(&out, &probe), 0);
    probe_release(&probe);
    free(x);
    return out;
}

static struct record *begin(struct fixture *f, const struct record *opened, int64_t step)
{
    return record_of(opened, RECORD_CHECKPOINT, ++f->seq, step);
}

static void add(struct record *r, const char *layer, struct representation representation)
{
    record_add_point(r, layer, 0.5)->representation = representation;
}

static void commit(struct fixture *f, struct record *r)
{
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static void checkpoint(struct fixture *f, int64_t step, const char *layer, uint64_t seed, size_t n)
{
    struct record *r = begin(f, f->opened, step);

    add(r, layer, features(seed, n, 0));
    commit(f, r);
}

static cJSON *reparse(cJSON *tree)
{
    char *text = json_print(tree);
    cJSON *again = cJSON_Parse(text);

    assert_non_null(again);
    cJSON_free(text);
    cJSON_Delete(tree);
    return again;
}

static cJSON *map(struct fixture *f, struct feed_representation_map params)
{
    struct err e = {0};
    cJSON *out;

    if (history_representation_map(f->history, &params, &out, &e) < 0)
        fail_msg("%s", e.text);
    return reparse(out);
}

#define LATEST   .run = "a", .to = INT64_MAX, .step = -1
#define MAP(...) map(f, (struct feed_representation_map){__VA_ARGS__})

static void expect_refused(struct fixture *f, struct feed_representation_map params, int rc,
                           const char *text)
{
    struct err e = {0};
    cJSON *out;

    assert_int_equal(history_representation_map(f->history, &params, &out, &e), rc);
    assert_null(out);
    if (!strstr(e.text, text))
        fail_msg("\"%s\" does not say \"%s\"", e.text, text);
}

static double element(const cJSON *map, const char *name, int i, int j)
{
    return cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetObjectItem(map, name), i), j)
        ->valuedouble;
}

static void expect_place(const cJSON *map, const char *side, int i, const char *run,
                         const char *layer, int step)
{
    const cJSON *place = cJSON_GetArrayItem(cJSON_GetObjectItem(map, side), i);

    assert_non_null(place);
    assert_string_equal(cJSON_GetObjectItem(place, "run")->valuestring, run);
    assert_string_equal(cJSON_GetObjectItem(place, "layer")->valuestring, layer);
    assert_int_equal(cJSON_GetObjectItem(place, "step")->valueint, step);
}

static int count(const cJSON *map, const char *side)
{
    return cJSON_GetArraySize(cJSON_GetObjectItem(map, side));
}

static void layers_that_are_turned_are_like_and_others_unlike(void **state)
{
    struct fixture *f = *state;
    struct record *r = begin(f, f->opened, 10);
    cJSON *m;

    add(r, "first", features(1, 200, 0));
    add(r, "second", features(1, 200, 0.7));
    add(r, "third", features(2, 200, 0));
    commit(f, r);
    m = MAP(LATEST);
    assert_int_equal(count(m, "rows"), 3);
    expect_place(m, "columns", 2, "a", "third", 10);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(element(m, "cka_debiased", i, i) - 1) < 1e-12);
    assert_true(fabs(element(m, "cka_debiased", 0, 1) - 1) < 1e-6);
    assert_true(fabs(element(m, "cka", 1, 0) - 1) < 1e-6);
    /* sqrt(2) / n is one standard error of a pair; p / (n + p) what the plain form adds. */
    assert_true(fabs(element(m, "cka_debiased", 0, 2)) < 4 * sqrt(2) / 200);
    assert_true(element(m, "cka", 0, 2) > element(m, "cka_debiased", 0, 2) + 0.015);
    assert_int_equal(cJSON_GetObjectItem(m, "probe_rows")->valueint, 200);
    cJSON_Delete(m);
}

static void the_latest_one_step_or_a_range_may_be_asked_for(void **state)
{
    struct fixture *f = *state;
    const cJSON *lists;
    struct err e = {0};
    cJSON *m, *out, *names = cJSON_CreateArray();

    cJSON_AddItemToArray(names, cJSON_CreateString("head"));
    for (int i = 0; i < 4; i++) {
        checkpoint(f, 10 * i, "head", (uint64_t)i, 50);
        checkpoint(f, 10 * i + 5, "body", 9, 50);
    }
    m = MAP(LATEST);
    assert_int_equal(count(m, "rows"), 2);
    expect_place(m, "rows", 0, "a", "head", 30);
    expect_place(m, "rows", 1, "a", "body", 35);
    cJSON_Delete(m);
    m = MAP(.run = "a", .from = 20, .to = 20, .step = 20);
    assert_int_equal(count(m, "rows"), 1);
    expect_place(m, "rows", 0, "a", "head", 20);
    cJSON_Delete(m);
    m = MAP(.run = "a", .to = 20, .step = -1, .is_range = true, .layers = names);
    assert_int_equal(count(m, "rows"), 3);
    expect_place(m, "columns", 1, "a", "head", 10);
    cJSON_Delete(m);
    assert_int_equal(history_representation_list(f->history, &(struct feed_run){"a"}, &out, &e), 0);
    lists = cJSON_GetObjectItem(out, "layers");
    assert_int_equal(cJSON_GetArraySize(lists), 2);
    out = reparse(out);
    lists = cJSON_GetObjectItem(
        cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(out, "layers"), 1), "columns"),
        "step");
    assert_int_equal(cJSON_GetArraySize(lists), 4);
    assert_int_equal(cJSON_GetArrayItem(lists, 3)->valueint, 35);
    cJSON_Delete(out);
    cJSON_Delete(names);
}

static void two_runs_meet_on_the_same_rows(void **state)
{
    struct fixture *f = *state;
    struct record *b = open_run(f, "b", "v"), *r;
    cJSON *m;

    checkpoint(f, 10, "head", 1, 100);
    checkpoint(f, 20, "head", 2, 100);
    r = record_of(b, RECORD_CHECKPOINT, 1, 7);
    add(r, "head", features(2, 100, 1.1));
    commit(f, r);
    m = MAP(.run = "a", .to = INT64_MAX, .step = -1, .is_range = true, .with = "b");
    assert_int_equal(count(m, "rows"), 2);
    assert_int_equal(count(m, "columns"), 1);
    expect_place(m, "columns", 0, "b", "head", 7);
    assert_true(fabs(element(m, "cka_debiased", 1, 0) - 1) < 1e-6);
    assert_true(fabs(element(m, "cka_debiased", 0, 0)) < 4 * sqrt(2) / 100);
    cJSON_Delete(m);
    record_free(b);
}

static void what_cannot_be_compared_is_named(void **state)
{
    struct fixture *f = *state;
    struct record *b = open_run(f, "b", "v"), *r;
    cJSON *names = cJSON_CreateArray();

    cJSON_AddItemToArray(names, cJSON_CreateString("tail"));
    expect_refused(f, (struct feed_representation_map){LATEST}, -ENOENT, "needs a probe");
    checkpoint(f, 10, "head", 1, 100);
    expect_refused(f, (struct feed_representation_map){LATEST, .layers = names}, -ENOENT, "\"a\"");
    expect_refused(f, (struct feed_representation_map){.run = "a", .from = 5, .to = 5, .step = 5},
                   -ENOENT, "at step 5");
    expect_refused(f, (struct feed_representation_map){LATEST, .with = "b"}, -ENOENT, "\"b\"");
    expect_refused(f, (struct feed_representation_map){LATEST, .with = "c"}, -ENOENT,
                   "no run \"c\"");
    r = record_of(b, RECORD_CHECKPOINT, 1, 7);
    add(r, "head", features(2, 99, 0));
    commit(f, r);
    expect_refused(f, (struct feed_representation_map){LATEST, .with = "b"}, -EINVAL,
                   "run \"a\", layer \"head\" has a probe of 100 rows, run \"b\", layer \"head\" "
                   "one of 99");
    record_free(b);
    cJSON_Delete(names);
}

static void a_newer_attempt_supersedes_representations(void **state)
{
    struct fixture *f = *state;
    struct record *again, *r;
    cJSON *m;

    checkpoint(f, 10, "head", 1, 50);
    checkpoint(f, 20, "head", 2, 50);
    again = open_run(f, "a", "v");
    r = record_of(again, RECORD_CHECKPOINT, 1, 15);
    add(r, "head", features(3, 50, 0));
    commit(f, r);
    m = MAP(.run = "a", .to = INT64_MAX, .step = -1, .is_range = true);
    assert_int_equal(count(m, "rows"), 2);
    expect_place(m, "rows", 0, "a", "head", 10);
    expect_place(m, "rows", 1, "a", "head", 15);
    cJSON_Delete(m);
    record_free(again);
}

static void a_point_that_is_replaced_takes_its_representation_along(void **state)
{
    struct fixture *f = *state;
    struct record *r;

    checkpoint(f, 10, "head", 1, 50);
    r = begin(f, f->opened, 10);
    record_add_point(r, "head", 0.5);
    commit(f, r);
    expect_refused(f, (struct feed_representation_map){LATEST}, -ENOENT, "needs a probe");
}

static void a_map_that_would_be_too_large_is_thinned_evenly(void **state)
{
    struct fixture *f = *state;
    char name[8];
    clock_t start;
    cJSON *m;

    for (int i = 0; i < 33; i++) {
        struct record *r = begin(f, f->opened, i);

        for (int layer = 0; layer < 5; layer++) {
            snprintf(name, sizeof name, "l%d", layer);
            add(r, name, features((uint64_t)(50 * layer + i), 256, 0));
        }
        commit(f, r);
    }
    start = clock();
    m = MAP(.run = "a", .to = INT64_MAX, .step = -1, .is_range = true);
    printf("a map of %d by %d: %.0f ms\n", count(m, "rows"), count(m, "columns"),
           1e3 * (double)(clock() - start) / CLOCKS_PER_SEC);
    assert_int_equal(count(m, "rows"), 60);
    /* 33 checkpoints at stride 2 are 17, of which 12 fit. */
    assert_int_equal(cJSON_GetObjectItem(m, "left_out")->valueint, 5 * 17 - 60);
    expect_place(m, "rows", 12, "a", "l1", 0);
    expect_place(m, "rows", 23, "a", "l1", 32);
    cJSON_Delete(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layers_that_are_turned_are_like_and_others_unlike),
        TEST(the_latest_one_step_or_a_range_may_be_asked_for),
        TEST(two_runs_meet_on_the_same_rows),
        TEST(what_cannot_be_compared_is_named),
        TEST(a_newer_attempt_supersedes_representations),
        TEST(a_point_that_is_replaced_takes_its_representation_along),
        TEST(a_map_that_would_be_too_large_is_thinned_evenly),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
