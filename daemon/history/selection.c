#include "daemon/history/selection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/sql.h"

static int read_ranges(struct history *h, struct selection *sel, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_ATTEMPTS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(q, sel->run_key);
    while ((rc = sql_step(q, e)) == 1) {
        bool has_first = sqlite3_column_type(q, 1) != SQLITE_NULL;

        if (sel->n_ranges == capacity) {
            struct attempt_range *grown;

            capacity = capacity ? 2 * capacity : 8;
            grown = realloc(sel->ranges, capacity * sizeof *grown);
            if (!grown)
                return history_no_memory(e);
            sel->ranges = grown;
        }
        /* `from` holds the attempt's first step until cut_ranges() has used it. */
        sel->ranges[sel->n_ranges++] = (struct attempt_range){
            .attempt = sqlite3_column_int64(q, 0),
            .from = has_first ? sqlite3_column_int64(q, 1) : INT64_MAX,
            .to = sel->range->to,
        };
    }
    return rc;
}

/* Ends each attempt before the first step of every newer attempt, which supersedes what follows. An
 * attempt that has stored nothing supersedes nothing. */
static void cut_ranges(struct selection *sel)
{
    int64_t next_first = INT64_MAX;

    for (size_t i = sel->n_ranges; i-- > 0;) {
        struct attempt_range *s = &sel->ranges[i];
        int64_t first = s->from;

        s->from = sel->range->from;
        if (!sel->range->all_attempts && next_first <= s->to)
            s->to = next_first - 1;
        if (first < next_first)
            next_first = first;
    }
}

/* A page begins after the last row of the page before it. */
static void skip_given(struct selection *sel, const struct feed_place *given)
{
    for (size_t i = 0; i < sel->n_ranges; i++) {
        struct attempt_range *s = &sel->ranges[i];

        if (s->attempt < given->attempt || (s->attempt == given->attempt && s->to <= given->step))
            s->to = s->from - 1;
        else if (s->attempt == given->attempt && s->from <= given->step)
            s->from = given->step + 1;
    }
}

int selection_of_run(struct history *h, const char *run, const struct feed_range *range,
                     struct selection *sel, struct err *e)
{
    int rc;

    assert(run && range && !sel->ranges && !sel->scalars);
    sel->range = range;
    rc = history_resolve(h, run, &sel->run_key, sel->run, e);
    if (rc == 0)
        rc = read_ranges(h, sel, e);
    if (rc < 0)
        return rc;
    cut_ranges(sel);
    skip_given(sel, &range->next);
    return 0;
}

void selection_release(struct selection *sel)
{
    free(sel->ranges);
    free(sel->scalars);
    memset(sel, 0, sizeof *sel);
}

int selection_of_metrics(struct selection *sel, const cJSON *names, struct err *e)
{
    const cJSON *name;

    for (int i = 0; i < METRIC_COUNT; i++)
        sel->metrics[i] = !names;
    cJSON_ArrayForEach(name, names)
    {
        int metric = metric_find(name->valuestring);

        if (metric < 0)
            return err_set(e, -EINVAL, "\"metrics\": no measure \"%.64s\"", name->valuestring);
        sel->metrics[metric] = true;
    }
    return 0;
}

static bool is_wanted(const cJSON *names, const char *name)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        if (strcmp(wanted->valuestring, name) == 0)
            return true;
    }
    return !names;
}

static int check_names(const struct selection *sel, const cJSON *names, struct err *e)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        bool found = false;

        for (size_t i = 0; !found && i < sel->n_scalars; i++)
            found = strcmp(sel->scalars[i].name, wanted->valuestring) == 0;
        if (!found)
            return err_set(e, -ENOENT, "run \"%s\" has no scalar \"%.128s\"", sel->run,
                           wanted->valuestring);
    }
    return 0;
}

static int add_scalar(struct selection *sel, size_t *capacity, int64_t key, const char *name,
                      struct err *e)
{
    struct scalar_name *scalar;

    if (sel->n_scalars == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 16;
        scalar = realloc(sel->scalars, *capacity * sizeof *scalar);
        if (!scalar)
            return history_no_memory(e);
        sel->scalars = scalar;
    }
    scalar = &sel->scalars[sel->n_scalars++];
    scalar->key = key;
    snprintf(scalar->name, sizeof scalar->name, "%s", name);
    return 0;
}

int selection_of_scalars(struct history *h, struct selection *sel, const cJSON *names,
                         struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_NAMES];
    size_t capacity = 0;
    int rc;

    SQL_BIND(q, sel->run_key);
    while ((rc = sql_step(q, e)) == 1) {
        const char *name = sql_column_text(q, 1);

        rc = sql_row_check(q, e);
        if (rc == 0 && is_wanted(names, name))
            rc = add_scalar(sel, &capacity, sqlite3_column_int64(q, 0), name, e);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? rc : check_names(sel, names, e);
}

void selection_share_rows(struct selection *sel, size_t n, size_t n_joined)
{
    const struct feed_range *range = sel->range;
    int64_t wanted = range->limit > 0 ? range->limit : range->points;
    int64_t least = range->limit > 0 ? 1 : FEED_POINTS_MIN;
    int64_t share = (int64_t)(HISTORY_ANSWER_POINTS * (size_t)POINT_MEMBER_COUNT /
                              (POINT_MEMBER_COUNT + n_joined) / (n > 0 ? n : 1));

    if (share < least)
        share = least;
    sel->max_rows = wanted < share ? wanted : share;
}
