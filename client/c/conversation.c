/* The daemon's side of a session: connections, what comes in, what may go out, and the passing of
 * time. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/c/points.h"
#include "client/c/session_parts.h"
#include "proto/base/nack.h"

/* ---- the codes of a nack, one row each ----------------------------------------------------- */

enum reaction {
    REACTION_GONE,   /* the message is refused for good */
    REACTION_DROP,   /* the batch counts as dropped */
    REACTION_REOPEN, /* say hello and open again */
    REACTION_RETRY,  /* send it again later */
    REACTION_END,    /* send nothing more */
};

static const struct refusal {
    int error;
    enum reaction reaction;
} refusals[NACK_COUNT + 1] = {
    [NACK_EPROTO] = {-EPROTO, REACTION_GONE},   [NACK_ENOTOPEN] = {0, REACTION_REOPEN},
    [NACK_EFENCED] = {-ESTALE, REACTION_END},   [NACK_EHELD] = {-EBUSY, REACTION_END},
    [NACK_EEXIST] = {-EEXIST, REACTION_END},    [NACK_ENOENT] = {-ENOENT, REACTION_END},
    [NACK_ESHAPE] = {-EINVAL, REACTION_GONE},   [NACK_ENUMERIC] = {-EDOM, REACTION_GONE},
    [NACK_ECREDIT] = {-ENOBUFS, REACTION_DROP}, [NACK_EBUSY] = {-EBUSY, REACTION_RETRY},
    [NACK_EIO] = {-EIO, REACTION_RETRY},        [NACK_EVERSION] = {-EPROTONOSUPPORT, REACTION_END},
    [NACK_EGONE] = {-EIDRM, REACTION_END},      [NACK_EACCES] = {-EACCES, REACTION_END},
    [NACK_COUNT] = {-EPROTO, REACTION_GONE}, /* a code that came after this version */
};

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

static void move(struct session *session, enum session_state to)
{
    assert(moves[session->state][to]);
    session->state = to;
}

static bool is_connected(const struct session *session)
{
    return session->state == SESSION_OPENING || session->state == SESSION_OPEN;
}

/* ---- the connection ------------------------------------------------------------------------ */

/* Hello, open and pings are made each time. Without memory the message is not sent; silence
 * follows, and then a new connection is made. */
static void queue_urgent(struct session *session, char *text)
{
    struct item *item = item_control(text, 0);

    if (item)
        list_append(&session->urgent, &item->link);
}

/* The kept marks were sent before anything that is queued now, so they go to its front, in order.
 */
static void queue_kept_again(struct session *session)
{
    struct list *front = session->queue.next;

    LIST_EACH_SAFE(link, &session->kept)
    {
        list_remove(link);
        list_append(front, link);
    }
    session->resend_at = -1;
}

static void say_hello(struct session *session, int64_t now_ms)
{
    struct control_hello hello = {CONTROL_PROTOCOL, CONTROL_PROTOCOL, "richd-c " RICHD_VERSION,
                                  session->host, session->pid};

    session_discard_all(&session->urgent, 0);
    queue_kept_again(session);
    queue_urgent(session, control_encode_hello(&hello));
    queue_urgent(session, control_encode_open(&session->open.open));
    move(session, SESSION_OPENING);
    session->granted = session->sent_bytes = 0;
    session->blocked_since = -1;
    session->hello_at = now_ms;
}

void session_connected(struct session *session, int64_t now_ms)
{
    if (session->state == SESSION_ENDED)
        return;
    say_hello(session, now_ms);
    session->heard_at = session->pinged_at = now_ms;
}

void session_disconnected(struct session *session, int64_t now_ms)
{
    (void)now_ms;
    if (session->state == SESSION_ENDED)
        return;
    session_discard_all(&session->urgent, 0);
    queue_kept_again(session);
    move(session, SESSION_AWAY);
}

/* The attempt that the daemon gave is ours from now on. Going on with it is no new run, whatever
 * `resume` asked for. */
static void on_welcome(struct session *session, const struct control_welcome *welcome)
{
    if (session->state != SESSION_OPENING)
        return;
    session->open.open.attempt = welcome->attempt;
    session->open.open.resume = RESUME_ALLOW;
    session->granted = (uint64_t)welcome->granted;
    move(session, SESSION_OPEN);
    session->away_since = -1;
    session->was_open = true;
    session->is_absent = false;
}

static void on_progress(struct session *session, const struct control_progress *progress)
{
    if ((uint64_t)progress->granted > session->granted) {
        session->granted = (uint64_t)progress->granted;
        session->blocked_since = -1;
    }
}

static struct item *find_mark(struct session *session, int64_t seq)
{
    struct list *lists[] = {&session->kept, &session->queue};

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

static void finish_mark(struct session *session, struct item *mark, int rc)
{
    assert(session->n_marks > 0 && session->mark_bytes >= mark->text_size);
    session->n_marks--;
    session->mark_bytes -= mark->text_size;
    session_discard(mark, rc);
}

static void on_ack(struct session *session, const struct control_ack *ack)
{
    struct item *mark = find_mark(session, ack->seq);

    if (!mark)
        return;
    if (mark->ticket && mark->ticket->wants_points)
        mark->ticket->points = points_new(ack->points);
    finish_mark(session, mark, 0);
}

static void end(struct session *session, int rc)
{
    assert(rc < 0);
    session->ended = rc;
    move(session, SESSION_ENDED);
    session_discard_all(&session->urgent, rc);
    session_discard_all(&session->kept, rc);
    LIST_EACH_SAFE(link, &session->queue)
    {
        struct item *item = LIST_ENTRY(link, struct item, link);

        if (item_is_batch(item))
            session_count_drop(session, item_rows(item));
        session_discard(item, rc);
    }
    session->n_marks = session->mark_bytes = 0;
}

/* A refusal that names no message is the answer to open: the connection is given up, and made again
 * later. */
static void retry(struct session *session, const struct control_nack *nack, int64_t now_ms)
{
    if (nack->layer && !nack->fatal) {
        session->stats.batches_dropped++;
    } else if (nack->seq > 0 && !nack->fatal) {
        session->resend_at = now_ms + SESSION_RETRY_MS;
    } else {
        session_disconnected(session, now_ms);
        session->retry_at = now_ms + SESSION_RETRY_MS;
    }
}

static void refuse(struct session *session, const struct control_nack *nack, int rc)
{
    struct item *mark = nack->seq > 0 ? find_mark(session, nack->seq) : NULL;

    if (mark)
        finish_mark(session, mark, rc);
    else if (nack->layer)
        session->stats.batches_refused++;
}

static void on_nack(struct session *session, const struct control_nack *nack, int64_t now_ms)
{
    const struct refusal *refusal = &refusals[nack_code_find(nack->code)];
    enum reaction reaction = refusal->reaction;

    /* A nack that arrives before the welcome answers what was sent before the latest hello. */
    if (reaction == REACTION_REOPEN) {
        if (session->state == SESSION_OPEN)
            say_hello(session, now_ms);
        return;
    }
    snprintf(session->complaint, sizeof session->complaint, "run %s: %s: %s", session_run(session),
             nack->code, nack->text ? nack->text : "no reason given");
    if (nack->fatal && reaction != REACTION_RETRY)
        reaction = REACTION_END;
    if (reaction == REACTION_END)
        end(session, refusal->error);
    else if (reaction == REACTION_RETRY)
        retry(session, nack, now_ms);
    else if (reaction == REACTION_DROP)
        session->stats.batches_dropped++;
    else
        refuse(session, nack, refusal->error);
}

bool session_receive(struct session *session, const struct control *message, int64_t now_ms)
{
    if (!is_connected(session))
        return false;
    session->heard_at = now_ms;
    switch (message->type) {
    case CONTROL_WELCOME:
        on_welcome(session, &message->welcome);
        return true;
    case CONTROL_PROGRESS:
        on_progress(session, &message->progress);
        return false;
    case CONTROL_ACK:
        on_ack(session, &message->ack);
        return true;
    case CONTROL_NACK:
        on_nack(session, &message->nack, now_ms);
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
static bool has_credit(struct session *session, const struct item *batch, int64_t now_ms)
{
    if (session->sent_bytes + batch->bytes_total <= session->granted) {
        session->blocked_since = -1;
        return true;
    }
    if (session->blocked_since < 0)
        session->blocked_since = now_ms;
    return false;
}

struct item *session_next(struct session *session, int64_t now_ms)
{
    struct item *item = first(&session->urgent);

    /* While a mark waits to be sent again, the daemon would refuse what follows it. */
    if (item || session->state != SESSION_OPEN || session->resend_at >= 0)
        return item;
    for (item = first(&session->queue); item && item_is_batch(item);
         item = first(&session->queue)) {
        if (has_credit(session, item, now_ms))
            return item;
        if (now_ms - session->blocked_since < SESSION_CREDIT_MS)
            return NULL;
        session_count_drop(session, item_rows(item));
        session_discard(item, 0);
    }
    return item;
}

void session_sent(struct session *session, struct item *item)
{
    assert(!list_empty(&item->link) && is_connected(session));
    list_remove(&item->link);
    if (item->seq > 0) {
        list_append(&session->kept, &item->link);
        return;
    }
    if (item_is_batch(item)) {
        session->sent_bytes += item->bytes_total;
        session->stats.batches_sent++;
    }
    item_release(item);
}

void session_tick(struct session *session, int64_t now_ms)
{
    struct control_ping ping = {session->ping_id + 1};

    if (!is_connected(session))
        return;
    if (session->resend_at >= 0 && now_ms >= session->resend_at)
        queue_kept_again(session);
    if (now_ms - session->pinged_at >= SESSION_PING_MS && list_empty(&session->urgent)) {
        session->ping_id++;
        session->pinged_at = now_ms;
        queue_urgent(session, control_encode_ping(&ping));
    }
}

bool session_note_absence(struct session *session, int64_t now_ms)
{
    int64_t patience_ms = session->was_open ? SESSION_LOST_MS : SESSION_ABSENT_MS;

    if (session->state == SESSION_OPEN || session->state == SESSION_ENDED || session->is_absent)
        return false;
    if (session->away_since < 0)
        session->away_since = now_ms;
    if (session->state == SESSION_OPENING) /* silence ends it, or the time of an open */
        return false;
    session->is_absent = now_ms - session->away_since >= patience_ms;
    return session->is_absent;
}

void session_note_stall(struct session *session, int64_t stall_ms)
{
    assert(stall_ms >= 0);
    if (session->away_since >= 0)
        session->away_since += stall_ms;
}

bool session_is_stale(const struct session *session, int64_t now_ms)
{
    if (!is_connected(session))
        return false;
    return now_ms - session->heard_at >= SESSION_SILENCE_MS ||
           (session->state == SESSION_OPENING && now_ms - session->hello_at >= SESSION_OPEN_MS);
}

int64_t session_retry_at(const struct session *session)
{
    return session->retry_at;
}
