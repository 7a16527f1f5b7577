#include "proto/feed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/json.h"

#define VECTORS "proto/vectors/feed.json"

static cJSON *read_vectors(void)
{
    static char text[JSON_MAX_SIZE];
    FILE *file = fopen(VECTORS, "r");
    struct err e = {0};
    cJSON *tree;
    size_t size;

    if (!file)
        fail_msg("%s cannot be read; tests run in the repository's root", VECTORS);
    size = fread(text, 1, sizeof text, file);
    fclose(file);
    tree = json_parse(text, size, &e);
    if (!tree)
        fail_msg("%s: %s", VECTORS, e.text);
    return tree;
}

/* Reads the parameters into whatever the method wants. */
static int read_params(const struct feed_request *request, struct err *e)
{
    union {
        struct feed_hello hello;
        struct feed_run_list run_list;
        struct feed_run run;
        struct feed_run_edit edit;
        struct feed_prune prune;
        struct feed_view_save view;
        struct feed_view_delete view_delete;
        struct feed_series_query series_query;
        struct feed_scalars_query scalars_query;
        struct feed_event_query event_query;
        struct feed_spectrum_query spectrum_query;
        struct feed_representation_map map;
        struct feed_subscribe subscribe;
        struct feed_unsubscribe unsubscribe;
    } u;

    switch (request->method) {
    case FEED_HELLO:
        return feed_hello_read(request, &u.hello, e);
    case FEED_STATUS:
    case FEED_METRIC_LIST:
    case FEED_VIEW_LIST:
        return 0;
    case FEED_VIEW_SAVE:
        return feed_view_save_read(request, &u.view, e);
    case FEED_VIEW_DELETE:
        return feed_view_delete_read(request, &u.view_delete, e);
    case FEED_RUN_LIST:
        return feed_run_list_read(request, &u.run_list, e);
    case FEED_RUN_EDIT:
        return feed_run_edit_read(request, &u.edit, e);
    case FEED_HISTORY_PRUNE:
        return feed_prune_read(request, &u.prune, e);
    case FEED_RUN_GET:
    case FEED_RUN_DELETE:
    case FEED_LAYER_LIST:
    case FEED_REPRESENTATION_LIST:
        return feed_run_read(request, &u.run, e);
    case FEED_SERIES_QUERY:
        return feed_series_query_read(request, &u.series_query, e);
    case FEED_EVENT_QUERY:
        return feed_event_query_read(request, &u.event_query, e);
    case FEED_SERIES_SUBSCRIBE:
    case FEED_EVENT_SUBSCRIBE:
        return feed_subscribe_read(request, &u.subscribe, e);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        return feed_unsubscribe_read(request, &u.unsubscribe, e);
    case FEED_SPECTRUM_QUERY:
        return feed_spectrum_query_read(request, &u.spectrum_query, e);
    case FEED_REPRESENTATION_MAP:
        return feed_representation_map_read(request, &u.map, e);
    case FEED_SCALARS_QUERY:
        return feed_scalars_query_read(request, &u.scalars_query, e);
    case FEED_METHOD_COUNT:
        break;
    }
    return FEED_FAILED;
}

static void examples_are_answered_as_written(void **state)
{
    cJSON *vectors = read_vectors(), *vector;
    int n = 0;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        const char *line = cJSON_GetObjectItem(vector, "request")->valuestring;
        const cJSON *error = cJSON_GetObjectItem(vector, "error");
        int expected = cJSON_IsNull(error) ? 0 : error->valueint, rc;
        struct feed_request request;
        struct err e = {0};

        rc = feed_request_parse(line, strlen(line), &request, &e);
        if (rc == 0)
            rc = read_params(&request, &e);
        if (rc != expected)
            fail_msg("%s: %d (%s), expected %d", cJSON_GetObjectItem(vector, "name")->valuestring,
                     rc, e.text, expected);
        assert_true((rc == 0) == (e.text[0] == '\0'));
        feed_request_release(&request);
        n++;
    }
    assert_true(n > 70);
    cJSON_Delete(vectors);
}

static void parse(const char *line, struct feed_request *out)
{
    struct err e = {0};

    if (feed_request_parse(line, strlen(line), out, &e) != 0)
        fail_msg("%s", e.text);
}

static const char *const method_names[FEED_METHOD_COUNT] = {
    [FEED_HELLO] = "server.hello",
    [FEED_STATUS] = "server.status",
    [FEED_RUN_LIST] = "run.list",
    [FEED_RUN_GET] = "run.get",
    [FEED_RUN_DELETE] = "run.delete",
    [FEED_HISTORY_PRUNE] = "history.prune",
    [FEED_RUN_EDIT] = "run.edit",
    [FEED_VIEW_LIST] = "view.list",
    [FEED_VIEW_SAVE] = "view.save",
    [FEED_VIEW_DELETE] = "view.delete",
    [FEED_LAYER_LIST] = "layer.list",
    [FEED_SERIES_QUERY] = "series.query",
    [FEED_SERIES_SUBSCRIBE] = "series.subscribe",
    [FEED_SERIES_UNSUBSCRIBE] = "series.unsubscribe",
    [FEED_SCALARS_QUERY] = "scalars.query",
    [FEED_EVENT_QUERY] = "event.query",
    [FEED_EVENT_SUBSCRIBE] = "event.subscribe",
    [FEED_EVENT_UNSUBSCRIBE] = "event.unsubscribe",
    [FEED_SPECTRUM_QUERY] = "spectrum.query",
    [FEED_REPRESENTATION_LIST] = "representation.list",
    [FEED_REPRESENTATION_MAP] = "representation.map",
    [FEED_METRIC_LIST] = "metric.list",
};

static void every_method_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < FEED_METHOD_COUNT; i++) {
        struct feed_request request;
        char line[128];

        snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}",
                 method_names[i]);
        parse(line, &request);
        assert_int_equal(request.method, i);
        feed_request_release(&request);
    }
}

static void parameters_left_out_have_their_defaults(void **state)
{
    struct feed_series_query query;
    struct feed_subscribe subscribe;
    struct feed_run_list list;
    struct feed_request request;

    (void)state;
    parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.query\",\"params\":{\"run\":\"a\"}}",
          &request);
    assert_int_equal(feed_series_query_read(&request, &query, NULL), 0);
    assert_string_equal(query.run, "a");
    assert_null(query.layer);
    assert_null(query.metrics);
    assert_int_equal(query.range.from, 0);
    assert_true(query.range.to == INT64_MAX);
    assert_int_equal(query.range.points, 10000);
    assert_int_equal(query.range.limit, 0);
    assert_int_equal(query.range.next.attempt, 0);
    assert_null(query.scalars);
    assert_false(query.all_scalars);
    assert_false(query.range.linear);
    assert_false(query.range.all_attempts);
    feed_request_release(&request);

    parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.list\"}", &request);
    assert_int_equal(feed_run_list_read(&request, &list, NULL), 0);
    assert_int_equal(list.limit, 100);
    assert_int_equal(list.offset, 0);
    assert_null(list.project);
    assert_null(list.state);
    assert_int_equal(feed_subscribe_read(&request, &subscribe, NULL), 0);
    assert_false(subscribe.has_since_seq);
    feed_request_release(&request);
}

static void parameters_are_read(void **state)
{
    struct feed_series_query query;
    struct feed_subscribe subscribe;
    char place[FEED_PLACE_SIZE];
    struct feed_request request;

    (void)state;
    parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.query\",\"params\":{\"run\":\"a\","
          "\"layer\":\"head\",\"metrics\":[\"u\"],\"from\":\"9007199254740993\",\"to\":8,"
          "\"points\":4,\"spacing\":\"linear\",\"attempts\":\"all\",\"scalars\":[\"loss\"],"
          "\"limit\":100000,\"next\":\"2:9007199254740993\"}}",
          &request);
    assert_int_equal(feed_series_query_read(&request, &query, NULL), 0);
    assert_string_equal(query.layer, "head");
    assert_int_equal(cJSON_GetArraySize(query.metrics), 1);
    assert_true(query.range.from == 9007199254740993);
    assert_int_equal(query.range.to, 8);
    assert_int_equal(query.range.points, 4);
    assert_true(query.range.linear);
    assert_true(query.range.all_attempts);
    assert_int_equal(cJSON_GetArraySize(query.scalars), 1);
    assert_false(query.all_scalars);
    assert_int_equal(query.range.limit, 100000);
    assert_int_equal(query.range.next.attempt, 2);
    assert_true(query.range.next.step == 9007199254740993);
    feed_place_print(&query.range.next, place);
    assert_string_equal(place, "2:9007199254740993");
    feed_request_release(&request);

    parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.subscribe\",\"params\":"
          "{\"since_seq\":\"9223372036854775807\"}}",
          &request);
    assert_int_equal(feed_subscribe_read(&request, &subscribe, NULL), 0);
    assert_true(subscribe.has_since_seq);
    assert_true(subscribe.since_seq == INT64_MAX);
    assert_null(subscribe.run);
    feed_request_release(&request);
}

static void a_refusal_names_the_parameter(void **state)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"series.query\","
                               "\"params\":{\"run\":\"a\",\"smoothing\":3}}";
    struct feed_request request;
    struct err e;

    (void)state;
    assert_int_equal(feed_request_parse(line, strlen(line), &request, &e), FEED_BAD_PARAMS);
    assert_non_null(strstr(e.text, "series.query"));
    assert_non_null(strstr(e.text, "\"smoothing\""));
    assert_int_equal(request.id->valueint, 7); /* the answer still finds its question */
    feed_request_release(&request);
}

static void a_line_beyond_the_limit_is_no_request(void **state)
{
    size_t size = JSON_MAX_SIZE + 1;
    char *line = malloc(size);
    struct feed_request request;

    (void)state;
    memset(line, ' ', size);
    assert_int_equal(feed_request_parse(line, size, &request, NULL), FEED_NOT_A_REQUEST);
    assert_int_equal(feed_request_parse(line, size - 1, &request, NULL), FEED_NOT_JSON);
    feed_request_release(&request);
    free(line);
}

static void expect_line(char *line, size_t size, const char *expected)
{
    assert_non_null(line);
    assert_string_equal(line, expected);
    assert_int_equal(size, strlen(expected));
    free(line);
}

static void answers_are_one_line(void **state)
{
    cJSON *result = cJSON_CreateObject(), *params = cJSON_CreateObject();
    cJSON *number = cJSON_CreateNumber(9007199254740991.0), *text = cJSON_CreateString("a\nb");
    size_t size = 0;
    char *line;

    (void)state;
    json_add_double(result, "x", 0.1);
    line = feed_result(number, result, &size);
    expect_line(line, size,
                "{\"jsonrpc\":\"2.0\",\"id\":9007199254740991,\"result\":{\"x\":0.1}}\n");
    line = feed_result(text, cJSON_CreateObject(), &size);
    expect_line(line, size, "{\"jsonrpc\":\"2.0\",\"id\":\"a\\nb\",\"result\":{}}\n");
    line = feed_error(NULL, FEED_NOT_JSON, "not JSON", &size);
    expect_line(line, size,
                "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
                "\"message\":\"not JSON\"}}\n");
    json_add_integer(params, "sub", 1);
    line = feed_notification("series.update", params, &size);
    expect_line(line, size,
                "{\"jsonrpc\":\"2.0\",\"method\":\"series.update\",\"params\":{\"sub\":1}}\n");
    cJSON_Delete(number);
    cJSON_Delete(text);
}

static void a_text_cut_inside_a_letter_is_still_utf8(void **state)
{
    size_t size = 0;
    char *line = feed_error(NULL, FEED_FAILED, "no method \"gr\xC3", &size);

    (void)state;
    assert_true(json_utf8_valid(line, size));
    assert_non_null(strstr(line, "gr?"));
    free(line);
}

/* cJSON's allocations are failed one after the other; each time there is an answer or nothing, and
 * nothing leaks (as AddressSanitizer sees). */
static size_t allocations_left;

static void *countdown_malloc(size_t size)
{
    return allocations_left-- == 0 ? NULL : malloc(size);
}

static bool try_answers(void)
{
    cJSON *result = cJSON_CreateObject(), *id = cJSON_CreateString("x");
    size_t size;
    char *lines[3] = {
        feed_result(id, result, &size),
        feed_error(id, FEED_FAILED, "text", &size),
        feed_notification("series.update", cJSON_CreateObject(), &size),
    };
    bool all = lines[0] && lines[1] && lines[2];

    for (int i = 0; i < 3; i++)
        free(lines[i]);
    cJSON_Delete(id);
    return all;
}

static void no_memory_is_no_answer_and_no_leak(void **state)
{
    size_t n = 0;
    bool done = false;

    (void)state;
    cJSON_InitHooks(&(cJSON_Hooks){countdown_malloc, free});
    while (!done && n < 1000) {
        allocations_left = n++;
        done = try_answers() && allocations_left < 1000;
    }
    cJSON_InitHooks(NULL);
    assert_true(done);
    assert_in_range(n, 20, 999);
}

static void errors_of_the_daemon_have_codes(void **state)
{
    (void)state;
    assert_int_equal(feed_code_of(-ENOENT), FEED_NOT_FOUND);
    assert_int_equal(feed_code_of(-EINVAL), FEED_BAD_PARAMS);
    assert_int_equal(feed_code_of(-ENOBUFS), FEED_TOO_MANY);
    assert_int_equal(feed_code_of(-EIO), FEED_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_answered_as_written),
        cmocka_unit_test(every_method_is_found_by_its_name),
        cmocka_unit_test(parameters_left_out_have_their_defaults),
        cmocka_unit_test(parameters_are_read),
        cmocka_unit_test(a_refusal_names_the_parameter),
        cmocka_unit_test(a_line_beyond_the_limit_is_no_request),
        cmocka_unit_test(answers_are_one_line),
        cmocka_unit_test(a_text_cut_inside_a_letter_is_still_utf8),
        cmocka_unit_test(no_memory_is_no_answer_and_no_leak),
        cmocka_unit_test(errors_of_the_daemon_have_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
