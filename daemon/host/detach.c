#include "daemon/host/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/host/paths.h"
#include "proto/base/clock.h"

/* Tested by tests/e2e/service/test_a_daemon_in_the_background.py. */

/* A start takes .1 s; one that repairs its history, minutes. */
#define WAIT_MS 10000
/* So often it is looked whether the daemon has ended. */
#define LOOK_MS  20
#define LOG_FILE "richd.log"
/* A log of so many bytes begins again. */
#define LOG_BYTES_MAX (4 << 20)

/* ---- the log --------------------------------------------------------------------------------- */

static int open_log(const char *dir, struct err *err)
{
    char *path = paths_join(dir, LOG_FILE);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
    int fd = path ? open(path, flags, 0600) : -1;
    struct stat st;

    if (fd < 0)
        err_set(err, -errno, "%s/%s: %s", dir, LOG_FILE, strerror(errno));
    else if (fstat(fd, &st) == 0 && st.st_size > LOG_BYTES_MAX && ftruncate(fd, 0) < 0)
        err_set(err, -errno, "%s/%s cannot begin again: %s", dir, LOG_FILE, strerror(errno));
    free(path);
    return fd;
}

/* ---- how the daemon says that it is ready ---------------------------------------------------- */

/* A datagram socket without a file, in NOTIFY_SOCKET. Returns it, or -errno. */
static int open_notify_socket(struct err *err)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name.sun_family;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* The kernel chooses a name, which begins with NUL; in the variable it begins with @. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, size) < 0)
        goto fail;
    size = sizeof name - 1;
    if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
        goto fail;
    ((char *)&name)[size] = '\0';
    name.sun_path[0] = '@';
    if (setenv("NOTIFY_SOCKET", name.sun_path, 1) == 0)
        return fd;
fail:
    err_set(err, -errno, "a socket for the daemon's answer: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool has_said_ready(int notify)
{
    char text[256];
    ssize_t n;

    while ((n = recv(notify, text, sizeof text - 1, 0)) > 0) {
        text[n] = '\0';
        if (strstr(text, "READY=1"))
            return true;
    }
    return false;
}

/* The exit code, 0 as long as it lives. */
static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int wait_until_ready(pid_t pid, int notify)
{
    struct pollfd answer = {.fd = notify, .events = POLLIN};
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    int status;

    while (clock_monotonic_ms() < deadline_ms) {
        if (poll(&answer, 1, LOOK_MS) > 0 && has_said_ready(notify))
            return 0;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return exit_code(status);
    }
    return 0;
}

/* ---- the start ------------------------------------------------------------------------------- */

/* The command line without --detach (free with free), or NULL. */
static char **arguments(const struct config *config)
{
    char **kept = calloc((size_t)config->argc + 1, sizeof *kept);
    int n = 0;

    for (int i = 0; kept && i < config->argc; i++) {
        if (strcmp(config->argv[i], "--detach") != 0)
            kept[n++] = config->argv[i];
    }
    return kept;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

static int set_streams(posix_spawn_file_actions_t *actions, int log)
{
    int rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, log, STDOUT_FILENO);
    return rc ? rc : posix_spawn_file_actions_adddup2(actions, log, STDERR_FILENO);
}

/* posix_spawn and not fork: OpenBLAS may have threads. Returns the process, or -errno. */
static pid_t spawn(const struct config *config, int log)
{
    char **argv = arguments(config);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = -1;
    int rc;

    if (!argv)
        return -ENOMEM;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    rc = set_attributes(&attributes);
    if (rc == 0)
        rc = set_streams(&actions, log);
    if (rc == 0)
        rc = posix_spawnp(&pid, config->argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(argv);
    return rc ? -rc : pid;
}

int detach_start(const struct config *config, struct err *err)
{
    const char *dir = config->value[OPTION_STATE_DIR];
    int rc = paths_make_dir(dir, err), log = rc < 0 ? rc : open_log(dir, err), notify;
    pid_t pid;

    if (log < 0)
        return log == rc ? rc : -EIO;
    notify = open_notify_socket(err);
    pid = notify < 0 ? -EIO : spawn(config, log);
    close(log);
    if (notify < 0)
        return pid;
    rc = pid < 0 ? err_set(err, pid, "%s cannot be started: %s", config->argv[0], strerror(-pid))
                 : wait_until_ready(pid, notify);
    close(notify);
    return rc;
}
