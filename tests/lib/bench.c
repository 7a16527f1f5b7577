#include "tests/lib/bench.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fault.h"

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->config = (struct monitor_config){
        .n_workers = 2, .budget_bytes = UINT64_C(64) << 20, .state_bytes = 0x1p30};
    b->monitor = must(monitor_new(&b->config));
    actions_init(&b->out);
    disk_init(&b->disk);
    list_init(&b->jobs);
}

void bench_forget(struct bench *b)
{
    b->n_welcomes = b->n_acks = b->n_nacks = b->n_points = b->n_released = 0;
    memset(&b->nack, 0, sizeof b->nack);
    memset(&b->welcome, 0, sizeof b->welcome);
}

/* ---- what comes out ------------------------------------------------------------------------ */

static void note_ack(struct bench *b, uint64_t seq)
{
    assert(b->n_acks < BENCH_MAX);
    if (seq > 0)
        b->acks[b->n_acks++] = seq;
}

static void note_complete(struct bench *b, struct record *r)
{
    assert(r->rc == 0);
    if (r->kind == RECORD_CHECKPOINT || r->kind == RECORD_RECALL) {
        b->n_points = r->n_points;
        if (r->n_points > 0)
            memcpy(b->points, r->points, r->n_points * sizeof *r->points);
    }
    note_ack(b, r->seq);
    record_free(r);
}

static void note_nack(struct bench *b, const struct action *a)
{
    b->nack = *a->nack;
    b->nack_peer = a->peer;
    b->n_nacks++;
    free(a->nack);
}

static void perform(struct bench *b, const struct action *a)
{
    switch (a->type) {
    case ACT_WELCOME:
        b->welcome = a->welcome;
        b->granted = a->welcome.granted;
        b->n_welcomes++;
        break;
    case ACT_PROGRESS:
        b->granted = a->granted;
        break;
    case ACT_ACK:
        note_ack(b, a->seq);
        break;
    case ACT_COMPLETE:
        note_complete(b, a->record);
        break;
    case ACT_NACK:
        note_nack(b, a);
        break;
    case ACT_JOB:
        list_append(&b->jobs, &a->job->link);
        break;
    case ACT_STORE:
        disk_put(&b->disk, a->record);
        break;
    case ACT_FATAL:
        b->fatal = true;
        break;
    }
}

static void take_released(struct bench *b)
{
    for (struct batch *batch; (batch = actions_next_released(&b->out)); b->n_released++)
        parcel_free((struct parcel *)batch);
}

void bench_step(struct bench *b, struct event *e, peer_id peer)
{
    e->peer = peer;
    e->time = b->time;
    if (b->faulty)
        fault_resume();
    monitor_step(b->monitor, e, &b->out);
    fault_pause();
    for (size_t i = 0; i < b->out.n; i++)
        perform(b, &b->out.items[i]);
    b->out.n = 0;
    take_released(b);
    b->fatal = b->fatal || b->out.out_of_memory;
}

/* ---- the machinery around it --------------------------------------------------------------- */

static void run_job(struct bench *b, struct job *job)
{
    struct event e = {.type = EV_JOB_DONE, .job = job};

    if (b->faulty)
        fault_resume();
    for (size_t i = job->n_shares; i-- > 0;)
        job_work(job, i);
    fault_pause();
    bench_step(b, &e, 0);
}

struct job *bench_take_job(struct bench *b)
{
    struct list *first = must(list_first(&b->jobs));

    list_remove(first);
    return LIST_ENTRY(first, struct job, link);
}

void bench_work(struct bench *b)
{
    while (!list_empty(&b->jobs))
        run_job(b, bench_take_job(b));
}

struct record *bench_waiting(const struct bench *b)
{
    struct list *first = list_first(&b->disk.waiting);

    return first ? LIST_ENTRY(first, struct record, link) : NULL;
}

static void tell_stored(struct bench *b)
{
    struct event e = {.type = EV_STORED};

    while ((e.record = disk_take(&b->disk)))
        bench_step(b, &e, 0);
}

void bench_commit(struct bench *b)
{
    disk_commit(&b->disk, BENCH_MAX);
    tell_stored(b);
}

void bench_fail_disk(struct bench *b)
{
    disk_fail(&b->disk, -ENOSPC, "no space left");
    tell_stored(b);
}

void bench_settle(struct bench *b)
{
    while (!list_empty(&b->jobs) || !list_empty(&b->disk.waiting)) {
        bench_work(b);
        bench_commit(b);
    }
}

void bench_tick(struct bench *b, size_t n)
{
    struct event e = {.type = EV_TICK};

    for (; n > 0; n--) {
        b->time++;
        bench_step(b, &e, 0);
    }
}

static void abandon(struct bench *b)
{
    while (!monitor_is_quiet(b->monitor)) {
        bench_work(b);
        bench_fail_disk(b);
    }
    monitor_free(b->monitor, &b->out);
    take_released(b);
    actions_release(&b->out);
}

void bench_crash(struct bench *b)
{
    abandon(b);
    b->monitor = must(monitor_new(&b->config));
    b->fatal = false;
    bench_forget(b);
}

void bench_release(struct bench *b)
{
    abandon(b);
    disk_release(&b->disk);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void send_open(struct bench *b, peer_id peer, const char *run, const char *writer,
                      uint32_t attempt, struct window window, struct spectrum_policy spectrum,
                      bool probe)
{
    struct record *r = must(record_new(RECORD_OPEN, run));
    struct event e = {.type = EV_OPEN,
                      .open = {.record = r,
                               .projector.kind = PROJECTOR_SPAN,
                               .window = window,
                               .spectrum = spectrum,
                               .probe = probe}};

    r->open.writer = must(strdup(writer));
    r->open.attempt = attempt;
    r->open.watched = (struct watch_list){1, {METRIC_D_LR}};
    bench_step(b, &e, peer);
}

void bench_open(struct bench *b, peer_id peer, const char *run, const char *writer,
                uint32_t attempt)
{
    send_open(b, peer, run, writer, attempt, (struct window){.kind = WINDOW_CHECKPOINT},
              (struct spectrum_policy){0}, false);
}

void bench_open_probe(struct bench *b, peer_id peer, const char *run, const char *writer)
{
    send_open(b, peer, run, writer, 0, (struct window){.kind = WINDOW_CHECKPOINT},
              (struct spectrum_policy){0}, true);
}

void bench_open_window(struct bench *b, peer_id peer, const char *run, struct window window)
{
    send_open(b, peer, run, "writer", 0, window, (struct spectrum_policy){0}, false);
}

void bench_open_spectrum(struct bench *b, peer_id peer, const char *run,
                         struct spectrum_policy spectrum)
{
    send_open(b, peer, run, "writer", 0, (struct window){.kind = WINDOW_CHECKPOINT}, spectrum,
              false);
}

void bench_open_watching(struct bench *b, peer_id peer, const char *run, struct watch_list watched)
{
    struct record *r = must(record_new(RECORD_OPEN, run));
    struct event e = {.type = EV_OPEN, .open = {.record = r, .projector.kind = PROJECTOR_SPAN}};

    r->open.writer = must(strdup("writer"));
    r->open.watched = watched;
    bench_step(b, &e, peer);
}

void bench_send(struct bench *b, peer_id peer, struct parcel *parcel, uint64_t seq,
                uint64_t rows_before)
{
    struct event e = {.type = EV_BATCH, .batch = &parcel->batch};

    parcel->batch.seq = seq;
    parcel->batch.rows_before = rows_before;
    bench_step(b, &e, peer);
}

void bench_rows(struct bench *b, peer_id peer, uint64_t seq, uint64_t rows_before, size_t n)
{
    bench_send(b, peer, parcel_new(PARCEL_F32, "head", 4, 2, n, seq), seq, rows_before);
}

void bench_checkpoint(struct bench *b, peer_id peer, uint64_t seq, uint64_t batch_seq,
                      uint64_t rows)
{
    struct checkpoint_layer head = {.name = "head", .seq = batch_seq, .rows = rows};
    struct event e = {
        .type = EV_CHECKPOINT,
        .checkpoint = {.seq = seq, .step = (int64_t)seq, .layers = &head, .n_layers = 1}};

    bench_step(b, &e, peer);
}

void bench_log(struct bench *b, peer_id peer, uint64_t seq)
{
    struct event e = {.type = EV_LOG, .log = must(record_new(RECORD_LOG, "run"))};

    e.log->seq = seq;
    bench_step(b, &e, peer);
}

void bench_close(struct bench *b, peer_id peer, uint64_t seq)
{
    struct event e = {.type = EV_CLOSE, .close = {.seq = seq}};

    bench_step(b, &e, peer);
}
