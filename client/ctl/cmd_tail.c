/* richctl tail [RUN]: the latest, then every point and every event as it is stored. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/rows/eventline.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"

/* The command while it runs. */
struct tail {
    const struct options *options;
    struct pointrow_format format;
    int64_t printed;
    char seq[32]; /* the last seen: what --since would go on from */
    bool has_heading;
    bool fits; /* lines are fitted to a terminal, which may change its size */
    FILE *out; /* what is printed to: stdout, or a text that is then folded */
};

/* The row of a POINT, or of a SCALAR, which has the same place. */
static struct pointrow row_of(const cJSON *object, const cJSON *parts[POINT_PARTS])
{
    const char *names[POINT_PARTS];

    pointrow_names(names);
    for (int i = 0; i < POINT_PARTS; i++)
        parts[i] = member(object, names[i]);
    return (struct pointrow){member_text(object, "run", ""), member_text(object, "layer", ""),
                             parts, NULL};
}

static bool is_wanted(const struct tail *t, const cJSON *point)
{
    const char *layer = t->options->layer;

    return !layer || strcmp(member_text(point, "layer", ""), layer) == 0;
}

static bool is_done(const struct tail *t)
{
    return t->options->count >= 0 && t->printed >= t->options->count;
}

static int print_points(struct tail *t, const cJSON *points, struct err *e)
{
    const cJSON *parts[POINT_PARTS];
    cJSON *point;
    int rc = 0;

    cJSON_ArrayForEach(point, points)
    {
        if (is_done(t) || rc < 0)
            break;
        if (!is_wanted(t, point))
            continue;
        if (t->options->json) {
            rc = jsonline_print(point, t->out, e);
        } else {
            struct pointrow row = row_of(point, parts);

            pointrow_print(&t->format, &row, t->out);
        }
        t->printed++;
    }
    return rc;
}

static bool same_place(const cJSON *a, const cJSON *b)
{
    return strcmp(member_text(a, "run", ""), member_text(b, "run", "")) == 0 &&
           cJSON_Compare(member(a, "attempt"), member(b, "attempt"), 1) &&
           cJSON_Compare(member(a, "step"), member(b, "step"), 1);
}

/* Scalars of one run and step stand on one line, after their step. */
static void print_scalars(const struct tail *t, const cJSON *scalars)
{
    const cJSON *parts[POINT_PARTS], *scalar, *before = NULL;

    cJSON_ArrayForEach(scalar, scalars)
    {
        char text[TEXT_SIZE];

        if (!before || !same_place(before, scalar)) {
            struct pointrow row = row_of(scalar, parts);

            if (before)
                fputc('\n', t->out);
            pointrow_print_place(&t->format, &row, t->out);
        }
        fputs("  ", t->out);
        text_print(member_text(scalar, "name", ""), t->out);
        fprintf(t->out, " %s", text_number(member_number(scalar, "value"), text));
        before = scalar;
    }
    if (before)
        fputc('\n', t->out);
}

/* An event is no point: it is not counted. */
static int print_events(const struct tail *t, const cJSON *events, struct err *e)
{
    const cJSON *parts[POINT_PARTS];
    cJSON *event;
    int rc = 0;

    cJSON_ArrayForEach(event, events)
    {
        struct pointrow row = row_of(event, parts);

        if (rc < 0 || !is_wanted(t, event))
            continue;
        if (t->options->json) {
            rc = jsonline_print(event, t->out, e);
            continue;
        }
        pointrow_print_place(&t->format, &row, t->out);
        fputs("  ", t->out);
        eventline_print(event, t->out);
        fputc('\n', t->out);
    }
    return rc;
}

static int print_members(struct tail *t, const cJSON *update, struct err *e)
{
    int rc = print_points(t, member(update, "points"), e);

    if (rc == 0)
        rc = print_events(t, member(update, "events"), e);
    if (rc == 0 && !t->options->json && !is_done(t))
        print_scalars(t, member(update, "scalars"));
    return rc;
}

/* Takes the terminal's width of this moment, and says again what the columns are when it is
 * another. */
static void fit(struct tail *t)
{
    size_t before = t->format.columns, lines;

    if (t->fits)
        terminal_size(&t->format.columns, &lines);
    if (!t->options->json && (!t->has_heading || before != t->format.columns))
        pointrow_print_header(&t->format, t->out);
    t->has_heading = true;
}

static void fold(const struct tail *t, char *text)
{
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        text_print_folded(text, t->format.columns, stdout);
    }
}

/* By way of a text, whose lines are broken where the terminal ends. */
static int print_fitted(struct tail *t, const cJSON *update, struct err *e)
{
    char *text = NULL;
    size_t size;
    int rc;

    t->out = open_memstream(&text, &size);
    if (!t->out)
        return err_set(e, -ENOMEM, "out of memory");
    fit(t);
    rc = print_members(t, update, e);
    if (fclose(t->out) == 0)
        fold(t, text);
    else
        rc = err_set(e, -ENOMEM, "out of memory");
    free(text);
    return rc;
}

static int print_straight(struct tail *t, const cJSON *update, struct err *e)
{
    t->out = stdout;
    fit(t);
    return print_members(t, update, e);
}

/* The subscriptions' answers and their updates have the same members. What is resumed is the
 * series: its cursor is the one that moves. */
static int print_update(struct tail *t, const cJSON *update, struct err *e)
{
    int rc;

    if (member(update, "points"))
        snprintf(t->seq, sizeof t->seq, "%s", member_text(update, "seq", ""));
    rc = t->fits ? print_fitted(t, update, e) : print_straight(t, update, e);
    /* Whoever reads a pipe wants the point now. */
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(e, -EIO, "writing: %s", strerror(errno));
    return rc;
}

static int follow(struct tail *t, struct feedclient *feed, struct err *e)
{
    while (!is_done(t)) {
        cJSON *update;
        int rc = feedclient_next(feed, -1, &update, e);

        if (rc < 0)
            return rc;
        rc = print_update(t, update, e);
        cJSON_Delete(update);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Columns are chosen once, at the heading: the measures that every point may have, and those that
 * the first ones do have. */
static void mark_measured(struct tail *t, const cJSON *answer)
{
    const cJSON *point;

    for (int i = METRIC_D_LR; i <= METRIC_PR; i++)
        t->format.shown[i] = true;
    cJSON_ArrayForEach(point, member(answer, "points"))
    {
        pointrow_mark_measured(point, t->format.shown);
    }
}

static int subscribe(struct tail *t, struct feedclient *feed, const char *method, struct err *e)
{
    const struct options *o = t->options;
    cJSON *answer;
    int rc = feedclient_call(feed, method,
                             params_of(param_text("run", o->n_words > 1 ? o->words[1] : NULL),
                                       param_text("since_seq", o->since)),
                             &answer, e);

    if (rc < 0)
        return rc;
    if (!t->has_heading)
        mark_measured(t, answer);
    rc = print_update(t, answer, e);
    cJSON_Delete(answer);
    return rc;
}

int cmd_tail(struct feedclient *feed, const struct options *o, struct err *e)
{
    struct tail t = {.options = o, .fits = !o->json && isatty(STDOUT_FILENO), .out = stdout};
    int rc;

    t.format = (struct pointrow_format){
        .run = o->n_words < 2,
        .layer = !o->layer,
        .metric = o->metric,
        .ascii = !text_is_utf8(),
    };
    if (o->metric && metric_find(o->metric) < 0)
        return err_set(e, -EINVAL, "no metric \"%s\"", o->metric);
    interrupt_watch();
    rc = subscribe(&t, feed, "series.subscribe", e);
    if (rc == 0)
        rc = subscribe(&t, feed, "event.subscribe", e);
    if (rc == 0)
        rc = follow(&t, feed, e);
    if (rc == -ENOTCONN && t.seq[0])
        err_prefix(e, rc, "after seq %s (go on with --since %s): ", t.seq, t.seq);
    return rc == -EINTR ? 0 : rc;
}
