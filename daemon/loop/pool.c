#include "daemon/loop/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/room.h"

/* libzmq's: one for its sockets, one that closes them. */
#define N_OTHER_THREADS 2

/* One job for each thread; none ends before all have begun, so each has a thread of its own, and
 * its own buffer of OpenBLAS. */
struct first_jobs {
    uv_barrier_t all_here;
    size_t n, n_done;
    uv_work_t requests[];
};

static void on_job(uv_work_t *request)
{
    struct first_jobs *jobs = request->data;
    void *buffer = linalg_take_buffer();

    uv_barrier_wait(&jobs->all_here);
    linalg_give_buffer(buffer);
}

static void on_done(uv_work_t *request, int status)
{
    struct first_jobs *jobs = request->data;

    assert(status == 0);
    if (++jobs->n_done < jobs->n)
        return;
    uv_barrier_destroy(&jobs->all_here);
    free(jobs);
}

static int start(uv_loop_t *loop, size_t n, struct err *err)
{
    struct first_jobs *jobs = calloc(1, sizeof *jobs + n * sizeof jobs->requests[0]);

    if (!jobs || uv_barrier_init(&jobs->all_here, (unsigned)n) < 0) {
        free(jobs);
        return err_set(err, -ENOMEM, "out of memory");
    }
    jobs->n = n;
    for (size_t i = 0; i < n; i++) {
        jobs->requests[i].data = jobs;
        uv_queue_work(loop, &jobs->requests[i], on_job, on_done);
    }
    return 0;
}

int pool_start(uv_loop_t *loop, size_t n, size_t more_bytes, struct err *err)
{
    size_t n_threads = n + N_OTHER_THREADS;
    char size[24];
    int rc = room_check_memory(
        n_threads * room_stack_bytes() + n * LINALG_BUFFER_BYTES + more_bytes, err);

    if (rc == 0)
        rc = room_check_threads(n_threads, err);
    if (rc < 0)
        return rc;
    snprintf(size, sizeof size, "%zu", n);
    setenv("UV_THREADPOOL_SIZE", size, 1);
    return start(loop, n, err);
}
