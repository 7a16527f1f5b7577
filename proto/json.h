/* cJSON with its known gaps closed, for both protocols. Parsing is strict (size, depth, UTF-8, no
 * trailing text, no duplicate keys, finite numbers), printing round-trips every double. No state,
 * any thread. The codecs know what the members mean.
 *
 * The way through this room. A control message (control.h) comes as text: json_parse makes a tree,
 * the message's rows (control_field.h) read the members into its struct, and what fits in no row is
 * checked behind them; going out, the same rows write the members, and json_print makes the line. A
 * data message (wire.h) comes as frames: header, name, then each frame against the size that the
 * header announces; nothing is copied. A request of a reader (feed.h) comes as a line: json_parse,
 * the method's row with the parameters that it knows, then typed parameters; answers go out as one
 * line each. A wrong text is refused with one sentence that names the member, and leaves nothing to
 * free. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* Deeper nesting than any message of ours; cJSON itself recurses to 1000. */
#define JSON_MAX_DEPTH 32
/* A control message or a request line: room for a large `config`. */
#define JSON_MAX_SIZE 1048576
/* cJSON spends about 64 bytes and more on each value: this bounds 1 MiB of "1,1,1..." to ~13 MiB.
 */
#define JSON_MAX_VALUES 200000
/* Integers below this are told apart by a double: 2^53 + 1 reads as 2^53. */
#define JSON_MAX_INTEGER 9007199254740992.0

/* Parses one object or array of `size` bytes. Returns it (free with cJSON_Delete), or NULL with the
 * reason and the byte offset in `err`. */
cJSON *json_parse(const char *text, size_t size, struct err *err);
/* As json_parse, for text of a peer that is trusted with more: a series that the daemon answers. */
cJSON *json_parse_limited(const char *text, size_t size, size_t max_size, size_t max_values,
                          struct err *err);

/* Look-ups by exact name. Each leaves `*out` as it was when the member is absent (return 0), writes
 * it and returns 1 when it is there and of the right kind, and returns -EPROTO with text in `err`
 * otherwise. json_text borrows from `object` and refuses more than `max_bytes`; json_integer takes
 * an integer in [min, max], given as a number or as a string of digits; json_number takes a finite
 * number, or null, which it reports as NaN. */
int json_text(const cJSON *object, const char *name, size_t max_bytes, const char **out,
              struct err *err);
int json_integer(const cJSON *object, const char *name, int64_t min, int64_t max, int64_t *out,
                 struct err *err);
int json_number(const cJSON *object, const char *name, double *out, struct err *err);
/* The place of a text among `words`, which NULL ends. */
int json_word(const cJSON *object, const char *name, const char *const *words, int *out,
              struct err *err);

/* Enough for the text of any double or integer. */
#define JSON_DOUBLE_SIZE 32
/* The fewest digits that read back the same, in the form of %.17g (of up to 15 digits, %.15g),
 * whatever the locale; "null" for what is not finite. Returns the text's length. */
size_t json_double_text(double value, char text[JSON_DOUBLE_SIZE]);
size_t json_integer_text(int64_t value, char text[JSON_DOUBLE_SIZE]);

/* A double that reads back the same, or null when it is not finite; an integer exactly, of any
 * size. Free with cJSON_Delete; NULL when memory ran out. */
cJSON *json_from_double(double value);
cJSON *json_from_integer(int64_t value);

/* Add them. Return false when memory ran out. */
bool json_add_double(cJSON *object, const char *name, double value);
bool json_push_double(cJSON *array, double value);
bool json_add_integer(cJSON *object, const char *name, int64_t value);
bool json_push_integer(cJSON *array, int64_t value);
/* Adds a 64-bit number as a string of digits. */
bool json_add_counter(cJSON *object, const char *name, uint64_t value);

/* Turns every number in `value` that cJSON parsed into text that reads back the same, so that
 * json_print writes what came. Returns false when memory ran out; `value` is then still valid. */
bool json_make_exact(cJSON *value);

/* The object as one line without a newline. Returns a string (free with cJSON_free), or NULL. */
char *json_print(const cJSON *value);

/* True when `text` is UTF-8 without overlong forms, surrogates or NUL. */
bool json_utf8_valid(const char *text, size_t size);

/* A new object at the array's end, which owns it; NULL when memory ran out. */
cJSON *json_push_object(cJSON *array);
