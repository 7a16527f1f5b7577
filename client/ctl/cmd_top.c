/* richctl top: all runs, live in a terminal; elsewhere one table, or JSON. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "client/ctl/command.h"
#include "client/ctl/connect.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/keys.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/top/feed.h"
#include "client/ctl/top/view.h"
#include "proto/json.h"

/* Updates closer than this share a drawing: what the eye and a slow line take. */
#define REDRAW_MS 200
/* States and rates come without an update: they are looked for, and ages grow. */
#define LOOK_MS 1000
/* A daemon that went is looked for this often. */
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

static bool is_away(const struct top *t)
{
    return isfinite(t->view.away_s);
}

/* A daemon that goes is waited for. Returns 0 for that, else the error. */
static int lose(struct top *t, int rc)
{
    if (rc != -ENOTCONN && rc != -ETIMEDOUT && rc != -EBUSY)
        return rc;
    if (!is_away(t))
        t->view.away_s = 0;
    t->look_at = clock_monotonic_ms() + RETRY_MS;
    return 0;
}

static int come_back(struct top *t, struct err *e)
{
    int rc = connect_again(t->options, t->feed.feed, e);

    if (rc == 0)
        rc = topfeed_begin(&t->feed, e);
    if (rc == 0)
        t->view.away_s = (double)NAN;
    /* It may be writing its endpoints at this moment. */
    return rc == -EPROTO && is_away(t) ? -ENOTCONN : rc;
}

/* What is due: to look for changes, or for a daemon. */
static int look(struct top *t, struct err *e)
{
    int rc;

    if (clock_monotonic_ms() < t->look_at)
        return 0;
    rc = is_away(t) ? come_back(t, e) : topfeed_refresh(&t->feed, e);
    t->look_at = clock_monotonic_ms() + LOOK_MS;
    return rc;
}

/* Curves of the runs on the screen. */
static int sample_shown(struct top *t, struct err *e)
{
    const struct topview *v = &t->view;
    int rc = 0;

    for (size_t i = v->first; i < v->n_runs && i < v->first + topview_rows(v) && rc >= 0; i++)
        rc = topfeed_sample(&t->feed, v->runs[i], e);
    return rc < 0 ? rc : 0;
}

/* Brings the view up to date with the list, the clock and the terminal. */
static void look_around(struct top *t)
{
    struct topview *v = &t->view;

    terminal_size(&v->columns, &v->lines);
    v->n_all = toplist_count(t->feed.list, &v->n_open);
    v->n_runs = toplist_select(t->feed.list, v->order, t->filter, &v->runs);
    v->now_s = clock_wall_s();
    topview_scroll(v, 0);
}

static int draw(struct top *t, struct err *e)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int rc = 0;

    if (!out)
        return err_set(e, -ENOMEM, "out of memory");
    topview_draw(&t->view, out);
    if (fclose(out) != 0)
        rc = err_set(e, -ENOMEM, "out of memory");
    else if (t->terminal)
        rc = terminal_show(t->terminal, text, e);
    else
        fputs(text, stdout);
    free(text);
    t->draw_at = clock_monotonic_ms() + LOOK_MS;
    return rc;
}

static void draw_within(struct top *t, int64_t ms)
{
    int64_t at = clock_monotonic_ms() + ms;

    t->draw_at = at < t->draw_at ? at : t->draw_at;
}

/* A key while the filter is typed. */
static void type(struct top *t, int key)
{
    size_t n = strlen(t->filter);

    if (key == KEY_ENTER) {
        t->view.typing = false;
    } else if (key == KEY_ESCAPE) {
        t->view.typing = false;
        t->filter[0] = '\0';
    } else if (key == KEY_BACKSPACE) {
        /* A letter of several bytes goes whole. */
        while (n > 0 && ((unsigned char)t->filter[--n] & 0xC0) == 0x80)
            ;
        t->filter[n] = '\0';
    } else if (key >= ' ' && key < 256 && n + 1 < sizeof t->filter) {
        t->filter[n] = (char)key;
        t->filter[n + 1] = '\0';
    }
}

static void command(struct top *t, int key)
{
    long page = (long)topview_rows(&t->view);

    switch (key) {
    case 'q':
        t->quit = true;
        break;
    case '/':
        t->view.typing = true;
        break;
    case KEY_ESCAPE:
        t->filter[0] = '\0';
        break;
    case 's':
        t->view.order = (t->view.order + 1) % TOP_ORDERS;
        break;
    case 'j':
    case KEY_DOWN:
        topview_scroll(&t->view, 1);
        break;
    case 'k':
    case KEY_UP:
        topview_scroll(&t->view, -1);
        break;
    case ' ':
    case KEY_PAGE_DOWN:
        topview_scroll(&t->view, page);
        break;
    case KEY_PAGE_UP:
        topview_scroll(&t->view, -page);
        break;
    case KEY_HOME:
        t->view.first = 0;
        break;
    case KEY_END:
        topview_scroll(&t->view, (long)t->view.n_runs);
        break;
    }
}

static int take_keys(struct top *t, int events, struct err *e)
{
    char bytes[64];
    int n = 0, key;

    if (events & TERMINAL_KEYS)
        n = terminal_read(t->terminal, bytes, sizeof bytes);
    if (n < 0)
        return err_set(e, n, "the terminal has gone");
    keys_push(&t->keys, bytes, (size_t)n);
    while ((key = keys_next(&t->keys, !(events & TERMINAL_KEYS))) != KEY_NONE) {
        if (t->view.typing)
            type(t, key);
        else
            command(t, key);
        draw_within(t, 0);
    }
    return 0;
}

static int wait_ms(const struct top *t)
{
    int64_t due = t->draw_at < t->look_at ? t->draw_at : t->look_at;
    int64_t left = due - clock_monotonic_ms();

    left = left > 0 ? left : 0;
    return (int)(keys_torn(&t->keys) && left > TORN_MS ? TORN_MS : left);
}

/* Waits for whatever comes next, and takes it. Errors of the feed are returned. */
static int turn(struct top *t, int events, struct err *e)
{
    int rc = 0;

    if (events & TERMINAL_REDRAW)
        draw_within(t, 0);
    if (!is_away(t))
        rc = topfeed_take_updates(&t->feed, e);
    if (rc > 0)
        draw_within(t, REDRAW_MS);
    return rc < 0 ? rc : look(t, e);
}

/* Rows first, then the curves that they lack: a screen must not wait for twenty answers. */
static int draw_due(struct top *t, struct err *e)
{
    int rc;

    if (clock_monotonic_ms() < t->draw_at)
        return 0;
    look_around(t);
    rc = draw(t, e);
    if (rc < 0 || is_away(t))
        return rc;
    rc = sample_shown(t, e);
    return rc < 0 ? rc : draw(t, e);
}

static int run_live(struct top *t, struct err *e)
{
    double away_since = 0;
    int rc = 0;

    while (rc == 0 && !t->quit) {
        int events;

        rc = draw_due(t, e);
        if (rc == 0) {
            events = terminal_wait(t->terminal, is_away(t) ? -1 : feedclient_fd(t->feed.feed),
                                   wait_ms(t));
            rc = events < 0 ? events : take_keys(t, events, e);
            if (rc == 0)
                rc = turn(t, events, e);
        }
        if (!is_away(t))
            away_since = clock_wall_s();
        if (rc < 0)
            rc = lose(t, rc);
        if (is_away(t))
            t->view.away_s = fmax(0, clock_wall_s() - away_since);
    }
    return rc;
}

static bool fill_json(cJSON *o, const void *what)
{
    const struct toprun *r = what;

    return cJSON_AddStringToObject(o, "run", r->run) &&
           cJSON_AddStringToObject(o, "label", r->label) &&
           cJSON_AddStringToObject(o, "state", r->state) &&
           json_add_double(o, "attempt", r->attempt) &&
           (r->layer ? cJSON_AddStringToObject(o, "layer", r->layer)
                     : cJSON_AddNullToObject(o, "layer")) &&
           json_add_double(o, "step", r->step) && json_add_double(o, "d_lr", r->d_lr) &&
           json_add_double(o, "n_points", r->n_points) &&
           json_add_double(o, "points_per_s", toprun_rate(r, clock_wall_s())) &&
           json_add_double(o, "updated", r->updated);
}

/* The runs that changed, a line each. */
static int print_json(struct top *t, struct err *e)
{
    int rc = 0;

    look_around(t);
    for (size_t i = 0; i < t->view.n_runs && rc == 0; i++) {
        struct toprun *r = t->view.runs[i];

        if (r->changed)
            rc = jsonline_make(fill_json, r, stdout, e);
        r->changed = false;
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(e, -EIO, "writing: %s", strerror(errno));
    return rc;
}

/* Lines at most once a look. Ends with the daemon: who reads a pipe is better told than kept. */
static int follow_json(struct top *t, struct err *e)
{
    int rc = print_json(t, e);

    interrupt_watch();
    while (rc == 0) {
        cJSON *update;

        rc = feedclient_next(t->feed.feed, LOOK_MS, &update, e);
        if (rc > 0)
            cJSON_Delete(update);
        if (rc >= 0)
            rc = topfeed_refresh(&t->feed, e);
        if (rc == 0)
            rc = print_json(t, e);
    }
    return rc;
}

static int print_once(struct top *t, struct err *e)
{
    int rc;

    t->view.once = true;
    look_around(t);
    rc = sample_shown(t, e);
    return rc < 0 ? rc : draw(t, e);
}

static int run_in_terminal(struct top *t, struct err *e)
{
    int rc = terminal_open(&t->terminal, e);

    if (rc == 0)
        rc = run_live(t, e);
    terminal_close(t->terminal);
    return rc;
}

static int run(struct top *t, struct err *e)
{
    int rc = topfeed_begin(&t->feed, e);

    if (rc < 0)
        return rc;
    if (t->options->json)
        return t->options->follow ? follow_json(t, e) : print_json(t, e);
    return terminal_is_live() ? run_in_terminal(t, e) : print_once(t, e);
}

int cmd_top(struct feedclient *feed, const struct options *o, struct err *e)
{
    struct top t = {
        .options = o,
        .feed = {.feed = feed, .list = toplist_new(o->layer), .project = o->project},
        .view = {.ascii = o->ascii || !text_is_utf8(),
                 .colour = terminal_wants_colour(o->no_color),
                 .away_s = (double)NAN},
    };
    int rc;

    t.view.filter = t.filter;
    if (o->follow && !o->json)
        rc = err_set(e, -EINVAL, "--follow goes with --json here: in a terminal top is live");
    else if (!t.feed.list)
        rc = err_set(e, -ENOMEM, "out of memory");
    else
        rc = run(&t, e);
    toplist_free(t.feed.list);
    return rc == -EINTR ? 0 : rc;
}
