/* The way to a daemon: finding its feed as the options say, connecting, and doing so again after it
 * went. Blocks for as long as --timeout says; owns nothing. feedclient reads. Tested end to end by
 * test_richctl.py. */
#pragma once

#include "client/ctl/common/options.h"
#include "client/ctl/feed/feedclient.h"

/* On 0 `*feed` is the connection (free with feedclient_free). Errors are feedclient_open's and
 * endpoints_find's, with -ENOTCONN for -ENOENT; the text says where a daemon was expected. */
int connect_open(const struct options *, struct feedclient **feed, struct err *err);

/* The same for a connection that broke: a daemon that was started again may have other
 * addresses. */
int connect_again(const struct options *, struct feedclient *feed, struct err *err);
