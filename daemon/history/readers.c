#include "daemon/history/readers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One reader may be busy with a long history while another answers a short question. */
#define N_READERS 2

struct reader {
    struct readers *readers;
    struct history *history;
    uv_work_t request;
    struct query *query; /* NULL: idle */
    unsigned n_replaced; /* of the readers, when it was compared last */
    bool is_stale;       /* the file was replaced since it was opened; the pool's while not idle */
};

struct readers {
    uv_loop_t *loop;
    char *path;
    unsigned n_replaced; /* how often the file was */
    bool is_damaged;
    struct list waiting;
    struct reader reader[N_READERS];
};

static void start_queries(struct readers *readers);

/* Where the new file cannot be opened, the old one still answers. */
static void open_again(struct reader *reader)
{
    if (history_reopen(reader->history, reader->readers->path) == 0)
        reader->is_stale = false;
}

static void on_query(uv_work_t *request)
{
    struct reader *reader = request->data;

    if (reader->is_stale)
        open_again(reader);
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
    reader->readers->is_damaged |= history_take_damage(reader->history);
    drop_unwanted(reader->readers);
    start_queries(reader->readers);
    query->done(query);
}

static void note_replaced(struct reader *reader)
{
    reader->is_stale |= reader->n_replaced != reader->readers->n_replaced;
    reader->n_replaced = reader->readers->n_replaced;
}

static void start_queries(struct readers *readers)
{
    for (size_t i = 0; i < N_READERS && !list_empty(&readers->waiting); i++) {
        struct list *first = list_first(&readers->waiting);

        if (readers->reader[i].query)
            continue;
        list_remove(first);
        note_replaced(&readers->reader[i]);
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
    readers->path = strdup(path);
    if (!readers->path) {
        free(readers);
        return err_set(err, -ENOMEM, "out of memory");
    }
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
    free(readers->path);
    free(readers);
}

void readers_reopen(struct readers *readers)
{
    readers->n_replaced++;
}

bool readers_take_damage(struct readers *readers)
{
    bool is_damaged = readers->is_damaged;

    readers->is_damaged = false;
    return is_damaged;
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
