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
static int read_accuracy(struct store *store, const struct record *record, const char *name,
                         struct finding *finding, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ACCURACY];
    int rc;

    SQL_BIND(statement, record->run_key, record->attempt, finding->transition.start, finding->step);
    sql_bind_text(statement, 5, name);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    finding->accuracy.from = sql_column_double(statement, 0);
    finding->accuracy.to = sql_column_double(statement, 1);
    sqlite3_reset(statement);
    return !isnan(finding->accuracy.from) && !isnan(finding->accuracy.to);
}

/* Only what was logged until now decides, so that all readers get the same answer. */
static int find_agreement(struct store *store, const struct record *record, struct finding *finding,
                          struct err *err)
{
    double unit;

    finding->agrees = AGREES_UNKNOWN;
    finding->accuracy.name = NULL;
    finding->accuracy.from = finding->accuracy.to = NAN;
    for (size_t i = 0; i < N_ACCURACIES; i++) {
        int rc = read_accuracy(store, record, accuracies[i], finding, err);

        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        finding->accuracy.name = accuracies[i];
        unit = fmax(finding->accuracy.from, finding->accuracy.to) > 1 ? 100 : 1;
        finding->agrees =
            finding->accuracy.to - finding->accuracy.from > RISE * unit ? AGREES_YES : AGREES_NO;
        return 0;
    }
    finding->accuracy.from = finding->accuracy.to = NAN;
    return 0;
}

int store_finding_put(struct store *store, const struct record *record, int64_t layer_key,
                      struct finding *finding, struct err *err)
{
    const struct transition *transition = &finding->transition;
    sqlite3_stmt *statement = store->statement[SQL_FINDING_PUT];
    int rc = find_agreement(store, record, finding, err);

    if (rc < 0)
        return rc;
    finding->feed_seq = ++store->feed_seq;
    SQL_BIND(statement, layer_key, record->attempt, finding->step, transition->direction,
             transition->start, transition->end, finding->agrees, (int64_t)finding->feed_seq);
    sql_bind_text(statement, 9, metric_table[finding->metric].name);
    sql_bind_double(statement, 10, finding->time);
    sql_bind_double(statement, 11, transition->from);
    sql_bind_double(statement, 12, transition->to);
    sql_bind_text(statement, 13, finding->accuracy.name);
    sql_bind_double(statement, 14, finding->accuracy.from);
    sql_bind_double(statement, 15, finding->accuracy.to);
    return sql_run(statement, err);
}

int store_finding_replay(struct store *store, const struct record *record, int64_t layer_key,
                         struct watch **out, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_POINT_VALUES];
    struct finding found_before[RUN_WATCHED_MAX];
    struct point point = {0};
    int rc;

    *out = NULL;
    if (record->open.watched.n == 0)
        return 0;
    SQL_BIND(statement, layer_key, record->opened.attempt);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!*out)
            *out = watch_new(&record->open.watched);
        if (!*out) {
            sqlite3_reset(statement);
            return err_set(err, -ENOMEM, "out of memory");
        }
        point.step = sqlite3_column_int64(statement, 0);
        for (int i = 0; i < METRIC_COUNT; i++)
            point.value[i] = sql_column_double(statement, 1 + i);
        watch_feed(*out, &point, found_before);
    }
    return rc;
}
