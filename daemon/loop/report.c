#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/loop/parts.h"
#include "proto/json.h"

/* Tested by tests/e2e/measure: test_a_transition_is_reported.py, test_an_alert_is_told.py. */

static void alert_event(struct loop *loop, const struct record *record, const char *layer,
                        const struct finding *finding)
{
    cJSON *event = finding_to_json(record->run, layer, finding);
    char *text = event ? json_print(event) : NULL, *line = NULL;
    int size = text ? asprintf(&line, "%s\n", text) : -1;

    cJSON_free(text);
    cJSON_Delete(event);
    if (size > 0)
        alert_put(loop->alert, line, (size_t)size);
}

/* Events are few, and logged for those who look afterwards. `layer` NULL: of a scalar. */
static void report_event(struct loop *loop, const struct record *record, const char *layer,
                         const struct finding *finding)
{
    const struct transition *transition = &finding->transition;
    char returned[32] = "";

    if (finding->feed_seq == 0)
        return;
    if (alert_is_on(loop->alert))
        alert_event(loop, record, layer, finding);
    if (finding->alert) {
        log_info("alert run=%s step=%lld title=\"%s\"", record->run, (long long)finding->step,
                 finding->metric + strlen(ALERT_NAME));
        return;
    }
    if (transition->returned >= 0)
        snprintf(returned, sizeof returned, " returned=%lld", (long long)transition->returned);
    log_info("transition run=%s layer=%s metric=%s direction=%s start=%lld end=%lld from=%.4g"
             " to=%.4g%s",
             record->run, layer ? layer : "", finding->metric,
             transition_direction_name(transition->direction), (long long)transition->start,
             (long long)transition->end, transition->from, transition->to, returned);
}

static void report_events(struct loop *loop, const struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer_point *point = &record->points[i];

        for (size_t k = 0; k < point->n_findings; k++)
            report_event(loop, record, point->layer, &point->findings[k]);
    }
    for (size_t i = 0; i < record->n_findings; i++)
        report_event(loop, record, NULL, &record->findings[i]);
}

/* Why a point of a probe has no s_init; readers see the flag, and both numbers of rows. */
static void report_probes(struct loop *loop, const struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer_point *point = &record->points[i];

        if (point->probe_problem != PROBE_NONE)
            log_warn_limited(&loop->probe_limit,
                             "probe differs run=%s layer=%s step=%lld rows=%.0f: %s", record->run,
                             point->layer, (long long)record->step, point->point.n,
                             probe_problem_text(point->probe_problem));
    }
}

void loop_report(struct loop *loop, const struct record *record)
{
    report_events(loop, record);
    report_probes(loop, record);
}
