#include "daemon/format/model_json.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

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

static bool add_metric_info(cJSON *object, const struct metric_info *metric)
{
    static const char *const needs[] = {
        [NEEDS_NOTHING] = "nothing", [NEEDS_LABELS] = "labels",   [NEEDS_SPECTRUM] = "spectrum",
        [NEEDS_PROBE] = "probe",     [NEEDS_TRAINER] = "trainer",
    };

    return add_text(object, "name", metric->name) && add_text(object, "unit", metric->unit) &&
           add_text(object, "needs", needs[metric->needs]) &&
           add_text(object, "description", metric->description);
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

        done = object && add_metric_info(object, &metric_table[i]);
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

static bool add_place(cJSON *o, const char *run, const char *layer, uint32_t attempt)
{
    return o && add_text(o, "run", run) && add_text(o, "layer", layer) &&
           json_add_integer(o, "attempt", attempt);
}

static bool add_member(cJSON *o, const struct point *point, const struct point_field *field)
{
    cJSON *value = point_member_to_json(point, field);

    if (value && cJSON_AddItemToObject(o, field->name, value))
        return true;
    cJSON_Delete(value);
    return false;
}

cJSON *point_to_json(const char *run, const char *layer, uint32_t attempt,
                     const struct point *point)
{
    cJSON *o = cJSON_CreateObject();
    bool done = add_place(o, run, layer, attempt);

    for (int i = 0; done && i < POINT_MEMBER_COUNT; i++)
        done = add_member(o, point, &point_table[i]);
    if (done)
        return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *scalar_to_json(const char *run, uint32_t attempt, int64_t step, double time,
                      const struct scalar *scalar)
{
    cJSON *o = cJSON_CreateObject();

    if (o && add_text(o, "run", run) && add_text(o, "name", scalar->name) &&
        json_add_integer(o, "attempt", attempt) && json_add_integer(o, "step", step) &&
        json_add_double(o, "time", time) && json_add_double(o, "value", scalar->value))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static bool add_transition(cJSON *o, const struct finding *f)
{
    const struct transition *t = &f->transition;

    return add_text(o, "kind", "transition") &&
           add_text(o, "metric", metric_table[f->metric].name) &&
           add_text(o, "direction", transition_direction_name(t->direction)) &&
           json_add_integer(o, "start", t->start) && json_add_integer(o, "end", t->end) &&
           json_add_double(o, "from", t->from) && json_add_double(o, "to", t->to) &&
           json_add_double(o, "size", t->size) && json_add_double(o, "confidence", t->confidence);
}

static bool add_agreement(cJSON *o, const struct finding *f)
{
    cJSON *accuracy;

    if (f->agrees == AGREES_UNKNOWN)
        return cJSON_AddNullToObject(o, "agrees") && cJSON_AddNullToObject(o, "accuracy");
    accuracy = cJSON_AddBoolToObject(o, "agrees", f->agrees == AGREES_YES)
                   ? cJSON_AddObjectToObject(o, "accuracy")
                   : NULL;
    return accuracy && add_text(accuracy, "name", f->accuracy.name) &&
           json_add_double(accuracy, "from", f->accuracy.from) &&
           json_add_double(accuracy, "to", f->accuracy.to);
}

cJSON *finding_to_json(const char *run, const char *layer, uint32_t attempt,
                       const struct finding *f)
{
    cJSON *o = cJSON_CreateObject();

    if (add_place(o, run, layer, attempt) && json_add_integer(o, "step", f->step) &&
        json_add_double(o, "time", f->time) && add_transition(o, f) && add_agreement(o, f))
        return o;
    cJSON_Delete(o);
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
                        double n, const struct spectrum *s)
{
    cJSON *o = cJSON_CreateObject();

    if (add_place(o, run, layer, attempt) && json_add_integer(o, "step", step) &&
        json_add_double(o, "n", n) && json_add_integer(o, "p", s->p) &&
        json_add_integer(o, "rank", s->rank) &&
        json_add_integer(o, "rank_targets", s->rank_targets) &&
        cJSON_AddBoolToObject(o, "centred", !s->uncentred) &&
        cJSON_AddBoolToObject(o, "few_rows", s->few_rows) &&
        json_add_double(o, "total", s->total) && add_values(o, "rho", s->rho, s->n_values) &&
        add_values(o, "u", s->u, s->n_values) && add_values(o, "q", s->q, s->n_values) &&
        add_cumulated(o, "pi_hat", s->u, s->rank, s->n_values) &&
        add_cumulated(o, "pi_star", s->q, s->rank_targets, s->n_values))
        return o;
    cJSON_Delete(o);
    return NULL;
}
