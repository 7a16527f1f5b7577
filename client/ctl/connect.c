#include "client/ctl/connect.h"

#include <errno.h>

#include "client/ctl/endpoints.h"

static int explain(const struct endpoint *endpoint, int rc, struct err *e)
{
    /* An address that makes no sense is the user's mistake only where the user gave it. */
    if (rc == -EINVAL && endpoint->source[0])
        rc = -EPROTO;
    if (endpoint->source[0])
        return err_prefix(e, rc, "no richd answers at %s (named in %s; is it still running?): ",
                          endpoint->address, endpoint->source);
    return err_prefix(e, rc, "no richd answers at %s: ", endpoint->address);
}

int connect_open(const struct options *o, struct feedclient **feed, struct err *e)
{
    struct endpoint endpoint;
    int rc;

    rc = endpoints_find(o->feed, o->runtime_dir, &endpoint, e);
    if (rc < 0)
        return rc;
    rc = feedclient_open(feed, endpoint.address, (int)o->timeout_s * 1000, e);
    return rc < 0 ? explain(&endpoint, rc, e) : 0;
}

int connect_again(const struct options *o, struct feedclient *feed, struct err *e)
{
    struct endpoint endpoint;
    int rc;

    rc = endpoints_find(o->feed, o->runtime_dir, &endpoint, e);
    if (rc < 0)
        return rc;
    rc = feedclient_reopen(feed, endpoint.address, e);
    return rc < 0 ? explain(&endpoint, rc, e) : 0;
}
