#include "client/ctl/common/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Of the lines that continue one. */
#define FOLD_INDENT ((size_t)4)

/* Not a code point: a byte that is no UTF-8. */
#define NO_POINT 0xFFFFFFFFu

/* The code point at `s`, and its length; NO_POINT and 1 where there is none. What the feed sends is
 * valid (json_parse checks); file names and arguments need not be. */
static unsigned decode(const unsigned char *s, size_t *length)
{
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    unsigned point = s[0] & mask[n];

    *length = 1;
    if (n == 0)
        return NO_POINT;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return NO_POINT;
        point = point << 6 | (s[i] & 0x3F);
    }
    *length = n;
    return point;
}

static int is_harmful(unsigned point)
{
    return point == NO_POINT || point < 0x20 || (point >= 0x7F && point <= 0x9F) ||
           point == 0x200E || point == 0x200F || (point >= 0x2028 && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069);
}

char *text_escape(const char *text)
{
    const unsigned char *s = (const unsigned char *)(text ? text : "");
    size_t room = 6 * strlen((const char *)s) + 1, length;
    char *out = malloc(room), *end = out;

    if (!out)
        return NULL;
    for (; *s; s += length) {
        unsigned point = decode(s, &length);

        if (is_harmful(point)) {
            end += length == 1 ? sprintf(end, "\\x%02x", *s) : sprintf(end, "\\u%04x", point);
        } else {
            memcpy(end, s, length);
            end += length;
        }
    }
    *end = '\0';
    return out;
}

void text_print(const char *text, FILE *out)
{
    char *escaped = text_escape(text);

    assert(out);
    fputs(escaped ? escaped : "?", out);
    free(escaped);
}

/* Columns of the first code point, and its length in bytes. */
static size_t width_of(const unsigned char *s, size_t *length)
{
    int columns = wcwidth((wchar_t)decode(s, length));

    /* Unknown to the locale: a C locale knows ASCII alone. */
    return columns >= 0 ? (size_t)columns : 1;
}

size_t text_width(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t width = 0, length;

    assert(text);
    for (; *s; s += length)
        width += width_of(s, &length);
    return width;
}

void text_cut(char *text, size_t columns)
{
    unsigned char *s = (unsigned char *)text;
    size_t width = 0, length;

    assert(text);
    for (; *s; s += length) {
        width += width_of(s, &length);
        if (width > columns)
            break;
    }
    *s = '\0';
}

/* Bytes of the escape sequence at `s`, or 0. */
static size_t escape_length(const char *s)
{
    size_t n;

    if (s[0] != '\033' || s[1] != '[')
        return 0;
    n = 2 + strspn(s + 2, "0123456789;?");
    return s[n] ? n + 1 : n;
}

void text_clip(char *line, size_t columns)
{
    char *out = line;
    size_t width = 0, length;

    assert(line);
    for (const char *s = line; *s; s += length) {
        length = escape_length(s);
        if (length == 0) {
            width += width_of((const unsigned char *)s, &length);
            if (width > columns)
                continue;
        }
        memmove(out, s, length);
        out += length;
    }
    *out = '\0';
}

/* Bytes of `line` that fit: up to a space where there is one, and at least one glyph. */
static size_t fitting(const char *line, size_t columns)
{
    size_t width = 0, at = 0, space = 0, length;

    for (; line[at]; at += length) {
        width += width_of((const unsigned char *)line + at, &length);
        if (line[at] == ' ')
            space = at;
        if (width > columns)
            return space > 0 ? space : at > 0 ? at : length;
    }
    return at;
}

void text_print_folded(const char *line, size_t columns, FILE *out)
{
    size_t indent = 0;

    assert(line && columns > 0);
    for (;;) {
        size_t n = fitting(line, columns - indent);

        fprintf(out, "%*s%.*s\n", (int)indent, "", (int)n, line);
        line += n + strspn(line + n, " ");
        if (!*line)
            return;
        indent = columns > 2 * FOLD_INDENT ? FOLD_INDENT : 0;
    }
}

void text_print_cell(const char *text, size_t columns, bool right, bool ascii, FILE *out)
{
    const char *ellipsis = ascii ? "~" : "…";
    size_t width = text_width(text);
    char *cut;

    assert(out);
    if (width <= columns) {
        int pad = (int)(columns - width);

        fprintf(out, "%*s%s%*s", right ? pad : 0, "", text, right ? 0 : pad, "");
        return;
    }
    cut = strdup(text);
    if (cut && columns > 0) {
        text_cut(cut, columns - 1);
        fprintf(out, "%s%s%*s", cut, ellipsis, (int)(columns - 1 - text_width(cut)), "");
    }
    free(cut);
}

const char *text_number(double value, char *buffer)
{
    double size = fabs(value);

    assert(buffer);
    if (!isfinite(value))
        snprintf(buffer, TEXT_SIZE, "-");
    else if (size >= 1e7 || (size > 0 && size < 1e-4))
        snprintf(buffer, TEXT_SIZE, "%.3e", value);
    else if (size >= 1000)
        snprintf(buffer, TEXT_SIZE, "%.0f", value);
    else
        snprintf(buffer, TEXT_SIZE, "%.*f", size >= 100 ? 1 : size >= 10 ? 2 : 4, value);
    return buffer;
}

const char *text_age(double then_s, double now_s, char *buffer)
{
    double age_s = now_s - then_s;

    assert(buffer);
    if (!isfinite(age_s))
        snprintf(buffer, TEXT_SIZE, "-");
    else if (age_s < 2)
        snprintf(buffer, TEXT_SIZE, "now");
    else if (age_s < 120)
        snprintf(buffer, TEXT_SIZE, "%.0f s ago", age_s);
    else if (age_s < 7200)
        snprintf(buffer, TEXT_SIZE, "%.0f min ago", floor(age_s / 60));
    else if (age_s < 48 * 3600.0)
        snprintf(buffer, TEXT_SIZE, "%.0f h ago", floor(age_s / 3600));
    else
        snprintf(buffer, TEXT_SIZE, "%.0f days ago", floor(age_s / 86400));
    return buffer;
}

const char *text_bytes(double bytes, char *buffer)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;

    assert(buffer);
    for (; bytes >= 1024 && i < 4; i++)
        bytes /= 1024;
    snprintf(buffer, TEXT_SIZE, i == 0 ? "%.0f %s" : "%.1f %s", bytes, unit[i]);
    return buffer;
}

const char *text_duration(double seconds, char *buffer)
{
    double hours = floor(seconds / 3600);

    assert(buffer);
    if (seconds < 60)
        snprintf(buffer, TEXT_SIZE, "%.0f s", seconds);
    else if (seconds < 3600)
        snprintf(buffer, TEXT_SIZE, "%.0f min", floor(seconds / 60));
    else if (hours < 48)
        snprintf(buffer, TEXT_SIZE, "%.0f h %02.0f min", hours, floor(fmod(seconds, 3600) / 60));
    else
        snprintf(buffer, TEXT_SIZE, "%.0f days %.0f h", floor(hours / 24), fmod(hours, 24));
    return buffer;
}

bool text_is_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(variables[i]);

        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}
