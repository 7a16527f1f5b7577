#include "client/c/session.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/c/points.h"

/* What a layer was offered in this attempt, dropped rows included. */
struct layer {
    char name[LAYER_NAME_MAX + 1];
    uint64_t seq;
    uint64_t rows;
};

struct session {
    enum session_state state;
    struct control open; /* as the program gave it; only the attempt changes */
    char host[TEXT_MAX + 1];
    int64_t pid;

    struct list urgent; /* hello, open, ping: before everything else, never kept */
    struct list queue;  /* batches and marks, in the order they were given */
    struct list kept;   /* marks that were sent and have no ack yet */

    struct layer *layers;
    size_t n_layers;
    int64_t last_seq; /* of the marks */
    size_t n_marks;   /* in queue and kept */
    size_t mark_bytes;

    uint64_t granted; /* of this connection */
    uint64_t sent_bytes;
    int64_t blocked_since; /* a batch waits for credit; -1: none does */
    int64_t heard_at;
    int64_t opened_at; /* when hello was said */
    int64_t pinged_at;
    int64_t ping_id;
    int64_t resend_at; /* -1: nothing to be sent again */
    int64_t retry_at;
    int64_t away_since; /* the run is not open at the daemon; -1: it is, or nobody has looked */
    bool was_open;
    bool is_absent;

    int ended;
    char complaint[ERR_TEXT_SIZE];
    struct richd_stats stats;
};

/* ---- the codes of a nack, one row each ----------------------------------------------------- */

enum action {
    ACTION_GONE,   /* the message is refused for good */
    ACTION_DROP,   /* the batch counts as dropped */
    ACTION_REOPEN, /* say hello and open again */
    ACTION_RETRY,  /* send it again later */
    ACTION_END,    /* send nothing more */
};

static const struct refusal {
    const char *code;
    int error;
    enum action action;
} refusals[] = {
    {"EPROTO", -EPROTO, ACTION_GONE}, {"EVERSION", -EPROTONOSUPPORT, ACTION_END},
    {"ENOTOPEN", 0, ACTION_REOPEN},   {"EFENCED", -ESTALE, ACTION_END},
    {"EHELD", -EBUSY, ACTION_END},    {"EEXIST", -EEXIST, ACTION_END},
    {"ENOENT", -ENOENT, ACTION_END},  {"ESHAPE", -EINVAL, ACTION_GONE},
    {"ENUMERIC", -EDOM, ACTION_GONE}, {"ECREDIT", -ENOBUFS, ACTION_DROP},
    {"EBUSY", -EBUSY, ACTION_RETRY},  {"EIO", -EIO, ACTION_RETRY},
    {NULL, -EPROTO, ACTION_GONE}, /* a code that came after this version */
};

static const struct refusal *find_refusal(const char *code)
{
    const struct refusal *r = refusals;

    while (r->code && strcmp(r->code, code) != 0)
        r++;
    return r;
}

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

static void discard(struct item *item, int rc)
{
    settle(item, rc);
    list_remove(&item->link);
    item_release(item);
}

static void discard_all(struct list *items, int rc)
{
    LIST_EACH_SAFE(link, items)
    {
        discard(LIST_ENTRY(link, struct item, link), rc);
    }
}

void session_free(struct session *s)
{
    if (!s)
        return;
    discard_all(&s->urgent, -ECANCELED);
    discard_all(&s->queue, -ECANCELED);
    discard_all(&s->kept, -ECANCELED);
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

static struct layer *find_layer(struct session *s, const char *name)
{
    struct layer *grown;

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
    *grown = (struct layer){0};
    snprintf(grown->name, sizeof grown->name, "%s", name);
    return grown;
}

static struct layer *offer(struct session *s, const char *name, uint32_t n_rows)
{
    struct layer *layer = find_layer(s, name);

    if (layer) {
        layer->seq++;
        layer->rows += n_rows;
        s->stats.batches++;
        s->stats.rows += n_rows;
    }
    return layer;
}

static void count_drop(struct session *s, uint32_t n_rows)
{
    s->stats.batches_dropped++;
    s->stats.rows_dropped += n_rows;
}

int session_submit(struct session *s, struct item *batch)
{
    struct layer *layer = NULL;
    int rc = s->ended;

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
    count_drop(s, n_rows);
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

/* What the daemon would refuse is refused here, while the program can still be told. */
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

/* ---- the connection ------------------------------------------------------------------------ */

/* Hello, open and pings are made anew each time: one lost for want of memory is made up for by the
 * silence that follows. */
static void queue_urgent(struct session *s, char *text)
{
    struct item *item = item_control(text, 0);

    if (item)
        list_append(&s->urgent, &item->link);
}

/* The kept marks were sent before anything that is queued now, so they go to its front, in order.
 */
static void queue_kept_again(struct session *s)
{
    struct list *front = s->queue.next;

    LIST_EACH_SAFE(link, &s->kept)
    {
        list_remove(link);
        list_append(front, link);
    }
    s->resend_at = -1;
}

static void say_hello(struct session *s, int64_t now_ms)
{
    struct control_hello hello = {CONTROL_PROTOCOL, CONTROL_PROTOCOL, "richd-c " RICHD_VERSION,
                                  s->host, s->pid};

    discard_all(&s->urgent, 0);
    queue_kept_again(s);
    queue_urgent(s, control_encode_hello(&hello));
    queue_urgent(s, control_encode_open(&s->open.open));
    s->state = SESSION_OPENING;
    s->granted = s->sent_bytes = 0;
    s->blocked_since = -1;
    s->opened_at = now_ms;
}

void session_connected(struct session *s, int64_t now_ms)
{
    if (s->state == SESSION_ENDED)
        return;
    say_hello(s, now_ms);
    s->heard_at = s->pinged_at = now_ms;
}

void session_disconnected(struct session *s, int64_t now_ms)
{
    (void)now_ms;
    if (s->state == SESSION_ENDED)
        return;
    discard_all(&s->urgent, 0);
    queue_kept_again(s);
    s->state = SESSION_AWAY;
}

/* The attempt that the daemon gave is ours from now on: to go on with it is no new run, whatever
 * `resume` asked for. */
static void on_welcome(struct session *s, const struct control_welcome *welcome)
{
    if (s->state != SESSION_OPENING)
        return;
    s->open.open.attempt = welcome->attempt;
    s->open.open.resume = RESUME_ALLOW;
    s->granted = (uint64_t)welcome->granted;
    s->state = SESSION_OPEN;
    s->away_since = -1;
    s->was_open = true;
    s->is_absent = false;
}

static void on_progress(struct session *s, const struct control_progress *progress)
{
    if ((uint64_t)progress->granted > s->granted) {
        s->granted = (uint64_t)progress->granted;
        s->blocked_since = -1;
    }
}

static struct item *find_mark(struct session *s, int64_t seq)
{
    struct list *lists[] = {&s->kept, &s->queue};

    for (size_t i = 0; i < 2; i++) {
        LIST_EACH(link, lists[i])
        {
            struct item *item = LIST_ENTRY(link, struct item, link);

            if (!item_is_batch(item) && item->seq == seq)
                return item;
        }
    }
    return NULL;
}

static void finish_mark(struct session *s, struct item *mark, int rc)
{
    s->n_marks--;
    s->mark_bytes -= mark->text_size;
    discard(mark, rc);
}

static void on_ack(struct session *s, const struct control_ack *ack)
{
    struct item *mark = find_mark(s, ack->seq);

    if (!mark)
        return;
    if (mark->ticket && mark->ticket->wants_points)
        mark->ticket->points = points_new(ack->points);
    finish_mark(s, mark, 0);
}

static void end(struct session *s, int rc)
{
    s->ended = rc;
    s->state = SESSION_ENDED;
    discard_all(&s->urgent, rc);
    discard_all(&s->kept, rc);
    LIST_EACH_SAFE(link, &s->queue)
    {
        struct item *item = LIST_ENTRY(link, struct item, link);

        if (item_is_batch(item))
            count_drop(s, item_rows(item));
        discard(item, rc);
    }
    s->n_marks = s->mark_bytes = 0;
}

/* A refusal that names nothing was of open: the connection is given up, and tried again later. */
static void retry(struct session *s, const struct control_nack *nack, int64_t now_ms)
{
    if (nack->layer && !nack->fatal) {
        s->stats.batches_dropped++;
    } else if (nack->seq > 0 && !nack->fatal) {
        s->resend_at = now_ms + SESSION_RETRY_MS;
    } else {
        session_disconnected(s, now_ms);
        s->retry_at = now_ms + SESSION_RETRY_MS;
    }
}

static void refuse(struct session *s, const struct control_nack *nack, int rc)
{
    struct item *mark = nack->seq > 0 ? find_mark(s, nack->seq) : NULL;

    if (mark)
        finish_mark(s, mark, rc);
    else if (nack->layer)
        s->stats.batches_refused++;
}

static void on_nack(struct session *s, const struct control_nack *nack, int64_t now_ms)
{
    const struct refusal *refusal = find_refusal(nack->code);
    enum action action = refusal->action;

    /* Those that arrive before the welcome answer what was sent before the latest hello. */
    if (action == ACTION_REOPEN) {
        if (s->state == SESSION_OPEN)
            say_hello(s, now_ms);
        return;
    }
    snprintf(s->complaint, sizeof s->complaint, "run %s: %s: %s", session_run(s), nack->code,
             nack->text ? nack->text : "no reason given");
    if (nack->fatal && action != ACTION_RETRY)
        action = ACTION_END;
    if (action == ACTION_END)
        end(s, refusal->error);
    else if (action == ACTION_RETRY)
        retry(s, nack, now_ms);
    else if (action == ACTION_DROP)
        s->stats.batches_dropped++;
    else
        refuse(s, nack, refusal->error);
}

bool session_receive(struct session *s, const struct control *message, int64_t now_ms)
{
    if (s->state == SESSION_ENDED || s->state == SESSION_AWAY)
        return false;
    s->heard_at = now_ms;
    switch (message->type) {
    case CONTROL_WELCOME:
        on_welcome(s, &message->welcome);
        return true;
    case CONTROL_PROGRESS:
        on_progress(s, &message->progress);
        return false;
    case CONTROL_ACK:
        on_ack(s, &message->ack);
        return true;
    case CONTROL_NACK:
        on_nack(s, &message->nack, now_ms);
        return true;
    default: /* hello and pong: being heard was all they are for */
        return false;
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

static struct item *first(const struct list *items)
{
    struct list *link = list_first(items);

    return link ? LIST_ENTRY(link, struct item, link) : NULL;
}

/* True when the batch may be sent. */
static bool has_credit(struct session *s, const struct item *batch, int64_t now_ms)
{
    if (s->sent_bytes + batch->bytes_total <= s->granted) {
        s->blocked_since = -1;
        return true;
    }
    if (s->blocked_since < 0)
        s->blocked_since = now_ms;
    return false;
}

struct item *session_next(struct session *s, int64_t now_ms)
{
    struct item *item = first(&s->urgent);

    /* While a mark waits to be sent again, what follows it would be refused. */
    if (item || s->state != SESSION_OPEN || s->resend_at >= 0)
        return item;
    for (item = first(&s->queue); item && item_is_batch(item); item = first(&s->queue)) {
        if (has_credit(s, item, now_ms))
            return item;
        if (now_ms - s->blocked_since < SESSION_CREDIT_MS)
            return NULL;
        count_drop(s, item_rows(item));
        discard(item, 0);
    }
    return item;
}

void session_sent(struct session *s, struct item *item)
{
    list_remove(&item->link);
    if (item->seq > 0) {
        list_append(&s->kept, &item->link);
        return;
    }
    if (item_is_batch(item)) {
        s->sent_bytes += item->bytes_total;
        s->stats.batches_sent++;
    }
    item_release(item);
}

void session_tick(struct session *s, int64_t now_ms)
{
    struct control_ping ping = {s->ping_id + 1};

    if (s->state == SESSION_AWAY || s->state == SESSION_ENDED)
        return;
    if (s->resend_at >= 0 && now_ms >= s->resend_at)
        queue_kept_again(s);
    if (now_ms - s->pinged_at >= SESSION_PING_MS && list_empty(&s->urgent)) {
        s->ping_id++;
        s->pinged_at = now_ms;
        queue_urgent(s, control_encode_ping(&ping));
    }
}

bool session_note_absence(struct session *s, int64_t now_ms)
{
    int64_t patience_ms = s->was_open ? SESSION_LOST_MS : SESSION_ABSENT_MS;

    if (s->state == SESSION_OPEN || s->state == SESSION_ENDED || s->is_absent)
        return false;
    if (s->away_since < 0)
        s->away_since = now_ms;
    s->is_absent = now_ms - s->away_since >= patience_ms;
    return s->is_absent;
}

bool session_is_stale(const struct session *s, int64_t now_ms)
{
    if (s->state == SESSION_AWAY || s->state == SESSION_ENDED)
        return false;
    return now_ms - s->heard_at >= SESSION_SILENCE_MS ||
           (s->state == SESSION_OPENING && now_ms - s->opened_at >= SESSION_OPEN_MS);
}

int64_t session_retry_at(const struct session *s)
{
    return s->retry_at;
}
