/* What a query of series or scalars is about, once its words are resolved: the run, the steps of
 * each of its attempts, the measures, the scalars, and how many rows an answer may have. One thread
 * at a time. Tested by test_history.c. */
#pragma once

#include "daemon/history/db.h"
#include "proto/base/point.h"

/* The steps of one attempt that are asked for; none when `to` < `from`. */
struct attempt_range {
    int64_t attempt;
    int64_t from;
    int64_t to;
};

struct scalar_name {
    int64_t key;
    char name[SCALAR_NAME_MAX + 1];
};

struct selection {
    const struct feed_range *range;
    int64_t run_key;
    char run[RUN_ID_MAX + 1];
    struct attempt_range *ranges; /* in the order of the attempts */
    size_t n_ranges;
    bool metrics[METRIC_COUNT];
    struct scalar_name *scalars; /* in the order of their names */
    size_t n_scalars;
    int64_t max_rows; /* of one layer or scalar */
};

/* Resolves the run and what is asked of it; `sel` starts as {0}. Release it also after a failure.
 */
int selection_of_run(struct history *, const char *run, const struct feed_range *,
                     struct selection *sel, struct err *err);
/* The same of a run by its key; `sel->run` stays empty. */
int selection_of_key(struct history *, int64_t run_key, const struct feed_range *,
                     struct selection *sel, struct err *err);
void selection_release(struct selection *);

/* Whether the member has a column: those of the layer stand beside the columns. */
bool selection_has_member(const struct selection *, const struct point_field *);

/* Chooses the measures of that name, all without an array. -EINVAL names a text that is no
 * measure. */
int selection_of_metrics(struct selection *, const cJSON *names, struct err *err);

/* Chooses the run's scalars of that name, all without an array. -ENOENT names one that the run has
 * not logged: it may be a typing mistake, so it is no empty series. */
int selection_of_scalars(struct history *, struct selection *, const cJSON *names, struct err *err);

/* The columns of a layer: the attempt, members of the point and scalars that are asked for. */
size_t selection_point_columns(const struct selection *);
/* Shares HISTORY_ANSWER_VALUES out among `n` layers or scalars of `n_columns` each. */
void selection_share_rows(struct selection *, size_t n, size_t n_columns);
