#include "proto/feed.h"
#include "proto/json.h"

/* The parameters of view.save and view.delete, as feed_params.c has those of all others. Tested by
 * test_feed.c. */

static int read_name(const cJSON *params, const char **out, struct err *err)
{
    int rc = json_text(params, "name", FEED_VIEW_NAME_MAX, out, err);

    if (rc < 0)
        return FEED_BAD_PARAMS;
    if (rc == 0)
        return err_set(err, FEED_BAD_PARAMS, "\"name\" is required");
    return **out ? 0 : err_set(err, FEED_BAD_PARAMS, "\"name\" is empty");
}

static int read_replace(const cJSON *params, bool *out, struct err *err)
{
    const cJSON *replace = cJSON_GetObjectItemCaseSensitive(params, "replace");

    *out = cJSON_IsTrue(replace);
    if (!replace || cJSON_IsNull(replace) || cJSON_IsBool(replace))
        return 0;
    return err_set(err, FEED_BAD_PARAMS, "\"replace\" must be true or false");
}

int feed_view_save_read(const struct feed_request *request, struct feed_view_save *out,
                        struct err *err)
{
    const cJSON *params = request->params;
    int rc;

    *out = (struct feed_view_save){0};
    rc = read_name(params, &out->name, err);
    if (rc < 0)
        return rc;
    rc = json_text(params, "query", FEED_VIEW_QUERY_MAX, &out->query, err);
    if (rc == 0)
        return err_set(err, FEED_BAD_PARAMS, "\"query\" is required");
    if (rc < 0 || json_text(params, "note", FEED_NOTE_MAX, &out->note, err) < 0)
        return FEED_BAD_PARAMS;
    return read_replace(params, &out->replace, err);
}

int feed_view_delete_read(const struct feed_request *request, struct feed_view_delete *out,
                          struct err *err)
{
    out->name = NULL;
    return read_name(request->params, &out->name, err);
}
