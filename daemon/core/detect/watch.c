#include "daemon/core/detect/watch.h"

#include <stdlib.h>

struct watch {
    struct watch_list list;
    struct transition_detector detectors[]; /* one a metric of the list */
};

struct watch *watch_new(const struct watch_list *list)
{
    struct watch *w = malloc(sizeof *w + list->n * sizeof *w->detectors);

    if (!w)
        return NULL;
    w->list = *list;
    for (size_t i = 0; i < list->n; i++)
        transition_init(&w->detectors[i]);
    return w;
}

void watch_free(struct watch *w)
{
    free(w);
}

size_t watch_feed(struct watch *w, const struct point *p, struct finding out[RUN_WATCHED_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < w->list.n; i++) {
        struct finding f = {.metric = w->list.metrics[i], .step = p->step, .time = p->time};

        if (transition_feed(&w->detectors[i], p->step, p->value[f.metric], &f.transition))
            out[n++] = f;
    }
    return n;
}
