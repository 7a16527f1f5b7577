#include "daemon/host/paths.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/json.h"

#define ENDPOINTS_FILE "endpoints.json"
#define LOCK_FILE      "richd.lock"

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

static char *default_runtime_dir(void)
{
    const char *systemd = set_variable("RUNTIME_DIRECTORY");
    const char *xdg = set_variable("XDG_RUNTIME_DIR");
    char *path;

    if (systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (xdg)
        return paths_join(xdg, "richd");
    return asprintf(&path, "/tmp/richd-%u", (unsigned)getuid()) < 0 ? NULL : path;
}

static int set_default(struct config *c, enum option i, char *value, struct err *e)
{
    int rc = value ? config_set_default(c, i, value) : -ENOMEM;

    free(value);
    return rc < 0 ? err_set(e, rc, "out of memory") : 0;
}

static char *socket_address(const struct config *c, const char *scheme, const char *name)
{
    char *address;

    return asprintf(&address, "%s%s/%s", scheme, c->value[OPTION_RUNTIME_DIR], name) < 0 ? NULL
                                                                                         : address;
}

/* The kernel's limit on socket paths; libzmq fails to bind a longer one without saying why. */
static int check_path(const char *path, struct err *e)
{
    size_t max = sizeof((struct sockaddr_un *)0)->sun_path - 1;

    if (*path != '/')
        return err_set(e, -EBADMSG, "the socket path \"%s\" must be absolute", path);
    if (strlen(path) > max)
        return err_set(e, -EBADMSG, "the socket path %s has %zu bytes, at most %zu are possible",
                       path, strlen(path), max);
    return 0;
}

/* Digits, so that "80x" does not become 80; 0 asks for a free one. */
static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n >= 1 && n <= 5 && text[n] == '\0' && atoi(text) <= UINT16_MAX;
}

/* "127.x.x.x:PORT" or "[::1]:PORT"; a name that only begins like one is somebody else's. */
static bool is_loopback(const char *address)
{
    const char *colon = strrchr(address, ':');
    char host[INET6_ADDRSTRLEN];
    struct in_addr v4;
    int n;

    if (!colon || !is_port(colon + 1))
        return false;
    n = snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    if (n >= (int)sizeof host)
        return false;
    return strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET);
}

/* Nothing listens on a network without authentication. */
static int check_loopback(const char *option, const char *address, struct err *e)
{
    if (is_loopback(address))
        return 0;
    return err_set(e, -EBADMSG, "%s: %s is not a loopback address (127.x.x.x:PORT or [::1]:PORT)",
                   option, address);
}

/* "ADDRESS:PORT" with the address in numbers. */
static bool is_address(const char *address)
{
    const char *colon = strrchr(address, ':');
    char host[INET6_ADDRSTRLEN + 2];
    unsigned char binary[sizeof(struct in6_addr)];
    int n;

    if (!colon || !is_port(colon + 1))
        return false;
    n = snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    if (n < 2 || n >= (int)sizeof host)
        return false;
    if (host[0] != '[')
        return inet_pton(AF_INET, host, binary) == 1;
    if (host[n - 1] != ']')
        return false;
    host[n - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, binary) == 1;
}

static int check_http(const struct config *c, struct err *e)
{
    const char *http = c->value[OPTION_HTTP];

    if (!http)
        return 0;
    if (!is_address(http))
        return err_set(e, -EBADMSG, "http: \"%s\" is not ADDRESS:PORT, with the address in numbers",
                       http);
    if (is_loopback(http) || c->value[OPTION_TOKEN_FILE])
        return 0;
    return err_set(e, -EBADMSG, "http: %s is not a loopback address, and there is no token-file",
                   http);
}

static int check_sockets(const struct config *c, struct err *e)
{
    const char *listen = c->value[OPTION_LISTEN], *feed = c->value[OPTION_FEED];
    int rc;

    if (strncmp(listen, "ipc://", 6) == 0)
        rc = check_path(listen + 6, e);
    else if (strncmp(listen, "tcp://", 6) == 0)
        rc = check_loopback("listen", listen + 6, e);
    else
        rc = err_set(e, -EBADMSG, "listen: \"%s\" is neither ipc://PATH nor tcp://ADDRESS:PORT",
                     listen);
    if (rc == 0)
        rc = check_http(c, e);
    if (rc < 0)
        return rc;
    if (strncmp(feed, "unix:", 5) == 0)
        return check_path(feed + 5, e);
    if (strncmp(feed, "tcp:", 4) == 0)
        return check_loopback("feed", feed + 4, e);
    return err_set(e, -EBADMSG, "feed: \"%s\" is neither unix:PATH nor tcp:ADDRESS:PORT", feed);
}

/* Clients resolve what endpoints.json says from their own working directory. */
static int make_absolute(struct config *c, enum option i, struct err *e)
{
    char *cwd, *path;

    if (c->value[i][0] == '/')
        return 0;
    cwd = getcwd(NULL, 0);
    path = cwd ? paths_join(cwd, c->value[i]) : NULL;
    free(cwd);
    if (!path)
        return err_set(e, -ENOMEM, "out of memory");
    free(c->value[i]);
    c->value[i] = path;
    return 0;
}

int paths_complete(struct config *c, struct err *e)
{
    int rc = set_default(c, OPTION_STATE_DIR, default_state_dir(), e);

    if (rc == 0)
        rc = make_absolute(c, OPTION_STATE_DIR, e);
    if (rc == 0)
        rc = set_default(c, OPTION_RUNTIME_DIR, default_runtime_dir(), e);
    if (rc == 0)
        rc = make_absolute(c, OPTION_RUNTIME_DIR, e);
    if (rc == 0)
        rc = set_default(c, OPTION_LISTEN, socket_address(c, "ipc://", "ingest.sock"), e);
    if (rc == 0)
        rc = set_default(c, OPTION_FEED, socket_address(c, "unix:", "feed.sock"), e);
    return rc == 0 ? check_sockets(c, e) : rc;
}

static int check_dir(const char *dir, struct err *e)
{
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_set(e, -errno, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(e, -ENOTDIR, "%s is not a directory", dir);
    if (st.st_uid != geteuid())
        return err_set(e, -EPERM, "%s belongs to user %u, not to us", dir, (unsigned)st.st_uid);
    return 0;
}

int paths_make_dir(const char *dir, struct err *e)
{
    char *path = strdup(dir);

    if (!path)
        return err_set(e, -ENOMEM, "out of memory");
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    free(path);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "%s cannot be made: %s", dir, strerror(errno));
    return check_dir(dir, e);
}

/* The lock itself is the kernel's; the pid in the file only serves the message. */
int paths_lock(const char *dir, struct err *e)
{
    char *path = paths_join(dir, LOCK_FILE), pid[32] = "";
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1, rc = 0;

    if (fd < 0) {
        rc = err_set(e, -errno, "%s/%s: %s", dir, LOCK_FILE, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

        pid[n > 0 ? n : 0] = '\0';
        rc = err_set(e, -EBUSY, "another richd (pid %.*s) holds %s", (int)strcspn(pid, "\n"), pid,
                     dir);
    } else {
        int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());

        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) < n)
            rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
    }
    free(path);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

int paths_check_socket_free(const char *address, struct err *e)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *path = strchr(address, '/');
    bool is_path = strncmp(address, "ipc:", 4) == 0 || strncmp(address, "unix:", 5) == 0;
    int fd, rc;

    if (!is_path || !path)
        return 0;
    path += strspn(path, "/") - 1; /* "ipc://" ends in slashes of its own */
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, -errno, "%s: %s", address, strerror(errno));
    rc = connect(fd, (const struct sockaddr *)&name, sizeof name);
    rc = rc == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
    close(fd);
    return rc < 0 ? err_set(e, rc, "%s: another program listens there", address) : 0;
}

static char *endpoints_text(const char *ingest, const char *feed, const char *http)
{
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && cJSON_AddStringToObject(object, "ingest", ingest) &&
        cJSON_AddStringToObject(object, "feed", feed) &&
        (!http || cJSON_AddStringToObject(object, "http", http)))
        text = json_print(object);
    cJSON_Delete(object);
    return text;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return -errno;
    ok = dprintf(fd, "%s\n", text) > 0;
    return close(fd) == 0 && ok ? 0 : -EIO;
}

int paths_write_endpoints(const char *dir, const char *ingest, const char *feed, const char *http,
                          struct err *e)
{
    char *text = endpoints_text(ingest, feed, http), *path = paths_join(dir, ENDPOINTS_FILE);
    char *fresh = paths_join(dir, ENDPOINTS_FILE ".new");
    int rc = text && path && fresh ? write_file(fresh, text) : -ENOMEM;

    if (rc == 0 && rename(fresh, path) < 0)
        rc = -errno;
    if (rc < 0)
        err_set(e, rc, "%s/%s: %s", dir, ENDPOINTS_FILE, strerror(-rc));
    cJSON_free(text);
    free(path);
    free(fresh);
    return rc;
}

void paths_remove_endpoints(const char *dir)
{
    char *path = paths_join(dir, ENDPOINTS_FILE);

    if (path)
        unlink(path);
    free(path);
}

/* ---- the group ----------------------------------------------------------------------------- */

static int find_group(const char *group, gid_t *out, struct err *e)
{
    const struct group *known = getgrnam(group);
    char *end;
    unsigned long number = strtoul(group, &end, 10);
    bool is_number = group[0] >= '0' && group[0] <= '9' && !*end && number < (gid_t)-1;

    if (!known && !is_number)
        return err_set(e, -EINVAL, "there is no group \"%s\"", group);
    *out = known ? known->gr_gid : (gid_t)number;
    return 0;
}

int paths_check_group(const char *group, struct err *e)
{
    gid_t found;

    return find_group(group, &found, e);
}

/* What has the group already is not given to it: systemd's unit forbids the call. */
static int share(const char *path, gid_t group, mode_t mode, struct err *e)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_gid == group || chown(path, (uid_t)-1, group) == 0) &&
        chmod(path, mode) == 0)
        return 0;
    return err_set(e, -errno, "%s for the socket-group: %s", path, strerror(errno));
}

int paths_share(const struct config *c, struct err *e)
{
    const char *group = c->value[OPTION_SOCKET_GROUP], *listen = c->value[OPTION_LISTEN];
    const char *feed = c->value[OPTION_FEED], *dir = c->value[OPTION_RUNTIME_DIR];
    char *endpoints;
    gid_t id;
    int rc;

    if (!group)
        return 0;
    rc = find_group(group, &id, e);
    if (rc == 0 && strncmp(listen, "ipc://", 6) == 0)
        rc = share(listen + 6, id, 0660, e);
    if (rc == 0 && strncmp(feed, "unix:", 5) == 0)
        rc = share(feed + 5, id, 0660, e);
    if (rc < 0)
        return rc;
    endpoints = paths_join(dir, ENDPOINTS_FILE);
    rc = endpoints ? share(endpoints, id, 0640, e) : err_set(e, -ENOMEM, "out of memory");
    free(endpoints);
    return rc == 0 ? share(dir, id, 0750, e) : rc;
}
