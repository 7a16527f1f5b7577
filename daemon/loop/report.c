#include <stdlib.h>

#include "daemon/format/model_json.h"
#include "daemon/loop/parts.h"
#include "proto/json.h"

/* Tested by tests/e2e/measure/test_a_transition_is_reported.py. */

static void alert_event(struct loop *l, const struct record *r, const char *layer,
                        const struct finding *f)
{
    cJSON *event = finding_to_json(r->run, layer, r->attempt, f);
    char *text = event ? json_print(event) : NULL, *line = NULL;
    int size = text ? asprintf(&line, "%s\n", text) : -1;

    cJSON_free(text);
    cJSON_Delete(event);
    if (size > 0)
        alert_put(l->alert, line, (size_t)size);
}

/* Events are few, and logged for those who look afterwards. */
static void report_event(struct loop *l, const struct record *r, const char *layer,
                         const struct finding *f)
{
    const struct transition *t = &f->transition;

    log_info("transition run=%s layer=%s metric=%s direction=%s start=%lld end=%lld from=%.4g"
             " to=%.4g",
             r->run, layer, metric_table[f->metric].name, transition_direction_name(t->direction),
             (long long)t->start, (long long)t->end, t->from, t->to);
    if (alert_is_on(l->alert))
        alert_event(l, r, layer, f);
}

static void report_events(struct loop *l, const struct record *r)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        for (size_t k = 0; k < p->n_findings; k++)
            report_event(l, r, p->layer, &p->findings[k]);
    }
}

/* Why a point of a probe has no s_init; readers see the flag, and both numbers of rows. */
static void report_probes(struct loop *l, const struct record *r)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (p->probe_problem != PROBE_NONE)
            log_warn_limited(
                &l->probe_limit, "probe differs run=%s layer=%s step=%lld rows=%.0f: %s", r->run,
                p->layer, (long long)r->step, p->point.n, probe_problem_text(p->probe_problem));
    }
}

void loop_report(struct loop *l, const struct record *r)
{
    report_events(l, r);
    report_probes(l, r);
}
