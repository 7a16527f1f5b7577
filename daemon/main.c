/* richd: receives activations from training runs and keeps their richness. This file reads the
 * options and turns failures into exit codes; io/loop.c puts the parts together. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/core/linalg.h"
#include "daemon/io/alert.h"
#include "daemon/io/config.h"
#include "daemon/io/http_access.h"
#include "daemon/io/log.h"
#include "daemon/io/loop.h"
#include "daemon/io/paths.h"

/* sysexits.h */
#define EXIT_USAGE  64
#define EXIT_CONFIG 78

static int serve(const struct config *c)
{
    struct loop *loop;
    struct err e;
    int exit_code;

    log_set_level(c->log_level);
    umask(0077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    linalg_init();
    if (loop_open(c, &loop, &exit_code, &e) < 0) {
        log_error("%s", e.text);
        return exit_code;
    }
    return loop_run(loop);
}

static int run_task(const struct config *c)
{
    switch (c->task) {
    case TASK_CHECK_CONFIG:
        printf("The configuration is valid.\n");
        return 0;
    case TASK_PRINT_CONFIG:
        config_print(c, stdout);
        return 0;
    case TASK_VERSION:
        printf("richd %s\n", RICHD_VERSION);
        return 0;
    case TASK_HELP:
        config_print_help(stdout);
        return 0;
    case TASK_SERVE:
        break;
    }
    return serve(c);
}

static int check_tokens(const char *path, struct err *e)
{
    struct http_access *access;
    int rc = http_access_new("", NULL, path, &access, e);

    http_access_free(access);
    return rc;
}

/* What the values themselves cannot tell: whether they can be used here. */
static int check(struct config *c, struct err *e)
{
    static const struct {
        enum option option;
        int (*check)(const char *value, struct err *e);
        const char *name;
    } rows[] = {
        {OPTION_ON_EVENT, alert_check, "on-event"},
        {OPTION_SOCKET_GROUP, paths_check_group, "socket-group"},
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

int main(int argc, char **argv)
{
    struct config config;
    struct err e;
    int rc = config_read(&config, argc, argv, &e);

    if (rc == 0 && config.task != TASK_VERSION && config.task != TASK_HELP)
        rc = check(&config, &e);
    if (rc < 0) {
        fprintf(stderr, "richd: %s\n", e.text);
        config_release(&config);
        return rc == -EINVAL ? EXIT_USAGE : EXIT_CONFIG;
    }
    rc = run_task(&config);
    config_release(&config);
    return rc;
}
