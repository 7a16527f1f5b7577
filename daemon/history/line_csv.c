#include "daemon/history/line_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/csv.h"

/* Lines as CSV: a row a point or a bin, behind the name of its line. The header has the columns of
 * the first line, and behind them those of the others that it lacks: some lines may be in bins,
 * and some not. */

/* Of a bin, before its values; of a scalar's one less, which has no flags. */
#define N_BIN_PLACES 4

struct head {
    const char *name;
    const char *part; /* min, max or last; the scalar's name in "scalars"; else NULL */
};

/* The columns of one form, and where each stands in the header. */
struct heads {
    struct head *head;
    size_t n;
};

struct sheet {
    struct columns columns;
    size_t chosen[METRIC_COUNT], n_chosen;
    size_t n_places; /* columns of bins before those of their values */
    struct heads plain, binned, all;
    size_t *plain_of_all, *binned_of_all; /* SIZE_MAX: it has no such column */
    struct answer *answer;
    const char *line; /* the name of the current one */
};

/* ---- the header ---------------------------------------------------------------------------- */

static bool list_plain(struct sheet *sheet)
{
    struct heads *heads = &sheet->plain;

    heads->head = calloc(sheet->columns.n, sizeof *heads->head);
    if (!heads->head)
        return false;
    for (; heads->n < sheet->columns.n; heads->n++) {
        const char *name = sheet->columns.column[heads->n].name;

        heads->head[heads->n] = heads->n < sheet->columns.n_own ? (struct head){name, NULL}
                                                                : (struct head){"scalars", name};
    }
    return true;
}

static bool list_binned(struct sheet *sheet, const struct line *line)
{
    static const char *const places[N_BIN_PLACES] = {"step", "step_end", "count", "flags"};
    static const char *const parts[] = {"min", "max", "last"};
    struct heads *heads = &sheet->binned;

    sheet->n_places = line->is_point ? N_BIN_PLACES : N_BIN_PLACES - 1;
    heads->head = calloc(sheet->n_places + 3 * sheet->n_chosen, sizeof *heads->head);
    if (!heads->head)
        return false;
    for (; heads->n < sheet->n_places; heads->n++)
        heads->head[heads->n].name = places[heads->n];
    for (size_t i = 0; i < 3 * sheet->n_chosen; i++)
        heads->head[heads->n++] =
            (struct head){line_value_name(line, sheet->chosen[i / 3]), parts[i % 3]};
    return true;
}

/* Each may be NULL. */
static bool is_same(const char *part, const char *other)
{
    return part && other ? strcmp(part, other) == 0 : part == other;
}

static size_t find_head(const struct heads *heads, const struct head *head)
{
    for (size_t i = 0; i < heads->n; i++) {
        const struct head *other = &heads->head[i];

        if (is_same(other->name, head->name) && is_same(other->part, head->part))
            return i;
    }
    return SIZE_MAX;
}

static void add_heads(struct heads *all, const struct heads *more)
{
    for (size_t i = 0; i < more->n; i++) {
        if (find_head(all, &more->head[i]) == SIZE_MAX)
            all->head[all->n++] = more->head[i];
    }
}

/* In the order in which the lines have them. */
static void merge_heads(struct sheet *sheet, const struct line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_first = i == 0 || lines[i].binned != lines[i - 1].binned;

        if (is_first)
            add_heads(&sheet->all, lines[i].binned ? &sheet->binned : &sheet->plain);
    }
    for (size_t i = 0; i < sheet->all.n; i++) {
        sheet->plain_of_all[i] = find_head(&sheet->plain, &sheet->all.head[i]);
        sheet->binned_of_all[i] = find_head(&sheet->binned, &sheet->all.head[i]);
    }
}

static bool make_heads(struct sheet *sheet, const struct line *lines, size_t n)
{
    size_t n_max;

    if (!list_plain(sheet) || !list_binned(sheet, &lines[0]))
        return false;
    n_max = sheet->plain.n + sheet->binned.n;
    sheet->all.head = calloc(n_max, sizeof *sheet->all.head);
    sheet->plain_of_all = calloc(n_max, sizeof *sheet->plain_of_all);
    sheet->binned_of_all = calloc(n_max, sizeof *sheet->binned_of_all);
    if (!sheet->all.head || !sheet->plain_of_all || !sheet->binned_of_all)
        return false;
    merge_heads(sheet, lines, n);
    return true;
}

static void release(struct sheet *sheet)
{
    free(sheet->columns.column);
    free(sheet->plain.head);
    free(sheet->binned.head);
    free(sheet->all.head);
    free(sheet->plain_of_all);
    free(sheet->binned_of_all);
}

static void put_header(const struct sheet *sheet, const char *first, FILE *out)
{
    fputs(first, out);
    for (size_t i = 0; i < sheet->all.n; i++) {
        fputc(',', out);
        csv_put_name(out, sheet->all.head[i].name, sheet->all.head[i].part);
    }
    fputs("\r\n", out);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* What is not finite has an empty cell. */
static void put_number(FILE *out, double value)
{
    if (isfinite(value))
        answer_put_number(out, value);
}

static void put_flags(FILE *out, uint32_t flags)
{
    const char *before = "";

    for (int i = 0; i < FLAG_COUNT; i++) {
        if (!(flags & (1u << i)))
            continue;
        fprintf(out, "%s%s", before, flag_table[i].name);
        before = " ";
    }
}

static void put_cell(FILE *out, enum point_kind kind, union cell cell)
{
    if (kind == POINT_KIND_NUMBER)
        put_number(out, cell.number);
    else if (kind == POINT_KIND_FLAGS)
        put_flags(out, (uint32_t)cell.integer);
    else if (kind != POINT_KIND_STEP || cell.integer >= 0)
        answer_put_integer(out, cell.integer);
}

static int put_row(void *arg, const union cell *cells, struct err *err)
{
    struct sheet *sheet = arg;
    FILE *out = sheet->answer->out;

    (void)err;
    csv_put_text(out, sheet->line);
    for (size_t i = 0; i < sheet->all.n; i++) {
        size_t at = sheet->plain_of_all[i];

        fputc_unlocked(',', out);
        if (at != SIZE_MAX)
            put_cell(out, sheet->columns.column[at].kind, cells[at]);
    }
    fputs_unlocked("\r\n", out);
    return 0;
}

static void put_bin_cell(FILE *out, const struct sheet *sheet, const struct bin *bin, size_t at)
{
    const int64_t places[] = {bin->step, bin->step_end, (int64_t)bin->count};
    const double *const parts[] = {bin->min, bin->max, bin->last};

    if (at < N_BIN_PLACES - 1)
        answer_put_integer(out, places[at]);
    else if (at < sheet->n_places)
        put_flags(out, bin->flags);
    else if (at != SIZE_MAX)
        put_number(out, parts[(at - sheet->n_places) % 3][(at - sheet->n_places) / 3]);
}

static void put_bins(const struct sheet *sheet, const struct bins *bins)
{
    FILE *out = sheet->answer->out;
    struct bin bin;

    for (size_t cursor = 0; bins_next(bins, &cursor, &bin);) {
        csv_put_text(out, sheet->line);
        for (size_t i = 0; i < sheet->all.n; i++) {
            fputc_unlocked(',', out);
            put_bin_cell(out, sheet, &bin, sheet->binned_of_all[i]);
        }
        fputs_unlocked("\r\n", out);
    }
}

static int put_line(struct history *history, const struct line *line, const struct selection *sel,
                    struct sheet *sheet, struct err *err)
{
    struct feed_place last;
    struct bins *bins;
    int rc;

    sheet->line = line->name;
    if (!line->binned)
        return line_walk(history, line, sel, sheet->columns.column, sheet->columns.n, put_row,
                         sheet, &last, err);
    rc = line_bins(history, line, sel, sheet->chosen, sheet->n_chosen, &bins, err);
    if (rc == 0)
        put_bins(sheet, bins);
    bins_free(bins);
    return rc;
}

int lines_put_csv(struct history *history, const struct line *lines, size_t n,
                  const struct selection *sel, const char *first, struct answer *answer,
                  struct err *err)
{
    struct sheet sheet = {.answer = answer};
    int rc = 0;

    if (n == 0) {
        put_header(&sheet, first, answer->out);
        return 0;
    }
    sheet.n_chosen = line_values(&lines[0], sel, sheet.chosen);
    rc = line_columns(&lines[0], sel, &sheet.columns, err);
    if (rc == 0 && !make_heads(&sheet, lines, n))
        rc = history_no_memory(err);
    if (rc == 0)
        put_header(&sheet, first, answer->out);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_line(history, &lines[i], sel, &sheet, err);
    release(&sheet);
    return rc;
}
