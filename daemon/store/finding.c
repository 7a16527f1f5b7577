#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    const int64_t values[] = {record->run_key, record->attempt, record->step,
                              INT64_MAX,       finding->step,   finding->transition.start};
    sqlite3_stmt *statement = store->statement[SQL_ACCURACY];
    int rc;

    sql_bind_text(statement, 1, name);
    sql_bind_integers(statement, 2, values, sizeof values / sizeof *values);
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
    finding->accuracy.from = finding->accuracy.to = NAN; /* one side may have been read */
    return 0;
}

/* The list's own text for a name that was read. */
static const char *accuracy_name(const char *name)
{
    for (size_t i = 0; i < N_ACCURACIES; i++) {
        if (strcmp(accuracies[i], name) == 0)
            return accuracies[i];
    }
    return NULL;
}

/* Of a finding that is stored. Returns 1, 0 when there is none, or -errno. */
static int read_agreement(struct store *store, const struct record *record, int64_t layer_key,
                          struct finding *finding, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_FINDING_AGREEMENT];
    int rc;

    SQL_BIND(statement, record->run_key, layer_key, finding->attempt, finding->step);
    sql_bind_text(statement, 5, finding->metric);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    finding->agrees = (enum agreement)sqlite3_column_int(statement, 0);
    finding->accuracy.name = accuracy_name(sql_column_text(statement, 1));
    finding->accuracy.from = sql_column_double(statement, 2);
    finding->accuracy.to = sql_column_double(statement, 3);
    rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 1;
}

static int put_return(struct store *store, const struct record *record, int64_t layer_key,
                      struct finding *finding, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_FINDING_RETURN];
    int rc = read_agreement(store, record, layer_key, finding, err);

    finding->feed_seq = 0;
    if (rc < 1)
        return rc;
    store->feed_seq = finding->feed_seq = store->feed_seq + 1;
    SQL_BIND(statement, record->run_key, layer_key, finding->attempt, finding->step,
             finding->transition.returned, record->attempt, (int64_t)finding->feed_seq);
    sql_bind_text(statement, 8, finding->metric);
    return sql_run(statement, err);
}

static int put_new(struct store *store, const struct record *record, int64_t layer_key,
                   struct finding *finding, struct err *err)
{
    const struct transition *transition = &finding->transition;
    sqlite3_stmt *statement = store->statement[SQL_FINDING_PUT];
    int rc = 0;

    finding->agrees = AGREES_UNKNOWN;
    finding->accuracy.name = NULL;
    finding->accuracy.from = finding->accuracy.to = NAN;
    if (layer_key != 0) /* an accuracy would agree with itself */
        rc = find_agreement(store, record, finding, err);
    if (rc < 0)
        return rc;
    finding->feed_seq = ++store->feed_seq;
    SQL_BIND(statement, record->run_key, layer_key, finding->attempt, finding->step,
             finding->alert ? ALERT_DIRECTION : (int)transition->direction, transition->start,
             transition->end, finding->agrees, (int64_t)finding->feed_seq);
    sql_bind_text(statement, 10, finding->metric);
    sql_bind_double(statement, 11, finding->time);
    sql_bind_double(statement, 12, transition->from);
    sql_bind_double(statement, 13, transition->to);
    sql_bind_double(statement, 14, finding->n_from);
    sql_bind_double(statement, 15, finding->n_to);
    sql_bind_text(statement, 16, finding->accuracy.name);
    sql_bind_double(statement, 17, finding->accuracy.from);
    sql_bind_double(statement, 18, finding->accuracy.to);
    return sql_run(statement, err);
}

int store_finding_put(struct store *store, const struct record *record, int64_t layer_key,
                      struct finding *finding, struct err *err)
{
    return finding->transition.returned < 0 ? put_new(store, record, layer_key, finding, err)
                                            : put_return(store, record, layer_key, finding, err);
}
