#include "client/ctl/top/view.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/shown.h"
#include "client/ctl/common/text.h"
#include "client/ctl/figure/canvas.h"

/* The status above, the heading, the keys below. */
#define OTHER_LINES 3
/* A longer curve shows nothing more. */
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

static bool is_shown(const struct topview *view, int column)
{
    return view->columns >= columns[column].from && !(view->once && column == RATE);
}

/* The width of each column; 0: not shown. They and the gaps between make up v->columns. */
static void lay_out(const struct topview *view, size_t width[COLUMNS])
{
    size_t fixed = 0, room;

    for (int i = 0; i < COLUMNS; i++) {
        width[i] = is_shown(view, i) ? columns[i].width : 0;
        fixed += width[i] ? width[i] + 1 : 0;
    }
    room = view->columns > fixed ? view->columns - fixed : 0;
    if (is_shown(view, CURVE)) {
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

/* Prints a curve of D_LR in exactly `width` columns over logarithmic steps, from 0 (low) to 1
 * (high): the last value of each column, and of the one before where a column has none. */
static void print_curve(const struct topsample *samples, size_t n, size_t width, bool ascii,
                        FILE *out)
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
static void make_age(const struct topview *view, const struct toprun *run, char *text)
{
    char *end;

    text_age(run->updated, view->now_s, text);
    end = strstr(text, " ago");
    if (end)
        *end = '\0';
}

/* The project is left out before the name is cut. */
static const char *fit_label(const struct toprun *run, size_t width)
{
    const char *slash = strchr(run->label, '/');

    return slash && text_width(run->label) > width ? slash + 1 : run->label;
}

static const char *cell_text(const struct topview *view, const struct toprun *run, int column,
                             size_t width, char *buffer)
{
    switch (column) {
    case NAME:
        return fit_label(run, width);
    case LAYER:
        return run->shown_layer ? run->shown_layer : "-";
    case D_LR:
        return shown_text(run->d_debiased, run->d_lr, buffer);
    case STEP:
        snprintf(buffer, TEXT_SIZE, isfinite(run->step) ? "%.0f" : "-", run->step);
        return buffer;
    case RATE:
        snprintf(buffer, TEXT_SIZE, isfinite(toprun_rate(run, view->now_s)) ? "%.3g" : "-",
                 toprun_rate(run, view->now_s));
        return buffer;
    case STATE:
        return run->state;
    default:
        make_age(view, run, buffer);
        return buffer;
    }
}

static int state_colour(const char *state)
{
    return strcmp(state, "open") == 0 ? 4 : strcmp(state, "finished") == 0 ? 0 : 6;
}

static void draw_cell(const struct topview *view, const struct toprun *run, int column,
                      size_t width, FILE *out)
{
    int colour = column == STATE ? state_colour(run->state) : column == CURVE ? 1 : 0;
    char buffer[TEXT_SIZE];

    if (view->colour && colour)
        canvas_print_colour(colour, out);
    if (column == CURVE)
        print_curve(run->samples, run->n_samples, width, view->ascii, out);
    else
        text_print_cell(cell_text(view, run, column, width, buffer), width, columns[column].right,
                        view->ascii, out);
    if (view->colour && colour)
        canvas_print_colour(0, out);
}

/* A line of cells; of the headings when `run` is NULL. */
static void draw_row(const struct topview *view, const struct toprun *run, FILE *out)
{
    size_t width[COLUMNS];
    bool first = true;

    lay_out(view, width);
    for (int i = 0; i < COLUMNS; i++) {
        if (width[i] == 0)
            continue;
        if (!first)
            fputc(' ', out);
        first = false;
        if (run)
            draw_cell(view, run, i, width[i], out);
        else
            text_print_cell(columns[i].heading, width[i], columns[i].right, view->ascii, out);
    }
    fputc('\n', out);
}

/* A line of text: cut to the width, in the colour when there are colours. */
static void draw_text(const struct topview *view, int colour, const char *text, FILE *out)
{
    char *line = strdup(text);

    if (line)
        text_cut(line, view->columns);
    if (view->colour && colour)
        canvas_print_colour(colour, out);
    fputs(line ? line : "", out);
    if (view->colour && colour)
        canvas_print_colour(0, out);
    fputc('\n', out);
    free(line);
}

static void draw_status(const struct topview *view, FILE *out)
{
    char text[256], age[TEXT_SIZE], *filter = text_escape(view->filter);

    if (isfinite(view->away_s)) {
        snprintf(text, sizeof text, "daemon away for %s; what follows is what it said last",
                 text_duration(view->away_s, age));
        draw_text(view, 6, text, out);
    } else {
        int n = snprintf(text, sizeof text, "richd: %zu runs, %zu open, by %s", view->n_all,
                         view->n_open, top_order_name(view->order));

        if (filter && *filter)
            snprintf(text + n, sizeof text - (size_t)n, "; %zu with \"%.*s\"", view->n_runs, FILTER,
                     filter);
        draw_text(view, 0, text, out);
    }
    free(filter);
}

/* Whether a row in sight shows a plain value. */
static bool has_star(const struct topview *view, size_t shown)
{
    for (size_t i = 0; i < shown; i++) {
        const struct toprun *run = view->runs[view->first + i];

        if (isnan(run->d_debiased) && !isnan(run->d_lr))
            return true;
    }
    return false;
}

static void draw_keys(const struct topview *view, size_t shown, FILE *out)
{
    char text[256], *filter = text_escape(view->filter);

    if (view->typing)
        snprintf(text, sizeof text, "/%.128s_   Enter keeps, Esc clears", filter ? filter : "");
    else if (shown < view->n_runs)
        snprintf(text, sizeof text, "%zu-%zu of %zu  q quit  j/k scroll  / filter  s sort",
                 view->first + 1, view->first + shown, view->n_runs);
    else
        snprintf(text, sizeof text, "q quit  / filter  s sort");
    if (!view->typing && has_star(view, shown))
        snprintf(text + strlen(text), sizeof text - strlen(text), "  " SHOWN_STAR_MEANS);
    draw_text(view, 0, text, out);
    free(filter);
}

size_t topview_rows(const struct topview *view)
{
    if (view->once)
        return view->n_runs;
    return view->lines > OTHER_LINES ? view->lines - OTHER_LINES : 0;
}

void topview_scroll(struct topview *view, long rows)
{
    size_t room = topview_rows(view), last = view->n_runs > room ? view->n_runs - room : 0;
    size_t up = rows < 0 ? (size_t)-rows : 0;

    assert(view);
    view->first = view->first > up ? view->first - up : 0;
    view->first += rows > 0 ? (size_t)rows : 0;
    view->first = view->first < last ? view->first : last;
}

void topview_draw(const struct topview *view, FILE *out)
{
    size_t room = topview_rows(view), shown = 0;

    assert(view->filter && view->first <= view->n_runs);
    /* Too low for rows: what fits of the status and the heading. */
    if (!view->once)
        draw_status(view, out);
    if (view->once || view->lines > 1)
        draw_row(view, NULL, out);
    for (; shown < room && view->first + shown < view->n_runs; shown++)
        draw_row(view, view->runs[view->first + shown], out);
    if (view->once || view->lines < OTHER_LINES)
        return;
    for (size_t i = shown; i < room; i++)
        fputc('\n', out);
    draw_keys(view, shown, out);
}
