/* Columns of text, aligned: cells are added left to right, top to bottom, and printed with each
 * column as wide as its widest cell. Pure; the maker of a table owns it. Memory that runs out on
 * the way is reported once, at the end: all functions take a NULL table. */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/err.h"

struct table;

/* An empty table, or NULL. `align` has a letter a column: 'l' or 'r'. It is borrowed for the
 * table's life. */
struct table *table_new(const char *align);

/* Adds a cell, escaped and copied; NULL reads as "-". */
void table_add(struct table *, const char *text);
void table_addf(struct table *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds the first cells of a row, or of all of it. */
void table_add_each(struct table *, const char *const texts[], size_t n);
/* Adds a number as people read it, or with no digits after the point; NaN reads as "-". */
void table_add_number(struct table *, double value);
void table_add_whole(struct table *, double value);
/* Adds a value as people write it: text bare, the rest as JSON; NULL and null read as "-". */
void table_add_json(struct table *, const cJSON *value);

/* Prints all rows, and frees the table. Returns 0, or -ENOMEM when a cell or the table is missing;
 * nothing is printed then. */
int table_finish(struct table *, FILE *out, struct err *err);
/* Frees a table that nobody wants to see. */
void table_free(struct table *);
