#include "tests/lib/core/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void disk_init(struct disk *disk)
{
    memset(disk, 0, sizeof *disk);
    list_init(&disk->waiting);
    list_init(&disk->done);
}

static void release_attempt(struct disk_attempt *attempt)
{
    for (size_t i = 0; i < attempt->n_items; i++)
        free(attempt->items[i].points);
    free(attempt->items);
}

void disk_release(struct disk *disk)
{
    for (size_t i = 0; i < disk->n_runs; i++) {
        for (uint32_t k = 0; k < disk->runs[i].n_attempts; k++)
            release_attempt(&disk->runs[i].attempts[k]);
        for (size_t k = 0; k < disk->runs[i].n_layers; k++)
            probe_release(&disk->runs[i].layers[k].probe);
    }
    disk_init(disk);
}

/* Its number, or n_runs. */
static size_t find_run(const struct disk *disk, const char *id)
{
    size_t i = 0;

    while (i < disk->n_runs && strcmp(disk->runs[i].id, id) != 0)
        i++;
    return i;
}

const struct disk_attempt *disk_attempt(const struct disk *disk, const char *run, uint32_t attempt)
{
    size_t i = find_run(disk, run);

    if (i == disk->n_runs || attempt < 1 || attempt > disk->runs[i].n_attempts)
        return NULL;
    return &disk->runs[i].attempts[attempt - 1];
}

static const struct disk_item *find_item(const struct disk_attempt *attempt, uint32_t rank,
                                         uint64_t seq)
{
    for (size_t i = 0; i < attempt->n_items; i++) {
        if (attempt->items[i].seq == seq && attempt->items[i].rank == rank)
            return &attempt->items[i];
    }
    return NULL;
}

const struct disk_item *disk_item(const struct disk *disk, const char *run, uint32_t attempt,
                                  uint64_t seq)
{
    return disk_item_of(disk, run, attempt, 0, seq);
}

const struct disk_item *disk_item_of(const struct disk *disk, const char *run, uint32_t attempt,
                                     uint32_t rank, uint64_t seq)
{
    const struct disk_attempt *a = disk_attempt(disk, run, attempt);

    return a ? find_item(a, rank, seq) : NULL;
}

void disk_restart(struct disk *disk)
{
    for (size_t i = 0; i < disk->n_runs * DISK_ATTEMPTS * DISK_MEMBERS; i++) {
        struct disk_member *member = &disk->runs[i / DISK_MEMBERS / DISK_ATTEMPTS]
                                          .attempts[i / DISK_MEMBERS % DISK_ATTEMPTS]
                                          .members[i % DISK_MEMBERS];

        member->state = member->state == DISK_OPEN ? DISK_LOST : member->state;
    }
}

/* ---- open ---------------------------------------------------------------------------------- */

static void join(struct disk_attempt *attempt, uint32_t rank, const char *writer)
{
    struct disk_member *member = &attempt->members[rank];

    assert(rank < DISK_MEMBERS);
    if (strcmp(member->writer, writer) != 0) {
        *member = (struct disk_member){.last_step = -1};
        snprintf(member->writer, sizeof member->writer, "%s", writer);
    } else if (member->state == DISK_LOST) {
        member->state = DISK_OPEN;
    }
    if (member->state == DISK_OPEN)
        attempt->state = DISK_OPEN;
}

static void start_attempt(struct disk_run *run, const struct record_open *open)
{
    struct disk_attempt *attempt;

    assert(run->n_attempts < DISK_ATTEMPTS);
    if (run->n_attempts > 0 && run->attempts[run->n_attempts - 1].state == DISK_OPEN)
        run->attempts[run->n_attempts - 1].state = DISK_LOST;
    attempt = &run->attempts[run->n_attempts++];
    memset(attempt, 0, sizeof *attempt);
    snprintf(attempt->writer, sizeof attempt->writer, "%s", open->writer);
    snprintf(attempt->launch, sizeof attempt->launch, "%s", open->launch ? open->launch : "");
    attempt->world = open->world;
    if (open->launch)
        join(attempt, open->rank, open->writer);
}

/* All ranks have closed, and this writer is none of them. */
static bool has_ended(const struct disk_attempt *attempt, const char *writer)
{
    size_t n_closed = 0;

    for (size_t i = 0; i < DISK_MEMBERS; i++) {
        const struct disk_member *member = &attempt->members[i];

        n_closed += (member->state == DISK_FINISHED || member->state == DISK_FAILED) &&
                    strcmp(member->writer, writer) != 0;
    }
    return n_closed >= attempt->world;
}

/* The i-th attempt is the launch's. */
static int choose_launch(struct disk_run *run, const struct record_open *open, uint32_t i)
{
    struct disk_attempt *attempt = &run->attempts[i];

    if (i + 1 < run->n_attempts)
        return -ESTALE;
    if (attempt->world != open->world)
        return -EPROTO;
    if (open->attempt != 0 && *attempt->members[open->rank].writer &&
        strcmp(attempt->members[open->rank].writer, open->writer) != 0)
        return -ESTALE;
    join(attempt, open->rank, open->writer);
    return 0;
}

/* Which attempt the writer gets: 0, or why none. */
static int choose_attempt(struct disk_run *run, const struct record_open *open)
{
    struct disk_attempt *newest = &run->attempts[run->n_attempts - 1];
    bool same = !open->launch && !*newest->launch && strcmp(newest->writer, open->writer) == 0;

    for (uint32_t i = run->n_attempts; open->launch && i-- > 0;) {
        if (strcmp(run->attempts[i].launch, open->launch) != 0)
            continue;
        if (has_ended(&run->attempts[i], open->writer))
            break;
        return choose_launch(run, open, i);
    }
    if (open->attempt > run->n_attempts)
        return -ENOENT;
    if (open->attempt != 0 && open->attempt < run->n_attempts)
        return -ESTALE;
    if (open->attempt != 0 && !same)
        return -EBUSY;
    if (open->attempt == 0 && !same && open->resume == RESUME_NEVER)
        return -EEXIST;
    if (!same)
        start_attempt(run, open);
    else if (newest->state == DISK_LOST)
        newest->state = DISK_OPEN;
    return 0;
}

static struct probe copy_probe(const struct probe *p)
{
    struct probe copy = {0};
    int rc = p->n > 0 ? probe_copy(&copy, p) : 0;

    assert(rc == 0);
    return copy;
}

static void read_layers(const struct disk_run *run, bool probes, struct open_result *out)
{
    const struct disk_attempt *attempt = &run->attempts[out->attempt - 1];

    out->layers = calloc(DISK_LAYERS, sizeof *out->layers);
    assert(out->layers);
    for (size_t i = 0; i < run->n_layers; i++) {
        struct stored_layer *stored = &out->layers[out->n_layers++];

        *stored = run->layers[i];
        stored->probe = probes ? copy_probe(&run->layers[i].probe) : (struct probe){0};
        stored->batch_seq = attempt->totals[i].batch_seq;
        stored->rows_offered = attempt->totals[i].rows_offered;
        stored->rows_thinned = attempt->totals[i].rows_thinned;
    }
}

/* In the order of ranks, as the store does. */
static void read_members(const struct disk_run *run, struct open_result *out)
{
    const struct disk_attempt *attempt = &run->attempts[out->attempt - 1];

    out->members = calloc(DISK_MEMBERS, sizeof *out->members);
    out->totals = calloc(DISK_MEMBERS * DISK_LAYERS, sizeof *out->totals);
    assert(out->members && out->totals);
    for (size_t i = 0; i < attempt->n_items; i++) {
        if (attempt->items[i].kind != RECORD_CHECKPOINT)
            continue;
        out->has_cut = true;
        out->cut_step = attempt->items[i].step;
    }
    for (uint32_t rank = 0; rank < DISK_MEMBERS; rank++) {
        const struct disk_member *member = &attempt->members[rank];
        struct stored_member *stored = &out->members[out->n_members];

        if (!*member->writer)
            continue;
        *stored = (struct stored_member){
            .rank = rank,
            .closed = member->state == DISK_FINISHED || member->state == DISK_FAILED,
            .last_seq = member->last_seq,
            .last_step = member->last_step,
        };
        snprintf(stored->writer, sizeof stored->writer, "%s", member->writer);
        for (size_t i = 0; i < run->n_layers; i++) {
            if (member->totals[i].batch_seq == 0)
                continue;
            out->totals[out->n_totals] = member->totals[i];
            out->totals[out->n_totals].layer = i;
            out->totals[out->n_totals++].member = out->n_members;
        }
        out->n_members++;
    }
}

static int apply_open(struct disk *disk, struct record *record)
{
    size_t i = find_run(disk, record->run);
    struct disk_run *run = i < disk->n_runs ? &disk->runs[i] : NULL;
    int rc = 0;

    if (!run && (record->open.resume == RESUME_MUST || record->open.attempt != 0))
        return -ENOENT;
    record->opened.created = !run;
    if (!run) {
        assert(disk->n_runs < DISK_RUNS);
        run = &disk->runs[disk->n_runs++];
        snprintf(run->id, sizeof run->id, "%s", record->run);
        start_attempt(run, &record->open);
    } else {
        rc = choose_attempt(run, &record->open);
    }
    if (rc < 0)
        return rc;
    record->opened.run_key = run - disk->runs + 1;
    record->opened.attempt = run->n_attempts;
    record->opened.last_seq = run->attempts[run->n_attempts - 1].last_seq;
    record->opened.has_last_step = run->has_last_step;
    record->opened.last_step = run->last_step;
    read_layers(run, record->open.probe_bytes > 0, &record->opened);
    if (record->open.launch) {
        record->opened.last_seq =
            run->attempts[run->n_attempts - 1].members[record->open.rank].last_seq;
        read_members(run, &record->opened);
    }
    return 0;
}

/* ---- everything else ----------------------------------------------------------------------- */

static struct disk_item *add_item(struct disk_attempt *attempt, const struct record *record)
{
    struct disk_item *item;

    attempt->items = realloc(attempt->items, (attempt->n_items + 1) * sizeof *attempt->items);
    assert(attempt->items);
    item = &attempt->items[attempt->n_items++];
    *item = (struct disk_item){.kind = record->kind, .seq = record->seq, .step = record->step};
    item->begins =
        (record->kind == RECORD_CHECKPOINT || record->kind == RECORD_LOG) && !record->implied;
    attempt->last_seq = record->seq;
    return item;
}

static size_t find_layer(const struct disk_run *run, const char *name)
{
    size_t i = 0;

    while (i < run->n_layers && strcmp(run->layers[i].name, name) != 0)
        i++;
    return i;
}

/* Totals may come before the shape. */
static void put_total(struct disk_run *run, struct disk_attempt *attempt,
                      const struct layer_point *point)
{
    size_t i = find_layer(run, point->layer);

    if (i == run->n_layers) {
        assert(i < DISK_LAYERS);
        snprintf(run->layers[i].name, sizeof run->layers[i].name, "%s", point->layer);
        run->n_layers++;
    }
    if (point->measured) {
        run->layers[i].p = point->point.p;
        run->layers[i].c = point->point.c;
    }
    if (run->layers[i].probe.n == 0)
        run->layers[i].probe = copy_probe(&point->probe);
    if (*attempt->launch)
        return; /* its members have their own */
    attempt->totals[i].batch_seq = point->batch_seq;
    attempt->totals[i].rows_offered = point->rows_offered;
    attempt->totals[i].rows_thinned = point->rows_thinned;
}

static void put_member_totals(const struct disk_run *run, struct disk_attempt *attempt,
                              const struct record *record)
{
    for (size_t i = 0; i < record->n_totals; i++) {
        const struct record_total *total = &record->totals[i];
        const struct layer_point *point = &record->points[total->point];

        if (point->measured)
            attempt->members[total->rank].totals[find_layer(run, point->layer)] =
                (struct stored_total){.batch_seq = total->batch_seq,
                                      .rows_offered = total->rows_offered,
                                      .rows_thinned = total->rows_thinned};
    }
}

static void put_points(struct disk *disk, struct disk_run *run, struct disk_attempt *attempt,
                       struct disk_item *item, struct record *record)
{
    run->has_last_step = true;
    run->last_step = record->step;
    item->n_points = record->n_points;
    item->points = calloc(record->n_points + 1, sizeof *item->points);
    assert(item->points);
    for (size_t i = 0; i < record->n_points; i++) {
        put_total(run, attempt, &record->points[i]);
        if (record->points[i].measured)
            record->points[i].feed_seq = ++disk->feed_seq;
        item->points[i] = record->points[i];
        item->points[i].spectrum = NULL; /* these are the record's own */
        item->points[i].probe = (struct probe){0};
        item->points[i].representation = (struct representation){0};
    }
}

/* The last checkpoint of members at that step. */
static const struct disk_item *find_step(const struct disk_attempt *attempt, int64_t step)
{
    for (size_t i = attempt->n_items; i-- > 0;) {
        const struct disk_item *item = &attempt->items[i];

        if (item->kind == RECORD_CHECKPOINT && item->step == step && item->points)
            return item;
    }
    return NULL;
}

/* The point is there already, without its spectrum. */
static void complete_point(struct disk *disk, const struct disk_attempt *attempt,
                           struct record *record)
{
    const struct disk_item *item = find_step(attempt, record->step);
    struct layer_point *point = &record->points[0];

    assert(item && record->n_points == 1 && point->spectrum);
    point->feed_seq = ++disk->feed_seq;
    for (size_t i = 0; i < item->n_points; i++) {
        if (strcmp(item->points[i].layer, point->layer) != 0)
            continue;
        assert(item->points[i].measured && item->points[i].point.flags & FLAG_NO_SPECTRUM);
        item->points[i].point = point->point;
        return;
    }
    assert(!"a spectrum of no point");
}

static void recall_points(const struct disk_attempt *attempt, struct record *record)
{
    const struct disk_item *item = record->n_senders > 0 ? find_step(attempt, record->step)
                                                         : find_item(attempt, 0, record->seq);

    record_drop_points(record);
    record->n_points = item ? item->n_points : 0;
    record->points = calloc(record->n_points + 1, sizeof *record->points);
    assert(record->points);
    if (record->n_points > 0)
        memcpy(record->points, item->points, record->n_points * sizeof *record->points);
}

/* The first step that attempts from `k` on have taken over; the newest does so at `step` while
 * nothing of it is stored. */
static int64_t taken_over_at(const struct disk_run *run, size_t k, int64_t step)
{
    int64_t first = INT64_MAX;

    for (size_t i = k; i <= run->n_attempts; i++) {
        const struct disk_attempt *attempt = &run->attempts[i - 1];
        int64_t begins = i == run->n_attempts ? step : INT64_MAX;

        for (size_t j = attempt->n_items; j-- > 0;)
            begins = attempt->items[j].begins ? attempt->items[j].step : begins;
        first = begins < first ? begins : first;
    }
    return first;
}

static void show_points(const struct disk_run *run, const char *layer, int64_t step,
                        struct watch *watch)
{
    struct finding found[RUN_WATCHED_MAX];

    for (uint32_t k = 1; k <= run->n_attempts; k++) {
        const struct disk_attempt *attempt = &run->attempts[k - 1];
        int64_t end = k < run->n_attempts ? taken_over_at(run, k + 1, step) : INT64_MAX;

        for (size_t i = 0; i < attempt->n_items; i++) {
            for (size_t j = 0; j < attempt->items[i].n_points; j++) {
                const struct layer_point *point = &attempt->items[i].points[j];

                if (point->measured && strcmp(point->layer, layer) == 0 && point->point.step < end)
                    watch_feed(watch, k, &point->point, found);
            }
        }
    }
}

static void replay(const struct disk_run *run, struct record *r)
{
    struct open_result *out = &r->opened;

    out->scalar_watch = watch_new_scalars(&r->open.watched);
    out->layers = calloc(run->n_layers + 1, sizeof *out->layers);
    assert(out->scalar_watch && out->layers);
    out->n_layers = run->n_layers;
    for (size_t i = 0; i < run->n_layers; i++) {
        struct stored_layer *layer = &out->layers[i];

        snprintf(layer->name, sizeof layer->name, "%s", run->layers[i].name);
        layer->watch = watch_new(&r->open.watched);
        assert(layer->watch);
        show_points(run, layer->name, r->step, layer->watch);
    }
}

static void end_if_all_left(struct disk_attempt *attempt)
{
    enum disk_state state = DISK_FINISHED;

    for (size_t i = 0; i < DISK_MEMBERS; i++) {
        const struct disk_member *member = &attempt->members[i];

        if (!*member->writer)
            continue;
        if (member->state == DISK_OPEN)
            return;
        if (member->state == DISK_FAILED || (member->state == DISK_LOST && state != DISK_FAILED))
            state = member->state;
    }
    attempt->state = state;
}

static void leave(struct disk_attempt *attempt, struct disk_member *member, enum disk_state state)
{
    member->state = state;
    end_if_all_left(attempt);
}

static void put_of_members(struct disk *disk, struct disk_run *run, struct disk_attempt *attempt,
                           struct record *r)
{
    for (size_t i = 0; i < r->n_senders; i++) {
        struct disk_member *member = &attempt->members[r->senders[i].rank];
        struct disk_item *item = add_item(attempt, r);

        item->rank = r->senders[i].rank;
        item->seq = member->last_seq = r->senders[i].seq;
        if (r->kind == RECORD_CHECKPOINT || r->kind == RECORD_RECALL)
            member->last_step = r->step;
        if (r->kind == RECORD_CHECKPOINT && i == 0)
            put_points(disk, run, attempt, item, r);
    }
    put_member_totals(run, attempt, r);
}

/* A record of an attempt that has members. */
static int apply_of_members(struct disk *disk, struct disk_run *run, struct disk_attempt *attempt,
                            struct record *r)
{
    struct disk_member *first = &attempt->members[r->senders[0].rank];
    bool before = r->senders[0].seq <= first->last_seq;

    if (r->kind == RECORD_JOIN)
        join(attempt, r->senders[0].rank, r->open.writer);
    if (r->kind == RECORD_LOST && first->state == DISK_OPEN)
        leave(attempt, first, DISK_LOST);
    if (r->kind == RECORD_RECALL)
        recall_points(attempt, r);
    if (r->kind == RECORD_JOIN || r->kind == RECORD_LOST || before)
        return 0;
    put_of_members(disk, run, attempt, r);
    if (r->kind == RECORD_CLOSE)
        leave(attempt, first, r->failed ? DISK_FAILED : DISK_FINISHED);
    return 0;
}

static int apply_message(struct disk *disk, struct record *r)
{
    struct disk_run *run = &disk->runs[r->run_key - 1];
    struct disk_attempt *a = &run->attempts[r->attempt - 1];
    struct disk_item *item;
    bool before = r->seq <= a->last_seq;

    assert(r->run_key >= 1 && (size_t)r->run_key <= disk->n_runs && strcmp(run->id, r->run) == 0);
    if (r->attempt < run->n_attempts)
        return -ESTALE;
    if (r->n_senders > 0)
        return apply_of_members(disk, run, a, r);
    if (r->kind == RECORD_LOST) {
        a->state = a->state == DISK_OPEN ? DISK_LOST : a->state;
        return 0;
    }
    if (r->kind == RECORD_REPLAY) {
        replay(run, r);
        return 0;
    }
    if (r->kind == RECORD_SPECTRUM) {
        complete_point(disk, a, r);
        return 0;
    }
    if (r->kind == RECORD_RECALL || (r->kind == RECORD_CHECKPOINT && before))
        recall_points(a, r);
    if (r->kind == RECORD_RECALL || before)
        return 0;
    item = add_item(a, r);
    if (r->kind == RECORD_CHECKPOINT)
        put_points(disk, run, a, item, r);
    if (r->kind == RECORD_CLOSE)
        a->state = r->failed ? DISK_FAILED : DISK_FINISHED;
    return 0;
}

/* ---- the lane ------------------------------------------------------------------------------ */

void disk_put(struct disk *disk, struct record *record)
{
    list_append(&disk->waiting, &record->link);
}

static void finish(struct disk *disk, struct record *record, int rc, const char *why)
{
    list_remove(&record->link);
    list_append(&disk->done, &record->link);
    record->rc = rc;
    snprintf(record->error, sizeof record->error, "%s", rc < 0 ? why : "");
}

void disk_commit(struct disk *disk, size_t n)
{
    disk->n_commits++;
    while (n-- > 0 && !list_empty(&disk->waiting)) {
        struct record *record = LIST_ENTRY(list_first(&disk->waiting), struct record, link);

        finish(disk, record,
               record->kind == RECORD_OPEN ? apply_open(disk, record) : apply_message(disk, record),
               "refused");
    }
}

void disk_fail(struct disk *disk, int rc, const char *why)
{
    while (!list_empty(&disk->waiting))
        finish(disk, LIST_ENTRY(list_first(&disk->waiting), struct record, link), rc, why);
}

struct record *disk_take(struct disk *disk)
{
    struct list *first = list_first(&disk->done);

    if (!first)
        return NULL;
    list_remove(first);
    return LIST_ENTRY(first, struct record, link);
}
