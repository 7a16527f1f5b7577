#include "proto/feed.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

#define MAX_PARAMS 14

/* One row a method: its name, and the parameters it knows. */
static const struct method_info {
    const char *name;
    const char *params[MAX_PARAMS + 1];
} methods[FEED_METHOD_COUNT] = {
    [FEED_HELLO] = {"server.hello", {"client", "token"}},
    [FEED_STATUS] = {"server.status", {NULL}},
    [FEED_RUN_LIST] = {"run.list",
                       {"project", "group", "state", "search", "tags", "order", "sort",
                        "descending", "hidden", "limit", "offset", "config", "values",
                        "values_at"}},
    [FEED_RUN_GET] = {"run.get", {"run"}},
    [FEED_RUN_EDIT] = {"run.edit", {"run", "name", "note", "tags", "hidden"}},
    [FEED_RUN_DELETE] = {"run.delete", {"run"}},
    [FEED_HISTORY_PRUNE] = {"history.prune", {"keep_days", "max_bytes", "dry_run"}},
    [FEED_VIEW_LIST] = {"view.list", {NULL}},
    [FEED_VIEW_SAVE] = {"view.save", {"name", "query", "note", "replace"}},
    [FEED_VIEW_DELETE] = {"view.delete", {"name"}},
    [FEED_LAYER_LIST] = {"layer.list", {"run"}},
    [FEED_SERIES_QUERY] = {"series.query",
                           {"run", "layer", "metrics", "scalars", "from", "to", "points", "spacing",
                            "attempts", "limit", "next", "times"}},
    [FEED_SERIES_SUBSCRIBE] = {"series.subscribe", {"run", "since_seq"}},
    [FEED_SERIES_UNSUBSCRIBE] = {"series.unsubscribe", {"sub"}},
    [FEED_SCALARS_QUERY] = {"scalars.query",
                            {"run", "names", "from", "to", "points", "spacing", "attempts", "limit",
                             "next", "times"}},
    [FEED_EVENT_QUERY] = {"event.query", {"run", "layer", "from", "to", "attempts"}},
    [FEED_EVENT_SUBSCRIBE] = {"event.subscribe", {"run", "since_seq"}},
    [FEED_EVENT_UNSUBSCRIBE] = {"event.unsubscribe", {"sub"}},
    [FEED_SPECTRUM_QUERY] = {"spectrum.query", {"run", "layer", "step"}},
    [FEED_REPRESENTATION_LIST] = {"representation.list", {"run"}},
    [FEED_REPRESENTATION_MAP] = {"representation.map",
                                 {"run", "with", "layers", "step", "from", "to"}},
    [FEED_METRIC_LIST] = {"metric.list", {NULL}},
};

/* ---- requests ------------------------------------------------------------------------------ */

static int check_id(const cJSON *object, struct err *err)
{
    double number;

    if (!object)
        return err_set(err, FEED_NOT_A_REQUEST, "\"id\" is missing: there would be no answer");
    if (cJSON_IsNull(object))
        return 0;
    if (cJSON_IsString(object) && strlen(object->valuestring) <= FEED_ID_MAX)
        return 0;
    number = cJSON_IsNumber(object) ? object->valuedouble : (double)NAN;
    if (number == floor(number) && fabs(number) < JSON_MAX_INTEGER)
        return 0;
    return err_set(err, FEED_NOT_A_REQUEST,
                   "\"id\" must be an exact integer or a text of at most %d bytes", FEED_ID_MAX);
}

static int find_method(const char *name)
{
    for (int i = 0; i < FEED_METHOD_COUNT; i++) {
        if (strcmp(methods[i].name, name) == 0)
            return i;
    }
    return -1;
}

static bool knows_param(const struct method_info *method, const char *name)
{
    for (int i = 0; method->params[i]; i++) {
        if (strcmp(method->params[i], name) == 0)
            return true;
    }
    return false;
}

static int check_params(const struct method_info *method, const cJSON *params, struct err *err)
{
    const cJSON *member;

    if (!params || cJSON_IsNull(params))
        return 0;
    if (!cJSON_IsObject(params))
        return err_set(err, FEED_BAD_PARAMS, "\"params\" must be an object");
    cJSON_ArrayForEach(member, params)
    {
        if (!knows_param(method, member->string))
            return err_set(err, FEED_BAD_PARAMS, "%s has no parameter \"%.64s\"", method->name,
                           member->string);
    }
    return 0;
}

/* The members of a request object, in the order in which their codes matter. */
static int read_request(struct feed_request *out, struct err *err)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(out->tree, "id");
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(out->tree, "jsonrpc");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(out->tree, "method");
    int rc, method;

    if (!cJSON_IsObject(out->tree))
        return err_set(err, FEED_NOT_A_REQUEST, "a batch is not accepted, send one object a line");
    rc = check_id(object, err);
    if (rc < 0)
        return rc;
    out->id = object;
    if (!cJSON_IsString(version) || strcmp(version->valuestring, "2.0") != 0)
        return err_set(err, FEED_NOT_A_REQUEST, "\"jsonrpc\" must be \"2.0\"");
    if (!cJSON_IsString(name))
        return err_set(err, FEED_NOT_A_REQUEST, "\"method\" must be a text");
    method = find_method(name->valuestring);
    if (method < 0)
        return err_set(err, FEED_NO_METHOD, "no method \"%.64s\"", name->valuestring);
    out->method = (enum feed_method)method;
    out->params = cJSON_GetObjectItemCaseSensitive(out->tree, "params");
    return check_params(&methods[method], out->params, err);
}

int feed_request_parse(const char *line, size_t size, struct feed_request *out, struct err *err)
{
    assert(line || size == 0);
    memset(out, 0, sizeof *out);
    if (size > JSON_MAX_SIZE)
        return err_set(err, FEED_NOT_A_REQUEST, "the line is longer than %d bytes", JSON_MAX_SIZE);
    out->tree = json_parse(line, size, err);
    if (!out->tree)
        return FEED_NOT_JSON;
    return read_request(out, err);
}

void feed_request_release(struct feed_request *request)
{
    cJSON_Delete(request->tree);
    memset(request, 0, sizeof *request);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Prints and frees the envelope (NULL: memory ran out while it was made). */
static char *finish_line(cJSON *envelope, size_t *size)
{
    char *text = envelope ? json_print(envelope) : NULL, *line = NULL;
    size_t length;

    cJSON_Delete(envelope);
    if (!text)
        return NULL;
    length = strlen(text);
    line = realloc(text, length + 2);
    if (!line) {
        free(text);
        return NULL;
    }
    memcpy(line + length, "\n", 2);
    *size = length + 1;
    return line;
}

static cJSON *new_envelope(void)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "jsonrpc", "2.0"))
        return object;
    cJSON_Delete(object);
    return NULL;
}

/* Adds `member` and takes it, also when it fails; it then frees the envelope and returns NULL. */
static cJSON *with(cJSON *envelope, const char *name, cJSON *member)
{
    if (envelope && member && cJSON_AddItemToObject(envelope, name, member))
        return envelope;
    cJSON_Delete(member);
    cJSON_Delete(envelope);
    return NULL;
}

/* Integers are echoed digit by digit, not through cJSON's printer. */
static cJSON *with_id(cJSON *envelope, const cJSON *object)
{
    if (!envelope)
        return NULL;
    if (!object || cJSON_IsNull(object))
        return with(envelope, "id", cJSON_CreateNull());
    if (cJSON_IsString(object))
        return with(envelope, "id", cJSON_CreateString(object->valuestring));
    if (json_add_integer(envelope, "id", (int64_t)object->valuedouble))
        return envelope;
    cJSON_Delete(envelope);
    return NULL;
}

char *feed_result(const cJSON *object, cJSON *result, size_t *size)
{
    return finish_line(with(with_id(new_envelope(), object), "result", result), size);
}

/* A text may quote what was sent, cut anywhere: what is not UTF-8 is shown as question marks. */
static cJSON *error_text(const char *text)
{
    cJSON *string = cJSON_CreateString(text);

    if (!string || json_utf8_valid(text, strlen(text)))
        return string;
    for (char *c = string->valuestring; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
    return string;
}

char *feed_error(const cJSON *object, int code, const char *text, size_t *size)
{
    cJSON *error = cJSON_CreateObject();

    assert(code < 0);
    if (error && !json_add_integer(error, "code", code)) {
        cJSON_Delete(error);
        error = NULL;
    }
    error = with(error, "message", error_text(text));
    return finish_line(with(with_id(new_envelope(), object), "error", error), size);
}

char *feed_notification(const char *method, cJSON *params, size_t *size)
{
    cJSON *envelope = with(new_envelope(), "method", cJSON_CreateString(method));

    return finish_line(with(envelope, "params", params), size);
}

int feed_code_of(int rc)
{
    switch (rc) {
    case -ENOENT:
        return FEED_NOT_FOUND;
    case -EINVAL:
        return FEED_BAD_PARAMS;
    case -ENOBUFS:
        return FEED_TOO_MANY;
    default:
        return FEED_FAILED;
    }
}
