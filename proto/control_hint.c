#include "proto/control_hint.h"

#include <string.h>

#include "proto/control_field.h"
#include "proto/json.h"

struct scan {
    const char *at, *end;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && is_space(*scan->at))
        scan->at++;
}

static bool take(struct scan *scan, char c)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

/* Behind a quote: goes behind the next one that no backslash escapes. */
static void skip_string(struct scan *scan)
{
    while (scan->at < scan->end && *scan->at != '"')
        scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
    if (scan->at < scan->end)
        scan->at++;
}

/* Goes to the comma or brace that ends the member of the outermost object. */
static void skip_value(struct scan *scan)
{
    size_t depth = 0;

    for (; scan->at < scan->end; scan->at++) {
        char c = *scan->at;

        if (depth == 0 && (c == ',' || c == '}'))
            return;
        if (c == '"') {
            scan->at++;
            skip_string(scan);
            scan->at--;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
}

static bool is_text(const char *at, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(at, text, size) == 0;
}

/* The digits that begin at `at`; 0 when they are no number that a message may have. */
static int64_t read_seq(const char *at, const char *end)
{
    int64_t value = 0;

    for (; at < end && *at >= '0' && *at <= '9' && value <= FIELD_MAX_INTEGER; at++)
        value = 10 * value + (*at - '0');
    return at == end && value <= FIELD_MAX_INTEGER ? value : 0;
}

static void read_value(struct scan *scan, const char *name, size_t size, struct control_hint *out)
{
    const char *value, *end;

    skip_space(scan);
    value = scan->at;
    skip_value(scan);
    for (end = scan->at; end > value && is_space(end[-1]); end--)
        ;
    if (is_text(name, size, "seq") && out->seq == 0)
        out->seq = read_seq(value, end);
    if (is_text(name, size, "type"))
        out->is_greeting = is_text(value, (size_t)(end - value), "\"hello\"") ||
                           is_text(value, (size_t)(end - value), "\"open\"");
}

/* Behind the quote of a name. False when the text makes no sense any more. */
static bool read_member(struct scan *scan, struct control_hint *out)
{
    const char *name = scan->at;
    size_t size;

    skip_string(scan);
    if (scan->at == name)
        return false;
    size = (size_t)(scan->at - name) - 1;
    if (!take(scan, ':'))
        return false;
    read_value(scan, name, size, out);
    return true;
}

struct control_hint control_hint_read(const void *text, size_t size)
{
    struct control_hint hint = {0};
    struct scan scan = {text, (const char *)text + size};

    if (!take(&scan, '{'))
        return hint;
    while (take(&scan, '"') && read_member(&scan, &hint) && take(&scan, ','))
        ;
    return hint;
}
