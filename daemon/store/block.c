#include "daemon/store/block.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/store/blob.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"
#include "proto/base/metric.h"

/* The way of a block: each BLOCK_POINTS-th point of a layer or scalar makes those that are due. Of
 * level 1 one is made of the points behind the last; of level 2 one of each 16 blocks of level 1,
 * and so on. A point that is put where blocks are already has their rows of places emptied: they
 * are made again when the next are due. One that has grown to twice its size by then becomes two.
 */

/* Blocks that one point may have made: more than one a level only where they are behind, after a
 * migration or a repair, or points came in an order of their own. One takes 0.6 ms. */
#define MADE_AT_ONCE 8

_Static_assert(BLOCK_POINTS == BLOCK_NODES * BLOCK_NODES, "nodes of 16 points, 16 a block");

/* One block in memory. */
struct sums {
    size_t n_nodes, n_values;
    double place[BLOCK_NODES_MAX][BLOCK_NUMBERS];
    double value[METRIC_COUNT][BLOCK_NODES_MAX][BLOCK_NUMBERS];
    bool has_value[METRIC_COUNT];
    double flags[BLOCK_NODES_MAX][BLOCK_NUMBERS];
    bool has_flags;
};

/* What a block is made of: `n` points or blocks of the level below, the last of which ends at
 * `to_step`. */
struct part {
    int level;
    int64_t after, to_step, n;
};

static const char *value_name(const struct curve *curve, size_t value)
{
    return curve->is_scalar ? BLOCK_SCALAR : metric_table[value].name;
}

static void bind_curve(sqlite3_stmt *statement, const struct curve *curve, int level)
{
    SQL_BIND(statement, curve->is_scalar, curve->key, curve->attempt, level);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static int put_row(struct store *store, const struct curve *curve, const struct part *part,
                   const char *name, double nodes[][BLOCK_NUMBERS], size_t n, struct err *err)
{
    char data[sizeof(double) * BLOCK_NODES_MAX * BLOCK_NUMBERS];
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_PUT];
    int rc;

    blob_put(data, nodes[0], n * BLOCK_NUMBERS);
    bind_curve(statement, curve, part->level);
    sql_bind_text(statement, 5, name);
    sqlite3_bind_int64(statement, 6, part->to_step);
    sqlite3_bind_blob(statement, 7, n > 0 ? data : NULL, (int)(n * sizeof *nodes), SQLITE_STATIC);
    rc = sql_run(statement, err);
    sqlite3_bind_null(statement, 7);
    return rc;
}

static int drop_row(struct store *store, const struct curve *curve, const struct part *part,
                    const char *name, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_DROP];

    bind_curve(statement, curve, part->level);
    sql_bind_text(statement, 5, name);
    sqlite3_bind_int64(statement, 6, part->to_step);
    return sql_run(statement, err);
}

/* A row that the block had before it was emptied, and has no more, must not stay. */
static int put_or_drop(struct store *store, const struct curve *curve, const struct part *part,
                       const char *name, bool is_there, double nodes[][BLOCK_NUMBERS], size_t n,
                       struct err *err)
{
    return is_there ? put_row(store, curve, part, name, nodes, n, err)
                    : drop_row(store, curve, part, name, err);
}

static int put_block(struct store *store, const struct curve *curve, const struct part *part,
                     struct sums *sums, struct err *err)
{
    int rc = put_row(store, curve, part, BLOCK_PLACES, sums->place, sums->n_nodes, err);

    for (size_t i = 0; rc == 0 && i < sums->n_values; i++)
        rc = put_or_drop(store, curve, part, value_name(curve, i), sums->has_value[i],
                         sums->value[i], sums->n_nodes, err);
    if (rc == 0 && !curve->is_scalar)
        rc = put_or_drop(store, curve, part, BLOCK_FLAGS, sums->has_flags, sums->flags,
                         sums->n_nodes, err);
    return rc;
}

/* Reads the nodes that a block has of a name: none of places that were emptied, and none where no
 * value is finite. */
static int get_row(struct store *store, const struct curve *curve, int level, int64_t to_step,
                   const char *name, double nodes[][BLOCK_NUMBERS], size_t *n, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_GET];
    int rc;

    *n = 0;
    bind_curve(statement, curve, level);
    sql_bind_text(statement, 5, name);
    sqlite3_bind_int64(statement, 6, to_step);
    rc = sql_step(statement, err);
    if (rc == 1)
        rc = block_nodes(statement, 0, nodes, n, err);
    sqlite3_reset(statement);
    return rc;
}

int block_nodes(sqlite3_stmt *row, int column, double nodes[][BLOCK_NUMBERS], size_t *n,
                struct err *err)
{
    size_t size = (size_t)sqlite3_column_bytes(row, column), one = sizeof *nodes;
    const void *data = sqlite3_column_blob(row, column);

    *n = 0;
    if (size % one != 0 || size / one > BLOCK_NODES_MAX)
        return 0;
    if (size > 0 && !data)
        return err_set(err, -ENOMEM, "out of memory");
    *n = size / one;
    blob_get(data, nodes[0], *n * BLOCK_NUMBERS);
    return 0;
}

/* An integer of the first column; `none` where it is null. */
static int get_integer(sqlite3_stmt *statement, int64_t none, int64_t *out, struct err *err)
{
    int rc = sql_step(statement, err);

    *out = rc == 1 && sqlite3_column_type(statement, 0) != SQLITE_NULL
               ? sqlite3_column_int64(statement, 0)
               : none;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* The end of the last block before the step `before`; -1 without one. */
static int find_end(struct store *store, const struct curve *curve, int level, int64_t before,
                    int64_t *end, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_END];

    bind_curve(statement, curve, level);
    sqlite3_bind_int64(statement, 5, before);
    return get_integer(statement, -1, end, err);
}

/* The end of the first block behind the step `after`; INT64_MAX without one. */
static int find_next(struct store *store, const struct curve *curve, int level, int64_t after,
                     int64_t *end, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_NEXT];

    bind_curve(statement, curve, level);
    sqlite3_bind_int64(statement, 5, after);
    return get_integer(statement, INT64_MAX, end, err);
}

/* ---- summing up ---------------------------------------------------------------------------- */

static void add_place(struct sums *sums, size_t node, double first, double last, double count)
{
    double *place = sums->place[node];

    if (place[BLOCK_COUNT] == 0)
        place[BLOCK_FIRST] = first;
    place[BLOCK_LAST] = last;
    place[BLOCK_COUNT] += count;
}

/* fmin and fmax ignore a NaN as long as the other value is a number. */
static void add_value(struct sums *sums, size_t value, size_t node, bool is_first,
                      const double added[BLOCK_NUMBERS])
{
    double *at = sums->value[value][node];

    at[BLOCK_MIN] = is_first ? added[BLOCK_MIN] : fmin(at[BLOCK_MIN], added[BLOCK_MIN]);
    at[BLOCK_MAX] = is_first ? added[BLOCK_MAX] : fmax(at[BLOCK_MAX], added[BLOCK_MAX]);
    at[BLOCK_VALUE] = added[BLOCK_VALUE];
    sums->has_value[value] |= !isnan(at[BLOCK_MIN]);
}

static void add_flags(struct sums *sums, size_t node, uint32_t flags)
{
    double *all = &sums->flags[node][BLOCK_ALL_FLAGS];

    *all = (double)((uint32_t)*all | flags);
    sums->has_flags |= flags != 0;
}

/* Points, in nodes of the same size. */
static int sum_points(struct store *store, const struct curve *curve, const struct part *part,
                      struct sums *sums, struct err *err)
{
    sqlite3_stmt *row = store->statement[curve->is_scalar ? SQL_CURVE_SCALARS : SQL_CURVE_POINTS];
    int rc;

    SQL_BIND(row, curve->key, curve->attempt, part->after, part->n);
    for (int64_t i = 0; (rc = sql_step(row, err)) == 1; i++) {
        size_t node = (size_t)(i * BLOCK_NODES / part->n);
        bool is_first = sums->place[node][BLOCK_COUNT] == 0;
        double step = (double)sqlite3_column_int64(row, 0);

        add_place(sums, node, step, step, 1);
        for (size_t v = 0; v < sums->n_values; v++) {
            double value = sql_column_double(row, 1 + (int)v);

            add_value(sums, v, node, is_first, (const double[]){value, value, value});
        }
        if (!curve->is_scalar)
            add_flags(sums, node, (uint32_t)sqlite3_column_int64(row, 1 + (int)sums->n_values));
    }
    sums->n_nodes = BLOCK_NODES;
    return rc;
}

/* One block, as a node of the level above. */
static int sum_block(struct store *store, const struct curve *curve, int level, int64_t to_step,
                     struct sums *sums, struct err *err)
{
    static const double nothing[BLOCK_NUMBERS] = {(double)NAN, (double)NAN, (double)NAN};
    double nodes[BLOCK_NODES_MAX][BLOCK_NUMBERS];
    size_t node = sums->n_nodes++, n, n_places;
    int rc = get_row(store, curve, level, to_step, BLOCK_PLACES, nodes, &n_places, err);

    for (size_t i = 0; rc == 0 && i < n_places; i++)
        add_place(sums, node, nodes[i][BLOCK_FIRST], nodes[i][BLOCK_LAST], nodes[i][BLOCK_COUNT]);
    for (size_t v = 0; rc == 0 && v < sums->n_values; v++) {
        rc = get_row(store, curve, level, to_step, value_name(curve, v), nodes, &n, err);
        for (size_t i = 0; rc == 0 && i < n_places; i++)
            add_value(sums, v, node, i == 0, n == n_places ? nodes[i] : nothing);
    }
    if (rc == 0 && !curve->is_scalar)
        rc = get_row(store, curve, level, to_step, BLOCK_FLAGS, nodes, &n, err);
    for (size_t i = 0; rc == 0 && !curve->is_scalar && i < n; i++)
        add_flags(sums, node, block_flags(nodes[i]));
    return rc;
}

static int sum_blocks(struct store *store, const struct curve *curve, const struct part *part,
                      struct sums *sums, struct err *err)
{
    int64_t end = part->after;
    int rc = 0;

    for (int64_t i = 0; rc == 0 && i < part->n; i++) {
        rc = find_next(store, curve, part->level - 1, end, &end, err);
        if (rc == 0)
            rc = sum_block(store, curve, part->level - 1, end, sums, err);
        if (rc == 0 && sums->place[sums->n_nodes - 1][BLOCK_COUNT] == 0) {
            sums->n_nodes = 0; /* that one is empty: so is this one, until it is made again */
            break;
        }
    }
    return rc;
}

/* ---- what is due --------------------------------------------------------------------------- */

/* Finds how many points or blocks there are behind `after`, up to `to`, and the end of the last of
 * them; no more than `n_max`. */
static int measure(struct store *store, const struct curve *curve, int64_t to, int64_t n_max,
                   struct part *part, struct err *err)
{
    enum store_sql sql = part->level > 1    ? SQL_BLOCK_MEASURE
                         : curve->is_scalar ? SQL_CURVE_MEASURE_SCALARS
                                            : SQL_CURVE_MEASURE_POINTS;
    sqlite3_stmt *statement = store->statement[sql];
    int rc;

    SQL_BIND(statement, curve->key, curve->attempt, part->after, to, n_max);
    if (part->level > 1) {
        sqlite3_bind_int64(statement, 6, curve->is_scalar);
        sqlite3_bind_int64(statement, 7, part->level - 1);
    }
    rc = sql_step(statement, err);
    if (rc == 1) {
        part->n = sqlite3_column_int64(statement, 0);
        part->to_step = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int make(struct store *store, const struct curve *curve, const struct part *part,
                struct err *err)
{
    struct sums *sums = calloc(1, sizeof *sums);
    int rc;

    if (!sums)
        return err_set(err, -ENOMEM, "out of memory");
    sums->n_values = curve->is_scalar ? 1 : METRIC_COUNT;
    rc = part->level > 1 ? sum_blocks(store, curve, part, sums, err)
                         : sum_points(store, curve, part, sums, err);
    if (rc == 0 && sums->n_nodes > 0)
        rc = put_block(store, curve, part, sums, err);
    else if (rc == 0)
        rc = put_row(store, curve, part, BLOCK_PLACES, sums->place, 0, err);
    free(sums);
    return rc;
}

static int64_t units(int level)
{
    return level > 1 ? BLOCK_NODES : BLOCK_POINTS;
}

/* The next block behind the last one: 1 when it was made, 0 when there is too little for it. */
static int make_next(struct store *store, const struct curve *curve, int level, struct err *err)
{
    struct part part = {.level = level};
    int rc = find_end(store, curve, level, INT64_MAX, &part.after, err);

    if (rc == 0)
        rc = measure(store, curve, INT64_MAX, units(level), &part, err);
    if (rc < 0 || part.n < units(level))
        return rc;
    rc = make(store, curve, &part, err);
    return rc < 0 ? rc : 1;
}

/* A block that was emptied; of one that has grown too large the first half, and the rest of it
 * stays empty until the next time. */
static int make_again(struct store *store, const struct curve *curve, int level, int64_t to_step,
                      struct err *err)
{
    struct part part = {.level = level};
    int rc = find_end(store, curve, level, to_step, &part.after, err);

    if (rc == 0)
        rc = measure(store, curve, to_step, 2 * units(level), &part, err);
    if (rc == 0 && part.n == 2 * units(level))
        rc = measure(store, curve, to_step, units(level), &part, err);
    else
        part.to_step = to_step;
    return rc < 0 || part.n == 0 ? rc : make(store, curve, &part, err);
}

/* The first empty block of a level above `level`, or of this one behind `to_step`: 1, or 0. */
static int find_empty(struct store *store, const struct curve *curve, int *level, int64_t *to_step,
                      struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_EMPTY];
    int rc;

    bind_curve(statement, curve, *level);
    sqlite3_bind_int64(statement, 5, *to_step);
    rc = sql_step(statement, err);
    if (rc == 1) {
        *level = (int)sqlite3_column_int64(statement, 0);
        *to_step = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return rc;
}

/* Those of low levels first: the others are made of them. */
static int make_empty(struct store *store, const struct curve *curve, int n_max, struct err *err)
{
    int64_t to_step = -1;
    int level = 0, n = 0, rc = 0;

    while (n < n_max && (rc = find_empty(store, curve, &level, &to_step, err)) == 1) {
        rc = make_again(store, curve, level, to_step, err);
        if (rc < 0)
            break;
        n++;
    }
    return rc < 0 ? rc : n;
}

int store_block_make(struct store *store, const struct curve *curve, int n_max, struct err *err)
{
    int n = make_empty(store, curve, n_max, err);

    for (int level = 1; n >= 0 && n < n_max && level <= BLOCK_LEVELS; level++) {
        int n_before = n, rc = 0;

        while (n < n_max && (rc = make_next(store, curve, level, err)) == 1)
            n++;
        if (rc < 0)
            return rc;
        if (n == n_before && level > 1)
            break;
    }
    return n;
}

/* ---- points -------------------------------------------------------------------------------- */

static int empty_blocks_at(struct store *store, const struct curve *curve, int64_t step,
                           struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_BLOCK_EMPTY_OUT];
    int64_t end = 0;
    int rc = 0;

    for (int level = 1; rc == 0 && level <= BLOCK_LEVELS; level++) {
        rc = find_next(store, curve, level, step - 1, &end, err);
        if (rc < 0 || end == INT64_MAX)
            return rc;
        bind_curve(statement, curve, level);
        sqlite3_bind_int64(statement, 5, end);
        rc = sql_run(statement, err);
    }
    return rc;
}

int store_block_advance(struct store *store, const struct curve *curve, int64_t step, int64_t n_put,
                        struct err *err)
{
    int rc = empty_blocks_at(store, curve, step, err);

    if (rc < 0 || n_put % BLOCK_POINTS != 0)
        return rc;
    rc = store_block_make(store, curve, MADE_AT_ONCE, err);
    return rc < 0 ? rc : 0;
}
