#include <string.h>

#include "daemon/http/parts.h"

/* A header's text, in the request: 1, 0 when it is absent, -1 when it is too long, or came several
 * times where lws has no single text for it. */
static int read_header(struct http_request *request, enum lws_token_indexes token, const char **out)
{
    int size = lws_hdr_total_length(request->wsi, token);
    char *text = request->texts + request->used;

    *out = NULL;
    if (size <= 0)
        return 0;
    if (size >= HTTP_TEXT_MAX || request->used + (size_t)size >= sizeof request->texts ||
        lws_hdr_copy(request->wsi, text, size + 1, token) <= 0 || strlen(text) != (size_t)size)
        return -1;
    request->used += (size_t)size + 1;
    *out = text;
    return 1;
}

static enum http_method read_method(struct lws *wsi)
{
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0)
        return HTTP_GET;
    return lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0 ? HTTP_HEAD : HTTP_OTHER_METHOD;
}

/* lws has split the query and decoded it. False when it is too long, or has too many parts. */
static bool read_query(struct http_request *request)
{
    size_t used = 0;
    int n = 0;

    request->args = (struct http_args){.text = request->arg};
    for (int i = 0; i < HTTP_ARGS_MAX; i++) {
        n = lws_hdr_copy_fragment(request->wsi, request->query + used,
                                  (int)(sizeof request->query - used), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return lws_hdr_fragment_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS, i) == 0;
        request->arg[request->args.n++] = request->query + used;
        used += (size_t)n + 1;
        if (used >= sizeof request->query)
            return false;
    }
    return lws_hdr_fragment_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS, HTTP_ARGS_MAX) == 0;
}

static bool read_last_event(struct http_request *request)
{
    static const char name[] = "last-event-id:";
    int size = (int)sizeof request->last_event,
        n = lws_hdr_custom_length(request->wsi, name, sizeof name - 1);

    return n > 0 && n < size &&
           lws_hdr_custom_copy(request->wsi, request->last_event, size, name, sizeof name - 1) > 0;
}

enum http_code http_request_read(struct http_request *r, struct http *h, struct lws *wsi,
                                 const char *path, size_t size, struct err *e)
{
    r->http = h;
    r->wsi = wsi;
    r->used = 0;
    r->method = read_method(wsi);
    r->has_query = read_query(r);
    if (!read_last_event(r))
        *r->last_event = '\0';
    if (read_header(r, WSI_TOKEN_HOST, &r->asker.host) < 0 ||
        read_header(r, WSI_TOKEN_ORIGIN, &r->asker.origin) < 0 ||
        read_header(r, WSI_TOKEN_HTTP_AUTHORIZATION, &r->asker.authorization) < 0 ||
        read_header(r, WSI_TOKEN_PROTOCOL, &r->protocols) < 0)
        return err_set(e, HTTP_BAD_REQUEST, "a header is too long, or has no single value");
    read_header(r, WSI_TOKEN_HTTP_ACCEPT, &r->accept); /* these are wishes: too long, none */
    read_header(r, WSI_TOKEN_HTTP_ACCEPT_ENCODING, &r->encodings);
    read_header(r, WSI_TOKEN_HTTP_IF_NONE_MATCH, &r->tags);
    if (size >= sizeof r->path || memchr(path, '\0', size))
        return err_set(e, HTTP_BAD_REQUEST, "a path of 2 KiB or more");
    memcpy(r->path, path, size);
    r->path[size] = '\0';
    return HTTP_OK;
}

enum http_code http_request_check(const struct http_request *r, bool needs_token, struct err *e)
{
    enum http_code status = http_access_check_names(r->http->access, &r->asker, e);

    if (status == HTTP_OK && needs_token)
        status = http_access_check_token(r->http->access, &r->asker, e);
    return status;
}
