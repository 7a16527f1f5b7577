/* richctl plot RUN...: the curves in the terminal, once or live. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "client/ctl/command.h"
#include "client/ctl/figure/curves.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/figure/plot.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "proto/base/metric.h"
#include "proto/json.h"

/* Updates closer than this share a drawing. */
#define REDRAW_MS 200
/* The end of a run comes without an update: it is looked for. */
#define LOOK_MS 1000

static const char *describe(const char *metric)
{
    int i = metric_find(metric);

    return i < 0 ? "" : metric_table[i].description;
}

/* The terminal's size, less a line for the prompt. */
static void set_size(const struct options *o, struct plot *p)
{
    terminal_size(&p->columns, &p->lines);
    p->lines--;
    if (o->width >= 0)
        p->columns = (size_t)o->width;
    if (o->height >= 0)
        p->lines = (size_t)o->height;
}

/* Draws into a string (free it). Returns the lines, or an error. */
static int draw(const struct options *o, const struct curves *c, const char *metric, char **text,
                struct err *e)
{
    char title[160];
    struct plot p = {
        .title = title,
        .curves = c->curve,
        .n_curves = c->n,
        .passages = c->passage,
        .n_passages = c->n_passages,
        .log_steps = !o->linear_x,
        .ascii = o->ascii || !text_is_utf8(),
        .colour = terminal_wants_colour(o->no_color),
    };
    size_t size;
    FILE *out = open_memstream(text, &size);
    int lines;

    if (!out)
        return err_set(e, -ENOMEM, "out of memory");
    snprintf(title, sizeof title, "%.32s: %s%s", metric, describe(metric),
             o->linear_x ? "" : " (log steps)");
    set_size(o, &p);
    lines = plot_draw(&p, out);
    if (fclose(out) != 0 || lines < 0) {
        free(*text);
        return err_set(e, -ENOMEM, "out of memory");
    }
    return lines;
}

static bool fill_json(cJSON *object, const void *what)
{
    const struct plot_curve *c = what;
    cJSON *steps, *low, *high;
    bool ok = cJSON_AddStringToObject(object, "run", c->run) &&
              cJSON_AddStringToObject(object, "curve", c->label) &&
              cJSON_AddStringToObject(object, "axis", c->right ? "right" : "left") &&
              (steps = cJSON_AddArrayToObject(object, "step")) &&
              (low = cJSON_AddArrayToObject(object, "min")) &&
              (high = cJSON_AddArrayToObject(object, "max"));

    for (size_t i = 0; ok && i < c->n_samples; i++)
        ok = json_push_double(steps, c->samples[i].step) &&
             json_push_double(low, c->samples[i].low) && json_push_double(high, c->samples[i].high);
    return ok;
}

/* What would be drawn, an object a curve. */
static int print_json(const struct curves *c, struct err *e)
{
    int rc = 0;

    for (size_t i = 0; i < c->n && rc == 0; i++)
        rc = jsonline_make(fill_json, &c->curve[i], stdout, e);
    return rc;
}

static int plot_once(struct feedclient *feed, const struct options *o, const struct curves_query *q,
                     struct err *e)
{
    struct curves c;
    char *text;
    int rc = curves_load(feed, q, &c, e);

    if (rc < 0)
        return rc;
    if (o->json) {
        rc = print_json(&c, e);
    } else if (c.n_samples == 0) {
        rc = err_set(e, -ENOENT, "nothing to plot: no points yet");
    } else {
        rc = draw(o, &c, q->metric, &text, e);
        if (rc > 0) {
            fputs(text, stdout);
            free(text);
            rc = 0;
        }
    }
    curves_release(&c);
    return rc;
}

/* The plot while it is followed: on a terminal of its own, or one drawing after the other. */
struct screen {
    struct terminal *terminal; /* NULL: none */
    char *text;                /* the last drawing */
};

/* Shows a new drawing. Takes `text`. */
static int show(struct screen *s, char *text, struct err *e)
{
    bool same = s->text && strcmp(s->text, text) == 0;

    free(s->text);
    s->text = text;
    if (s->terminal)
        return terminal_show(s->terminal, text, e);
    if (!same)
        fputs(text, stdout);
    fflush(stdout);
    return 0;
}

/* q is Ctrl-C by another name. */
static int take_keys(struct terminal *t, struct err *e)
{
    char keys[64];
    int n = terminal_read(t, keys, sizeof keys);

    if (n < 0)
        return err_set(e, n, "the terminal has gone");
    return memchr(keys, 'q', (size_t)n) ? -EINTR : 0;
}

/* Waits for one update. Returns 1, 0 when the time is over, or an error; sets `*resized` and
 * returns 0 at once when the terminal has another size. */
static int await_update(struct screen *s, struct feedclient *feed, int timeout_ms, bool *resized,
                        struct err *e)
{
    cJSON *update = NULL;
    int rc = feedclient_next(feed, s->terminal ? 0 : timeout_ms, &update, e);

    cJSON_Delete(update);
    if (rc != 0 || !s->terminal)
        return rc;
    rc = terminal_wait(s->terminal, feedclient_fd(feed), timeout_ms);
    *resized = rc > 0 && (rc & TERMINAL_REDRAW);
    if (rc > 0 && (rc & TERMINAL_KEYS))
        return take_keys(s->terminal, e);
    return rc < 0 ? rc : 0;
}

/* Waits for an update or the time to look, then lets what follows closely come in as well. */
static int await_news(struct screen *s, struct feedclient *feed, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + LOOK_MS, left_ms = LOOK_MS;
    bool news = false, resized = false;

    while (left_ms > 0 && !resized) {
        int rc = await_update(s, feed, (int)left_ms, &resized, e);

        if (rc < 0)
            return rc;
        if (rc > 0 && !news)
            deadline_ms = clock_monotonic_ms() + REDRAW_MS;
        news = news || rc > 0;
        left_ms = deadline_ms - clock_monotonic_ms();
    }
    return 0;
}

static int subscribe(struct feedclient *feed, const struct curves_query *q, struct err *e)
{
    int rc = 0;

    for (size_t i = 0; i < q->n_runs && rc == 0; i++)
        rc = feedclient_call(feed, "series.subscribe", params_of(param_text("run", q->runs[i])),
                             NULL, e);
    return rc;
}

/* Asks anew for each drawing: a resumed run supersedes points, and bins move. */
static int redraw(struct feedclient *feed, const struct options *o, const struct curves_query *q,
                  struct screen *s, bool *open, struct err *e)
{
    struct curves c;
    char *text;
    int lines = curves_load(feed, q, &c, e);

    if (lines < 0)
        return lines;
    *open = c.open;
    lines = draw(o, &c, q->metric, &text, e);
    if (lines > 0)
        lines = show(s, text, e);
    curves_release(&c);
    return lines < 0 ? lines : 0;
}

static int follow(struct feedclient *feed, const struct options *o, const struct curves_query *q,
                  struct screen *s, struct err *e)
{
    bool open = true;
    int rc = subscribe(feed, q, e);

    while (rc == 0) {
        rc = redraw(feed, o, q, s, &open, e);
        if (rc < 0 || !open)
            break;
        rc = await_news(s, feed, e);
    }
    return rc;
}

static int plot_follow(struct feedclient *feed, const struct options *o,
                       const struct curves_query *q, struct err *e)
{
    struct screen s = {NULL, NULL};
    const char *last = NULL;
    int rc = 0;

    if (terminal_is_live())
        rc = terminal_open(&s.terminal, e);
    else
        interrupt_watch();
    if (rc == 0)
        rc = follow(feed, o, q, &s, e);
    /* The last drawing stays with the commands before and after. */
    if (s.terminal && s.text)
        last = s.text;
    terminal_close(s.terminal);
    if (last)
        fputs(last, stdout);
    free(s.text);
    return rc == -EINTR ? 0 : rc;
}

int cmd_plot(struct feedclient *feed, const struct options *o, struct err *e)
{
    struct curves_query q = {
        .runs = o->words + 1,
        .n_runs = o->n_words - 1,
        .layer = o->layer,
        .metric = o->metric ? o->metric : metric_table[METRIC_D_LR].name,
        .scalar = o->scalar,
        .log_steps = !o->linear_x,
        .from = o->from,
        .to = o->to,
    };

    if (o->follow && o->json)
        return err_set(e, -EINVAL, "--follow does not go with --json; see tail --json");
    return o->follow ? plot_follow(feed, o, &q, e) : plot_once(feed, o, &q, e);
}
