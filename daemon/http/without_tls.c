#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "daemon/http/parts.h"

/* In place of certificate.c and tls.c where OpenSSL is not there: no certificate is ever made. */

int certificate_new(const char *path, const char *key_path, struct certificate **out,
                    struct err *err)
{
    (void)path, (void)key_path;
    *out = NULL;
    return err_set(err, -ENOTSUP,
                   "this richd is built without OpenSSL, so it speaks no TLS: put a proxy in front "
                   "of it (http-proxy), or take the package of Debian");
}

void certificate_free(struct certificate *certificate)
{
    (void)certificate;
}

int certificate_refresh(struct certificate *certificate, bool always, struct err *err)
{
    (void)certificate, (void)always, (void)err;
    return 0;
}

bool certificate_is_for(const struct certificate *certificate, const char *name)
{
    (void)certificate, (void)name;
    return false;
}

void certificate_name(const struct certificate *certificate, char out[CERTIFICATE_NAME_SIZE])
{
    (void)certificate;
    *out = '\0';
}

double certificate_expires(const struct certificate *certificate)
{
    (void)certificate;
    return 0;
}

void certificate_problem(const struct certificate *certificate, double now, struct err *problem)
{
    (void)certificate, (void)now;
    *problem->text = '\0';
}

struct ssl_st *certificate_session(const struct certificate *certificate)
{
    (void)certificate;
    return NULL;
}

void http_tls_open(struct http *http, uv_loop_t *loop, int fd, const struct in6_addr *from)
{
    (void)http, (void)loop, (void)from;
    assert(!"there is no certificate");
    close(fd);
}

void http_tls_tick(struct http *http)
{
    (void)http;
}

void http_tls_close(struct http *http)
{
    (void)http;
}
