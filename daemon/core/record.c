#include "daemon/core/record.h"

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
    free(r->opened.layers);
    free(r->points);
    free(r->scalars);
    free(r->scalar_feed_seqs);
    free(r);
}
