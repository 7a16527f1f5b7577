#include <string.h>

#include "daemon/loop/parts.h"

/* The history that daemons share. Tested by test_a_reader_shows_what_all_daemons_write.py. */

static bool lend(void *arg, struct store_task *task)
{
    struct loop *loop = arg;

    if (loop->state != LOOP_RUNNING)
        return false;
    loop->n_lent++;
    store_lane_do(loop->store, task);
    return true;
}

static void on_merged(void *arg, uint64_t feed_seq)
{
    struct loop *loop = arg;

    loop->n_lent--;
    feedhub_catch_up(loop->hub, feed_seq);
    loop_move_on(loop);
}

int loop_open_share(struct loop *loop, struct err *err)
{
    const char *url = loop->config->value[OPTION_HISTORY];
    struct share_config config = {
        .url = url,
        .path = loop->store_path,
        .store = store_lane_store(loop->store),
        .is_reader = loop->config->is_read_only,
        .loop = &loop->uv,
        .lend = lend,
        .on_merged = on_merged,
        .arg = loop,
    };

    if (!url || strcmp(url, "off") == 0)
        return 0;
    return share_open(&config, &loop->share, err);
}
