/* Text for a terminal: foreign text made harmless, widths, numbers, ages and sizes for people.
 * Pure, but the width asks the locale. The caller frees the strings that are returned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Long enough for every text_ function that fills a buffer. */
#define TEXT_SIZE 32

/* A copy with control characters (C0, DEL, C1) and marks that turn the writing direction written
 * as \xNN or \uNNNN: a run's name must not move the cursor. NULL only without memory; NULL in
 * gives "". */
char *text_escape(const char *text);

/* Prints `text`, escaped. */
void text_print(const char *text, FILE *out);

/* Columns that `text` takes in a terminal. */
size_t text_width(const char *text);

/* Cuts `text` so that it takes at most `columns`. */
void text_cut(char *text, size_t columns);

/* The same for a line with colours in it: escape sequences (ESC [ ... letter) take no columns and
 * stay, so that a colour that was switched on is switched off. */
void text_clip(char *line, size_t columns);

/* Prints a line and a newline, broken at spaces so that none is wider than `columns`; what
 * follows the first is indented. */
void text_print_folded(const char *line, size_t columns, FILE *out);

/* Prints `text` in exactly `columns`: padded, or cut with an ellipsis at its end. */
void text_print_cell(const char *text, size_t columns, bool right, bool ascii, FILE *out);

/* "0.0941", "80.0", "1.2e-05"; "-" for NaN. Returns `buffer`, of TEXT_SIZE. */
const char *text_number(double value, char *buffer);

/* "3 min ago"; "now" within two seconds and for clocks that disagree. */
const char *text_age(double then_s, double now_s, char *buffer);

/* "1.5 MiB". */
const char *text_bytes(double bytes, char *buffer);

/* "2 h 05 min". */
const char *text_duration(double seconds, char *buffer);

/* Whether the environment asks for UTF-8: braille and bars may be printed. */
bool text_is_utf8(void);
