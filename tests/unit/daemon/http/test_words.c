#include "daemon/http/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/format/openmetrics.h"
#include "proto/feed.h"
#include "proto/json.h"

static cJSON *tree(const char *text)
{
    struct err e = {""};
    cJSON *o = json_parse_limited(text, strlen(text), 1 << 26, 1 << 22, &e);

    assert_string_equal(e.text, "");
    assert_true(json_make_exact(o));
    return o;
}

static void expect_words(const struct feed_words *words, const char *result, const char *expected)
{
    size_t size;
    char *text = words->result(NULL, tree(result), &size);

    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
}

static void json_is_the_result_on_a_line(void **state)
{
    (void)state;
    expect_words(&http_json, "{\"a\":[1,null,0.1]}", "{\"a\":[1,null,0.1]}\n");
}

static void an_error_is_that_of_the_feed_without_its_envelope(void **state)
{
    size_t size;
    char *text = http_json.error(NULL, FEED_NOT_FOUND, "no run \"x\"", &size);

    (void)state;
    assert_string_equal(text, "{\"error\":{\"code\":-32001,\"message\":\"no run \\\"x\\\"\"}}\n");
    assert_int_equal(size, strlen(text));
    free(text);
}

static void objects_are_rows_and_what_is_missing_is_empty(void **state)
{
    (void)state;
    expect_words(&http_csv,
                 "{\"total\":2,\"runs\":[{\"run\":\"a\",\"n\":1,\"tags\":[\"x\",\"y\"]},"
                 "{\"run\":\"b,\\\"c\\\"\\n\",\"more\":true,\"config\":{\"lr\":0.5},\"n\":null}]}",
                 "run,n,tags,more,config\r\n"
                 "a,1,x y,,\r\n"
                 "\"b,\"\"c\"\"\n\",,,true,\"{\"\"lr\"\":0.5}\"\r\n");
    expect_words(&http_csv, "{\"total\":0,\"runs\":[]}", "\r\n");
}

static void columns_are_rows_behind_the_name_of_their_object(void **state)
{
    (void)state;
    expect_words(&http_csv,
                 "{\"run\":\"r\",\"layers\":[{\"layer\":\"a\",\"p\":4,\"columns\":{\"step\":[1,2],"
                 "\"flags\":[[],[\"x\",\"y\"]],\"d_lr\":[0.5,null]}},"
                 "{\"layer\":\"b\",\"columns\":{\"step\":[3],\"count\":[2],"
                 "\"d_lr\":{\"min\":[0.25],\"max\":[1],\"last\":[0.5]}}},"
                 "{\"layer\":\"c\",\"columns\":{\"step\":[]}}]}",
                 "layer,step,flags,d_lr,count,d_lr_min,d_lr_max,d_lr_last\r\n"
                 "a,1,,0.5,,,,\r\n"
                 "a,2,x y,,,,,\r\n"
                 "b,3,,,2,0.25,1,0.5\r\n");
    expect_words(&http_csv,
                 "{\"run\":\"r\",\"scalars\":[{\"name\":\"loss\",\"columns\":{\"value\":[1]}}]}",
                 "name,value\r\nloss,1\r\n");
}

static void arrays_of_one_object_are_rows_with_a_number(void **state)
{
    (void)state;
    expect_words(&http_csv, "{\"run\":\"r\",\"p\":2,\"rho\":[0.5,0.25],\"u\":[1,null],\"q\":null}",
                 "k,rho,u\r\n1,0.5,1\r\n2,0.25,\r\n");
}

static void events_carry_the_number_to_go_on_from(void **state)
{
    size_t size;
    char *text;

    (void)state;
    expect_words(&http_events, "{\"sub\":1,\"seq\":\"7\",\"points\":[],\"scalars\":[]}",
                 "retry: 2000\nid: 7\nevent: series.update\n"
                 "data: {\"sub\":1,\"seq\":\"7\",\"points\":[],\"scalars\":[]}\n\n");
    text = http_events.notification("event.update", tree("{\"sub\":1,\"seq\":\"8\",\"events\":[]}"),
                                    &size);
    assert_string_equal(text,
                        "id: 8\nevent: event.update\ndata: {\"sub\":1,\"seq\":\"8\",\"events\":[]}"
                        "\n\n");
    free(text);
}

static void expect_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    assert_non_null(at);
    assert_true(at == text || at[-1] == '\n');
    assert_int_equal(at[strlen(line)], '\n');
}

static void counters_and_gauges_are_told_apart(void **state)
{
    size_t size;
    char *text = http_metrics.result(
        NULL,
        tree("{\"version\":\"1.2\",\"uptime_s\":1.5,\"rows\":9007199254740993,\"seq\":\"4\"}"),
        &size);

    (void)state;
    expect_line(text, "richd_info{version=\"1.2\"} 1");
    expect_line(text, "# TYPE richd_uptime_seconds gauge");
    expect_line(text, "# UNIT richd_uptime_seconds seconds");
    expect_line(text, "richd_uptime_seconds 1.5");
    expect_line(text, "# TYPE richd_rows counter");
    assert_null(strstr(text, "\nrichd_points_total"));
    assert_string_equal(text + size - 6, "# EOF\n");
    free(text);
}

static void labels_are_escaped_and_null_is_no_sample(void **state)
{
    struct answer answer;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    answer_start(&answer, http_run_metrics.form, NULL, out);
    answer_list(&answer, tree("{}"), "runs");
    answer_item(&answer, tree("{\"run\":\"r\",\"project\":\"p\",\"name\":\"a\\\"b\\\\c\\nd%s\","
                              "\"layers\":[{\"layer\":\"x\",\"d_lr\":0.5},"
                              "{\"layer\":\"y\",\"d_lr\":null}]}"));
    answer_list_end(&answer, NULL);
    assert_int_equal(answer_end(&answer), 0);
    fclose(out);
    expect_line(text, "richd_d_lr_ratio{run=\"r\",project=\"p\",name=\"a\\\"b\\\\c\\nd%s\","
                      "layer=\"x\"} 0.5");
    assert_null(strstr(text, "layer=\"y\""));
    expect_line(text, "richd_layers_left_out 0");
    free(text);
}

/* Eleven runs of 1,000 layers. */
static void gauges_are_bounded_and_the_rest_is_counted(void **state)
{
    struct answer answer;
    char *text;
    size_t size, n = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    answer_start(&answer, http_run_metrics.form, NULL, out);
    answer_list(&answer, tree("{\"total\":11}"), "runs");
    for (int i = 0; i < 11; i++) {
        cJSON *run = tree("{\"run\":\"r\"}"), *layers = cJSON_AddArrayToObject(run, "layers");

        for (int k = 0; k < 1000; k++)
            cJSON_AddItemToArray(layers, tree("{\"layer\":\"x\",\"d_lr\":1}"));
        answer_item(&answer, run);
    }
    answer_list_end(&answer, NULL);
    assert_int_equal(answer_end(&answer), 0);
    fclose(out);
    for (const char *at = text; (at = strstr(at, "richd_d_lr_ratio{")); at++)
        n++;
    assert_int_equal(n, OPENMETRICS_MAX_GAUGES);
    expect_line(text, "richd_layers_left_out 1000");
    assert_string_equal(text + size - 6, "# EOF\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_the_result_on_a_line),
        cmocka_unit_test(an_error_is_that_of_the_feed_without_its_envelope),
        cmocka_unit_test(objects_are_rows_and_what_is_missing_is_empty),
        cmocka_unit_test(columns_are_rows_behind_the_name_of_their_object),
        cmocka_unit_test(arrays_of_one_object_are_rows_with_a_number),
        cmocka_unit_test(events_carry_the_number_to_go_on_from),
        cmocka_unit_test(counters_and_gauges_are_told_apart),
        cmocka_unit_test(labels_are_escaped_and_null_is_no_sample),
        cmocka_unit_test(gauges_are_bounded_and_the_rest_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
