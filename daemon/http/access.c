#include "daemon/http/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/certificate.h"

struct http_access {
    char *own;                  /* the listener's address, as a Host has it */
    char *hosts;                /* more of them, with commas between: "a,b" */
    struct tokens *tokens;      /* NULL: none were named */
    const struct tokens *named; /* those of people, which come and go; NULL: none */
    bool asks;                  /* for a token */
    const struct certificate *certificate;
};

/* ---- Host and Origin ------------------------------------------------------------------------- */

/* The name in "name:port" or "[v6]:port"; 0 when the rest is not a port. */
static size_t name_length(const char *host)
{
    size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

    if (strlen(host) < n || n == 0)
        return 0;
    if (host[n] == '\0')
        return n;
    return host[n] == ':' && host[n + 1] && !host[n + 1 + strspn(host + n + 1, "0123456789")] ? n
                                                                                              : 0;
}

static bool is_name(const char *name, size_t n, const char *other)
{
    return strlen(other) == n && strncasecmp(name, other, n) == 0;
}

/* A page elsewhere has no name of ours, as we have no certificate for its. */
static bool is_certified(const struct http_access *access, const char *host, size_t n)
{
    bool is_v6 = *host == '[';
    char name[CERTIFICATE_NAME_SIZE];

    if (!access->certificate || n >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(is_v6 ? n - 2 : n), host + is_v6);
    return certificate_is_for(access->certificate, name);
}

/* The loopback's names are good whatever listens: through a tunnel every host is localhost. A page
 * elsewhere that was rebound to our address has another name. */
static bool knows_host(const struct http_access *access, const char *host)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t n = name_length(host);

    if (n == 0)
        return false;
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        if (is_name(host, n, loopback[i]))
            return true;
    }
    if (is_name(host, n, access->own) || is_certified(access, host, n))
        return true;
    for (const char *at = access->hosts; *at; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strcspn(at, ",") == n && strncasecmp(host, at, n) == 0)
            return true;
    }
    return false;
}

/* Appends the names of a list "a, b" to `out`, which has room for all of it. A Host is compared
 * without its port, so a name that has one would never be met. */
static int add_hosts(char *out, const char *list, struct err *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";

    for (const char *at = list; *at;) {
        size_t size = strcspn(at, ", \t");
        bool is_v6 = size > 2 && at[0] == '[' && at[size - 1] == ']';

        if (size == 0) {
            at++;
            continue;
        }
        if (!is_v6 && strspn(at, letters) < size)
            return err_set(err, -EBADMSG,
                           "\"%.*s\" is no host's name: it has no scheme, port or path",
                           (int)(size < 256 ? size : 256), at);
        sprintf(out + strlen(out), "%s%.*s", *out ? "," : "", (int)size, at);
        at += size;
    }
    return *out ? 0 : err_set(err, -EBADMSG, "\"%.256s\" names no host", list);
}

/* A browser says where the script came from that asks; ours came from the host it asks. */
static bool is_same_origin(const char *origin, const char *host)
{
    if (strncmp(origin, "http://", 7) == 0)
        return strcasecmp(origin + 7, host) == 0;
    return strncmp(origin, "https://", 8) == 0 && strcasecmp(origin + 8, host) == 0;
}

enum http_code http_access_check_names(const struct http_access *a, const struct http_asker *q,
                                       struct err *e)
{
    if (!q->host || !*q->host)
        return err_set(e, HTTP_BAD_REQUEST, "the request has no Host");
    if (!knows_host(a, q->host))
        return err_set(e, HTTP_MISDIRECTED,
                       "this daemon is not that Host; --http-host adds names to its own");
    if (q->origin && !is_same_origin(q->origin, q->host))
        return err_set(e, HTTP_FORBIDDEN, "the Origin is not the Host of the request");
    return HTTP_OK;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Of a token that its owner presents. One that is too long is none. */
static unsigned rights_of(const struct http_access *access, const char *token)
{
    uint8_t digest[SHA256_SIZE];
    size_t n = strnlen(token, HTTP_TOKEN_MAX + 1);

    if (n > HTTP_TOKEN_MAX)
        return TOKEN_NONE;
    sha256(token, n, digest);
    return http_access_rights(access, digest);
}

unsigned http_access_rights(const struct http_access *access, const uint8_t digest[SHA256_SIZE])
{
    return tokens_rights(access->tokens, digest) | tokens_rights(access->named, digest);
}

enum http_code http_access_check_reader(const struct http_access *a, const char *token,
                                        struct err *e)
{
    unsigned rights;

    if (!a->asks)
        return HTTP_OK;
    rights = rights_of(a, token);
    if (rights & TOKEN_READS)
        return HTTP_OK;
    if (rights & TOKEN_WRITES)
        return err_set(e, HTTP_FORBIDDEN, "this token is for writing, not for reading");
    return err_set(e, HTTP_UNAUTHORIZED, "no such token");
}

bool http_access_may_edit(const struct http_access *a, const char *token)
{
    return rights_of(a, token) & TOKEN_EDITS;
}

const char *http_access_bearer(const struct http_asker *q)
{
    return q->authorization && strncasecmp(q->authorization, "Bearer ", 7) == 0
               ? q->authorization + 7
               : NULL;
}

bool http_access_may_edit_by(const struct http_access *a, const struct http_asker *q)
{
    const char *token = http_access_bearer(q);

    return token && http_access_may_edit(a, token);
}

enum http_code http_access_check_token(const struct http_access *a, const struct http_asker *q,
                                       struct err *e)
{
    if (!a->asks)
        return HTTP_OK;
    if (!q->authorization)
        return err_set(e, HTTP_UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN");
    if (!http_access_bearer(q))
        return err_set(e, HTTP_UNAUTHORIZED, "Authorization is not Bearer TOKEN");
    return http_access_check_reader(a, http_access_bearer(q), e);
}

/* ---- the object ------------------------------------------------------------------------------ */

static int read_tokens(struct http_access *access, const char *path, struct err *err)
{
    access->tokens = tokens_new(path, false);
    access->asks = true;
    return access->tokens ? tokens_refresh(access->tokens, true, err)
                          : err_set(err, -ENOMEM, "out of memory");
}

int http_access_new(const char *address, const char *hosts, const char *token_file,
                    struct http_access **out, struct err *err)
{
    struct http_access *access = calloc(1, sizeof *access);
    int rc = 0;

    *out = NULL;
    if (!access)
        return err_set(err, -ENOMEM, "out of memory");
    access->own = strndup(address, name_length(address));
    access->hosts = calloc(1, hosts ? strlen(hosts) + 1 : 1);
    if (!access->own || !access->hosts)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0 && hosts)
        rc = add_hosts(access->hosts, hosts, err);
    if (rc == 0 && token_file)
        rc = read_tokens(access, token_file, err);
    if (rc >= 0)
        *out = access;
    else
        http_access_free(access);
    return rc < 0 ? rc : 0;
}

void http_access_set_certificate(struct http_access *access, const struct certificate *certificate)
{
    access->certificate = certificate;
}

void http_access_set_named(struct http_access *access, const struct tokens *named)
{
    access->named = named;
}

void http_access_let_read(struct http_access *access, bool freely)
{
    access->asks = !freely;
}

void http_access_free(struct http_access *access)
{
    if (!access)
        return;
    tokens_free(access->tokens);
    free(access->hosts);
    free(access->own);
    free(access);
}
