#include "client/ctl/rows/pointrow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/text.h"

/* A run's id is mostly its name and six digits; a longer one pushes its line to the right. */
#define RUN_WIDTH     24
#define LAYER_WIDTH   12
#define ATTEMPT_WIDTH 7
#define STEP_WIDTH    10
#define NUMBER_WIDTH  10
/* Left free for the flags of a point that has some: two gaps and the longest usual one. */
#define FLAGS_WIDTH 16
/* Terminals narrower than this do without n. */
#define COLUMNS_FOR_N 60

void pointrow_choose(bool shown[METRIC_COUNT], const char *metric)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        shown[i] = metric ? i == metric_find(metric) : i >= METRIC_D_LR && i <= METRIC_PR;
}

void pointrow_mark_measured(const cJSON *point, bool shown[METRIC_COUNT])
{
    for (int i = 0; i < METRIC_COUNT; i++)
        shown[i] = shown[i] || cJSON_IsNumber(member(point, metric_table[i].name));
}

/* The width of a name: its own, or a share of a narrow terminal. */
static size_t name_width(const struct pointrow_format *format, size_t width)
{
    size_t share = format->columns * width / ((size_t)5 * RUN_WIDTH);

    return format->columns > 0 && share < width ? share : width;
}

/* A left-aligned name. */
static void print_name(const struct pointrow_format *format, const char *name, size_t width,
                       FILE *out)
{
    char *escaped = text_escape(name);
    size_t used = escaped ? text_width(escaped) : 1;

    width = name_width(format, width);
    if (format->columns == 0 && used > width)
        width = used;
    text_print_cell(escaped ? escaped : "?", width, false, format->ascii, out);
    fputs("  ", out);
    free(escaped);
}

/* A right-aligned heading of a number that is at least NUMBER_WIDTH wide. */
static size_t number_width(const char *name)
{
    size_t width = text_width(name);

    return width > NUMBER_WIDTH ? width : NUMBER_WIDTH;
}

static bool shows_n(const struct pointrow_format *format)
{
    return format->columns == 0 || format->columns >= COLUMNS_FOR_N;
}

/* Columns before the measures. */
static size_t place_width(const struct pointrow_format *format)
{
    return (format->run ? name_width(format, RUN_WIDTH) + 2 : 0) +
           (format->layer ? name_width(format, LAYER_WIDTH) + 2 : 0) +
           (format->attempt ? ATTEMPT_WIDTH : 0) + STEP_WIDTH +
           (shows_n(format) ? 1 + NUMBER_WIDTH : 0);
}

/* The measures that have a column, in their order on the line. The first that is wanted is always
 * there. */
struct columns {
    int metric[METRIC_COUNT];
    size_t n, used;
};

static void add_column(const struct pointrow_format *format, struct columns *columns, int metric)
{
    size_t width = 1 + number_width(metric_table[metric].name);

    if (!format->shown[metric])
        return;
    columns->used += width; /* also of one that does not fit: none comes behind it */
    if (format->columns == 0 || columns->n == 0 || columns->used + FLAGS_WIDTH <= format->columns)
        columns->metric[columns->n++] = metric;
}

static struct columns choose_columns(const struct pointrow_format *format)
{
    struct columns columns = {.used = place_width(format)};

    for (int i = 0; i < METRIC_COUNT; i++) {
        if (metric_plain(i) != i)
            continue;
        if (metric_corrected(i) != i)
            add_column(format, &columns, metric_corrected(i));
        add_column(format, &columns, i);
    }
    return columns;
}

static void print_number(double value, size_t width, FILE *out)
{
    char text[TEXT_SIZE];

    fprintf(out, " %*s", (int)width, text_number(value, text));
}

static bool has_column(const struct columns *columns, int metric)
{
    for (size_t i = 0; i < columns->n; i++) {
        if (columns->metric[i] == metric)
            return true;
    }
    return false;
}

static void print_measure(const struct columns *columns, const cJSON *const parts[], int metric,
                          FILE *out)
{
    int plain = metric_plain(metric), width = (int)number_width(metric_table[metric].name);
    double value = number_of(parts[POINT_D_LR + metric]);
    char text[TEXT_SIZE];

    if (plain == metric || has_column(columns, plain))
        print_number(value, (size_t)width, out);
    else
        fprintf(out, " %*s", width, shown_text(value, number_of(parts[POINT_D_LR + plain]), text));
}

static void print_scalar_names(const struct pointrow_format *format, FILE *out)
{
    for (size_t i = 0; i < format->n_scalars; i++) {
        char *escaped = text_escape(format->scalars[i]);
        size_t used = escaped ? text_width(escaped) : 0;

        fprintf(out, " %*s%s", (int)(number_width(format->scalars[i]) - used), "",
                escaped ? escaped : "");
        free(escaped);
    }
}

void pointrow_print_header(const struct pointrow_format *format, FILE *out)
{
    struct columns columns;

    assert(format && out);
    columns = choose_columns(format);
    if (format->run)
        print_name(format, "run", RUN_WIDTH, out);
    if (format->layer)
        print_name(format, "layer", LAYER_WIDTH, out);
    if (format->attempt)
        fputs("attempt", out);
    fprintf(out, "%*s", STEP_WIDTH, "step");
    if (shows_n(format))
        fprintf(out, " %*s", NUMBER_WIDTH, "n");
    for (size_t i = 0; i < columns.n; i++) {
        const char *name = metric_table[columns.metric[i]].name;

        fprintf(out, " %*s", (int)number_width(name), name);
    }
    print_scalar_names(format, out);
    fputs("  flags\n", out);
}

void pointrow_print_place(const struct pointrow_format *format, const struct pointrow *row,
                          FILE *out)
{
    assert(format && row && row->parts);
    if (format->run)
        print_name(format, row->run, RUN_WIDTH, out);
    if (format->layer)
        print_name(format, row->layer, LAYER_WIDTH, out);
    if (format->attempt)
        fprintf(out, "%*.0f", ATTEMPT_WIDTH, number_of(row->parts[POINT_ATTEMPT]));
    fprintf(out, "%*.0f", STEP_WIDTH, number_of(row->parts[POINT_step]));
}

/* The flags in words, with commas. */
static void print_flags(const cJSON *flags, FILE *out)
{
    const cJSON *flag;
    const char *before = "  ";

    cJSON_ArrayForEach(flag, flags)
    {
        if (!cJSON_IsString(flag))
            continue;
        fputs(before, out);
        text_print(flag->valuestring, out);
        before = ",";
    }
}

void pointrow_print(const struct pointrow_format *format, const struct pointrow *row, FILE *out)
{
    struct columns columns = choose_columns(format);

    pointrow_print_place(format, row, out);
    /* Effective rows of a weighted window need no digits after the point. */
    if (shows_n(format))
        fprintf(out, " %*.0f", NUMBER_WIDTH, number_of(row->parts[POINT_n]));
    for (size_t i = 0; i < columns.n; i++)
        print_measure(&columns, row->parts, columns.metric[i], out);
    for (size_t i = 0; i < format->n_scalars; i++)
        print_number(number_of(row->parts[POINT_PARTS + i]), number_width(format->scalars[i]), out);
    print_flags(row->parts[POINT_flags], out);
    fputc('\n', out);
}
