#include "daemon/host/lock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/host/paths.h"

#define LOCK_FILE "richd.lock"

/* Another process holds the lock; its pid stands in the file. */
static int refuse_holder(int fd, const char *dir, struct err *err)
{
    char pid[32];
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    pid[n > 0 ? n : 0] = '\0';
    return err_set(err, -EBUSY, "another richd (pid %.*s) holds %s", (int)strcspn(pid, "\n"), pid,
                   dir);
}

static int write_pid(int fd, const char *dir, struct err *err)
{
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());

    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) == n)
        return 0;
    return err_set(err, -errno, "%s/%s: %s", dir, LOCK_FILE, strerror(errno));
}

/* The lock itself is the kernel's; the pid in the file only serves the message. */
int lock_take(const char *dir, struct err *err)
{
    char *path = paths_join(dir, LOCK_FILE);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1, rc;

    assert(*dir == '/');
    free(path);
    if (fd < 0)
        return err_set(err, -errno, "%s/%s: %s", dir, LOCK_FILE, strerror(errno));
    rc = flock(fd, LOCK_EX | LOCK_NB) < 0 ? refuse_holder(fd, dir, err) : write_pid(fd, dir, err);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

void lock_release(int lock)
{
    if (lock >= 0)
        close(lock);
}

static const char *name_kind(mode_t mode)
{
    if (S_ISREG(mode))
        return "a file";
    if (S_ISDIR(mode))
        return "a directory";
    return S_ISLNK(mode) ? "a symbolic link" : "something that is no socket";
}

/* Whether a program answers at the socket: 0 when none does, -EADDRINUSE, or -errno when nobody can
 * say so (no right to ask, a socket of another kind). */
static int ask_socket(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

    if (fd < 0)
        return -errno;
    assert(strlen(path) < sizeof name.sun_path);
    strcpy(name.sun_path, path);
    rc = connect(fd, (const struct sockaddr *)&name, sizeof name) == 0 ? 0 : -errno;
    close(fd);
    if (rc == -ECONNREFUSED || rc == -ENOENT)
        return 0;
    return rc == 0 || rc == -EAGAIN ? -EADDRINUSE : rc;
}

int lock_check_socket(const char *address, struct err *err)
{
    bool is_path = strncmp(address, "ipc:", 4) == 0 || strncmp(address, "unix:", 5) == 0;
    const char *path = strchr(address, '/');
    struct stat st;
    int rc;

    if (!is_path || !path)
        return 0;
    path += strspn(path, "/") - 1; /* "ipc://" ends in slashes of its own */
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", address, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, -EEXIST, "%s: there is %s, which richd does not remove", address,
                       name_kind(st.st_mode));
    rc = ask_socket(path);
    if (rc == -EADDRINUSE)
        return err_set(err, rc, "%s: another program listens there", address);
    return rc < 0 ? err_set(err, rc, "%s: whether a program listens there is not known: %s",
                            address, strerror(-rc))
                  : 0;
}
