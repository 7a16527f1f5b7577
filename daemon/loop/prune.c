#include "daemon/host/log.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"

/* The options keep-days and max-bytes: what history.prune does, unasked. Tested by
 * tests/e2e/durable/test_a_deleted_run_stays_gone.py. */

/* A run becomes a day older in a day, and a history grows by megabytes in an hour. */
#define PRUNE_TICKS 3600

static int carry_out(struct store *store, struct store_task *task, struct err *err)
{
    return store_errand(store, &LIST_ENTRY(task, struct loop, prune_task)->prune, err);
}

static void on_carried_out(struct store_task *task)
{
    struct loop *loop = LIST_ENTRY(task, struct loop, prune_task);
    struct errand *errand = &loop->prune;

    loop->is_pruning = false;
    loop->n_lent--;
    if (task->rc < 0)
        log_warn("old runs are not pruned: %s", task->why.text);
    for (size_t i = 0; i < errand->n_runs; i++)
        log_info("pruned run=%s", errand->runs[i].id);
    if (errand->n_runs > 0)
        log_info("pruned runs=%zu points=%lld bytes_before=%lld bytes_after=%lld", errand->n_runs,
                 (long long)errand->n_points, (long long)errand->bytes_before,
                 (long long)errand->bytes_after);
    feedhub_tell_left(loop->hub, errand);
    errand_release(errand);
    loop_move_on(loop);
}

void loop_prune_soon(struct loop *loop)
{
    loop->prune_pause_ticks = 0;
}

void loop_prune(struct loop *loop)
{
    const struct config *config = loop->config;

    if (loop->prune_pause_ticks > 0) {
        loop->prune_pause_ticks--;
        return;
    }
    if (loop->is_pruning || (config->keep_days < 0 && config->max_bytes < 0))
        return;
    loop->prune_pause_ticks = PRUNE_TICKS;
    loop->is_pruning = true;
    loop->n_lent++;
    errand_prune(&loop->prune, clock_wall_s(), config->keep_days, config->max_bytes);
    loop->prune_task.work = carry_out;
    loop->prune_task.done = on_carried_out;
    store_lane_do(loop->store, &loop->prune_task);
}
