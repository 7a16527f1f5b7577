#include "client/ctl/figure/canvas.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

struct cell {
    uint8_t dots;     /* bit DOT_BIT[y][x] */
    uint8_t colour;   /* 0: the terminal's own */
    const char *mark; /* over the dots; NULL: none */
};

struct canvas {
    size_t columns;
    size_t rows;
    struct cell cells[];
};

/* The braille block U+2800 numbers its dots down the left column, down the right one, and then the
 * fourth row, which was added later. */
static const uint8_t dot_bit[CANVAS_DOTS_Y][CANVAS_DOTS_X] = {
    {0x01, 0x08},
    {0x02, 0x10},
    {0x04, 0x20},
    {0x40, 0x80},
};

#define UPPER_DOTS 0x1B
#define LOWER_DOTS 0xE4

struct canvas *canvas_new(size_t columns, size_t rows)
{
    struct canvas *canvas = calloc(1, sizeof *canvas + columns * rows * sizeof canvas->cells[0]);

    assert(columns > 0 && rows > 0);
    if (!canvas)
        return NULL;
    canvas->columns = columns;
    canvas->rows = rows;
    return canvas;
}

void canvas_free(struct canvas *canvas)
{
    free(canvas);
}

/* The cell that holds a dot, or NULL outside. */
static struct cell *cell_of(struct canvas *canvas, long x, long y)
{
    size_t column = (size_t)x / CANVAS_DOTS_X, row = (size_t)y / CANVAS_DOTS_Y;

    if (x < 0 || y < 0 || column >= canvas->columns || row >= canvas->rows)
        return NULL;
    return &canvas->cells[row * canvas->columns + column];
}

static void set_dot(struct canvas *canvas, long x, long y, int colour)
{
    struct cell *cell = cell_of(canvas, x, y);

    assert(colour >= 0 && colour <= CANVAS_COLOURS);
    if (!cell)
        return;
    cell->dots |= dot_bit[y % CANVAS_DOTS_Y][x % CANVAS_DOTS_X];
    cell->colour = (uint8_t)colour;
}

/* Bresenham's line: `error` is twice the distance from the ideal line, in units of the shorter
 * side. */
void canvas_line(struct canvas *canvas, const long from[2], const long to[2], int colour,
                 const unsigned dash[2], unsigned *phase)
{
    long x = from[0], y = from[1];
    long dx = labs(to[0] - x), dy = -labs(to[1] - y);
    long step_x = x < to[0] ? 1 : -1, step_y = y < to[1] ? 1 : -1;
    long error = dx + dy;
    unsigned count = phase ? *phase : 0;

    assert(dash[0] <= dash[1] && dash[1] > 0);
    for (;;) {
        long twice = 2 * error;

        if (count++ % dash[1] < dash[0])
            set_dot(canvas, x, y, colour);
        if (x == to[0] && y == to[1])
            break;
        if (twice >= dy) {
            error += dy;
            x += step_x;
        }
        if (twice <= dx) {
            error += dx;
            y += step_y;
        }
    }
    /* The next piece begins on the dot where this one ended. */
    if (phase)
        *phase = count - 1;
}

void canvas_mark(struct canvas *canvas, long x, long y, const char *glyph, int colour)
{
    struct cell *cell = cell_of(canvas, x, y);

    assert(colour >= 0 && colour <= CANVAS_COLOURS && glyph);
    if (!cell)
        return;
    cell->mark = glyph;
    cell->colour = (uint8_t)colour;
}

bool canvas_marked(struct canvas *canvas, long x, long y)
{
    const struct cell *cell = cell_of(canvas, x, y);

    return cell && cell->mark;
}

static void print_braille(uint8_t dots, FILE *out)
{
    if (dots == 0) {
        fputc(' ', out);
        return;
    }
    /* U+2800 + dots in UTF-8. */
    fputc(0xE2, out);
    fputc(0xA0 | dots >> 6, out);
    fputc(0x80 | (dots & 0x3F), out);
}

static char ascii_of(uint8_t dots)
{
    if (dots == 0)
        return ' ';
    if ((dots & UPPER_DOTS) && (dots & LOWER_DOTS))
        return ':';
    return dots & UPPER_DOTS ? '\'' : '.';
}

void canvas_print_colour(int colour, FILE *out)
{
    assert(colour >= 0 && colour <= CANVAS_COLOURS);
    /* cyan, yellow, magenta, green, blue, red: neighbours also differ in lightness */
    static const int code[CANVAS_COLOURS + 1] = {0, 36, 33, 35, 32, 34, 31};

    fprintf(out, "\033[%dm", code[colour]);
}

void canvas_print_row(const struct canvas *canvas, size_t row, bool ascii, bool colour, FILE *out)
{
    const struct cell *cell = canvas->cells + row * canvas->columns;
    int now = 0;

    assert(row < canvas->rows);
    for (size_t i = 0; i < canvas->columns; i++, cell++) {
        if (colour && cell->colour != now && (cell->dots || cell->mark)) {
            now = cell->colour;
            canvas_print_colour(now, out);
        }
        if (cell->mark)
            fputs(cell->mark, out);
        else if (ascii)
            fputc(ascii_of(cell->dots), out);
        else
            print_braille(cell->dots, out);
    }
    if (now != 0)
        canvas_print_colour(0, out);
}
