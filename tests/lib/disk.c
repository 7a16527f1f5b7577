#include "tests/lib/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void disk_init(struct disk *d)
{
    memset(d, 0, sizeof *d);
    list_init(&d->waiting);
    list_init(&d->done);
}

static void release_attempt(struct disk_attempt *a)
{
    for (size_t i = 0; i < a->n_items; i++)
        free(a->items[i].points);
    free(a->items);
}

void disk_release(struct disk *d)
{
    for (size_t i = 0; i < d->n_runs; i++) {
        for (uint32_t k = 0; k < d->runs[i].n_attempts; k++)
            release_attempt(&d->runs[i].attempts[k]);
        for (size_t k = 0; k < d->runs[i].n_layers; k++)
            probe_release(&d->runs[i].layers[k].probe);
    }
    disk_init(d);
}

/* Its number, or n_runs. */
static size_t find_run(const struct disk *d, const char *id)
{
    size_t i = 0;

    while (i < d->n_runs && strcmp(d->runs[i].id, id) != 0)
        i++;
    return i;
}

const struct disk_attempt *disk_attempt(const struct disk *d, const char *run, uint32_t attempt)
{
    size_t i = find_run(d, run);

    if (i == d->n_runs || attempt < 1 || attempt > d->runs[i].n_attempts)
        return NULL;
    return &d->runs[i].attempts[attempt - 1];
}

static const struct disk_item *find_item(const struct disk_attempt *a, uint64_t seq)
{
    for (size_t i = 0; i < a->n_items; i++) {
        if (a->items[i].seq == seq)
            return &a->items[i];
    }
    return NULL;
}

const struct disk_item *disk_item(const struct disk *d, const char *run, uint32_t attempt,
                                  uint64_t seq)
{
    const struct disk_attempt *a = disk_attempt(d, run, attempt);

    return a ? find_item(a, seq) : NULL;
}

/* ---- open ---------------------------------------------------------------------------------- */

static void start_attempt(struct disk_run *run, const char *writer)
{
    struct disk_attempt *a;

    assert(run->n_attempts < DISK_ATTEMPTS);
    if (run->n_attempts > 0 && run->attempts[run->n_attempts - 1].state == DISK_OPEN)
        run->attempts[run->n_attempts - 1].state = DISK_LOST;
    a = &run->attempts[run->n_attempts++];
    memset(a, 0, sizeof *a);
    snprintf(a->writer, sizeof a->writer, "%s", writer);
}

/* Which attempt the writer gets: 0, or why none. */
static int choose_attempt(struct disk_run *run, const struct record_open *open)
{
    struct disk_attempt *newest = &run->attempts[run->n_attempts - 1];
    bool same = strcmp(newest->writer, open->writer) == 0;

    if (open->attempt > run->n_attempts)
        return -ENOENT;
    if (open->attempt != 0 && open->attempt < run->n_attempts)
        return -ESTALE;
    if (open->attempt != 0 && !same)
        return -EBUSY;
    if (open->attempt == 0 && !same && open->resume == RESUME_NEVER)
        return -EEXIST;
    if (!same)
        start_attempt(run, open->writer);
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
    const struct disk_attempt *a = &run->attempts[out->attempt - 1];

    out->layers = calloc(DISK_LAYERS, sizeof *out->layers);
    assert(out->layers);
    for (size_t i = 0; i < run->n_layers; i++) {
        struct stored_layer *l = &out->layers[out->n_layers++];

        *l = run->layers[i];
        l->probe = probes ? copy_probe(&run->layers[i].probe) : (struct probe){0};
        l->batch_seq = a->totals[i].batch_seq;
        l->rows_offered = a->totals[i].rows_offered;
    }
}

static int apply_open(struct disk *d, struct record *r)
{
    size_t i = find_run(d, r->run);
    struct disk_run *run = i < d->n_runs ? &d->runs[i] : NULL;
    int rc = 0;

    if (!run && (r->open.resume == RESUME_MUST || r->open.attempt != 0))
        return -ENOENT;
    r->opened.created = !run;
    if (!run) {
        assert(d->n_runs < DISK_RUNS);
        run = &d->runs[d->n_runs++];
        snprintf(run->id, sizeof run->id, "%s", r->run);
        start_attempt(run, r->open.writer);
    } else {
        rc = choose_attempt(run, &r->open);
    }
    if (rc < 0)
        return rc;
    r->opened.run_key = run - d->runs + 1;
    r->opened.attempt = run->n_attempts;
    r->opened.last_seq = run->attempts[run->n_attempts - 1].last_seq;
    r->opened.has_last_step = run->has_last_step;
    r->opened.last_step = run->last_step;
    read_layers(run, r->open.probe_bytes > 0, &r->opened);
    return 0;
}

/* ---- everything else ----------------------------------------------------------------------- */

static struct disk_item *add_item(struct disk_attempt *a, const struct record *r)
{
    struct disk_item *item;

    a->items = realloc(a->items, (a->n_items + 1) * sizeof *a->items);
    assert(a->items);
    item = &a->items[a->n_items++];
    *item = (struct disk_item){.kind = r->kind, .seq = r->seq, .step = r->step};
    a->last_seq = r->seq;
    return item;
}

/* Totals may come before the shape. */
static void put_total(struct disk_run *run, struct disk_attempt *a, const struct layer_point *p)
{
    size_t i = 0;

    while (i < run->n_layers && strcmp(run->layers[i].name, p->layer) != 0)
        i++;
    if (i == run->n_layers) {
        assert(i < DISK_LAYERS);
        snprintf(run->layers[i].name, sizeof run->layers[i].name, "%s", p->layer);
        run->n_layers++;
    }
    if (p->measured) {
        run->layers[i].p = p->point.p;
        run->layers[i].c = p->point.c;
    }
    if (run->layers[i].probe.n == 0)
        run->layers[i].probe = copy_probe(&p->probe);
    a->totals[i].batch_seq = p->batch_seq;
    a->totals[i].rows_offered = p->rows_offered;
}

static void put_points(struct disk *d, struct disk_run *run, struct disk_attempt *a,
                       struct disk_item *item, struct record *r)
{
    run->has_last_step = true;
    run->last_step = r->step;
    item->n_points = r->n_points;
    item->points = calloc(r->n_points + 1, sizeof *item->points);
    assert(item->points);
    for (size_t i = 0; i < r->n_points; i++) {
        put_total(run, a, &r->points[i]);
        if (r->points[i].measured)
            r->points[i].feed_seq = ++d->feed_seq;
        item->points[i] = r->points[i];
        item->points[i].spectrum = NULL; /* the record's own, as the probe is */
        item->points[i].probe = (struct probe){0};
    }
}

static void recall_points(const struct disk_attempt *a, struct record *r)
{
    const struct disk_item *item = find_item(a, r->seq);

    record_drop_points(r);
    r->n_points = item ? item->n_points : 0;
    r->points = calloc(r->n_points + 1, sizeof *r->points);
    assert(r->points);
    if (r->n_points > 0)
        memcpy(r->points, item->points, r->n_points * sizeof *r->points);
}

static int apply_message(struct disk *d, struct record *r)
{
    struct disk_run *run = &d->runs[r->run_key - 1];
    struct disk_attempt *a = &run->attempts[r->attempt - 1];
    struct disk_item *item;
    bool before = r->seq <= a->last_seq;

    assert(r->run_key >= 1 && (size_t)r->run_key <= d->n_runs && strcmp(run->id, r->run) == 0);
    if (r->attempt < run->n_attempts)
        return -ESTALE;
    if (r->kind == RECORD_LOST) {
        a->state = a->state == DISK_OPEN ? DISK_LOST : a->state;
        return 0;
    }
    if (r->kind == RECORD_RECALL || (r->kind == RECORD_CHECKPOINT && before))
        recall_points(a, r);
    if (r->kind == RECORD_RECALL || before)
        return 0;
    item = add_item(a, r);
    if (r->kind == RECORD_CHECKPOINT)
        put_points(d, run, a, item, r);
    if (r->kind == RECORD_CLOSE)
        a->state = r->failed ? DISK_FAILED : DISK_FINISHED;
    return 0;
}

/* ---- the lane ------------------------------------------------------------------------------ */

void disk_put(struct disk *d, struct record *r)
{
    list_append(&d->waiting, &r->link);
}

static void finish(struct disk *d, struct record *r, int rc, const char *why)
{
    list_remove(&r->link);
    list_append(&d->done, &r->link);
    r->rc = rc;
    snprintf(r->error, sizeof r->error, "%s", rc < 0 ? why : "");
}

void disk_commit(struct disk *d, size_t n)
{
    d->n_commits++;
    while (n-- > 0 && !list_empty(&d->waiting)) {
        struct record *r = LIST_ENTRY(list_first(&d->waiting), struct record, link);

        finish(d, r, r->kind == RECORD_OPEN ? apply_open(d, r) : apply_message(d, r), "refused");
    }
}

void disk_fail(struct disk *d, int rc, const char *why)
{
    while (!list_empty(&d->waiting))
        finish(d, LIST_ENTRY(list_first(&d->waiting), struct record, link), rc, why);
}

struct record *disk_take(struct disk *d)
{
    struct list *first = list_first(&d->done);

    if (!first)
        return NULL;
    list_remove(first);
    return LIST_ENTRY(first, struct record, link);
}
