#include "client/c/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/c/session_parts.h"

/* ---- life ---------------------------------------------------------------------------------- */

struct session *session_new(const char *open, const char *host, int64_t pid, struct err *e)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s) {
        err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    list_init(&s->urgent);
    list_init(&s->queue);
    list_init(&s->kept);
    s->blocked_since = s->resend_at = s->away_since = -1;
    s->pid = pid;
    snprintf(s->host, sizeof s->host, "%s", host ? host : "");
    if (control_parse(open, strlen(open), &s->open, e) == 0 && s->open.type == CONTROL_OPEN)
        return s;
    session_free(s);
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

void session_free(struct session *s)
{
    if (!s)
        return;
    session_discard_all(&s->urgent, -ECANCELED);
    session_discard_all(&s->queue, -ECANCELED);
    session_discard_all(&s->kept, -ECANCELED);
    control_release(&s->open);
    free(s->layers);
    free(s);
}

const char *session_run(const struct session *s)
{
    return s->open.open.run;
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

int session_ended(const struct session *s)
{
    return s->ended;
}

bool session_is_absent(const struct session *s)
{
    return s->is_absent;
}

const char *session_complaint(const struct session *s)
{
    return s->complaint;
}

void session_complain(struct session *s, const char *text)
{
    snprintf(s->complaint, sizeof s->complaint, "%s", text);
}

/* ---- batches ------------------------------------------------------------------------------- */

static struct offered_layer *find_layer(struct session *s, const char *name)
{
    struct offered_layer *grown;

    for (size_t i = 0; i < s->n_layers; i++) {
        if (strcmp(s->layers[i].name, name) == 0)
            return &s->layers[i];
    }
    if (s->n_layers == RUN_LAYERS_MAX)
        return NULL;
    grown = realloc(s->layers, (s->n_layers + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    s->layers = grown;
    grown += s->n_layers++;
    *grown = (struct offered_layer){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

static struct offered_layer *offer(struct session *s, const char *name, uint32_t n_rows)
{
    struct offered_layer *layer = find_layer(s, name);

    if (layer) {
        layer->seq++;
        layer->rows += n_rows;
        s->stats.batches++;
        s->stats.rows += n_rows;
    }
    return layer;
}

void session_count_drop(struct session *s, uint32_t n_rows)
{
    s->stats.batches_dropped++;
    s->stats.rows_dropped += n_rows;
}

int session_submit(struct session *s, struct item *batch)
{
    struct offered_layer *layer = NULL;
    int rc = s->ended;

    assert(item_is_batch(batch) && batch->header.seq <= 1);
    if (rc == 0)
        layer = offer(s, batch->layer, item_rows(batch));
    if (!layer) {
        item_release(batch);
        return rc < 0 ? rc : -ENOSPC;
    }
    batch->header.seq = layer->seq;
    batch->header.rows_before = layer->rows - item_rows(batch);
    list_append(&s->queue, &batch->link);
    return 0;
}

int session_drop(struct session *s, const char *layer, uint32_t n_rows)
{
    if (s->ended < 0)
        return s->ended;
    if (!offer(s, layer, n_rows))
        return -ENOSPC;
    session_count_drop(s, n_rows);
    return 0;
}

/* ---- marks --------------------------------------------------------------------------------- */

static int check_room(const struct session *s, struct err *e)
{
    if (s->ended < 0)
        return err_set(e, s->ended, "%s", s->complaint);
    if (s->n_marks >= SESSION_MARKS_MAX || s->mark_bytes >= SESSION_MARK_BYTES_MAX)
        return err_set(e, -EAGAIN, "run %s: %zu marks (%zu bytes) wait for the daemon",
                       session_run(s), s->n_marks, s->mark_bytes);
    return 0;
}

/* What the daemon would refuse is refused here, while the program can still get the error. */
static int check_text(const char *text, struct err *e)
{
    struct control parsed;
    int rc = control_parse(text, strlen(text), &parsed, e);

    if (rc == 0)
        control_release(&parsed);
    return rc;
}

/* Takes `text`, which may be NULL for want of memory. */
static int queue_mark(struct session *s, char *text, struct ticket *ticket, struct err *e)
{
    int rc = text ? check_text(text, e) : err_set(e, -ENOMEM, "out of memory");
    struct item *item;

    if (rc < 0) {
        cJSON_free(text);
        return rc;
    }
    item = item_control(text, s->last_seq + 1);
    if (!item)
        return err_set(e, -ENOMEM, "out of memory");
    assert(!ticket || !ticket->settled);
    s->last_seq++;
    s->n_marks++;
    s->mark_bytes += item->text_size;
    item->ticket = ticket;
    if (ticket)
        ticket->item = item;
    list_append(&s->queue, &item->link);
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

static int queue_checkpoint(struct session *s, struct control_checkpoint *checkpoint,
                            struct ticket *ticket, struct err *e)
{
    checkpoint->layers = calloc(s->n_layers + 1, sizeof *checkpoint->layers);
    if (!checkpoint->layers)
        return err_set(e, -ENOMEM, "out of memory");
    for (size_t i = 0; i < s->n_layers; i++) {
        checkpoint->layers[i] = (struct control_layer){s->layers[i].name, (int64_t)s->layers[i].seq,
                                                       (int64_t)s->layers[i].rows};
    }
    return queue_mark(s, control_encode_checkpoint(checkpoint), ticket, e);
}

int session_checkpoint(struct session *s, int64_t step, double time,
                       const struct richd_extras *extras, struct ticket *ticket, struct err *e)
{
    struct control_checkpoint checkpoint = {.seq = s->last_seq + 1,
                                            .step = step,
                                            .time = time,
                                            .spectrum = extras->spectrum != 0,
                                            .n_layers = s->n_layers};
    cJSON *object = NULL;
    int rc = check_room(s, e);

    if (rc < 0)
        return rc;
    if (extras->n_metrics > 0) {
        object = metrics_object(extras->metrics, extras->n_metrics);
        if (!object)
            return err_set(e, -ENOMEM, "out of memory");
    }
    checkpoint.metrics = object;
    rc = queue_checkpoint(s, &checkpoint, ticket, e);
    free(checkpoint.layers);
    cJSON_Delete(object);
    return rc;
}

int session_log(struct session *s, int64_t step, double time, const struct richd_scalar *scalars,
                size_t n_scalars, struct err *e)
{
    struct control_log log = {s->last_seq + 1, step, time, NULL, n_scalars};
    int rc = check_room(s, e);

    if (rc < 0)
        return rc;
    log.scalars = calloc(n_scalars + 1, sizeof *log.scalars);
    if (!log.scalars)
        return err_set(e, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n_scalars; i++)
        log.scalars[i] = (struct control_scalar){scalars[i].name, scalars[i].value};
    rc = queue_mark(s, control_encode_log(&log), NULL, e);
    free(log.scalars);
    return rc;
}

int session_close(struct session *s, enum control_status status, struct ticket *ticket,
                  struct err *e)
{
    struct control_close close = {s->last_seq + 1, status};

    if (s->ended < 0)
        return err_set(e, s->ended, "%s", s->complaint);
    return queue_mark(s, control_encode_close(&close), ticket, e);
}

void session_abandon(struct ticket *ticket)
{
    assert(!ticket->item || ticket->item->ticket == ticket);
    if (ticket->item)
        ticket->item->ticket = NULL;
    ticket->item = NULL;
}

void session_stats(const struct session *s, struct richd_stats *out)
{
    *out = s->stats;
    out->marks_waiting = s->n_marks;
    out->connected = s->state == SESSION_OPEN;
}
