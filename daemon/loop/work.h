/* Jobs on libuv's pool: the shares of a job run side by side, and when the last one is done the job
 * comes back on the loop. Owns only the requests; a job is the core's, lent until on_done. Loop
 * thread, apart from job_work itself. Tested by tests/unit/daemon/loop/test_work.c.
 *
 * The pool takes what it is given in order, and has a thread for the store and for each reader. So
 * it is given no more shares than it has other threads, and other jobs wait here: short ones in one
 * line, jobs that may take minutes in another, which has threads of its own. Nobody's checkpoint
 * waits behind a large spectrum but another of these. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/core/monitor/layer.h"

struct work;

typedef void work_done_cb(void *arg, struct job *);

/* Threads of the pool that jobs use on a machine of so many cores. */
size_t work_n_threads(size_t n_cpus);

/* Returns it (free with work_free), or NULL. */
struct work *work_new(uv_loop_t *, size_t n_cpus, work_done_cb *, void *arg);
/* No job may be out. NULL is fine. */
void work_free(struct work *);

/* Runs the job by as many of its shares as there are threads free, or by one. Returns 0, or -ENOMEM
 * with nothing started. */
int work_start(struct work *, struct job *);

/* Once a tick: a share that is stuck (pulse.h), or NULL. */
const struct job *work_find_stuck(struct work *, unsigned still_max);
