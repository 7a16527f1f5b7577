#include "client/ctl/figure/legend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/text.h"
#include "client/ctl/figure/canvas.h"

#define N_SHAPES   8
#define LEGEND_GAP 3

static const char *const unicode[N_SHAPES] = {"●", "○", "■", "□", "▲", "△", "◆", "◇"};
static const char *const plain[N_SHAPES] = {"O", "X", "#", "*", "@", "%", "&", "="};

/* After the shapes, letters. */
static const char letters[PLOT_MARKS - N_SHAPES][2] = {
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
    "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
};

const char *legend_mark(bool ascii, size_t curve)
{
    curve %= PLOT_MARKS;
    if (curve >= N_SHAPES)
        return letters[curve - N_SHAPES];
    return ascii ? plain[curve] : unicode[curve];
}

const char *legend_passage_mark(bool ascii)
{
    return ascii ? "=" : "━";
}

/* An entry of the legend: a mark, what it stands for, and a value. */
struct entry {
    const char *mark, *label;
    double value;
    int colour;
};

static struct entry entry_of(const struct plot *plot, size_t i)
{
    const struct plot_curve *curve = &plot->curves[i];
    const struct plot_rule *rule;

    if (i < plot->n_curves)
        return (struct entry){legend_mark(plot->ascii, i), curve->label, curve->last,
                              curve->colour};
    rule = &plot->rules[i - plot->n_curves];
    return (struct entry){rule->mark, rule->label, rule->value, rule->colour};
}

static size_t entry_width(const struct entry *entry)
{
    char number[TEXT_SIZE];

    return 2 + text_width(entry->label) + 2 + strlen(text_number(entry->value, number));
}

static void print_entry(const struct plot *plot, const struct entry *entry, FILE *out)
{
    char number[TEXT_SIZE];

    if (plot->colour)
        canvas_print_colour(entry->colour, out);
    fprintf(out, "%s ", entry->mark);
    if (plot->colour)
        canvas_print_colour(0, out);
    fprintf(out, "%s  %s", entry->label, text_number(entry->value, number));
}

/* Goes through the entries, printing when `out` is given: curves, then rules on lines of their own.
 * Returns the number of lines. */
static size_t walk_entries(const struct plot *plot, FILE *out)
{
    size_t used = 0, lines = 0;

    for (size_t i = 0; i < plot->n_curves + plot->n_rules; i++) {
        struct entry entry = entry_of(plot, i);
        size_t width = entry_width(&entry);
        bool fits = used > 0 && i != plot->n_curves && used + LEGEND_GAP + width <= plot->columns;

        lines += !fits;
        if (out) {
            fprintf(out, "%*s", fits ? LEGEND_GAP : 0, fits || i == 0 ? "" : "\n");
            print_entry(plot, &entry, out);
        }
        used = fits ? used + LEGEND_GAP + width : width;
    }
    if (out && lines > 0)
        fputc('\n', out);
    return lines;
}

size_t legend_lines(const struct plot *plot)
{
    return walk_entries(plot, NULL) + plot->n_passages;
}

/* As wide as the plot. */
static int print_passage(const struct plot *plot, const struct plot_passage *passage, FILE *out)
{
    bool marked = passage->end >= passage->start;
    char *line = NULL;

    if (asprintf(&line, "%s %s", marked ? legend_passage_mark(plot->ascii) : " ", passage->text) <
        0)
        return -ENOMEM;
    text_cut(line, plot->columns);
    fprintf(out, "%s\n", line);
    free(line);
    return 0;
}

int legend_print(const struct plot *plot, FILE *out)
{
    int rc = 0;

    walk_entries(plot, out);
    for (size_t i = 0; i < plot->n_passages && rc == 0; i++)
        rc = print_passage(plot, &plot->passages[i], out);
    return rc;
}
