/* Answers of the feed as CSV (RFC 4180, one header line), for spreadsheets and curl. Stateless, any
 * thread; FEED.md says which answers there are; here their shape decides how they are written. */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

/* A list of objects ("runs", "layers", "events") becomes a row each; a list of objects that hold
 * `columns` (series, scalars) a row a point, with the name of the object in front; an object of
 * arrays (SPECTRUM) a row an element, counted from 1 in `k`. A null is an empty cell. Returns a
 * text (free with free), or NULL when memory ran out; takes nothing. */
char *csv_from_answer(const cJSON *answer, size_t *size);
