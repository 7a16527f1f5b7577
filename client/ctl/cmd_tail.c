/* richctl tail [RUN]: the latest, then every point and every event as it is stored. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/eventline.h"
#include "client/ctl/rows/pointrow.h"

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
    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        parts[i] = member(object, point_table[i].name);
    parts[POINT_ATTEMPT] = member(object, "attempt");
    return (struct pointrow){member_text(object, "run", ""), member_text(object, "layer", ""),
                             parts};
}

static bool is_wanted(const struct tail *tail, const cJSON *point)
{
    const char *layer = tail->options->layer;

    return !layer || strcmp(member_text(point, "layer", ""), layer) == 0;
}

static bool is_done(const struct tail *tail)
{
    return tail->options->count >= 0 && tail->printed >= tail->options->count;
}

static int print_points(struct tail *tail, const cJSON *points, struct err *err)
{
    const cJSON *parts[POINT_PARTS];
    cJSON *point;
    int rc = 0;

    cJSON_ArrayForEach(point, points)
    {
        if (is_done(tail) || rc < 0)
            break;
        if (!is_wanted(tail, point))
            continue;
        if (tail->options->json) {
            rc = jsonline_print(point, tail->out, err);
        } else {
            struct pointrow row = row_of(point, parts);

            pointrow_print(&tail->format, &row, tail->out);
        }
        tail->printed++;
    }
    return rc;
}

static bool same_place(const cJSON *object, const cJSON *b)
{
    return strcmp(member_text(object, "run", ""), member_text(b, "run", "")) == 0 &&
           cJSON_Compare(member(object, "attempt"), member(b, "attempt"), 1) &&
           cJSON_Compare(member(object, "step"), member(b, "step"), 1);
}

/* Scalars of one run and step stand on one line, after their step. */
static void print_scalars(const struct tail *tail, const cJSON *scalars)
{
    const cJSON *parts[POINT_PARTS], *scalar, *before = NULL;

    cJSON_ArrayForEach(scalar, scalars)
    {
        char text[TEXT_SIZE];

        if (!before || !same_place(before, scalar)) {
            struct pointrow row = row_of(scalar, parts);

            if (before)
                fputc('\n', tail->out);
            pointrow_print_place(&tail->format, &row, tail->out);
        }
        fputs("  ", tail->out);
        text_print(member_text(scalar, "name", ""), tail->out);
        fprintf(tail->out, " %s", text_number(member_number(scalar, "value"), text));
        before = scalar;
    }
    if (before)
        fputc('\n', tail->out);
}

/* An event is no point: it is not counted. */
static int print_events(const struct tail *tail, const cJSON *events, struct err *err)
{
    const cJSON *parts[POINT_PARTS];
    cJSON *event;
    int rc = 0;

    cJSON_ArrayForEach(event, events)
    {
        struct pointrow row = row_of(event, parts);

        if (rc < 0 || !is_wanted(tail, event))
            continue;
        if (tail->options->json) {
            rc = jsonline_print(event, tail->out, err);
            continue;
        }
        pointrow_print_place(&tail->format, &row, tail->out);
        fputs("  ", tail->out);
        eventline_print(event, tail->out);
        fputc('\n', tail->out);
    }
    return rc;
}

static int print_members(struct tail *tail, const cJSON *update, struct err *err)
{
    int rc = print_points(tail, member(update, "points"), err);

    if (rc == 0)
        rc = print_events(tail, member(update, "events"), err);
    if (rc == 0 && !tail->options->json && !is_done(tail))
        print_scalars(tail, member(update, "scalars"));
    return rc;
}

/* Takes the terminal's width of this moment; when it is another, prints the heading again. */
static void fit(struct tail *tail)
{
    size_t before = tail->format.columns, lines;

    if (tail->fits)
        terminal_size(&tail->format.columns, &lines);
    if (!tail->options->json && (!tail->has_heading || before != tail->format.columns))
        pointrow_print_header(&tail->format, tail->out);
    tail->has_heading = true;
}

static void fold(const struct tail *tail, char *text)
{
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        text_print_folded(text, tail->format.columns, stdout);
    }
}

/* By way of a text, whose lines are broken where the terminal ends. */
static int print_fitted(struct tail *tail, const cJSON *update, struct err *err)
{
    char *text = NULL;
    size_t size;
    int rc;

    tail->out = open_memstream(&text, &size);
    if (!tail->out)
        return err_set(err, -ENOMEM, "out of memory");
    fit(tail);
    rc = print_members(tail, update, err);
    if (fclose(tail->out) == 0)
        fold(tail, text);
    else
        rc = err_set(err, -ENOMEM, "out of memory");
    free(text);
    return rc;
}

static int print_straight(struct tail *tail, const cJSON *update, struct err *err)
{
    tail->out = stdout;
    fit(tail);
    return print_members(tail, update, err);
}

/* The subscriptions' answers and their updates have the same members. Only the series is resumed:
 * its cursor is the one that moves. */
static int print_update(struct tail *tail, const cJSON *update, struct err *err)
{
    int rc;

    if (member(update, "points"))
        snprintf(tail->seq, sizeof tail->seq, "%s", member_text(update, "seq", ""));
    rc = tail->fits ? print_fitted(tail, update, err) : print_straight(tail, update, err);
    /* The reader of a pipe wants the point now. */
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(err, -EIO, "writing: %s", strerror(errno));
    return rc;
}

static int follow(struct tail *tail, struct feedclient *feed, struct err *err)
{
    while (!is_done(tail)) {
        cJSON *update;
        int rc = feedclient_next(feed, -1, &update, err);

        if (rc < 0)
            return rc;
        rc = print_update(tail, update, err);
        cJSON_Delete(update);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Columns are chosen once, at the heading: without --metric also what the first points have. */
static void choose_measures(struct tail *tail, const cJSON *answer)
{
    const cJSON *point;

    pointrow_choose(tail->format.shown, tail->options->metric);
    cJSON_ArrayForEach(point, member(answer, "points"))
    {
        if (!tail->options->metric)
            pointrow_mark_measured(point, tail->format.shown);
    }
}

static int subscribe(struct tail *tail, struct feedclient *feed, const char *method,
                     struct err *err)
{
    const struct options *options = tail->options;
    cJSON *answer;
    int rc = feedclient_call(
        feed, method,
        params_of(param_text("run", options->n_words > 1 ? options->words[1] : NULL),
                  param_text("since_seq", options->since)),
        &answer, err);

    if (rc < 0)
        return rc;
    if (!tail->has_heading)
        choose_measures(tail, answer);
    rc = print_update(tail, answer, err);
    cJSON_Delete(answer);
    return rc;
}

int cmd_tail(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct tail tail = {
        .options = options, .fits = !options->json && isatty(STDOUT_FILENO), .out = stdout};
    int rc;

    tail.format = (struct pointrow_format){
        .run = options->n_words < 2,
        .layer = !options->layer,
        .ascii = !text_is_utf8(),
    };
    if (options->metric && metric_find(options->metric) < 0)
        return err_set(err, -EINVAL, "no metric \"%s\"", options->metric);
    interrupt_watch();
    rc = subscribe(&tail, feed, "series.subscribe", err);
    if (rc == 0)
        rc = subscribe(&tail, feed, "event.subscribe", err);
    if (rc == 0)
        rc = follow(&tail, feed, err);
    if (rc == -ENOTCONN && tail.seq[0])
        err_prefix(err, rc, "after seq %s (go on with --since %s): ", tail.seq, tail.seq);
    return rc == -EINTR ? 0 : rc;
}
