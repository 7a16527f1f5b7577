#include <errno.h>
#include <stdlib.h>

#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "daemon/loop/parts.h"

/* Tested by tests/e2e/durable/test_a_lock_of_another_process_is_waited_for.py. */

#define STORE_FILE "richd.sqlite"

/* A backup may hold the file for so long; each try waits for SQL_BUSY_TIMEOUT_MS. */
#define LOCKED_TRIES 24

/* No trainer is connected yet, and their clients keep what they have for us. */
static int open_when_unlocked(struct loop *loop, const char *path, struct err *err)
{
    int rc = -EAGAIN;

    for (int i = 0; rc == -EAGAIN && i < LOCKED_TRIES; i++) {
        rc = store_lane_open(&loop->uv, path, loop_on_stored, loop, &loop->store, err);
        if (rc == -EAGAIN && i == 0)
            log_warn("the start waits for another process: %s", err->text);
    }
    return rc;
}

/* A damaged history is set aside, by name, and a new one is started; never silently. */
static int open_or_set_aside(struct loop *loop, const char *path, struct err *err)
{
    char aside[4096];
    int rc = open_when_unlocked(loop, path, err);

    if (rc != -EUCLEAN)
        return rc;
    log_error("%s", err->text);
    rc = store_set_aside(path, aside, sizeof aside, err);
    if (rc < 0)
        return rc;
    log_error("the damaged history is kept as %s; a new one begins", aside);
    return open_when_unlocked(loop, path, err);
}

int loop_open_store(struct loop *loop, struct err *err)
{
    char *path = paths_join(loop->state_dir, STORE_FILE);
    int rc;

    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    rc = open_or_set_aside(loop, path, err);
    if (rc == 0)
        rc = readers_open(&loop->uv, path, &loop->readers, err);
    free(path);
    return rc;
}
