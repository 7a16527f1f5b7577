/* The spools of one launch on their way to a daemon: a ZeroMQ connection each, side by side, since
 * a checkpoint waits for all ranks. One thread, which waits here; it owns the sockets and borrows
 * the replays. replay.h knows what is said. Tested end to end by
 * test_what_no_daemon_took_is_imported.py. */
#pragma once

#include "proto/spool/replay.h"

/* Of a daemon's address, as the longest that endpoints.h finds. */
#define LAUNCH_ADDRESS_SIZE 512

/* Writes the daemon's address. 0, or -errno: there is none. */
typedef int launch_find_fn(void *context, char address[LAUNCH_ADDRESS_SIZE], struct err *err);
/* Called several times a second while files are sent; false: stop. */
typedef bool launch_turn_fn(void *context, struct replay *const *replays, size_t n);

struct launch_way {
    launch_find_fn *find;
    launch_turn_fn *turn;
    void *context;
    int64_t timeout_ms; /* without a word of the daemon */
};

/* Sends them until each is over (replay_is_over), or one of them has to wait before any was begun,
 * and returns 0. Or -EINTR (`turn` said so),
 * -ENOTCONN where no daemon answers, -errno; what is not over then can be sent again. */
int launch_send(struct replay *const *replays, size_t n, const struct launch_way *, struct err *);
