/* richctl prune: the runs that changed last before all others go, while they are too old or the
 * history too large (history.prune). At a terminal it says first what would go, and asks. Runs that
 * have gone when it is interrupted stay away, and the same command goes on. */
#include <errno.h>
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/common/ask.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/progress.h"
#include "client/ctl/common/text.h"
#include "client/ctl/connect.h"
#include "client/ctl/feed/params.h"
#include "proto/base/clock.h"

/* A history of many gigabytes takes minutes; that a daemon stands still is found by others. */
#define PATIENCE_MS 3600000

struct task {
    struct feedclient *feed;
    const struct options *options;
    struct progress progress;
    cJSON *would;              /* what a dry one says, before the other; NULL: not asked yet */
    const cJSON *next;         /* of its runs the first that is there, as far as we know */
    int n_gone;                /* those before it */
    struct feedclient *beside; /* asks which are there while `feed` waits; NULL: it cannot */
};

/* Runs go in the order of the list, and one is not found from the moment at which its turn comes.
 */
static void look_what_is_gone(struct task *task)
{
    while (task->beside && task->next) {
        int rc = feedclient_call(task->beside, "run.get",
                                 params_of(param_text("run", task->next->valuestring)), NULL, NULL);

        if (rc != -EREMOTEIO) /* which is what an answer that it is not found comes to */
            return;
        task->next = task->next->next;
        task->n_gone++;
    }
}

static void on_turn(void *context)
{
    struct task *task = context;
    int n = cJSON_GetArraySize(member(task->would, "runs"));
    char text[64];

    if (!progress_is_due(&task->progress))
        return;
    look_what_is_gone(task);
    snprintf(text, sizeof text, "%d of %d runs", task->n_gone, n);
    if (n > 0 && task->beside)
        progress_tell(&task->progress, (double)task->n_gone / n, text, "have gone");
    else
        progress_tell_busy(&task->progress, "the daemon looks for runs");
}

static int prune(struct task *task, bool dry_run, cJSON **answer, struct err *err)
{
    const struct options *options = task->options;
    int rc;

    progress_init(&task->progress);
    feedclient_be_patient(task->feed, PATIENCE_MS, on_turn, task);
    rc = feedclient_call(task->feed, "history.prune",
                         params_of(param_integer("keep_days", options->keep_days),
                                   param_integer("max_bytes", options->max_bytes),
                                   param_flag("dry_run", dry_run)),
                         answer, err);
    progress_clear(&task->progress);
    if (rc == -EINTR)
        err_set(err, rc, "interrupted: runs that have gone stay away; the same command goes on");
    return rc;
}

static void print_sentence(const cJSON *answer, const char *verb, FILE *out)
{
    char before[TEXT_SIZE], after[TEXT_SIZE];

    fprintf(out, "%d runs with %.0f points %s: %s before, %s after\n",
            cJSON_GetArraySize(member(answer, "runs")), member_number(answer, "points"), verb,
            text_bytes(member_number(answer, "bytes_before"), before),
            text_bytes(member_number(answer, "bytes_after"), after));
}

/* Its names, which the daemon is asked for one by one. */
static void print_names(struct feedclient *feed, const char *id)
{
    cJSON *run = NULL;

    if (feedclient_call(feed, "run.get", params_of(param_text("run", id)), &run, NULL) == 0) {
        text_print(member_text(run, "project", "?"), stdout);
        fputc('/', stdout);
        text_print(member_text(run, "name", "?"), stdout);
    }
    cJSON_Delete(run);
    fputs("  ", stdout);
    text_print(id, stdout);
}

/* "mod97/wd1  r-1  1200 points, last update 3 d ago, 2.1 MiB" */
static void print_detail(struct feedclient *feed, const cJSON *detail)
{
    char age[TEXT_SIZE], bytes[TEXT_SIZE];

    print_names(feed, member_text(detail, "run", "?"));
    printf("  %.0f points, last update %s, %s\n", member_number(detail, "points"),
           text_age(member_number(detail, "updated"), clock_wall_s(), age),
           text_bytes(member_number(detail, "bytes"), bytes));
}

static int print_answer(struct feedclient *feed, cJSON *answer, const struct options *options,
                        struct err *err)
{
    const cJSON *details = member(answer, "details"),
                *list = details ? details : member(answer, "runs"), *run;

    if (options->json)
        return jsonline_print(answer, stdout, err);
    cJSON_ArrayForEach(run, list)
    {
        if (details) {
            print_detail(feed, run);
            continue;
        }
        text_print(cJSON_IsString(run) ? run->valuestring : "?", stdout);
        fputc('\n', stdout);
    }
    print_sentence(answer, options->dry_run ? "would go" : "have gone", stdout);
    return 0;
}

/* Nobody is asked in a script, or where nothing would go. */
static int confirm(struct task *task, struct err *err)
{
    if (task->options->yes || !ask_is_possible() || !task->next)
        return 0;
    print_sentence(task->would, "would go", stderr);
    return ask("Delete them for good?", err);
}

/* What would go is the measure of how far the daemon is. At the question an interrupt ends the
 * program. */
static int prune_for_good(struct task *task, cJSON **answer, struct err *err)
{
    const cJSON *runs;
    int rc = prune(task, true, &task->would, err);

    if (rc < 0)
        return rc;
    runs = member(task->would, "runs");
    task->next = runs ? runs->child : NULL;
    rc = confirm(task, err);
    interrupt_watch();
    if (rc == 0 && task->next)
        connect_open(task->options, &task->beside, NULL);
    if (rc == 0)
        rc = prune(task, false, answer, err);
    feedclient_free(task->beside);
    cJSON_Delete(task->would);
    return rc;
}

int cmd_prune(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct task task = {.feed = feed, .options = options};
    cJSON *answer = NULL;
    int rc;

    if (options->keep_days < 0 && options->max_bytes < 0)
        return err_set(err, -EINVAL, "prune needs --keep-days N, --max-bytes SIZE, or both");
    rc = options->dry_run ? prune(&task, true, &answer, err) : prune_for_good(&task, &answer, err);
    if (rc < 0)
        return rc;
    rc = print_answer(feed, answer, options, err);
    cJSON_Delete(answer);
    return rc;
}
