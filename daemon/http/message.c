#include "daemon/http/message.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the end --------------------------------------------------------------------------------- */

/* Lines end with CR LF alone, and no other control character is in a head but the tabulator. */
static bool is_good_byte(const char *text, size_t at, size_t size)
{
    unsigned char c = (unsigned char)text[at];

    if (c == '\r')
        return at + 1 == size || text[at + 1] == '\n';
    if (c == '\n')
        return at > 0 && text[at - 1] == '\r';
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

long http_message_end(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!is_good_byte(text, i, size))
            return -1;
        if (i >= 3 && memcmp(text + i - 3, "\r\n\r\n", 4) == 0)
            return (long)i + 1;
    }
    return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* What a name is made of (RFC 9110, token). */
static size_t token_length(const char *text)
{
    return strspn(text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "abcdefghijklmnopqrstuvwxyz");
}

/* Ends the line at `at` with NUL and returns where the next begins. */
static char *end_line(char *at)
{
    char *end = strstr(at, "\r\n");

    assert(end);
    *end = '\0';
    return end + 2;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* %41 becomes A, in place; false for what is no such code, and for %00. */
static bool decode(char *text, bool is_query)
{
    char *out = text;

    for (const char *at = text; *at; at++) {
        int high, low;

        *out = is_query && *at == '+' ? ' ' : *at;
        if (*at == '%') {
            high = hex_digit(at[1]);
            low = high < 0 ? -1 : hex_digit(at[2]);
            *out = (char)(16 * high + low);
            if (low < 0 || *out == '\0')
                return false;
            at += 2;
        }
        out++;
    }
    *out = '\0';
    return true;
}

static enum http_code read_query(char *query, struct http_message *out, struct err *why)
{
    if (strlen(query) >= HTTP_TEXT_MAX)
        return err_set(why, HTTP_BAD_REQUEST, "a query of 2 KiB or more");
    for (char *part = query, *next; part; part = next) {
        next = strchr(part, '&');
        if (next)
            *next++ = '\0';
        if (!*part)
            continue;
        if (out->n_args == HTTP_ARGS_MAX)
            return err_set(why, HTTP_BAD_REQUEST, "a query of more than %d parts", HTTP_ARGS_MAX);
        if (!decode(part, true))
            return err_set(why, HTTP_BAD_REQUEST, "a query with a %% that is no code");
        out->arg[out->n_args++] = part;
    }
    return HTTP_OK;
}

static enum http_code read_target(char *target, struct http_message *out, struct err *why)
{
    char *query = strchr(target, '?');

    if (*target != '/')
        return err_set(why, HTTP_BAD_REQUEST, "a request names a path: this is no proxy");
    for (const char *c = target; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
            return err_set(why, HTTP_BAD_REQUEST, "a path with a character that has to be coded");
    }
    if (query)
        *query++ = '\0';
    if (strlen(target) >= HTTP_TEXT_MAX)
        return err_set(why, HTTP_BAD_REQUEST, "a path of 2 KiB or more");
    if (!decode(target, false))
        return err_set(why, HTTP_BAD_REQUEST, "a path with a %% that is no code");
    out->path = target;
    return query ? read_query(query, out, why) : HTTP_OK;
}

static enum http_method find_method(const char *name)
{
    if (strcmp(name, "GET") == 0)
        return HTTP_GET;
    if (strcmp(name, "POST") == 0)
        return HTTP_POST;
    return strcmp(name, "HEAD") == 0 ? HTTP_HEAD : HTTP_OTHER_METHOD;
}

/* HTTP/1.1, HTTP/2.0 and so on. */
static bool is_version(const char *text)
{
    return strlen(text) == 8 && strncmp(text, "HTTP/", 5) == 0 &&
           strspn(text + 5, "0123456789") == 1 && text[6] == '.' &&
           strspn(text + 7, "0123456789") == 1;
}

/* METHOD SP TARGET SP HTTP/1.1 */
static enum http_code read_first_line(char *line, struct http_message *out, struct err *why)
{
    char *target = line + token_length(line), *version;

    if (target == line || *target != ' ')
        return err_set(why, HTTP_BAD_REQUEST, "this is no HTTP");
    *target++ = '\0';
    version = strchr(target, ' ');
    if (!version || !is_version(version + 1))
        return err_set(why, HTTP_BAD_REQUEST, "this is no HTTP");
    *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return err_set(why, HTTP_NO_VERSION, "version 1.1 of HTTP is spoken here");
    out->method = find_method(line);
    out->keeps = version[7] == '1';
    out->is_1_0 = version[7] == '0';
    /* Any other target comes with a method that is refused. */
    return out->method == HTTP_OTHER_METHOD ? HTTP_OK : read_target(target, out, why);
}

static const char *const header_names[HTTP_HEADER_COUNT] = {
    [HEADER_HOST] = "host",
    [HEADER_FORWARDED_FOR] = "x-forwarded-for",
    [HEADER_ORIGIN] = "origin",
    [HEADER_AUTHORIZATION] = "authorization",
    [HEADER_ACCEPT] = "accept",
    [HEADER_ACCEPT_ENCODING] = "accept-encoding",
    [HEADER_IF_NONE_MATCH] = "if-none-match",
    [HEADER_LAST_EVENT_ID] = "last-event-id",
    [HEADER_CONNECTION] = "connection",
    [HEADER_UPGRADE] = "upgrade",
    [HEADER_WS_KEY] = "sec-websocket-key",
    [HEADER_WS_VERSION] = "sec-websocket-version",
    [HEADER_WS_PROTOCOL] = "sec-websocket-protocol",
    [HEADER_CONTENT_LENGTH] = "content-length",
    [HEADER_TRANSFER_ENCODING] = "transfer-encoding",
    [HEADER_CONTENT_TYPE] = "content-type",
    [HEADER_EXPECT] = "expect",
};

/* These are wishes: of several the first counts, and one that is too long is none. */
static bool is_wish(int header)
{
    return header == HEADER_ACCEPT || header == HEADER_ACCEPT_ENCODING ||
           header == HEADER_IF_NONE_MATCH || header == HEADER_LAST_EVENT_ID;
}

static enum http_code take_header(int i, const char *value, struct http_message *out,
                                  struct err *why)
{
    bool is_bad = out->header[i] || strlen(value) >= HTTP_TEXT_MAX;

    if (i == HEADER_FORWARDED_FOR) { /* a proxy adds its own behind what a client made up */
        out->header[i] = value;
        return HTTP_OK;
    }
    if (is_bad && !is_wish(i))
        return err_set(why, HTTP_BAD_REQUEST, "%s is too long, or given twice", header_names[i]);
    if (!is_bad)
        out->header[i] = value;
    return HTTP_OK;
}

static enum http_code read_header(char *line, struct http_message *out, struct err *why)
{
    size_t size = token_length(line);
    char *value = line + size, *end;

    if (size == 0 || *value != ':')
        return err_set(why, HTTP_BAD_REQUEST, "a header is not Name: value");
    *value++ = '\0';
    value += strspn(value, " \t");
    for (end = value + strlen(value); end > value && strchr(" \t", end[-1]); end--)
        ;
    *end = '\0';
    for (int i = 0; i < HTTP_HEADER_COUNT; i++) {
        if (strcasecmp(line, header_names[i]) == 0)
            return take_header(i, value, out, why);
    }
    return HTTP_OK;
}

bool http_message_lists(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = list; at && *at; at += strcspn(at, ",")) {
        at += strspn(at, ", \t");
        if (strncasecmp(at, word, size) == 0 && strchr(", \t", at[size]))
            return true;
    }
    return false;
}

/* Where two headers say how long a body is, two programs may believe one each. */
static enum http_code read_body_size(struct http_message *out, struct err *why)
{
    const char *length = out->header[HEADER_CONTENT_LENGTH];
    size_t digits = length ? strspn(length, "0123456789") : 0;

    if (length && (digits == 0 || length[digits] || out->header[HEADER_TRANSFER_ENCODING]))
        return err_set(why, HTTP_BAD_REQUEST, "a Content-Length is a number, and stands alone");
    out->body_size = !length ? -1 : digits < 10 ? strtol(length, NULL, 10) : LONG_MAX;
    if (out->body_size > HTTP_BODY_BYTES_MAX)
        out->body_size = HTTP_BODY_BYTES_MAX + 1;
    return HTTP_OK;
}

/* A GET with a body could be read as two requests. */
static enum http_code check_body(struct http_message *message, struct err *why)
{
    const char *length = message->header[HEADER_CONTENT_LENGTH];

    if (message->method == HTTP_OTHER_METHOD)
        return HTTP_OK; /* refused, which ends the connection */
    if (message->method == HTTP_POST)
        return read_body_size(message, why);
    if (message->header[HEADER_TRANSFER_ENCODING] || (length && strcmp(length, "0") != 0))
        return err_set(why, HTTP_BAD_REQUEST, "a request has no body here");
    return HTTP_OK;
}

enum http_code http_message_read(char *text, size_t size, struct http_message *out, struct err *why)
{
    char *line = text, *next = end_line(line);
    enum http_code code;

    assert(size >= 4 && memcmp(text + size - 2, "\r\n", 2) == 0);
    memset(out, 0, sizeof *out);
    code = read_first_line(line, out, why);
    for (int n = 0; code == HTTP_OK && strncmp(next, "\r\n", 2) != 0; n++) {
        line = next;
        next = end_line(line);
        code = n < HTTP_HEADERS_MAX
                   ? read_header(line, out, why)
                   : err_set(why, HTTP_HEAD_TOO_LARGE, "more than %d headers", HTTP_HEADERS_MAX);
    }
    out->keeps = out->keeps && !http_message_lists(out->header[HEADER_CONNECTION], "close");
    return code == HTTP_OK ? check_body(out, why) : code;
}
