#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/history/db.h"
#include "daemon/store/representation_blob.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* representation.list, and representation.map: linear CKA of what the checkpoints of one or two
 * runs kept of the same rows.
 *
 * The way of a map: find() lists what the run kept, in the order of the layers, then of the steps;
 * choose() thins it to HISTORY_MAP_SIDE; load() makes a matrix with a unit vector a row of each
 * (representation.h); the map is the product of two such matrices, in each form. */

struct kept {
    int64_t layer_key, attempt, step, n_rows;
    char layer[LAYER_NAME_MAX + 1];
};

/* One side of a map. */
struct side {
    int64_t run_key;
    char run[RUN_ID_MAX + 1];
    struct kept *kept;
    size_t n, capacity;
};

/* ---- what there is --------------------------------------------------------------------------- */

static bool is_named(const cJSON *names, const char *name)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        if (strcmp(wanted->valuestring, name) == 0)
            return true;
    }
    return !names;
}

static int add_kept(struct side *side, sqlite3_stmt *statement, struct err *err)
{
    struct kept *kept;

    if (side->n == side->capacity) {
        size_t capacity = side->capacity ? 2 * side->capacity : 64;
        struct kept *grown = realloc(side->kept, capacity * sizeof *grown);

        if (!grown)
            return history_no_memory(err);
        side->kept = grown;
        side->capacity = capacity;
    }
    kept = &side->kept[side->n++];
    kept->layer_key = sqlite3_column_int64(statement, 0);
    snprintf(kept->layer, sizeof kept->layer, "%s", sql_column_text(statement, 1));
    kept->attempt = sqlite3_column_int64(statement, 2);
    kept->step = sqlite3_column_int64(statement, 3);
    kept->n_rows = sqlite3_column_int64(statement, 4);
    return sql_row_check(statement, err);
}

/* All that the run kept of those layers in those steps, but what a newer attempt superseded. */
static int find(struct history *history, const char *run, const cJSON *layers, int64_t from,
                int64_t to, struct side *side, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_REPRESENTATIONS];
    int rc = history_resolve(history, run, &side->run_key, side->run, err);

    if (rc < 0)
        return rc;
    SQL_BIND(statement, side->run_key, from, to);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!is_named(layers, sql_column_text(statement, 1)))
            continue;
        rc = add_kept(side, statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

static bool is_last_of_layer(const struct side *side, size_t i)
{
    return i + 1 == side->n || side->kept[i + 1].layer_key != side->kept[i].layer_key;
}

static size_t count_layers(const struct side *side)
{
    size_t n = 0;

    for (size_t i = 0; i < side->n; i++)
        n += is_last_of_layer(side, i);
    return n;
}

/* ---- which of them ----------------------------------------------------------------------------
 */

/* Keeps at most `most` of each layer, evenly from its first to its last; the last alone for 1.
 * Returns how many were left out. */
static size_t thin(struct side *side, size_t most)
{
    size_t n = 0, n_found = side->n;

    for (size_t first = 0, end; first < n_found; first = end) {
        size_t count, n_kept;

        for (end = first + 1; end < n_found && !is_last_of_layer(side, end - 1); end++)
            ;
        count = end - first;
        n_kept = count < most ? count : most;
        for (size_t i = 0; i < n_kept; i++) {
            size_t at = n_kept > 1 ? i * (count - 1) / (n_kept - 1) : count - 1;

            side->kept[n++] = side->kept[first + at];
        }
    }
    side->n = n;
    return n_found - n;
}

static int choose(const struct feed_representation_map *params, struct side *side, size_t *left_out,
                  struct err *err)
{
    size_t n_layers = count_layers(side);

    if (n_layers == 0 && params->step >= 0)
        return err_set(err, -ENOENT, "run \"%s\" kept no representation at step %" PRId64,
                       side->run, params->step);
    if (n_layers == 0)
        return err_set(err, -ENOENT,
                       "run \"%s\" kept no representation of this: it needs a probe, and points "
                       "that this version stored",
                       side->run);
    if (n_layers > HISTORY_MAP_SIDE)
        return err_set(err, -EINVAL, "run \"%s\" has %zu layers: \"layers\" may name %d", side->run,
                       n_layers, HISTORY_MAP_SIDE);
    if (!params->is_range)
        thin(side, 1);
    else
        *left_out += thin(side, HISTORY_MAP_SIDE / n_layers);
    return 0;
}

static int check_names(const struct side *side, const cJSON *layers, struct err *err)
{
    const cJSON *name;

    cJSON_ArrayForEach(name, layers)
    {
        bool is_there = false;

        for (size_t i = 0; i < side->n; i++)
            is_there = is_there || strcmp(side->kept[i].layer, name->valuestring) == 0;
        if (!is_there)
            return err_set(err, -ENOENT, "run \"%s\" kept no representation of layer \"%.128s\"",
                           side->run, name->valuestring);
    }
    return 0;
}

/* Rows can only be the same where there are as many. */
static int check_rows(const struct side *a, const struct side *b, struct err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->kept[i].n_rows == a->kept[0].n_rows)
            continue;
        return err_set(err, -EINVAL,
                       "run \"%s\", layer \"%s\" has a probe of %" PRId64
                       " rows, run \"%s\", layer \"%s\" one of %" PRId64
                       ": only the same rows can be compared",
                       a->run, a->kept[0].layer, a->kept[0].n_rows, b->run, b->kept[i].layer,
                       b->kept[i].n_rows);
    }
    return 0;
}

/* ---- the map ----------------------------------------------------------------------------------
 */

static int load_one(struct history *history, const struct kept *kept, enum cka_form form,
                    double *out, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_REPRESENTATION];
    struct representation representation = {0};
    int rc;

    SQL_BIND(statement, kept->layer_key, kept->attempt, kept->step);
    rc = sql_step(statement, err);
    if (rc == 1)
        rc = representation_decode(sqlite3_column_blob(statement, 0),
                                   (size_t)sqlite3_column_bytes(statement, 0), kept->n_rows,
                                   &representation);
    else if (rc == 0)
        rc = -EUCLEAN;
    sqlite3_reset(statement);
    if (rc == 0)
        representation_expand(&representation, form, out);
    representation_release(&representation);
    if (rc == -ENOMEM)
        return history_no_memory(err);
    return rc == -EUCLEAN ? err_set(err, rc, "a representation is damaged") : rc;
}

/* Returns the side's vectors, one a row (free with free), or NULL with `*rc`. */
static double *load(struct history *history, const struct side *side, enum cka_form form, int *rc,
                    struct err *err)
{
    size_t n = representation_n_values(representation_rows((size_t)side->kept[0].n_rows));
    double *out = malloc(side->n * n * sizeof *out);

    *rc = out ? 0 : history_no_memory(err);
    for (size_t i = 0; *rc == 0 && i < side->n; i++)
        *rc = load_one(history, &side->kept[i], form, out + i * n, err);
    if (*rc == 0)
        return out;
    free(out);
    return NULL;
}

/* As cosines they lie in [-1, 1], also after rounding. */
static bool add_matrix(cJSON *answer, const char *name, const double *values, size_t m, size_t n)
{
    cJSON *rows = cJSON_AddArrayToObject(answer, name);

    for (size_t i = 0; rows && i < m; i++) {
        cJSON *row = cJSON_CreateArray();

        if (!row || !cJSON_AddItemToArray(rows, row)) {
            cJSON_Delete(row);
            return false;
        }
        for (size_t j = 0; j < n; j++) {
            double value = values[i * n + j];

            if (!json_push_double(row, isnan(value) ? value : fmin(fmax(value, -1), 1)))
                return false;
        }
    }
    return rows;
}

/* The products of all rows of `a` with all of `b`, in one form. */
static int add_map(struct history *history, const struct side *a, const struct side *b,
                   enum cka_form form, cJSON *answer, struct err *err)
{
    static const char *const names[CKA_FORMS] = {"cka_debiased", "cka"};
    size_t n = representation_n_values(representation_rows((size_t)a->kept[0].n_rows));
    int rc = 0;
    double *x = load(history, a, form, &rc, err), *y = NULL, *map = NULL;

    if (rc == 0 && a != b)
        y = load(history, b, form, &rc, err);
    if (rc == 0) {
        map = malloc(a->n * b->n * sizeof *map);
        rc = map ? 0 : history_no_memory(err);
    }
    if (rc == 0) {
        linalg_product_transposed_f64(a->n, n, b->n, x, n, a == b ? x : y, n, map, b->n);
        rc = add_matrix(answer, names[form], map, a->n, b->n) ? 0 : history_no_memory(err);
    }
    free(map);
    free(y);
    free(x);
    return rc;
}

static bool add_places(cJSON *answer, const char *name, const struct side *side)
{
    cJSON *places = cJSON_AddArrayToObject(answer, name);

    for (size_t i = 0; places && i < side->n; i++) {
        cJSON *place = json_push_object(places);

        if (!place || !cJSON_AddStringToObject(place, "run", side->run) ||
            !cJSON_AddStringToObject(place, "layer", side->kept[i].layer) ||
            !json_add_integer(place, "attempt", side->kept[i].attempt) ||
            !json_add_integer(place, "step", side->kept[i].step))
            return false;
    }
    return places;
}

static int answer_map(struct history *history, const struct side *a, const struct side *b,
                      size_t left_out, cJSON **out, struct err *err)
{
    int64_t n_rows = a->kept[0].n_rows;
    int rc = 0;

    *out = cJSON_CreateObject();
    if (!*out || !json_add_integer(*out, "probe_rows", n_rows) ||
        !json_add_integer(*out, "n", (int64_t)representation_rows((size_t)n_rows)) ||
        !json_add_integer(*out, "left_out", (int64_t)left_out) || !add_places(*out, "rows", a) ||
        !add_places(*out, "columns", b))
        return history_no_memory(err);
    for (int form = 0; rc == 0 && form < CKA_FORMS; form++)
        rc = add_map(history, a, b, (enum cka_form)form, *out, err);
    return rc;
}

static int find_side(struct history *history, const struct feed_representation_map *params,
                     const char *run, struct side *side, size_t *left_out, struct err *err)
{
    int rc = find(history, run, params->layers, params->from, params->to, side, err);

    return rc < 0 ? rc : choose(params, side, left_out, err);
}

static int make_map(struct history *history, const struct feed_representation_map *params,
                    cJSON **out, struct err *err)
{
    struct side a = {0}, other = {0}, *b = params->with ? &other : &a;
    size_t left_out = 0;
    int rc = find_side(history, params, params->run, &a, &left_out, err);

    if (rc == 0)
        rc = check_names(&a, params->layers, err);
    if (rc == 0 && params->with)
        rc = find_side(history, params, params->with, &other, &left_out, err);
    if (rc == 0)
        rc = check_rows(&a, &a, err);
    if (rc == 0)
        rc = check_rows(&a, b, err);
    if (rc == 0)
        rc = answer_map(history, &a, b, left_out, out, err);
    free(a.kept);
    free(other.kept);
    return rc;
}

/* ---- the list ---------------------------------------------------------------------------------
 */

/* The columns of one layer, whose entries are first..end-1. */
static bool add_layer(cJSON *layers, const struct side *side, size_t first, size_t end)
{
    cJSON *layer = json_push_object(layers), *columns, *attempts, *steps;

    if (!layer || !cJSON_AddStringToObject(layer, "layer", side->kept[first].layer) ||
        !json_add_integer(layer, "probe_rows", side->kept[first].n_rows))
        return false;
    columns = cJSON_AddObjectToObject(layer, "columns");
    attempts = columns ? cJSON_AddArrayToObject(columns, "attempt") : NULL;
    steps = columns ? cJSON_AddArrayToObject(columns, "step") : NULL;
    for (size_t i = first; steps && attempts && i < end; i++) {
        if (!json_push_integer(attempts, side->kept[i].attempt) ||
            !json_push_integer(steps, side->kept[i].step))
            return false;
    }
    return steps && attempts;
}

static int list(struct history *history, const struct feed_run *params, cJSON **out,
                struct err *err)
{
    struct side side = {0};
    int rc = find(history, params->run, NULL, 0, INT64_MAX, &side, err);
    cJSON *layers = NULL;
    size_t first = 0;

    *out = rc == 0 ? cJSON_CreateObject() : NULL;
    if (*out && cJSON_AddStringToObject(*out, "run", side.run))
        layers = cJSON_AddArrayToObject(*out, "layers");
    if (rc == 0 && !layers)
        rc = history_no_memory(err);
    for (size_t i = 0; rc == 0 && i < side.n; i++) {
        if (!is_last_of_layer(&side, i))
            continue;
        rc = add_layer(layers, &side, first, i + 1) ? 0 : history_no_memory(err);
        first = i + 1;
    }
    free(side.kept);
    return rc;
}

int history_representation_list(struct history *history, const struct feed_run *params, cJSON **out,
                                struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = list(history, params, out, err);
    return history_end(history, rc, out);
}

int history_representation_map(struct history *history,
                               const struct feed_representation_map *params, cJSON **out,
                               struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = make_map(history, params, out, err);
    return history_end(history, rc, out);
}
