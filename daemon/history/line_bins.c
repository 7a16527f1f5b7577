#include "daemon/history/line_parts.h"

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
    return *out ? line_fill_bins(history, line, sel, chosen, n, *out, err) : history_no_memory(err);
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

static void put_places(FILE *out, const struct bins *bins)
{
    put_integers(out, "step", bins, BIN_STEP);
    fputc(',', out);
    put_integers(out, "step_end", bins, BIN_STEP_END);
    fputc(',', out);
    put_integers(out, "count", bins, BIN_COUNT);
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
        if (rc == 0)
            put_values(answer->out, line, chosen + at, n_part, bins);
        bins_free(bins);
        at += n_part;
    } while (rc == 0 && at < n);
    return rc;
}
