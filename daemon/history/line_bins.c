#include "daemon/history/line_parts.h"

#include <math.h>
#include <stdlib.h>

/* A line in bins: line_blocks.c fills them, and they become the columns. */

/* So much may be held at a time: where the bins of all measures take more, the rows are read once
 * for each part of the measures. Bins of 10,000 points of all of them take 7 MB. */
#define PART_BYTES (8u << 20)

size_t line_values(const struct line *line, const struct selection *sel,
                   size_t chosen[METRIC_COUNT])
{
    size_t n = 0;

    if (!line->is_point) {
        chosen[0] = 0;
        return 1;
    }
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (sel->metrics[i])
            chosen[n++] = i;
    }
    return n;
}

sqlite3_stmt **line_statement(sqlite3_stmt **of_value, const struct line *line, size_t value)
{
    return of_value + (line->is_point ? value : METRIC_COUNT);
}

const char *line_value_name(const struct line *line, size_t value)
{
    return line->is_point ? metric_table[value].name : "value";
}

/* The first and the last step there is. */
static int find_ends(struct history *history, const struct line *line, const struct selection *sel,
                     int64_t *from, int64_t *to, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->ends];

    *from = INT64_MAX;
    *to = 0;
    for (size_t i = 0; i < sel->n_ranges; i++) {
        int rc;

        line_bind(statement, line, &sel->ranges[i]);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL) {
            int64_t first = sqlite3_column_int64(statement, 0),
                    last = sqlite3_column_int64(statement, 1);

            *from = first < *from ? first : *from;
            *to = last > *to ? last : *to;
        }
        sqlite3_reset(statement);
    }
    return 0;
}

int line_bins(struct history *history, const struct line *line, const struct selection *sel,
              const size_t *chosen, size_t n, struct bins **out, struct err *err)
{
    int64_t from = 0, to = 0;
    int rc = find_ends(history, line, sel, &from, &to, err);

    *out = NULL;
    if (rc < 0)
        return rc;
    *out = bins_new(n > 0 ? n : 1, (size_t)sel->max_rows,
                    sel->range->linear ? SPACING_LINEAR : SPACING_LOG, from, to);
    if (!*out)
        return history_no_memory(err);
    if (line->is_point)
        bins_keep_flags(*out);
    return line_fill_bins(history, line, sel, chosen, n, *out, err);
}

/* ---- as columns of JSON -------------------------------------------------------------------- */

enum bin_integer { BIN_STEP, BIN_STEP_END, BIN_COUNT };

static void put_integers(FILE *out, const char *name, const struct bins *bins,
                         enum bin_integer which)
{
    const char *before = "";
    struct bin bin;

    fprintf(out, "\"%s\":[", name);
    for (size_t cursor = 0; bins_next(bins, &cursor, &bin); before = ",") {
        const int64_t integers[] = {bin.step, bin.step_end, (int64_t)bin.count};

        fputs_unlocked(before, out);
        answer_put_integer(out, integers[which]);
    }
    fputc(']', out);
}

static void put_numbers(FILE *out, const char *name, const struct bins *bins, int which, size_t v)
{
    const char *before = "";
    struct bin bin;

    fprintf(out, "\"%s\":[", name);
    for (size_t cursor = 0; bins_next(bins, &cursor, &bin); before = ",") {
        const double *const parts[] = {bin.min, bin.max, bin.last};

        fputs_unlocked(before, out);
        answer_put_number(out, parts[which][v]);
    }
    fputc(']', out);
}

static void put_values(FILE *out, const struct line *line, const size_t *chosen, size_t n,
                       const struct bins *bins)
{
    for (size_t v = 0; v < n; v++) {
        fprintf(out, ",\"%s\":{", line_value_name(line, chosen[v]));
        put_numbers(out, "min", bins, 0, v);
        fputc(',', out);
        put_numbers(out, "max", bins, 1, v);
        fputc(',', out);
        put_numbers(out, "last", bins, 2, v);
        fputc('}', out);
    }
}

/* ---- when the last row of each bin was made ---------------------------------------------------
 */

struct stamp {
    int64_t attempt; /* 0: none was found */
    double time;
};

/* Of one attempt the row at a step. */
static int prepare_time(struct history *history, const struct line *line, sqlite3_stmt **out,
                        struct err *err)
{
    return sql_prepare(history->db,
                       line->is_point ? "SELECT time FROM point WHERE layer_key = ?1 AND "
                                        "attempt = ?2 AND step = ?3"
                                      : "SELECT time FROM scalar WHERE name_key = ?1 AND "
                                        "attempt = ?2 AND step = ?3",
                       out, err);
}

/* Of several attempts that have the step, the latest. */
static int find_time(sqlite3_stmt *row, const struct line *line, const struct selection *sel,
                     int64_t step, struct stamp *out, struct err *err)
{
    int rc = 0;

    *out = (struct stamp){.time = (double)NAN};
    for (size_t i = sel->n_ranges; rc == 0 && i-- > 0;) {
        const struct attempt_range *range = &sel->ranges[i];

        if (step < range->from || step > range->to)
            continue;
        SQL_BIND(row, line->key, range->attempt, step);
        rc = sql_step(row, err);
        if (rc == 1)
            *out = (struct stamp){range->attempt, sql_column_double(row, 0)};
        sqlite3_reset(row);
    }
    return rc < 0 ? rc : 0;
}

static int find_times(struct history *history, const struct line *line, const struct selection *sel,
                      const struct bins *bins, struct stamp *out, size_t *n, struct err *err)
{
    sqlite3_stmt *row = NULL;
    struct bin bin;
    int rc = prepare_time(history, line, &row, err);

    *n = 0;
    for (size_t cursor = 0; rc == 0 && bins_next(bins, &cursor, &bin);)
        rc = find_time(row, line, sel, bin.step_end, &out[(*n)++], err);
    sqlite3_finalize(row);
    return rc;
}

static int put_times(struct history *history, const struct line *line, const struct selection *sel,
                     const struct bins *bins, FILE *out, struct err *err)
{
    struct stamp *stamps = calloc((size_t)sel->max_rows / 2, sizeof *stamps);
    size_t n = 0;
    int rc =
        stamps ? find_times(history, line, sel, bins, stamps, &n, err) : history_no_memory(err);

    fputs(",\"attempt\":[", out);
    for (size_t i = 0; i < n; i++) {
        fputs_unlocked(i > 0 ? "," : "", out);
        answer_put_integer(out, stamps[i].attempt);
    }
    fputs("],\"time\":[", out);
    for (size_t i = 0; i < n; i++) {
        fputs_unlocked(i > 0 ? "," : "", out);
        answer_put_number(out, stamps[i].time);
    }
    fputc(']', out);
    free(stamps);
    return rc;
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void put_flags(FILE *out, const struct bins *bins)
{
    const char *before = "";
    struct bin bin;

    fputs(",\"flags\":[", out);
    for (size_t cursor = 0; bins_next(bins, &cursor, &bin); before = ",") {
        fputs_unlocked(before, out);
        line_put_flags(out, bin.flags);
    }
    fputc(']', out);
}

static void put_places(FILE *out, const struct bins *bins)
{
    put_integers(out, "step", bins, BIN_STEP);
    fputc(',', out);
    put_integers(out, "step_end", bins, BIN_STEP_END);
    fputc(',', out);
    put_integers(out, "count", bins, BIN_COUNT);
    if (bins_keeps_flags(bins))
        put_flags(out, bins);
}

int line_put_bins(struct history *history, const struct line *line, const struct selection *sel,
                  struct answer *answer, struct err *err)
{
    size_t chosen[METRIC_COUNT], n = line_values(line, sel, chosen), at = 0;
    size_t width = PART_BYTES / (3 * sizeof(double)) / (size_t)(sel->max_rows / 2);
    int rc = 0;

    width = width < 1 ? 1 : width;
    do {
        size_t n_part = n - at < width ? n - at : width;
        struct bins *bins;

        rc = line_bins(history, line, sel, chosen + at, n_part, &bins, err);
        if (rc == 0 && at == 0)
            put_places(answer->out, bins);
        if (rc == 0 && at == 0 && sel->range->times)
            rc = put_times(history, line, sel, bins, answer->out, err);
        if (rc == 0)
            put_values(answer->out, line, chosen + at, n_part, bins);
        bins_free(bins);
        at += n_part;
    } while (rc == 0 && at < n);
    return rc;
}
