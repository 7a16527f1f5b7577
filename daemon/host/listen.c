#include "daemon/host/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/base/address.h"

/* The kernel's limit on socket paths; libzmq fails to bind a longer one without saying why. */
int listen_check_path(const char *path, struct err *err)
{
    size_t max = sizeof((struct sockaddr_un *)0)->sun_path - 1;

    if (*path != '/')
        return err_set(err, -EBADMSG, "the socket path \"%s\" must be absolute", path);
    if (strlen(path) > max)
        return err_set(err, -EBADMSG, "the socket path %s has %zu bytes, at most %zu are possible",
                       path, strlen(path), max);
    return 0;
}

/* A path may have commas, so one ends an address only where another address begins. */
static size_t address_length(const char *text)
{
    const char *at = text;

    while ((at = strchr(at, ',')) != NULL) {
        const char *next = at + 1 + strspn(at + 1, " ");

        if (strncmp(next, "tcp://", 6) == 0 || strncmp(next, "ipc://", 6) == 0)
            return (size_t)(at - text);
        at++;
    }
    return strlen(text);
}

static int add_local(struct listen *listen, const char *address, struct err *err)
{
    if (*listen->local)
        return err_set(err, -EBADMSG, "%s and %s: only one address may be without keys",
                       listen->local, address);
    memcpy(listen->local, address, strlen(address) + 1);
    return 0;
}

static int add_tcp(struct listen *listen, const char *text, struct err *err)
{
    struct sockaddr_storage in_numbers;
    struct address address;

    if (address_parse(text + 6, &address) < 0 || address_to_socket(&address, &in_numbers) < 0)
        return err_set(err, -EBADMSG,
                       "\"%s\" is not tcp://ADDRESS:PORT, with the address in numbers", text);
    if (address_is_loopback(&address))
        return add_local(listen, text, err);
    if (listen->n_more == LISTEN_MAX)
        return err_set(err, -EBADMSG, "more than %d addresses", LISTEN_MAX);
    memcpy(listen->more[listen->n_more++], text, strlen(text) + 1);
    return 0;
}

static int add(struct listen *listen, const char *address, struct err *err)
{
    if (strncmp(address, "tcp://", 6) == 0)
        return add_tcp(listen, address, err);
    if (strncmp(address, "ipc://", 6) != 0)
        return err_set(err, -EBADMSG, "\"%s\" is neither ipc://PATH nor tcp://ADDRESS:PORT",
                       address);
    return listen_check_path(address + 6, err) < 0 ? -EBADMSG : add_local(listen, address, err);
}

int listen_parse(const char *text, struct listen *out, struct err *err)
{
    int rc = 0;

    memset(out, 0, sizeof *out);
    while (rc == 0) {
        char address[LISTEN_ADDRESS_SIZE];
        size_t n = address_length(text);

        if (n >= sizeof address)
            return err_set(err, -EBADMSG, "an address of more than %zu bytes", sizeof address - 1);
        memcpy(address, text, n);
        address[n] = '\0';
        rc = add(out, address, err);
        text += n;
        if (!*text)
            return rc;
        text += 1 + strspn(text + 1, " ");
    }
    return rc;
}
