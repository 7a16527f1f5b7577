/* Keeps top's list like the daemon's: the runs, page by page, the points as they are stored, and
 * the curves that are on the screen. Blocks on the feed while it asks; the connection and the list
 * are the caller's. The command decides when to ask, and what to do when the daemon goes. Tested
 * end to end by test_top_in_a_terminal.py. */
#pragma once

#include "client/ctl/feed/feedclient.h"
#include "client/ctl/top/list.h"

struct topfeed {
    struct feedclient *feed;
    struct toplist *list;
    const char *project;  /* NULL: all */
    double latest_update; /* of any run that was listed */
    double known_update;  /* the same, before this listing */
};

/* Subscribes, then lists all runs; so on a new connection. Errors, here and below, are
 * feedclient's. */
int topfeed_begin(struct topfeed *, struct err *err);

/* Lists what changed since the last time: new runs, states, counts. On a quiet day that is one
 * page. */
int topfeed_refresh(struct topfeed *, struct err *err);

/* Takes the updates that have come, without waiting. Returns their number, or an error. */
int topfeed_take_updates(struct topfeed *, struct err *err);

/* Asks for the curve of a run, if it has not got one. Returns 1 when it asked, 0, or an error. */
int topfeed_sample(struct topfeed *, struct toprun *, struct err *err);
