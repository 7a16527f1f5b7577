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

int lock_check_socket(const char *address, struct err *err)
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
        return err_set(err, -errno, "%s: %s", address, strerror(errno));
    rc = connect(fd, (const struct sockaddr *)&name, sizeof name);
    rc = rc == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
    close(fd);
    return rc < 0 ? err_set(err, rc, "%s: another program listens there", address) : 0;
}
