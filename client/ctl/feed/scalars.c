#include "client/ctl/feed/scalars.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/feed/params.h"

struct logged {
    int64_t step;
    int64_t attempt;
    size_t name;
    size_t order; /* of arrival: the last of a step counts */
    double value;
};

struct scalarindex {
    cJSON *run; /* the answer that the names are borrowed from */
    const char **names;
    size_t n_names;
    struct logged *logged; /* sorted by step, attempt, order */
    size_t n, size;
};

void scalarindex_free(struct scalarindex *s)
{
    if (!s)
        return;
    cJSON_Delete(s->run);
    free(s->names);
    free(s->logged);
    free(s);
}

static int out_of_memory(struct err *e)
{
    return err_set(e, -ENOMEM, "out of memory");
}

static int load_names(struct scalarindex *s, struct feedclient *feed, const char *run,
                      struct err *e)
{
    const cJSON *names, *name;
    int rc = feedclient_call(feed, "run.get", params_of(param_text("run", run)), &s->run, e);

    if (rc < 0)
        return rc;
    names = cJSON_GetObjectItemCaseSensitive(s->run, "scalars");
    s->names = calloc((size_t)cJSON_GetArraySize(names) + 1, sizeof *s->names);
    if (!s->names)
        return out_of_memory(e);
    cJSON_ArrayForEach(name, names)
    {
        if (cJSON_IsString(name))
            s->names[s->n_names++] = name->valuestring;
    }
    return 0;
}

/* What on_row needs besides the index: which scalar is being read. */
struct reading {
    struct scalarindex *index;
    size_t name;
};

static int on_row(void *context, const cJSON *const cells[], struct err *e)
{
    struct reading *r = context;
    struct scalarindex *s = r->index;

    if (s->n == s->size) {
        size_t size = s->size ? 2 * s->size : 1024;
        struct logged *logged = realloc(s->logged, size * sizeof *logged);

        if (!logged)
            return out_of_memory(e);
        s->logged = logged;
        s->size = size;
    }
    s->logged[s->n] = (struct logged){
        .step = cJSON_IsNumber(cells[0]) ? (int64_t)cells[0]->valuedouble : 0,
        .attempt = cJSON_IsNumber(cells[1]) ? (int64_t)cells[1]->valuedouble : 0,
        .name = r->name,
        .order = s->n,
        .value = cJSON_IsNumber(cells[2]) ? cells[2]->valuedouble : (double)NAN,
    };
    s->n++;
    return 0;
}

static int compare_place(const struct logged *l, int64_t step, int64_t attempt)
{
    if (l->step != step)
        return l->step < step ? -1 : 1;
    return l->attempt < attempt ? -1 : l->attempt > attempt;
}

static int compare_logged(const void *a, const void *b)
{
    const struct logged *left = a, *right = b;
    int rc = compare_place(left, right->step, right->attempt);

    if (rc != 0)
        return rc;
    return left->order < right->order ? -1 : left->order > right->order;
}

static int load(struct scalarindex *s, struct feedclient *feed, const struct history_query *q,
                struct err *e)
{
    static const char *const columns[] = {"step", "attempt", "value"};
    struct history_query query = *q;
    int rc = load_names(s, feed, q->run, e);

    query.kind = HISTORY_SCALAR;
    query.metric = NULL;
    for (size_t i = 0; i < s->n_names && rc == 0; i++) {
        struct reading reading = {s, i};

        query.name = s->names[i];
        rc = history_each(feed, &query, columns, 3, on_row, &reading, e);
    }
    if (rc == 0 && s->n > 0)
        qsort(s->logged, s->n, sizeof *s->logged, compare_logged);
    return rc;
}

int scalarindex_load(struct feedclient *feed, const struct history_query *q,
                     struct scalarindex **out, struct err *e)
{
    struct scalarindex *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return out_of_memory(e);
    rc = load(s, feed, q, e);
    if (rc < 0) {
        scalarindex_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

const char *const *scalarindex_names(const struct scalarindex *s, size_t *n)
{
    *n = s->n_names;
    return s->names;
}

/* The first that is not before the place. */
static size_t lower_bound(const struct scalarindex *s, int64_t step, int64_t attempt)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_place(&s->logged[middle], step, attempt) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void scalarindex_find(const struct scalarindex *s, int64_t step, int64_t attempt, double *values,
                      bool *present)
{
    for (size_t i = 0; i < s->n_names; i++) {
        values[i] = (double)NAN;
        present[i] = false;
    }
    for (size_t i = lower_bound(s, step, attempt);
         i < s->n && compare_place(&s->logged[i], step, attempt) == 0; i++) {
        values[s->logged[i].name] = s->logged[i].value;
        present[s->logged[i].name] = true;
    }
}
