/* What richd calls of libsystemd, for a build without it: the same names and results, by the
 * protocol of sd_notify(3). The environment stays as it is, whatever unset_environment says. */
#pragma once

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Sends `state` to NOTIFY_SOCKET, a path or an abstract name (@). Returns 1, 0 without a socket, or
 * -errno. */
static inline int sd_notify(int unset_environment, const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ssize_t sent;
    int fd;

    (void)unset_environment;
    if (length == 0)
        return 0;
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    sent = sent < 0 ? -errno : 1;
    close(fd);
    return (int)sent;
}

/* Puts the watchdog's time into `limit_us` and returns 1 where there is one for us, 0 where not. */
static inline int sd_watchdog_enabled(int unset_environment, uint64_t *limit_us)
{
    const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    (void)unset_environment;
    if (!limit || (pid && strtoimax(pid, NULL, 10) != (intmax_t)getpid()))
        return 0;
    *limit_us = strtoumax(limit, NULL, 10);
    return *limit_us > 0;
}
