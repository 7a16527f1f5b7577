#include "daemon/format/meaning.h"
#include "daemon/format/model_json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/json.h"
#include "tests/lib/vectors.h"

static void expect_text(cJSON *tree, const char *expected)
{
    char *text = json_print(tree);

    assert_string_equal(text, expected);
    cJSON_free(text);
    cJSON_Delete(tree);
}

static uint32_t flags_of(const cJSON *names)
{
    const cJSON *name;
    uint32_t flags = 0;

    cJSON_ArrayForEach(name, names)
    {
        for (int i = 0; i < FLAG_COUNT; i++)
            flags |= strcmp(flag_table[i].name, name->valuestring) == 0 ? 1u << i : 0;
    }
    return flags;
}

static void read_member(const cJSON *object, const struct point_field *field, struct point *out)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, field->name);

    assert_non_null(member);
    if (field->kind == POINT_KIND_NUMBER)
        point_set_number(out, field, cJSON_IsNull(member) ? (double)NAN : member->valuedouble);
    else if (field->kind == POINT_KIND_FLAGS)
        point_set_integer(out, field, flags_of(member));
    else
        point_set_integer(out, field, (int64_t)member->valuedouble);
}

static void a_point_is_printed_as_the_page_shows_it(void **state)
{
    cJSON *page = vectors_example("FEED", "POINT");
    struct point point = {0};
    char *expected;

    (void)state;
    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        read_member(page, &point_table[i], &point);
    assert_int_equal(point.step, 910);
    assert_int_equal(point.flags, FLAG_PARTIAL);
    assert_true(json_make_exact(page));
    expected = json_print(page);
    expect_text(point_to_json("mod97-wd1-a1b2c3", "head", 1, &point), expected);
    cJSON_free(expected);
    cJSON_Delete(page);
}

static void expect_member(const struct point *point, enum point_member member, const char *expected)
{
    expect_text(point_member_to_json(point, &point_table[member]), expected);
}

static void the_list_of_measures_is_the_table(void **state)
{
    cJSON *answer = metrics_to_json(), *rows = cJSON_GetObjectItem(answer, "metrics"), *row;
    static const char *const needs[] = {"nothing",  "labels", "targets",
                                        "spectrum", "probe",  "trainer"};
    int i = 0;

    (void)state;
    cJSON_ArrayForEach(row, rows)
    {
        const struct metric_info *metric = &metric_table[i++];

        assert_string_equal(cJSON_GetObjectItem(row, "name")->valuestring, metric->name);
        assert_string_equal(cJSON_GetObjectItem(row, "unit")->valuestring, metric->unit);
        assert_string_equal(cJSON_GetObjectItem(row, "needs")->valuestring, needs[metric->needs]);
        assert_string_equal(cJSON_GetObjectItem(row, "description")->valuestring,
                            metric->description);
        assert_string_equal(cJSON_GetObjectItem(row, "read_as")->valuestring, metric->read_as);
    }
    assert_int_equal(i, METRIC_COUNT);
    row = cJSON_GetArrayItem(rows, METRIC_D_LR);
    assert_string_equal(cJSON_GetObjectItem(row, "corrected")->valuestring, "d_debiased");
    assert_null(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, METRIC_D_DEBIASED), "corrected"));
    i = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(answer, "flags"))
    {
        const struct flag_info *flag = &flag_table[i++];

        assert_string_equal(cJSON_GetObjectItem(row, "name")->valuestring, flag->name);
        assert_string_equal(cJSON_GetObjectItem(row, "description")->valuestring,
                            flag->description);
    }
    assert_int_equal(i, FLAG_COUNT);
    cJSON_Delete(answer);
}

/* NULL stands for a member that is left out. */
static void expect_text_of(const cJSON *row, const char *member, const char *expected)
{
    const cJSON *item = cJSON_GetObjectItem(row, member);

    if (expected)
        assert_string_equal(item->valuestring, expected);
    else
        assert_null(item);
}

static void each_measure_has_what_the_page_of_measures_says(void **state)
{
    cJSON *answer = metrics_to_json(), *rows = cJSON_GetObjectItem(answer, "metrics"), *row;
    int i = 0;

    (void)state;
    cJSON_ArrayForEach(row, rows)
    {
        assert_non_null(metric_meaning[i].formula);
        assert_true(!metric_ends[i].low == !metric_ends[i].high);
        expect_text_of(row, "low_end", metric_ends[i].low);
        expect_text_of(row, "high_end", metric_ends[i].high);
        expect_text_of(row, "in_words", metric_meaning[i].in_words);
        expect_text_of(row, "formula", metric_meaning[i].formula);
        expect_text_of(row, "source", metric_meaning[i].source);
        expect_text_of(row, "range", metric_meaning[i].range);
        expect_text_of(row, "compare", metric_meaning[i].compare);
        expect_text_of(row, "rows", metric_meaning[i].rows);
        expect_text_of(row, "misleads", metric_meaning[i].misleads);
        i++;
    }
    row = cJSON_GetArrayItem(rows, METRIC_D_LR);
    expect_text_of(row, "low_end", "rich");
    expect_text_of(row, "high_end", "lazy");
    expect_text_of(row, "range", "[0, 1].");
    expect_text_of(cJSON_GetArrayItem(rows, METRIC_D_WHITE), "low_end", NULL);
    cJSON_Delete(answer);
}

static void what_is_not_finite_is_null(void **state)
{
    struct point point = {
        .step = INT64_MAX, .rows_to = -1, .value = {(double)NAN, -0.5, (double)INFINITY, 0.1}};
    struct scalar scalar = {.name = "loss", .value = (double)NAN};

    (void)state;
    expect_member(&point, POINT_step, "9223372036854775807");
    expect_member(&point, POINT_rows_from, "0");
    expect_member(&point, POINT_rows_to, "null");
    expect_member(&point, POINT_D_LR, "null");
    expect_member(&point, POINT_D_DEBIASED, "-0.5");
    expect_member(&point, POINT_U, "null");
    expect_member(&point, POINT_PR, "0.1");
    expect_member(&point, POINT_flags, "[]");
    expect_text(scalar_to_json("r", 2, 7, 1.5, &scalar),
                "{\"run\":\"r\",\"name\":\"loss\",\"attempt\":2,\"step\":7,\"time\":1.5,"
                "\"value\":null}");
}

static void an_event_is_printed_as_the_page_shows_it(void **state)
{
    struct finding f = {
        .metric = "d_lr",
        .attempt = 1,
        .step = 1150,
        .time = 1764000000.25,
        .transition = {TRANSITION_FALL, 620, 880, 0.5, 0.125, 0.375, 1400},
        .n_from = NAN,
        .n_to = 512,
        .agrees = AGREES_YES,
        .accuracy = {"test_acc", 0.008, 1},
    };

    (void)state;
    expect_text(finding_to_json("r", "head", &f),
                "{\"run\":\"r\",\"layer\":\"head\",\"attempt\":1,\"step\":1150,"
                "\"time\":1764000000.25,\"kind\":\"transition\",\"metric\":\"d_lr\","
                "\"direction\":\"fall\",\"start\":620,\"end\":880,\"from\":0.5,\"to\":0.125,"
                "\"size\":0.375,\"n_from\":null,\"n_to\":512,\"returned\":1400,\"agrees\":true,"
                "\"accuracy\":{\"name\":\"test_acc\",\"from\":0.008,\"to\":1}}");
    f.agrees = AGREES_UNKNOWN;
    f.transition.direction = TRANSITION_RISE;
    f.transition.returned = -1;
    expect_text(finding_to_json("r", "head", &f),
                "{\"run\":\"r\",\"layer\":\"head\",\"attempt\":1,\"step\":1150,"
                "\"time\":1764000000.25,\"kind\":\"transition\",\"metric\":\"d_lr\","
                "\"direction\":\"rise\",\"start\":620,\"end\":880,\"from\":0.5,\"to\":0.125,"
                "\"size\":0.375,\"n_from\":null,\"n_to\":512,\"returned\":null,\"agrees\":null,"
                "\"accuracy\":null}");
}

static cJSON *flags(uint32_t value)
{
    struct point point = {.flags = value};
    cJSON *whole = point_to_json("r", "head", 1, &point);
    cJSON *list = cJSON_DetachItemFromObject(whole, "flags");

    cJSON_Delete(whole);
    return list;
}

static void flags_are_named_in_order(void **state)
{
    (void)state;
    expect_text(
        flags(0x1ff),
        "[\"degenerate\",\"small_sample\",\"partial\","
        "\"low_precision\",\"constant\",\"not_converged\",\"classes_missing\",\"no_spectrum\","
        "\"row_form\"]");
    expect_text(flags(1u << 31), "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_printed_as_the_page_shows_it),
        cmocka_unit_test(the_list_of_measures_is_the_table),
        cmocka_unit_test(each_measure_has_what_the_page_of_measures_says),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(an_event_is_printed_as_the_page_shows_it),
        cmocka_unit_test(flags_are_named_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
