#include "daemon/core/detect/watch.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct watch {
    struct watch_list list;
    struct transition_detector detectors[]; /* one a metric of the list */
};

struct watch *watch_new(const struct watch_list *list)
{
    struct watch *watch = malloc(sizeof *watch + list->n * sizeof *watch->detectors);

    assert(list->n <= RUN_WATCHED_MAX);
    if (!watch)
        return NULL;
    watch->list = *list;
    for (size_t i = 0; i < list->n; i++)
        transition_init(&watch->detectors[i]);
    return watch;
}

void watch_free(struct watch *watch)
{
    free(watch);
}

size_t watch_feed(struct watch *watch, const struct point *point,
                  struct finding out[RUN_WATCHED_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < watch->list.n; i++) {
        struct finding finding = {
            .metric = watch->list.metrics[i], .step = point->step, .time = point->time};

        struct transition_point taken = {point->step, point->value[finding.metric], (double)NAN};

        if (transition_feed(&watch->detectors[i], &taken, &finding.transition) == TRANSITION_FOUND)
            out[n++] = finding;
    }
    return n;
}
