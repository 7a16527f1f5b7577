#include <string.h>

#include "daemon/http/parts.h"

int http_request_header(struct lws *wsi, enum lws_token_indexes token, char *out)
{
    int n = lws_hdr_total_length(wsi, token);

    *out = '\0';
    if (n <= 0)
        return 0;
    return lws_hdr_copy(wsi, out, HTTP_TEXT_MAX, token) > 0 && strlen(out) == (size_t)n ? 1 : -1;
}

bool http_request_lists(struct lws *wsi, enum lws_token_indexes token, const char *word)
{
    char text[HTTP_TEXT_MAX];
    const char *at = http_request_header(wsi, token, text) > 0 ? strstr(text, word) : NULL;

    return at && strncmp(at + strlen(word), ";q=0", 4) != 0;
}

bool http_request_is_head(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
}

bool http_request_reads(struct lws *wsi)
{
    return http_request_is_head(wsi) || lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
}

/* lws has split the query and decoded it. */
bool http_request_query(struct lws *wsi, struct http_query *q)
{
    size_t used = 0;
    int n = 0;

    q->args = (struct http_args){.text = q->at};
    for (int i = 0; i < HTTP_ARGS_MAX; i++) {
        n = lws_hdr_copy_fragment(wsi, q->texts + used, (int)(sizeof q->texts - used),
                                  WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) == 0;
        q->at[q->args.n++] = q->texts + used;
        used += (size_t)n + 1;
        if (used >= sizeof q->texts)
            return false;
    }
    return lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, HTTP_ARGS_MAX) == 0;
}

bool http_request_last_event(struct lws *wsi, char out[32])
{
    static const char name[] = "last-event-id:";
    int n = lws_hdr_custom_length(wsi, name, sizeof name - 1);

    return n > 0 && n < 32 && lws_hdr_custom_copy(wsi, out, 32, name, sizeof name - 1) > 0;
}

enum http_code http_request_check(struct http *h, struct lws *wsi, bool needs_token, struct err *e)
{
    char host[HTTP_TEXT_MAX], origin[HTTP_TEXT_MAX], authorization[HTTP_TEXT_MAX];
    int has_host = http_request_header(wsi, WSI_TOKEN_HOST, host);
    int has_origin = http_request_header(wsi, WSI_TOKEN_ORIGIN, origin);
    int has_authorization = http_request_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization);
    struct http_asker asker = {
        .host = has_host > 0 ? host : NULL,
        .origin = has_origin > 0 ? origin : NULL,
        .authorization = has_authorization > 0 ? authorization : NULL,
    };
    enum http_code status;

    if (has_host < 0 || has_origin < 0 || has_authorization < 0)
        return err_set(e, HTTP_BAD_REQUEST, "a header is too long, or has no single value");
    status = http_access_check_names(h->access, &asker, e);
    if (status == HTTP_OK && needs_token)
        status = http_access_check_token(h->access, &asker, e);
    return status;
}
