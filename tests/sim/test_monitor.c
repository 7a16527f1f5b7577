/* The engine in a world that goes wrong: a few trainers, a network that loses connections and says
 * things twice, workers that finish in any order, a disk that fills up, a daemon that is killed;
 * all drawn from a seed. What it must do is said by an oracle that knows only the messages which
 * were delivered, and by the disk:
 *
 *     acknowledged       is on disk, under its sequence, once, with what the trainer said
 *     n, d_lr            those of the rows delivered in the window
 *     n + rows_missing   rows offered in the window
 *     held bytes         never beyond the credit of the run
 *     at the end         every batch given back, nothing promised pending
 *
 * SIM_SEEDS=n runs seeds 1..n, SIM_SEED=k only k. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/monitor/monitor.h"
#include "tests/lib/disk.h"
#include "tests/lib/parcel.h"
#include "tests/lib/random.h"
#include "tests/lib/reference.h"

#define DEFAULT_SEEDS 1500
#define MAX_TRAINERS  5
#define MAX_LAYERS    3
#define MAX_KEPT      32
#define MAX_CONTROL   4096
#define MAX_SHARES    16

/* ---- the actors ---------------------------------------------------------------------------- */

enum message_kind {
    SEND_OPEN,
    SEND_BATCH,
    SEND_CHECKPOINT,
    SEND_LOG,
    SEND_CLOSE,
    SEND_PING,
};

struct total {
    uint64_t seq;
    uint64_t rows;
};

struct message {
    struct list link;
    enum message_kind kind;
    uint32_t attempt; /* OPEN */
    uint64_t seq;     /* batch or control */
    int64_t step;
    size_t layer; /* BATCH */
    uint32_t p;
    size_t n;
    uint64_t rows_before;
    uint64_t size_bytes;
    enum parcel_kind parcel;
    bool beyond_credit;
    bool named[MAX_LAYERS]; /* CHECKPOINT */
    struct total totals[MAX_LAYERS];
};

struct reply {
    struct list link;
    struct action action; /* COMPLETE is turned into ACK; NACK has its own copy */
    struct nack nack;
};

enum trainer_state {
    AWAY,
    OPENING,
    OPEN,
    DONE,
    STOPPED, /* by a fatal nack */
    DEAD,    /* without a word */
};

/* What a trainer said under a sequence. */
struct said {
    enum message_kind kind;
    int64_t step;
    bool acked;
};

struct trainer {
    size_t index;
    char run[16];
    char writer[16];
    bool rogue;    /* asks for an attempt that is another's */
    bool careless; /* sends beyond its credit, and shapes that are wrong */
    struct window window;
    bool probe; /* says that every window has the same rows, which is rarely so */
    size_t n_layers;
    uint32_t p[MAX_LAYERS], c[MAX_LAYERS];
    size_t max_rows;

    enum trainer_state state;
    struct conn *conn;
    uint32_t attempt;
    uint64_t granted, sent;
    struct total totals[MAX_LAYERS];
    uint64_t seq;
    int64_t step;
    struct message kept[MAX_KEPT];
    size_t n_kept;
    struct said said[MAX_CONTROL];
    size_t n_left;          /* things it still wants to do */
    bool open_lost;         /* or its welcome: it asks again */
    struct message dropped; /* a batch that it may send after all, when it is too late */
    bool closing;
};

struct conn {
    struct list link;
    peer_id peer;
    struct trainer *trainer; /* NULL: what is in flight is all there will be */
    struct session *session;
    struct list up, down; /* of message, of reply */
    unsigned silent_ticks;
    bool lost; /* was silent for too long, and is not open again */
};

/* ---- the oracle ---------------------------------------------------------------------------- */

/* Rows that entered a window: those of one batch. */
struct segment {
    enum parcel_kind kind;
    uint64_t seed;
    size_t n;
};

struct watched_layer {
    bool exists;
    bool known; /* and its shape */
    uint32_t p, c;
    uint64_t last_seq;
    uint64_t window_offered;
    uint64_t entered; /* since the last mark */
    struct segment *segments;
    size_t n_segments;
};

struct expected {
    uint64_t seq;
    struct {
        bool measured;
        double n;
        uint64_t missing;
        double d_lr;
        size_t rank;
    } layers[MAX_LAYERS];
};

/* What the daemon should know of one opened attempt. */
struct session {
    struct list link;
    const struct record *open; /* while it is stored */
    struct trainer *trainer;
    struct conn *conn;
    uint32_t attempt;
    bool ready, closed, dead;
    uint64_t last_seq;
    uint64_t window_bytes, held_bytes;
    struct watched_layer layers[MAX_LAYERS];
    struct expected *expected;
    size_t n_expected;
};

struct out_job {
    struct list link;
    struct job *job;
    size_t left[MAX_SHARES];
    size_t n_left;
};

struct world {
    uint64_t seed;
    size_t n_steps;
    struct random rng;
    bool calm; /* nothing goes wrong any more, everybody closes */
    bool trace;
    struct monitor_config config;
    struct monitor *monitor;
    struct actions out;
    struct disk disk;
    unsigned disk_full; /* commits that fail from now on */
    struct list jobs, conns, sessions;
    peer_id last_peer;
    double time;
    struct trainer trainers[MAX_TRAINERS];
    size_t n_trainers;

    /* of the step at hand */
    const struct event *event;
    struct conn *from;
    bool gave_back; /* the event's batch was released */
    bool lent_open; /* a RECORD_OPEN went to the disk */
    int refused;    /* enum nack_code to `from`, or -1 */
    bool welcomed;
    bool crashing;                                /* what comes out goes nowhere */
    const struct record *unchecked[2 * MAX_KEPT]; /* lent before the oracle had thought */
    size_t n_unchecked;
};

#define CHECK(w, condition, ...)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("seed %" PRIu64 ", step %zu: %s\n", (w)->seed, (w)->n_steps, #condition);  \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

#define TRACE(w, ...)                                                                              \
    do {                                                                                           \
        if ((w)->trace)                                                                            \
            printf(__VA_ARGS__);                                                                   \
    } while (0)

static bool one_in(struct world *w, size_t n)
{
    return random_below(&w->rng, n) == 0;
}

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static uint64_t row_seed(const struct world *w, size_t trainer, size_t layer, uint64_t seq)
{
    struct random r;

    random_seed(&r, w->seed * 1000003 + trainer * 101 + layer * 7 + seq * 1299709);
    return random_bits(&r);
}

static void layer_name(size_t i, char *out)
{
    sprintf(out, "layer-%zu", i);
}

static size_t layer_index(const char *name)
{
    return (size_t)(name[strlen(name) - 1] - '0');
}

/* ---- the oracle: what should be measured --------------------------------------------------- */

/* Weight of the rows of segment `i`: exponential windows halve it every half_life_rows newer ones,
 * and ready-made moments are as old as their last row. */
static void weigh(const struct watched_layer *l, struct window window, double *w)
{
    double age = 0;
    size_t at = 0;

    for (size_t i = 0; i < l->n_segments; i++)
        at += l->segments[i].n;
    for (size_t i = l->n_segments; i-- > 0;) {
        const struct segment *s = &l->segments[i];

        for (size_t k = s->n; k-- > 0;) {
            double own = s->kind == PARCEL_MOMENTS ? 0 : (double)(s->n - 1 - k);

            w[--at] =
                window.kind == WINDOW_EXPONENTIAL ? exp2(-(age + own) / window.half_life_rows) : 1;
        }
        age += (double)s->n;
    }
}

static struct reference measure(const struct watched_layer *l, struct window window)
{
    struct reference out;
    size_t n = 0, at = 0;
    double *x, *y, *w;

    for (size_t i = 0; i < l->n_segments; i++)
        n += l->segments[i].n;
    x = must(malloc(n * (l->p + l->c + 1) * sizeof *x));
    y = x + n * l->p;
    w = y + n * l->c;
    for (size_t i = 0; i < l->n_segments; at += l->segments[i++].n)
        parcel_values(l->segments[i].seed, l->segments[i].n, l->p, l->c, x + at * l->p,
                      y + at * l->c);
    weigh(l, window, w);
    reference_measure(n, l->p, x, l->c, y, w, 1e-10, &out);
    free(x);
    return out;
}

static void expect_layer(struct session *s, size_t i, const struct total *total,
                         struct expected *out)
{
    struct watched_layer *l = &s->layers[i];
    uint64_t offered = total->rows - l->window_offered;
    struct reference r;

    if (!l->exists)
        return;
    out->layers[i].missing = offered - l->entered;
    out->layers[i].measured = l->n_segments > 0;
    if (l->n_segments > 0) {
        r = measure(l, s->trainer->window);
        out->layers[i].n = r.n;
        out->layers[i].d_lr = (double)r.d_lr;
        out->layers[i].rank = r.rank;
    }
    l->last_seq = total->seq;
    if (s->trainer->window.kind == WINDOW_CUMULATIVE || l->n_segments == 0)
        return; /* an empty window goes on */
    l->window_offered = total->rows;
    l->entered = 0;
    if (s->trainer->window.kind == WINDOW_CHECKPOINT)
        l->n_segments = 0;
}

static void expect_checkpoint(struct world *w, struct session *s, const struct message *m)
{
    struct expected *e;

    if (m->seq <= s->last_seq)
        return;
    CHECK(w, w->refused < 0, "checkpoint %" PRIu64 " was refused with %d", m->seq, w->refused);
    s->last_seq = m->seq;
    s->expected = must(realloc(s->expected, (s->n_expected + 1) * sizeof *s->expected));
    e = &s->expected[s->n_expected++];
    memset(e, 0, sizeof *e);
    e->seq = m->seq;
    for (size_t i = 0; i < s->trainer->n_layers; i++) {
        if (m->named[i])
            expect_layer(s, i, &m->totals[i], e);
    }
}

static void note_entered(struct session *s, const struct message *m, const struct parcel *p)
{
    struct watched_layer *l = &s->layers[m->layer];

    if (p->kind == PARCEL_NAN)
        return;
    l->entered += m->n;
    l->segments = must(realloc(l->segments, (l->n_segments + 1) * sizeof *l->segments));
    l->segments[l->n_segments++] = (struct segment){.kind = p->kind, .seed = p->seed, .n = m->n};
}

/* Called before the event, since the parcel may be gone after it. */
static bool should_enter(const struct session *s, const struct message *m)
{
    const struct watched_layer *l = &s->layers[m->layer];

    return m->n > 0 && m->seq > l->last_seq && (!l->known || l->p == m->p);
}

static void expect_batch(struct world *w, struct session *s, const struct message *m,
                         struct parcel *p, bool should)
{
    struct watched_layer *l = &s->layers[m->layer];
    bool shape_fits = !l->known || l->p == m->p;

    if (m->beyond_credit && w->refused == NACK_ECREDIT)
        return;
    CHECK(w, w->refused < 0 || (w->refused == NACK_ESHAPE && !shape_fits),
          "a good batch was refused with %s", nack_code_name((enum nack_code)w->refused));
    CHECK(w, w->gave_back == !should, "trainer %zu layer %zu batch %" PRIu64 ", last %" PRIu64,
          s->trainer->index, m->layer, m->seq, l->last_seq);
    if (!l->known) {
        l->exists = l->known = true;
        l->p = m->p;
        l->c = s->trainer->c[m->layer];
    }
    if (shape_fits && m->seq > l->last_seq)
        l->last_seq = m->seq;
    if (!should)
        return;
    p->owner = s;
    s->held_bytes += m->size_bytes;
    CHECK(w, s->held_bytes <= s->window_bytes, "%" PRIu64 " bytes held of %" PRIu64, s->held_bytes,
          s->window_bytes);
    note_entered(s, m, p);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void bind_session(struct session *s, struct conn *c)
{
    if (s->conn)
        s->conn->session = NULL;
    if (c && c->session)
        c->session->conn = NULL;
    s->conn = c;
    if (c)
        c->session = s;
}

static void kill_session(struct session *s)
{
    s->dead = true;
    bind_session(s, NULL);
}

static void add_session(struct world *w, const struct record *open)
{
    struct session *s = must(calloc(1, sizeof *s));

    s->open = open;
    s->trainer = w->from->trainer;
    list_append(&w->sessions, &s->link);
    bind_session(s, w->from);
}

static struct session *session_of_open(const struct world *w, const struct record *open)
{
    LIST_EACH(at, &w->sessions)
    {
        struct session *s = LIST_ENTRY(at, struct session, link);

        if (s->open == open)
            return s;
    }
    return NULL;
}

/* The last one that the trainer has, which goes on. */
static struct session *session_of_trainer(const struct world *w, const struct trainer *t)
{
    struct session *found = NULL;

    LIST_EACH(at, &w->sessions)
    {
        struct session *s = LIST_ENTRY(at, struct session, link);

        if (s->trainer == t && !s->dead)
            found = s;
    }
    return found;
}

static void start_session(struct session *s, const struct open_result *o)
{
    s->ready = true;
    s->attempt = o->attempt;
    s->last_seq = o->last_seq;
    for (size_t i = 0; i < o->n_layers; i++) {
        struct watched_layer *l = &s->layers[layer_index(o->layers[i].name)];

        l->exists = true;
        l->known = o->layers[i].p > 0;
        l->p = o->layers[i].p;
        l->c = o->layers[i].c;
        l->last_seq = o->layers[i].batch_seq;
        l->window_offered =
            s->trainer->window.kind == WINDOW_CHECKPOINT ? o->layers[i].rows_offered : 0;
    }
}

static void free_sessions(struct world *w)
{
    LIST_EACH_SAFE(at, &w->sessions)
    {
        struct session *s = LIST_ENTRY(at, struct session, link);

        for (size_t i = 0; i < MAX_LAYERS; i++)
            free(s->layers[i].segments);
        free(s->expected);
        free(s);
    }
    list_init(&w->sessions);
}

/* ---- what comes out of a step -------------------------------------------------------------- */

static struct conn *conn_of_peer(const struct world *w, peer_id peer)
{
    LIST_EACH(at, &w->conns)
    {
        if (LIST_ENTRY(at, struct conn, link)->peer == peer)
            return LIST_ENTRY(at, struct conn, link);
    }
    return NULL;
}

static void send_reply(struct world *w, struct conn *c, const struct action *a)
{
    struct reply *r;

    if (!c || !c->trainer || w->crashing)
        return;
    r = must(calloc(1, sizeof *r));
    r->action = *a;
    if (a->type == ACT_NACK)
        r->nack = *a->nack;
    list_append(&c->down, &r->link);
}

/* A window is compared with the first one, or said not to be; never both, and not unasked. */
static void check_probe(struct world *w, const struct session *s, const struct point *p)
{
    double s_init = p->value[METRIC_S_INIT];
    bool compared = !isnan(s_init), differs = p->flags & FLAG_PROBE_DIFFERS;

    if (!s->trainer->probe)
        CHECK(w, !compared && !differs, "s_init %g, flags %x without a probe", s_init, p->flags);
    else if (!(p->flags & FLAG_CONSTANT))
        CHECK(w, compared != differs, "s_init %g, flags %x", s_init, p->flags);
    CHECK(w, !compared || (p->rows_missing == 0 && s_init >= -1e-9 && s_init <= 1 + 1e-9),
          "s_init %g with %" PRIu64 " rows missing", s_init, p->rows_missing);
}

static void check_point(struct world *w, const struct session *s, const struct expected *e,
                        const struct layer_point *p)
{
    size_t i = layer_index(p->layer);
    bool partial = p->point.flags & FLAG_PARTIAL;

    CHECK(w, p->measured == e->layers[i].measured, "seq %" PRIu64 " layer %zu", e->seq, i);
    if (!p->measured)
        return;
    CHECK(w, fabs(p->point.n - e->layers[i].n) <= 1e-9 * e->layers[i].n, "n %g, not %g", p->point.n,
          e->layers[i].n);
    CHECK(w, p->point.rows_missing == e->layers[i].missing,
          "seq %" PRIu64 " layer %zu window %d: missing %" PRIu64 ", not %" PRIu64, e->seq, i,
          s->trainer->window.kind, p->point.rows_missing, e->layers[i].missing);
    CHECK(w, partial == (p->point.rows_missing > 0), "flags %x", p->point.flags);
    check_probe(w, s, &p->point);
    if (e->layers[i].rank == 0 || isnan(e->layers[i].d_lr))
        return;
    CHECK(w, p->point.rank == e->layers[i].rank, "n %g rank %u, not %zu", p->point.n, p->point.rank,
          e->layers[i].rank);
    CHECK(w, fabs(p->point.value[METRIC_D_LR] - e->layers[i].d_lr) <= 1e-6,
          "n %g d_lr %.9f, not %.9f", p->point.n, p->point.value[METRIC_D_LR], e->layers[i].d_lr);
}

static const struct expected *find_expected(const struct session *s, uint64_t seq)
{
    for (size_t i = 0; i < s->n_expected; i++) {
        if (s->expected[i].seq == seq)
            return &s->expected[i];
    }
    return NULL;
}

/* A checkpoint goes to the disk: are these the points that one of the sessions expects? The disk
 * knows the rest: whether it comes twice, or out of order. */
static void check_lent(struct world *w, const struct record *r)
{
    const struct expected *e = NULL;

    if (r->kind != RECORD_CHECKPOINT)
        return;
    LIST_EACH(at, &w->sessions)
    {
        struct session *s = LIST_ENTRY(at, struct session, link);

        e = s->attempt == r->attempt && strcmp(s->trainer->run, r->run) == 0 && !s->dead
                ? find_expected(s, r->seq)
                : NULL;
        for (size_t i = 0; e && i < r->n_points; i++)
            check_point(w, s, e, &r->points[i]);
        if (e)
            return;
    }
    CHECK(w, false, "nobody sent checkpoint %" PRIu64 " of %s", r->seq, r->run);
}

static void check_all_lent(struct world *w)
{
    for (size_t i = 0; i < w->n_unchecked; i++)
        check_lent(w, w->unchecked[i]);
    w->n_unchecked = 0;
}

static void check_acked(struct world *w, struct conn *c, uint64_t seq)
{
    const struct session *s = c ? c->session : NULL;

    if (!s || w->crashing || seq == 0)
        return;
    CHECK(w, disk_item(&w->disk, s->trainer->run, s->attempt, seq),
          "%s attempt %u: %" PRIu64 " is acknowledged and not on disk", s->trainer->run, s->attempt,
          seq);
}

static void start_job(struct world *w, struct job *job)
{
    struct out_job *o = must(calloc(1, sizeof *o));

    CHECK(w, job->n_shares >= 1 && job->n_shares <= MAX_SHARES, "%zu shares", job->n_shares);
    o->job = job;
    for (o->n_left = 0; o->n_left < job->n_shares; o->n_left++)
        o->left[o->n_left] = o->n_left;
    list_append(&w->jobs, &o->link);
}

static void on_welcome(struct world *w, struct conn *c, const struct action *a)
{
    struct session *s = w->event->type == EV_STORED ? session_of_open(w, w->event->record)
                                                    : session_of_trainer(w, w->from->trainer);

    w->welcomed = true;
    CHECK(w, s && s->ready && s->attempt == a->welcome.attempt, "welcome to attempt %u",
          a->welcome.attempt);
    CHECK(w, a->welcome.last_seq <= disk_attempt(&w->disk, a->welcome.run, s->attempt)->last_seq,
          "last_seq %" PRIu64, a->welcome.last_seq);
    if (w->event->type == EV_STORED) {
        s->window_bytes = a->welcome.granted;
        LIST_EACH(at, &w->sessions)
        {
            struct session *old = LIST_ENTRY(at, struct session, link);

            if (old != s && old->ready && strcmp(old->trainer->run, s->trainer->run) == 0)
                kill_session(old);
        }
    }
    if (c) {
        c->silent_ticks = 0;
        c->lost = false;
        bind_session(s, c);
    }
    send_reply(w, c, a);
}

static void on_nack(struct world *w, struct conn *c, struct action *a)
{
    TRACE(w, "  nack %s %s\n", nack_code_name(a->nack->code), a->nack->why.text);
    if (c && c == w->from && w->refused < 0)
        w->refused = (int)a->nack->code;
    if (a->nack->code == NACK_EFENCED && c && c->session && c->session->ready)
        kill_session(c->session);
    send_reply(w, c, a);
    free(a->nack);
}

static void on_complete(struct world *w, struct conn *c, struct action *a)
{
    struct record *r = a->record;
    uint64_t seq = r->seq;

    CHECK(w, r->rc == 0, "completed with %d", r->rc);
    check_acked(w, c, seq);
    record_free(r);
    a->type = ACT_ACK;
    a->seq = seq;
    if (seq > 0)
        send_reply(w, c, a);
}

static void on_store(struct world *w, struct action *a)
{
    if (a->record->kind == RECORD_OPEN) {
        w->lent_open = true;
        add_session(w, a->record);
    }
    CHECK(w, w->n_unchecked < 2 * MAX_KEPT, "too many records at once");
    w->unchecked[w->n_unchecked++] = a->record;
    disk_put(&w->disk, a->record);
}

static void perform(struct world *w, struct action *a)
{
    struct conn *c = a->peer ? conn_of_peer(w, a->peer) : NULL;

    switch (a->type) {
    case ACT_WELCOME:
        on_welcome(w, c, a);
        break;
    case ACT_PROGRESS:
        send_reply(w, c, a);
        break;
    case ACT_ACK:
        check_acked(w, c, a->seq);
        send_reply(w, c, a);
        break;
    case ACT_COMPLETE:
        on_complete(w, c, a);
        break;
    case ACT_NACK:
        on_nack(w, c, a);
        break;
    case ACT_JOB:
        start_job(w, a->job);
        break;
    case ACT_STORE:
        on_store(w, a);
        break;
    case ACT_FATAL:
        CHECK(w, false, "fatal: %s", a->fatal.text);
        break;
    }
}

static void give_back(struct world *w, struct batch *b)
{
    struct parcel *p = (struct parcel *)b;
    struct session *s = p->owner;

    if (s)
        s->held_bytes -= b->size_bytes;
    if (w->event && w->event->type == EV_BATCH && w->event->batch == b)
        w->gave_back = true;
    parcel_free(p);
}

static void step(struct world *w, struct event *e, struct conn *from)
{
    struct batch *b;

    w->event = e;
    w->from = from;
    w->gave_back = false;
    w->lent_open = false;
    w->welcomed = false;
    w->refused = -1;
    e->peer = from ? from->peer : 0;
    e->time = w->time;
    monitor_step(w->monitor, e, &w->out);
    for (size_t i = 0; i < w->out.n; i++)
        perform(w, &w->out.items[i]);
    w->out.n = 0;
    while ((b = actions_next_released(&w->out)))
        give_back(w, b);
    if (e->type != EV_CHECKPOINT)
        check_all_lent(w);
    w->event = NULL;
    CHECK(w, !w->out.out_of_memory, "no memory");
}

/* ---- the network --------------------------------------------------------------------------- */

static struct event open_event(struct world *w, const struct conn *c, const struct message *m)
{
    struct record *r = must(record_new(RECORD_OPEN, c->trainer->run));
    struct event e = {.type = EV_OPEN, .open.projector.kind = PROJECTOR_SPAN};

    r->open.writer = must(strdup(c->trainer->writer));
    r->open.attempt = m->attempt;
    r->open.watched = (struct watch_list){2, {METRIC_D_LR, METRIC_PR}};
    r->open.resume = one_in(w, 50) ? RESUME_NEVER : RESUME_ALLOW;
    e.open.record = r;
    e.open.window = c->trainer->window;
    e.open.probe = c->trainer->probe;
    return e;
}

/* Reconnected to an attempt that the daemon still holds: the welcome comes now, or when its first
 * opening is on disk. */
static void deliver_open(struct world *w, struct conn *c, const struct message *m)
{
    struct event e = open_event(w, c, m);
    struct session *s;

    step(w, &e, c);
    if (w->lent_open || w->welcomed || w->refused >= 0)
        return;
    s = session_of_trainer(w, c->trainer);
    CHECK(w, s && !s->ready, "open was not answered");
    bind_session(s, c);
}

static void deliver_batch(struct world *w, struct conn *c, const struct message *m)
{
    struct event e = {.type = EV_BATCH};
    struct session *s = c->session;
    struct parcel *p;
    char name[32];
    bool should = s && should_enter(s, m);

    layer_name(m->layer, name);
    p = parcel_new(m->parcel, name, m->p, c->trainer->c[m->layer], m->n,
                   row_seed(w, c->trainer->index, m->layer, m->seq));
    p->batch.seq = m->seq;
    p->batch.step = m->step;
    p->batch.rows_before = m->rows_before;
    p->batch.size_bytes = m->size_bytes;
    e.batch = &p->batch;
    step(w, &e, c);
    if (w->refused == NACK_ENOTOPEN)
        CHECK(w, w->gave_back, "refused and kept");
    else
        expect_batch(w, s, m, p, should);
}

static void deliver_checkpoint(struct world *w, struct conn *c, const struct message *m)
{
    struct checkpoint_layer layers[MAX_LAYERS];
    char names[MAX_LAYERS][32];
    struct event e = {.type = EV_CHECKPOINT};

    e.checkpoint.seq = m->seq;
    e.checkpoint.step = m->step;
    e.checkpoint.layers = layers;
    for (size_t i = 0; i < c->trainer->n_layers; i++) {
        layer_name(i, names[i]);
        if (m->named[i])
            layers[e.checkpoint.n_layers++] = (struct checkpoint_layer){
                .name = names[i], .seq = m->totals[i].seq, .rows = m->totals[i].rows};
    }
    step(w, &e, c);
}

static void deliver_log(struct world *w, struct conn *c, const struct message *m)
{
    struct event e = {.type = EV_LOG};

    e.log = must(record_new(RECORD_LOG, c->trainer->run));
    e.log->seq = m->seq;
    e.log->step = m->step;
    step(w, &e, c);
}

static void deliver_close(struct world *w, struct conn *c, const struct message *m)
{
    struct event e = {.type = EV_CLOSE};

    e.close.seq = m->seq;
    step(w, &e, c);
    if (c->session && w->refused < 0)
        c->session->closed = true;
}

/* ENOTOPEN is right only when nothing is open, or was given up. */
static void check_not_open(struct world *w, struct conn *c)
{
    struct session *s = c->session;

    CHECK(w, !s || !s->ready || s->closed || c->lost, "trainer %zu is open", c->trainer->index);
    if (s && s->ready)
        bind_session(s, NULL);
}

static void deliver(struct world *w, struct conn *c, const struct message *m)
{
    static const char *const names[] = {"open", "batch", "checkpoint", "log", "close", "ping"};
    struct session *before = c->session;
    struct event alive = {.type = EV_ALIVE};

    TRACE(w,
          "%zu trainer %zu peer %" PRIu64 " %s seq %" PRIu64 " layer %zu n %zu rows %" PRIu64
          " attempt %u\n",
          w->n_steps, c->trainer->index, c->peer, names[m->kind], m->seq, m->layer, m->n,
          m->rows_before, m->attempt);
    switch (m->kind) {
    case SEND_OPEN:
        deliver_open(w, c, m);
        return;
    case SEND_BATCH:
        deliver_batch(w, c, m);
        break;
    case SEND_CHECKPOINT:
        deliver_checkpoint(w, c, m);
        break;
    case SEND_LOG:
        deliver_log(w, c, m);
        break;
    case SEND_CLOSE:
        deliver_close(w, c, m);
        break;
    case SEND_PING:
        step(w, &alive, c);
        break;
    }
    if (w->refused == NACK_ENOTOPEN)
        check_not_open(w, c);
    else if (before && before->ready && m->kind == SEND_CHECKPOINT)
        expect_checkpoint(w, before, m);
    else if (before && before->ready && (m->kind == SEND_LOG || m->kind == SEND_CLOSE) &&
             m->seq > before->last_seq)
        before->last_seq = m->seq;
    check_all_lent(w);
    c->silent_ticks = 0;
}

static void drop_messages(struct conn *c)
{
    if (c->trainer->conn == c && c->trainer->state == OPENING)
        c->trainer->open_lost = true;
    LIST_EACH_SAFE(at, &c->up)
    {
        free(LIST_ENTRY(at, struct message, link));
    }
    LIST_EACH_SAFE(at, &c->down)
    {
        free(LIST_ENTRY(at, struct reply, link));
    }
    list_init(&c->up);
    list_init(&c->down);
}

static void free_conn(struct conn *c)
{
    if (c->trainer && c->trainer->conn == c)
        c->trainer->conn = NULL;
    if (c->session)
        c->session->conn = NULL;
    drop_messages(c);
    list_remove(&c->link);
    free(c);
}

static struct conn *connect_to(struct world *w, struct trainer *t)
{
    struct conn *c = must(calloc(1, sizeof *c));

    c->peer = ++w->last_peer;
    c->trainer = t;
    list_init(&c->up);
    list_init(&c->down);
    list_append(&w->conns, &c->link);
    t->conn = c;
    return c;
}

/* ZeroMQ connects again by itself: the trainer hears nothing of it, the daemon sees a new peer. */
static void switch_peer(struct world *w, struct conn *c)
{
    struct event gone = {.type = EV_GONE};

    if (one_in(w, 2))
        step(w, &gone, c);
    if (c->session)
        bind_session(c->session, NULL);
    drop_messages(c);
    c->peer = ++w->last_peer;
    c->silent_ticks = 0;
}

/* ---- a trainer ----------------------------------------------------------------------------- */

static void send_message(struct trainer *t, const struct message *m)
{
    struct message *copy = must(malloc(sizeof *copy));

    *copy = *m;
    list_append(&t->conn->up, &copy->link);
}

static void leave(struct world *w, struct trainer *t, enum trainer_state state)
{
    if (t->conn && one_in(w, 2)) {
        free_conn(t->conn);
    } else if (t->conn) { /* what was sent arrives late, over the old connection */
        struct conn *c = t->conn;
        LIST_EACH_SAFE(at, &c->down)
        {
            list_remove(at);
            free(LIST_ENTRY(at, struct reply, link));
        }
    }
    t->conn = NULL;
    t->state = state;
}

static void send_open(struct world *w, struct trainer *t)
{
    struct message m = {.kind = SEND_OPEN, .attempt = t->attempt};

    if (t->rogue)
        m.attempt = (uint32_t)(1 + random_below(&w->rng, 2));
    t->state = OPENING;
    t->open_lost = false;
    send_message(t, &m);
}

static void keep_and_send(struct trainer *t, struct message *m)
{
    m->seq = ++t->seq;
    m->step = ++t->step;
    t->said[m->seq] = (struct said){.kind = m->kind, .step = m->step};
    t->kept[t->n_kept++] = *m;
    send_message(t, m);
}

static size_t draw_rows(struct world *w, const struct trainer *t)
{
    return one_in(w, 20) ? 0 : 1 + random_below(&w->rng, one_in(w, 6) ? t->max_rows : 12);
}

static void send_batch(struct world *w, struct trainer *t)
{
    size_t i = random_below(&w->rng, t->n_layers), n = draw_rows(w, t);
    struct message m = {.kind = SEND_BATCH, .layer = i, .n = n, .p = t->p[i], .step = t->step};

    m.seq = ++t->totals[i].seq;
    m.rows_before = t->totals[i].rows;
    t->totals[i].rows += n;
    m.parcel = one_in(w, 15) ? PARCEL_NAN : (enum parcel_kind)random_below(&w->rng, 3);
    if (n == 0)
        m.parcel = PARCEL_F32;
    m.size_bytes = n * (t->p[i] + t->c[i]) * sizeof(float);
    if (one_in(w, 4))
        m.size_bytes += random_below(&w->rng, 3 << 20);
    if (t->careless && one_in(w, 20))
        m.p++;
    m.beyond_credit = t->sent + m.size_bytes > t->granted;
    if (one_in(w, 10) || (m.beyond_credit && !(t->careless && one_in(w, 3)))) {
        t->dropped = m; /* and counted */
        return;
    }
    t->sent += m.size_bytes;
    send_message(t, &m);
}

static void send_late(struct trainer *t)
{
    struct message m = t->dropped;

    if (m.n == 0 || t->sent + m.size_bytes > t->granted)
        return;
    m.beyond_credit = false;
    t->dropped.n = 0;
    t->sent += m.size_bytes;
    send_message(t, &m);
}

static void send_checkpoint(struct world *w, struct trainer *t)
{
    struct message m = {.kind = SEND_CHECKPOINT};

    for (size_t i = 0; i < t->n_layers; i++) {
        m.named[i] = !one_in(w, 4);
        m.totals[i] = t->totals[i];
    }
    keep_and_send(t, &m);
}

static void send_close(struct trainer *t)
{
    struct message m = {.kind = SEND_CLOSE};

    t->closing = true;
    keep_and_send(t, &m);
}

static void act_open(struct world *w, struct trainer *t)
{
    struct message m = {.kind = SEND_PING};
    size_t what = random_below(&w->rng, 100);

    if (t->n_kept > 0 && what < 3) {
        send_message(t, &t->kept[0]);
    } else if (what < 5) {
        send_late(t);
    } else if (!w->calm && what < 7) {
        leave(w, t, AWAY);
    } else if (!w->calm && one_in(w, 700)) {
        leave(w, t, DEAD);
    } else if (t->closing || t->n_kept == MAX_KEPT || what < 13) {
        if (one_in(w, 4))
            send_message(t, &m);
    } else if (w->calm || t->n_left == 0) {
        send_close(t);
    } else if (what < 80) {
        send_batch(w, t);
        t->n_left--;
    } else if (what < 90) {
        send_checkpoint(w, t);
    } else {
        m.kind = SEND_LOG;
        keep_and_send(t, &m);
    }
}

static void act(struct world *w, struct trainer *t)
{
    switch (t->state) {
    case AWAY:
        connect_to(w, t);
        send_open(w, t);
        break;
    case OPENING:
        if (t->open_lost)
            send_open(w, t);
        break;
    case OPEN:
        act_open(w, t);
        break;
    case DONE:
    case STOPPED:
    case DEAD:
        break;
    }
}

static void hear_welcome(struct world *w, struct trainer *t, const struct welcome *hello)
{
    CHECK(w, t->attempt == 0 || t->attempt == hello->attempt || t->rogue, "attempt %u, not %u",
          hello->attempt, t->attempt);
    t->state = OPEN;
    t->attempt = hello->attempt;
    t->granted = hello->granted;
    t->sent = 0;
    for (size_t i = 0; i < t->n_kept; i++)
        send_message(t, &t->kept[i]);
}

static void hear_ack(struct world *w, struct trainer *t, uint64_t seq)
{
    CHECK(w, seq >= 1 && seq <= t->seq, "acknowledged %" PRIu64 " of %" PRIu64, seq, t->seq);
    t->said[seq].acked = true;
    for (size_t i = 0; i < t->n_kept; i++) {
        if (t->kept[i].seq != seq)
            continue;
        memmove(&t->kept[i], &t->kept[i + 1], (t->n_kept - i - 1) * sizeof t->kept[0]);
        t->n_kept--;
        break;
    }
    if (t->closing && t->n_kept == 0)
        leave(w, t, DONE);
}

static void hear_nack(struct world *w, struct trainer *t, const struct nack *nack)
{
    switch (nack->code) {
    case NACK_ENOTOPEN:
        if (t->state == OPEN)
            send_open(w, t);
        break;
    case NACK_EBUSY:
    case NACK_EIO:
        CHECK(w, t->state == OPENING, "%s", nack->why.text);
        leave(w, t, AWAY);
        break;
    case NACK_EFENCED:
    case NACK_EHELD:
    case NACK_EEXIST:
    case NACK_ENOENT:
        leave(w, t, STOPPED);
        break;
    case NACK_ENUMERIC:
    case NACK_ESHAPE: /* perhaps for the shape that another trainer of the run declared */
        break;
    case NACK_ECREDIT:
    case NACK_EPROTO:
    case NACK_EVERSION:
    case NACK_COUNT:
        CHECK(w, t->careless, "%s", nack->why.text);
        break;
    }
}

static void hear(struct world *w, struct trainer *t, const struct reply *r)
{
    switch (r->action.type) {
    case ACT_WELCOME:
        hear_welcome(w, t, &r->action.welcome);
        break;
    case ACT_PROGRESS:
        if (r->action.granted > t->granted)
            t->granted = r->action.granted;
        break;
    case ACT_ACK:
        hear_ack(w, t, r->action.seq);
        break;
    default:
        hear_nack(w, t, &r->nack);
    }
}

/* ---- what can happen ----------------------------------------------------------------------- */

static struct list *draw(struct world *w, struct list *head)
{
    size_t n = 0, k;

    LIST_EACH(at, head)
    {
        n++;
    }
    if (n == 0)
        return NULL;
    k = random_below(&w->rng, n);
    LIST_EACH(at, head)
    {
        if (k-- == 0)
            return at;
    }
    return NULL;
}

/* A batch that comes twice costs credit twice. */
static bool may_repeat(const struct conn *c, const struct message *m)
{
    const struct trainer *t = c->trainer;

    return t->conn == c && t->state == OPEN && m->kind != SEND_OPEN && !m->beyond_credit &&
           t->sent + m->size_bytes <= t->granted;
}

/* Delivers, and sometimes once more, later. */
static void deliver_one(struct world *w)
{
    struct list *at = draw(w, &w->conns);
    struct conn *c = at ? LIST_ENTRY(at, struct conn, link) : NULL;
    struct message *m;

    if (!c)
        return;
    if (list_empty(&c->up)) {
        if (c->trainer->conn != c)
            free_conn(c);
        return;
    }
    m = LIST_ENTRY(list_first(&c->up), struct message, link);
    list_remove(&m->link);
    deliver(w, c, m);
    if (!w->calm && may_repeat(c, m) && one_in(w, 20)) {
        list_append(&c->up, &m->link);
        c->trainer->sent += m->size_bytes;
        return;
    }
    free(m);
}

static void hear_one(struct world *w)
{
    struct list *at = draw(w, &w->conns);
    struct conn *c = at ? LIST_ENTRY(at, struct conn, link) : NULL;
    struct reply *r;

    if (!c || list_empty(&c->down) || c->trainer->conn != c)
        return;
    r = LIST_ENTRY(list_first(&c->down), struct reply, link);
    list_remove(&r->link);
    hear(w, c->trainer, r);
    free(r);
}

static void work_one(struct world *w)
{
    struct list *at = draw(w, &w->jobs);
    struct out_job *o = at ? LIST_ENTRY(at, struct out_job, link) : NULL;
    struct event e = {.type = EV_JOB_DONE};
    size_t k;

    if (!o)
        return;
    k = random_below(&w->rng, o->n_left);
    job_work(o->job, o->left[k]);
    o->left[k] = o->left[--o->n_left];
    if (o->n_left > 0)
        return;
    e.job = o->job;
    list_remove(&o->link);
    free(o);
    step(w, &e, NULL);
}

static void commit_some(struct world *w)
{
    if (w->disk_full > 0) {
        w->disk_full--;
        disk_fail(&w->disk, -ENOSPC, "no space left");
    } else {
        disk_commit(&w->disk, 1 + random_below(&w->rng, 8));
    }
}

static void tell_stored(struct world *w)
{
    struct event e = {.type = EV_STORED, .record = disk_take(&w->disk)};
    struct session *s;

    if (!e.record)
        return;
    TRACE(w, "%zu stored kind %d %s attempt %u seq %" PRIu64 " rc %d\n", w->n_steps, e.record->kind,
          e.record->run, e.record->attempt, e.record->seq, e.record->rc);
    s = e.record->kind == RECORD_OPEN ? session_of_open(w, e.record) : NULL;
    if (s && e.record->rc == 0)
        start_session(s, &e.record->opened);
    else if (s)
        kill_session(s);
    step(w, &e, NULL);
    if (s)
        s->open = NULL;
}

static void tick(struct world *w)
{
    struct event e = {.type = EV_TICK};

    w->time++;
    LIST_EACH(at, &w->conns)
    {
        struct conn *c = LIST_ENTRY(at, struct conn, link);

        c->lost = c->lost || ++c->silent_ticks >= MONITOR_LOST_TICKS;
    }
    step(w, &e, NULL);
}

/* All that is out comes home, and nothing of what the monitor then wants is done. */
static void abandon(struct world *w)
{
    w->crashing = true;
    while (!monitor_is_quiet(w->monitor)) {
        disk_fail(&w->disk, -ENOSPC, "killed");
        tell_stored(w);
        work_one(w);
    }
    monitor_free(w->monitor, &w->out);
    for (struct batch *b; (b = actions_next_released(&w->out));)
        give_back(w, b);
    w->crashing = false;
}

/* The daemon is killed and starts again over what is on disk. */
static void crash(struct world *w)
{
    TRACE(w, "%zu crash\n", w->n_steps);
    abandon(w);
    LIST_EACH(at, &w->sessions)
    {
        kill_session(LIST_ENTRY(at, struct session, link));
    }
    LIST_EACH_SAFE(at, &w->conns)
    {
        struct conn *c = LIST_ENTRY(at, struct conn, link);

        drop_messages(c);
        c->peer = ++w->last_peer;
    }
    w->monitor = must(monitor_new(&w->config));
}

static void go_wrong(struct world *w)
{
    struct list *at = draw(w, &w->conns);

    if (at && LIST_ENTRY(at, struct conn, link)->trainer->conn && one_in(w, 3))
        switch_peer(w, LIST_ENTRY(at, struct conn, link));
    else if (one_in(w, 3))
        w->disk_full = 1 + (unsigned)random_below(&w->rng, 4);
    else if (one_in(w, 4))
        crash(w);
    else if (one_in(w, 3))
        for (size_t n = random_below(&w->rng, 40); n > 0; n--)
            tick(w);
}

static void happen(struct world *w)
{
    size_t what = random_below(&w->rng, 100);

    w->n_steps++;
    if (what < 35)
        act(w, &w->trainers[random_below(&w->rng, w->n_trainers)]);
    else if (what < 60)
        deliver_one(w);
    else if (what < 72)
        hear_one(w);
    else if (what < 84)
        work_one(w);
    else if (what < 90)
        commit_some(w);
    else if (what < 97)
        tell_stored(w);
    else if (what < 99)
        tick(w);
    else if (!w->calm && one_in(w, 3))
        go_wrong(w);
}

/* ---- one world ----------------------------------------------------------------------------- */

static void make_trainer(struct world *w, size_t i, size_t n_runs, bool wide)
{
    struct trainer *t = &w->trainers[i];
    size_t run = random_below(&w->rng, n_runs);
    struct random shape;

    random_seed(&shape, w->seed * 31 + run); /* trainers of one run have one shape */
    t->index = i;
    sprintf(t->run, "run-%zu", run);
    sprintf(t->writer, "writer-%zu", i);
    t->rogue = i > 0 && one_in(w, 8);
    t->careless = one_in(w, 6);
    t->window.kind = (enum window_kind)random_below(&w->rng, 3);
    t->window.half_life_rows = 5 + (double)random_below(&w->rng, 50);
    t->n_layers = 1 + random_below(&shape, MAX_LAYERS);
    for (size_t k = 0; k < t->n_layers; k++) {
        t->p[k] = 1 + (uint32_t)random_below(&shape, 6);
        t->c[k] = 1 + (uint32_t)random_below(&shape, 3);
        if (wide && k == 0)
            t->p[k] = 520;
    }
    t->max_rows = wide ? 20 : one_in(w, 4) ? 1500 : 60;
    t->n_left = 20 + random_below(&w->rng, 150);
    t->probe = t->window.kind == WINDOW_CHECKPOINT && one_in(w, 2);
}

static void start_world(struct world *w, uint64_t seed)
{
    bool wide = seed % 60 == 0;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->trace = getenv("SIM_TRACE");
    random_seed(&w->rng, seed);
    list_init(&w->jobs);
    list_init(&w->conns);
    list_init(&w->sessions);
    actions_init(&w->out);
    disk_init(&w->disk);
    w->config = (struct monitor_config){
        .n_workers = 1 + random_below(&w->rng, 4),
        .budget_bytes = (UINT64_C(40) + random_below(&w->rng, 100)) << 20,
        .state_bytes = 0x1p40,
    };
    w->monitor = must(monitor_new(&w->config));
    w->n_trainers = wide ? 2 : 2 + random_below(&w->rng, MAX_TRAINERS - 1);
    for (size_t i = 0; i < w->n_trainers; i++)
        make_trainer(w, i, 1 + w->n_trainers / 2, wide);
}

static bool is_still(const struct world *w)
{
    for (size_t i = 0; i < w->n_trainers; i++) {
        if (w->trainers[i].state < DONE)
            return false;
    }
    return true;
}

static void flush_world(struct world *w)
{
    while (!list_empty(&w->conns))
        free_conn(LIST_ENTRY(list_first(&w->conns), struct conn, link));
    for (size_t i = 0; i < 3 * MONITOR_LOST_TICKS; i++) {
        tick(w);
        while (!list_empty(&w->jobs))
            work_one(w);
        disk_commit(&w->disk, 1000);
        while (!list_empty(&w->disk.done))
            tell_stored(w);
    }
}

static void check_said(struct world *w, const struct trainer *t)
{
    for (uint64_t seq = 1; seq <= t->seq; seq++) {
        const struct said *said = &t->said[seq];
        const struct disk_item *item = disk_item(&w->disk, t->run, t->attempt, seq);

        CHECK(w, said->acked || t->state != DONE, "%" PRIu64 " of %s never acknowledged", seq,
              t->writer);
        CHECK(w, !said->acked || (item && (said->kind == SEND_CLOSE || item->step == said->step)),
              "%" PRIu64 " of %s was acknowledged and is not what was stored", seq, t->writer);
    }
}

static void check_end(struct world *w)
{
    struct monitor_stats stats = monitor_stats(w->monitor);

    CHECK(w, monitor_is_settled(w->monitor) && monitor_is_quiet(w->monitor), "not settled");
    CHECK(w, stats.runs_open == 0 && stats.buffered_bytes == 0, "%zu runs, %" PRIu64 " bytes",
          stats.runs_open, stats.buffered_bytes);
    CHECK(w, parcel_live() == 0, "%zu batches were kept", parcel_live());
    for (size_t i = 0; i < w->n_trainers; i++)
        check_said(w, &w->trainers[i]);
}

static void end_world(struct world *w)
{
    abandon(w);
    free_sessions(w);
    actions_release(&w->out);
    disk_release(&w->disk);
}

static void run_world(struct world *w, uint64_t seed)
{
    size_t n;

    start_world(w, seed);
    n = 500 + random_below(&w->rng, 3000);
    for (size_t i = 0; i < n; i++)
        happen(w);
    w->calm = true;
    w->disk_full = 0;
    for (size_t i = 0; i < 40000 && !is_still(w); i++)
        happen(w);
    CHECK(w, is_still(w), "the trainers never finished");
    flush_world(w);
    check_end(w);
    end_world(w);
}

static void every_promise_holds_in_any_order_of_events(void **state)
{
    static struct world w;
    const char *one = getenv("SIM_SEED"), *n = getenv("SIM_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one ? first : n ? strtoull(n, NULL, 10) : DEFAULT_SEEDS;

    (void)state;
    for (uint64_t seed = first; seed <= last; seed++)
        run_world(&w, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_holds_in_any_order_of_events),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
