#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* Scalars that are an accuracy on data held out from training. The first one that was logged counts
 * (proto/FEED.md). */
static const char *const accuracies[] = {
    "test_acc", "test_accuracy", "val_acc", "val_accuracy", "eval_acc", "eval_accuracy",
};
#define N_ACCURACIES (sizeof accuracies / sizeof *accuracies)

/* It agrees when it rises by more; accuracies beyond 1 are in percent. */
#define RISE 0.2

/* The largest values of the accuracy before and after the start: 1, or 0 when it was not logged on
 * both sides, or -errno. */
static int read_accuracy(struct store *s, const struct record *r, const char *name,
                         struct finding *f, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_ACCURACY];
    int rc;

    SQL_BIND(q, r->run_key, r->attempt, f->transition.start, f->step);
    sql_bind_text(q, 5, name);
    rc = sql_step(q, e);
    if (rc < 1)
        return rc;
    f->accuracy.from = sql_column_double(q, 0);
    f->accuracy.to = sql_column_double(q, 1);
    sqlite3_reset(q);
    return !isnan(f->accuracy.from) && !isnan(f->accuracy.to);
}

/* Only what was logged until now decides, so that all readers get the same answer. */
static int find_agreement(struct store *s, const struct record *r, struct finding *f, struct err *e)
{
    double unit;

    f->agrees = AGREES_UNKNOWN;
    f->accuracy.name = NULL;
    f->accuracy.from = f->accuracy.to = NAN;
    for (size_t i = 0; i < N_ACCURACIES; i++) {
        int rc = read_accuracy(s, r, accuracies[i], f, e);

        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        f->accuracy.name = accuracies[i];
        unit = fmax(f->accuracy.from, f->accuracy.to) > 1 ? 100 : 1;
        f->agrees = f->accuracy.to - f->accuracy.from > RISE * unit ? AGREES_YES : AGREES_NO;
        return 0;
    }
    f->accuracy.from = f->accuracy.to = NAN;
    return 0;
}

int store_finding_put(struct store *s, const struct record *r, int64_t layer_key, struct finding *f,
                      struct err *e)
{
    const struct transition *t = &f->transition;
    sqlite3_stmt *q = s->statement[SQL_FINDING_PUT];
    int rc = find_agreement(s, r, f, e);

    if (rc < 0)
        return rc;
    f->feed_seq = ++s->feed_seq;
    SQL_BIND(q, layer_key, r->attempt, f->step, t->direction, t->start, t->end, f->agrees,
             (int64_t)f->feed_seq);
    sql_bind_text(q, 9, metric_table[f->metric].name);
    sql_bind_double(q, 10, f->time);
    sql_bind_double(q, 11, t->from);
    sql_bind_double(q, 12, t->to);
    sql_bind_double(q, 13, t->confidence);
    sql_bind_text(q, 14, f->accuracy.name);
    sql_bind_double(q, 15, f->accuracy.from);
    sql_bind_double(q, 16, f->accuracy.to);
    return sql_run(q, e);
}

int store_finding_replay(struct store *s, const struct record *r, int64_t layer_key,
                         struct watch **out, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_POINT_VALUES];
    struct finding found_before[RUN_WATCHED_MAX];
    struct point point = {0};
    int rc;

    *out = NULL;
    if (r->open.watched.n == 0)
        return 0;
    SQL_BIND(q, layer_key, r->opened.attempt);
    while ((rc = sql_step(q, e)) == 1) {
        if (!*out)
            *out = watch_new(&r->open.watched);
        if (!*out) {
            sqlite3_reset(q);
            return err_set(e, -ENOMEM, "out of memory");
        }
        point.step = sqlite3_column_int64(q, 0);
        for (int i = 0; i < METRIC_COUNT; i++)
            point.value[i] = sql_column_double(q, 1 + i);
        watch_feed(*out, &point, found_before);
    }
    return rc;
}
