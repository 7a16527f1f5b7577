#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/state.h"
#include "proto/feed.h"
#include "proto/json.h"

/* The parameters of a request, typed and within their bounds. Tested by test_feed.c. */

static const char *const spacing_words[] = {"log", "linear", NULL};
static const char *const attempts_words[] = {"effective", "all", NULL};
/* As enum feed_sort; `order` knows the first three. */
static const char *const order_words[] = {"created", "updated", "name", NULL};
/* As enum feed_at, whose last one is a number. */
static const char *const at_words[] = {"last", "least", "greatest", NULL};
static const char *const sort_words[] = {"created", "updated", "name", "state", NULL};

/* A look-up's 0 or 1 is fine here, and its error always names the parameter. */
static int checked(int rc)
{
    return rc < 0 ? FEED_BAD_PARAMS : 0;
}

static int read_run_named(const cJSON *params, const char *name, bool required, const char **out,
                          struct err *err)
{
    int rc = json_text(params, name, FEED_RUN_MAX, out, err);

    if (rc == 0 && required)
        return err_set(err, FEED_BAD_PARAMS, "\"%s\" is required", name);
    if (rc == 1 && **out == '\0')
        return err_set(err, FEED_BAD_PARAMS, "\"%s\" is empty", name);
    return checked(rc);
}

static int read_run(const cJSON *params, bool required, const char **out, struct err *err)
{
    return read_run_named(params, "run", required, out, err);
}

/* Whether the second of two words is there; the first is the default. */
static int read_second(const cJSON *params, const char *name, const char *const *words, bool *out,
                       struct err *err)
{
    int choice = 0, rc = json_word(params, name, words, &choice, err);

    *out = choice == 1;
    return checked(rc);
}

/* true or false, and as HTTP gives them. Left out, `out` stays. */
static int read_flag(const cJSON *params, const char *name, bool *out, struct err *err)
{
    const cJSON *flag = cJSON_GetObjectItemCaseSensitive(params, name);
    const char *text = cJSON_GetStringValue(flag);

    if (!flag || cJSON_IsNull(flag))
        return 0;
    *out = cJSON_IsTrue(flag) || (text && strcmp(text, "true") == 0);
    if (*out || cJSON_IsFalse(flag) || (text && strcmp(text, "false") == 0))
        return 0;
    return err_set(err, FEED_BAD_PARAMS, "\"%s\" must be true or false", name);
}

static int read_texts(const cJSON *params, const char *name, const cJSON **out, struct err *err)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(params, name), *text;
    int n = 0;

    *out = NULL;
    if (!array || cJSON_IsNull(array))
        return 0;
    if (!cJSON_IsArray(array))
        return err_set(err, FEED_BAD_PARAMS, "\"%s\" must be an array of texts", name);
    cJSON_ArrayForEach(text, array)
    {
        if (!cJSON_IsString(text) || ++n > FEED_NAMES_MAX)
            return err_set(err, FEED_BAD_PARAMS, "\"%s\" must be an array of at most %d texts",
                           name, FEED_NAMES_MAX);
    }
    *out = array;
    return 0;
}

void feed_place_print(const struct feed_place *place, char text[FEED_PLACE_SIZE])
{
    assert(place->attempt > 0 && place->step >= 0);
    snprintf(text, FEED_PLACE_SIZE, "%" PRId64 ":%" PRId64, place->attempt, place->step);
}

/* Takes only what feed_place_print writes: a text that reads back as the same text. */
static int read_place(const cJSON *params, const char *name, struct feed_place *out,
                      struct err *err)
{
    char again[FEED_PLACE_SIZE] = "";
    const char *text = NULL;
    int rc = json_text(params, name, FEED_PLACE_SIZE, &text, err);

    if (rc <= 0)
        return checked(rc);
    if (sscanf(text, "%" SCNd64 ":%" SCNd64, &out->attempt, &out->step) == 2 && out->attempt > 0 &&
        out->step >= 0)
        feed_place_print(out, again);
    if (strcmp(text, again) != 0)
        return err_set(err, FEED_BAD_PARAMS, "\"%s\" must be what an answer had as \"next\"", name);
    return 0;
}

static int read_range(const cJSON *params, struct feed_range *out, struct err *err)
{
    int rc;

    *out = (struct feed_range){.from = 0, .to = INT64_MAX, .points = FEED_POINTS_DEFAULT};
    rc = json_integer(params, "from", 0, INT64_MAX, &out->from, err);
    if (rc >= 0)
        rc = json_integer(params, "to", 0, INT64_MAX, &out->to, err);
    if (rc >= 0)
        rc = json_integer(params, "points", FEED_POINTS_MIN, FEED_POINTS_MAX, &out->points, err);
    if (rc >= 0)
        rc = json_integer(params, "limit", 1, FEED_ROWS_MAX, &out->limit, err);
    if (rc >= 0)
        rc = read_place(params, "next", &out->next, err);
    if (rc < 0)
        return checked(rc);
    if (out->next.attempt > 0 && out->limit == 0)
        return err_set(err, FEED_BAD_PARAMS, "\"next\" needs \"limit\"");
    rc = read_second(params, "spacing", spacing_words, &out->linear, err);
    if (rc >= 0)
        rc = read_second(params, "attempts", attempts_words, &out->all_attempts, err);
    return rc < 0 ? rc : read_flag(params, "times", &out->times, err);
}

int feed_hello_read(const struct feed_request *request, struct feed_hello *out, struct err *err)
{
    int rc;

    *out = (struct feed_hello){.client = ""};
    rc = json_text(request->params, "client", TEXT_MAX, &out->client, err);
    if (rc >= 0)
        rc = json_text(request->params, "token", TEXT_MAX, &out->token, err);
    return checked(rc);
}

/* ---- run.list and run.edit ----------------------------------------------------------------- */

/* At most so many texts of at most TEXT_MAX bytes; `what` is one of them. */
static int read_few_texts(const cJSON *params, const char *name, int n_max, const char *what,
                          const cJSON **out, struct err *err)
{
    const cJSON *text;
    int rc = read_texts(params, name, out, err);

    if (rc == 0 && cJSON_GetArraySize(*out) > n_max)
        return err_set(err, FEED_BAD_PARAMS, "\"%s\": at most %d", name, n_max);
    cJSON_ArrayForEach(text, *out)
    {
        if (rc == 0 && strlen(text->valuestring) > TEXT_MAX)
            rc = err_set(err, FEED_BAD_PARAMS, "\"%s\": %s has at most %d bytes", name, what,
                         TEXT_MAX);
    }
    return rc;
}

static int read_tags(const cJSON *params, const cJSON **out, struct err *err)
{
    return read_few_texts(params, "tags", FEED_TAGS_MAX, "a tag", out, err);
}

bool feed_where_range(const cJSON *value, double *min, double *max)
{
    const cJSON *low = cJSON_GetObjectItemCaseSensitive(value, "min"),
                *high = cJSON_GetObjectItemCaseSensitive(value, "max");

    *min = cJSON_IsNumber(low) ? low->valuedouble : (double)NAN;
    *max = cJSON_IsNumber(high) ? high->valuedouble : (double)NAN;
    return cJSON_IsObject(value) && cJSON_GetArraySize(value) > 0 &&
           cJSON_GetArraySize(value) == cJSON_IsNumber(low) + cJSON_IsNumber(high);
}

static int check_where(const cJSON *where, struct err *err)
{
    const cJSON *value;
    double min, max;
    int n = 0;

    cJSON_ArrayForEach(value, where)
    {
        if (++n > FEED_WHERE_MAX)
            return err_set(err, FEED_BAD_PARAMS, "\"config\": at most %d names", FEED_WHERE_MAX);
        if (strlen(value->string) > TEXT_MAX || strpbrk(value->string, "\"\\"))
            return err_set(err, FEED_BAD_PARAMS,
                           "\"config\": a name has at most %d bytes, no quotes and no backslash",
                           TEXT_MAX);
        if ((cJSON_IsObject(value) && !feed_where_range(value, &min, &max)) || cJSON_IsArray(value))
            return err_set(err, FEED_BAD_PARAMS,
                           "\"config\": \"%.64s\" must be a value, or {\"min\",\"max\"}",
                           value->string);
    }
    return 0;
}

/* Names of measures, which the daemon knows, and of scalars, which anybody may give. */
static int read_values(const cJSON *params, const cJSON **out, struct err *err)
{
    return read_few_texts(params, "values", FEED_VALUES_MAX, "a name", out, err);
}

static bool has_text(const cJSON *texts, const char *wanted)
{
    const cJSON *text;

    cJSON_ArrayForEach(text, texts)
    {
        if (strcmp(text->valuestring, wanted) == 0)
            return true;
    }
    return false;
}

/* One of the words, or FEED_AT_STEP with the step; -1 is neither. */
static int parse_at(const cJSON *values_at, const char *name, int64_t *step)
{
    struct err unused;
    int word = FEED_AT_LAST;

    if (json_integer(values_at, name, 0, INT64_MAX, step, &unused) == 1)
        return FEED_AT_STEP;
    return json_word(values_at, name, at_words, &word, &unused) < 0 ? -1 : word;
}

enum feed_at feed_value_at(const cJSON *values_at, const char *name, int64_t *step)
{
    int at = parse_at(values_at, name, step);

    assert(at >= 0);
    return (enum feed_at)at;
}

static int read_values_at(const cJSON *params, struct feed_run_list *out, struct err *err)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(params, "values_at"), *item;
    int64_t step;

    if (!object || cJSON_IsNull(object))
        return 0;
    if (!cJSON_IsObject(object))
        return err_set(err, FEED_BAD_PARAMS, "\"values_at\" must be an object");
    cJSON_ArrayForEach(item, object)
    {
        if (!has_text(out->values, item->string))
            return err_set(err, FEED_BAD_PARAMS, "\"values_at\": \"%.64s\" is not in \"values\"",
                           item->string);
        if (parse_at(object, item->string, &step) < 0)
            return err_set(err, FEED_BAD_PARAMS,
                           "\"values_at\": \"%.64s\" must be \"last\", \"least\", \"greatest\" or a"
                           " step",
                           item->string);
    }
    out->values_at = object;
    return 0;
}

/* Whether the runs come with their configuration, or what it has to have. */
static int read_config(const cJSON *params, struct feed_run_list *out, struct err *err)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(params, "config");

    if (!cJSON_IsObject(config))
        return read_flag(params, "config", &out->config, err);
    out->config = true;
    out->where = config;
    return check_where(config, err);
}

/* "scalar:NAME", "config:KEY", one of the words, or the name of a measure. */
static int read_sort_word(const char *text, struct feed_run_list *out, struct err *err)
{
    for (int i = 0; sort_words[i]; i++) {
        if (strcmp(text, sort_words[i]) == 0) {
            out->sort = (enum feed_sort)i;
            return 0;
        }
    }
    out->sort = FEED_BY_MEASURE;
    out->key = text;
    if (strncmp(text, "scalar:", 7) == 0) {
        out->sort = FEED_BY_SCALAR;
        out->key = text + 7;
    } else if (strncmp(text, "config:", 7) == 0) {
        out->sort = FEED_BY_CONFIG;
        out->key = text + 7;
    }
    if (*out->key && !strpbrk(out->key, "\"\\"))
        return 0;
    return err_set(err, FEED_BAD_PARAMS, "\"sort\": what follows the colon has to be a name");
}

/* `order` is the older word for some of `sort`. */
static int read_sort(const cJSON *params, struct feed_run_list *out, struct err *err)
{
    const char *text = NULL;
    int order = -1, rc = json_word(params, "order", order_words, &order, err);

    if (rc >= 0)
        rc = json_text(params, "sort", TEXT_MAX, &text, err);
    if (rc < 0)
        return FEED_BAD_PARAMS;
    if (text && order >= 0)
        return err_set(err, FEED_BAD_PARAMS, "\"order\" and \"sort\" say the same: one of them");
    if (order >= 0)
        out->sort = (enum feed_sort)order;
    rc = text ? read_sort_word(text, out, err) : 0;
    out->descending = out->sort == FEED_BY_CREATED || out->sort == FEED_BY_UPDATED;
    return rc < 0 ? rc : read_flag(params, "descending", &out->descending, err);
}

int feed_run_list_read(const struct feed_request *request, struct feed_run_list *out,
                       struct err *err)
{
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"project", &out->project}, {"group", &out->group}, {"search", &out->search}};
    const cJSON *params = request->params;
    int rc = 0, state = -1;

    *out = (struct feed_run_list){.limit = FEED_LIST_DEFAULT};
    for (size_t i = 0; rc >= 0 && i < sizeof texts / sizeof *texts; i++)
        rc = json_text(params, texts[i].name, TEXT_MAX, texts[i].text, err);
    if (rc >= 0)
        rc = json_integer(params, "limit", 0, FEED_LIST_MAX, &out->limit, err);
    if (rc >= 0)
        rc = json_integer(params, "offset", 0, INT32_MAX, &out->offset, err);
    if (rc >= 0)
        rc = json_word(params, "state", state_names, &state, err);
    if (rc >= 0)
        rc = read_flag(params, "hidden", &out->hidden, err);
    if (rc >= 0)
        rc = read_tags(params, &out->tags, err);
    if (rc >= 0)
        rc = read_config(params, out, err);
    if (rc >= 0)
        rc = read_values(params, &out->values, err);
    if (rc >= 0)
        rc = read_values_at(params, out, err);
    if (rc >= 0)
        rc = read_sort(params, out, err);
    out->state = state < 0 ? NULL : state_names[state];
    return checked(rc);
}

int feed_run_edit_read(const struct feed_request *request, struct feed_run_edit *out,
                       struct err *err)
{
    const cJSON *params = request->params,
                *hidden = cJSON_GetObjectItemCaseSensitive(params, "hidden");
    int rc;

    *out = (struct feed_run_edit){.has_hidden = hidden && !cJSON_IsNull(hidden)};
    rc = read_run(params, true, &out->run, err);
    if (rc >= 0)
        rc = json_text(params, "name", TEXT_MAX, &out->name, err);
    if (rc >= 0)
        rc = json_text(params, "note", FEED_NOTE_MAX, &out->note, err);
    if (rc >= 0)
        rc = read_tags(params, &out->tags, err);
    if (rc >= 0)
        rc = read_flag(params, "hidden", &out->hidden, err);
    if (rc < 0)
        return FEED_BAD_PARAMS;
    if (out->name && !*out->name)
        return err_set(err, FEED_BAD_PARAMS, "\"name\" is empty");
    if (!out->name && !out->note && !out->tags && !out->has_hidden)
        return err_set(err, FEED_BAD_PARAMS, "nothing to change: name, note, tags or hidden");
    return 0;
}

int feed_run_read(const struct feed_request *request, struct feed_run *out, struct err *err)
{
    out->run = NULL;
    return read_run(request->params, true, &out->run, err);
}

int feed_prune_read(const struct feed_request *request, struct feed_prune *out, struct err *err)
{
    const cJSON *params = request->params;
    int rc;

    *out = (struct feed_prune){.keep_days = -1, .max_bytes = -1};
    rc = json_integer(params, "keep_days", 0, INT32_MAX, &out->keep_days, err);
    if (rc >= 0)
        rc = json_integer(params, "max_bytes", 0, INT64_MAX, &out->max_bytes, err);
    if (rc >= 0)
        rc = read_flag(params, "dry_run", &out->is_dry, err);
    if (rc >= 0 && out->keep_days < 0 && out->max_bytes < 0)
        return err_set(err, FEED_BAD_PARAMS, "\"keep_days\" or \"max_bytes\" is required");
    return checked(rc);
}

/* An array of names, or true for all of them. */
static int read_scalars(const cJSON *params, struct feed_series_query *out, struct err *err)
{
    const cJSON *scalars = cJSON_GetObjectItemCaseSensitive(params, "scalars");

    out->all_scalars = cJSON_IsTrue(scalars);
    if (out->all_scalars || cJSON_IsFalse(scalars))
        return 0;
    return read_texts(params, "scalars", &out->scalars, err);
}

int feed_series_query_read(const struct feed_request *request, struct feed_series_query *out,
                           struct err *err)
{
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_run(request->params, true, &out->run, err);
    if (rc == 0)
        rc = checked(json_text(request->params, "layer", TEXT_MAX, &out->layer, err));
    if (rc == 0)
        rc = read_texts(request->params, "metrics", &out->metrics, err);
    if (rc == 0)
        rc = read_scalars(request->params, out, err);
    if (rc == 0)
        rc = read_range(request->params, &out->range, err);
    if (rc == 0 && out->range.next.attempt > 0 && !out->layer)
        return err_set(err, FEED_BAD_PARAMS, "\"next\" needs \"layer\": each has its own");
    return rc;
}

int feed_scalars_query_read(const struct feed_request *request, struct feed_scalars_query *out,
                            struct err *err)
{
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_run(request->params, true, &out->run, err);
    if (rc == 0)
        rc = read_texts(request->params, "names", &out->names, err);
    if (rc == 0)
        rc = read_range(request->params, &out->range, err);
    if (rc == 0 && out->range.next.attempt > 0 && cJSON_GetArraySize(out->names) != 1)
        return err_set(err, FEED_BAD_PARAMS, "\"next\" needs one name: each has its own");
    return rc;
}

int feed_event_query_read(const struct feed_request *request, struct feed_event_query *out,
                          struct err *err)
{
    int rc;

    *out = (struct feed_event_query){.to = INT64_MAX};
    rc = read_run(request->params, true, &out->run, err);
    if (rc == 0)
        rc = checked(json_text(request->params, "layer", TEXT_MAX, &out->layer, err));
    if (rc == 0)
        rc = checked(json_integer(request->params, "from", 0, INT64_MAX, &out->from, err));
    if (rc == 0)
        rc = checked(json_integer(request->params, "to", 0, INT64_MAX, &out->to, err));
    return rc < 0
               ? rc
               : read_second(request->params, "attempts", attempts_words, &out->all_attempts, err);
}

int feed_spectrum_query_read(const struct feed_request *request, struct feed_spectrum_query *out,
                             struct err *err)
{
    int rc;

    *out = (struct feed_spectrum_query){.step = -1};
    rc = read_run(request->params, true, &out->run, err);
    if (rc == 0)
        rc = checked(json_text(request->params, "layer", TEXT_MAX, &out->layer, err));
    if (rc == 0)
        rc = checked(json_integer(request->params, "step", 0, INT64_MAX, &out->step, err));
    return rc;
}

/* A step, or a range: 1 when `from` or `to` is there. */
static int read_map_steps(const cJSON *params, struct feed_representation_map *out, struct err *err)
{
    int from = json_integer(params, "from", 0, INT64_MAX, &out->from, err), to = 0, step = 0;

    if (from >= 0)
        to = json_integer(params, "to", 0, INT64_MAX, &out->to, err);
    if (from >= 0 && to >= 0)
        step = json_integer(params, "step", 0, INT64_MAX, &out->step, err);
    if (from < 0 || to < 0 || step < 0)
        return FEED_BAD_PARAMS;
    out->is_range = from || to;
    if (out->is_range && step)
        return err_set(err, FEED_BAD_PARAMS, "\"step\" is one step: \"from\" and \"to\" say more");
    if (step)
        out->from = out->to = out->step;
    return 0;
}

int feed_representation_map_read(const struct feed_request *request,
                                 struct feed_representation_map *out, struct err *err)
{
    int rc;

    *out = (struct feed_representation_map){.to = INT64_MAX, .step = -1};
    rc = read_run(request->params, true, &out->run, err);
    if (rc == 0)
        rc = read_run_named(request->params, "with", false, &out->with, err);
    if (rc == 0)
        rc = read_texts(request->params, "layers", &out->layers, err);
    return rc < 0 ? rc : read_map_steps(request->params, out, err);
}

int feed_subscribe_read(const struct feed_request *request, struct feed_subscribe *out,
                        struct err *err)
{
    int64_t seq = 0;
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_run(request->params, false, &out->run, err);
    if (rc < 0)
        return rc;
    rc = json_integer(request->params, "since_seq", 0, INT64_MAX, &seq, err);
    out->has_since_seq = rc == 1;
    out->since_seq = (uint64_t)seq;
    return checked(rc);
}

int feed_unsubscribe_read(const struct feed_request *request, struct feed_unsubscribe *out,
                          struct err *err)
{
    int rc;

    out->sub = 0;
    rc = json_integer(request->params, "sub", 1, INT64_MAX, &out->sub, err);
    if (rc == 0)
        return err_set(err, FEED_BAD_PARAMS, "\"sub\" is required");
    return checked(rc);
}
