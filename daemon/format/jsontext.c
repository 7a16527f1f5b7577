#include "daemon/format/jsontext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

#define CAPACITY_MIN 1024

void jsontext_clear(struct jsontext *out)
{
    out->size = 0;
    out->failed = false;
}

void jsontext_release(struct jsontext *out)
{
    free(out->text);
    *out = (struct jsontext){0};
}

/* Room for `size` bytes more; NULL: there is none. */
static char *reserve(struct jsontext *out, size_t size)
{
    size_t want = out->size + size, capacity = out->capacity ? out->capacity : CAPACITY_MIN;
    char *grown;

    if (want <= out->capacity)
        return out->text + out->size;
    while (capacity < want)
        capacity *= 2;
    grown = out->failed ? NULL : realloc(out->text, capacity);
    out->failed = !grown;
    if (!grown)
        return NULL;
    out->text = grown;
    out->capacity = capacity;
    return grown + out->size;
}

void jsontext_put(struct jsontext *out, const char *text, size_t size)
{
    char *at = reserve(out, size);

    if (!at)
        return;
    memcpy(at, text, size);
    out->size += size;
}

void jsontext_puts(struct jsontext *out, const char *text)
{
    jsontext_put(out, text, strlen(text));
}

static void blank(char *text, size_t size, char newline)
{
    for (char *at = text; (at = memchr(at, newline, size - (size_t)(at - text)));)
        *at = ' ';
}

void jsontext_put_json(struct jsontext *out, const char *text)
{
    size_t size = strlen(text);
    char *at = reserve(out, size);

    if (size == 0) {
        jsontext_puts(out, "null");
        return;
    }
    jsontext_put(out, text, size);
    if (!at)
        return;
    blank(at, size, '\n');
    blank(at, size, '\r');
}

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c != '"' && c != '\\';
}

/* At most six bytes. */
static size_t escape(unsigned char c, char *at)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(plain, c) : NULL;

    if (!found)
        return (size_t)sprintf(at, "\\u%04x", c);
    at[0] = '\\';
    at[1] = letters[found - plain];
    return 2;
}

void jsontext_put_text(struct jsontext *out, const char *text)
{
    char *start = reserve(out, 6 * strlen(text) + 3), *at = start; /* and sprintf's NUL */

    if (!start)
        return;
    *at++ = '"';
    for (; *text; text++) {
        if (is_plain((unsigned char)*text))
            *at++ = *text;
        else
            at += escape((unsigned char)*text, at);
    }
    *at++ = '"';
    out->size += (size_t)(at - start);
}

void jsontext_put_integer(struct jsontext *out, int64_t value)
{
    char *at = reserve(out, JSON_DOUBLE_SIZE);

    if (at)
        out->size += json_integer_text(value, at);
}

void jsontext_put_number(struct jsontext *out, double value)
{
    char *at = reserve(out, JSON_DOUBLE_SIZE);

    if (at)
        out->size += json_double_text(value, at);
}
