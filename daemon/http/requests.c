#include <string.h>

#include "daemon/http/parts.h"

enum http_code http_request_read(struct http_request *r, struct http_connection *c,
                                 const char *head, size_t size, struct err *e)
{
    const char *const *header;
    enum http_code code;

    r->http = http_connection_of(c);
    r->connection = c;
    r->size = size;
    memcpy(r->head, head, size);
    memcpy(r->text, head, size);
    r->text[size] = '\0';
    code = http_message_read(r->text, size, &r->message, e);
    header = r->message.header;
    r->args = (struct http_args){r->message.arg, r->message.n_args};
    r->asker = (struct http_asker){.host = header[HEADER_HOST],
                                   .origin = header[HEADER_ORIGIN],
                                   .authorization = header[HEADER_AUTHORIZATION]};
    r->wait_s = 0;
    r->from =
        proxies_client(&r->http->proxies, http_connection_from(c), header[HEADER_FORWARDED_FOR]);
    return code;
}

static bool is_allowed(const struct http_message *message)
{
    return http_api_is_rpc(message->path)
               ? message->method == HTTP_POST
               : message->method == HTTP_GET || message->method == HTTP_HEAD;
}

/* What is no Bearer TOKEN is told so by access, and is no guess. */
static enum http_code check_token(struct http_request *r, struct err *e)
{
    const char *token = http_access_bearer(&r->asker);

    return token ? http_guard_check(r->http, &r->from, token, &r->wait_s, e)
                 : http_access_check_token(r->http->access, &r->asker, e);
}

enum http_code http_request_check(struct http_request *r, bool needs_token, struct err *e)
{
    enum http_code status = http_access_check_names(r->http->access, &r->asker, e);

    if (!http_guard_lets_in(r->http, http_connection_from(r->connection)))
        return err_set(e, HTTP_FORBIDDEN,
                       "only the proxies that --http-proxy names may connect here");

    if (status == HTTP_OK && !is_allowed(&r->message))
        status = err_set(e, HTTP_NO_METHOD, "%s answered at this path",
                         http_api_is_rpc(r->message.path) ? "POST is" : "GET and HEAD are");
    if (status == HTTP_OK && needs_token)
        status = check_token(r, e);
    return status;
}
