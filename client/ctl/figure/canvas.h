/* Dots and marks on a grid of terminal cells, 2 x 4 dots each, printed as braille or ASCII. Pure:
 * no terminal, no clock. The plot knows what the dots mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CANVAS_DOTS_X 2
#define CANVAS_DOTS_Y 4

/* Colours 1 to 6; 0 is the terminal's own. */
#define CANVAS_COLOURS 6

struct canvas;

/* An empty canvas (free with canvas_free), or NULL. */
struct canvas *canvas_new(size_t columns, size_t rows);
void canvas_free(struct canvas *);

/* Sets the dots from one point to the other; (0, 0) is the upper left dot, and a dot outside is
 * ignored. A cell has one colour: the last one drawn there. Of every `period` dots the first `on`
 * (1, 1: solid). `phase` counts the dots of a line of many pieces and may be NULL. */
void canvas_line(struct canvas *, const long from[2], const long to[2], int colour,
                 const unsigned dash[2], unsigned *phase);

/* Puts a glyph over the cell that holds the dot. Borrows `glyph` for the canvas's life. */
void canvas_mark(struct canvas *, long x, long y, const char *glyph, int colour);

/* True when the cell that holds the dot has a mark. */
bool canvas_marked(struct canvas *, long x, long y);

/* Prints the cells of one row, exactly `columns` wide, without a newline. */
void canvas_print_row(const struct canvas *, size_t row, bool ascii, bool colour, FILE *out);

/* Switches the terminal to a colour, and back with 0. */
void canvas_print_colour(int colour, FILE *out);
