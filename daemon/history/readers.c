#include "daemon/history/readers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One reader may be busy with a long history while another answers a short question. */
#define N_READERS 2
/* A thousand subscribers that catch up would keep a reader with a short question waiting for half a
 * minute; so one of them has its turn after three questions. */
#define PATIENT_TURNS 4

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
    struct list waiting, patient;
    unsigned n_turns;
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
static void drop_unwanted(struct list *waiting)
{
    LIST_EACH_SAFE(at, waiting)
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
    drop_unwanted(&reader->readers->waiting);
    drop_unwanted(&reader->readers->patient);
    start_queries(reader->readers);
    query->done(query);
}

static void note_replaced(struct reader *reader)
{
    reader->is_stale |= reader->n_replaced != reader->readers->n_replaced;
    reader->n_replaced = reader->readers->n_replaced;
}

/* Takes the query whose turn it is; NULL when none waits. */
static struct query *take_next(struct readers *readers)
{
    struct list *question = list_first(&readers->waiting), *patient = list_first(&readers->patient);
    struct list *next = question ? question : patient;

    if (question && patient && ++readers->n_turns % PATIENT_TURNS == 0)
        next = patient;
    if (!next)
        return NULL;
    list_remove(next);
    return LIST_ENTRY(next, struct query, link);
}

static void start_queries(struct readers *readers)
{
    for (size_t i = 0; i < N_READERS; i++) {
        struct reader *reader = &readers->reader[i];

        if (reader->query)
            continue;
        reader->query = take_next(readers);
        if (!reader->query)
            return;
        note_replaced(reader);
        history_cancel(reader->history, false);
        uv_queue_work(readers->loop, &reader->request, on_query, on_query_done);
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
    list_init(&readers->patient);
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
    list_append(query->is_patient ? &readers->patient : &readers->waiting, &query->link);
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
