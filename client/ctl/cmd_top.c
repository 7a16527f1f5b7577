/* richctl top: all runs, live in a terminal; elsewhere one table, or JSON. Tested end to end by
 * test_top_in_a_terminal.py. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/keys.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/connect.h"
#include "client/ctl/top/feed.h"
#include "client/ctl/top/view.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* Updates closer than this share a drawing: the eye and a slow line take no more. */
#define REDRAW_MS 200
/* No update carries states and rates, and ages grow: richctl asks for the list this often. */
#define LOOK_MS 1000
/* How often top looks for a daemon that went. */
#define RETRY_MS 1000
/* The rest of a torn key comes sooner, or it was ESC alone. */
#define TORN_MS 50

/* The command while it runs. */
struct top {
    const struct options *options;
    struct topfeed feed;
    struct topview view;
    struct terminal *terminal;
    struct keys keys;
    char filter[64];
    int64_t draw_at, look_at; /* when they are due, by the monotonic clock */
    bool quit;
};

static bool is_away(const struct top *top)
{
    return isfinite(top->view.away_s);
}

/* Begins to wait for a daemon that went: returns 0 then, else the error. */
static int daemon_went(struct top *top, int rc)
{
    if (rc != -ENOTCONN && rc != -ETIMEDOUT && rc != -EBUSY)
        return rc;
    if (!is_away(top))
        top->view.away_s = 0;
    top->look_at = clock_monotonic_ms() + RETRY_MS;
    return 0;
}

static int reconnect(struct top *top, struct err *err)
{
    int rc = connect_again(top->options, top->feed.feed, err);

    if (rc == 0)
        rc = topfeed_begin(&top->feed, err);
    if (rc == 0)
        top->view.away_s = (double)NAN;
    /* It may be writing its endpoints at this moment. */
    return rc == -EPROTO && is_away(top) ? -ENOTCONN : rc;
}

/* What is due: to look for changes, or for a daemon. */
static int look_when_due(struct top *top, struct err *err)
{
    int rc;

    if (clock_monotonic_ms() < top->look_at)
        return 0;
    rc = is_away(top) ? reconnect(top, err) : topfeed_refresh(&top->feed, err);
    top->look_at = clock_monotonic_ms() + LOOK_MS;
    return rc;
}

/* Curves of the runs on the screen. */
static int sample_shown(struct top *top, struct err *err)
{
    const struct topview *view = &top->view;
    int rc = 0;

    for (size_t i = view->first;
         i < view->n_runs && i < view->first + topview_rows(view) && rc >= 0; i++)
        rc = topfeed_sample(&top->feed, view->runs[i], err);
    return rc < 0 ? rc : 0;
}

/* Brings the view up to date with the list, the clock and the terminal. */
static void bring_up_to_date(struct top *top)
{
    struct topview *view = &top->view;

    terminal_size(&view->columns, &view->lines);
    view->n_all = toplist_count(top->feed.list, &view->n_open);
    view->n_runs = toplist_select(top->feed.list, view->order, top->filter, &view->runs);
    view->now_s = clock_wall_s();
    topview_scroll(view, 0);
}

static int draw(struct top *top, struct err *err)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int rc = 0;

    if (!out)
        return err_set(err, -ENOMEM, "out of memory");
    topview_draw(&top->view, out);
    if (fclose(out) != 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    else if (top->terminal)
        rc = terminal_show(top->terminal, text, err);
    else
        fputs(text, stdout);
    free(text);
    top->draw_at = clock_monotonic_ms() + LOOK_MS;
    return rc;
}

static void draw_within(struct top *top, int64_t ms)
{
    int64_t at = clock_monotonic_ms() + ms;

    top->draw_at = at < top->draw_at ? at : top->draw_at;
}

/* A key while the filter is typed. */
static void edit_filter(struct top *top, int key)
{
    size_t n = strlen(top->filter);

    if (key == KEY_ENTER) {
        top->view.typing = false;
    } else if (key == KEY_ESCAPE) {
        top->view.typing = false;
        top->filter[0] = '\0';
    } else if (key == KEY_BACKSPACE) {
        /* A letter of several bytes is removed whole. */
        while (n > 0 && ((unsigned char)top->filter[--n] & 0xC0) == 0x80)
            ;
        top->filter[n] = '\0';
    } else if (key >= ' ' && key < 256 && n + 1 < sizeof top->filter) {
        top->filter[n] = (char)key;
        top->filter[n + 1] = '\0';
    }
}

static void obey_key(struct top *top, int key)
{
    long page = (long)topview_rows(&top->view);

    switch (key) {
    case 'q':
        top->quit = true;
        break;
    case '/':
        top->view.typing = true;
        break;
    case KEY_ESCAPE:
        top->filter[0] = '\0';
        break;
    case 's':
        top->view.order = (top->view.order + 1) % TOP_ORDERS;
        break;
    case 'j':
    case KEY_DOWN:
        topview_scroll(&top->view, 1);
        break;
    case 'k':
    case KEY_UP:
        topview_scroll(&top->view, -1);
        break;
    case ' ':
    case KEY_PAGE_DOWN:
        topview_scroll(&top->view, page);
        break;
    case KEY_PAGE_UP:
        topview_scroll(&top->view, -page);
        break;
    case KEY_HOME:
        top->view.first = 0;
        break;
    case KEY_END:
        topview_scroll(&top->view, (long)top->view.n_runs);
        break;
    }
}

static int take_keys(struct top *top, int events, struct err *err)
{
    char bytes[64];
    int n = 0, key;

    if (events & TERMINAL_KEYS)
        n = terminal_read(top->terminal, bytes, sizeof bytes);
    if (n < 0)
        return err_set(err, n, "the terminal has gone");
    keys_push(&top->keys, bytes, (size_t)n);
    while ((key = keys_next(&top->keys, !(events & TERMINAL_KEYS))) != KEY_NONE) {
        if (top->view.typing)
            edit_filter(top, key);
        else
            obey_key(top, key);
        draw_within(top, 0);
    }
    return 0;
}

static int wait_ms(const struct top *top)
{
    int64_t due = top->draw_at < top->look_at ? top->draw_at : top->look_at;
    int64_t left = due - clock_monotonic_ms();

    left = left > 0 ? left : 0;
    return (int)(keys_torn(&top->keys) && left > TORN_MS ? TORN_MS : left);
}

/* Takes what the wait ended for. Errors of the feed are returned. */
static int take_events(struct top *top, int events, struct err *err)
{
    int rc = 0;

    if (events & TERMINAL_REDRAW)
        draw_within(top, 0);
    if (!is_away(top))
        rc = topfeed_take_updates(&top->feed, err);
    if (rc > 0)
        draw_within(top, REDRAW_MS);
    return rc < 0 ? rc : look_when_due(top, err);
}

/* Rows first, then the curves that they lack: the screen does not wait for twenty answers. */
static int draw_due(struct top *top, struct err *err)
{
    int rc;

    if (clock_monotonic_ms() < top->draw_at)
        return 0;
    bring_up_to_date(top);
    rc = draw(top, err);
    if (rc < 0 || is_away(top))
        return rc;
    rc = sample_shown(top, err);
    return rc < 0 ? rc : draw(top, err);
}

static int run_live(struct top *top, struct err *err)
{
    double away_since = 0;
    int rc = 0;

    while (rc == 0 && !top->quit) {
        int events;

        rc = draw_due(top, err);
        if (rc == 0) {
            events = terminal_wait(top->terminal, is_away(top) ? -1 : feedclient_fd(top->feed.feed),
                                   wait_ms(top));
            rc = events < 0 ? events : take_keys(top, events, err);
            if (rc == 0)
                rc = take_events(top, events, err);
        }
        if (!is_away(top))
            away_since = clock_wall_s();
        if (rc < 0)
            rc = daemon_went(top, rc);
        if (is_away(top))
            top->view.away_s = fmax(0, clock_wall_s() - away_since);
    }
    return rc;
}

static bool fill_json(cJSON *object, const void *what)
{
    const struct toprun *run = what;

    return cJSON_AddStringToObject(object, "run", run->run) &&
           cJSON_AddStringToObject(object, "label", run->label) &&
           cJSON_AddStringToObject(object, "state", run->state) &&
           json_add_double(object, "attempt", run->attempt) &&
           (run->layer ? cJSON_AddStringToObject(object, "layer", run->layer)
                       : cJSON_AddNullToObject(object, "layer")) &&
           json_add_double(object, "step", run->step) &&
           json_add_double(object, "d_lr", run->d_lr) &&
           json_add_double(object, "d_debiased", run->d_debiased) &&
           json_add_double(object, "n_points", run->n_points) &&
           json_add_double(object, "points_per_s", toprun_rate(run, clock_wall_s())) &&
           json_add_double(object, "updated", run->updated);
}

/* The runs that changed, a line each. */
static int print_json(struct top *top, struct err *err)
{
    int rc = 0;

    bring_up_to_date(top);
    for (size_t i = 0; i < top->view.n_runs && rc == 0; i++) {
        struct toprun *run = top->view.runs[i];

        if (run->changed)
            rc = jsonline_make(fill_json, run, stdout, err);
        run->changed = false;
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(err, -EIO, "writing: %s", strerror(errno));
    return rc;
}

/* Prints at most once in LOOK_MS. It ends with the daemon: a program that reads the pipe learns so
 * at once. */
static int follow_json(struct top *top, struct err *err)
{
    int rc = print_json(top, err);

    interrupt_watch();
    while (rc == 0) {
        cJSON *update;

        rc = feedclient_next(top->feed.feed, LOOK_MS, &update, err);
        if (rc > 0)
            cJSON_Delete(update);
        if (rc >= 0)
            rc = topfeed_refresh(&top->feed, err);
        if (rc == 0)
            rc = print_json(top, err);
    }
    return rc;
}

static int print_once(struct top *top, struct err *err)
{
    int rc;

    top->view.once = true;
    bring_up_to_date(top);
    rc = sample_shown(top, err);
    return rc < 0 ? rc : draw(top, err);
}

static int run_in_terminal(struct top *top, struct err *err)
{
    int rc = terminal_open(&top->terminal, err);

    if (rc == 0)
        rc = run_live(top, err);
    terminal_close(top->terminal);
    return rc;
}

static int start(struct top *top, struct err *err)
{
    int rc = topfeed_begin(&top->feed, err);

    if (rc < 0)
        return rc;
    if (top->options->json)
        return top->options->follow ? follow_json(top, err) : print_json(top, err);
    return terminal_is_live() ? run_in_terminal(top, err) : print_once(top, err);
}

int cmd_top(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct top top = {
        .options = options,
        .feed = {.feed = feed, .list = toplist_new(options->layer), .project = options->project},
        .view = {.ascii = options->ascii || !text_is_utf8(),
                 .colour = terminal_wants_colour(options->no_color),
                 .away_s = (double)NAN},
    };
    int rc;

    top.view.filter = top.filter;
    if (options->follow && !options->json)
        rc = err_set(err, -EINVAL, "--follow goes with --json here: in a terminal top is live");
    else if (!top.feed.list)
        rc = err_set(err, -ENOMEM, "out of memory");
    else
        rc = start(&top, err);
    toplist_free(top.feed.list);
    return rc == -EINTR ? 0 : rc;
}
