#include "client/ctl/figure/plot.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/text.h"
#include "client/ctl/figure/axis.h"
#include "client/ctl/figure/canvas.h"
#include "client/ctl/figure/legend.h"

/* Smaller, and no curve can be read. */
#define MIN_CANVAS_COLUMNS 16
#define MIN_CANVAS_ROWS    5
/* "step" stands under the left axis. */
#define MIN_GUTTER 4
/* Rows and columns that a tick's label needs around it. */
#define ROWS_A_TICK    3
#define COLUMNS_A_TICK 10
/* Marks on a curve, besides the one at its end. */
#define MARKS_A_CURVE 4

struct glyphs {
    const char *corner_left, *corner_right, *across, *tick_down;
    const char *side, *tick_left, *tick_right;
    const char *passage_tick;
};

static const struct glyphs unicode = {
    "└", "┘", "─", "┬", "│", "┤", "├", "┳",
};
static const struct glyphs plain = {
    "+", "+", "-", "+", "|", "+", "+", "#",
};

static const unsigned solid[2] = {1, 1};
static const unsigned dotted[2] = {1, 3};
static const unsigned sparse[2] = {1, 5};

/* What plot_draw works out once and its parts share. */
struct layout {
    const struct plot *plot;
    const struct glyphs *glyphs;
    struct axis x, left, right;
    bool has_right;
    size_t gutter, right_gutter; /* columns of the labels beside the axes */
    size_t columns, rows;        /* of the canvas */
};

struct range {
    double low, high;
    bool any;
};

static void range_add(struct range *range, double value)
{
    if (!isfinite(value))
        return;
    range->low = range->any ? fmin(range->low, value) : value;
    range->high = range->any ? fmax(range->high, value) : value;
    range->any = true;
}

static struct range steps_of(const struct plot *plot)
{
    struct range range = {0, 1, false};

    for (size_t i = 0; i < plot->n_curves; i++) {
        for (size_t k = 0; k < plot->curves[i].n_samples; k++)
            range_add(&range, plot->curves[i].samples[k].step);
    }
    return range;
}

static struct range values_of(const struct plot *plot, bool right)
{
    struct range range = {0, 1, false};

    for (size_t i = 0; i < plot->n_curves; i++) {
        const struct plot_curve *curve = &plot->curves[i];

        for (size_t k = 0; k < curve->n_samples && curve->right == right; k++) {
            range_add(&range, curve->samples[k].low);
            range_add(&range, curve->samples[k].high);
        }
    }
    for (size_t i = 0; i < plot->n_rules && plot->fits_rules && !right; i++)
        range_add(&range, plot->rules[i].value);
    return range;
}

static size_t at_least(size_t value, size_t least)
{
    return value > least ? value : least;
}

static size_t label_width(const struct axis *axis)
{
    size_t width = MIN_GUTTER;

    for (size_t i = 0; i < axis->n_ticks; i++)
        width = at_least(strlen(axis->ticks[i].label), width);
    return width;
}

/* Lines besides the canvas: the title, the step axis and its labels, the legend. */
static size_t other_lines(const struct layout *layout)
{
    return 3 + legend_lines(layout->plot);
}

static void lay_out(struct layout *layout, const struct plot *plot)
{
    struct range steps = steps_of(plot), left = values_of(plot, false),
                 right = values_of(plot, true);
    size_t sides;

    *layout = (struct layout){.plot = plot, .glyphs = plot->ascii ? &plain : &unicode};
    layout->has_right = right.any;
    layout->rows = plot->lines > other_lines(layout) ? plot->lines - other_lines(layout) : 0;
    layout->rows = at_least(layout->rows, MIN_CANVAS_ROWS);
    axis_fit_values(&layout->left, left.low, left.high, at_least(layout->rows / ROWS_A_TICK, 2));
    axis_fit_values(&layout->right, right.low, right.high, at_least(layout->rows / ROWS_A_TICK, 2));
    layout->gutter = label_width(&layout->left);
    layout->right_gutter = layout->has_right ? label_width(&layout->right) : 0;
    sides = layout->gutter + 2 + (layout->has_right ? layout->right_gutter + 2 : 0);
    layout->columns = plot->columns > sides ? plot->columns - sides : 0;
    layout->columns = at_least(layout->columns, MIN_CANVAS_COLUMNS);
    axis_fit_steps(&layout->x, steps.low, steps.high, plot->log_steps,
                   at_least(layout->columns / COLUMNS_A_TICK, 2));
}

static long dot_x(const struct layout *layout, double step)
{
    return lround(axis_position(&layout->x, step) * (double)(layout->columns * CANVAS_DOTS_X - 1));
}

static long dot_y(const struct layout *layout, const struct axis *axis, double value)
{
    return lround((1 - axis_position(axis, value)) * (double)(layout->rows * CANVAS_DOTS_Y - 1));
}

static void draw_curve(const struct layout *layout, struct canvas *canvas,
                       const struct plot_curve *curve)
{
    const struct axis *axis = curve->right ? &layout->right : &layout->left;
    const unsigned *dash = curve->right ? dotted : solid;
    unsigned phase = 0;
    long last[2] = {0, 0};
    bool joined = false;

    for (size_t i = 0; i < curve->n_samples; i++) {
        const struct plot_sample *sample = &curve->samples[i];
        long low[2] = {dot_x(layout, sample->step), 0}, high[2] = {low[0], 0};

        if (!isfinite(sample->low) || !isfinite(sample->high)) {
            joined = false;
            continue;
        }
        low[1] = dot_y(layout, axis, sample->low);
        high[1] = dot_y(layout, axis, sample->high);
        if (joined)
            canvas_line(canvas, last, low, curve->colour, dash, &phase);
        canvas_line(canvas, low, high, curve->colour, dash, &phase);
        memcpy(last, high, sizeof last);
        joined = true;
    }
}

/* Marks along the curve, each curve's shifted against the others', and one at its end. */
static void mark_curve(const struct layout *layout, struct canvas *canvas, size_t index)
{
    const struct plot_curve *curve = &layout->plot->curves[index];
    const struct axis *axis = curve->right ? &layout->right : &layout->left;
    const char *glyph = legend_mark(layout->plot->ascii, index);
    double spacing = (double)(layout->columns * CANVAS_DOTS_X) / MARKS_A_CURVE;
    double next = spacing * ((double)index + 0.5) / (double)layout->plot->n_curves;
    long end[2] = {-1, -1};

    for (size_t i = 0; i < curve->n_samples; i++) {
        const struct plot_sample *sample = &curve->samples[i];
        long x = dot_x(layout, sample->step), y;

        if (!isfinite(sample->low) || !isfinite(sample->high))
            continue;
        y = dot_y(layout, axis, (sample->low + sample->high) / 2);
        end[0] = x;
        end[1] = y;
        if ((double)x < next || canvas_marked(canvas, x, y))
            continue;
        canvas_mark(canvas, x, y, glyph, curve->colour);
        while (next <= (double)x)
            next += spacing;
    }
    canvas_mark(canvas, end[0], end[1], glyph, curve->colour);
}

static void draw_rule(const struct layout *layout, struct canvas *canvas,
                      const struct plot_rule *rule)
{
    double position = axis_position(&layout->left, rule->value);
    long from[2] = {0, dot_y(layout, &layout->left, rule->value)};
    long to[2] = {(long)(layout->columns * CANVAS_DOTS_X) - 1, from[1]};

    if (!(position >= 0 && position <= 1)) /* nor is NaN */
        return;
    canvas_line(canvas, from, to, rule->colour, sparse, NULL);
    canvas_mark(canvas, to[0], to[1], rule->mark, rule->colour);
}

/* The tick whose label stands in that row, or NULL. */
static const struct tick *tick_in_row(const struct layout *layout, const struct axis *axis,
                                      size_t row)
{
    for (size_t i = 0; i < axis->n_ticks; i++) {
        if (dot_y(layout, axis, axis->ticks[i].value) / CANVAS_DOTS_Y == (long)row)
            return &axis->ticks[i];
    }
    return NULL;
}

static void print_rows(const struct layout *layout, const struct canvas *canvas, FILE *out)
{
    const struct plot *plot = layout->plot;

    for (size_t row = 0; row < layout->rows; row++) {
        const struct tick *tick = tick_in_row(layout, &layout->left, row);

        fprintf(out, "%*s %s", (int)layout->gutter, tick ? tick->label : "",
                tick ? layout->glyphs->tick_left : layout->glyphs->side);
        canvas_print_row(canvas, row, plot->ascii, plot->colour, out);
        if (layout->has_right) {
            tick = tick_in_row(layout, &layout->right, row);
            fputs(tick ? layout->glyphs->tick_right : layout->glyphs->side, out);
            if (tick)
                fprintf(out, " %s", tick->label);
        }
        fputc('\n', out);
    }
}

static size_t tick_column(const struct layout *layout, const struct tick *tick)
{
    return (size_t)dot_x(layout, tick->value) / CANVAS_DOTS_X;
}

static bool in_passage(const struct layout *layout, size_t column)
{
    for (size_t i = 0; i < layout->plot->n_passages; i++) {
        const struct plot_passage *passage = &layout->plot->passages[i];

        if (passage->end < passage->start)
            continue;
        if (dot_x(layout, passage->start) / CANVAS_DOTS_X <= (long)column &&
            dot_x(layout, passage->end) / CANVAS_DOTS_X >= (long)column)
            return true;
    }
    return false;
}

static void print_step_axis(const struct layout *layout, FILE *out)
{
    const struct glyphs *glyphs = layout->glyphs;

    fprintf(out, "%*s %s", (int)layout->gutter, "", glyphs->corner_left);
    for (size_t i = 0; i < layout->columns; i++) {
        bool marked = in_passage(layout, i);
        const char *glyph = marked ? legend_passage_mark(layout->plot->ascii) : glyphs->across;

        for (size_t k = 0; k < layout->x.n_ticks; k++) {
            if (tick_column(layout, &layout->x.ticks[k]) == i)
                glyph = marked ? glyphs->passage_tick : glyphs->tick_down;
        }
        fputs(glyph, out);
    }
    fprintf(out, "%s\n", layout->has_right ? glyphs->corner_right : "");
}

/* Where labels are tight, 100 is placed before 200 and 500, and those before 300. */
static int tick_rank(const struct tick *tick)
{
    double digit = tick->value > 0 ? tick->value / pow(10, floor(log10(tick->value) + 1e-9)) : 1;

    if (fabs(digit - 1) < 1e-6)
        return 0;
    return fabs(digit - 2) < 1e-6 || fabs(digit - 5) < 1e-6 ? 1 : 2;
}

/* Centres a label under its tick, if it stays a column away from the others. */
static void place_label(const struct layout *layout, const struct tick *tick, char *line,
                        size_t size)
{
    size_t width = strlen(tick->label);
    size_t centre = layout->gutter + 2 + tick_column(layout, tick);
    size_t first = centre - width / 2;

    if (first + width > size)
        first = size - width;
    for (size_t i = first - 1; i <= first + width && i < size; i++) {
        if (line[i] != ' ')
            return;
    }
    memcpy(line + first, tick->label, width);
}

static int print_step_labels(const struct layout *layout, FILE *out)
{
    size_t size =
        layout->gutter + 2 + layout->columns + (layout->has_right ? layout->right_gutter + 2 : 0);
    char *line = malloc(size + 1);

    if (!line)
        return -ENOMEM;
    memset(line, ' ', size);
    line[size] = '\0';
    memcpy(line + layout->gutter - MIN_GUTTER, "step", MIN_GUTTER);
    for (int rank = 0; rank <= 2; rank++) {
        for (size_t i = 0; i < layout->x.n_ticks; i++) {
            if (tick_rank(&layout->x.ticks[i]) == rank)
                place_label(layout, &layout->x.ticks[i], line, size);
        }
    }
    while (size > 0 && line[size - 1] == ' ')
        line[--size] = '\0';
    fprintf(out, "%s\n", line);
    free(line);
    return 0;
}

static int print_title(const struct plot *plot, FILE *out)
{
    char *title = strdup(plot->title);

    if (!title)
        return -ENOMEM;
    text_cut(title, plot->columns);
    fprintf(out, "%s\n", title);
    free(title);
    return 0;
}

int plot_draw(const struct plot *plot, FILE *out)
{
    struct canvas *canvas;
    struct layout layout;
    int rc;

    assert(plot->title && (plot->n_curves == 0 || plot->curves));
    lay_out(&layout, plot);
    canvas = canvas_new(layout.columns, layout.rows);
    if (!canvas)
        return -ENOMEM;
    for (size_t i = 0; i < plot->n_rules; i++)
        draw_rule(&layout, canvas, &plot->rules[i]);
    /* The first curve is drawn last: where curves cross, its colour and marks stay. */
    for (size_t i = plot->n_curves; i-- > 0;)
        draw_curve(&layout, canvas, &plot->curves[i]);
    for (size_t i = plot->n_curves; i-- > 0;)
        mark_curve(&layout, canvas, i);
    rc = print_title(plot, out);
    if (rc == 0) {
        print_rows(&layout, canvas, out);
        print_step_axis(&layout, out);
        rc = print_step_labels(&layout, out);
    }
    if (rc == 0)
        rc = legend_print(plot, out);
    canvas_free(canvas);
    return rc < 0 ? rc : (int)(other_lines(&layout) + layout.rows);
}
