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
 * SIM_SEEDS=n runs seeds 1..n, SIM_SEED=k only k, both of them k..k+n-1. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/monitor/monitor.h"
#include "tests/lib/core/disk.h"
#include "tests/lib/core/parcel.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/random.h"

#define DEFAULT_SEEDS 2000
#define MAX_TRAINERS  5
#define MAX_LAYERS    3
#define MAX_KEPT      32
#define MAX_CONTROL   4096
#define MAX_SHARES    16
/* A checkpoint that is stored and comes again is recalled each time, so the disk may be given all
 * that the daemon keeps for it at once, and the spectra of the checkpoints among it. */
#define MAX_LENT (RUN_UNSTORED_MAX + MAX_KEPT * MAX_LAYERS)

/* ---- the actors ---------------------------------------------------------------------------- */

enum letter_kind {
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

struct letter {
    struct list link;
    enum letter_kind kind;
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
    enum letter_kind kind;
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
    struct letter kept[MAX_KEPT];
    size_t n_kept;
    struct said said[MAX_CONTROL];
    size_t n_left;         /* things it still wants to do */
    bool open_lost;        /* or its welcome: it asks again */
    struct letter dropped; /* a batch that it may send after all, when it is too late */
    bool closing;
};

struct conn {
    struct list link;
    peer_id peer;
    struct trainer *trainer; /* NULL: what is in flight is all there will be */
    struct known_attempt *session;
    struct list up, down; /* of letter, of reply */
    unsigned silent_ticks;
    bool lost; /* was silent for too long, and is not open again */
};

/* ---- the oracle ---------------------------------------------------------------------------- */

/* Rows that entered a window: those of one batch. */
struct entered_rows {
    enum parcel_kind kind;
    uint64_t seed;
    size_t n;
};

struct known_layer {
    bool exists;
    bool known; /* and its shape */
    uint32_t p, c;
    uint64_t last_seq;
    uint64_t window_offered;
    uint64_t entered; /* since the last mark */
    struct entered_rows *segments;
    size_t n_segments;
};

struct expected_points {
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
struct known_attempt {
    struct list link;
    const struct record *open; /* while it is stored */
    struct trainer *trainer;
    struct conn *conn;
    uint32_t attempt;
    bool ready, closed, dead;
    uint64_t last_seq;
    uint64_t held_bytes;
    struct known_layer layers[MAX_LAYERS];
    struct expected_points *expected;
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
    bool crashing;                            /* what comes out goes nowhere */
    const struct record *unchecked[MAX_LENT]; /* lent before the oracle had thought */
    size_t n_unchecked;
};

#define CHECK(world, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("seed %" PRIu64 ", step %zu: %s\n", (world)->seed, (world)->n_steps,       \
                        #condition);                                                               \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

#define TRACE(world, ...)                                                                          \
    do {                                                                                           \
        if ((world)->trace)                                                                        \
            printf(__VA_ARGS__);                                                                   \
    } while (0)

static bool one_in(struct world *world, size_t n)
{
    return random_below(&world->rng, n) == 0;
}

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static uint64_t row_seed(const struct world *world, size_t trainer, size_t layer, uint64_t seq)
{
    struct random r;

    random_seed(&r, world->seed * 1000003 + trainer * 101 + layer * 7 + seq * 1299709);
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

/* Exponential windows halve a row's weight every half_life_rows newer ones. */
static double weight_at(struct window window, double age)
{
    return window.kind == WINDOW_EXPONENTIAL ? exp2(-age / window.half_life_rows) : 1;
}

/* The weights of all rows. Those of ready-made moments weigh their mean each. */
static void weigh(const struct known_layer *l, struct window window, double *w)
{
    double age = 0;
    size_t at = 0;

    for (size_t i = 0; i < l->n_segments; i++)
        at += l->segments[i].n;
    for (size_t i = l->n_segments; i-- > 0;) {
        const struct entered_rows *s = &l->segments[i];
        double sum = 0;

        for (size_t k = s->n; k-- > 0; age++)
            sum += w[--at] = weight_at(window, age);
        for (size_t k = 0; s->kind == PARCEL_MOMENTS && k < s->n; k++)
            w[at + k] = sum / (double)s->n;
    }
}

static struct reference measure(const struct known_layer *layer, struct window window)
{
    struct reference out;
    size_t n = 0, at = 0;
    double *x, *y, *w;

    for (size_t i = 0; i < layer->n_segments; i++)
        n += layer->segments[i].n;
    x = must(malloc(n * (layer->p + layer->c + 1) * sizeof *x));
    y = x + n * layer->p;
    w = y + n * layer->c;
    for (size_t i = 0; i < layer->n_segments; at += layer->segments[i++].n)
        parcel_values(layer->segments[i].seed, layer->segments[i].n, layer->p, layer->c,
                      x + at * layer->p, y + at * layer->c);
    weigh(layer, window, w);
    reference_measure(n, layer->p, x, layer->c, y, w, 1e-10, &out);
    free(x);
    return out;
}

static void expect_layer(struct known_attempt *attempt, size_t i, const struct total *total,
                         struct expected_points *out)
{
    struct known_layer *l = &attempt->layers[i];
    uint64_t offered = total->rows - l->window_offered;
    struct reference reference;

    if (!l->exists)
        return;
    out->layers[i].missing = offered - l->entered;
    out->layers[i].measured = l->n_segments > 0;
    if (l->n_segments > 0) {
        reference = measure(l, attempt->trainer->window);
        out->layers[i].n = reference.n;
        out->layers[i].d_lr = (double)reference.d_lr;
        out->layers[i].rank = reference.rank;
    }
    l->last_seq = total->seq;
    if (attempt->trainer->window.kind == WINDOW_CUMULATIVE || l->n_segments == 0)
        return; /* an empty window goes on */
    l->window_offered = total->rows;
    l->entered = 0;
    if (attempt->trainer->window.kind == WINDOW_CHECKPOINT)
        l->n_segments = 0;
}

static void expect_checkpoint(struct world *world, struct known_attempt *attempt,
                              const struct letter *letter)
{
    struct expected_points *expected;

    if (letter->seq <= attempt->last_seq)
        return;
    CHECK(world, world->refused < 0, "checkpoint %" PRIu64 " was refused with %d", letter->seq,
          world->refused);
    attempt->last_seq = letter->seq;
    attempt->expected =
        must(realloc(attempt->expected, (attempt->n_expected + 1) * sizeof *attempt->expected));
    expected = &attempt->expected[attempt->n_expected++];
    memset(expected, 0, sizeof *expected);
    expected->seq = letter->seq;
    for (size_t i = 0; i < attempt->trainer->n_layers; i++) {
        if (letter->named[i])
            expect_layer(attempt, i, &letter->totals[i], expected);
    }
}

static void note_entered(struct known_attempt *attempt, const struct letter *letter,
                         const struct parcel *parcel)
{
    struct known_layer *layer = &attempt->layers[letter->layer];

    if (parcel->kind == PARCEL_NAN)
        return;
    layer->entered += letter->n;
    layer->segments =
        must(realloc(layer->segments, (layer->n_segments + 1) * sizeof *layer->segments));
    layer->segments[layer->n_segments++] =
        (struct entered_rows){.kind = parcel->kind, .seed = parcel->seed, .n = letter->n};
}

/* Called before the event, since the parcel may be gone after it. */
static bool should_enter(const struct known_attempt *attempt, const struct letter *letter)
{
    const struct known_layer *layer = &attempt->layers[letter->layer];

    return letter->n > 0 && letter->seq > layer->last_seq &&
           (!layer->known || layer->p == letter->p);
}

/* A window is a sixteenth of what the others have left of the budget, or the smallest one: it grows
 * when they go. */
static uint64_t credit_max(const struct world *world)
{
    uint64_t share = world->config.budget_bytes / 16;

    return share > MONITOR_CREDIT_MIN ? share : MONITOR_CREDIT_MIN;
}

static void expect_batch(struct world *world, struct known_attempt *attempt, const struct letter *m,
                         struct parcel *parcel, bool should)
{
    struct known_layer *l = &attempt->layers[m->layer];
    bool shape_fits = !l->known || l->p == m->p;

    if (m->beyond_credit && world->refused == NACK_ECREDIT)
        return;
    CHECK(world, world->refused < 0 || (world->refused == NACK_ESHAPE && !shape_fits),
          "a good batch was refused with %s", nack_code_name((enum nack_code)world->refused));
    CHECK(world, world->gave_back == !should,
          "trainer %zu layer %zu batch %" PRIu64 ", last %" PRIu64, attempt->trainer->index,
          m->layer, m->seq, l->last_seq);
    if (!l->known) {
        l->exists = l->known = true;
        l->p = m->p;
        l->c = attempt->trainer->c[m->layer];
    }
    if (shape_fits && m->seq > l->last_seq)
        l->last_seq = m->seq;
    if (!should)
        return;
    parcel->owner = attempt;
    attempt->held_bytes += m->size_bytes;
    CHECK(world, attempt->held_bytes <= credit_max(world), "%" PRIu64 " bytes held of %" PRIu64,
          attempt->held_bytes, credit_max(world));
    note_entered(attempt, m, parcel);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void bind_session(struct known_attempt *attempt, struct conn *conn)
{
    if (attempt->conn)
        attempt->conn->session = NULL;
    if (conn && conn->session)
        conn->session->conn = NULL;
    attempt->conn = conn;
    if (conn)
        conn->session = attempt;
}

static void kill_session(struct known_attempt *attempt)
{
    attempt->dead = true;
    bind_session(attempt, NULL);
}

static void add_session(struct world *world, const struct record *open)
{
    struct known_attempt *attempt = must(calloc(1, sizeof *attempt));

    attempt->open = open;
    attempt->trainer = world->from->trainer;
    list_append(&world->sessions, &attempt->link);
    bind_session(attempt, world->from);
}

static struct known_attempt *session_of_open(const struct world *world, const struct record *open)
{
    LIST_EACH(at, &world->sessions)
    {
        struct known_attempt *attempt = LIST_ENTRY(at, struct known_attempt, link);

        if (attempt->open == open)
            return attempt;
    }
    return NULL;
}

/* The last one that the trainer has, which goes on. */
static struct known_attempt *session_of_trainer(const struct world *world,
                                                const struct trainer *trainer)
{
    struct known_attempt *found = NULL;

    LIST_EACH(at, &world->sessions)
    {
        struct known_attempt *attempt = LIST_ENTRY(at, struct known_attempt, link);

        if (attempt->trainer == trainer && !attempt->dead)
            found = attempt;
    }
    return found;
}

static void start_session(struct known_attempt *attempt, const struct open_result *opened)
{
    attempt->ready = true;
    attempt->attempt = opened->attempt;
    attempt->last_seq = opened->last_seq;
    for (size_t i = 0; i < opened->n_layers; i++) {
        struct known_layer *layer = &attempt->layers[layer_index(opened->layers[i].name)];

        layer->exists = true;
        layer->known = opened->layers[i].p > 0;
        layer->p = opened->layers[i].p;
        layer->c = opened->layers[i].c;
        layer->last_seq = opened->layers[i].batch_seq;
        layer->window_offered =
            attempt->trainer->window.kind == WINDOW_CHECKPOINT ? opened->layers[i].rows_offered : 0;
    }
}

static void free_sessions(struct world *world)
{
    LIST_EACH_SAFE(at, &world->sessions)
    {
        struct known_attempt *attempt = LIST_ENTRY(at, struct known_attempt, link);

        for (size_t i = 0; i < MAX_LAYERS; i++)
            free(attempt->layers[i].segments);
        free(attempt->expected);
        free(attempt);
    }
    list_init(&world->sessions);
}

/* ---- what comes out of a step -------------------------------------------------------------- */

static struct conn *conn_of_peer(const struct world *world, peer_id peer)
{
    LIST_EACH(at, &world->conns)
    {
        if (LIST_ENTRY(at, struct conn, link)->peer == peer)
            return LIST_ENTRY(at, struct conn, link);
    }
    return NULL;
}

static void send_reply(struct world *world, struct conn *conn, const struct action *action)
{
    struct reply *reply;

    if (!conn || !conn->trainer || world->crashing)
        return;
    reply = must(calloc(1, sizeof *reply));
    reply->action = *action;
    if (action->type == ACT_NACK)
        reply->nack = *action->nack;
    list_append(&conn->down, &reply->link);
}

/* A window is compared with the first one, or said not to be; never both, and not unasked. */
static void check_probe(struct world *world, const struct known_attempt *attempt,
                        const struct point *p)
{
    double s_init = p->value[METRIC_S_INIT];
    bool compared = !isnan(s_init), differs = p->flags & FLAG_PROBE_DIFFERS;

    if (!attempt->trainer->probe)
        CHECK(world, !compared && !differs, "s_init %g, flags %x without a probe", s_init,
              p->flags);
    else if (!(p->flags & FLAG_CONSTANT))
        CHECK(world, compared != differs, "s_init %g, flags %x", s_init, p->flags);
    CHECK(world, !compared || (p->rows_missing == 0 && s_init >= -1e-9 && s_init <= 1 + 1e-9),
          "s_init %g with %" PRIu64 " rows missing", s_init, p->rows_missing);
}

static void check_point(struct world *world, const struct known_attempt *attempt,
                        const struct expected_points *expected, const struct layer_point *p)
{
    size_t i = layer_index(p->layer);
    bool partial = p->point.flags & FLAG_PARTIAL;

    CHECK(world, p->measured == expected->layers[i].measured, "seq %" PRIu64 " layer %zu",
          expected->seq, i);
    if (!p->measured)
        return;
    CHECK(world, fabs(p->point.n - expected->layers[i].n) <= 1e-9 * expected->layers[i].n,
          "n %g, not %g", p->point.n, expected->layers[i].n);
    CHECK(world, p->point.rows_missing == expected->layers[i].missing,
          "seq %" PRIu64 " layer %zu window %d: missing %" PRIu64 ", not %" PRIu64, expected->seq,
          i, attempt->trainer->window.kind, p->point.rows_missing, expected->layers[i].missing);
    CHECK(world, partial == (p->point.rows_missing > 0), "flags %x", p->point.flags);
    check_probe(world, attempt, &p->point);
    if (expected->layers[i].rank == 0 || isnan(expected->layers[i].d_lr))
        return;
    CHECK(world, p->point.rank == expected->layers[i].rank, "n %g rank %u, not %zu", p->point.n,
          p->point.rank, expected->layers[i].rank);
    CHECK(world, fabs(p->point.value[METRIC_D_LR] - expected->layers[i].d_lr) <= 1e-6,
          "n %g d_lr %.9f, not %.9f", p->point.n, p->point.value[METRIC_D_LR],
          expected->layers[i].d_lr);
}

static const struct expected_points *find_expected(const struct known_attempt *attempt,
                                                   uint64_t seq)
{
    for (size_t i = 0; i < attempt->n_expected; i++) {
        if (attempt->expected[i].seq == seq)
            return &attempt->expected[i];
    }
    return NULL;
}

/* A checkpoint goes to the disk: are these the points that one of the sessions expects? The disk
 * knows the rest: whether it comes twice, or out of order. */
static void check_lent(struct world *world, const struct record *record)
{
    const struct expected_points *expected = NULL;

    if (record->kind != RECORD_CHECKPOINT)
        return;
    LIST_EACH(at, &world->sessions)
    {
        struct known_attempt *attempt = LIST_ENTRY(at, struct known_attempt, link);

        expected = attempt->attempt == record->attempt &&
                           strcmp(attempt->trainer->run, record->run) == 0 && !attempt->dead
                       ? find_expected(attempt, record->seq)
                       : NULL;
        for (size_t i = 0; expected && i < record->n_points; i++)
            check_point(world, attempt, expected, &record->points[i]);
        if (expected)
            return;
    }
    CHECK(world, false, "nobody sent checkpoint %" PRIu64 " of %s", record->seq, record->run);
}

static void check_all_lent(struct world *world)
{
    for (size_t i = 0; i < world->n_unchecked; i++)
        check_lent(world, world->unchecked[i]);
    world->n_unchecked = 0;
}

static void check_acked(struct world *world, struct conn *conn, uint64_t seq)
{
    const struct known_attempt *attempt = conn ? conn->session : NULL;

    if (!attempt || world->crashing || seq == 0)
        return;
    CHECK(world, disk_item(&world->disk, attempt->trainer->run, attempt->attempt, seq),
          "%s attempt %u: %" PRIu64 " is acknowledged and not on disk", attempt->trainer->run,
          attempt->attempt, seq);
}

static void start_job(struct world *world, struct job *job)
{
    struct out_job *o = must(calloc(1, sizeof *o));

    CHECK(world, job->n_shares >= 1 && job->n_shares <= MAX_SHARES, "%zu shares", job->n_shares);
    o->job = job;
    for (o->n_left = 0; o->n_left < job->n_shares; o->n_left++)
        o->left[o->n_left] = o->n_left;
    list_append(&world->jobs, &o->link);
}

static void on_welcome(struct world *world, struct conn *conn, const struct action *action)
{
    struct known_attempt *attempt = world->event->type == EV_STORED
                                        ? session_of_open(world, world->event->record)
                                        : session_of_trainer(world, world->from->trainer);

    world->welcomed = true;
    CHECK(world, attempt && attempt->ready && attempt->attempt == action->welcome.attempt,
          "welcome to attempt %u", action->welcome.attempt);
    CHECK(world,
          action->welcome.last_seq <=
              disk_attempt(&world->disk, action->welcome.run, attempt->attempt)->last_seq,
          "last_seq %" PRIu64, action->welcome.last_seq);
    if (world->event->type == EV_STORED) {
        LIST_EACH(at, &world->sessions)
        {
            struct known_attempt *old = LIST_ENTRY(at, struct known_attempt, link);

            if (old != attempt && old->ready &&
                strcmp(old->trainer->run, attempt->trainer->run) == 0)
                kill_session(old);
        }
    }
    if (conn) {
        conn->silent_ticks = 0;
        conn->lost = false;
        bind_session(attempt, conn);
    }
    send_reply(world, conn, action);
}

static void on_nack(struct world *world, struct conn *conn, struct action *action)
{
    TRACE(world, "  nack %s %s\n", nack_code_name(action->nack->code), action->nack->why.text);
    if (conn && conn == world->from && world->refused < 0)
        world->refused = (int)action->nack->code;
    if (action->nack->code == NACK_EFENCED && conn && conn->session && conn->session->ready)
        kill_session(conn->session);
    send_reply(world, conn, action);
    free(action->nack);
}

static void on_complete(struct world *world, struct conn *conn, struct action *action)
{
    struct record *r = action->record;
    uint64_t seq = r->seq;

    CHECK(world, r->rc == 0, "completed with %d", r->rc);
    check_acked(world, conn, seq);
    record_free(r);
    action->type = ACT_ACK;
    action->seq = seq;
    if (seq > 0)
        send_reply(world, conn, action);
}

static void on_store(struct world *world, struct action *action)
{
    if (action->record->kind == RECORD_OPEN) {
        world->lent_open = true;
        add_session(world, action->record);
    }
    CHECK(world, world->n_unchecked < MAX_LENT, "too many records at once");
    world->unchecked[world->n_unchecked++] = action->record;
    disk_put(&world->disk, action->record);
}

static void perform(struct world *world, struct action *action)
{
    struct conn *conn = action->peer ? conn_of_peer(world, action->peer) : NULL;

    switch (action->type) {
    case ACT_WELCOME:
        on_welcome(world, conn, action);
        break;
    case ACT_PROGRESS:
        send_reply(world, conn, action);
        break;
    case ACT_ACK:
        check_acked(world, conn, action->seq);
        send_reply(world, conn, action);
        break;
    case ACT_COMPLETE:
        on_complete(world, conn, action);
        break;
    case ACT_NACK:
        on_nack(world, conn, action);
        break;
    case ACT_JOB:
        start_job(world, action->job);
        break;
    case ACT_STORE:
        on_store(world, action);
        break;
    case ACT_FATAL:
        CHECK(world, false, "fatal: %s", action->fatal.text);
        break;
    }
}

static void give_back(struct world *world, struct batch *batch)
{
    struct parcel *parcel = (struct parcel *)batch;
    struct known_attempt *attempt = parcel->owner;

    if (attempt)
        attempt->held_bytes -= batch->size_bytes;
    if (world->event && world->event->type == EV_BATCH && world->event->batch == batch)
        world->gave_back = true;
    parcel_free(parcel);
}

static void step(struct world *world, struct event *event, struct conn *from)
{
    struct batch *batch;

    world->event = event;
    world->from = from;
    world->gave_back = false;
    world->lent_open = false;
    world->welcomed = false;
    world->refused = -1;
    event->peer = from ? from->peer : 0;
    event->time = world->time;
    monitor_step(world->monitor, event, &world->out);
    for (size_t i = 0; i < world->out.n; i++)
        perform(world, &world->out.items[i]);
    world->out.n = 0;
    while ((batch = actions_next_released(&world->out)))
        give_back(world, batch);
    if (event->type != EV_CHECKPOINT)
        check_all_lent(world);
    world->event = NULL;
    CHECK(world, !world->out.out_of_memory, "no memory");
}

/* ---- the network --------------------------------------------------------------------------- */

static struct event open_event(struct world *world, const struct conn *conn,
                               const struct letter *letter)
{
    struct record *record = must(record_new(RECORD_OPEN, conn->trainer->run));
    struct event event = {.type = EV_OPEN, .open.projector.kind = PROJECTOR_SPAN};

    record->open.writer = must(strdup(conn->trainer->writer));
    record->open.attempt = letter->attempt;
    record->open.watched = (struct watch_list){.n = 2, .metrics = {METRIC_D_LR, METRIC_PR}};
    record->open.resume = one_in(world, 50) ? RESUME_NEVER : RESUME_ALLOW;
    event.open.record = record;
    event.open.window = conn->trainer->window;
    event.open.probe = conn->trainer->probe;
    event.open.spectrum.every = (uint32_t)random_below(&world->rng, 4);
    return event;
}

/* Reconnected to an attempt that the daemon still holds: the welcome comes now, or when its first
 * opening is on disk. */
static void deliver_open(struct world *world, struct conn *conn, const struct letter *letter)
{
    struct event event = open_event(world, conn, letter);
    struct known_attempt *attempt;

    step(world, &event, conn);
    if (world->lent_open || world->welcomed || world->refused >= 0)
        return;
    attempt = session_of_trainer(world, conn->trainer);
    CHECK(world, attempt && !attempt->ready, "open was not answered");
    bind_session(attempt, conn);
}

static void deliver_batch(struct world *world, struct conn *conn, const struct letter *letter)
{
    struct event event = {.type = EV_BATCH};
    struct known_attempt *s = conn->session;
    struct parcel *parcel;
    char name[32];
    bool should = s && should_enter(s, letter);

    layer_name(letter->layer, name);
    parcel = parcel_new(letter->parcel, name, letter->p, conn->trainer->c[letter->layer], letter->n,
                        row_seed(world, conn->trainer->index, letter->layer, letter->seq));
    parcel->batch.seq = letter->seq;
    parcel->batch.step = letter->step;
    parcel->batch.rows_before = letter->rows_before;
    parcel->batch.size_bytes = letter->size_bytes;
    event.batch = &parcel->batch;
    step(world, &event, conn);
    if (world->refused == NACK_ENOTOPEN)
        CHECK(world, world->gave_back, "refused and kept");
    else
        expect_batch(world, s, letter, parcel, should);
}

static void deliver_checkpoint(struct world *world, struct conn *conn, const struct letter *letter)
{
    struct checkpoint_layer layers[MAX_LAYERS];
    char names[MAX_LAYERS][32];
    struct event event = {.type = EV_CHECKPOINT};

    event.checkpoint.seq = letter->seq;
    event.checkpoint.step = letter->step;
    event.checkpoint.layers = layers;
    for (size_t i = 0; i < conn->trainer->n_layers; i++) {
        layer_name(i, names[i]);
        if (letter->named[i])
            layers[event.checkpoint.n_layers++] = (struct checkpoint_layer){
                .name = names[i], .seq = letter->totals[i].seq, .rows = letter->totals[i].rows};
    }
    step(world, &event, conn);
}

static void deliver_log(struct world *world, struct conn *conn, const struct letter *letter)
{
    struct event event = {.type = EV_LOG};

    event.log = must(record_new(RECORD_LOG, conn->trainer->run));
    event.log->seq = letter->seq;
    event.log->step = letter->step;
    step(world, &event, conn);
}

static void deliver_close(struct world *world, struct conn *conn, const struct letter *letter)
{
    struct event event = {.type = EV_CLOSE};

    event.close.seq = letter->seq;
    step(world, &event, conn);
    if (conn->session && world->refused < 0)
        conn->session->closed = true;
}

/* ENOTOPEN is right only when nothing is open, or was given up. */
static void check_not_open(struct world *world, struct conn *conn)
{
    struct known_attempt *attempt = conn->session;

    CHECK(world, !attempt || !attempt->ready || attempt->closed || conn->lost,
          "trainer %zu is open", conn->trainer->index);
    if (attempt && attempt->ready)
        bind_session(attempt, NULL);
}

static void deliver(struct world *world, struct conn *conn, const struct letter *letter)
{
    static const char *const names[] = {"open", "batch", "checkpoint", "log", "close", "ping"};
    struct known_attempt *before = conn->session;
    struct event alive = {.type = EV_ALIVE};

    TRACE(world,
          "%zu trainer %zu peer %" PRIu64 " %s seq %" PRIu64 " layer %zu n %zu rows %" PRIu64
          " attempt %u\n",
          world->n_steps, conn->trainer->index, conn->peer, names[letter->kind], letter->seq,
          letter->layer, letter->n, letter->rows_before, letter->attempt);
    switch (letter->kind) {
    case SEND_OPEN:
        deliver_open(world, conn, letter);
        return;
    case SEND_BATCH:
        deliver_batch(world, conn, letter);
        break;
    case SEND_CHECKPOINT:
        deliver_checkpoint(world, conn, letter);
        break;
    case SEND_LOG:
        deliver_log(world, conn, letter);
        break;
    case SEND_CLOSE:
        deliver_close(world, conn, letter);
        break;
    case SEND_PING:
        step(world, &alive, conn);
        break;
    }
    if (world->refused == NACK_ENOTOPEN)
        check_not_open(world, conn);
    else if (before && before->ready && letter->kind == SEND_CHECKPOINT)
        expect_checkpoint(world, before, letter);
    else if (before && before->ready && (letter->kind == SEND_LOG || letter->kind == SEND_CLOSE) &&
             letter->seq > before->last_seq)
        before->last_seq = letter->seq;
    check_all_lent(world);
    conn->silent_ticks = 0;
}

static void drop_messages(struct conn *conn)
{
    if (conn->trainer->conn == conn && conn->trainer->state == OPENING)
        conn->trainer->open_lost = true;
    LIST_EACH_SAFE(at, &conn->up)
    {
        free(LIST_ENTRY(at, struct letter, link));
    }
    LIST_EACH_SAFE(at, &conn->down)
    {
        free(LIST_ENTRY(at, struct reply, link));
    }
    list_init(&conn->up);
    list_init(&conn->down);
}

static void free_conn(struct conn *conn)
{
    if (conn->trainer && conn->trainer->conn == conn)
        conn->trainer->conn = NULL;
    if (conn->session)
        conn->session->conn = NULL;
    drop_messages(conn);
    list_remove(&conn->link);
    free(conn);
}

static struct conn *connect_to(struct world *world, struct trainer *trainer)
{
    struct conn *conn = must(calloc(1, sizeof *conn));

    conn->peer = ++world->last_peer;
    conn->trainer = trainer;
    list_init(&conn->up);
    list_init(&conn->down);
    list_append(&world->conns, &conn->link);
    trainer->conn = conn;
    return conn;
}

/* ZeroMQ connects again by itself: the trainer hears nothing of it, the daemon sees a new peer. */
static void switch_peer(struct world *world, struct conn *conn)
{
    struct event gone = {.type = EV_GONE};

    if (one_in(world, 2))
        step(world, &gone, conn);
    if (conn->session)
        bind_session(conn->session, NULL);
    drop_messages(conn);
    conn->peer = ++world->last_peer;
    conn->silent_ticks = 0;
}

/* ---- a trainer ----------------------------------------------------------------------------- */

static void send_message(struct trainer *trainer, const struct letter *letter)
{
    struct letter *copy = must(malloc(sizeof *copy));

    *copy = *letter;
    list_append(&trainer->conn->up, &copy->link);
}

static void leave(struct world *world, struct trainer *trainer, enum trainer_state state)
{
    if (trainer->conn && one_in(world, 2)) {
        free_conn(trainer->conn);
    } else if (trainer->conn) { /* what was sent arrives late, over the old connection */
        struct conn *conn = trainer->conn;
        LIST_EACH_SAFE(at, &conn->down)
        {
            list_remove(at);
            free(LIST_ENTRY(at, struct reply, link));
        }
    }
    trainer->conn = NULL;
    trainer->state = state;
}

static void send_open(struct world *world, struct trainer *trainer)
{
    struct letter letter = {.kind = SEND_OPEN, .attempt = trainer->attempt};

    if (trainer->rogue)
        letter.attempt = (uint32_t)(1 + random_below(&world->rng, 2));
    trainer->state = OPENING;
    trainer->open_lost = false;
    send_message(trainer, &letter);
}

static void keep_and_send(struct trainer *trainer, struct letter *letter)
{
    letter->seq = ++trainer->seq;
    letter->step = ++trainer->step;
    trainer->said[letter->seq] = (struct said){.kind = letter->kind, .step = letter->step};
    trainer->kept[trainer->n_kept++] = *letter;
    send_message(trainer, letter);
}

static size_t draw_rows(struct world *world, const struct trainer *trainer)
{
    return one_in(world, 20)
               ? 0
               : 1 + random_below(&world->rng, one_in(world, 6) ? trainer->max_rows : 12);
}

static void send_batch(struct world *world, struct trainer *trainer)
{
    size_t i = random_below(&world->rng, trainer->n_layers), n = draw_rows(world, trainer);
    struct letter letter = {
        .kind = SEND_BATCH, .layer = i, .n = n, .p = trainer->p[i], .step = trainer->step};

    letter.seq = ++trainer->totals[i].seq;
    letter.rows_before = trainer->totals[i].rows;
    trainer->totals[i].rows += n;
    letter.parcel = one_in(world, 15) ? PARCEL_NAN : (enum parcel_kind)random_below(&world->rng, 3);
    if (n == 0)
        letter.parcel = PARCEL_F32;
    letter.size_bytes = n * (trainer->p[i] + trainer->c[i]) * sizeof(float);
    if (one_in(world, 4))
        letter.size_bytes += random_below(&world->rng, 3 << 20);
    if (trainer->careless && one_in(world, 20))
        letter.p++;
    letter.beyond_credit = trainer->sent + letter.size_bytes > trainer->granted;
    if (one_in(world, 10) || (letter.beyond_credit && !(trainer->careless && one_in(world, 3)))) {
        trainer->dropped = letter; /* and counted */
        return;
    }
    trainer->sent += letter.size_bytes;
    send_message(trainer, &letter);
}

static void send_late(struct trainer *trainer)
{
    struct letter letter = trainer->dropped;

    if (letter.n == 0 || trainer->sent + letter.size_bytes > trainer->granted)
        return;
    letter.beyond_credit = false;
    trainer->dropped.n = 0;
    trainer->sent += letter.size_bytes;
    send_message(trainer, &letter);
}

static void send_checkpoint(struct world *world, struct trainer *trainer)
{
    struct letter letter = {.kind = SEND_CHECKPOINT};

    for (size_t i = 0; i < trainer->n_layers; i++) {
        letter.named[i] = !one_in(world, 4);
        letter.totals[i] = trainer->totals[i];
    }
    keep_and_send(trainer, &letter);
}

static void send_close(struct trainer *trainer)
{
    struct letter letter = {.kind = SEND_CLOSE};

    trainer->closing = true;
    keep_and_send(trainer, &letter);
}

static void act_open(struct world *world, struct trainer *trainer)
{
    struct letter letter = {.kind = SEND_PING};
    size_t what = random_below(&world->rng, 100);

    if (trainer->n_kept > 0 && what < 3) {
        send_message(trainer, &trainer->kept[0]);
    } else if (what < 5) {
        send_late(trainer);
    } else if (!world->calm && what < 7) {
        leave(world, trainer, AWAY);
    } else if (!world->calm && one_in(world, 700)) {
        leave(world, trainer, DEAD);
    } else if (trainer->closing || trainer->n_kept == MAX_KEPT || what < 13) {
        if (one_in(world, 4))
            send_message(trainer, &letter);
    } else if (world->calm || trainer->n_left == 0) {
        send_close(trainer);
    } else if (what < 80) {
        send_batch(world, trainer);
        trainer->n_left--;
    } else if (what < 90) {
        send_checkpoint(world, trainer);
    } else {
        letter.kind = SEND_LOG;
        keep_and_send(trainer, &letter);
    }
}

static void act(struct world *world, struct trainer *trainer)
{
    switch (trainer->state) {
    case AWAY:
        connect_to(world, trainer);
        send_open(world, trainer);
        break;
    case OPENING:
        if (trainer->open_lost)
            send_open(world, trainer);
        break;
    case OPEN:
        act_open(world, trainer);
        break;
    case DONE:
    case STOPPED:
    case DEAD:
        break;
    }
}

static void hear_welcome(struct world *world, struct trainer *trainer, const struct welcome *hello)
{
    CHECK(world, trainer->attempt == 0 || trainer->attempt == hello->attempt || trainer->rogue,
          "attempt %u, not %u", hello->attempt, trainer->attempt);
    trainer->state = OPEN;
    trainer->attempt = hello->attempt;
    trainer->granted = hello->granted;
    trainer->sent = 0;
    for (size_t i = 0; i < trainer->n_kept; i++)
        send_message(trainer, &trainer->kept[i]);
}

static void hear_ack(struct world *world, struct trainer *trainer, uint64_t seq)
{
    CHECK(world, seq >= 1 && seq <= trainer->seq, "acknowledged %" PRIu64 " of %" PRIu64, seq,
          trainer->seq);
    trainer->said[seq].acked = true;
    for (size_t i = 0; i < trainer->n_kept; i++) {
        if (trainer->kept[i].seq != seq)
            continue;
        memmove(&trainer->kept[i], &trainer->kept[i + 1],
                (trainer->n_kept - i - 1) * sizeof trainer->kept[0]);
        trainer->n_kept--;
        break;
    }
    if (trainer->closing && trainer->n_kept == 0)
        leave(world, trainer, DONE);
}

static void hear_nack(struct world *world, struct trainer *trainer, const struct nack *nack)
{
    switch (nack->code) {
    case NACK_ENOTOPEN:
        if (trainer->state == OPEN)
            send_open(world, trainer);
        break;
    case NACK_EBUSY:
    case NACK_EIO:
        CHECK(world, trainer->state == OPENING, "%s", nack->why.text);
        leave(world, trainer, AWAY);
        break;
    case NACK_EFENCED:
    case NACK_EHELD:
    case NACK_EEXIST:
    case NACK_ENOENT:
        leave(world, trainer, STOPPED);
        break;
    case NACK_ENUMERIC:
    case NACK_ESHAPE: /* perhaps for the shape that another trainer of the run declared */
        break;
    case NACK_ECREDIT:
    case NACK_EPROTO:
    case NACK_EVERSION:
    case NACK_EGONE:
    case NACK_EACCES:
    case NACK_COUNT:
        CHECK(world, trainer->careless, "%s", nack->why.text);
        break;
    }
}

static void hear(struct world *world, struct trainer *trainer, const struct reply *reply)
{
    switch (reply->action.type) {
    case ACT_WELCOME:
        hear_welcome(world, trainer, &reply->action.welcome);
        break;
    case ACT_PROGRESS:
        if (reply->action.granted > trainer->granted)
            trainer->granted = reply->action.granted;
        break;
    case ACT_ACK:
        hear_ack(world, trainer, reply->action.seq);
        break;
    default:
        hear_nack(world, trainer, &reply->nack);
    }
}

/* ---- what can happen ----------------------------------------------------------------------- */

static struct list *draw(struct world *world, struct list *head)
{
    size_t n = 0, k;

    LIST_EACH(at, head)
    {
        n++;
    }
    if (n == 0)
        return NULL;
    k = random_below(&world->rng, n);
    LIST_EACH(at, head)
    {
        if (k-- == 0)
            return at;
    }
    return NULL;
}

/* A batch that comes twice costs credit twice. */
static bool may_repeat(const struct conn *conn, const struct letter *letter)
{
    const struct trainer *trainer = conn->trainer;

    return trainer->conn == conn && trainer->state == OPEN && letter->kind != SEND_OPEN &&
           !letter->beyond_credit && trainer->sent + letter->size_bytes <= trainer->granted;
}

/* Delivers, and sometimes once more, later. */
static void deliver_one(struct world *world)
{
    struct list *at = draw(world, &world->conns);
    struct conn *conn = at ? LIST_ENTRY(at, struct conn, link) : NULL;
    struct letter *letter;

    if (!conn)
        return;
    if (list_empty(&conn->up)) {
        if (conn->trainer->conn != conn)
            free_conn(conn);
        return;
    }
    letter = LIST_ENTRY(list_first(&conn->up), struct letter, link);
    list_remove(&letter->link);
    deliver(world, conn, letter);
    if (!world->calm && may_repeat(conn, letter) && one_in(world, 20)) {
        list_append(&conn->up, &letter->link);
        conn->trainer->sent += letter->size_bytes;
        return;
    }
    free(letter);
}

static void hear_one(struct world *world)
{
    struct list *at = draw(world, &world->conns);
    struct conn *conn = at ? LIST_ENTRY(at, struct conn, link) : NULL;
    struct reply *reply;

    if (!conn || list_empty(&conn->down) || conn->trainer->conn != conn)
        return;
    reply = LIST_ENTRY(list_first(&conn->down), struct reply, link);
    list_remove(&reply->link);
    hear(world, conn->trainer, reply);
    free(reply);
}

static void work_one(struct world *world)
{
    struct list *at = draw(world, &world->jobs);
    struct out_job *job = at ? LIST_ENTRY(at, struct out_job, link) : NULL;
    struct event event = {.type = EV_JOB_DONE};
    size_t k;

    if (!job)
        return;
    k = random_below(&world->rng, job->n_left);
    job_work(job->job, job->left[k]);
    job->left[k] = job->left[--job->n_left];
    if (job->n_left > 0)
        return;
    event.job = job->job;
    list_remove(&job->link);
    free(job);
    step(world, &event, NULL);
}

static void commit_some(struct world *world)
{
    if (world->disk_full > 0) {
        world->disk_full--;
        disk_fail(&world->disk, -ENOSPC, "no space left");
    } else {
        disk_commit(&world->disk, 1 + random_below(&world->rng, 8));
    }
}

static void give_back_record(struct world *world)
{
    struct event event = {.type = EV_STORED, .record = disk_take(&world->disk)};
    struct known_attempt *attempt;

    if (!event.record)
        return;
    TRACE(world, "%zu stored kind %d %s attempt %u seq %" PRIu64 " rc %d\n", world->n_steps,
          event.record->kind, event.record->run, event.record->attempt, event.record->seq,
          event.record->rc);
    attempt = event.record->kind == RECORD_OPEN ? session_of_open(world, event.record) : NULL;
    if (attempt && event.record->rc == 0)
        start_session(attempt, &event.record->opened);
    else if (attempt)
        kill_session(attempt);
    step(world, &event, NULL);
    if (attempt)
        attempt->open = NULL;
}

static void tick(struct world *world)
{
    struct event event = {.type = EV_TICK};

    world->time++;
    LIST_EACH(at, &world->conns)
    {
        struct conn *conn = LIST_ENTRY(at, struct conn, link);

        conn->lost = conn->lost || ++conn->silent_ticks >= MONITOR_LOST_TICKS;
    }
    step(world, &event, NULL);
}

/* All that is out comes home, and nothing of what the monitor then wants is done. */
static void bring_home(struct world *world)
{
    world->crashing = true;
    while (!monitor_is_quiet(world->monitor)) {
        disk_fail(&world->disk, -ENOSPC, "killed");
        give_back_record(world);
        work_one(world);
    }
    monitor_free(world->monitor, &world->out);
    for (struct batch *batch; (batch = actions_next_released(&world->out));)
        give_back(world, batch);
    world->crashing = false;
}

/* The daemon is killed and starts again over what is on disk. */
static void crash(struct world *world)
{
    TRACE(world, "%zu crash\n", world->n_steps);
    bring_home(world);
    LIST_EACH(at, &world->sessions)
    {
        kill_session(LIST_ENTRY(at, struct known_attempt, link));
    }
    LIST_EACH_SAFE(at, &world->conns)
    {
        struct conn *conn = LIST_ENTRY(at, struct conn, link);

        drop_messages(conn);
        conn->peer = ++world->last_peer;
    }
    world->monitor = must(monitor_new(&world->config));
}

static void go_wrong(struct world *world)
{
    struct list *at = draw(world, &world->conns);

    if (at && LIST_ENTRY(at, struct conn, link)->trainer->conn && one_in(world, 3))
        switch_peer(world, LIST_ENTRY(at, struct conn, link));
    else if (one_in(world, 3))
        world->disk_full = 1 + (unsigned)random_below(&world->rng, 4);
    else if (one_in(world, 4))
        crash(world);
    else if (one_in(world, 3))
        for (size_t n = random_below(&world->rng, 40); n > 0; n--)
            tick(world);
}

static void happen(struct world *world)
{
    size_t what = random_below(&world->rng, 100);

    world->n_steps++;
    if (what < 35)
        act(world, &world->trainers[random_below(&world->rng, world->n_trainers)]);
    else if (what < 60)
        deliver_one(world);
    else if (what < 72)
        hear_one(world);
    else if (what < 84)
        work_one(world);
    else if (what < 90)
        commit_some(world);
    else if (what < 97)
        give_back_record(world);
    else if (what < 99)
        tick(world);
    else if (!world->calm && one_in(world, 3))
        go_wrong(world);
}

/* ---- one world ----------------------------------------------------------------------------- */

static void make_trainer(struct world *world, size_t i, size_t n_runs, bool wide)
{
    struct trainer *trainer = &world->trainers[i];
    size_t run = random_below(&world->rng, n_runs);
    double half_life_rows;
    struct random shape;

    random_seed(&shape, world->seed * 31 + run); /* trainers of one run have one shape */
    trainer->index = i;
    sprintf(trainer->run, "run-%zu", run);
    sprintf(trainer->writer, "writer-%zu", i);
    trainer->rogue = i > 0 && one_in(world, 8);
    trainer->careless = one_in(world, 6);
    trainer->window.kind = (enum window_kind)random_below(&world->rng, 3);
    half_life_rows = 5 + (double)random_below(&world->rng, 50);
    if (trainer->window.kind == WINDOW_EXPONENTIAL)
        trainer->window.half_life_rows = half_life_rows;
    trainer->n_layers = 1 + random_below(&shape, MAX_LAYERS);
    for (size_t k = 0; k < trainer->n_layers; k++) {
        trainer->p[k] = 1 + (uint32_t)random_below(&shape, 6);
        trainer->c[k] = 1 + (uint32_t)random_below(&shape, 3);
        if (wide && k == 0)
            trainer->p[k] = 520;
    }
    trainer->max_rows = wide ? 20 : one_in(world, 4) ? 1500 : 60;
    trainer->n_left = 20 + random_below(&world->rng, 150);
    trainer->probe = trainer->window.kind == WINDOW_CHECKPOINT && one_in(world, 2);
}

static void start_world(struct world *world, uint64_t seed)
{
    bool wide = seed % 60 == 0;

    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->trace = getenv("SIM_TRACE");
    random_seed(&world->rng, seed);
    list_init(&world->jobs);
    list_init(&world->conns);
    list_init(&world->sessions);
    actions_init(&world->out);
    disk_init(&world->disk);
    world->config = (struct monitor_config){
        .n_workers = 1 + random_below(&world->rng, 4),
        .budget_bytes = (UINT64_C(40) + random_below(&world->rng, 100)) << 20,
        .state_bytes = 0x1p40,
        .spectrum_follows_p = (uint32_t)random_below(&world->rng, 3),
    };
    world->monitor = must(monitor_new(&world->config));
    world->n_trainers = wide ? 2 : 2 + random_below(&world->rng, MAX_TRAINERS - 1);
    for (size_t i = 0; i < world->n_trainers; i++)
        make_trainer(world, i, 1 + world->n_trainers / 2, wide);
}

static bool is_still(const struct world *world)
{
    for (size_t i = 0; i < world->n_trainers; i++) {
        if (world->trainers[i].state < DONE)
            return false;
    }
    return true;
}

static void flush_world(struct world *world)
{
    while (!list_empty(&world->conns))
        free_conn(LIST_ENTRY(list_first(&world->conns), struct conn, link));
    for (size_t i = 0; i < 3 * MONITOR_LOST_TICKS; i++) {
        tick(world);
        while (!list_empty(&world->jobs))
            work_one(world);
        disk_commit(&world->disk, 1000);
        while (!list_empty(&world->disk.done))
            give_back_record(world);
    }
}

static void check_said(struct world *world, const struct trainer *trainer)
{
    for (uint64_t seq = 1; seq <= trainer->seq; seq++) {
        const struct said *said = &trainer->said[seq];
        const struct disk_item *item = disk_item(&world->disk, trainer->run, trainer->attempt, seq);

        CHECK(world, said->acked || trainer->state != DONE, "%" PRIu64 " of %s never acknowledged",
              seq, trainer->writer);
        CHECK(
            world, !said->acked || (item && (said->kind == SEND_CLOSE || item->step == said->step)),
            "%" PRIu64 " of %s was acknowledged and is not what was stored", seq, trainer->writer);
    }
}

static void check_end(struct world *world)
{
    struct monitor_stats stats = monitor_stats(world->monitor);

    CHECK(world, monitor_is_settled(world->monitor) && monitor_is_quiet(world->monitor),
          "not settled");
    CHECK(world, stats.runs_open == 0 && stats.buffered_bytes == 0, "%zu runs, %" PRIu64 " bytes",
          stats.runs_open, stats.buffered_bytes);
    CHECK(world, parcel_live() == 0, "%zu batches were kept", parcel_live());
    for (size_t i = 0; i < world->n_trainers; i++)
        check_said(world, &world->trainers[i]);
}

static void end_world(struct world *world)
{
    bring_home(world);
    free_sessions(world);
    actions_release(&world->out);
    disk_release(&world->disk);
}

static void run_world(struct world *world, uint64_t seed)
{
    size_t n;

    start_world(world, seed);
    n = 500 + random_below(&world->rng, 3000);
    for (size_t i = 0; i < n; i++)
        happen(world);
    world->calm = true;
    world->disk_full = 0;
    for (size_t i = 0; i < 40000 && !is_still(world); i++)
        happen(world);
    CHECK(world, is_still(world), "the trainers never finished");
    flush_world(world);
    check_end(world);
    end_world(world);
}

static void every_promise_holds_in_any_order_of_events(void **state)
{
    static struct world world;
    const char *one = getenv("SIM_SEED"), *n = getenv("SIM_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t last = first + (n ? strtoull(n, NULL, 10) : one ? 1 : DEFAULT_SEEDS) - 1;

    (void)state;
    for (uint64_t seed = first; seed <= last; seed++)
        run_world(&world, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_holds_in_any_order_of_events),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
