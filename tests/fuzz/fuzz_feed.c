/* Requests of readers (proto/feed.h). An input is the line. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/feed.h"
#include "proto/json.h"

#define BYTES_PER_BYTE 128
#define BYTES_AT_LEAST 4096

/* The answer is one line of JSON with the id that came, and the code. */
static void require_answer(char *line, size_t size, const cJSON *id, int code)
{
    struct err err = {""};
    cJSON *tree, *error;

    REQUIRE(line && size > 0 && line[size] == '\0' && strchr(line, '\n') == line + size - 1);
    tree = json_parse(line, size - 1, &err);
    REQUIRE(tree);
    REQUIRE(id ? cJSON_Compare(cJSON_GetObjectItem(tree, "id"), id, true)
               : cJSON_IsNull(cJSON_GetObjectItem(tree, "id")));
    error = cJSON_GetObjectItem(tree, "error");
    REQUIRE(code == 0 ? !error : cJSON_GetObjectItem(error, "code")->valueint == code);
    cJSON_Delete(tree);
    free(line);
}

static void require_range(const struct feed_range *range)
{
    REQUIRE(range->from >= 0 && range->to >= 0);
    REQUIRE(range->points >= FEED_POINTS_MIN && range->points <= FEED_POINTS_MAX);
    REQUIRE(range->limit >= 0 && range->limit <= FEED_ROWS_MAX);
    REQUIRE(range->next.attempt == 0 || range->limit > 0);
}

static void require_texts(const cJSON *array)
{
    const cJSON *text;

    REQUIRE(!array || cJSON_GetArraySize(array) <= FEED_NAMES_MAX);
    cJSON_ArrayForEach(text, array)
    {
        REQUIRE(cJSON_IsString(text));
    }
}

static int read_series(const struct feed_request *request, struct err *err)
{
    struct feed_series_query query;
    int rc = feed_series_query_read(request, &query, err);

    if (rc == 0) {
        require_range(&query.range);
        require_texts(query.metrics);
        require_texts(query.scalars);
    }
    return rc;
}

static int read_scalars(const struct feed_request *request, struct err *err)
{
    struct feed_scalars_query query;
    int rc = feed_scalars_query_read(request, &query, err);

    if (rc == 0) {
        require_range(&query.range);
        require_texts(query.names);
    }
    return rc;
}

static int read_map(const struct feed_request *request, struct err *err)
{
    struct feed_representation_map map;
    int rc = feed_representation_map_read(request, &map, err);

    if (rc == 0) {
        require_texts(map.layers);
        REQUIRE(map.from >= 0 && map.to >= 0);
    }
    return rc;
}

static int read_list(const struct feed_request *request, struct err *err)
{
    struct feed_run_list list;
    int rc = feed_run_list_read(request, &list, err);

    REQUIRE(rc < 0 || (list.limit >= 0 && list.limit <= FEED_LIST_MAX && list.offset >= 0));
    REQUIRE(rc < 0 || (list.sort < FEED_BY_MEASURE) == !list.key);
    REQUIRE(rc < 0 || cJSON_GetArraySize(list.tags) <= FEED_TAGS_MAX);
    REQUIRE(rc < 0 || cJSON_GetArraySize(list.where) <= FEED_WHERE_MAX);
    return rc;
}

static int read_edit(const struct feed_request *request, struct err *err)
{
    struct feed_run_edit edit;
    int rc = feed_run_edit_read(request, &edit, err);

    REQUIRE(rc < 0 || (edit.run && (edit.name || edit.note || edit.tags || edit.has_hidden)));
    return rc;
}

static int read_params(const struct feed_request *request, struct err *err)
{
    struct feed_hello hello;
    struct feed_run run;
    struct feed_prune prune;
    struct feed_view_save view;
    struct feed_view_delete view_delete;
    struct feed_event_query events;
    struct feed_spectrum_query spectrum;
    struct feed_subscribe subscribe;
    struct feed_unsubscribe unsubscribe;

    switch (request->method) {
    case FEED_HELLO:
        return feed_hello_read(request, &hello, err);
    case FEED_RUN_LIST:
        return read_list(request, err);
    case FEED_RUN_EDIT:
        return read_edit(request, err);
    case FEED_HISTORY_PRUNE:
        return feed_prune_read(request, &prune, err);
    case FEED_RUN_GET:
    case FEED_RUN_DELETE:
    case FEED_LAYER_LIST:
    case FEED_REPRESENTATION_LIST:
        return feed_run_read(request, &run, err);
    case FEED_SERIES_QUERY:
        return read_series(request, err);
    case FEED_SCALARS_QUERY:
        return read_scalars(request, err);
    case FEED_EVENT_QUERY:
        return feed_event_query_read(request, &events, err);
    case FEED_SPECTRUM_QUERY:
        return feed_spectrum_query_read(request, &spectrum, err);
    case FEED_REPRESENTATION_MAP:
        return read_map(request, err);
    case FEED_SERIES_SUBSCRIBE:
    case FEED_EVENT_SUBSCRIBE:
        return feed_subscribe_read(request, &subscribe, err);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        return feed_unsubscribe_read(request, &unsubscribe, err);
    case FEED_VIEW_SAVE:
        return feed_view_save_read(request, &view, err);
    case FEED_VIEW_DELETE:
        return feed_view_delete_read(request, &view_delete, err);
    case FEED_VIEW_LIST:
    case FEED_STATUS:
    case FEED_METRIC_LIST:
    case FEED_METHOD_COUNT:
        break;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *line = copy_exactly(data, size);
    struct feed_request request;
    struct err err = {""};
    size_t length = 0;
    char *answer;
    int rc;

    memory_count();
    rc = feed_request_parse((const char *)line, size, &request, &err);
    REQUIRE(memory_most() <= BYTES_AT_LEAST + BYTES_PER_BYTE * size);
    if (rc == 0)
        rc = read_params(&request, &err);
    REQUIRE(rc <= 0);
    if (rc < 0)
        require_sentence(&err);
    answer = rc < 0 ? feed_error(request.id, rc, err.text, &length)
                    : feed_result(request.id, cJSON_CreateObject(), &length);
    require_answer(answer, length, request.id, rc);
    feed_request_release(&request);
    free(line);
    return 0;
}
