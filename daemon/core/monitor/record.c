#include "daemon/core/monitor/record.h"

#include <stdio.h>
#include <stdlib.h>

struct record *record_new(enum record_kind kind, const char *run)
{
    struct record *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    list_init(&r->link);
    r->kind = kind;
    snprintf(r->run, sizeof r->run, "%s", run);
    return r;
}

void open_result_release(struct open_result *o)
{
    for (size_t i = 0; i < o->n_layers; i++) {
        watch_free(o->layers[i].watch);
        probe_release(&o->layers[i].probe);
    }
    free(o->layers);
    *o = (struct open_result){0};
}

void record_drop_points(struct record *r)
{
    for (size_t i = 0; i < r->n_points; i++) {
        spectrum_free(r->points[i].spectrum);
        probe_release(&r->points[i].probe);
    }
    free(r->points);
    r->points = NULL;
    r->n_points = 0;
}

void record_free(struct record *r)
{
    if (!r)
        return;
    free(r->open.name);
    free(r->open.project);
    free(r->open.group);
    free(r->open.tags);
    free(r->open.config);
    free(r->open.writer);
    open_result_release(&r->opened);
    record_drop_points(r);
    free(r->scalars);
    free(r->scalar_feed_seqs);
    free(r);
}
