#include "daemon/http/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/http/words.h"
#include "proto/feed.h"

/* What the path is asked as: "method run words". */
static void expect_route(const char *path, bool wants_csv, const char *expected)
{
    const char *run, *words;
    char told[256];
    size_t size;
    const struct http_route *r = http_route_find(path, wants_csv, &run, &size);

    if (!r) {
        assert_null(expected);
        return;
    }
    words = r->words == &http_json      ? "json"
            : r->words == &http_csv     ? "csv"
            : r->words == &http_metrics ? "metrics"
            : r->words == &http_events  ? "events"
                                        : "gauges";
    snprintf(told, sizeof told, "%s %.*s %s", r->method, (int)size, size ? run : "", words);
    assert_non_null(expected);
    assert_string_equal(told, expected);
    assert_int_equal(r->endless, r->words == &http_events);
}

static void paths_are_methods_of_the_feed(void **state)
{
    (void)state;
    expect_route("/api/v1/status", false, "server.status  json");
    expect_route("/api/v1/measures", false, "metric.list  json");
    expect_route("/api/v1/views", false, "view.list  json");
    expect_route("/api/v1/runs", false, "run.list  json");
    expect_route("/api/v1/runs", true, "run.list  csv");
    expect_route("/api/v1/runs.csv", false, "run.list  csv");
    expect_route("/api/v1/runs/a", false, "run.get a json");
    expect_route("/api/v1/runs/a/series", false, "series.query a json");
    expect_route("/api/v1/runs/a/series", true, "series.query a csv");
    expect_route("/api/v1/runs/a/series.csv", false, "series.query a csv");
    expect_route("/api/v1/runs/a/scalars", false, "scalars.query a json");
    expect_route("/api/v1/runs/a/events.csv", false, "event.query a csv");
    expect_route("/api/v1/runs/a/layers", false, "layer.list a json");
    expect_route("/api/v1/runs/a/spectrum", false, "spectrum.query a json");
    expect_route("/api/v1/runs/a/representations", true, "representation.list a csv");
    expect_route("/api/v1/runs/a/map", false, "representation.map a json");
    expect_route("/api/v1/stream", false, "series.subscribe  events");
    expect_route("/api/v1/stream/events", false, "event.subscribe  events");
    expect_route("/metrics", true, "server.status  metrics");
    expect_route("/metrics/runs", false, "run.list  gauges");
}

static void a_run_may_have_a_project_and_odd_names(void **state)
{
    (void)state;
    expect_route("/api/v1/runs/mod97/wd1", false, "run.get mod97/wd1 json");
    expect_route("/api/v1/runs/mod97/wd1/series", false, "series.query mod97/wd1 json");
    expect_route("/api/v1/runs/a.csv", false, "run.get a.csv json");
    expect_route("/api/v1/runs/series", false, "run.get series json");
    expect_route("/api/v1/runs/a/series/series", false, "series.query a/series json");
    expect_route("/api/v1/runs/a", true, "run.get a json");
}

static void what_is_nearly_a_path_is_none(void **state)
{
    static const char *const paths[] = {"",
                                        "/",
                                        "/api",
                                        "/api/v1",
                                        "/api/v1/",
                                        "/api/v2/runs",
                                        "/api/v1/run",
                                        "/api/v1/runs/",
                                        "/api/v1/status.csv",
                                        "/metrics/",
                                        "/metrics.csv",
                                        "/api/v1/stream.csv",
                                        "/api/v1/runs//series",
                                        "/api/v1//runs",
                                        "/API/v1/runs",
                                        "/api/v1/.csv"};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        expect_route(paths[i], false, NULL);
}

/* The request for a path, or the code that refuses it. */
static void expect_request(const char *path, const char *const *args, size_t n, const char *since,
                           enum http_code code, const char *expected)
{
    const char *run;
    char *request;
    size_t size;
    struct err e = {""};
    const struct http_route *r = http_route_find(path, false, &run, &size);
    struct http_args list = {args, n};

    assert_int_equal(http_route_request(r, run, size, &list, since, &request, &e), code);
    if (code == HTTP_OK)
        assert_string_equal(request, expected);
    else
        assert_null(request);
    assert_int_equal(*e.text == '\0', code == HTTP_OK);
    cJSON_free(request);
}

#define ARGS(...)                                                                                  \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
#define REQUEST(method, params)                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"" method "\",\"params\":{" params "}}"

static void parameters_become_members(void **state)
{
    (void)state;
    expect_request("/api/v1/runs", NULL, 0, NULL, HTTP_OK, REQUEST("run.list", ""));
    expect_request("/api/v1/runs", ARGS("limit=5", "search=a \"b\"&=c"), NULL, HTTP_OK,
                   REQUEST("run.list", "\"limit\":\"5\",\"search\":\"a \\\"b\\\"&=c\""));
    expect_request(
        "/api/v1/runs/r/series", ARGS("metrics=u", "from=1", "metrics=pr"), NULL, HTTP_OK,
        REQUEST("series.query", "\"run\":\"r\",\"metrics\":[\"u\",\"pr\"],\"from\":\"1\""));
    expect_request("/api/v1/runs", ARGS("", "limit=5", "", ""), NULL, HTTP_OK,
                   REQUEST("run.list", "\"limit\":\"5\""));
    expect_request("/metrics/runs", ARGS("limit=7"), NULL, HTTP_OK,
                   REQUEST("run.list", "\"state\":\"open\",\"limit\":\"7\""));
}

static void the_last_event_wins_over_the_query(void **state)
{
    (void)state;
    expect_request("/api/v1/stream", ARGS("since_seq=1"), NULL, HTTP_OK,
                   REQUEST("series.subscribe", "\"since_seq\":\"1\""));
    expect_request("/api/v1/stream", ARGS("since_seq=1"), "12", HTTP_OK,
                   REQUEST("series.subscribe", "\"since_seq\":\"12\""));
}

static void parameters_that_make_no_sense_are_refused(void **state)
{
    char run[FEED_RUN_MAX + 32] = "/api/v1/runs/";

    (void)state;
    expect_request("/api/v1/runs", ARGS("limit"), NULL, HTTP_BAD_REQUEST, NULL);
    expect_request("/api/v1/runs", ARGS("=1"), NULL, HTTP_BAD_REQUEST, NULL);
    expect_request("/api/v1/runs", ARGS("limit=1", "limit=1"), NULL, HTTP_BAD_REQUEST, NULL);
    expect_request("/api/v1/runs", ARGS("search=\xff"), NULL, HTTP_BAD_REQUEST, NULL);
    expect_request("/api/v1/runs/a", ARGS("run=b"), NULL, HTTP_BAD_REQUEST, NULL);
    expect_request("/metrics/runs", ARGS("state=lost"), NULL, HTTP_BAD_REQUEST, NULL);
    memset(run + 13, 'a', FEED_RUN_MAX + 1);
    expect_request(run, NULL, 0, NULL, HTTP_BAD_REQUEST, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_methods_of_the_feed),
        cmocka_unit_test(a_run_may_have_a_project_and_odd_names),
        cmocka_unit_test(what_is_nearly_a_path_is_none),
        cmocka_unit_test(parameters_become_members),
        cmocka_unit_test(the_last_event_wins_over_the_query),
        cmocka_unit_test(parameters_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
