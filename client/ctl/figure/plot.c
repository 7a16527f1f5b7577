#include "client/ctl/figure/plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/figure/axis.h"
#include "client/ctl/figure/canvas.h"
#include "client/ctl/common/text.h"

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
#define N_SHAPES      8
#define LEGEND_GAP    3

struct glyphs {
    const char *corner_left, *corner_right, *across, *tick_down;
    const char *side, *tick_left, *tick_right;
    const char *passage, *passage_tick;
    const char *shapes[N_SHAPES];
};

static const struct glyphs unicode = {
    "└", "┘", "─", "┬", "│", "┤", "├", "━", "┳", {"●", "○", "■", "□", "▲", "△", "◆", "◇"},
};
static const struct glyphs plain = {
    "+", "+", "-", "+", "|", "+", "+", "=", "#", {"O", "X", "#", "*", "@", "%", "&", "="},
};

/* After the shapes, letters. */
static const char letters[PLOT_MARKS - N_SHAPES][2] = {
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
    "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
};

static const unsigned solid[2] = {1, 1};
static const unsigned dotted[2] = {1, 3};

/* What plot_draw works out once and its parts share. */
struct layout {
    const struct plot *plot;
    const struct glyphs *glyphs;
    struct axis x, left, right;
    bool has_right;
    size_t gutter, right_gutter; /* columns of the labels beside the axes */
    size_t columns, rows;        /* of the canvas */
};

static const char *mark_of(const struct glyphs *g, size_t curve)
{
    curve %= PLOT_MARKS;
    return curve < N_SHAPES ? g->shapes[curve] : letters[curve - N_SHAPES];
}

struct range {
    double low, high;
    bool any;
};

static void range_add(struct range *r, double value)
{
    if (!isfinite(value))
        return;
    r->low = r->any ? fmin(r->low, value) : value;
    r->high = r->any ? fmax(r->high, value) : value;
    r->any = true;
}

static struct range steps_of(const struct plot *p)
{
    struct range r = {0, 1, false};

    for (size_t i = 0; i < p->n_curves; i++) {
        for (size_t k = 0; k < p->curves[i].n_samples; k++)
            range_add(&r, p->curves[i].samples[k].step);
    }
    return r;
}

static struct range values_of(const struct plot *p, bool right)
{
    struct range r = {0, 1, false};

    for (size_t i = 0; i < p->n_curves; i++) {
        const struct plot_curve *c = &p->curves[i];

        for (size_t k = 0; k < c->n_samples && c->right == right; k++) {
            range_add(&r, c->samples[k].low);
            range_add(&r, c->samples[k].high);
        }
    }
    return r;
}

static size_t label_width(const struct axis *a)
{
    size_t width = MIN_GUTTER;

    for (size_t i = 0; i < a->n_ticks; i++) {
        size_t w = strlen(a->ticks[i].label);

        width = w > width ? w : width;
    }
    return width;
}

static size_t legend_width(const struct plot_curve *c)
{
    char number[TEXT_SIZE];

    return 2 + text_width(c->label) + 2 + strlen(text_number(c->last, number));
}

/* Goes through the legend's lines, printing when `out` is given. Returns their number. */
static int legend(const struct plot *p, const struct glyphs *g, FILE *out)
{
    size_t used = 0;
    int lines = 0;

    for (size_t i = 0; i < p->n_curves; i++) {
        const struct plot_curve *c = &p->curves[i];
        size_t width = legend_width(c);
        bool fits = used > 0 && used + LEGEND_GAP + width <= p->columns;
        char number[TEXT_SIZE];

        lines += !fits;
        if (out) {
            fprintf(out, "%*s", fits ? LEGEND_GAP : 0, fits || i == 0 ? "" : "\n");
            if (p->colour)
                canvas_print_colour(c->colour, out);
            fprintf(out, "%s ", mark_of(g, i));
            if (p->colour)
                canvas_print_colour(0, out);
            fprintf(out, "%s  %s", c->label, text_number(c->last, number));
        }
        used = fits ? used + LEGEND_GAP + width : width;
    }
    if (out && lines > 0)
        fputc('\n', out);
    return lines;
}

/* Lines besides the canvas: the title, the step axis and its labels, the legend. */
static size_t other_lines(const struct layout *l)
{
    return 3 + (size_t)legend(l->plot, l->glyphs, NULL) + l->plot->n_passages;
}

static size_t at_least(size_t value, size_t least)
{
    return value > least ? value : least;
}

static void lay_out(struct layout *l, const struct plot *p)
{
    struct range steps = steps_of(p), left = values_of(p, false), right = values_of(p, true);
    size_t sides;

    *l = (struct layout){.plot = p, .glyphs = p->ascii ? &plain : &unicode};
    l->has_right = right.any;
    l->rows = p->lines > other_lines(l) ? p->lines - other_lines(l) : 0;
    l->rows = at_least(l->rows, MIN_CANVAS_ROWS);
    axis_fit_values(&l->left, left.low, left.high, at_least(l->rows / ROWS_A_TICK, 2));
    axis_fit_values(&l->right, right.low, right.high, at_least(l->rows / ROWS_A_TICK, 2));
    l->gutter = label_width(&l->left);
    l->right_gutter = l->has_right ? label_width(&l->right) : 0;
    sides = l->gutter + 2 + (l->has_right ? l->right_gutter + 2 : 0);
    l->columns = p->columns > sides ? p->columns - sides : 0;
    l->columns = at_least(l->columns, MIN_CANVAS_COLUMNS);
    axis_fit_steps(&l->x, steps.low, steps.high, p->log_steps,
                   at_least(l->columns / COLUMNS_A_TICK, 2));
}

static long dot_x(const struct layout *l, double step)
{
    return lround(axis_position(&l->x, step) * (double)(l->columns * CANVAS_DOTS_X - 1));
}

static long dot_y(const struct layout *l, const struct axis *a, double value)
{
    return lround((1 - axis_position(a, value)) * (double)(l->rows * CANVAS_DOTS_Y - 1));
}

static void draw_curve(const struct layout *l, struct canvas *canvas, const struct plot_curve *c)
{
    const struct axis *a = c->right ? &l->right : &l->left;
    const unsigned *dash = c->right ? dotted : solid;
    unsigned phase = 0;
    long last[2] = {0, 0};
    bool joined = false;

    for (size_t i = 0; i < c->n_samples; i++) {
        const struct plot_sample *s = &c->samples[i];
        long low[2] = {dot_x(l, s->step), 0}, high[2] = {low[0], 0};

        if (!isfinite(s->low) || !isfinite(s->high)) {
            joined = false;
            continue;
        }
        low[1] = dot_y(l, a, s->low);
        high[1] = dot_y(l, a, s->high);
        if (joined)
            canvas_line(canvas, last, low, c->colour, dash, &phase);
        canvas_line(canvas, low, high, c->colour, dash, &phase);
        memcpy(last, high, sizeof last);
        joined = true;
    }
}

/* Marks along the curve, each curve's shifted against the others', and one at its end. */
static void mark_curve(const struct layout *l, struct canvas *canvas, size_t index)
{
    const struct plot_curve *c = &l->plot->curves[index];
    const struct axis *a = c->right ? &l->right : &l->left;
    const char *glyph = mark_of(l->glyphs, index);
    double spacing = (double)(l->columns * CANVAS_DOTS_X) / MARKS_A_CURVE;
    double next = spacing * ((double)index + 0.5) / (double)l->plot->n_curves;
    long end[2] = {-1, -1};

    for (size_t i = 0; i < c->n_samples; i++) {
        const struct plot_sample *s = &c->samples[i];
        long x = dot_x(l, s->step), y;

        if (!isfinite(s->low) || !isfinite(s->high))
            continue;
        y = dot_y(l, a, (s->low + s->high) / 2);
        end[0] = x;
        end[1] = y;
        if ((double)x < next || canvas_marked(canvas, x, y))
            continue;
        canvas_mark(canvas, x, y, glyph, c->colour);
        while (next <= (double)x)
            next += spacing;
    }
    canvas_mark(canvas, end[0], end[1], glyph, c->colour);
}

/* The tick whose label stands in that row, or NULL. */
static const struct tick *tick_in_row(const struct layout *l, const struct axis *a, size_t row)
{
    for (size_t i = 0; i < a->n_ticks; i++) {
        if (dot_y(l, a, a->ticks[i].value) / CANVAS_DOTS_Y == (long)row)
            return &a->ticks[i];
    }
    return NULL;
}

static void print_rows(const struct layout *l, const struct canvas *canvas, FILE *out)
{
    const struct plot *p = l->plot;

    for (size_t row = 0; row < l->rows; row++) {
        const struct tick *t = tick_in_row(l, &l->left, row);

        fprintf(out, "%*s %s", (int)l->gutter, t ? t->label : "",
                t ? l->glyphs->tick_left : l->glyphs->side);
        canvas_print_row(canvas, row, p->ascii, p->colour, out);
        if (l->has_right) {
            t = tick_in_row(l, &l->right, row);
            fputs(t ? l->glyphs->tick_right : l->glyphs->side, out);
            if (t)
                fprintf(out, " %s", t->label);
        }
        fputc('\n', out);
    }
}

static size_t tick_column(const struct layout *l, const struct tick *t)
{
    return (size_t)dot_x(l, t->value) / CANVAS_DOTS_X;
}

static bool in_passage(const struct layout *l, size_t column)
{
    for (size_t i = 0; i < l->plot->n_passages; i++) {
        const struct plot_passage *e = &l->plot->passages[i];

        if (dot_x(l, e->start) / CANVAS_DOTS_X <= (long)column &&
            dot_x(l, e->end) / CANVAS_DOTS_X >= (long)column)
            return true;
    }
    return false;
}

static void print_step_axis(const struct layout *l, FILE *out)
{
    const struct glyphs *g = l->glyphs;

    fprintf(out, "%*s %s", (int)l->gutter, "", g->corner_left);
    for (size_t i = 0; i < l->columns; i++) {
        bool marked = in_passage(l, i);
        const char *glyph = marked ? g->passage : g->across;

        for (size_t k = 0; k < l->x.n_ticks; k++) {
            if (tick_column(l, &l->x.ticks[k]) == i)
                glyph = marked ? g->passage_tick : g->tick_down;
        }
        fputs(glyph, out);
    }
    fprintf(out, "%s\n", l->has_right ? g->corner_right : "");
}

/* Where labels are tight, 100 goes before 200 and 500, and those before 300. */
static int tick_rank(const struct tick *t)
{
    double digit = t->value > 0 ? t->value / pow(10, floor(log10(t->value) + 1e-9)) : 1;

    if (fabs(digit - 1) < 1e-6)
        return 0;
    return fabs(digit - 2) < 1e-6 || fabs(digit - 5) < 1e-6 ? 1 : 2;
}

/* Centres a label under its tick, if it stays a column away from the others. */
static void place_label(const struct layout *l, const struct tick *t, char *line, size_t size)
{
    size_t width = strlen(t->label);
    size_t centre = l->gutter + 2 + tick_column(l, t);
    size_t first = centre - width / 2;

    if (first + width > size)
        first = size - width;
    for (size_t i = first - 1; i <= first + width && i < size; i++) {
        if (line[i] != ' ')
            return;
    }
    memcpy(line + first, t->label, width);
}

static int print_step_labels(const struct layout *l, FILE *out)
{
    size_t size = l->gutter + 2 + l->columns + (l->has_right ? l->right_gutter + 2 : 0);
    char *line = malloc(size + 1);

    if (!line)
        return -ENOMEM;
    memset(line, ' ', size);
    line[size] = '\0';
    memcpy(line + l->gutter - MIN_GUTTER, "step", MIN_GUTTER);
    for (int rank = 0; rank <= 2; rank++) {
        for (size_t i = 0; i < l->x.n_ticks; i++) {
            if (tick_rank(&l->x.ticks[i]) == rank)
                place_label(l, &l->x.ticks[i], line, size);
        }
    }
    while (size > 0 && line[size - 1] == ' ')
        line[--size] = '\0';
    fprintf(out, "%s\n", line);
    free(line);
    return 0;
}

static int print_title(const struct plot *p, FILE *out)
{
    char *title = strdup(p->title);

    if (!title)
        return -ENOMEM;
    text_cut(title, p->columns);
    fprintf(out, "%s\n", title);
    free(title);
    return 0;
}

/* A line each, as wide as the plot. */
static int print_passages(const struct layout *l, FILE *out)
{
    for (size_t i = 0; i < l->plot->n_passages; i++) {
        char *line = NULL;

        if (asprintf(&line, "%s %s", l->glyphs->passage, l->plot->passages[i].text) < 0)
            return -ENOMEM;
        text_cut(line, l->plot->columns);
        fprintf(out, "%s\n", line);
        free(line);
    }
    return 0;
}

int plot_draw(const struct plot *p, FILE *out)
{
    struct canvas *canvas;
    struct layout l;
    int rc;

    lay_out(&l, p);
    canvas = canvas_new(l.columns, l.rows);
    if (!canvas)
        return -ENOMEM;
    /* The first curve is drawn last: where curves cross, its colour and marks stay. */
    for (size_t i = p->n_curves; i-- > 0;)
        draw_curve(&l, canvas, &p->curves[i]);
    for (size_t i = p->n_curves; i-- > 0;)
        mark_curve(&l, canvas, i);
    rc = print_title(p, out);
    if (rc == 0) {
        print_rows(&l, canvas, out);
        print_step_axis(&l, out);
        rc = print_step_labels(&l, out);
    }
    legend(p, l.glyphs, out);
    if (rc == 0)
        rc = print_passages(&l, out);
    canvas_free(canvas);
    return rc < 0 ? rc : (int)(other_lines(&l) + l.rows);
}
