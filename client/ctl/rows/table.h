/* Columns of text, aligned: cells are added left to right, top to bottom, and printed with each
 * column as wide as its widest cell. Pure; whoever made a table owns it. What stands in the cells
 * is left to the commands. */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct table;

/* An empty table (free with table_free), or NULL. `align` has a letter a column: 'l' or 'r'. It is
 * borrowed for the table's life. */
struct table *table_new(const char *align);
void table_free(struct table *);

/* Adds a cell, escaped and copied; NULL reads as "-". Without memory the table remembers it. */
void table_add(struct table *, const char *text);
void table_addf(struct table *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints all rows. Returns 0, or -ENOMEM when a cell is missing; nothing is printed then. */
int table_print(const struct table *, FILE *out);
