#include "client/c/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/c/session_parts.h"

/* ---- life ---------------------------------------------------------------------------------- */

struct session *session_new(const char *open, const char *host, int64_t pid, struct err *err)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session) {
        err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    list_init(&session->urgent);
    list_init(&session->queue);
    list_init(&session->kept);
    session->blocked_since = session->resend_at = session->away_since = -1;
    session->pid = pid;
    snprintf(session->host, sizeof session->host, "%s", host ? host : "");
    if (control_parse(open, strlen(open), &session->open, err) == 0 &&
        session->open.type == CONTROL_OPEN) {
        session->open.open.host = *session->host ? session->host : NULL;
        return session;
    }
    session_free(session);
    return NULL;
}

static void settle(struct item *item, int rc)
{
    if (item->ticket) {
        item->ticket->settled = true;
        item->ticket->rc = rc;
        item->ticket->item = NULL;
        item->ticket = NULL;
    }
}

void session_discard(struct item *item, int rc)
{
    settle(item, rc);
    list_remove(&item->link);
    item_release(item);
}

void session_discard_all(struct list *items, int rc)
{
    LIST_EACH_SAFE(link, items)
    {
        session_discard(LIST_ENTRY(link, struct item, link), rc);
    }
}

void session_free(struct session *session)
{
    if (!session)
        return;
    session_discard_all(&session->urgent, -ECANCELED);
    session_discard_all(&session->queue, -ECANCELED);
    session_discard_all(&session->kept, -ECANCELED);
    control_release(&session->open);
    free(session->layers);
    free(session);
}

const char *session_run(const struct session *session)
{
    return session->open.open.run;
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

int session_ended(const struct session *session)
{
    return session->ended;
}

bool session_is_absent(const struct session *session)
{
    return session->is_absent;
}

const char *session_complaint(const struct session *session)
{
    return session->complaint;
}

void session_complain(struct session *session, const char *text)
{
    snprintf(session->complaint, sizeof session->complaint, "%s", text);
}

/* ---- batches ------------------------------------------------------------------------------- */

static struct offered_layer *find_layer(struct session *session, const char *name)
{
    struct offered_layer *grown;

    for (size_t i = 0; i < session->n_layers; i++) {
        if (strcmp(session->layers[i].name, name) == 0)
            return &session->layers[i];
    }
    if (session->n_layers == RUN_LAYERS_MAX)
        return NULL;
    grown = realloc(session->layers, (session->n_layers + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    session->layers = grown;
    grown += session->n_layers++;
    *grown = (struct offered_layer){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

static struct offered_layer *offer(struct session *session, const char *name, uint32_t n_rows)
{
    struct offered_layer *layer = find_layer(session, name);

    if (layer) {
        layer->seq++;
        layer->rows += n_rows;
        session->stats.batches++;
        session->stats.rows += n_rows;
    }
    return layer;
}

void session_count_drop(struct session *session, uint32_t n_rows)
{
    session->stats.batches_dropped++;
    session->stats.rows_dropped += n_rows;
}

int session_submit(struct session *session, struct item *batch)
{
    struct offered_layer *layer = NULL;
    int rc = session->ended;

    assert(item_is_batch(batch) && batch->header.seq <= 1);
    if (rc == 0)
        layer = offer(session, batch->layer, item_rows(batch));
    if (!layer) {
        item_release(batch);
        return rc < 0 ? rc : -ENOSPC;
    }
    batch->header.seq = layer->seq;
    batch->header.rows_before = layer->rows - item_rows(batch);
    list_append(&session->queue, &batch->link);
    return 0;
}

int session_drop(struct session *session, const char *layer, uint32_t n_rows)
{
    if (session->ended < 0)
        return session->ended;
    if (!offer(session, layer, n_rows))
        return -ENOSPC;
    session_count_drop(session, n_rows);
    return 0;
}

/* ---- marks --------------------------------------------------------------------------------- */

static int check_room(const struct session *session, struct err *err)
{
    if (session->ended < 0)
        return err_set(err, session->ended, "%s", session->complaint);
    if (session->n_marks >= SESSION_MARKS_MAX || session->mark_bytes >= SESSION_MARK_BYTES_MAX)
        return err_set(err, -EAGAIN, "run %s: %zu marks (%zu bytes) wait for the daemon",
                       session_run(session), session->n_marks, session->mark_bytes);
    return 0;
}

/* What the daemon would refuse is refused here, while the program can still get the error. */
static int check_text(const char *text, struct err *err)
{
    struct control parsed;
    int rc = control_parse(text, strlen(text), &parsed, err);

    if (rc == 0)
        control_release(&parsed);
    return rc;
}

/* Takes `text`, which may be NULL for want of memory. */
static int queue_mark(struct session *session, char *text, struct ticket *ticket, struct err *err)
{
    int rc = text ? check_text(text, err) : err_set(err, -ENOMEM, "out of memory");
    struct item *item;

    if (rc < 0) {
        cJSON_free(text);
        return rc;
    }
    item = item_control(text, session->last_seq + 1);
    if (!item)
        return err_set(err, -ENOMEM, "out of memory");
    assert(!ticket || !ticket->settled);
    session->last_seq++;
    session->n_marks++;
    session->mark_bytes += item->text_size;
    item->ticket = ticket;
    if (ticket)
        ticket->item = item;
    list_append(&session->queue, &item->link);
    return 0;
}

/* As a JSON object, or NULL when memory ran out. */
static cJSON *metrics_object(const struct richd_scalar *metrics, size_t n_metrics)
{
    cJSON *object = cJSON_CreateObject();

    for (size_t i = 0; object && i < n_metrics; i++) {
        if (!json_add_double(object, metrics[i].name, metrics[i].value)) {
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

static int queue_checkpoint(struct session *session, struct control_checkpoint *checkpoint,
                            struct ticket *ticket, struct err *err)
{
    checkpoint->layers = calloc(session->n_layers + 1, sizeof *checkpoint->layers);
    if (!checkpoint->layers)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < session->n_layers; i++) {
        checkpoint->layers[i] = (struct control_layer){.layer = session->layers[i].name,
                                                       .seq = (int64_t)session->layers[i].seq,
                                                       .rows = (int64_t)session->layers[i].rows};
    }
    return queue_mark(session, control_encode_checkpoint(checkpoint), ticket, err);
}

int session_checkpoint(struct session *session, int64_t step, double time,
                       const struct richd_extras *extras, struct ticket *ticket, struct err *err)
{
    struct control_checkpoint checkpoint = {.seq = session->last_seq + 1,
                                            .step = step,
                                            .time = time,
                                            .spectrum = extras->spectrum != 0,
                                            .n_layers = session->n_layers};
    cJSON *object = NULL;
    int rc = check_room(session, err);

    if (rc < 0)
        return rc;
    if (extras->n_metrics > 0) {
        object = metrics_object(extras->metrics, extras->n_metrics);
        if (!object)
            return err_set(err, -ENOMEM, "out of memory");
    }
    checkpoint.metrics = object;
    rc = queue_checkpoint(session, &checkpoint, ticket, err);
    free(checkpoint.layers);
    cJSON_Delete(object);
    return rc;
}

int session_log(struct session *session, int64_t step, double time,
                const struct richd_scalar *scalars, size_t n_scalars, struct err *err)
{
    struct control_log log = {
        .seq = session->last_seq + 1, .step = step, .time = time, .n_scalars = n_scalars};
    int rc = check_room(session, err);

    if (rc < 0)
        return rc;
    log.scalars = calloc(n_scalars + 1, sizeof *log.scalars);
    if (!log.scalars)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n_scalars; i++)
        log.scalars[i] = (struct control_scalar){scalars[i].name, scalars[i].value};
    rc = queue_mark(session, control_encode_log(&log), NULL, err);
    free(log.scalars);
    return rc;
}

int session_config(struct session *session, const cJSON *values, struct err *err)
{
    struct control_constants config = {session->last_seq + 1, values};
    int rc = check_room(session, err);

    return rc < 0 ? rc : queue_mark(session, control_encode_config(&config), NULL, err);
}

int session_summary(struct session *session, const cJSON *values, struct err *err)
{
    struct control_constants summary = {session->last_seq + 1, values};
    int rc = check_room(session, err);

    return rc < 0 ? rc : queue_mark(session, control_encode_summary(&summary), NULL, err);
}

int session_close(struct session *session, enum control_status status, struct ticket *ticket,
                  struct err *err)
{
    struct control_close close = {session->last_seq + 1, status};

    if (session->ended < 0)
        return err_set(err, session->ended, "%s", session->complaint);
    return queue_mark(session, control_encode_close(&close), ticket, err);
}

void session_abandon(struct ticket *ticket)
{
    assert(!ticket->item || ticket->item->ticket == ticket);
    if (ticket->item)
        ticket->item->ticket = NULL;
    ticket->item = NULL;
}

void session_stats(const struct session *session, struct richd_stats *out)
{
    *out = session->stats;
    out->marks_waiting = session->n_marks;
    out->connected = session->state == SESSION_OPEN;
}
