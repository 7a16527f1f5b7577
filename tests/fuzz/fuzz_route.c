/* Paths and queries of HTTP as requests of the feed (daemon/http/route.h), and the head of an
 * answer (head.h). An input is a path, and after NUL the parts of the query, each ended by NUL. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "daemon/http/head.h"
#include "daemon/http/route.h"
#include "daemon/http/words.h"
#include "proto/feed.h"
#include "proto/json.h"

#define N_PARTS 64

/* Here only their addresses are asked for. */
const struct feed_words http_json, http_csv, http_metrics, http_run_metrics, http_events;

/* What is asked of the feed is a request of a method that exists, for the run of the path. */
static void require_request(const char *line, const struct http_route *route, const char *run,
                            size_t run_size)
{
    struct feed_request request;
    struct err err = {""};
    int rc = feed_request_parse(line, strlen(line), &request, &err);
    const cJSON *asked;

    REQUIRE(rc == 0 || rc == FEED_BAD_PARAMS);
    asked = cJSON_GetObjectItemCaseSensitive(request.params, "run");
    REQUIRE(strcmp(cJSON_GetObjectItem(request.tree, "method")->valuestring, route->method) == 0);
    if (run_size > 0)
        REQUIRE(cJSON_IsString(asked) && strlen(asked->valuestring) == run_size &&
                memcmp(asked->valuestring, run, run_size) == 0);
    feed_request_release(&request);
}

/* A head is lines, one empty line at its end and nothing behind it. */
static void require_head(enum http_code code, const struct http_route *route)
{
    struct http_head head = {.status = code, .type = route->type, .endless = route->endless};
    char text[HTTP_HEAD_MAX];
    size_t size = http_head_write(&head, text);

    REQUIRE(size < sizeof text && strlen(text) == size);
    REQUIRE(strstr(text, "\r\n\r\n") == text + size - 4);
}

static void ask(const char *path, bool wants_csv, const struct http_args *args)
{
    const char *run;
    size_t run_size;
    const struct http_route *route = http_route_find(path, wants_csv, &run, &run_size);
    struct err err = {""};
    char *line = NULL;
    enum http_code code;

    if (!route)
        return;
    REQUIRE(run_size == 0 || (run >= path && run + run_size <= path + strlen(path)));
    code = http_route_request(route, run, run_size, args, NULL, &line, &err);
    REQUIRE((code == HTTP_OK) == (line != NULL));
    if (line)
        require_request(line, route, run, run_size);
    else
        require_sentence(&err);
    require_head(code, route);
    cJSON_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = (char *)copy_exactly(data, size);
    const char *parts[N_PARTS];
    struct http_args args = {.text = parts};
    char *path = strndup(text, size), *part[N_PARTS];
    size_t at = strlen(path) + 1;

    for (; at < size && args.n < N_PARTS; at += strlen(parts[args.n++]) + 1)
        parts[args.n] = part[args.n] = strndup(text + at, size - at);
    memory_count();
    ask(path, false, &args);
    ask(path, true, &args);
    require_nothing_held();
    for (size_t i = 0; i < args.n; i++)
        free(part[i]);
    free(path);
    free(text);
    return 0;
}
