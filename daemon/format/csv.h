/* Answers of the feed as CSV (RFC 4180, one header line), for spreadsheets and curl. Stateless, any
 * thread; FEED.md says which answers there are; here their shape decides how they are written. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A list of objects ("runs", "layers", "events") becomes a row each; a list of objects that hold
 * `columns` (series, scalars) a row a point, with the name of the object in front; an object of
 * arrays (SPECTRUM) a row an element, counted from 1 in `k`. A null is an empty cell. Returns a
 * text (free with free), or NULL when memory ran out; takes nothing. */
char *csv_from_answer(const cJSON *answer, size_t *size);

/* A list of objects that all have the members of the first, a row each. Borrows `out`. Returns it,
 * or NULL. */
struct csv_rows *csv_rows_new(FILE *out);
/* Takes the object. False when memory ran out. */
bool csv_rows_put(struct csv_rows *, cJSON *object);
/* Frees it; without a row the header is an empty line. NULL is fine. */
void csv_rows_end(struct csv_rows *);

/* A column's name; with a part (min, max, last, or a scalar) NAME_PART. */
void csv_put_name(FILE *, const char *name, const char *part);
