#include "daemon/http/head.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* The page runs its own scripts and styles and asks its own server alone; images may come from a
 * canvas. It may be framed by its own origin alone: a notebook's proxy shows it below the
 * notebook's. The two reports of Cross-Origin keep pages elsewhere from reading what their scripts
 * may fetch. */
static const char policies[] =
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'\r\n"
    "x-content-type-options: nosniff\r\n"
    "referrer-policy: no-referrer\r\n"
    "cross-origin-resource-policy: same-origin\r\n"
    "cross-origin-opener-policy: same-origin\r\n";

static const char *reason(enum http_code status)
{
    static const struct {
        enum http_code status;
        const char *text;
    } rows[] = {
        {HTTP_OK, "OK"},
        {HTTP_NOT_MODIFIED, "Not Modified"},
        {HTTP_BAD_REQUEST, "Bad Request"},
        {HTTP_UNAUTHORIZED, "Unauthorized"},
        {HTTP_FORBIDDEN, "Forbidden"},
        {HTTP_NOT_FOUND, "Not Found"},
        {HTTP_NO_METHOD, "Method Not Allowed"},
        {HTTP_NO_LENGTH, "Length Required"},
        {HTTP_BODY_TOO_LARGE, "Content Too Large"},
        {HTTP_NO_TYPE, "Unsupported Media Type"},
        {HTTP_NOT_EXPECTED, "Expectation Failed"},
        {HTTP_MISDIRECTED, "Misdirected Request"},
        {HTTP_NO_UPGRADE, "Upgrade Required"},
        {HTTP_HEAD_TOO_LARGE, "Request Header Fields Too Large"},
        {HTTP_NO_VERSION, "HTTP Version Not Supported"},
        {HTTP_TOO_MANY, "Too Many Requests"},
        {HTTP_UNAVAILABLE, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == status)
            return rows[i].text;
    }
    return "Internal Server Error";
}

/* What a status obliges us to say besides. */
static const char *duty(enum http_code status)
{
    switch (status) {
    case HTTP_UNAUTHORIZED:
        return "www-authenticate: Bearer realm=\"richd\"\r\n";
    case HTTP_NO_UPGRADE:
        return "upgrade: websocket\r\nsec-websocket-version: 13\r\n";
    default:
        return "";
    }
}

struct out {
    char *text;
    size_t size;
};

static void put(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct out *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    out->size +=
        (size_t)vsnprintf(out->text + out->size, HTTP_HEAD_MAX - out->size, format, arguments);
    va_end(arguments);
    assert(out->size < HTTP_HEAD_MAX);
}

size_t http_head_write(const struct http_head *head, char text[HTTP_HEAD_MAX])
{
    struct out out = {.text = text};

    put(&out, "HTTP/1.1 %d %s\r\nserver: richd\r\n%s%s", head->status, reason(head->status),
        duty(head->status), policies);
    if (head->status == HTTP_NO_METHOD)
        put(&out, "allow: %s\r\n", head->allow ? head->allow : "GET, HEAD");
    if (head->wait_s > 0)
        put(&out, "retry-after: %u\r\n", head->wait_s);
    if (head->type)
        put(&out, "content-type: %s\r\n", head->type);
    if (head->etag)
        put(&out, "etag: %s\r\ncache-control: no-cache\r\nvary: accept-encoding\r\n", head->etag);
    else
        put(&out, "cache-control: no-store\r\n");
    if (head->endless) /* nginx would keep the events until it has 4 KiB of them */
        put(&out, "x-accel-buffering: no\r\n");
    if (head->coding)
        put(&out, "content-encoding: %s\r\n", head->coding);
    if (!head->endless && head->status != HTTP_NOT_MODIFIED)
        put(&out, "content-length: %" PRIu64 "\r\n", head->length);
    put(&out, "%s\r\n", head->close || head->endless ? "connection: close\r\n" : "");
    return out.size;
}
