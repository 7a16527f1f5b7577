#include "daemon/history/readers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* One reader may be busy with a long history while another answers a short question. */
#define N_READERS 2

struct reader {
    struct readers *readers;
    struct history *history;
    uv_work_t request;
    struct query *query; /* NULL: idle */
};

struct readers {
    uv_loop_t *loop;
    struct list waiting;
    struct reader reader[N_READERS];
};

static void start_queries(struct readers *readers);

static void on_query(uv_work_t *request)
{
    struct reader *reader = request->data;

    reader->query->work(reader->history, reader->query);
}

static bool is_unwanted(const struct query *query)
{
    return query->is_unwanted && *query->is_unwanted;
}

/* A client that asks, leaves and asks again must not hold up the others with its old questions. */
static void drop_unwanted(struct readers *readers)
{
    LIST_EACH_SAFE(at, &readers->waiting)
    {
        struct query *query = LIST_ENTRY(at, struct query, link);

        if (!is_unwanted(query))
            continue;
        list_remove(at);
        query->done(query);
    }
}

static void on_query_done(uv_work_t *request, int status)
{
    struct reader *reader = request->data;
    struct query *query = reader->query;

    (void)status;
    reader->query = NULL;
    drop_unwanted(reader->readers);
    start_queries(reader->readers);
    query->done(query);
}

static void start_queries(struct readers *readers)
{
    for (size_t i = 0; i < N_READERS && !list_empty(&readers->waiting); i++) {
        struct list *first = list_first(&readers->waiting);

        if (readers->reader[i].query)
            continue;
        list_remove(first);
        readers->reader[i].query = LIST_ENTRY(first, struct query, link);
        history_cancel(readers->reader[i].history, false);
        uv_queue_work(readers->loop, &readers->reader[i].request, on_query, on_query_done);
    }
}

int readers_open(uv_loop_t *loop, const char *path, struct readers **out, struct err *err)
{
    struct readers *readers = calloc(1, sizeof *readers);

    if (!readers)
        return err_set(err, -ENOMEM, "out of memory");
    readers->loop = loop;
    list_init(&readers->waiting);
    for (size_t i = 0; i < N_READERS; i++) {
        int rc = history_open(path, &readers->reader[i].history, err);

        if (rc < 0) {
            readers_close(readers);
            return rc;
        }
        readers->reader[i].readers = readers;
        readers->reader[i].request.data = &readers->reader[i];
    }
    *out = readers;
    return 0;
}

void readers_close(struct readers *readers)
{
    if (!readers)
        return;
    for (size_t i = 0; i < N_READERS; i++) {
        assert(!readers->reader[i].query);
        history_close(readers->reader[i].history);
    }
    free(readers);
}

void readers_submit(struct readers *readers, struct query *query)
{
    assert(readers && query && query->work && query->done);
    list_append(&readers->waiting, &query->link);
    start_queries(readers);
}

void readers_cancel_unwanted(struct readers *readers)
{
    for (size_t i = 0; i < N_READERS; i++) {
        const struct reader *reader = &readers->reader[i];

        if (reader->query && is_unwanted(reader->query))
            history_cancel(reader->history, true);
    }
}
