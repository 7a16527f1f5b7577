#include "daemon/share/ask.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "daemon/share/rows.h"

/* A question stays in the loop's list until it is told: the thread copies the ids, asks without the
 * lock, and writes the answers to those that still wait. */

struct ask {
    uv_timer_t timer; /* of the loop: the first question has waited long enough */
    uv_async_t async; /* some are answered */
    bool has_handles;
    int fd;

    pthread_mutex_t lock;  /* of what follows */
    struct list questions; /* in the order in which they came */
    bool is_away;
};

/* ---- the loop -------------------------------------------------------------------------------- */

/* Takes those that are answered, and with `all` the others. */
static void take(struct ask *ask, struct list *out, bool all)
{
    list_init(out);
    pthread_mutex_lock(&ask->lock);
    LIST_EACH_SAFE(at, &ask->questions)
    {
        struct share_question *question = LIST_ENTRY(at, struct share_question, link);

        if (!all && !question->is_answered)
            continue;
        list_remove(at);
        list_append(out, at);
    }
    ask->is_away |= all; /* silent: until it answers something */
    pthread_mutex_unlock(&ask->lock);
}

static void tell(struct ask *ask, bool all)
{
    struct list told;

    take(ask, &told, all);
    LIST_EACH_SAFE(at, &told)
    {
        struct share_question *question = LIST_ENTRY(at, struct share_question, link);

        list_remove(at);
        question->told(question);
    }
    if (list_empty(&ask->questions)) /* the loop alone adds to it, and removes */
        uv_timer_stop(&ask->timer);
}

static void on_answers(uv_async_t *async)
{
    tell(async->data, false);
}

static void on_timeout(uv_timer_t *timer)
{
    tell(timer->data, true);
}

static void ring(const struct ask *ask)
{
    uint64_t one = 1;

    if (write(ask->fd, &one, sizeof one) < 0)
        log_warn("the thread of the shared history was not told of a question");
}

bool ask_put(struct ask *ask, struct share_question *question)
{
    bool is_away;

    pthread_mutex_lock(&ask->lock);
    is_away = ask->is_away;
    question->newest = 0;
    question->is_answered = false;
    if (!is_away)
        list_append(&ask->questions, &question->link);
    pthread_mutex_unlock(&ask->lock);
    if (is_away)
        return false;
    if (!uv_is_active((uv_handle_t *)&ask->timer))
        uv_timer_start(&ask->timer, on_timeout, ASK_MS, 0);
    ring(ask);
    return true;
}

/* ---- the thread ------------------------------------------------------------------------------ */

int ask_fd(const struct ask *ask)
{
    return ask->fd;
}

static int put_ids(struct ask *ask, struct rows *ids, struct err *err)
{
    pthread_mutex_lock(&ask->lock);
    LIST_EACH(at, &ask->questions)
    {
        const struct share_question *question = LIST_ENTRY(at, struct share_question, link);

        if (question->is_answered)
            continue;
        rows_put_bytes(ids, 0, question->run, strlen(question->run));
        rows_keep(ids);
    }
    pthread_mutex_unlock(&ask->lock);
    return ids->has_failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* The row of a run among the answers, which are in no order and few. */
static void take_answer(struct share_question *question, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (strcmp(remote_cell(rows, row, 0), question->run) != 0)
            continue;
        question->newest = (uint32_t)remote_integer(rows, row, 1);
        question->is_answered = true;
    }
}

static void take_answers(struct ask *ask, const PGresult *rows)
{
    pthread_mutex_lock(&ask->lock);
    LIST_EACH(at, &ask->questions)
    take_answer(LIST_ENTRY(at, struct share_question, link), rows);
    ask->is_away = false;
    pthread_mutex_unlock(&ask->lock);
    uv_async_send(&ask->async);
}

int ask_answer(struct ask *ask, struct remote *remote, struct err *err)
{
    static const enum rows_type text[] = {ROWS_TEXT};
    struct remote_params params = {0};
    PGresult *rows = NULL;
    struct rows ids;
    uint64_t n;
    int rc, size;

    if (read(ask->fd, &n, sizeof n) < 0) /* none */
        return 0;
    rows_init(&ids, text, 1);
    rc = put_ids(ask, &ids, err);
    if (rc == 0 && ids.n > 0) {
        remote_binary(&params, rows_array(&ids, 0, &size), 0);
        params.length[0] = size;
        rc = remote_query(remote,
                          "SELECT u.run, coalesce((SELECT max(attempt) FROM richd.attempt a"
                          " WHERE a.run = u.run), 0) FROM unnest($1::text[]) u(run)",
                          &params, &rows, err);
    }
    if (rc == 0 && rows)
        take_answers(ask, rows);
    if (rc < 0) /* again on the next connection, which may be soon enough */
        ring(ask);
    PQclear(rows);
    rows_release(&ids);
    return rc;
}

void ask_note_away(struct ask *ask, bool is_away)
{
    pthread_mutex_lock(&ask->lock);
    ask->is_away = is_away;
    LIST_EACH(at, &ask->questions)
    LIST_ENTRY(at, struct share_question, link)->is_answered |= is_away;
    pthread_mutex_unlock(&ask->lock);
    if (is_away)
        uv_async_send(&ask->async);
}

/* ---- opening and closing --------------------------------------------------------------------- */

int ask_open(uv_loop_t *loop, struct ask **out, struct err *err)
{
    struct ask *ask = calloc(1, sizeof *ask);

    *out = ask;
    if (!ask)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&ask->lock, NULL);
    list_init(&ask->questions);
    ask->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ask->fd < 0 || uv_async_init(loop, &ask->async, on_answers) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    uv_timer_init(loop, &ask->timer);
    ask->async.data = ask->timer.data = ask;
    ask->has_handles = true;
    return 0;
}

void ask_stop(struct ask *ask)
{
    if (!ask || !ask->has_handles)
        return;
    uv_close((uv_handle_t *)&ask->timer, NULL);
    uv_close((uv_handle_t *)&ask->async, NULL);
    ask->has_handles = false;
}

void ask_free(struct ask *ask)
{
    if (!ask)
        return;
    if (ask->fd >= 0)
        close(ask->fd);
    pthread_mutex_destroy(&ask->lock);
    free(ask);
}
