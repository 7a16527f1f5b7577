/* Answers of the feed as CSV (RFC 4180, one header line), for spreadsheets and curl. Stateless, any
 * thread; which answers there are is FEED.md's business: here they are told apart by their shape.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

/* A list of objects ("runs", "layers", "events") becomes a row each; a list of objects that hold
 * `columns` (series, scalars) a row a point, with what names the object in front; an object of
 * arrays (SPECTRUM) a row an element, counted from 1 in `k`. What is null is empty. Returns a text
 * (free with free), or NULL when memory ran out; takes nothing. */
char *csv_from_answer(const cJSON *answer, size_t *size);
