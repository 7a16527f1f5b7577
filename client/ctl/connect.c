#include "client/ctl/connect.h"

#include <errno.h>

#include "client/common/endpoints.h"

static int explain(const struct endpoint *endpoint, int rc, struct err *err)
{
    /* An address that makes no sense is the user's mistake only where the user gave it. */
    if (rc == -EINVAL && endpoint->source[0])
        rc = -EPROTO;
    if (endpoint->source[0])
        return err_prefix(err, rc, "no richd answers at %s (named in %s; is it still running?): ",
                          endpoint->address, endpoint->source);
    return err_prefix(err, rc, "no richd answers at %s: ", endpoint->address);
}

static int find(const struct options *options, struct endpoint *out, struct err *err)
{
    struct endpoints places;
    struct err found = {""};
    int rc = endpoints_init(&places, options->feed, "RICHD_FEED", options->runtime_dir, &found);

    if (rc == 0)
        rc = endpoints_find(&places, "feed", out, &found);
    if (rc == -ENOENT)
        return err_set(err, -ENOTCONN,
                       "%s. Start it with \"richd\", or name its directory with --runtime-dir DIR",
                       found.text);
    return rc < 0 ? err_set(err, rc, "%s", found.text) : 0;
}

int connect_open(const struct options *options, struct feedclient **feed, struct err *err)
{
    struct endpoint endpoint = {.address = ""};
    int rc = find(options, &endpoint, err);

    if (rc < 0)
        return rc;
    rc = feedclient_open(feed, endpoint.address, (int)options->timeout_s * 1000, err);
    return rc < 0 ? explain(&endpoint, rc, err) : 0;
}

int connect_again(const struct options *options, struct feedclient *feed, struct err *err)
{
    struct endpoint endpoint = {.address = ""};
    int rc = find(options, &endpoint, err);

    if (rc < 0)
        return rc;
    rc = feedclient_reopen(feed, endpoint.address, err);
    return rc < 0 ? explain(&endpoint, rc, err) : 0;
}
