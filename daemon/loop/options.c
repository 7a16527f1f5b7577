#include "daemon/loop/options.h"

#include <errno.h>

#include "daemon/host/endpoints.h"
#include "daemon/host/paths.h"
#include "daemon/http/access.h"
#include "daemon/loop/alert.h"

static int check_tokens(const char *path, struct err *e)
{
    struct http_access *access;
    int rc = http_access_new("", NULL, path, &access, e);

    http_access_free(access);
    return rc;
}

/* Whether the values can be used on this machine. */
static int check(struct config *c, struct err *e)
{
    static const struct {
        enum option option;
        int (*check)(const char *value, struct err *e);
        const char *name;
    } rows[] = {
        {OPTION_ON_EVENT, alert_check, "on-event"},
        {OPTION_SOCKET_GROUP, endpoints_check_group, "socket-group"},
        {OPTION_TOKEN_FILE, check_tokens, "token-file"},
    };
    int rc = paths_complete(c, e);

    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof *rows; i++) {
        const char *value = c->value[rows[i].option];

        if (value && rows[i].check(value, e) < 0)
            rc = err_prefix(e, -EBADMSG, "%s (%s): ", rows[i].name, c->source[rows[i].option]);
    }
    return rc;
}

int options_read(struct config *c, int argc, char **argv, struct err *e)
{
    int rc = config_read(c, argc, argv, e);

    if (rc < 0 || c->task >= TASK_PRINT_KERNELS)
        return rc;
    rc = check(c, e);
    if (rc < 0)
        config_release(c);
    return rc;
}
