/* Points that are summed up beside their curve give the bins that all points give: over random
 * curves, attempts, orders, gaps and zooms, each bin of an answer is compared with the points that
 * the test remembers. */
#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/history/history.h"
#include "daemon/store/store.h"
#include "tests/lib/answers.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/records.h"

#define N_SEEDS    6
#define N_STEPS    12000
#define N_ATTEMPTS 3
#define GROUP      250
#define ABSENT     INFINITY

struct curve_of {
    double value[N_ATTEMPTS][N_STEPS]; /* ABSENT: not logged; NaN: null */
    int64_t first_step[N_ATTEMPTS];    /* N_STEPS: the attempt has logged nothing */
    int64_t stride;                    /* a step of the store is so many of the test's */
};

static struct random random_state;

static int64_t draw(int64_t below)
{
    return (int64_t)random_below(&random_state, (size_t)below);
}

static double draw_value(void)
{
    int64_t kind = draw(1000);

    if (kind < 100)
        return (double)NAN;
    return kind == 100 ? 1e6 : kind == 101 ? -1e6 : (double)draw(1000) / 7;
}

/* ---- filling ------------------------------------------------------------------------------- */

static void apply_group(struct history_fixture *f, struct record **batch, size_t n)
{
    assert_int_equal(apply_many(f->store, batch, n), 0);
    for (size_t i = 0; i < n; i++)
        record_free(batch[i]);
}

/* Steps mostly go up; some are logged again, and some out of their turn. */
static void fill_attempt(struct history_fixture *f, struct curve_of *curve, int attempt,
                         const struct record *run, int64_t from, int64_t n, bool is_orderly)
{
    struct record *batch[GROUP];
    size_t n_batch = 0;
    int64_t step = from;

    curve->first_step[attempt] = n > 0 ? from : N_STEPS;
    for (int64_t i = 0; i < n && step < N_STEPS; i++) {
        bool strays = !is_orderly && i > 0 && draw(40) == 0;
        int64_t at = strays ? from + draw(step - from + 1) : step;
        double value = draw_value();

        batch[n_batch] = record_of(run, RECORD_LOG, (uint64_t)i + 1, at * curve->stride);
        record_add_scalar(batch[n_batch++], "loss", value);
        curve->value[attempt][at] = value;
        step += strays ? 0 : 1 + (int64_t)(draw(20) == 0 ? draw(30) : 0);
        if (n_batch == GROUP) {
            apply_group(f, batch, n_batch);
            n_batch = 0;
        }
    }
    apply_group(f, batch, n_batch);
}

static struct curve_of *fill_run(struct history_fixture *f, bool is_orderly)
{
    static const int64_t strides[] = {1, 7, (INT64_C(1) << 53) / N_STEPS};
    struct curve_of *curve = calloc(1, sizeof *curve);
    int64_t from = 0;

    assert_non_null(curve);
    curve->stride = strides[draw(3)];
    for (int a = 0; a < N_ATTEMPTS; a++) {
        char writer[16];
        struct record *run;

        for (int i = 0; i < N_STEPS; i++)
            curve->value[a][i] = ABSENT;
        snprintf(writer, sizeof writer, "w%d", a);
        run = record_open("a", writer, 0, RESUME_ALLOW);
        assert_int_equal(apply(f->store, run), 0);
        fill_attempt(f, curve, a, run, from, 500 + draw(6000), is_orderly);
        from = draw(N_STEPS / 2);
        record_free(run);
    }
    return curve;
}

/* ---- comparing ----------------------------------------------------------------------------- */

/* Points of the effective series between two steps of the store. */
struct naive {
    double min, max, last, count;
};

static int attempt_at(const struct curve_of *curve, int64_t step)
{
    int attempt = N_ATTEMPTS - 1;

    while (attempt > 0 && step < curve->first_step[attempt])
        attempt--;
    return attempt;
}

static struct naive look(const struct curve_of *curve, double from, double to)
{
    struct naive out = {(double)NAN, (double)NAN, (double)NAN, 0};

    for (int64_t step = 0; step < N_STEPS; step++) {
        double at = (double)(step * curve->stride);
        int attempt = attempt_at(curve, step);

        if (at < from || at > to || curve->value[attempt][step] == ABSENT)
            continue;
        out.min = fmin(out.min, curve->value[attempt][step]);
        out.max = fmax(out.max, curve->value[attempt][step]);
        out.last = curve->value[attempt][step];
        out.count++;
    }
    return out;
}

static cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void expect_part(cJSON *columns, const char *part, int i, double expected)
{
    cJSON *value = cJSON_GetArrayItem(member(member(columns, "value"), part), i);

    if (isnan(expected))
        assert_true(cJSON_IsNull(value));
    else
        assert_true(value->valuedouble == expected);
}

static double item(cJSON *columns, const char *name, int i)
{
    return cJSON_GetArrayItem(member(columns, name), i)->valuedouble;
}

static double place(const struct feed_range *range, double step)
{
    return range->linear ? step : log1p(step);
}

static void expect_bins(const struct curve_of *curve, const struct feed_range *range,
                        cJSON *columns)
{
    int n = cJSON_GetArraySize(member(columns, "step"));
    double width =
        (place(range, item(columns, "step_end", n - 1)) - place(range, item(columns, "step", 0))) /
        (double)(range->points / 2);
    double total = 0, before = -1;

    assert_in_range(n, 1, range->points / 2);
    for (int i = 0; i < n; i++) {
        double step = item(columns, "step", i), end = item(columns, "step_end", i);
        struct naive naive = look(curve, step, end);

        assert_true(step > before && end >= step);
        assert_true(place(range, end) - place(range, step) <= 2 * width * (1 + 1e-9));
        assert_true(item(columns, "count", i) == naive.count);
        expect_part(columns, "min", i, naive.min);
        expect_part(columns, "max", i, naive.max);
        expect_part(columns, "last", i, naive.last);
        total += naive.count;
        before = end;
    }
    assert_true(total == look(curve, (double)range->from, (double)range->to).count);
}

static void ask(struct history *history, const struct curve_of *curve)
{
    int64_t ends[2] = {draw(N_STEPS) * curve->stride, draw(N_STEPS) * curve->stride};
    bool is_whole = draw(4) == 0;
    struct feed_scalars_query query = {
        .run = "a",
        .range = {.from = is_whole ? 0 : ends[ends[0] > ends[1]],
                  .to = is_whole ? INT64_MAX : ends[ends[0] <= ends[1]],
                  .points = 4 + draw(draw(2) ? 60 : 2000),
                  .linear = draw(2)}};
    struct err e;
    cJSON *out, *scalar;

    assert_int_equal(asked_scalars(history, &query, &out, &e), 0);
    scalar = cJSON_GetArrayItem(member(out, "scalars"), 0);
    if (cJSON_IsTrue(member(scalar, "binned")))
        expect_bins(curve, &query.range, member(scalar, "columns"));
    else
        assert_true(look(curve, (double)query.range.from, (double)query.range.to).count <=
                    (double)query.range.points);
    cJSON_Delete(out);
}

/* The last number of the effective series up to a step of the store. */
static double naive_at(const struct curve_of *curve, double to)
{
    double found = (double)NAN;

    for (int64_t step = 0; step < N_STEPS && (double)(step * curve->stride) <= to; step++) {
        int attempt = attempt_at(curve, step);

        if (curve->value[attempt][step] != ABSENT && !isnan(curve->value[attempt][step]))
            found = curve->value[attempt][step];
    }
    return found;
}

static void expect_listed(struct history *history, const char *at, double expected)
{
    cJSON *names = cJSON_Parse("[\"scalar:loss\",\"scalar:none\"]"), *out, *value;
    struct feed_run_list list = {.values = names, .limit = 1};
    char text[80];
    cJSON *values_at;
    struct err e;

    snprintf(text, sizeof text, "{\"scalar:loss\":%s,\"scalar:none\":\"least\"}", at);
    list.values_at = values_at = cJSON_Parse(text);
    assert_int_equal(asked_run_list(history, &list, &out, &e), 0);
    value = member(cJSON_GetArrayItem(member(out, "runs"), 0), "values");
    assert_true(cJSON_IsNull(member(value, "scalar:none")));
    value = member(value, "scalar:loss");
    if (isnan(expected))
        assert_true(cJSON_IsNull(value));
    else
        assert_true(value->valuedouble == expected);
    cJSON_Delete(out);
    cJSON_Delete(names);
    cJSON_Delete(values_at);
}

static void expect_lists(struct history *history, const struct curve_of *curve)
{
    struct naive all = look(curve, 0, INFINITY);

    expect_listed(history, "\"least\"", all.min);
    expect_listed(history, "\"greatest\"", all.max);
    for (int i = 0; i < 3; i++) {
        int64_t step = draw(N_STEPS) * curve->stride;
        char text[24];

        snprintf(text, sizeof text, "\"%lld\"", (long long)step);
        expect_listed(history, text, naive_at(curve, (double)step));
    }
    expect_listed(history, "0", naive_at(curve, 0));
}

static void ask_often(struct history_fixture *f, const struct curve_of *curve)
{
    struct history *history;
    struct err e;

    assert_int_equal(history_open(f->path, &history, &e), 0);
    for (int i = 0; i < 40; i++)
        ask(history, curve);
    expect_lists(history, curve);
    history_close(history);
}

static void sweep(struct history_fixture *f)
{
    struct err e;
    int rc;

    while ((rc = store_sweep(f->store, &e)) == 1)
        ;
    assert_int_equal(rc, 0);
}

/* ---- flags --------------------------------------------------------------------------------- */

/* Points of a layer at each step; long stretches without a flag, so that some blocks have none. */
static void fill_flags(struct history_fixture *f, uint32_t flags[N_STEPS])
{
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *batch[GROUP];

    assert_int_equal(apply(f->store, run), 0);
    for (int step = 0; step < N_STEPS; step++) {
        struct record **record = &batch[step % GROUP];

        flags[step] = step / 1000 % 3 == 1 && draw(8) == 0 ? 1u << draw(FLAG_COUNT) : 0;
        *record = record_of(run, RECORD_CHECKPOINT, (uint64_t)step + 1, step);
        record_add_point(*record, "head", 0.5)->point.flags = flags[step];
        if (step % GROUP == GROUP - 1)
            apply_group(f, batch, GROUP);
    }
    record_free(run);
}

static uint32_t flags_named(const cJSON *names)
{
    const cJSON *name;
    uint32_t flags = 0;

    cJSON_ArrayForEach(name, names)
    {
        for (int i = 0; i < FLAG_COUNT; i++)
            flags |= strcmp(name->valuestring, flag_table[i].name) == 0 ? 1u << i : 0;
    }
    return flags;
}

static void expect_flags(const struct history_fixture *f, const uint32_t flags[N_STEPS])
{
    cJSON *metrics = cJSON_Parse("[\"d_lr\",\"pr\"]"), *out, *columns;
    struct feed_series_query query = {.run = "a",
                                      .metrics = metrics,
                                      .range = {.to = INT64_MAX, .points = 120, .linear = draw(2)}};
    struct history *history;
    struct err e;
    int n;

    assert_int_equal(history_open(f->path, &history, &e), 0);
    assert_int_equal(asked_series(history, &query, &out, &e), 0);
    columns = member(cJSON_GetArrayItem(member(out, "layers"), 0), "columns");
    n = cJSON_GetArraySize(member(columns, "step"));
    assert_in_range(n, 20, 60);
    for (int i = 0; i < n; i++) {
        uint32_t all = 0;

        for (int step = (int)item(columns, "step", i); step <= (int)item(columns, "step_end", i);
             step++)
            all |= flags[step];
        assert_int_equal(flags_named(cJSON_GetArrayItem(member(columns, "flags"), i)), all);
    }
    cJSON_Delete(metrics);
    cJSON_Delete(out);
    history_close(history);
}

/* Whether the blocks are those of an older richd, which have none, or are made again. */
static void bins_have_the_flags_of_their_points(void **state)
{
    static uint32_t flags[N_STEPS];
    struct history_fixture *f = *state;

    random_seed(&random_state, 80);
    fill_flags(f, flags);
    sweep(f);
    assert_true(history_fixture_ask(f, "SELECT count(*) FROM block WHERE name = 'flags'") > 0);
    assert_true(history_fixture_ask(f, "SELECT count(*) FROM block WHERE level = 2") > 0);
    expect_flags(f, flags);
    store_close(f->store);
    f->store = NULL;
    history_fixture_run(f, "DROP TABLE relayed; DROP TABLE relayed_run; DELETE FROM block WHERE "
                           "name = 'flags'; PRAGMA user_version = 16");
    history_fixture_reopen(f);
    expect_flags(f, flags);
    sweep(f);
    assert_true(history_fixture_ask(f, "SELECT count(*) FROM block WHERE data IS NULL") == 0);
    expect_flags(f, flags);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void bins_are_those_of_all_points(void **state)
{
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        void *fresh = NULL;
        struct history_fixture *f;
        struct curve_of *curve;

        (void)state;
        history_fixture_set_up(&fresh);
        f = fresh;
        random_seed(&random_state, seed);
        curve = fill_run(f, seed % 3 == 0);
        print_message("seed %d: %d blocks, %d empty\n", (int)seed,
                      (int)history_fixture_ask(f, "SELECT count(*) FROM block WHERE name = ''"),
                      (int)history_fixture_ask(f, "SELECT count(*) FROM block WHERE data IS NULL"));
        assert_true(history_fixture_ask(f, "SELECT count(*) FROM block WHERE level = 1") > 0);
        ask_often(f, curve);
        sweep(f);
        assert_true(history_fixture_ask(f, "SELECT count(*) FROM block WHERE data IS NULL") == 0);
        ask_often(f, curve);
        free(curve);
        history_fixture_tear_down(&fresh);
    }
}

/* As a history of version 11 has none, and a repair copies none. */
static void blocks_that_are_missing_are_made_again(void **state)
{
    struct history_fixture *f = *state;
    struct curve_of *curve;
    int64_t n_rows;

    random_seed(&random_state, 77);
    curve = fill_run(f, true);
    sweep(f);
    n_rows = history_fixture_ask(f, "SELECT count(*) FROM block");
    store_close(f->store);
    f->store = NULL;
    history_fixture_run(f, "DROP TABLE relayed; DROP TABLE relayed_run;"
                           " DROP TABLE source; DROP TABLE pulled; DROP TABLE saved_view; ALTER "
                           "TABLE attempt DROP COLUMN host;"
                           " DROP TABLE run_note; DROP INDEX run_by_hidden;"
                           " ALTER TABLE run DROP COLUMN hidden;"
                           " ALTER TABLE run DROP COLUMN revision;"
                           " ALTER TABLE run DROP COLUMN edited;"
                           " DROP TABLE block; ALTER TABLE scalar_name DROP COLUMN n_put;"
                           " DROP TABLE tombstone; DROP TABLE leaving;"
                           " ALTER TABLE state DROP COLUMN gone_key;"
                           "PRAGMA user_version = 11");
    history_fixture_reopen(f);
    ask_often(f, curve);
    sweep(f);
    assert_true(history_fixture_ask(f, "SELECT count(*) FROM block") == n_rows);
    ask_often(f, curve);
    free(curve);
}

/* Lengths that nothing of ours has written. */
static void blocks_that_cannot_be_read_are_passed_over(void **state)
{
    struct history_fixture *f = *state;
    struct curve_of *curve;

    random_seed(&random_state, 78);
    curve = fill_run(f, true);
    history_fixture_run(
        f, "UPDATE block SET data = zeroblob(24 * 40) WHERE name = '' AND to_step % 2 = 0");
    history_fixture_run(
        f, "UPDATE block SET data = zeroblob(24 * 3) WHERE name = 'value' AND to_step % 3 = 0");
    ask_often(f, curve);
    free(curve);
}

/* Places that are no numbers, or of more points than there are steps; and an end behind which there
 * is no step. */
static void blocks_with_impossible_places_are_passed_over(void **state)
{
    struct history_fixture *f = *state;
    struct curve_of *curve;

    random_seed(&random_state, 79);
    curve = fill_run(f, true);
    history_fixture_run(
        f, "UPDATE block SET data = randomblob(24 * 16) WHERE name = '' AND to_step % 2 = 0");
    history_fixture_run(
        f, "UPDATE block SET data = zeroblob(24 * 16) WHERE name = '' AND to_step % 3 = 0");
    history_fixture_run(
        f, "UPDATE block SET to_step = 0x7fffffffffffffff WHERE level = 1 AND to_step ="
           " (SELECT max(b.to_step) FROM block b WHERE b.level = 1"
           " AND b.attempt = block.attempt)");
    ask_often(f, curve);
    free(curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_are_those_of_all_points),
        cmocka_unit_test_setup_teardown(blocks_that_are_missing_are_made_again,
                                        history_fixture_set_up, history_fixture_tear_down),
        cmocka_unit_test_setup_teardown(bins_have_the_flags_of_their_points, history_fixture_set_up,
                                        history_fixture_tear_down),
        cmocka_unit_test_setup_teardown(blocks_that_cannot_be_read_are_passed_over,
                                        history_fixture_set_up, history_fixture_tear_down),
        cmocka_unit_test_setup_teardown(blocks_with_impossible_places_are_passed_over,
                                        history_fixture_set_up, history_fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
