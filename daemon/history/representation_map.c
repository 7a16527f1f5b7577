#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/history/representation_parts.h"
#include "daemon/store/representation_blob.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* representation.map: linear CKA of what the checkpoints of one or two runs kept of the same rows.
 *
 * The way of a map: representation_find() lists what a run kept; choose() thins it to
 * HISTORY_MAP_SIDE; load() makes a matrix with a unit vector a row of each (representation.h); the
 * map is the product of two such matrices, in each form. */

static size_t count_layers(const struct map_side *side)
{
    size_t n = 0;

    for (size_t i = 0; i < side->n; i++)
        n += representation_is_last(side, i);
    return n;
}

/* Keeps at most `most` of each layer, evenly from its first to its last; the last alone for 1.
 * Returns how many were left out. */
static size_t thin(struct map_side *side, size_t most)
{
    size_t n = 0, n_found = side->n;

    for (size_t first = 0, end; first < n_found; first = end) {
        size_t count, n_kept;

        for (end = first + 1; end < n_found && !representation_is_last(side, end - 1); end++)
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

static int choose(const struct feed_representation_map *params, struct map_side *side,
                  size_t *left_out, struct err *err)
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

static int check_names(const struct map_side *side, const cJSON *layers, struct err *err)
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
static int check_rows(const struct map_side *a, const struct map_side *b, struct err *err)
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

/* Returns the side's vectors of `size` numbers, one a row (free with free), or NULL with `*rc`. */
static double *load(struct history *history, const struct map_side *side, size_t size,
                    enum cka_form form, int *rc, struct err *err)
{
    double *out;

    assert(side->n > 0 && size > 0);
    out = malloc(side->n * size * sizeof *out);
    *rc = out ? 0 : history_no_memory(err);
    for (size_t i = 0; *rc == 0 && i < side->n; i++)
        *rc = load_one(history, &side->kept[i], form, out + i * size, err);
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

/* The products of all rows of `x` with all of `y`. */
static int add_products(const double *x, size_t m, const double *y, size_t n, size_t size,
                        const char *name, cJSON *answer, struct err *err)
{
    double *map;
    bool done;

    assert(m > 0 && n > 0);
    map = malloc(m * n * sizeof *map);
    if (!map)
        return history_no_memory(err);
    linalg_product_transposed_f64(m, size, n, x, size, y, size, map, n);
    done = add_matrix(answer, name, map, m, n);
    free(map);
    return done ? 0 : history_no_memory(err);
}

static int add_map(struct history *history, const struct map_side *a, const struct map_side *b,
                   enum cka_form form, cJSON *answer, struct err *err)
{
    static const char *const names[CKA_FORMS] = {"cka_debiased", "cka"};
    size_t size = representation_n_values(representation_rows((size_t)a->kept[0].n_rows));
    int rc = 0;
    double *x = load(history, a, size, form, &rc, err), *y = NULL;

    if (rc == 0 && a != b)
        y = load(history, b, size, form, &rc, err);
    if (rc == 0)
        rc = add_products(x, a->n, a == b ? x : y, b->n, size, names[form], answer, err);
    free(y);
    free(x);
    return rc;
}

static bool add_places(cJSON *answer, const char *name, const struct map_side *side)
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

static int answer_map(struct history *history, const struct map_side *a, const struct map_side *b,
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
                     const char *run, struct map_side *side, size_t *left_out, struct err *err)
{
    int rc = representation_find(history, run, params->layers, params->from, params->to, side, err);

    return rc < 0 ? rc : choose(params, side, left_out, err);
}

static int make_map(struct history *history, const struct feed_representation_map *params,
                    cJSON **out, struct err *err)
{
    struct map_side a = {0}, other = {0}, *b = params->with ? &other : &a;
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

int history_representation_map(struct history *history,
                               const struct feed_representation_map *params, cJSON **out,
                               struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = make_map(history, params, out, err);
    return history_end(history, rc, out);
}
