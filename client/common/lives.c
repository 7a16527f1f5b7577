#include "client/common/lives.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/address.h"

/* A live daemon takes a connection at once, also while it is busy. */
#define CONNECT_MS 1000

static bool is_refused(int error)
{
    return error == ECONNREFUSED || error == ENOENT;
}

/* The error that a connection which was begun came to; 0 also where that is not known in time. */
static int wait_for(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(int);
    int error = 0;

    if (poll(&poller, 1, CONNECT_MS) <= 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return 0;
    return error;
}

static bool takes(const struct sockaddr *to, socklen_t size)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return true;
    error = connect(fd, to, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS)
        error = wait_for(fd);
    close(fd);
    return !is_refused(error);
}

static bool path_takes(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (snprintf(to.sun_path, sizeof to.sun_path, "%s", path) >= (int)sizeof to.sun_path)
        return true;
    return takes((struct sockaddr *)&to, sizeof to);
}

static bool port_takes(const char *text)
{
    struct sockaddr_storage to;
    struct address address;
    int size;

    if (address_parse(text, &address) < 0)
        return true;
    size = address_to_socket(&address, &to);
    return size < 0 || takes((struct sockaddr *)&to, (socklen_t)size);
}

bool lives_at(const char *feed)
{
    if (strncmp(feed, "unix:", 5) == 0)
        return path_takes(feed + 5);
    return strncmp(feed, "tcp:", 4) != 0 || port_takes(feed + 4);
}
