#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/history/history.h"
#include "daemon/history/line.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* series.query and scalars.query: lines of one kind. */

/* attempt, step, time, value */
#define N_SCALAR_COLUMNS 4

struct lines {
    struct line *line; /* free with free */
    size_t n, capacity;
};

static struct line *add_line(struct lines *lines, struct line line)
{
    if (lines->n == lines->capacity) {
        size_t capacity = lines->capacity ? 2 * lines->capacity : 16;
        struct line *grown = realloc(lines->line, capacity * sizeof *grown);

        if (!grown)
            return NULL;
        lines->line = grown;
        lines->capacity = capacity;
    }
    lines->line[lines->n] = line;
    return &lines->line[lines->n++];
}

/* ---- series.query -------------------------------------------------------------------------- */

static int add_layer(struct lines *lines, sqlite3_stmt *statement, struct err *err)
{
    struct line *line = add_line(lines, (struct line)POINT_LINE);

    if (!line)
        return history_no_memory(err);
    line->key = sqlite3_column_int64(statement, 0);
    snprintf(line->name, sizeof line->name, "%s", sql_column_text(statement, 1));
    line->p = (uint32_t)sqlite3_column_int64(statement, 2);
    line->c = (uint32_t)sqlite3_column_int64(statement, 3);
    return sql_row_check(statement, err);
}

/* Collects the layers asked for. */
static int list_layers(struct history *history, const char *layer, const struct selection *sel,
                       struct lines *lines, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    int rc;

    SQL_BIND(statement, sel->run_key);
    sql_bind_text(statement, 2, layer);
    while ((rc = sql_step(statement, err)) == 1) {
        rc = add_layer(lines, statement, err);
        if (rc < 0)
            break;
    }
    if (rc == 0 && layer && lines->n == 0)
        return err_set(err, -ENOENT, "run \"%s\" has no layer \"%.128s\"", sel->run, layer);
    return rc;
}

static int select_series(struct history *history, const struct feed_series_query *params,
                         struct selection *sel, struct lines *lines, struct err *err)
{
    int rc = selection_of_metrics(sel, params->metrics, err);

    if (rc == 0)
        rc = selection_of_run(history, params->run, &params->range, sel, err);
    if (rc == 0 && (params->scalars || params->all_scalars))
        rc = selection_of_scalars(history, sel, params->scalars, err);
    if (rc == 0 && sel->n_scalars > FEED_NAMES_MAX)
        rc = err_set(err, -EINVAL, "\"scalars\": the run has %zu, at most %d can be joined",
                     sel->n_scalars, FEED_NAMES_MAX);
    if (rc == 0)
        rc = list_layers(history, params->layer, sel, lines, err);
    if (rc == 0)
        selection_share_rows(sel, lines->n, selection_point_columns(sel));
    return rc;
}

/* ---- scalars.query ------------------------------------------------------------------------- */

static int select_scalars(struct history *history, const struct feed_scalars_query *params,
                          struct selection *sel, struct lines *lines, struct err *err)
{
    int rc = selection_of_run(history, params->run, &params->range, sel, err);

    if (rc == 0)
        rc = selection_of_scalars(history, sel, params->names, err);
    for (size_t i = 0; rc == 0 && i < sel->n_scalars; i++) {
        struct line *line = add_line(lines, (struct line)SCALAR_LINE);

        if (!line)
            return history_no_memory(err);
        line->key = sel->scalars[i].key;
        snprintf(line->name, sizeof line->name, "%s", sel->scalars[i].name);
    }
    if (rc == 0)
        selection_share_rows(sel, sel->n_scalars, N_SCALAR_COLUMNS);
    return rc;
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* The object of a line, without its columns. */
static cJSON *line_to_json(const struct line *line)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, line->is_point ? "layer" : "name", line->name) &&
        (!line->is_point ||
         (json_add_integer(object, "p", line->p) && json_add_integer(object, "c", line->c))))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static int put_json(struct history *history, const struct lines *lines, const struct selection *sel,
                    const char *name, struct answer *answer, struct err *err)
{
    int rc = 0;

    answer_list(answer, history_head(sel->run), name);
    for (size_t i = 0; rc == 0 && i < lines->n; i++) {
        answer_item_open(answer, line_to_json(&lines->line[i]));
        rc = line_put_json(history, &lines->line[i], sel, answer, err);
    }
    answer_list_end(answer, NULL);
    return rc;
}

/* `name` is that of the list of lines in JSON, `first` that of the column with their names. */
static int put_lines(struct history *history, struct lines *lines, const struct selection *sel,
                     const char *name, const char *first, struct answer *answer, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < lines->n; i++)
        rc = line_count(history, &lines->line[i], sel, err);
    if (rc < 0)
        return rc;
    return answer_is_csv(answer)
               ? lines_put_csv(history, lines->line, lines->n, sel, first, answer, err)
               : put_json(history, lines, sel, name, answer, err);
}

int history_series(struct history *history, const struct feed_series_query *params,
                   struct answer *answer, struct err *err)
{
    struct selection sel = {0};
    struct lines lines = {0};
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = select_series(history, params, &sel, &lines, err);
    if (rc == 0)
        rc = put_lines(history, &lines, &sel, "layers", "layer", answer, err);
    history_end_transaction(history, rc);
    free(lines.line);
    selection_release(&sel);
    return rc;
}

int history_scalars(struct history *history, const struct feed_scalars_query *params,
                    struct answer *answer, struct err *err)
{
    struct selection sel = {0};
    struct lines lines = {0};
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = select_scalars(history, params, &sel, &lines, err);
    if (rc == 0)
        rc = put_lines(history, &lines, &sel, "scalars", "name", answer, err);
    history_end_transaction(history, rc);
    free(lines.line);
    selection_release(&sel);
    return rc;
}
