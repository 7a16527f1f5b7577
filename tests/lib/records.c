#include "tests/lib/records.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/store.h"

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

struct record *record_open(const char *run, const char *writer, uint32_t attempt,
                           enum resume resume)
{
    struct record *r = need(record_new(RECORD_OPEN, run));

    r->time = 1764000000.5;
    r->open.writer = need(strdup(writer));
    r->open.attempt = attempt;
    r->open.resume = resume;
    r->open.watched = (struct watch_list){.n = 1, .metrics = {METRIC_D_LR}};
    return r;
}

struct record *record_of(const struct record *opened, enum record_kind kind, uint64_t seq,
                         int64_t step)
{
    struct record *r = need(record_new(kind, opened->run));

    r->run_key = opened->opened.run_key;
    r->attempt = opened->opened.attempt;
    r->seq = seq;
    r->step = step;
    r->time = 1764000000.5 + (double)step;
    return r;
}

struct layer_point *record_add_point(struct record *r, const char *layer, double d_lr)
{
    struct layer_point *lp;

    r->points = need(realloc(r->points, (r->n_points + 1) * sizeof *r->points));
    lp = &r->points[r->n_points++];
    memset(lp, 0, sizeof *lp);
    snprintf(lp->layer, sizeof lp->layer, "%s", layer);
    lp->batch_seq = r->seq * 4;
    lp->rows_offered = r->seq * 1024;
    lp->rows_thinned = r->seq * 77;
    lp->measured = true;
    lp->point = (struct point){.step = r->step,
                               .time = r->time,
                               .n = 1024,
                               .rows_from = r->step - 1,
                               .rows_to = r->step,
                               .p = 128,
                               .c = 10,
                               .rank = 9};
    for (int i = 0; i < METRIC_COUNT; i++)
        lp->point.value[i] = d_lr / (i + 1);
    return lp;
}

void record_add_finding(struct record *r, struct layer_point *lp, enum metric metric, int64_t start,
                        int64_t end)
{
    lp->findings[lp->n_findings++] = (struct finding){
        .metric = metric_table[metric].name,
        .attempt = r->attempt,
        .step = r->step,
        .time = r->time,
        .transition = {TRANSITION_FALL, start, end, 0.5, 0.125, 0.375, -1},
        .n_from = 512,
        .n_to = 1024,
    };
}

void record_add_spectrum(struct layer_point *lp)
{
    struct spectrum *s = need(spectrum_alloc(4, true, true));

    s->p = lp->point.p;
    s->rank = lp->point.rank;
    s->rank_targets = 2;
    for (uint32_t i = 0; i < s->n_values; i++) {
        s->rho[i] = 4 - i;
        s->u[i] = 0.5;
        s->q[i] = 0.25;
        s->total += s->rho[i];
    }
    lp->spectrum = s;
}

void record_add_scalar(struct record *r, const char *name, double value)
{
    struct scalar *s;

    r->scalars = need(realloc(r->scalars, (r->n_scalars + 1) * sizeof *r->scalars));
    s = &r->scalars[r->n_scalars++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->value = value;
}

int apply_many(struct store *s, struct record **records, size_t n)
{
    struct list queue;
    int rc;

    list_init(&queue);
    for (size_t i = 0; i < n; i++)
        list_append(&queue, &records[i]->link);
    rc = store_apply(s, &queue, NULL);
    for (size_t i = 0; i < n; i++)
        list_remove(&records[i]->link);
    return rc;
}

int apply(struct store *s, struct record *r)
{
    int rc = apply_many(s, &r, 1);

    return rc < 0 ? rc : r->rc;
}

char *scratch_new(void)
{
    char *directory = need(strdup("/tmp/richd-test-XXXXXX"));

    need(mkdtemp(directory));
    return directory;
}

const char *scratch_path(const char *directory, const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

void scratch_free(char *directory)
{
    DIR *d = need(opendir(directory));
    struct dirent *entry;

    while ((entry = readdir(d)))
        unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    rmdir(directory);
    free(directory);
}
