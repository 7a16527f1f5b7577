/* richctl plot RUN...: the curves in the terminal, once or live. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/figure/curves.h"
#include "client/ctl/figure/plot.h"
#include "proto/base/clock.h"
#include "proto/base/metric.h"
#include "proto/json.h"

/* Updates closer than this share a drawing. */
#define REDRAW_MS 200
/* No update says that a run has ended: richctl asks this often. */
#define LOOK_MS 1000

/* The measure that the title is about: of the curves the one with a corrected form. */
static int title_metric(const struct curves *curves)
{
    int metric = -1;

    for (size_t i = 0; i < curves->n; i++) {
        int own = curves->curve[i].right ? -1 : metric_find(curves->curve[i].metric);

        if (metric < 0 || (own >= 0 && metric_plain(own) != own))
            metric = own;
    }
    return metric < 0 ? METRIC_D_DEBIASED : metric;
}

/* The terminal's size, less a line for the prompt. */
static void set_size(const struct options *options, struct plot *plot)
{
    terminal_size(&plot->columns, &plot->lines);
    plot->lines--;
    if (options->width >= 0)
        plot->columns = (size_t)options->width;
    if (options->height >= 0)
        plot->lines = (size_t)options->height;
}

/* Draws into a string (free it). Returns the lines, or an error. */
static int draw(const struct options *options, const struct curves *curves, char **text,
                struct err *err)
{
    const struct metric_info *metric = &metric_table[title_metric(curves)];
    char title[256];
    struct plot plot = {
        .title = title,
        .curves = curves->curve,
        .n_curves = curves->n,
        .passages = curves->passage,
        .n_passages = curves->n_passages,
        .rules = curves->rule,
        .n_rules = curves->n_rules,
        .fits_rules = options->from < 0 && options->to < 0,
        .log_steps = !options->linear_x,
        .ascii = options->ascii || !text_is_utf8(),
        .colour = terminal_wants_colour(options->no_color),
    };
    size_t size;
    FILE *out = open_memstream(text, &size);
    int lines;

    if (!out)
        return err_set(err, -ENOMEM, "out of memory");
    snprintf(title, sizeof title, "%s: %.180s%s", metric->name, metric->description,
             options->linear_x ? "" : " (log steps)");
    set_size(options, &plot);
    lines = plot_draw(&plot, out);
    if (fclose(out) != 0 || lines < 0) {
        free(*text);
        return err_set(err, -ENOMEM, "out of memory");
    }
    return lines;
}

static bool fill_json(cJSON *object, const void *what)
{
    const struct plot_curve *curves = what;
    cJSON *steps, *low, *high;
    bool ok = cJSON_AddStringToObject(object, "run", curves->run) &&
              cJSON_AddStringToObject(object, "curve", curves->label) &&
              cJSON_AddStringToObject(object, "metric", curves->metric) &&
              cJSON_AddStringToObject(object, "axis", curves->right ? "right" : "left") &&
              (steps = cJSON_AddArrayToObject(object, "step")) &&
              (low = cJSON_AddArrayToObject(object, "min")) &&
              (high = cJSON_AddArrayToObject(object, "max"));

    for (size_t i = 0; ok && i < curves->n_samples; i++)
        ok = json_push_double(steps, curves->samples[i].step) &&
             json_push_double(low, curves->samples[i].low) &&
             json_push_double(high, curves->samples[i].high);
    return ok;
}

/* What would be drawn, an object a curve. */
static int print_json(const struct curves *curves, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < curves->n && rc == 0; i++)
        rc = jsonline_make(fill_json, &curves->curve[i], stdout, err);
    return rc;
}

static int plot_once(struct feedclient *feed, const struct options *options,
                     const struct curves_query *query, struct err *err)
{
    struct curves curves;
    char *text;
    int rc = curves_load(feed, query, &curves, err);

    if (rc < 0)
        return rc;
    if (options->json) {
        rc = print_json(&curves, err);
    } else if (curves.n_samples == 0) {
        rc = err_set(err, -ENOENT, "nothing to plot: no points yet");
    } else {
        rc = draw(options, &curves, &text, err);
        if (rc > 0) {
            fputs(text, stdout);
            free(text);
            rc = 0;
        }
    }
    curves_release(&curves);
    return rc;
}

/* The plot while it is followed: on a terminal of its own, or one drawing after the other. */
struct screen {
    struct terminal *terminal; /* NULL: none */
    char *text;                /* the last drawing */
};

/* Shows a new drawing. Takes `text`. */
static int show(struct screen *screen, char *text, struct err *err)
{
    bool same = screen->text && strcmp(screen->text, text) == 0;

    free(screen->text);
    screen->text = text;
    if (screen->terminal)
        return terminal_show(screen->terminal, text, err);
    if (!same)
        fputs(text, stdout);
    fflush(stdout);
    return 0;
}

/* q ends the plot as Ctrl-C does. */
static int take_keys(struct terminal *terminal, struct err *err)
{
    char keys[64];
    int n = terminal_read(terminal, keys, sizeof keys);

    if (n < 0)
        return err_set(err, n, "the terminal has gone");
    return memchr(keys, 'q', (size_t)n) ? -EINTR : 0;
}

/* Waits for one update. Returns 1, 0 when the time is over, or an error; sets `*resized` and
 * returns 0 at once when the terminal has another size. */
static int await_update(struct screen *screen, struct feedclient *feed, int timeout_ms,
                        bool *resized, struct err *err)
{
    cJSON *update = NULL;
    int rc = feedclient_next(feed, screen->terminal ? 0 : timeout_ms, &update, err);

    cJSON_Delete(update);
    if (rc != 0 || !screen->terminal)
        return rc;
    rc = terminal_wait(screen->terminal, feedclient_fd(feed), timeout_ms);
    *resized = rc > 0 && (rc & TERMINAL_REDRAW);
    if (rc > 0 && (rc & TERMINAL_KEYS))
        return take_keys(screen->terminal, err);
    return rc < 0 ? rc : 0;
}

/* Waits for an update or the time to look, then lets what follows closely come in as well. */
static int await_news(struct screen *screen, struct feedclient *feed, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + LOOK_MS, left_ms = LOOK_MS;
    bool news = false, resized = false;

    while (left_ms > 0 && !resized) {
        int rc = await_update(screen, feed, (int)left_ms, &resized, err);

        if (rc < 0)
            return rc;
        if (rc > 0 && !news)
            deadline_ms = clock_monotonic_ms() + REDRAW_MS;
        news = news || rc > 0;
        left_ms = deadline_ms - clock_monotonic_ms();
    }
    return 0;
}

static int subscribe(struct feedclient *feed, const struct curves_query *query, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < query->n_runs && rc == 0; i++)
        rc = feedclient_call(feed, "series.subscribe", params_of(param_text("run", query->runs[i])),
                             NULL, err);
    return rc;
}

/* Asks again for each drawing: a resumed run supersedes points, and bins move. */
static int redraw(struct feedclient *feed, const struct options *options,
                  const struct curves_query *query, struct screen *screen, bool *open,
                  struct err *err)
{
    struct curves curves;
    char *text;
    int lines = curves_load(feed, query, &curves, err);

    if (lines < 0)
        return lines;
    *open = curves.open;
    lines = draw(options, &curves, &text, err);
    if (lines > 0)
        lines = show(screen, text, err);
    curves_release(&curves);
    return lines < 0 ? lines : 0;
}

static int follow(struct feedclient *feed, const struct options *options,
                  const struct curves_query *query, struct screen *screen, struct err *err)
{
    bool open = true;
    int rc = subscribe(feed, query, err);

    while (rc == 0) {
        rc = redraw(feed, options, query, screen, &open, err);
        if (rc < 0 || !open)
            break;
        rc = await_news(screen, feed, err);
    }
    return rc;
}

static int plot_follow(struct feedclient *feed, const struct options *options,
                       const struct curves_query *query, struct err *err)
{
    struct screen screen = {NULL, NULL};
    const char *last = NULL;
    int rc = 0;

    if (terminal_is_live())
        rc = terminal_open(&screen.terminal, err);
    else
        interrupt_watch();
    if (rc == 0)
        rc = follow(feed, options, query, &screen, err);
    /* The last drawing stays with the commands before and after. */
    if (screen.terminal && screen.text)
        last = screen.text;
    terminal_close(screen.terminal);
    if (last)
        fputs(last, stdout);
    free(screen.text);
    return rc == -EINTR ? 0 : rc;
}

int cmd_plot(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct curves_query query = {
        .runs = options->words + 1,
        .n_runs = options->n_words - 1,
        .layer = options->layer,
        .metric = options->metric,
        .scalar = options->scalar,
        .log_steps = !options->linear_x,
        .from = options->from,
        .to = options->to,
    };

    if (options->follow && options->json)
        return err_set(err, -EINVAL, "--follow does not go with --json; see tail --json");
    return options->follow ? plot_follow(feed, options, &query, err)
                           : plot_once(feed, options, &query, err);
}
