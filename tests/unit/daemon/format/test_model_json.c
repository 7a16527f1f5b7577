#include "daemon/format/model_json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/json.h"

static void expect_text(cJSON *tree, const char *expected)
{
    char *text = json_print(tree);

    assert_string_equal(text, expected);
    cJSON_free(text);
    cJSON_Delete(tree);
}

static void a_point_is_printed_as_the_page_shows_it(void **state)
{
    struct point point = {
        .step = 910,
        .time = 1764000000.25,
        .n = 1024,
        .rows_from = 900,
        .rows_to = 910,
        .p = 128,
        .c = 97,
        .rank = 97,
        .flags = FLAG_PARTIAL,
        .value = {0.0941, 0.0573, 0.998, 80.0,  0.75, 0.5,   0.25,  0.125, 0.5, 2.5,
                  3.5,    4.5,    0.25,  0.125, 0.75, 0.875, 312.5, 0.75,  0.5, 0.375},
    };

    (void)state;
    expect_text(point_to_json("mod97-wd1-a1b2c3", "head", 1, &point),
                "{\"run\":\"mod97-wd1-a1b2c3\",\"layer\":\"head\",\"attempt\":1,\"step\":910,"
                "\"time\":1764000000.25,\"n\":1024,\"rows_missing\":0,\"rows_from\":900,\"rows_"
                "to\":910,\"p\":128,\"c\":97,"
                "\"rank\":97,\"d_lr\":0.0941,\"d_debiased\":0.0573,\"u\":0.998,\"pr\":80,"
                "\"cka_linear\":0.75,\"nc1\":0.5,\"nc1_quotient\":0.25,"
                "\"nc2_norm_cv\":0.125,\"nc2_angle\":0.5,\"stable_rank\":2.5,"
                "\"effective_rank\":3.5,\"rankme\":4.5,"
                "\"d_lr_se\":0.25,\"d_debiased_se\":0.125,\"s_init\":0.75,"
                "\"s_init_uncentred\":0.875,\"param_norm\":312.5,"
                "\"param_change\":0.75,\"ntk_distance\":0.5,\"ntk_alignment\":0.375,"
                "\"flags\":[\"partial\"]}");
}

static void the_list_of_measures_is_the_table(void **state)
{
    cJSON *answer = metrics_to_json(), *rows = cJSON_GetObjectItem(answer, "metrics"), *row;
    static const char *const needs[] = {"nothing", "labels", "spectrum", "probe", "trainer"};
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
    }
    assert_int_equal(i, METRIC_COUNT);
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

static void what_is_not_finite_is_null(void **state)
{
    struct point point = {
        .step = INT64_MAX, .rows_to = -1, .value = {(double)NAN, -0.5, (double)INFINITY, 0.1}};
    struct scalar scalar = {.name = "loss", .value = (double)NAN};

    (void)state;
    for (int i = METRIC_PR + 1; i < METRIC_COUNT; i++)
        point.value[i] = (double)NAN;
    expect_text(point_to_json("r", "l", 2, &point),
                "{\"run\":\"r\",\"layer\":\"l\",\"attempt\":2,\"step\":9223372036854775807,"
                "\"time\":0,\"n\":0,\"rows_missing\":0,\"rows_from\":0,\"rows_to\":null,\"p\":0,"
                "\"c\":0,\"rank\":0,\"d_lr\":null,"
                "\"d_debiased\":-0.5,\"u\":null,\"pr\":0.1,\"cka_linear\":null,\"nc1\":null,"
                "\"nc1_quotient\":null,\"nc2_norm_cv\":null,\"nc2_angle\":null,"
                "\"stable_rank\":null,\"effective_rank\":null,\"rankme\":null,"
                "\"d_lr_se\":null,\"d_debiased_se\":null,\"s_init\":null,"
                "\"s_init_uncentred\":null,"
                "\"param_norm\":null,\"param_change\":null,\"ntk_distance\":null,"
                "\"ntk_alignment\":null,\"flags\":[]}");
    expect_text(scalar_to_json("r", 2, 7, 1.5, &scalar),
                "{\"run\":\"r\",\"name\":\"loss\",\"attempt\":2,\"step\":7,\"time\":1.5,"
                "\"value\":null}");
}

static void an_event_is_printed_as_the_page_shows_it(void **state)
{
    struct finding f = {
        .metric = METRIC_D_LR,
        .step = 1150,
        .time = 1764000000.25,
        .transition = {TRANSITION_FALL, 620, 880, 0.5, 0.125, 0.375, 0.9999},
        .agrees = AGREES_YES,
        .accuracy = {"test_acc", 0.008, 1},
    };

    (void)state;
    expect_text(finding_to_json("r", "head", 1, &f),
                "{\"run\":\"r\",\"layer\":\"head\",\"attempt\":1,\"step\":1150,"
                "\"time\":1764000000.25,\"kind\":\"transition\",\"metric\":\"d_lr\","
                "\"direction\":\"fall\",\"start\":620,\"end\":880,\"from\":0.5,\"to\":0.125,"
                "\"size\":0.375,\"confidence\":0.9999,\"agrees\":true,"
                "\"accuracy\":{\"name\":\"test_acc\",\"from\":0.008,\"to\":1}}");
    f.agrees = AGREES_UNKNOWN;
    f.transition.direction = TRANSITION_RISE;
    expect_text(finding_to_json("r", "head", 1, &f),
                "{\"run\":\"r\",\"layer\":\"head\",\"attempt\":1,\"step\":1150,"
                "\"time\":1764000000.25,\"kind\":\"transition\",\"metric\":\"d_lr\","
                "\"direction\":\"rise\",\"start\":620,\"end\":880,\"from\":0.5,\"to\":0.125,"
                "\"size\":0.375,\"confidence\":0.9999,\"agrees\":null,\"accuracy\":null}");
}

static void flags_are_named_in_order(void **state)
{
    (void)state;
    expect_text(
        flags_to_json(0x1ff),
        "[\"degenerate\",\"small_sample\",\"partial\","
        "\"low_precision\",\"constant\",\"not_converged\",\"classes_missing\",\"no_spectrum\","
        "\"row_form\"]");
    expect_text(flags_to_json(1u << 31), "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_printed_as_the_page_shows_it),
        cmocka_unit_test(the_list_of_measures_is_the_table),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(an_event_is_printed_as_the_page_shows_it),
        cmocka_unit_test(flags_are_named_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
