#include "client/ctl/top/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/figure/canvas.h"
#include "client/ctl/common/text.h"

/* The status above, the heading, the keys below. */
#define OTHER_LINES 3
/* Longer, and the eye learns nothing more. */
#define MAX_CURVE 40
#define N_LEVELS  8
#define FILTER    64

enum column { NAME, LAYER, CURVE, D_LR, STEP, RATE, STATE, AGE, COLUMNS };

/* `width` 0: shares what the others leave. Terminals narrower than `from` do without. */
static const struct {
    const char *heading;
    size_t width, from;
    bool right;
} columns[COLUMNS] = {
    [NAME] = {"RUN", 0, 0, false},        [LAYER] = {"LAYER", 10, 100, false},
    [CURVE] = {"D_LR 0-1", 0, 50, false}, [D_LR] = {"LAST", 7, 14, true},
    [STEP] = {"STEP", 9, 42, true},       [RATE] = {"PT/S", 6, 70, true},
    [STATE] = {"STATE", 8, 30, false},    [AGE] = {"AGE", 8, 60, true},
};

/* A name wants three parts of the common room, a curve two. */
#define NAME_PARTS  3
#define CURVE_PARTS 2

static bool is_shown(const struct topview *v, int column)
{
    return v->columns >= columns[column].from && !(v->once && column == RATE);
}

/* The width of each column; 0: not shown. They and the gaps between make up v->columns. */
static void lay_out(const struct topview *v, size_t width[COLUMNS])
{
    size_t fixed = 0, room;

    for (int i = 0; i < COLUMNS; i++) {
        width[i] = is_shown(v, i) ? columns[i].width : 0;
        fixed += width[i] ? width[i] + 1 : 0;
    }
    room = v->columns > fixed ? v->columns - fixed : 0;
    if (is_shown(v, CURVE)) {
        width[CURVE] = room * CURVE_PARTS / (NAME_PARTS + CURVE_PARTS);
        width[CURVE] = width[CURVE] < MAX_CURVE ? width[CURVE] : MAX_CURVE;
        room -= width[CURVE] + 1;
    }
    width[NAME] = room;
}

/* The level of a value: 0 to N_LEVELS - 1, or -1 for none. */
static int level_of(double value)
{
    if (!isfinite(value))
        return -1;
    return (int)lround(fmin(fmax(value, 0), 1) * (N_LEVELS - 1));
}

void topview_curve(const struct topsample *samples, size_t n, size_t width, bool ascii, FILE *out)
{
    static const char *const blocks[N_LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[N_LEVELS] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    double first = n > 0 ? log1p(samples[0].step) : 0;
    double range = n > 0 ? log1p(samples[n - 1].step) - first : 0;
    size_t next = 0;
    int level = -1;

    for (size_t i = 0; i < width; i++) {
        double end = first + range * (double)(i + 1) / (double)width;

        for (; next < n && (log1p(samples[next].step) <= end || i + 1 == width); next++)
            level = level_of(samples[next].value);
        fputs(level < 0 ? " " : ascii ? letters[level] : blocks[level], out);
    }
}

/* "12 s", "3 min": text_age without "ago". */
static void make_age(const struct topview *v, const struct toprun *r, char *text)
{
    char *end;

    text_age(r->updated, v->now_s, text);
    end = strstr(text, " ago");
    if (end)
        *end = '\0';
}

/* The project gives way before the name is cut. */
static const char *fit_label(const struct toprun *r, size_t width)
{
    const char *slash = strchr(r->label, '/');

    return slash && text_width(r->label) > width ? slash + 1 : r->label;
}

static const char *cell_text(const struct topview *v, const struct toprun *r, int column,
                             size_t width, char *buffer)
{
    switch (column) {
    case NAME:
        return fit_label(r, width);
    case LAYER:
        return r->shown_layer ? r->shown_layer : "-";
    case D_LR:
        return text_number(r->d_lr, buffer);
    case STEP:
        snprintf(buffer, TEXT_SIZE, isfinite(r->step) ? "%.0f" : "-", r->step);
        return buffer;
    case RATE:
        snprintf(buffer, TEXT_SIZE, isfinite(toprun_rate(r, v->now_s)) ? "%.3g" : "-",
                 toprun_rate(r, v->now_s));
        return buffer;
    case STATE:
        return r->state;
    default:
        make_age(v, r, buffer);
        return buffer;
    }
}

static int state_colour(const char *state)
{
    return strcmp(state, "open") == 0 ? 4 : strcmp(state, "finished") == 0 ? 0 : 6;
}

static void draw_cell(const struct topview *v, const struct toprun *r, int column, size_t width,
                      FILE *out)
{
    int colour = column == STATE ? state_colour(r->state) : column == CURVE ? 1 : 0;
    char buffer[TEXT_SIZE];

    if (v->colour && colour)
        canvas_print_colour(colour, out);
    if (column == CURVE)
        topview_curve(r->samples, r->n_samples, width, v->ascii, out);
    else
        text_print_cell(cell_text(v, r, column, width, buffer), width, columns[column].right,
                        v->ascii, out);
    if (v->colour && colour)
        canvas_print_colour(0, out);
}

/* A line of cells; of the headings when `r` is NULL. */
static void draw_row(const struct topview *v, const struct toprun *r, FILE *out)
{
    size_t width[COLUMNS];
    bool first = true;

    lay_out(v, width);
    for (int i = 0; i < COLUMNS; i++) {
        if (width[i] == 0)
            continue;
        if (!first)
            fputc(' ', out);
        first = false;
        if (r)
            draw_cell(v, r, i, width[i], out);
        else
            text_print_cell(columns[i].heading, width[i], columns[i].right, v->ascii, out);
    }
    fputc('\n', out);
}

/* A line of text: cut to the width, in the colour when there are colours. */
static void draw_text(const struct topview *v, int colour, const char *text, FILE *out)
{
    char *line = strdup(text);

    if (line)
        text_cut(line, v->columns);
    if (v->colour && colour)
        canvas_print_colour(colour, out);
    fputs(line ? line : "", out);
    if (v->colour && colour)
        canvas_print_colour(0, out);
    fputc('\n', out);
    free(line);
}

static void draw_status(const struct topview *v, FILE *out)
{
    char text[256], age[TEXT_SIZE], *filter = text_escape(v->filter);

    if (isfinite(v->away_s)) {
        snprintf(text, sizeof text, "daemon away for %s; what follows is what it said last",
                 text_duration(v->away_s, age));
        draw_text(v, 6, text, out);
    } else {
        int n = snprintf(text, sizeof text, "richd: %zu runs, %zu open, by %s", v->n_all, v->n_open,
                         top_order_name(v->order));

        if (filter && *filter)
            snprintf(text + n, sizeof text - (size_t)n, "; %zu with \"%.*s\"", v->n_runs, FILTER,
                     filter);
        draw_text(v, 0, text, out);
    }
    free(filter);
}

static void draw_keys(const struct topview *v, size_t shown, FILE *out)
{
    char text[256], *filter = text_escape(v->filter);

    if (v->typing)
        snprintf(text, sizeof text, "/%.128s_   Enter keeps, Esc clears", filter ? filter : "");
    else if (shown < v->n_runs)
        snprintf(text, sizeof text, "%zu-%zu of %zu  q quit  j/k scroll  / filter  s sort",
                 v->first + 1, v->first + shown, v->n_runs);
    else
        snprintf(text, sizeof text, "q quit  / filter  s sort");
    draw_text(v, 0, text, out);
    free(filter);
}

size_t topview_rows(const struct topview *v)
{
    if (v->once)
        return v->n_runs;
    return v->lines > OTHER_LINES ? v->lines - OTHER_LINES : 0;
}

void topview_scroll(struct topview *v, long rows)
{
    size_t room = topview_rows(v), last = v->n_runs > room ? v->n_runs - room : 0;
    size_t up = rows < 0 ? (size_t)-rows : 0;

    v->first = v->first > up ? v->first - up : 0;
    v->first += rows > 0 ? (size_t)rows : 0;
    v->first = v->first < last ? v->first : last;
}

void topview_draw(const struct topview *v, FILE *out)
{
    size_t room = topview_rows(v), shown = 0;

    /* Too low for rows: what fits of the status and the heading. */
    if (!v->once)
        draw_status(v, out);
    if (v->once || v->lines > 1)
        draw_row(v, NULL, out);
    for (; shown < room && v->first + shown < v->n_runs; shown++)
        draw_row(v, v->runs[v->first + shown], out);
    if (v->once || v->lines < OTHER_LINES)
        return;
    for (size_t i = shown; i < room; i++)
        fputc('\n', out);
    draw_keys(v, shown, out);
}
