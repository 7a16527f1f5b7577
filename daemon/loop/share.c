#include <stdio.h>
#include <stdlib.h>
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

struct asked {
    struct share_question question;
    struct loop *loop;
    struct record *record;
};

static void on_told(struct share_question *question)
{
    struct asked *asked = LIST_ENTRY(question, struct asked, question);

    asked->record->open.elsewhere = question->newest;
    store_lane_put(asked->loop->store, asked->record);
    free(asked);
}

/* The core lends nothing else of a run that is being opened, so the records stay in their order. */
bool loop_ask_history(struct loop *loop, struct record *record)
{
    struct asked *asked;
    bool is_asked;

    if (!loop->share || record->kind != RECORD_OPEN || record->open.attempt != 0)
        return false;
    asked = calloc(1, sizeof *asked);
    if (!asked)
        return false;
    asked->loop = loop;
    asked->record = record;
    asked->question.told = on_told;
    snprintf(asked->question.run, sizeof asked->question.run, "%s", record->run);
    is_asked = share_ask(loop->share, &asked->question);
    if (!is_asked)
        free(asked);
    return is_asked;
}

int loop_open_share(struct loop *loop, struct err *err)
{
    const char *url = loop->config->value[OPTION_HISTORY];
    struct share_config config = {
        .url = url,
        .path = loop->store_path,
        .store = store_lane_store(loop->store),
        .n_partitions = loop->config->history_partitions,
        .is_reader = loop->config->is_read_only,
        .loop = &loop->uv,
        .lend = lend,
        .on_merged = on_merged,
        .on_reached = loop->config->acks_by_history ? loop_release_acks : NULL,
        .arg = loop,
    };

    if (!url || strcmp(url, "off") == 0)
        return 0;
    return share_open(&config, &loop->share, err);
}
