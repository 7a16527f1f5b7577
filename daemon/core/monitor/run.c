#include "daemon/core/monitor/run.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The peer hears of its credit in steps of this share of the window: often enough never to starve,
 * seldom enough not to matter. */
#define CREDIT_STEPS 8

struct run *run_new(const struct record *open, struct window window, peer_id peer)
{
    struct run *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    list_init(&r->link);
    list_init(&r->peer_link);
    list_init(&r->layers);
    list_init(&r->journal);
    snprintf(r->id, sizeof r->id, "%s", open->run);
    r->writer = strdup(open->open.writer);
    r->window = window;
    r->watched = open->open.watched;
    r->peer = peer;
    if (!r->writer) {
        run_free(r);
        return NULL;
    }
    return r;
}

void run_free(struct run *r)
{
    if (!r)
        return;
    assert(run_is_quiet(r));
    LIST_EACH_SAFE(at, &r->journal)
    {
        struct entry *entry = LIST_ENTRY(at, struct entry, link);

        record_free(entry->record);
        run_drop_entry(r, entry);
    }
    LIST_EACH_SAFE(at, &r->layers)
    {
        layer_free(LIST_ENTRY(at, struct layer, link));
    }
    list_remove(&r->link);
    list_remove(&r->peer_link);
    free(r->writer);
    free(r);
}

int run_opened(struct run *r, struct open_result *o)
{
    r->run_key = o->run_key;
    r->attempt = o->attempt;
    r->durable_seq = o->last_seq;
    r->last_seq = o->last_seq;
    r->has_last_step = o->has_last_step;
    r->last_step = o->last_step;
    for (size_t i = 0; i < o->n_layers; i++) {
        struct stored_layer *s = &o->layers[i];
        struct layer *l = run_add_layer(r, s->name, s->p, s->c);

        if (!l)
            return -ENOMEM;
        l->last_seq = s->batch_seq;
        l->rows_offered = s->rows_offered;
        if (s->watch) {
            watch_free(l->watch);
            l->watch = s->watch;
            s->watch = NULL;
        }
        l->probe = s->probe;
        s->probe = (struct probe){0};
        if (r->window.kind == WINDOW_CHECKPOINT)
            l->window_offered = s->rows_offered; /* of longer windows the old rows are missing */
    }
    r->state = RUN_OPEN;
    return 0;
}

struct layer *run_layer(const struct run *r, const char *name)
{
    LIST_EACH(at, &r->layers)
    {
        struct layer *l = LIST_ENTRY(at, struct layer, link);

        if (strcmp(l->name, name) == 0)
            return l;
    }
    return NULL;
}

struct layer *run_add_layer(struct run *r, const char *name, uint32_t p, uint32_t c)
{
    struct layer *l = layer_new(r, name, p, c, r->window, r->projector, &r->watched);

    if (l) {
        l->has_probe = r->has_probe;
        list_append(&r->layers, &l->link);
        r->n_layers++;
    }
    return l;
}

void run_start_credit(struct run *r, uint64_t held_bytes)
{
    r->granted = r->credit_bytes > held_bytes ? r->credit_bytes - held_bytes : 0;
    r->told = r->granted;
    r->received = 0;
}

void run_return_credit(struct run *r, uint64_t bytes, struct actions *out)
{
    r->granted += bytes;
    if (r->granted - r->told >= r->credit_bytes / CREDIT_STEPS)
        run_tell_credit(r, out);
}

void run_tell_credit(struct run *r, struct actions *out)
{
    struct action *a =
        r->peer && r->granted != r->told ? actions_add(out, ACT_PROGRESS, r->peer) : NULL;

    if (!a)
        return;
    a->granted = r->granted;
    r->told = r->granted;
}

uint64_t run_held_bytes(const struct run *r)
{
    uint64_t sum = 0;

    LIST_EACH(at, &r->layers)
    {
        sum += LIST_ENTRY(at, struct layer, link)->held_bytes;
    }
    return sum;
}

struct entry *run_add_entry(struct run *r, struct record *record, size_t n_marks)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    if (n_marks > 0) {
        e->marks = calloc(n_marks, sizeof *e->marks);
        if (!e->marks) {
            free(e);
            return NULL;
        }
    }
    e->run = r;
    e->record = record;
    record->owner = e;
    record->run_key = r->run_key;
    record->attempt = r->attempt;
    list_append(&r->journal, &e->link);
    r->n_journal++;
    return e;
}

void run_lend(struct run *r, struct actions *out)
{
    if (r->n_lent > 0 || r->store_waits)
        return;
    LIST_EACH(at, &r->journal)
    {
        struct entry *e = LIST_ENTRY(at, struct entry, link);
        struct action *a = e->n_pending == 0 ? actions_add(out, ACT_STORE, r->peer) : NULL;

        if (!a)
            break;
        a->record = e->record;
        e->lent = true;
        r->n_lent++;
    }
}

void run_drop_entry(struct run *r, struct entry *e)
{
    list_remove(&e->link);
    r->n_journal--;
    free(e->marks);
    free(e);
}

bool run_is_quiet(const struct run *r)
{
    return r->n_jobs == 0 && r->n_lent == 0;
}

bool run_is_settled(const struct run *r)
{
    return run_is_quiet(r) && list_empty(&r->journal);
}
