#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/history/db.h"
#include "daemon/history/run_values.h"
#include "daemon/store/sql.h"
#include "proto/base/metric.h"
#include "proto/base/state.h"
#include "proto/json.h"

/* run.list: which runs, and in which order. The condition is made for each list from what it
 * names, so that nothing is computed for a run that nobody asked about; all that comes from outside
 * is bound and never stands in the text. The keys of the page come from one statement, the runs
 * from another. Tested by test_history.c. */

/* A name of the configuration is bound up to eight times, for each of FEED_WHERE_MAX; a tag once.
 */
#define BOUND_MAX (8 * FEED_WHERE_MAX + FEED_TAGS_MAX + FEED_VALUES_MAX + 16)
/* Behind the key and the revision. */
#define FIRST_VALUE 2

struct condition {
    sqlite3_str *text;
    size_t n;
    struct {
        const char *text; /* NULL: the number */
        double number;
    } bound[BOUND_MAX];
};

/* `sql` has one parameter. */
static void add_text(struct condition *c, const char *sql, const char *value)
{
    assert(c->n < BOUND_MAX);
    sqlite3_str_appendall(c->text, sql);
    c->bound[c->n++].text = value;
}

static void add_number(struct condition *c, const char *sql, double value)
{
    assert(c->n < BOUND_MAX);
    sqlite3_str_appendall(c->text, sql);
    c->bound[c->n++].number = value;
}

/* ---- filters --------------------------------------------------------------------------------- */

/* json_type or json_extract of the name as it stands, else of where its dots lead. */
static void add_config(struct condition *c, const char *function, const char *name)
{
    sqlite3_str_appendf(c->text, "coalesce(%s", function);
    add_text(c, "(config, '$.\"' || ? || '\"')", name);
    if (strchr(name, '.')) {
        sqlite3_str_appendf(c->text, ", %s", function);
        add_text(c, "(config, '$.\"' || replace(?, '.', '\".\"') || '\"')", name);
    }
    sqlite3_str_appendall(c->text, strchr(name, '.') ? ")" : ", NULL)");
}

static void add_type(struct condition *c, const char *name, const char *types)
{
    sqlite3_str_appendall(c->text, " AND ");
    add_config(c, "json_type", name);
    sqlite3_str_appendf(c->text, " IN (%s)", types);
}

static void add_bound(struct condition *c, const char *name, const char *compare, double bound)
{
    if (isnan(bound))
        return;
    sqlite3_str_appendall(c->text, " AND ");
    add_config(c, "json_extract", name);
    add_number(c, compare, bound);
}

static void add_where(struct condition *c, const cJSON *value)
{
    const char *name = value->string;
    double min, max;

    if (cJSON_IsNull(value) || cJSON_IsBool(value)) {
        add_type(c, name,
                 cJSON_IsNull(value)   ? "'null'"
                 : cJSON_IsTrue(value) ? "'true'"
                                       : "'false'");
        return;
    }
    add_type(c, name, cJSON_IsString(value) ? "'text'" : "'integer', 'real'");
    if (feed_where_range(value, &min, &max)) {
        add_bound(c, name, " >= ?", min);
        add_bound(c, name, " <= ?", max);
    } else if (cJSON_IsNumber(value)) {
        add_bound(c, name, " = ?", value->valuedouble);
    } else {
        sqlite3_str_appendall(c->text, " AND ");
        add_config(c, "json_extract", name);
        add_text(c, " = ?", value->valuestring);
    }
}

/* The newlines keep a search from finding the end of one text and the start of the next. */
static void add_search(struct condition *c, const char *search)
{
    add_text(c,
             " AND (instr(lower(id || char(10) || project || '/' || name || char(10) || run_group"
             " || char(10) || coalesce(note, '')), lower(?))",
             search);
    add_text(c, " OR EXISTS (SELECT 1 FROM json_each(tags) WHERE instr(lower(value), lower(?))))",
             search);
}

static void add_condition(struct condition *c, const struct feed_run_list *params)
{
    const cJSON *item;

    sqlite3_str_appendall(c->text, " FROM run");
    if (params->search)
        sqlite3_str_appendall(c->text, " LEFT JOIN run_note USING(run_key)");
    if (params->where || params->sort == FEED_BY_CONFIG)
        sqlite3_str_appendall(c->text, " LEFT JOIN run_config USING(run_key)");
    sqlite3_str_appendall(c->text, params->hidden ? " WHERE 1" : " WHERE hidden = 0");
    if (params->project)
        add_text(c, " AND project = ?", params->project);
    if (params->group)
        add_text(c, " AND run_group = ?", params->group);
    if (params->state)
        add_number(c, " AND state = ?", state_find(params->state));
    cJSON_ArrayForEach(item, params->tags)
    {
        add_text(c, " AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
                 item->valuestring);
    }
    cJSON_ArrayForEach(item, params->where)
    {
        add_where(c, item);
    }
    if (params->search)
        add_search(c, params->search);
}

/* ---- the order ------------------------------------------------------------------------------- */

/* Of the run's last layer that has the measure, as its latest point has it. Rows of evaluation
 * (NAME@eval) count only where no other layer has it. */
static void add_measure(struct condition *c, const char *name)
{
    sqlite3_str_appendf(c->text,
                        "(SELECT point.\"%w\" FROM layer JOIN point"
                        " ON point.layer_key = layer.layer_key"
                        " AND point.attempt = layer.last_attempt AND point.step = layer.last_step"
                        " WHERE layer.run_key = run.run_key AND point.\"%w\" IS NOT NULL"
                        " ORDER BY layer.name GLOB '*@eval', layer.layer_key DESC LIMIT 1)",
                        name, name);
}

static void add_scalar(struct condition *c, const char *name)
{
    add_text(c,
             "(SELECT value FROM scalar_name n CROSS JOIN scalar s ON s.name_key = n.name_key"
             " AND s.attempt = n.last_attempt AND s.step = n.last_step"
             " WHERE n.run_key = run.run_key AND n.name = ?)",
             name);
}

/* What has no value comes last, and the newest comes first among equals. */
static void add_order(struct condition *c, const struct feed_run_list *params)
{
    const char *direction = params->descending ? "DESC" : "ASC";

    sqlite3_str_appendall(c->text, " ORDER BY ");
    switch (params->sort) {
    case FEED_BY_CREATED:
        sqlite3_str_appendf(c->text, "run.run_key %s", direction);
        return;
    case FEED_BY_UPDATED:
        sqlite3_str_appendf(c->text, "updated %s", direction);
        break;
    case FEED_BY_NAME:
        sqlite3_str_appendf(c->text, "project %s, name %s", direction, direction);
        break;
    case FEED_BY_STATE:
        sqlite3_str_appendf(c->text, "state %s", direction);
        break;
    case FEED_BY_MEASURE:
        add_measure(c, params->key);
        break;
    case FEED_BY_SCALAR:
        add_scalar(c, params->key);
        break;
    case FEED_BY_CONFIG:
        add_config(c, "json_extract", params->key);
        break;
    }
    if (params->sort >= FEED_BY_MEASURE)
        sqlite3_str_appendf(c->text, " %s NULLS LAST", direction);
    sqlite3_str_appendall(c->text, ", run.run_key DESC");
}

static bool is_scalar(const char *name)
{
    return strncmp(name, RUN_VALUE_SCALAR, strlen(RUN_VALUE_SCALAR)) == 0;
}

/* A column for each of `values`, in their order; empty where it is not the last value. */
static void add_values(struct condition *c, const struct feed_run_list *params)
{
    const cJSON *name;
    int64_t step;

    cJSON_ArrayForEach(name, params->values)
    {
        sqlite3_str_appendall(c->text, ", ");
        if (feed_value_at(params->values_at, name->valuestring, &step) != FEED_AT_LAST)
            sqlite3_str_appendall(c->text, "NULL");
        else if (is_scalar(name->valuestring))
            add_scalar(c, name->valuestring + strlen(RUN_VALUE_SCALAR));
        else
            add_measure(c, name->valuestring);
    }
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Takes the text of the condition. */
static int prepare(struct history *history, struct condition *c, sqlite3_stmt **out,
                   struct err *err)
{
    char *sql = sqlite3_str_finish(c->text);
    int rc = sql ? sql_prepare(history->db, sql, out, err) : history_no_memory(err);

    sqlite3_free(sql);
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        if (c->bound[i].text)
            sql_bind_text(*out, (int)i + 1, c->bound[i].text);
        else
            sql_bind_double(*out, (int)i + 1, c->bound[i].number);
    }
    return rc;
}

static int count(struct history *history, const struct feed_run_list *params, int64_t *total,
                 struct err *err)
{
    struct condition c = {.text = sqlite3_str_new(history->db)};
    sqlite3_stmt *statement = NULL;
    int rc;

    sqlite3_str_appendall(c.text, "SELECT count(*)");
    add_condition(&c, params);
    rc = prepare(history, &c, &statement, err);
    if (rc == 0)
        rc = sql_step(statement, err);
    if (rc == 1)
        *total = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return rc < 0 ? rc : 0;
}

/* {"total"} of the filters. */
static int start(struct history *history, const struct feed_run_list *params, struct answer *answer,
                 struct err *err)
{
    int64_t total = 0;
    int rc = count(history, params, &total, err);
    cJSON *head;

    if (rc < 0)
        return rc;
    head = cJSON_CreateObject();
    if (!head || !json_add_integer(head, "total", total)) {
        cJSON_Delete(head);
        return history_no_memory(err);
    }
    answer_list(answer, head, "runs");
    return 0;
}

/* The values of the columns behind the key and the revision, and those from elsewhere than the end.
 */
static int read_values(struct history *history, const struct feed_run_list *params,
                       sqlite3_stmt *row, double out[FEED_VALUES_MAX], struct err *err)
{
    const cJSON *name;
    int rc = 0, n = 0;

    cJSON_ArrayForEach(name, params->values)
    {
        int64_t step = 0;
        enum feed_at at = feed_value_at(params->values_at, name->valuestring, &step);

        assert(n < FEED_VALUES_MAX);
        out[n] = sql_column_double(row, FIRST_VALUE + n);
        if (rc == 0 && at != FEED_AT_LAST)
            rc = run_value_at(history, sqlite3_column_int64(row, 0), name->valuestring, at, step,
                              &out[n], err);
        n++;
    }
    return rc;
}

/* {"values"} */
static bool put_values_tree(cJSON *run, const cJSON *names, const double *values)
{
    cJSON *object = cJSON_AddObjectToObject(run, "values");
    const cJSON *name;

    cJSON_ArrayForEach(name, names)
    {
        if (!object || !json_add_double(object, name->valuestring, *values++))
            return false;
    }
    return object != NULL;
}

/* The same as text. */
static void put_values(struct jsontext *run, const cJSON *names, const double *values)
{
    const cJSON *name;
    const char *before = ",\"values\":{";

    cJSON_ArrayForEach(name, names)
    {
        jsontext_puts(run, before);
        jsontext_put_text(run, name->valuestring);
        jsontext_puts(run, ":");
        jsontext_put_number(run, *values++);
        before = ",";
    }
    jsontext_puts(run, names->child ? "}" : ",\"values\":{}");
}

/* `row`: the run's key, its revision, and the values. */
static int put_text(struct history *history, const struct feed_run_list *params, sqlite3_stmt *row,
                    struct answer *answer, struct err *err)
{
    struct jsontext *run = &history->scratch;
    double values[FEED_VALUES_MAX];
    int rc = read_values(history, params, row, values, err);

    if (rc < 0)
        return rc;
    jsontext_clear(run);
    rc = history_put_run(history, sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1),
                         params->config, run, err);
    if (params->values)
        put_values(run, params->values, values);
    jsontext_puts(run, "}");
    if (rc == 0 && run->failed)
        rc = history_no_memory(err);
    if (rc == 0)
        answer_item_text(answer, run->text, run->size);
    return rc;
}

static int put_tree(struct history *history, const struct feed_run_list *params, sqlite3_stmt *row,
                    struct answer *answer, struct err *err)
{
    double values[FEED_VALUES_MAX];
    cJSON *run = cJSON_CreateObject();
    int rc = read_values(history, params, row, values, err);

    if (rc == 0)
        rc = history_add_run(history, sqlite3_column_int64(row, 0), params->config, run, err);
    if (rc == 0 && params->values && !put_values_tree(run, params->values, values))
        rc = history_no_memory(err);
    if (rc < 0)
        cJSON_Delete(run);
    else
        answer_item(answer, run);
    return rc;
}

static int put_runs(struct history *history, const struct feed_run_list *params,
                    struct answer *answer, struct err *err)
{
    int (*put)(struct history *, const struct feed_run_list *, sqlite3_stmt *, struct answer *,
               struct err *) = answer_is_json(answer) ? put_text : put_tree;
    struct condition c = {.text = sqlite3_str_new(history->db)};
    sqlite3_stmt *statement = NULL;
    int rc;

    sqlite3_str_appendall(c.text, "SELECT run.run_key, revision");
    add_values(&c, params);
    add_condition(&c, params);
    add_order(&c, params);
    add_number(&c, " LIMIT CAST(? AS INTEGER)", (double)params->limit);
    add_number(&c, " OFFSET CAST(? AS INTEGER)", (double)params->offset);
    rc = prepare(history, &c, &statement, err);
    while (rc == 0 && (rc = sql_step(statement, err)) == 1)
        rc = put(history, params, statement, answer, err);
    sqlite3_finalize(statement);
    return rc;
}

static int check_values(const cJSON *values, struct err *err)
{
    const cJSON *name;

    cJSON_ArrayForEach(name, values)
    {
        if (!is_scalar(name->valuestring) && metric_find(name->valuestring) < 0)
            return err_set(err, -EINVAL, "\"values\": no measure \"%.64s\"", name->valuestring);
    }
    return 0;
}

static int check(const struct feed_run_list *params, struct err *err)
{
    if (params->state && state_find(params->state) < 0)
        return err_set(err, -EINVAL, "\"state\": no state \"%.64s\"", params->state);
    if (params->sort == FEED_BY_MEASURE && metric_find(params->key) < 0)
        return err_set(err, -EINVAL,
                       "\"sort\": no measure \"%.64s\"; scalar:NAME and config:KEY sort by what"
                       " a trainer gave",
                       params->key);
    return check_values(params->values, err);
}

static int run_list(struct history *history, const struct feed_run_list *params,
                    struct answer *answer, struct err *err)
{
    int rc = check(params, err);

    if (rc == 0)
        rc = start(history, params, answer, err);
    if (rc < 0)
        return rc;
    rc = put_runs(history, params, answer, err);
    answer_list_end(answer, NULL);
    return rc;
}

int history_run_list(struct history *history, const struct feed_run_list *params,
                     struct answer *answer, struct err *err)
{
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = run_list(history, params, answer, err);
    return history_end_transaction(history, rc);
}
