#include "daemon/format/model_json.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/format/meaning.h"
#include "proto/json.h"

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

/* The names of the bits set, as an array. Bits that have no name are left out. */
static cJSON *flags_to_json(uint32_t flags)
{
    cJSON *array = cJSON_CreateArray();

    for (int i = 0; array && i < FLAG_COUNT; i++) {
        cJSON *name;

        if (!(flags & (1u << i)))
            continue;
        name = cJSON_CreateString(flag_table[i].name);
        if (!name) {
            cJSON_Delete(array);
            return NULL;
        }
        cJSON_AddItemToArray(array, name);
    }
    return array;
}

cJSON *point_member_to_json(const struct point *point, const struct point_field *field)
{
    int64_t value;

    assert(point && field);
    if (field->kind == POINT_KIND_NUMBER)
        return json_from_double(point_number(point, field));
    value = point_integer(point, field);
    if (field->kind == POINT_KIND_FLAGS)
        return flags_to_json((uint32_t)value);
    if (field->kind == POINT_KIND_STEP && value < 0)
        return cJSON_CreateNull();
    return json_from_integer(value);
}

static bool add_text_if_any(cJSON *object, const char *name, const char *text)
{
    return !text || add_text(object, name, text);
}

/* The words at the ends of its scale, and what MEASURES.md says of it. */
static bool add_meaning(cJSON *object, int index)
{
    const struct meaning *meaning = &metric_meaning[index];

    return add_text_if_any(object, "low_end", metric_ends[index].low) &&
           add_text_if_any(object, "high_end", metric_ends[index].high) &&
           add_text_if_any(object, "in_words", meaning->in_words) &&
           add_text_if_any(object, "formula", meaning->formula) &&
           add_text_if_any(object, "source", meaning->source) &&
           add_text_if_any(object, "range", meaning->range) &&
           add_text_if_any(object, "compare", meaning->compare) &&
           add_text_if_any(object, "rows", meaning->rows) &&
           add_text_if_any(object, "misleads", meaning->misleads);
}

static bool add_metric_info(cJSON *object, int index)
{
    const struct metric_info *metric = &metric_table[index];
    int corrected = metric_corrected(index);
    static const char *const needs[] = {
        [NEEDS_NOTHING] = "nothing", [NEEDS_LABELS] = "labels",   [NEEDS_SPECTRUM] = "spectrum",
        [NEEDS_PROBE] = "probe",     [NEEDS_TRAINER] = "trainer", [NEEDS_TARGETS] = "targets",
    };

    return add_text(object, "name", metric->name) && add_text(object, "unit", metric->unit) &&
           add_text(object, "needs", needs[metric->needs]) &&
           add_text(object, "description", metric->description) &&
           add_text(object, "read_as", metric->read_as) &&
           (corrected == index || add_text(object, "corrected", metric_table[corrected].name)) &&
           add_meaning(object, index);
}

static bool add_flag_info(cJSON *object, const struct flag_info *flag)
{
    return add_text(object, "name", flag->name) &&
           add_text(object, "description", flag->description);
}

cJSON *metrics_to_json(void)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON *metrics = cJSON_AddArrayToObject(answer, "metrics");
    cJSON *flags = cJSON_AddArrayToObject(answer, "flags");
    bool done = metrics && flags;

    for (int i = 0; done && i < METRIC_COUNT; i++) {
        cJSON *object = json_push_object(metrics);

        done = object && add_metric_info(object, i);
    }
    for (int i = 0; done && i < FLAG_COUNT; i++) {
        cJSON *object = json_push_object(flags);

        done = object && add_flag_info(object, &flag_table[i]);
    }
    if (done)
        return answer;
    cJSON_Delete(answer);
    return NULL;
}

static bool add_place(cJSON *object, const char *run, const char *layer, uint32_t attempt)
{
    return object && add_text(object, "run", run) &&
           (layer ? add_text(object, "layer", layer)
                  : cJSON_AddNullToObject(object, "layer") != NULL) &&
           json_add_integer(object, "attempt", attempt);
}

static bool add_member(cJSON *object, const struct point *point, const struct point_field *field)
{
    cJSON *value = point_member_to_json(point, field);

    if (value && cJSON_AddItemToObject(object, field->name, value))
        return true;
    cJSON_Delete(value);
    return false;
}

cJSON *point_to_json(const char *run, const char *layer, uint32_t attempt,
                     const struct point *point)
{
    cJSON *object = cJSON_CreateObject();
    bool done = add_place(object, run, layer, attempt);

    for (int i = 0; done && i < POINT_MEMBER_COUNT; i++)
        done = add_member(object, point, &point_table[i]);
    if (done)
        return object;
    cJSON_Delete(object);
    return NULL;
}

cJSON *scalar_to_json(const char *run, uint32_t attempt, int64_t step, double time,
                      const struct scalar *scalar)
{
    cJSON *object = cJSON_CreateObject();

    if (object && add_text(object, "run", run) && add_text(object, "name", scalar->name) &&
        json_add_integer(object, "attempt", attempt) && json_add_integer(object, "step", step) &&
        json_add_double(object, "time", time) && json_add_double(object, "value", scalar->value))
        return object;
    cJSON_Delete(object);
    return NULL;
}

/* Null below 0. */
static bool add_step(cJSON *object, const char *name, int64_t step)
{
    return step < 0 ? cJSON_AddNullToObject(object, name) != NULL
                    : json_add_integer(object, name, step);
}

static bool add_transition(cJSON *object, const struct finding *finding)
{
    const struct transition *transition = &finding->transition;

    return add_text(object, "kind", "transition") && add_text(object, "metric", finding->metric) &&
           add_text(object, "direction", transition_direction_name(transition->direction)) &&
           json_add_integer(object, "start", transition->start) &&
           json_add_integer(object, "end", transition->end) &&
           json_add_double(object, "from", transition->from) &&
           json_add_double(object, "to", transition->to) &&
           json_add_double(object, "size", transition->size) &&
           json_add_double(object, "n_from", finding->n_from) &&
           json_add_double(object, "n_to", finding->n_to) &&
           add_step(object, "returned", transition->returned);
}

static bool add_agreement(cJSON *object, const struct finding *finding)
{
    cJSON *accuracy;

    if (finding->agrees == AGREES_UNKNOWN)
        return cJSON_AddNullToObject(object, "agrees") && cJSON_AddNullToObject(object, "accuracy");
    accuracy = cJSON_AddBoolToObject(object, "agrees", finding->agrees == AGREES_YES)
                   ? cJSON_AddObjectToObject(object, "accuracy")
                   : NULL;
    return accuracy && add_text(accuracy, "name", finding->accuracy.name) &&
           json_add_double(accuracy, "from", finding->accuracy.from) &&
           json_add_double(accuracy, "to", finding->accuracy.to);
}

/* What a member of the summary may not have, it lacks here, too. */
static bool add_alert(cJSON *object, const struct finding *finding)
{
    struct err ignored;
    cJSON *said = json_parse(finding->alert, strlen(finding->alert), &ignored);
    const char *level = "info", *text = "", *title = finding->metric + strlen(ALERT_NAME);
    bool done;

    json_text(said, "level", JSON_MAX_SIZE, &level, &ignored);
    json_text(said, "text", JSON_MAX_SIZE, &text, &ignored);
    done = add_text(object, "kind", "alert") && add_text(object, "metric", finding->metric) &&
           json_add_integer(object, "start", finding->step) &&
           json_add_integer(object, "end", finding->step) && add_text(object, "level", level) &&
           add_text(object, "title", title) && add_text(object, "text", text);
    cJSON_Delete(said);
    return done;
}

cJSON *finding_to_json(const char *run, const char *layer, const struct finding *finding)
{
    cJSON *object = cJSON_CreateObject();

    if (add_place(object, run, layer, finding->attempt) &&
        json_add_integer(object, "step", finding->step) &&
        json_add_double(object, "time", finding->time) &&
        (finding->alert ? add_alert(object, finding)
                        : add_transition(object, finding) && add_agreement(object, finding)))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static bool add_values(cJSON *object, const char *name, const double *values, size_t n)
{
    cJSON *array;

    if (!values)
        return cJSON_AddNullToObject(object, name) != NULL;
    array = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; array && i < n; i++) {
        if (!json_push_double(array, values[i]))
            return false;
    }
    return array != NULL;
}

/* Null when there is nothing to add up, or no function space to take shares of. */
static bool add_cumulated(cJSON *object, const char *name, const double *share, uint32_t rank,
                          size_t n)
{
    double *sums;
    bool done;

    if (!share || rank == 0)
        return cJSON_AddNullToObject(object, name) != NULL;
    sums = malloc(n * sizeof *sums);
    if (!sums)
        return false;
    spectrum_cumulate(n, share, rank, sums);
    done = add_values(object, name, sums, n);
    free(sums);
    return done;
}

cJSON *spectrum_to_json(const char *run, const char *layer, uint32_t attempt, int64_t step,
                        double n, const struct spectrum *spectrum)
{
    cJSON *object = cJSON_CreateObject();

    if (add_place(object, run, layer, attempt) && json_add_integer(object, "step", step) &&
        json_add_double(object, "n", n) && json_add_integer(object, "p", spectrum->p) &&
        json_add_integer(object, "rank", spectrum->rank) &&
        json_add_integer(object, "rank_targets", spectrum->rank_targets) &&
        cJSON_AddBoolToObject(object, "centred", !spectrum->uncentred) &&
        cJSON_AddBoolToObject(object, "few_rows", spectrum->few_rows) &&
        json_add_double(object, "total", spectrum->total) &&
        add_values(object, "rho", spectrum->rho, spectrum->n_values) &&
        add_values(object, "u", spectrum->u, spectrum->n_values) &&
        add_values(object, "q", spectrum->q, spectrum->n_values) &&
        add_cumulated(object, "pi_hat", spectrum->u, spectrum->rank, spectrum->n_values) &&
        add_cumulated(object, "pi_star", spectrum->q, spectrum->rank_targets, spectrum->n_values))
        return object;
    cJSON_Delete(object);
    return NULL;
}
