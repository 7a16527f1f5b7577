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

static void start_queries(struct readers *r);

static void on_query(uv_work_t *request)
{
    struct reader *reader = request->data;

    reader->query->work(reader->history, reader->query);
}

/* A client that asks, leaves and asks again must not hold up the others with its old questions. */
static void drop_unwanted(struct readers *r)
{
    LIST_EACH_SAFE(at, &r->waiting)
    {
        struct query *q = LIST_ENTRY(at, struct query, link);

        if (!q->is_unwanted || !*q->is_unwanted)
            continue;
        list_remove(at);
        q->done(q);
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

static void start_queries(struct readers *r)
{
    for (size_t i = 0; i < N_READERS && !list_empty(&r->waiting); i++) {
        struct list *first = list_first(&r->waiting);

        if (r->reader[i].query)
            continue;
        list_remove(first);
        r->reader[i].query = LIST_ENTRY(first, struct query, link);
        uv_queue_work(r->loop, &r->reader[i].request, on_query, on_query_done);
    }
}

int readers_open(uv_loop_t *loop, const char *path, struct readers **out, struct err *e)
{
    struct readers *r = calloc(1, sizeof *r);

    if (!r)
        return err_set(e, -ENOMEM, "out of memory");
    r->loop = loop;
    list_init(&r->waiting);
    for (size_t i = 0; i < N_READERS; i++) {
        int rc = history_open(path, &r->reader[i].history, e);

        if (rc < 0) {
            readers_close(r);
            return rc;
        }
        r->reader[i].readers = r;
        r->reader[i].request.data = &r->reader[i];
    }
    *out = r;
    return 0;
}

void readers_close(struct readers *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < N_READERS; i++) {
        assert(!r->reader[i].query);
        history_close(r->reader[i].history);
    }
    free(r);
}

void readers_submit(struct readers *r, struct query *q)
{
    assert(r && q && q->work && q->done);
    list_append(&r->waiting, &q->link);
    start_queries(r);
}
