#include "daemon/host/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@" and an abstract name. */
static int read_address(const char *text, struct sockaddr_un *address, socklen_t *size)
{
    size_t length = strlen(text);

    if (*text != '/' && *text != '@')
        return -EAFNOSUPPORT;
    if (length < 2 || length >= sizeof address->sun_path)
        return -EINVAL;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, text, length);
    if (*text == '@')
        address->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return 0;
}

int notify_send(const char *assignment)
{
    const char *text = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t size;
    int fd, rc;

    if (!text)
        return 0;
    rc = read_address(text, &address, &size);
    if (rc < 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (sendto(fd, assignment, strlen(assignment), MSG_DONTWAIT | MSG_NOSIGNAL,
               (struct sockaddr *)&address, size) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

uint64_t notify_watchdog_us(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!time || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoull(time, NULL, 10);
}
