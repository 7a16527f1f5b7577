/* The daemon's side of a session: connections, what comes in, what may go out, and the passing of
 * time. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/c/points.h"
#include "client/c/session_parts.h"

/* ---- the codes of a nack, one row each ----------------------------------------------------- */

enum reaction {
    REACTION_GONE,   /* the message is refused for good */
    REACTION_DROP,   /* the batch counts as dropped */
    REACTION_REOPEN, /* say hello and open again */
    REACTION_RETRY,  /* send it again later */
    REACTION_END,    /* send nothing more */
};

static const struct refusal {
    const char *code;
    int error;
    enum reaction reaction;
} refusals[] = {
    {"EPROTO", -EPROTO, REACTION_GONE}, {"EVERSION", -EPROTONOSUPPORT, REACTION_END},
    {"ENOTOPEN", 0, REACTION_REOPEN},   {"EFENCED", -ESTALE, REACTION_END},
    {"EHELD", -EBUSY, REACTION_END},    {"EEXIST", -EEXIST, REACTION_END},
    {"ENOENT", -ENOENT, REACTION_END},  {"ESHAPE", -EINVAL, REACTION_GONE},
    {"ENUMERIC", -EDOM, REACTION_GONE}, {"ECREDIT", -ENOBUFS, REACTION_DROP},
    {"EBUSY", -EBUSY, REACTION_RETRY},  {"EIO", -EIO, REACTION_RETRY},
    {NULL, -EPROTO, REACTION_GONE}, /* a code that came after this version */
};

static const struct refusal *find_refusal(const char *code)
{
    const struct refusal *r = refusals;

    while (r->code && strcmp(r->code, code) != 0)
        r++;
    return r;
}

/* ---- states -------------------------------------------------------------------------------- */

/* The drawing of session.h. Two moves lead from a state to itself: AWAY, for each connection that
 * was not made, and OPENING, when the daemon has forgotten the run and gets another hello. */
static const bool moves[SESSION_STATES][SESSION_STATES] = {
    [SESSION_AWAY] = {[SESSION_AWAY] = true, [SESSION_OPENING] = true},
    [SESSION_OPENING] = {[SESSION_AWAY] = true,
                         [SESSION_OPENING] = true,
                         [SESSION_OPEN] = true,
                         [SESSION_ENDED] = true},
    [SESSION_OPEN] = {[SESSION_AWAY] = true, [SESSION_OPENING] = true, [SESSION_ENDED] = true},
};

static void move(struct session *s, enum session_state to)
{
    assert(moves[s->state][to]);
    s->state = to;
}

static bool is_connected(const struct session *s)
{
    return s->state == SESSION_OPENING || s->state == SESSION_OPEN;
}

/* ---- the connection ------------------------------------------------------------------------ */

/* Hello, open and pings are made each time. Without memory the message is not sent; silence
 * follows, and then a new connection is made. */
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

    session_discard_all(&s->urgent, 0);
    queue_kept_again(s);
    queue_urgent(s, control_encode_hello(&hello));
    queue_urgent(s, control_encode_open(&s->open.open));
    move(s, SESSION_OPENING);
    s->granted = s->sent_bytes = 0;
    s->blocked_since = -1;
    s->hello_at = now_ms;
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
    session_discard_all(&s->urgent, 0);
    queue_kept_again(s);
    move(s, SESSION_AWAY);
}

/* The attempt that the daemon gave is ours from now on. Going on with it is no new run, whatever
 * `resume` asked for. */
static void on_welcome(struct session *s, const struct control_welcome *welcome)
{
    if (s->state != SESSION_OPENING)
        return;
    s->open.open.attempt = welcome->attempt;
    s->open.open.resume = RESUME_ALLOW;
    s->granted = (uint64_t)welcome->granted;
    move(s, SESSION_OPEN);
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
    assert(s->n_marks > 0 && s->mark_bytes >= mark->text_size);
    s->n_marks--;
    s->mark_bytes -= mark->text_size;
    session_discard(mark, rc);
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
    assert(rc < 0);
    s->ended = rc;
    move(s, SESSION_ENDED);
    session_discard_all(&s->urgent, rc);
    session_discard_all(&s->kept, rc);
    LIST_EACH_SAFE(link, &s->queue)
    {
        struct item *item = LIST_ENTRY(link, struct item, link);

        if (item_is_batch(item))
            session_count_drop(s, item_rows(item));
        session_discard(item, rc);
    }
    s->n_marks = s->mark_bytes = 0;
}

/* A refusal that names no message is the answer to open: the connection is given up, and made again
 * later. */
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
    enum reaction reaction = refusal->reaction;

    /* A nack that arrives before the welcome answers what was sent before the latest hello. */
    if (reaction == REACTION_REOPEN) {
        if (s->state == SESSION_OPEN)
            say_hello(s, now_ms);
        return;
    }
    snprintf(s->complaint, sizeof s->complaint, "run %s: %s: %s", session_run(s), nack->code,
             nack->text ? nack->text : "no reason given");
    if (nack->fatal && reaction != REACTION_RETRY)
        reaction = REACTION_END;
    if (reaction == REACTION_END)
        end(s, refusal->error);
    else if (reaction == REACTION_RETRY)
        retry(s, nack, now_ms);
    else if (reaction == REACTION_DROP)
        s->stats.batches_dropped++;
    else
        refuse(s, nack, refusal->error);
}

bool session_receive(struct session *s, const struct control *message, int64_t now_ms)
{
    if (!is_connected(s))
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
    default: /* hello and pong: they only show that the daemon is there */
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

    /* While a mark waits to be sent again, the daemon would refuse what follows it. */
    if (item || s->state != SESSION_OPEN || s->resend_at >= 0)
        return item;
    for (item = first(&s->queue); item && item_is_batch(item); item = first(&s->queue)) {
        if (has_credit(s, item, now_ms))
            return item;
        if (now_ms - s->blocked_since < SESSION_CREDIT_MS)
            return NULL;
        session_count_drop(s, item_rows(item));
        session_discard(item, 0);
    }
    return item;
}

void session_sent(struct session *s, struct item *item)
{
    assert(!list_empty(&item->link) && is_connected(s));
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

    if (!is_connected(s))
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
    if (!is_connected(s))
        return false;
    return now_ms - s->heard_at >= SESSION_SILENCE_MS ||
           (s->state == SESSION_OPENING && now_ms - s->hello_at >= SESSION_OPEN_MS);
}

int64_t session_retry_at(const struct session *s)
{
    return s->retry_at;
}
