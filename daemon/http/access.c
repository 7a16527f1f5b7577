#include "daemon/http/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "proto/base/list.h"

struct token {
    struct list link;
    bool reads, writes;
    char text[HTTP_TOKEN_MAX + 1];
};

struct http_access {
    char *own;   /* the listener's address, as a Host has it */
    char *hosts; /* more of them, with commas between: "a,b" */
    struct list tokens;
    bool asks; /* for a token */
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
    if (is_name(host, n, access->own))
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

/* Takes as long for a wrong token as for the right one: it reads all of both. */
static bool is_same_token(const char *ours, const char *theirs, size_t n)
{
    size_t length = strlen(ours);
    unsigned differ = length != n;

    for (size_t i = 0; i < n && n <= HTTP_TOKEN_MAX; i++)
        differ |= (unsigned)(ours[i % (length + 1)] ^ theirs[i]);
    return !differ;
}

enum http_code http_access_check_reader(const struct http_access *a, const char *token,
                                        struct err *e)
{
    bool reads = false, writes = false;
    size_t n = strnlen(token, HTTP_TOKEN_MAX + 1);

    if (!a->asks)
        return HTTP_OK;
    LIST_EACH(at, &a->tokens)
    {
        const struct token *t = LIST_ENTRY(at, struct token, link);
        bool same = is_same_token(t->text, token, n);

        reads |= same && t->reads;
        writes |= same && t->writes;
    }
    if (reads)
        return HTTP_OK;
    if (writes)
        return err_set(e, HTTP_FORBIDDEN, "this token is for writing, not for reading");
    return err_set(e, HTTP_UNAUTHORIZED, "no such token");
}

bool http_access_may_edit(const struct http_access *a, const char *token)
{
    size_t n = strnlen(token, HTTP_TOKEN_MAX + 1);
    bool may = false;

    LIST_EACH(at, &a->tokens)
    {
        const struct token *t = LIST_ENTRY(at, struct token, link);

        may |= is_same_token(t->text, token, n) && t->reads && t->writes;
    }
    return may;
}

/* The token in the header; NULL: there is none. */
static const char *bearer(const struct http_asker *q)
{
    return q->authorization && strncasecmp(q->authorization, "Bearer ", 7) == 0
               ? q->authorization + 7
               : NULL;
}

bool http_access_may_edit_by(const struct http_access *a, const struct http_asker *q)
{
    return bearer(q) && http_access_may_edit(a, bearer(q));
}

enum http_code http_access_check_token(const struct http_access *a, const struct http_asker *q,
                                       struct err *e)
{
    if (!a->asks)
        return HTTP_OK;
    if (!q->authorization)
        return err_set(e, HTTP_UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN");
    if (!bearer(q))
        return err_set(e, HTTP_UNAUTHORIZED, "Authorization is not Bearer TOKEN");
    return http_access_check_reader(a, bearer(q), e);
}

#define NOT_A_LINE "not `read TOKEN`, `write TOKEN` or `read,write TOKEN`"

static int add_token(struct http_access *access, const char *kind, const char *text,
                     struct err *err)
{
    bool both = strcmp(kind, "read,write") == 0, reads = both || strcmp(kind, "read") == 0,
         writes = both || strcmp(kind, "write") == 0;
    size_t n = strlen(text);
    struct token *token;

    if (!reads && !writes)
        return err_set(err, -EBADMSG, NOT_A_LINE);
    if (n < HTTP_TOKEN_MIN || n > HTTP_TOKEN_MAX)
        return err_set(err, -EBADMSG, "a token has %d to %d characters", HTTP_TOKEN_MIN,
                       HTTP_TOKEN_MAX);
    token = calloc(1, sizeof *token);
    if (!token)
        return err_set(err, -ENOMEM, "out of memory");
    token->reads = reads;
    token->writes = writes;
    memcpy(token->text, text, n);
    list_append(&access->tokens, &token->link);
    return 0;
}

static int read_lines(struct http_access *access, FILE *file, const char *path, struct err *err)
{
    char line[2 * HTTP_TOKEN_MAX], kind[16], text[2 * HTTP_TOKEN_MAX], more[2];
    int rc = 0;

    for (int n = 1; rc == 0 && fgets(line, sizeof line, file); n++) {
        int words = sscanf(line, " %15s %511s %1s", kind, text, more);

        if (words <= 0 || *kind == '#')
            continue;
        rc = words == 2 ? add_token(access, kind, text, err) : err_set(err, -EBADMSG, NOT_A_LINE);
        if (rc < 0)
            err_write_prefix(err, "%s, line %d: ", path, n);
    }
    return rc;
}

static int read_tokens(struct http_access *access, const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    struct stat stat;
    int rc;

    if (!file || fstat(fileno(file), &stat) < 0)
        rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
    else if (stat.st_mode & (S_IRWXG | S_IRWXO))
        rc = err_set(err, -EPERM, "%s holds secrets and may be read by others: chmod 600", path);
    else
        rc = read_lines(access, file, path, err);
    if (rc == 0 && list_empty(&access->tokens))
        rc = err_set(err, -EBADMSG, "%s holds no token", path);
    if (file)
        fclose(file);
    access->asks = true;
    return rc;
}

int http_access_new(const char *address, const char *hosts, const char *token_file,
                    struct http_access **out, struct err *err)
{
    struct http_access *access = calloc(1, sizeof *access);
    int rc = 0;

    *out = NULL;
    if (!access)
        return err_set(err, -ENOMEM, "out of memory");
    list_init(&access->tokens);
    access->own = strndup(address, name_length(address));
    access->hosts = calloc(1, hosts ? strlen(hosts) + 1 : 1);
    if (!access->own || !access->hosts)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0 && hosts)
        rc = add_hosts(access->hosts, hosts, err);
    if (rc == 0 && token_file)
        rc = read_tokens(access, token_file, err);
    if (rc < 0)
        http_access_free(access);
    else
        *out = access;
    return rc;
}

void http_access_let_read(struct http_access *access)
{
    access->asks = false;
}

void http_access_free(struct http_access *access)
{
    if (!access)
        return;
    LIST_EACH_SAFE(at, &access->tokens)
    {
        struct token *token = LIST_ENTRY(at, struct token, link);

        explicit_bzero(token->text, sizeof token->text);
        free(token);
    }
    free(access->hosts);
    free(access->own);
    free(access);
}
