#include "daemon/host/paths.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/host/elsewhere.h"
#include "daemon/host/listen.h"
#include "proto/base/address.h"

char *paths_join(const char *dir, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static const char *set_variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* systemd gives its directory as it is (of several, the first); the XDG ones are shared. */
static char *default_state_dir(void)
{
    const char *systemd = set_variable("STATE_DIRECTORY"), *xdg = set_variable("XDG_STATE_HOME");
    const char *home = set_variable("HOME");

    if (systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (xdg)
        return paths_join(xdg, "richd");
    return paths_join(home ? home : "/var/tmp", ".local/state/richd");
}

/* In jobs, containers and after su it may name what is not there, or is another user's. */
static const char *session_dir(void)
{
    const char *xdg = set_variable("XDG_RUNTIME_DIR");
    struct stat st;

    return xdg && stat(xdg, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? xdg : NULL;
}

static char *default_runtime_dir(void)
{
    const char *systemd = set_variable("RUNTIME_DIRECTORY");
    const char *xdg = session_dir();
    char elsewhere[ELSEWHERE_SIZE];

    if (systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (xdg)
        return paths_join(xdg, "richd");
    elsewhere_name(elsewhere);
    return strdup(elsewhere);
}

static int set_default(struct config *config, enum option i, char *value, struct err *err)
{
    int rc = value ? config_set_default(config, i, value) : -ENOMEM;

    free(value);
    return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

static char *socket_address(const struct config *config, const char *scheme, const char *name)
{
    char *address;

    return asprintf(&address, "%s%s/%s", scheme, config->value[OPTION_RUNTIME_DIR], name) < 0
               ? NULL
               : address;
}

/* Nothing listens on a network without authentication. */
static int check_loopback(const char *text, struct err *err)
{
    struct address address;

    if (address_parse(text, &address) == 0 && address_is_loopback(&address))
        return 0;
    return err_set(err, -EBADMSG, "%s is not a loopback address (127.x.x.x:PORT or [::1]:PORT)",
                   text);
}

/* What crosses a network in clear, and a token with it, others on the way read. */
static int check_http(const char *http, bool has_tls, bool has_proxy, struct err *err)
{
    struct sockaddr_storage in_numbers;
    struct address address;

    if (strcmp(http, "on") == 0 && has_tls)
        return err_set(err, -EBADMSG, "a certificate is for --http ADDRESS:PORT, not for on");
    if (strcmp(http, "on") == 0 || strcmp(http, "off") == 0)
        return 0;
    if (address_parse(http, &address) < 0 || address_to_socket(&address, &in_numbers) < 0)
        return err_set(err, -EBADMSG,
                       "\"%s\" is neither on, off, PORT nor ADDRESS:PORT, with the address in "
                       "numbers",
                       http);
    if (address_is_loopback(&address) || has_tls || has_proxy)
        return 0;
    return err_set(err, -EBADMSG,
                   "%s is not a loopback address, and would be in clear: name a certificate "
                   "(tls-certificate and tls-key), or the proxies that encrypt (http-proxy)",
                   http);
}

/* Who may connect over a network stands in a file, which richctl invite makes. */
static int check_network(const struct config *config, const struct listen *listen, struct err *err)
{
    char *path;
    int rc = 0;

    if (listen->n_more == 0 || config->task == TASK_PRINT_CONFIG)
        return 0;
    path = paths_join(config->value[OPTION_STATE_DIR], AUTHORISED_FILE);
    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    if (access(path, F_OK) < 0)
        rc = err_set(err, -EBADMSG,
                     "%s is not a loopback address, and nobody may connect there: %s is missing, "
                     "which `richctl invite NAME` makes",
                     listen->more[0], path);
    free(path);
    return rc;
}

static int check_listen(const struct config *config, struct err *err)
{
    struct listen listen;
    int rc = listen_parse(config->value[OPTION_LISTEN], &listen, err);

    return rc == 0 ? check_network(config, &listen, err) : rc;
}

static int check_feed(const char *feed, struct err *err)
{
    if (strncmp(feed, "unix:", 5) == 0)
        return listen_check_path(feed + 5, err);
    if (strncmp(feed, "tcp:", 4) == 0)
        return check_loopback(feed + 4, err);
    return err_set(err, -EBADMSG, "\"%s\" is neither unix:PATH nor tcp:ADDRESS:PORT", feed);
}

static int check_sockets(const struct config *config, struct err *err)
{
    int rc = check_listen(config, err);

    if (rc < 0)
        return config_refuse(config, OPTION_LISTEN, rc, err);
    rc = check_http(config->value[OPTION_HTTP], config->value[OPTION_TLS_CERTIFICATE],
                    config->value[OPTION_HTTP_PROXY], err);
    if (rc < 0)
        return config_refuse(config, OPTION_HTTP, rc, err);
    rc = check_feed(config->value[OPTION_FEED], err);
    return rc < 0 ? config_refuse(config, OPTION_FEED, rc, err) : 0;
}

/* Clients resolve what endpoints.json says from their own working directory. */
static int make_absolute(struct config *config, enum option i, struct err *err)
{
    char *cwd, *path;

    if (config->value[i][0] == '/')
        return 0;
    cwd = getcwd(NULL, 0);
    path = cwd ? paths_join(cwd, config->value[i]) : NULL;
    free(cwd);
    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    free(config->value[i]);
    config->value[i] = path;
    return 0;
}

/* "8080" and "localhost:8080" as 127.0.0.1:8080; "on" where nothing was said. */
static int complete_http(struct config *config, struct err *err)
{
    static const char name[] = "localhost:";
    const char *given = config->value[OPTION_HTTP];
    char *full;

    if (!given)
        return set_default(config, OPTION_HTTP, strdup("on"), err);
    if (strncmp(given, name, strlen(name)) == 0)
        given += strlen(name);
    else if (strspn(given, "0123456789") != strlen(given))
        return 0;
    if (asprintf(&full, "127.0.0.1:%s", given) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    free(config->value[OPTION_HTTP]);
    config->value[OPTION_HTTP] = full;
    return 0;
}

/* Trainers of this machine need no key, also where others have one. */
static int complete_listen(struct config *config, struct err *err)
{
    const char *given = config->value[OPTION_LISTEN];
    char *local = socket_address(config, "ipc://", "ingest.sock"), *both;
    struct listen listen;

    if (!given || !local || listen_parse(given, &listen, NULL) < 0 || *listen.local)
        return set_default(config, OPTION_LISTEN, local, err);
    if (asprintf(&both, "%s,%s", local, given) < 0)
        both = NULL;
    free(local);
    if (!both)
        return err_set(err, -ENOMEM, "out of memory");
    free(config->value[OPTION_LISTEN]);
    config->value[OPTION_LISTEN] = both;
    return 0;
}

int paths_complete(struct config *config, struct err *err)
{
    int rc = set_default(config, OPTION_STATE_DIR, default_state_dir(), err);

    assert(config->task < TASK_PRINT_KERNELS); /* their options are not read */
    if (rc == 0)
        rc = make_absolute(config, OPTION_STATE_DIR, err);
    if (rc == 0)
        rc = set_default(config, OPTION_RUNTIME_DIR, default_runtime_dir(), err);
    if (rc == 0)
        rc = make_absolute(config, OPTION_RUNTIME_DIR, err);
    if (rc == 0)
        rc = complete_listen(config, err);
    if (rc == 0)
        rc = set_default(config, OPTION_FEED, socket_address(config, "unix:", "feed.sock"), err);
    if (rc == 0)
        rc = complete_http(config, err);
    return rc == 0 ? check_sockets(config, err) : rc;
}

static int check_dir(const char *dir, struct err *err)
{
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_set(err, -errno, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s is not a directory", dir);
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM, "%s belongs to user %u, not to us", dir, (unsigned)st.st_uid);
    return 0;
}

int paths_make_dir(const char *dir, struct err *err)
{
    char *path = strdup(dir);
    int first = 0; /* what kept the first of the directories above it from being made */

    assert(*dir == '/');
    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST && !first)
            first = errno;
        *at = '/';
    }
    free(path);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        int error = errno == ENOENT && first ? first : errno;

        return err_set(err, -error, "%s cannot be made: %s", dir, strerror(error));
    }
    return check_dir(dir, err);
}
