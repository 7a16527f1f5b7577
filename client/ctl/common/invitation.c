#include "client/ctl/common/invitation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "proto/base/address.h"

#define SCHEME   "richd://"
#define KEY_SPAN (KEY_SIZE - 1)

void invitation_print(const struct keyfile *keys, char out[INVITATION_SIZE])
{
    snprintf(out, INVITATION_SIZE, SCHEME "%s/%s%s", keys->endpoint + strlen("tcp://"),
             keys->server_key, keys->secret_key);
}

static int refuse(struct err *err, const char *why)
{
    return err_set(err, -EBADMSG, "this is no invitation of `richctl invite`: %s", why);
}

static int take_keys(const char *text, struct keyfile *out, struct err *err)
{
    size_t size = strcspn(text, " \t\r\n'");

    if (size != (size_t)2 * KEY_SPAN || !key_is_valid(text) || !key_is_valid(text + KEY_SPAN))
        return refuse(err, "it does not end with two keys; it may have been cut");
    memcpy(out->server_key, text, KEY_SPAN);
    memcpy(out->secret_key, text + KEY_SPAN, KEY_SPAN);
    if (zmq_curve_public(out->public_key, out->secret_key) < 0)
        return refuse(err, "libzmq makes nothing of its key");
    return 0;
}

int invitation_parse(const char *text, struct keyfile *out, struct err *err)
{
    const char *host = strstr(text, SCHEME),
               *slash = host ? strchr(host + strlen(SCHEME), '/') : NULL;
    struct address address;
    char place[ADDRESS_HOST_MAX + 16];
    size_t size;

    memset(out, 0, sizeof *out);
    if (!slash)
        return refuse(err, "it has no " SCHEME "HOST:PORT/");
    host += strlen(SCHEME);
    size = (size_t)(slash - host);
    if (size >= sizeof place)
        return refuse(err, "its host is too long");
    memcpy(place, host, size);
    place[size] = '\0';
    if (address_parse(place, &address) < 0)
        return refuse(err, "it has no HOST:PORT");
    snprintf(out->endpoint, sizeof out->endpoint, "tcp://%s", place);
    return take_keys(slash + 1, out, err);
}
