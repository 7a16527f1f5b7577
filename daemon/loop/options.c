#include "daemon/loop/options.h"

#include <errno.h>
#include <string.h>

#include "daemon/host/endpoints.h"
#include "daemon/host/paths.h"
#include "daemon/http/access.h"
#include "daemon/http/certificate.h"
#include "daemon/http/proxies.h"
#include "daemon/loop/alert.h"
#include "daemon/relay/relay.h"
#include "daemon/share/share.h"

static int check_hosts(const char *names, struct err *err)
{
    struct http_access *access;
    int rc = http_access_new("", names, NULL, &access, err);

    http_access_free(access);
    return rc;
}

static int check_tokens(const char *path, struct err *err)
{
    struct http_access *access;
    int rc = http_access_new("", NULL, path, &access, err);

    http_access_free(access);
    return rc;
}

static int check_proxies(const char *addresses, struct err *err)
{
    struct proxies proxies;

    return proxies_read(addresses, &proxies, err);
}

/* Neither is of use alone. */
static int check_certificate(struct config *config, struct err *err)
{
    const char *path = config->value[OPTION_TLS_CERTIFICATE], *key = config->value[OPTION_TLS_KEY];
    struct certificate *certificate;
    int rc;

    if (!path && !key)
        return 0;
    if (!path || !key)
        return config_refuse(config, path ? OPTION_TLS_CERTIFICATE : OPTION_TLS_KEY,
                             err_set(err, -EBADMSG, "tls-certificate and tls-key go together"),
                             err);
    rc = certificate_new(path, key, &certificate, err);
    certificate_free(certificate);
    return rc < 0 ? config_refuse(config, OPTION_TLS_CERTIFICATE, -EBADMSG, err) : 0;
}

static int check_history(const char *url, struct err *err)
{
    return strcmp(url, "off") == 0 ? 0 : share_check(url, err);
}

static int check_upstream(const char *address, struct err *err)
{
    return strcmp(address, "off") == 0 ? 0 : relay_check(address, err);
}

/* What others have written there is not ours to forward. */
static int check_together(struct config *config, struct err *err)
{
    const char *upstream = config->value[OPTION_UPSTREAM];

    if (!config->is_read_only || !upstream || strcmp(upstream, "off") == 0)
        return 0;
    err_set(err, -EINVAL, "a daemon that only reads (read-only) forwards nothing");
    return config_refuse(config, OPTION_UPSTREAM, -EBADMSG, err);
}

/* Whether the values can be used on this machine. */
static int check(struct config *config, struct err *err)
{
    static const struct {
        enum option option;
        int (*check)(const char *value, struct err *err);
    } rows[] = {
        {OPTION_ON_EVENT, alert_check},     {OPTION_SOCKET_GROUP, endpoints_check_group},
        {OPTION_HTTP_HOST, check_hosts},    {OPTION_TOKEN_FILE, check_tokens},
        {OPTION_HISTORY, check_history},    {OPTION_UPSTREAM, check_upstream},
        {OPTION_HTTP_PROXY, check_proxies},
    };
    int rc = paths_complete(config, err);

    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof *rows; i++) {
        const char *value = config->value[rows[i].option];

        if (value && rows[i].check(value, err) < 0)
            rc = config_refuse(config, rows[i].option, -EBADMSG, err);
    }
    if (rc == 0)
        rc = check_together(config, err);
    return rc == 0 ? check_certificate(config, err) : rc;
}

int options_read(struct config *config, int argc, char **argv, struct err *err)
{
    int rc = config_read(config, argc, argv, err);

    if (rc < 0 || config->task >= TASK_PRINT_KERNELS)
        return rc;
    rc = check(config, err);
    if (rc < 0)
        config_release(config);
    return rc;
}
