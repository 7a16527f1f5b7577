#include "tests/lib/core/bench.h"

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

void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->config = (struct monitor_config){.n_workers = 2,
                                            .budget_bytes = UINT64_C(64) << 20,
                                            .state_bytes = 0x1p30,
                                            .ranks_wait_ticks = 10};
    bench->monitor = must(monitor_new(&bench->config));
    actions_init(&bench->out);
    disk_init(&bench->disk);
    list_init(&bench->jobs);
}

void bench_forget(struct bench *bench)
{
    bench->n_welcomes = bench->n_acks = bench->n_nacks = bench->n_points = bench->n_released = 0;
    memset(&bench->nack, 0, sizeof bench->nack);
    memset(&bench->welcome, 0, sizeof bench->welcome);
}

/* ---- what comes out ------------------------------------------------------------------------ */

static void note_ack(struct bench *bench, peer_id peer, uint64_t seq)
{
    assert(bench->n_acks < BENCH_MAX);
    if (seq == 0)
        return;
    bench->ack_peers[bench->n_acks] = peer;
    bench->acks[bench->n_acks++] = seq;
}

static void note_complete(struct bench *bench, peer_id peer, struct record *record)
{
    assert(record->rc == 0);
    if (record->kind == RECORD_CHECKPOINT || record->kind == RECORD_RECALL) {
        bench->n_points = record->n_points;
        if (record->n_points > 0)
            memcpy(bench->points, record->points, record->n_points * sizeof *record->points);
    }
    if (record->kind == RECORD_SPECTRUM)
        bench->completed = record->points[0].point;
    else if (record->n_senders == 0)
        note_ack(bench, peer, record->seq);
    for (size_t i = 0; i < record->n_senders; i++) {
        if (record->senders[i].peer)
            note_ack(bench, record->senders[i].peer, record->senders[i].seq);
    }
    record_free(record);
}

static void note_nack(struct bench *bench, const struct action *action)
{
    bench->nack = *action->nack;
    bench->nack_peer = action->peer;
    bench->n_nacks++;
    free(action->nack);
}

static void perform(struct bench *bench, const struct action *action)
{
    switch (action->type) {
    case ACT_WELCOME:
        bench->welcome = action->welcome;
        bench->granted = action->welcome.granted;
        bench->n_welcomes++;
        break;
    case ACT_PROGRESS:
        bench->granted = action->granted;
        break;
    case ACT_ACK:
        note_ack(bench, action->peer, action->seq);
        break;
    case ACT_COMPLETE:
        note_complete(bench, action->peer, action->record);
        break;
    case ACT_NACK:
        note_nack(bench, action);
        break;
    case ACT_JOB:
        list_append(&bench->jobs, &action->job->link);
        break;
    case ACT_STORE:
        disk_put(&bench->disk, action->record);
        break;
    case ACT_FATAL:
        bench->fatal = true;
        break;
    }
}

static void take_released(struct bench *bench)
{
    for (struct batch *batch; (batch = actions_next_released(&bench->out)); bench->n_released++)
        parcel_free((struct parcel *)batch);
}

void bench_step(struct bench *bench, struct event *event, peer_id peer)
{
    event->peer = peer;
    event->time = bench->time;
    if (bench->faulty)
        fault_resume();
    monitor_step(bench->monitor, event, &bench->out);
    fault_pause();
    for (size_t i = 0; i < bench->out.n; i++)
        perform(bench, &bench->out.items[i]);
    bench->out.n = 0;
    take_released(bench);
    bench->fatal = bench->fatal || bench->out.out_of_memory;
}

/* ---- the machinery around it --------------------------------------------------------------- */

static void run_job(struct bench *bench, struct job *job)
{
    struct event event = {.type = EV_JOB_DONE, .job = job};

    if (bench->faulty)
        fault_resume();
    for (size_t i = job->n_shares; i-- > 0;)
        job_work(job, i);
    fault_pause();
    bench_step(bench, &event, 0);
}

struct job *bench_take_job(struct bench *bench)
{
    struct list *first = must(list_first(&bench->jobs));

    list_remove(first);
    return LIST_ENTRY(first, struct job, link);
}

void bench_run_job(struct bench *bench)
{
    run_job(bench, bench_take_job(bench));
}

void bench_work(struct bench *bench)
{
    while (!list_empty(&bench->jobs))
        run_job(bench, bench_take_job(bench));
}

struct record *bench_waiting(const struct bench *bench)
{
    struct list *first = list_first(&bench->disk.waiting);

    return first ? LIST_ENTRY(first, struct record, link) : NULL;
}

static void tell_stored(struct bench *bench)
{
    struct event event = {.type = EV_STORED};

    while ((event.record = disk_take(&bench->disk)))
        bench_step(bench, &event, 0);
}

void bench_commit(struct bench *bench)
{
    disk_commit(&bench->disk, BENCH_MAX);
    tell_stored(bench);
}

void bench_fail_disk(struct bench *bench)
{
    disk_fail(&bench->disk, -ENOSPC, "no space left");
    tell_stored(bench);
}

void bench_settle(struct bench *bench)
{
    while (!list_empty(&bench->jobs) || !list_empty(&bench->disk.waiting)) {
        bench_work(bench);
        bench_commit(bench);
    }
}

void bench_tick(struct bench *bench, size_t n)
{
    struct event event = {.type = EV_TICK};

    for (; n > 0; n--) {
        bench->time++;
        bench_step(bench, &event, 0);
    }
}

static void abandon(struct bench *bench)
{
    while (!monitor_is_quiet(bench->monitor)) {
        bench_work(bench);
        bench_fail_disk(bench);
    }
    monitor_free(bench->monitor, &bench->out);
    take_released(bench);
    actions_release(&bench->out);
}

void bench_crash(struct bench *bench)
{
    abandon(bench);
    disk_restart(&bench->disk);
    bench->monitor = must(monitor_new(&bench->config));
    bench->fatal = false;
    bench_forget(bench);
}

void bench_release(struct bench *bench)
{
    abandon(bench);
    disk_release(&bench->disk);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void send_open(struct bench *bench, peer_id peer, const char *run, const char *writer,
                      uint32_t attempt, struct window window, struct spectrum_policy spectrum,
                      bool probe)
{
    struct record *record = must(record_new(RECORD_OPEN, run));
    struct event event = {.type = EV_OPEN,
                          .open = {.record = record,
                                   .projector.kind = PROJECTOR_SPAN,
                                   .window = window,
                                   .spectrum = spectrum,
                                   .probe = probe}};

    record->open.writer = must(strdup(writer));
    record->open.attempt = attempt;
    record->open.watched = (struct watch_list){.n = 1, .metrics = {METRIC_D_LR}};
    bench_step(bench, &event, peer);
}

void bench_open(struct bench *bench, peer_id peer, const char *run, const char *writer,
                uint32_t attempt)
{
    send_open(bench, peer, run, writer, attempt, (struct window){.kind = WINDOW_CHECKPOINT},
              (struct spectrum_policy){0}, false);
}

void bench_open_probe(struct bench *bench, peer_id peer, const char *run, const char *writer)
{
    send_open(bench, peer, run, writer, 0, (struct window){.kind = WINDOW_CHECKPOINT},
              (struct spectrum_policy){0}, true);
}

void bench_open_window(struct bench *bench, peer_id peer, const char *run, struct window window)
{
    send_open(bench, peer, run, "writer", 0, window, (struct spectrum_policy){0}, false);
}

void bench_open_spectrum(struct bench *bench, peer_id peer, const char *run,
                         struct spectrum_policy spectrum)
{
    send_open(bench, peer, run, "writer", 0, (struct window){.kind = WINDOW_CHECKPOINT}, spectrum,
              false);
}

void bench_open_member(struct bench *bench, peer_id peer, const char *writer, const char *launch,
                       uint32_t rank, uint32_t world)
{
    struct record *record = must(record_new(RECORD_OPEN, "run"));
    struct event event = {.type = EV_OPEN,
                          .open = {.record = record, .projector.kind = PROJECTOR_SPAN}};

    record->open.writer = must(strdup(writer));
    record->open.launch = must(strdup(launch));
    record->open.rank = rank;
    record->open.world = world;
    bench_step(bench, &event, peer);
}

void bench_open_watching(struct bench *bench, peer_id peer, const char *writer,
                         struct watch_list watched)
{
    struct record *record = must(record_new(RECORD_OPEN, "run"));
    struct event event = {.type = EV_OPEN,
                          .open = {.record = record, .projector.kind = PROJECTOR_SPAN}};

    record->open.writer = must(strdup(writer));
    record->open.watched = watched;
    bench_step(bench, &event, peer);
}

void bench_send(struct bench *bench, peer_id peer, struct parcel *parcel, uint64_t seq,
                uint64_t rows_before)
{
    struct event event = {.type = EV_BATCH, .batch = &parcel->batch};

    parcel->batch.seq = seq;
    parcel->batch.rows_before = rows_before;
    bench_step(bench, &event, peer);
}

void bench_rows(struct bench *bench, peer_id peer, uint64_t seq, uint64_t rows_before, size_t n)
{
    bench_send(bench, peer, parcel_new(PARCEL_F32, "head", 4, 2, n, seq), seq, rows_before);
}

void bench_checkpoint(struct bench *bench, peer_id peer, uint64_t seq, uint64_t batch_seq,
                      uint64_t rows)
{
    bench_thinned(bench, peer, seq, batch_seq, rows, 0);
}

void bench_thinned(struct bench *bench, peer_id peer, uint64_t seq, uint64_t batch_seq,
                   uint64_t rows, uint64_t thinned)
{
    struct checkpoint_layer head = {
        .name = "head", .seq = batch_seq, .rows = rows, .thinned = thinned};
    struct event event = {
        .type = EV_CHECKPOINT,
        .checkpoint = {.seq = seq, .step = (int64_t)seq, .layers = &head, .n_layers = 1}};

    bench_step(bench, &event, peer);
}

void bench_mark(struct bench *bench, peer_id peer, uint64_t seq, int64_t step, uint64_t batch_seq,
                uint64_t rows)
{
    struct checkpoint_layer head = {.name = "head", .seq = batch_seq, .rows = rows};
    struct event event = {.type = EV_CHECKPOINT,
                          .checkpoint = {.seq = seq, .step = step, .layers = &head, .n_layers = 1}};

    bench_step(bench, &event, peer);
}

void bench_log(struct bench *bench, peer_id peer, uint64_t seq)
{
    struct event event = {.type = EV_LOG, .log = must(record_new(RECORD_LOG, "run"))};

    event.log->seq = seq;
    bench_step(bench, &event, peer);
}

void bench_close(struct bench *bench, peer_id peer, uint64_t seq)
{
    struct event event = {.type = EV_CLOSE, .close = {.seq = seq}};

    bench_step(bench, &event, peer);
}
