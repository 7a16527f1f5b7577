#include "proto/curve/joined.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "proto/base/address.h"
#include "proto/curve/keyfile.h"

/* Tested end to end by tests/e2e/network/test_trainers_on_other_hosts.py. */

static int user_path(const char *name, char *out, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool has_config = config && *config;
    int n;

    if (!has_config && !(home && *home))
        return -ENOENT;
    n = snprintf(out, size, "%s%s/richd/%s", has_config ? config : home,
                 has_config ? "" : "/.config", name);
    return n > 0 && (size_t)n < size ? 0 : -ENOENT;
}

int joined_path(char *out, size_t size)
{
    return user_path("joined", out, size);
}

int upstream_path(char *out, size_t size)
{
    return user_path("upstream", out, size);
}

bool joined_exists(const char *path)
{
    struct stat st;

    return *path && lstat(path, &st) == 0;
}

static int set_keys(void *socket, const struct keyfile *keys)
{
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->server_key, KEY_SIZE) < 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, KEY_SIZE) < 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, KEY_SIZE) < 0)
        return -ENOTSUP;
    return 0;
}

/* Whether the address needs no key: no other host hears what is said there. */
static bool is_of_this_host(const char *text)
{
    struct address address;

    return strncmp(text, "tcp://", 6) != 0 ||
           (address_parse(text + 6, &address) == 0 &&
            (address_is_loopback(&address) || strcmp(address.host, "localhost") == 0));
}

int joined_set_keys(const char *path, const char *address, void *socket)
{
    struct keyfile keys;
    int rc = is_of_this_host(address) ? 0 : -EACCES;

    if (strncmp(address, "tcp://", 6) != 0 || !joined_exists(path))
        return rc;
    if (keyfile_read(path, &keys, NULL) == 0 && strcmp(keys.endpoint, address) == 0)
        rc = set_keys(socket, &keys);
    explicit_bzero(&keys, sizeof keys);
    return rc;
}
