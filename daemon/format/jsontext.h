/* JSON that is written down as it comes, without a tree: for lists of thousands of objects, where a
 * tree costs more than reading what is in it. Owns its memory, which it keeps from one text to the
 * next; one thread at a time. What the text says is the caller's: it puts the names, the commas and
 * the braces. When memory runs out the text has `failed`, and what is put is lost. Tested by
 * test_jsontext.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: an empty text. */
struct jsontext {
    char *text; /* without a NUL */
    size_t size, capacity;
    bool failed;
};

/* It is empty again, and has not failed. */
void jsontext_clear(struct jsontext *);
void jsontext_release(struct jsontext *);

/* As it is. */
void jsontext_put(struct jsontext *, const char *text, size_t size);
/* The same of a text that ends with NUL. */
void jsontext_puts(struct jsontext *, const char *text);
/* JSON that was checked when it was stored; a newline between its members, which would end a line
 * of the feed, becomes a blank: JSON allows none inside a text. "null" when it is empty. */
void jsontext_put_json(struct jsontext *, const char *text);
/* A text in quotes. */
void jsontext_put_text(struct jsontext *, const char *text);
void jsontext_put_integer(struct jsontext *, int64_t value);
/* Or null. */
void jsontext_put_number(struct jsontext *, double value);
