/* The ranks of a job in a world that goes wrong: they are slow, die, start again alone, lose their
 * connections, disagree about steps; the disk fills up, the daemon is killed; all drawn from a
 * seed. Of what the engine promises to one trainer, test_monitor.c holds it to it. Here it is held
 * to what it promises to many:
 *
 *     acknowledged       is on disk, under that rank's number, and everything before it, too
 *     one point a step   whatever the ranks disagree on
 *     one writer a rank  the newest that was welcomed: an older one never gets it back
 *     n + rows_missing   summed over the points of a job: all rows that its ranks have offered
 *     held bytes         never beyond the credit of a rank
 *     at the end         all is acknowledged, every batch given back, nothing pending
 *
 * SIM_SEEDS=n runs seeds 1..n, SIM_SEED=k only k, both of them k..k+n-1. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/monitor/monitor.h"
#include "tests/lib/core/disk.h"
#include "tests/lib/core/parcel.h"
#include "tests/lib/random.h"

#define DEFAULT_SEEDS 8000
#define MAX_KEPT      64
#define N_LAYERS      2
#define P             3
#define C             2

enum said_kind { SAID_MARK, SAID_LOG, SAID_CLOSE };

/* A control message that is not acknowledged yet. */
struct said {
    enum said_kind kind;
    uint64_t seq;
    int64_t step;
    uint64_t batches[N_LAYERS], rows[N_LAYERS];
};

/* A message on its way to the daemon. */
struct letter {
    struct list link;
    bool is_batch;
    struct said said;
    struct parcel *parcel;
};

struct rank {
    uint32_t rank;
    unsigned n_processes; /* which of them is its writer */
    peer_id peer;         /* 0: not connected */
    bool is_open;         /* welcomed */
    bool knows_attempt;   /* welcomed before */
    peer_id old_peer;     /* its process before this one, which lives on; 0: none */
    bool is_done;         /* its close is acknowledged */
    bool closes;
    uint64_t granted, sent;
    uint64_t held; /* of its batches, in the daemon */
    uint64_t seq;
    int64_t step;
    uint64_t batches[N_LAYERS], rows[N_LAYERS];
    struct said kept[MAX_KEPT];
    size_t n_kept;
    struct list up; /* of letter */
};

struct world {
    uint64_t seed;
    struct random rng;
    struct monitor_config config;
    struct monitor *monitor;
    struct actions out;
    struct disk disk;
    struct list jobs;
    struct rank ranks[DISK_MEMBERS];
    uint32_t n_ranks;
    int64_t last_step; /* after which all close */
    peer_id last_peer;
    uint64_t n_parcels;
    bool calm, crashing;
    unsigned disk_full;
    bool restarts_alone; /* rows of a dead process are known to nobody: not counted then */
    bool goes_back;      /* then points replace earlier ones */
    size_t n_whole;      /* layers of which all rows were accounted for */
};

#define CHECK(world, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("seed %" PRIu64 ": %s\n", (world)->seed, #condition);                      \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
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

/* ---- what comes out of a step -------------------------------------------------------------- */

static void step(struct world *world, struct event *event, peer_id peer);

static struct rank *rank_of_peer(struct world *world, peer_id peer)
{
    for (uint32_t i = 0; i < world->n_ranks; i++) {
        if (peer && world->ranks[i].peer == peer)
            return &world->ranks[i];
    }
    return NULL;
}

static void hear_ack(struct world *world, struct rank *rank, uint64_t seq)
{
    size_t i = 0;

    CHECK(world, disk_item_of(&world->disk, "job", 1, rank->rank, seq) || seq == 0,
          "rank %u: %" PRIu64 " was acknowledged and is not on disk", rank->rank, seq);
    while (i < rank->n_kept && rank->kept[i].seq != seq)
        i++;
    if (i == rank->n_kept)
        return; /* twice */
    rank->is_done = rank->is_done || rank->kept[i].kind == SAID_CLOSE;
    memmove(&rank->kept[i], &rank->kept[i + 1], (rank->n_kept - i - 1) * sizeof rank->kept[0]);
    rank->n_kept--;
}

static void drop_letters(struct rank *rank)
{
    for (struct list *at; (at = list_first(&rank->up));) {
        struct letter *letter = LIST_ENTRY(at, struct letter, link);

        list_remove(at);
        if (letter->parcel)
            parcel_free(letter->parcel);
        free(letter);
    }
}

static void disconnect(struct rank *rank)
{
    drop_letters(rank);
    rank->peer = 0;
    rank->is_open = false;
}

static void queue_letter(struct rank *rank, struct letter letter)
{
    struct letter *copy = must(malloc(sizeof *copy));

    *copy = letter;
    list_append(&rank->up, &copy->link);
}

static void hear_welcome(struct world *world, struct rank *rank, const struct welcome *welcome)
{
    CHECK(world, welcome->attempt == 1 && welcome->rank == rank->rank, "attempt %u, rank %u",
          welcome->attempt, welcome->rank);
    CHECK(world, welcome->last_seq <= rank->seq, "last_seq %" PRIu64 " of %" PRIu64,
          welcome->last_seq, rank->seq);
    rank->is_open = rank->knows_attempt = true;
    rank->granted = welcome->granted;
    rank->sent = 0;
    for (size_t i = 0; i < rank->n_kept; i++)
        queue_letter(rank, (struct letter){.said = rank->kept[i]});
}

static void hear_nack(struct world *world, struct rank *rank, const struct nack *nack)
{
    bool may_try_again = (nack->code == NACK_EIO || nack->code == NACK_EBUSY) && !rank->is_open;

    CHECK(world, nack->code == NACK_ENOTOPEN || may_try_again, "rank %u: %s", rank->rank,
          nack->why.text);
    disconnect(rank);
}

static void hear_complete(struct world *world, struct record *record)
{
    for (size_t i = 0; i < record->n_senders; i++) {
        struct rank *rank = rank_of_peer(world, record->senders[i].peer);

        if (rank)
            hear_ack(world, rank, record->senders[i].seq);
    }
    record_free(record);
}

static bool is_old_peer(const struct world *world, peer_id peer)
{
    for (uint32_t i = 0; i < world->n_ranks; i++) {
        if (peer && world->ranks[i].old_peer == peer)
            return true;
    }
    return false;
}

static void perform(struct world *world, struct action *action)
{
    struct rank *rank = world->crashing ? NULL : rank_of_peer(world, action->peer);

    switch (action->type) {
    case ACT_WELCOME:
        CHECK(world, !is_old_peer(world, action->peer), "an older writer has its rank back");
        if (rank)
            hear_welcome(world, rank, &action->welcome);
        break;
    case ACT_PROGRESS:
        if (rank && action->granted > rank->granted)
            rank->granted = action->granted;
        break;
    case ACT_ACK:
        if (rank)
            hear_ack(world, rank, action->seq);
        break;
    case ACT_COMPLETE:
        if (world->crashing)
            record_free(action->record);
        else
            hear_complete(world, action->record);
        break;
    case ACT_NACK:
        if (rank)
            hear_nack(world, rank, action->nack);
        free(action->nack);
        break;
    case ACT_JOB:
        list_append(&world->jobs, &action->job->link);
        break;
    case ACT_STORE:
        disk_put(&world->disk, action->record);
        break;
    case ACT_FATAL:
        CHECK(world, false, "%s", action->fatal.text);
    }
}

static void take_released(struct world *world)
{
    for (struct batch *batch; (batch = actions_next_released(&world->out));) {
        struct parcel *parcel = (struct parcel *)batch;
        struct rank *rank = parcel->owner;

        rank->held -= batch->size_bytes;
        parcel_free(parcel);
    }
}

static void step(struct world *world, struct event *event, peer_id peer)
{
    struct actions out;

    event->peer = peer;
    monitor_step(world->monitor, event, &world->out);
    out = world->out; /* what is heard may step again */
    list_init(&out.released);
    list_move(&world->out.released, &out.released);
    actions_init(&world->out);
    list_move(&out.released, &world->out.released);
    for (size_t i = 0; i < out.n; i++)
        perform(world, &out.items[i]);
    free(out.items);
    take_released(world);
}

/* ---- what ranks do ------------------------------------------------------------------------- */

static void open_as(struct world *world, const struct rank *rank, unsigned process, bool knows,
                    peer_id peer)
{
    struct record *record = must(record_new(RECORD_OPEN, "job"));
    struct event event = {.type = EV_OPEN,
                          .open = {.record = record,
                                   .projector.kind = PROJECTOR_SPAN,
                                   .spectrum.every = (uint32_t)random_below(&world->rng, 4)}};
    char writer[32];

    sprintf(writer, "process-%u-%u", rank->rank, process);
    record->open.writer = must(strdup(writer));
    record->open.launch = must(strdup("launch"));
    record->open.rank = rank->rank;
    record->open.world = world->n_ranks;
    record->open.attempt = knows;
    step(world, &event, peer);
}

static void send_open(struct world *world, struct rank *rank)
{
    if (!rank->peer)
        rank->peer = ++world->last_peer;
    open_as(world, rank, rank->n_processes, rank->knows_attempt, rank->peer);
}

/* The process before this one was welcomed, too, and did not hear that it was replaced. */
static void old_process_opens(struct world *world, struct rank *rank)
{
    if (rank->n_processes == 0 || !rank->knows_attempt || rank->is_done)
        return;
    rank->old_peer = ++world->last_peer;
    open_as(world, rank, rank->n_processes - 1, true, rank->old_peer);
}

static void send_batch(struct world *world, struct rank *rank)
{
    size_t layer = random_below(&world->rng, N_LAYERS), n = 1 + random_below(&world->rng, 30);
    char name[] = {'l', (char)('0' + layer), '\0'};
    struct parcel *parcel = parcel_new(PARCEL_F32, name, P, C, n, ++world->n_parcels);

    parcel->batch.seq = ++rank->batches[layer];
    parcel->batch.rows_before = rank->rows[layer];
    parcel->batch.step = rank->step;
    parcel->owner = rank;
    rank->rows[layer] += n;
    if (rank->sent + parcel->batch.size_bytes > rank->granted || one_in(world, 20)) {
        parcel_free(parcel); /* dropped, and counted */
        return;
    }
    rank->sent += parcel->batch.size_bytes;
    queue_letter(rank, (struct letter){.is_batch = true, .parcel = parcel});
}

static void say(struct rank *rank, enum said_kind kind)
{
    struct said *said = &rank->kept[rank->n_kept++];

    *said = (struct said){.kind = kind, .seq = ++rank->seq, .step = rank->step};
    memcpy(said->batches, rank->batches, sizeof said->batches);
    memcpy(said->rows, rank->rows, sizeof said->rows);
    queue_letter(rank, (struct letter){.said = *said});
}

/* Its process is killed, and started again alone, at the step that it had come to. */
static void start_again(struct world *world, struct rank *rank)
{
    if (rank->is_done || rank->closes)
        return;
    world->restarts_alone = true;
    disconnect(rank);
    rank->n_processes++;
    rank->knows_attempt = false;
    rank->n_kept = 0;
    rank->seq = 0;
    memset(rank->batches, 0, sizeof rank->batches);
    memset(rank->rows, 0, sizeof rank->rows);
}

static void next_step(struct world *world, struct rank *rank)
{
    rank->step++;
    if (!world->calm && one_in(world, 200) && rank->step > 5) {
        rank->step -= 5;
        world->goes_back = true;
    }
    if (!world->calm && one_in(world, 15))
        return; /* it marks another one */
    say(rank, SAID_MARK);
}

static void act_open(struct world *world, struct rank *rank)
{
    if (rank->closes || rank->n_kept + 2 >= MAX_KEPT)
        return;
    if (rank->step >= world->last_step) {
        say(rank, SAID_MARK);
        say(rank, SAID_CLOSE);
        rank->closes = true;
    } else if (one_in(world, 3)) {
        next_step(world, rank);
    } else if (one_in(world, 6)) {
        say(rank, SAID_LOG);
    } else {
        send_batch(world, rank);
    }
}

static void act(struct world *world, struct rank *rank)
{
    if (rank->is_done)
        return;
    if (!world->calm && one_in(world, 150))
        disconnect(rank);
    else if (!world->calm && world->seed % 3 == 0 && one_in(world, 400))
        start_again(world, rank);
    else if (!world->calm && one_in(world, 60))
        old_process_opens(world, rank);
    else if (!rank->is_open)
        send_open(world, rank);
    else
        act_open(world, rank);
}

/* ---- the network and the machine ----------------------------------------------------------- */

static void deliver_said(struct world *world, struct rank *rank, const struct said *said)
{
    struct checkpoint_layer layers[N_LAYERS] = {{.name = "l0"}, {.name = "l1"}};
    struct event event = {0};

    for (size_t i = 0; i < N_LAYERS; i++) {
        layers[i].seq = said->batches[i];
        layers[i].rows = said->rows[i];
    }
    switch (said->kind) {
    case SAID_MARK:
        event.type = EV_CHECKPOINT;
        event.checkpoint.seq = said->seq;
        event.checkpoint.step = said->step;
        event.checkpoint.layers = layers;
        event.checkpoint.n_layers = N_LAYERS;
        break;
    case SAID_LOG:
        event.type = EV_LOG;
        event.log = must(record_new(RECORD_LOG, "job"));
        event.log->seq = said->seq;
        event.log->step = said->step;
        break;
    case SAID_CLOSE:
        event.type = EV_CLOSE;
        event.close.seq = said->seq;
        break;
    }
    step(world, &event, rank->peer);
}

static void deliver_one(struct world *world, struct rank *rank)
{
    struct list *first = list_first(&rank->up);
    struct letter *letter;
    struct event event = {.type = EV_BATCH};

    if (!first)
        return;
    letter = LIST_ENTRY(first, struct letter, link);
    list_remove(first);
    if (letter->is_batch) {
        event.batch = &letter->parcel->batch;
        rank->held += event.batch->size_bytes;
        CHECK(world, rank->held <= MONITOR_CREDIT_MAX, "rank %u holds too much", rank->rank);
        step(world, &event, rank->peer);
    } else {
        deliver_said(world, rank, &letter->said);
    }
    free(letter);
}

static void work_one(struct world *world)
{
    struct list *first = list_first(&world->jobs);
    struct event event = {.type = EV_JOB_DONE};

    if (!first)
        return;
    list_remove(first);
    event.job = LIST_ENTRY(first, struct job, link);
    for (size_t i = 0; i < event.job->n_shares; i++)
        job_work(event.job, i);
    step(world, &event, 0);
}

static void give_back_records(struct world *world)
{
    struct event event = {.type = EV_STORED};

    while ((event.record = disk_take(&world->disk)))
        step(world, &event, 0);
}

static void commit(struct world *world)
{
    if (world->disk_full > 0) {
        world->disk_full--;
        disk_fail(&world->disk, -EAGAIN, "locked");
    } else {
        disk_commit(&world->disk, 1 + random_below(&world->rng, 8));
    }
    give_back_records(world);
}

static void tick(struct world *world)
{
    struct event event = {.type = EV_TICK}, alive = {.type = EV_ALIVE};

    for (uint32_t i = 0; i < world->n_ranks; i++) {
        if (world->ranks[i].is_open && !one_in(world, 50))
            step(world, &alive, world->ranks[i].peer);
    }
    step(world, &event, 0);
}

static void bring_home(struct world *world)
{
    world->crashing = true;
    while (!monitor_is_quiet(world->monitor)) {
        disk_fail(&world->disk, -ENOSPC, "killed");
        give_back_records(world);
        while (!list_empty(&world->jobs))
            work_one(world);
    }
    monitor_free(world->monitor, &world->out);
    take_released(world);
    world->crashing = false;
}

static void crash(struct world *world)
{
    bring_home(world);
    disk_restart(&world->disk);
    for (uint32_t i = 0; i < world->n_ranks; i++)
        disconnect(&world->ranks[i]);
    world->monitor = must(monitor_new(&world->config));
}

static void happen(struct world *world)
{
    struct rank *rank = &world->ranks[random_below(&world->rng, world->n_ranks)];
    size_t what = random_below(&world->rng, 100);

    if (what < 40)
        act(world, rank);
    else if (what < 70)
        deliver_one(world, rank);
    else if (what < 82)
        work_one(world);
    else if (what < 95)
        commit(world);
    else if (what < 98)
        tick(world);
    else if (!world->calm && one_in(world, 8))
        world->disk_full = 1 + (unsigned)random_below(&world->rng, 4);
    else if (!world->calm && one_in(world, 20))
        crash(world);
    else if (!world->calm && one_in(world, 10))
        for (size_t n = random_below(&world->rng, 40); n > 0; n--)
            tick(world);
}

/* ---- one world ----------------------------------------------------------------------------- */

static void start_world(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    random_seed(&world->rng, seed);
    list_init(&world->jobs);
    actions_init(&world->out);
    disk_init(&world->disk);
    world->config =
        (struct monitor_config){.n_workers = 1 + random_below(&world->rng, 4),
                                .budget_bytes = UINT64_C(1) << 30,
                                .state_bytes = 0x1p40,
                                .spectrum_follows_p = (uint32_t)random_below(&world->rng, 3),
                                .ranks_wait_ticks = random_below(&world->rng, 12)};
    world->monitor = must(monitor_new(&world->config));
    world->n_ranks = 1 + (uint32_t)random_below(&world->rng, 5);
    world->last_step = 10 + (int64_t)random_below(&world->rng, 30);
    for (uint32_t i = 0; i < world->n_ranks; i++) {
        world->ranks[i].rank = i;
        list_init(&world->ranks[i].up);
    }
}

static bool all_are_done(const struct world *world)
{
    for (uint32_t i = 0; i < world->n_ranks; i++) {
        if (!world->ranks[i].is_done)
            return false;
    }
    return true;
}

static void settle(struct world *world)
{
    for (size_t i = 0; i < 3 * MONITOR_LOST_TICKS; i++) {
        tick(world);
        while (!list_empty(&world->jobs))
            work_one(world);
        disk_commit(&world->disk, 1000);
        give_back_records(world);
    }
}

/* Rows in the points of a layer and missing from them; each step has one. `is_whole`: all ranks
 * have marked the last one, behind their last rows. */
static uint64_t rows_told(struct world *world, const char *layer, bool *is_whole)
{
    const struct disk_attempt *attempt = disk_attempt(&world->disk, "job", 1);
    uint64_t sum = 0;
    int64_t last = -1;

    *is_whole = false;
    for (size_t i = 0; i < attempt->n_items; i++) {
        for (size_t k = 0; k < attempt->items[i].n_points; k++) {
            const struct layer_point *point = &attempt->items[i].points[k];

            if (!point->measured || strcmp(point->layer, layer) != 0)
                continue;
            CHECK(world, world->goes_back || point->point.step > last,
                  "layer %s has a second point at step %" PRId64, layer, point->point.step);
            last = point->point.step;
            *is_whole = last == world->last_step && point->point.ranks_missing == 0;
            sum += (uint64_t)point->point.n + point->point.rows_missing;
        }
    }
    return sum;
}

static void check_rows(struct world *world)
{
    for (size_t k = 0; k < N_LAYERS; k++) {
        char name[] = {'l', (char)('0' + k), '\0'};
        uint64_t offered = 0;
        bool is_whole;
        uint64_t told = rows_told(world, name, &is_whole);

        for (uint32_t i = 0; i < world->n_ranks; i++)
            offered += world->ranks[i].rows[k];
        world->n_whole += is_whole && !world->restarts_alone;
        CHECK(world, world->restarts_alone || (is_whole ? told == offered : told <= offered),
              "%s: points tell of %" PRIu64 " rows, %" PRIu64 " were offered", name, told, offered);
    }
}

static void check_end(struct world *world)
{
    struct monitor_stats stats = monitor_stats(world->monitor);
    const struct disk_attempt *attempt = disk_attempt(&world->disk, "job", 1);

    CHECK(world, monitor_is_settled(world->monitor) && monitor_is_quiet(world->monitor),
          "not settled");
    CHECK(world, stats.runs_open == 0 && stats.buffered_bytes == 0, "%zu runs, %" PRIu64 " bytes",
          stats.runs_open, stats.buffered_bytes);
    CHECK(world, parcel_live() == 0, "%zu batches were kept", parcel_live());
    CHECK(world, attempt->state == DISK_FINISHED, "state %d", attempt->state);
    for (uint32_t i = 0; i < world->n_ranks; i++) {
        CHECK(world, attempt->members[i].last_seq == world->ranks[i].seq, "rank %u: %" PRIu64, i,
              attempt->members[i].last_seq);
    }
    check_rows(world);
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
    for (size_t i = 0; i < 60000 && !all_are_done(world); i++)
        happen(world);
    CHECK(world, all_are_done(world), "the ranks never finished");
    settle(world);
    check_end(world);
    bring_home(world);
    actions_release(&world->out);
    disk_release(&world->disk);
}

static void every_promise_holds_whatever_the_ranks_do(void **state)
{
    static struct world world;
    const char *one = getenv("SIM_SEED"), *n = getenv("SIM_SEEDS");
    size_t n_whole = 0;
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t last = first + (n ? strtoull(n, NULL, 10) : one ? 1 : DEFAULT_SEEDS) - 1;

    (void)state;
    for (uint64_t seed = first; seed <= last; seed++) {
        run_world(&world, seed);
        n_whole += world.n_whole;
    }
    assert_true(one || n_whole >= (last - first) / 5); /* it was not looked away from */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_holds_whatever_the_ranks_do),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
