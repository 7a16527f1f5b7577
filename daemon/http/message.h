/* The head of an HTTP/1.1 request, read as RFC 9112 writes it and no other way: two programs that
 * read the same bytes in two ways are how a proxy is deceived. Stateless, any thread; requests.c
 * decides what a request means. Of a body it has the size, which a POST has to say; nothing else
 * has a body here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/http/head.h"
#include "proto/base/err.h"
#include "proto/json.h"

/* A head, all of it. */
#define HTTP_HEAD_BYTES_MAX 8192
/* A body: as long as a request of FEED.md may be. */
#define HTTP_BODY_BYTES_MAX JSON_MAX_SIZE
/* Its header lines. */
#define HTTP_HEADERS_MAX 100
/* The longest path, query or header that is looked at. */
#define HTTP_TEXT_MAX 2048
/* Parts of a query. */
#define HTTP_ARGS_MAX 64

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_OTHER_METHOD,
};

/* The headers that are looked at. */
enum http_header {
    HEADER_HOST,
    HEADER_FORWARDED_FOR,
    HEADER_ORIGIN,
    HEADER_AUTHORIZATION,
    HEADER_ACCEPT,
    HEADER_ACCEPT_ENCODING,
    HEADER_IF_NONE_MATCH,
    HEADER_LAST_EVENT_ID,
    HEADER_CONNECTION,
    HEADER_UPGRADE,
    HEADER_WS_KEY,
    HEADER_WS_VERSION,
    HEADER_WS_PROTOCOL,
    HEADER_CONTENT_LENGTH,
    HEADER_TRANSFER_ENCODING,
    HEADER_CONTENT_TYPE,
    HEADER_EXPECT,
    HTTP_HEADER_COUNT,
};

/* Texts borrow from the head, which is written into. */
struct http_message {
    enum http_method method;
    bool keeps;                            /* the connection, for the next request */
    bool is_1_0;                           /* of HTTP, which knows no 100 Continue */
    char *path;                            /* decoded */
    const char *header[HTTP_HEADER_COUNT]; /* NULL: absent */
    const char *arg[HTTP_ARGS_MAX];        /* of the query, decoded: "name=value" */
    size_t n_args;
    long body_size; /* of a POST; beyond HTTP_BODY_BYTES_MAX that plus one; -1: it is not said */
};

/* Looks for the end of the head in what has come of it. Returns its length with the empty line, 0
 * when more has to come, and -1 for bytes that no head has. */
long http_message_end(const char *text, size_t size);

/* Reads a head of that length. HTTP_OK, or the status to refuse with and why. */
enum http_code http_message_read(char *text, size_t size, struct http_message *out,
                                 struct err *why);

/* Whether a comma-separated list has the word, in any case. NULL has none. */
bool http_message_lists(const char *list, const char *word);
