#include "daemon/history/selection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/sql.h"

static int read_ranges(struct history *history, struct selection *sel, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_ATTEMPTS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(statement, sel->run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        bool has_first = sqlite3_column_type(statement, 1) != SQLITE_NULL;

        if (sel->n_ranges == capacity) {
            struct attempt_range *grown;

            capacity = capacity ? 2 * capacity : 8;
            grown = realloc(sel->ranges, capacity * sizeof *grown);
            if (!grown)
                return history_no_memory(err);
            sel->ranges = grown;
        }
        /* `from` holds the attempt's first step until cut_ranges() has used it. */
        sel->ranges[sel->n_ranges++] = (struct attempt_range){
            .attempt = sqlite3_column_int64(statement, 0),
            .from = has_first ? sqlite3_column_int64(statement, 1) : INT64_MAX,
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
        struct attempt_range *range = &sel->ranges[i];
        int64_t first = range->from;

        range->from = sel->range->from;
        if (!sel->range->all_attempts && next_first <= range->to)
            range->to = next_first - 1;
        if (first < next_first)
            next_first = first;
    }
}

/* A page begins after the last row of the page before it. */
static void skip_given(struct selection *sel, const struct feed_place *given)
{
    for (size_t i = 0; i < sel->n_ranges; i++) {
        struct attempt_range *range = &sel->ranges[i];

        if (range->attempt < given->attempt ||
            (range->attempt == given->attempt && range->to <= given->step))
            range->to = range->from - 1;
        else if (range->attempt == given->attempt && range->from <= given->step)
            range->from = given->step + 1;
    }
}

int selection_of_key(struct history *history, int64_t run_key, const struct feed_range *range,
                     struct selection *sel, struct err *err)
{
    int rc;

    assert(range && !sel->ranges && !sel->scalars);
    sel->range = range;
    sel->run_key = run_key;
    rc = read_ranges(history, sel, err);
    if (rc < 0)
        return rc;
    cut_ranges(sel);
    skip_given(sel, &range->next);
    return 0;
}

int selection_of_run(struct history *history, const char *run, const struct feed_range *range,
                     struct selection *sel, struct err *err)
{
    int64_t run_key;
    int rc;

    assert(run);
    rc = history_resolve(history, run, &run_key, sel->run, err);
    return rc < 0 ? rc : selection_of_key(history, run_key, range, sel, err);
}

void selection_release(struct selection *sel)
{
    free(sel->ranges);
    free(sel->scalars);
    memset(sel, 0, sizeof *sel);
}

int selection_of_metrics(struct selection *sel, const cJSON *names, struct err *err)
{
    const cJSON *name;

    for (int i = 0; i < METRIC_COUNT; i++)
        sel->metrics[i] = !names;
    cJSON_ArrayForEach(name, names)
    {
        int metric = metric_find(name->valuestring);

        if (metric < 0)
            return err_set(err, -EINVAL, "\"metrics\": no measure \"%.64s\"", name->valuestring);
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

static int check_names(const struct selection *sel, const cJSON *names, struct err *err)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        bool found = false;

        for (size_t i = 0; !found && i < sel->n_scalars; i++)
            found = strcmp(sel->scalars[i].name, wanted->valuestring) == 0;
        if (!found)
            return err_set(err, -ENOENT, "run \"%s\" has no scalar \"%.128s\"", sel->run,
                           wanted->valuestring);
    }
    return 0;
}

static int add_scalar(struct selection *sel, size_t *capacity, int64_t key, const char *name,
                      struct err *err)
{
    struct scalar_name *scalar;

    if (sel->n_scalars == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 16;
        scalar = realloc(sel->scalars, *capacity * sizeof *scalar);
        if (!scalar)
            return history_no_memory(err);
        sel->scalars = scalar;
    }
    scalar = &sel->scalars[sel->n_scalars++];
    scalar->key = key;
    snprintf(scalar->name, sizeof scalar->name, "%s", name);
    return 0;
}

int selection_of_scalars(struct history *history, struct selection *sel, const cJSON *names,
                         struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_NAMES];
    size_t capacity = 0;
    int rc;

    SQL_BIND(statement, sel->run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        const char *name = sql_column_text(statement, 1);

        rc = sql_row_check(statement, err);
        if (rc == 0 && is_wanted(names, name))
            rc = add_scalar(sel, &capacity, sqlite3_column_int64(statement, 0), name, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? rc : check_names(sel, names, err);
}

bool selection_has_member(const struct selection *sel, const struct point_field *field)
{
    return field->place == POINT_PLACE_ROW && (field->metric < 0 || sel->metrics[field->metric]);
}

size_t selection_point_columns(const struct selection *sel)
{
    size_t n = 1 + sel->n_scalars;

    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        n += selection_has_member(sel, &point_table[i]);
    return n;
}

void selection_share_rows(struct selection *sel, size_t n, size_t n_columns)
{
    const struct feed_range *range = sel->range;
    int64_t wanted = range->limit > 0 ? range->limit : range->points;
    int64_t least = range->limit > 0 ? 1 : FEED_POINTS_MIN;
    int64_t share = (int64_t)(HISTORY_ANSWER_VALUES / n_columns / (n > 0 ? n : 1));

    if (share < least)
        share = least;
    sel->max_rows = wanted < share ? wanted : share;
}
