/* Jobs on libuv's pool: the shares of a job run side by side, and when the last one is done the job
 * comes back on the loop. Owns only the requests; a job is the core's, lent until on_done. Loop
 * thread, apart from job_work itself. Tested by tests/unit/daemon/loop/test_loop.c. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/core/monitor/layer.h"

struct work;

typedef void work_done_cb(void *arg, struct job *);

/* Returns it (free with work_free), or NULL. */
struct work *work_new(uv_loop_t *, work_done_cb *, void *arg);
/* No job may be out. NULL is fine. */
void work_free(struct work *);

/* Runs the job's n_shares. Returns 0, or -ENOMEM with nothing started. */
int work_start(struct work *, struct job *);
