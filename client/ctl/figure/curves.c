#include "client/ctl/figure/curves.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/figure/canvas.h"
#include "client/ctl/rows/eventline.h"
#include "proto/base/metric.h"
#include "proto/json.h"

/* Several for each column of the widest terminal: the eye sees no more. */
#define POINTS_A_CURVE 2000

/* Marks of rules: no curve has them. */
#define MARK_WHITE "~"
#define MARK_FIRST "<"

static int out_of_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

void curves_release(struct curves *curves)
{
    for (size_t i = 0; i < curves->n; i++) {
        free(curves->labels[i]);
        free(curves->samples[i]);
    }
    for (size_t i = 0; i < curves->n_passages; i++)
        free(curves->passage[i].text);
    for (size_t i = 0; i < curves->n_rules; i++)
        free(curves->rule_labels[i]);
    for (size_t i = 0; i < curves->n_runs; i++)
        cJSON_Delete(curves->runs[i]);
    free(curves->runs);
    memset(curves, 0, sizeof *curves);
}

static int load_runs(struct curves *curves, struct feedclient *feed,
                     const struct curves_query *query, struct err *err)
{
    curves->runs = calloc(query->n_runs, sizeof(cJSON *));
    if (!curves->runs)
        return out_of_memory(err);
    for (size_t i = 0; i < query->n_runs; i++) {
        int rc = feedclient_call(feed, "run.get", params_of(param_text("run", query->runs[i])),
                                 &curves->runs[i], err);

        if (rc < 0)
            return rc;
        curves->n_runs++;
        curves->open =
            curves->open || strcmp(member_text(curves->runs[i], "state", ""), "open") == 0;
    }
    return 0;
}

/* A run's name, or its id where another run of the plot has that name. */
static const char *name_of(const struct curves *curves, size_t run)
{
    const char *name = member_text(curves->runs[run], "name", "");

    for (size_t i = 0; i < curves->n_runs; i++) {
        if (i != run && strcmp(member_text(curves->runs[i], "name", ""), name) == 0)
            return member_text(curves->runs[run], "run", "");
    }
    return *name ? name : member_text(curves->runs[run], "run", "");
}

/* "wd1-seed0 head", and what there is to say of it. */
static char *make_label(const char *run, const char *what, const char *remark)
{
    char *text = NULL, *escaped = NULL;

    if (asprintf(&text, "%s %s%s", run, what, remark) >= 0)
        escaped = text_escape(text);
    else
        text = NULL;
    free(text);
    return escaped;
}

static size_t count_rows(const cJSON *entry)
{
    return (size_t)cJSON_GetArraySize(member(member(entry, "columns"), "step"));
}

/* Points have one value, bins a smallest, a largest and a last one. */
static void fill_samples(struct plot_curve *curve, struct plot_sample *samples, const cJSON *entry,
                         const char *value)
{
    const struct history_column points[] = {
        {NULL, "step"}, {NULL, value}, {NULL, value}, {NULL, value}};
    const struct history_column bins[] = {
        {NULL, "step"}, {value, "min"}, {value, "max"}, {value, "last"}};
    struct history_cursor cursor;

    history_cursor_init(&cursor, entry, history_is_binned(entry) ? bins : points, 4);
    while (history_cursor_next(&cursor)) {
        struct plot_sample sample = {number_of(cursor.cells[0]), number_of(cursor.cells[1]),
                                     number_of(cursor.cells[2])};

        if (!(sample.step >= 0 && sample.step <= JSON_MAX_INTEGER)) /* nor is NaN one */
            continue;
        samples[curve->n_samples++] = sample;
        if (isfinite(number_of(cursor.cells[3])))
            curve->last = number_of(cursor.cells[3]);
    }
    curve->samples = samples;
}

static const char *remark_on(const struct history_query *query, bool chosen)
{
    if (query->kind == HISTORY_SCALAR)
        return " (right)";
    return chosen && strcmp(query->metric, metric_table[METRIC_D_LR].name) == 0 ? ": d_lr itself"
                                                                                : "";
}

/* Adds a curve and what it borrows from. `value` is the column to draw. */
static int add_entry(struct curves *curves, const struct history_query *query, const cJSON *entry,
                     size_t run, const char *value, bool chosen, struct err *err)
{
    size_t i = curves->n++;

    curves->labels[i] = make_label(name_of(curves, run), query->name, remark_on(query, chosen));
    curves->samples[i] = calloc(count_rows(entry) + 1, sizeof *curves->samples[i]);
    if (!curves->labels[i] || !curves->samples[i])
        return out_of_memory(err);
    /* One run: a colour a curve. Several: a colour a run. */
    curves->curve[i] = (struct plot_curve){
        .run = query->run,
        .metric = query->kind == HISTORY_SCALAR ? query->name : query->metric,
        .label = curves->labels[i],
        .last = (double)NAN,
        .right = query->kind == HISTORY_SCALAR,
        .colour = 1 + (int)((curves->n_runs > 1 ? run : i) % CANVAS_COLOURS),
    };
    fill_samples(&curves->curve[i], curves->samples[i], entry, value);
    curves->n_samples += curves->curve[i].n_samples;
    return 0;
}

/* Asks for one history and adds it as a curve; nothing when the daemon has none. A layer's query
 * without a metric gets the form of D_LR that is shown. */
static int add_curve(struct curves *curves, struct feedclient *feed, struct history_query *query,
                     size_t run, struct err *err)
{
    bool chosen = query->kind == HISTORY_LAYER && !query->metric;
    cJSON *entry;
    int rc;

    if (curves->n == CURVES_MAX)
        return err_set(err, -E2BIG, "more than %d curves: choose a layer with --layer", CURVES_MAX);
    rc = chosen ? history_get_shown(feed, query, METRIC_D_LR, &entry, err)
                : history_get(feed, query, &entry, err);
    if (rc < 0 || !entry)
        return rc;
    rc = add_entry(curves, query, entry, run,
                   query->kind == HISTORY_SCALAR ? "value" : query->metric, chosen, err);
    cJSON_Delete(entry);
    return rc;
}

/* Takes `label`. A rule that cannot be drawn, or stands already, is none. */
static int add_rule(struct curves *curves, struct plot_rule rule, char *label, struct err *err)
{
    bool wanted = label && isfinite(rule.value) && curves->n_rules < CURVES_RULES;

    for (size_t i = 0; i < curves->n_rules && wanted; i++)
        wanted = strcmp(curves->rule_labels[i], label) != 0 || curves->rule[i].value != rule.value;
    if (!wanted) {
        free(label);
        return label ? 0 : out_of_memory(err);
    }
    rule.label = curves->rule_labels[curves->n_rules] = label;
    curves->rule[curves->n_rules++] = rule;
    return 0;
}

/* What white-noise features with a random head would read: the same for all of one p and C. */
static int add_white(struct curves *curves, const cJSON *last, struct err *err)
{
    struct plot_rule rule = {.value = member_number(last, "d_white"), .mark = MARK_WHITE};

    return add_rule(curves, rule, strdup("white noise (d_white)"), err);
}

/* Where the curve that was added last began. */
static int add_first(struct curves *curves, struct feedclient *feed,
                     const struct history_query *query, size_t run, struct err *err)
{
    const struct plot_curve *curve = &curves->curve[curves->n - 1];
    const struct history_column column = {NULL, query->metric};
    struct plot_rule rule = {.value = (double)NAN, .mark = MARK_FIRST, .colour = curve->colour};
    struct history_cursor cursor;
    cJSON *entry;
    int rc = history_first(feed, query, &entry, err);

    if (rc < 0)
        return rc;
    history_cursor_init(&cursor, entry, &column, 1);
    if (history_cursor_next(&cursor))
        rule.value = number_of(cursor.cells[0]);
    cJSON_Delete(entry);
    return add_rule(curves, rule, make_label(name_of(curves, run), query->name, " began"), err);
}

static bool is_d_lr(const char *metric)
{
    int i = metric ? metric_find(metric) : METRIC_D_LR;

    return i >= 0 && metric_plain(i) == METRIC_D_LR;
}

/* What to compare a curve of D_LR with; `last` is the layer's latest point. */
static int add_rules(struct curves *curves, struct feedclient *feed,
                     const struct history_query *query, size_t run, const cJSON *last,
                     struct err *err)
{
    int rc = 0;

    if (is_d_lr(query->metric))
        rc = add_white(curves, last, err);
    if (rc == 0 && is_d_lr(query->metric) && curves->n > 0)
        rc = add_first(curves, feed, query, run, err);
    return rc;
}

static struct history_query query_of(const struct curves_query *query, const char *run)
{
    return (struct history_query){
        .run = run,
        .spacing = query->log_steps ? "log" : "linear",
        .from = query->from,
        .to = query->to,
        .points = POINTS_A_CURVE,
    };
}

static int add_layers(struct curves *curves, struct feedclient *feed,
                      const struct curves_query *wanted, size_t run, struct err *err)
{
    struct history_query query = query_of(wanted, member_text(curves->runs[run], "run", ""));
    cJSON *answer;
    const cJSON *layer;
    int rc = history_layers(feed, query.run, wanted->layer, &answer, err);

    if (rc < 0)
        return rc;
    query.kind = HISTORY_LAYER;
    cJSON_ArrayForEach(layer, member(answer, "layers"))
    {
        query.name = member_text(layer, "layer", "");
        query.metric = wanted->metric;
        if (rc == 0)
            rc = add_curve(curves, feed, &query, run, err);
        if (rc == 0)
            rc = add_rules(curves, feed, &query, run, member(layer, "last"), err);
    }
    cJSON_Delete(answer);
    return rc;
}

static bool has_scalar(const cJSON *run, const char *name)
{
    const cJSON *scalar;

    cJSON_ArrayForEach(scalar, member(run, "scalars"))
    {
        if (cJSON_IsString(scalar) && strcmp(scalar->valuestring, name) == 0)
            return true;
    }
    return false;
}

static int add_scalar(struct curves *curves, struct feedclient *feed,
                      const struct curves_query *wanted, size_t run, struct err *err)
{
    struct history_query query = query_of(wanted, member_text(curves->runs[run], "run", ""));

    if (!wanted->scalar || !has_scalar(curves->runs[run], wanted->scalar))
        return 0;
    query.kind = HISTORY_SCALAR;
    query.name = wanted->scalar;
    return add_curve(curves, feed, &query, run, err);
}

/* Adds a passage, in place of the oldest when there are too many; takes the sentence. */
static int add_passage(struct curves *curves, size_t run, const char *layer, char *sentence,
                       double start, double end, struct err *err)
{
    char *label = make_label(name_of(curves, run), layer, ""), *text = NULL;

    if (!label || !sentence || asprintf(&text, "%s: %s", label, sentence) < 0)
        text = NULL;
    free(label);
    free(sentence);
    if (!text)
        return out_of_memory(err);
    if (curves->n_passages == CURVES_PASSAGES) {
        free(curves->passage[0].text);
        memmove(curves->passage, curves->passage + 1,
                --curves->n_passages * sizeof *curves->passage);
    }
    curves->passage[curves->n_passages++] = (struct plot_passage){start, end, text};
    return 0;
}

/* Whether the event is of the measure that is drawn, in either of its forms. */
static bool is_of(const cJSON *event, const char *metric)
{
    int of = metric_find(member_text(event, "metric", ""));
    int drawn = metric ? metric_find(metric) : METRIC_D_LR;

    return of >= 0 && drawn >= 0 && metric_plain(of) == metric_plain(drawn);
}

/* One that has returned lasted until then. */
static int add_event(struct curves *curves, size_t run, const cJSON *event, struct err *err)
{
    const cJSON *returned = member(event, "returned");

    return add_passage(
        curves, run, member_text(event, "layer", ""), eventline_text(event),
        member_number(event, "start"),
        cJSON_IsNumber(returned) ? returned->valuedouble : member_number(event, "end"), err);
}

/* A series that is too short to judge, while there is room for a line. */
static int add_shortage(struct curves *curves, size_t run, const cJSON *series, struct err *err)
{
    char *sentence = curves->n_passages < CURVES_PASSAGES ? eventline_shortage(series) : NULL;

    return sentence
               ? add_passage(curves, run, member_text(series, "layer", ""), sentence, 1, 0, err)
               : 0;
}

/* What is known of transitions of the measure that is drawn. */
static int add_passages(struct curves *curves, struct feedclient *feed,
                        const struct curves_query *query, size_t run, struct err *err)
{
    cJSON *answer;
    const cJSON *item;
    int rc = history_events(feed, member_text(curves->runs[run], "run", ""), query->layer,
                            query->from, query->to, &answer, err);

    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(item, member(answer, "events"))
    {
        if (rc == 0 && is_of(item, query->metric))
            rc = add_event(curves, run, item, err);
    }
    cJSON_ArrayForEach(item, member(answer, "watched"))
    {
        if (rc == 0 && is_of(item, query->metric))
            rc = add_shortage(curves, run, item, err);
    }
    cJSON_Delete(answer);
    return rc;
}

/* A scalar that none of the runs has is a typing mistake; of a run that is open it may still
 * come. */
static int check_scalar(const struct curves *curves, const struct curves_query *query,
                        struct err *err)
{
    bool found = !query->scalar || curves->open;

    for (size_t i = 0; i < curves->n_runs && !found; i++)
        found = has_scalar(curves->runs[i], query->scalar);
    return found ? 0 : err_set(err, -ENOENT, "no run of these has a scalar \"%s\"", query->scalar);
}

int curves_load(struct feedclient *feed, const struct curves_query *query, struct curves *out,
                struct err *err)
{
    int rc;

    assert(query->n_runs > 0);
    memset(out, 0, sizeof *out);
    rc = load_runs(out, feed, query, err);
    if (rc == 0)
        rc = check_scalar(out, query, err);
    for (size_t i = 0; i < out->n_runs && rc == 0; i++) {
        rc = add_layers(out, feed, query, i, err);
        if (rc == 0)
            rc = add_scalar(out, feed, query, i, err);
        if (rc == 0)
            rc = add_passages(out, feed, query, i, err);
    }
    if (rc < 0)
        curves_release(out);
    return rc;
}
