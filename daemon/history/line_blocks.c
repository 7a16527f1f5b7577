#include <math.h>
#include <stdlib.h>

#include "daemon/history/line_parts.h"
#include "daemon/store/block.h"
#include "daemon/store/schema.h"

/* The way into bins: the blocks of a line (block.h) are read from the highest level down. A node
 * that is no wider than a bin goes into it whole; of the others, those that reach beyond the steps
 * that are asked for, and those that were emptied, the level below is read, and in the end the
 * points. So an answer costs about as many rows as it has bins, and none of its numbers differ from
 * what all points would give: each bin holds whole points, only its border may lie beside an even
 * spacing. What cannot be read of blocks is passed over: the points are there. */

struct block;

struct reading {
    struct history *history;
    const struct line *line;
    const size_t *chosen;
    size_t n_chosen;
    struct bins *bins;
    int64_t attempt;
    sqlite3_stmt *points; /* the values of points, those that are chosen */
    bool is_kept;         /* the history keeps the statement */
    struct block *blocks; /* the one at hand of each level, from 1 on; 45 kB each */
};

/* A block, with the values of one after the other that is chosen. */
struct block {
    int64_t to_step;
    size_t n_nodes;
    double place[BLOCK_NODES_MAX][BLOCK_NUMBERS];
    bool has_values, is_damaged; /* its values are read; are not those of its nodes */
    double value[METRIC_COUNT][BLOCK_NODES_MAX][BLOCK_NUMBERS];
    double flags[BLOCK_NODES_MAX][BLOCK_NUMBERS]; /* where they are asked for */
};

/* ---- points -------------------------------------------------------------------------------- */

static int prepare_points(struct reading *reading, sqlite3_stmt **out, struct err *err)
{
    sqlite3_str *text = sqlite3_str_new(reading->history->db);
    bool is_point = reading->line->is_point;
    char *sql;
    int rc;

    sqlite3_str_appendall(text, "SELECT step");
    for (size_t i = 0; i < reading->n_chosen; i++)
        sqlite3_str_appendf(text, ", \"%w\"", line_value_name(reading->line, reading->chosen[i]));
    if (bins_keeps_flags(reading->bins))
        sqlite3_str_appendall(text, ", flags");
    sqlite3_str_appendf(text, " FROM %s = ?1 AND attempt = ?2 AND step BETWEEN ?3 AND ?4",
                        is_point ? "point WHERE layer_key" : "scalar WHERE name_key");
    sqlite3_str_appendall(text, " ORDER BY step");
    sql = sqlite3_str_finish(text);
    rc = sql ? sql_prepare(reading->history->db, sql, out, err) : history_no_memory(err);
    sqlite3_free(sql);
    return rc;
}

/* That of a single value is kept for the next line that the query asks about. */
static int find_points(struct reading *reading, struct err *err)
{
    sqlite3_stmt **kept;
    int rc;

    if (reading->n_chosen != 1)
        return prepare_points(reading, &reading->points, err);
    kept = line_statement(reading->history->between, reading->line, *reading->chosen);
    rc = *kept ? 0 : prepare_points(reading, kept, err);
    reading->points = *kept;
    reading->is_kept = true;
    return rc;
}

static int read_points(struct reading *reading, int64_t from, int64_t to, struct err *err)
{
    sqlite3_stmt *row = reading->points;
    double values[METRIC_COUNT];
    struct bin one = {.count = 1, .min = values, .max = values, .last = values};
    int flags_at = 1 + (int)reading->n_chosen, rc;

    SQL_BIND(row, reading->line->key, reading->attempt, from, to);
    while ((rc = sql_step(row, err)) == 1) {
        for (size_t i = 0; i < reading->n_chosen; i++)
            values[i] = sql_column_double(row, 1 + (int)i);
        one.step = one.step_end = sqlite3_column_int64(row, 0);
        if (bins_keeps_flags(reading->bins))
            one.flags = (uint32_t)sqlite3_column_int64(row, flags_at);
        bins_add_many(reading->bins, &one);
    }
    return rc;
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void bind_block(sqlite3_stmt *statement, const struct reading *reading, int level,
                       const char *name, int64_t step)
{
    SQL_BIND(statement, !reading->line->is_point, reading->line->key, reading->attempt, level);
    sql_bind_text(statement, 5, name);
    sqlite3_bind_int64(statement, 6, step);
}

/* Whether the nodes are what can have been written: in order, of as many points as fit, and up to
 * the block's end. */
static bool places_are_sound(const struct block *block)
{
    double end = (double)block->to_step, before = -1;

    for (size_t i = 0; i < block->n_nodes; i++) {
        const double *place = block->place[i];
        double length = place[BLOCK_LAST] - place[BLOCK_FIRST] + 1;

        if (!(place[BLOCK_FIRST] > before && place[BLOCK_LAST] <= end && place[BLOCK_COUNT] >= 1 &&
              place[BLOCK_COUNT] <= length))
            return false;
        before = place[BLOCK_LAST];
    }
    return before == end;
}

/* The first block that ends at or behind the step: 1, or 0 without one. */
static int find_block(struct reading *reading, int level, int64_t step, struct block *out,
                      struct err *err)
{
    sqlite3_stmt *row = reading->history->statement[SQL_BLOCK_AT];
    int rc;

    bind_block(row, reading, level, BLOCK_PLACES, step);
    rc = sql_step(row, err);
    if (rc == 1) {
        out->to_step = sqlite3_column_int64(row, 0);
        out->has_values = false;
        rc = block_nodes(row, 1, out->place, &out->n_nodes, err);
        if (rc == 0 && !places_are_sound(out))
            out->n_nodes = 0;
        rc = rc < 0 ? rc : 1;
    }
    sqlite3_reset(row);
    return rc;
}

static void set_nothing(double nodes[][BLOCK_NUMBERS], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < BLOCK_NUMBERS; k++)
            nodes[i][k] = (double)NAN;
    }
}

/* A row of the block, into `nodes`: nothing where there is none. */
static int read_row(struct reading *reading, int level, struct block *block, const char *name,
                    double nodes[][BLOCK_NUMBERS], struct err *err)
{
    sqlite3_stmt *row = reading->history->statement[SQL_BLOCK_AT];
    size_t n = 0;
    bool is_there;
    int rc;

    bind_block(row, reading, level, name, block->to_step);
    rc = sql_step(row, err);
    is_there = rc == 1 && sqlite3_column_int64(row, 0) == block->to_step;
    if (is_there)
        rc = block_nodes(row, 1, nodes, &n, err);
    else
        set_nothing(nodes, block->n_nodes);
    block->is_damaged |= is_there && n != block->n_nodes;
    sqlite3_reset(row);
    return rc < 0 ? rc : 0;
}

static int read_values(struct reading *reading, int level, struct block *block, struct err *err)
{
    int rc = 0;

    block->is_damaged = false;
    for (size_t i = 0; rc == 0 && i < reading->n_chosen; i++)
        rc = read_row(reading, level, block, line_value_name(reading->line, reading->chosen[i]),
                      block->value[i], err);
    if (rc == 0 && bins_keeps_flags(reading->bins))
        rc = read_row(reading, level, block, BLOCK_FLAGS, block->flags, err);
    block->has_values = rc == 0;
    return rc;
}

static int read_range(struct reading *reading, int level, int64_t from, int64_t to,
                      struct err *err);

static int add_node(struct reading *reading, int level, struct block *block, size_t node,
                    struct err *err)
{
    const double *place = block->place[node];
    double min[METRIC_COUNT], max[METRIC_COUNT], last[METRIC_COUNT];
    int rc = block->has_values ? 0 : read_values(reading, level, block, err);

    if (rc == 0 && block->is_damaged)
        return read_range(reading, level - 1, (int64_t)place[BLOCK_FIRST],
                          (int64_t)place[BLOCK_LAST], err);
    for (size_t i = 0; rc == 0 && i < reading->n_chosen; i++) {
        min[i] = block->value[i][node][BLOCK_MIN];
        max[i] = block->value[i][node][BLOCK_MAX];
        last[i] = block->value[i][node][BLOCK_VALUE];
    }
    if (rc == 0)
        bins_add_many(reading->bins, &(struct bin){.step = (int64_t)place[BLOCK_FIRST],
                                                   .step_end = (int64_t)place[BLOCK_LAST],
                                                   .count = (uint64_t)place[BLOCK_COUNT],
                                                   .min = min,
                                                   .max = max,
                                                   .last = last,
                                                   .flags = block_flags(block->flags[node])});
    return rc;
}

/* The nodes of a block between two steps. Neighbours that are not taken whole are read together:
 * `open` is where the first of them begins. Between two nodes there are no points. */
static int read_nodes(struct reading *reading, int level, struct block *block, int64_t from,
                      int64_t to, struct err *err)
{
    int64_t open = block->n_nodes > 0 ? -1 : from;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < block->n_nodes; i++) {
        int64_t first = (int64_t)block->place[i][BLOCK_FIRST],
                last = (int64_t)block->place[i][BLOCK_LAST];
        bool is_whole = first >= from && last <= to;

        if (is_whole && bins_has_room(reading->bins, first, last)) {
            if (open >= 0)
                rc = read_range(reading, level - 1, open, first - 1, err);
            if (rc == 0)
                rc = add_node(reading, level, block, i, err);
            open = -1;
        } else if (open < 0 && last >= from && first <= to) {
            open = first > from ? first : from;
        }
    }
    to = to < block->to_step ? to : block->to_step;
    return rc == 0 && open >= 0 ? read_range(reading, level - 1, open, to, err) : rc;
}

/* Both steps included; level 0 are the points. */
static int read_range(struct reading *reading, int level, int64_t from, int64_t to, struct err *err)
{
    struct block *block = reading->blocks + level - 1;
    int rc = 1;

    if (level == 0)
        return read_points(reading, from, to, err);
    while (from <= to && (rc = find_block(reading, level, from, block, err)) == 1) {
        rc = read_nodes(reading, level, block, from, to, err);
        if (rc < 0 || block->to_step >= to)
            return rc;
        from = block->to_step + 1;
    }
    return rc == 0 ? read_range(reading, level - 1, from, to, err) : rc < 0 ? rc : 0;
}

int line_fill_bins(struct history *history, const struct line *line, const struct selection *sel,
                   const size_t *chosen, size_t n, struct bins *bins, struct err *err)
{
    struct reading reading = {
        .history = history, .line = line, .chosen = chosen, .n_chosen = n, .bins = bins};
    int rc = find_points(&reading, err);

    reading.blocks = malloc(BLOCK_LEVELS * sizeof *reading.blocks); /* each is filled, then read */
    if (rc == 0 && !reading.blocks)
        rc = history_no_memory(err);

    for (size_t i = 0; reading.blocks && rc == 0 && i < sel->n_ranges; i++) {
        reading.attempt = sel->ranges[i].attempt;
        if (sel->ranges[i].from <= sel->ranges[i].to)
            rc = read_range(&reading, BLOCK_LEVELS, sel->ranges[i].from, sel->ranges[i].to, err);
    }
    if (!reading.is_kept)
        sqlite3_finalize(reading.points);
    free(reading.blocks);
    return rc;
}
