/* richctl delete RUN...: runs that go for good, after a question, or with --yes. All are looked up
 * before the first one goes, so a name that is wrong deletes nothing; one that goes by then is the
 * run that was shown. An interrupt, or an error, says which of them are left. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/ctl/command.h"
#include "client/ctl/common/ask.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/progress.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"

struct task {
    struct feedclient *feed;
    const struct options *options;
    cJSON *runs; /* by id: the answers of run.get */
    struct progress progress;
};

static int look_up(struct task *task, const char *name, struct err *err)
{
    cJSON *run;
    int rc = feedclient_call(task->feed, "run.get", params_of(param_text("run", name)), &run, err);
    const char *id = rc == 0 ? member_text(run, "run", "") : "";

    if (rc < 0 || member(task->runs, id)) {
        cJSON_Delete(run);
        return rc;
    }
    if (cJSON_AddItemToObject(task->runs, id, run))
        return 0;
    cJSON_Delete(run);
    return err_set(err, -ENOMEM, "out of memory");
}

static int confirm(const struct task *task, struct err *err)
{
    int n = cJSON_GetArraySize(task->runs);
    char question[ERR_TEXT_SIZE];
    double n_points = 0;
    const cJSON *run;

    if (task->options->yes)
        return 0;
    if (!ask_is_possible())
        return err_set(err, -EINVAL, "delete needs --yes where nobody can be asked");
    cJSON_ArrayForEach(run, task->runs)
    {
        n_points += member_number(run, "n_points");
    }
    run = task->runs->child;
    snprintf(question, sizeof question, "Delete %.64s (%.128s/%.128s)%s with %.0f points for good?",
             run->string, member_text(run, "project", ""), member_text(run, "name", ""),
             n > 1 ? " and others" : "", n_points);
    if (n > 1)
        snprintf(question, sizeof question, "Delete %d runs with %.0f points for good?", n,
                 n_points);
    return ask(question, err);
}

static int delete_run(struct task *task, const cJSON *run, struct err *err)
{
    cJSON *answer;
    int rc = feedclient_call(task->feed, "run.delete", params_of(param_text("run", run->string)),
                             &answer, err);

    if (rc < 0)
        return rc;
    progress_clear(&task->progress);
    if (task->options->json) {
        rc = jsonline_print(answer, stdout, err);
    } else {
        text_print(run->string, stdout);
        printf(": %.0f points\n", member_number(answer, "points"));
    }
    cJSON_Delete(answer);
    return rc;
}

/* Those from `run` on stay. */
static void tell_left(const cJSON *run, int rc, struct err *err)
{
    if (rc == -EINTR)
        err_set(err, rc, "interrupted");
    fputs("richctl: not deleted:", stderr);
    for (; run; run = run->next) {
        fputc(' ', stderr);
        text_print(run->string, stderr);
    }
    fputc('\n', stderr);
}

static int delete_runs(struct task *task, struct err *err)
{
    int n = cJSON_GetArraySize(task->runs), n_done = 0, rc = 0;
    const cJSON *run;

    interrupt_watch();
    interrupt_hold(true); /* whether a run has gone is known at each interrupt */
    progress_init(&task->progress);
    cJSON_ArrayForEach(run, task->runs)
    {
        rc = interrupt_look() ? -EINTR : delete_run(task, run, err);
        if (rc < 0)
            break;
        n_done++;
        if (progress_is_due(&task->progress))
            progress_tell(&task->progress, (double)n_done / n, run->string, "of the runs are gone");
    }
    progress_clear(&task->progress);
    if (rc < 0)
        tell_left(run, rc, err);
    return rc;
}

int cmd_delete(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct task task = {.feed = feed, .options = options, .runs = cJSON_CreateObject()};
    int rc = task.runs ? 0 : err_set(err, -ENOMEM, "out of memory");

    for (size_t i = 1; rc == 0 && i < options->n_words; i++)
        rc = look_up(&task, options->words[i], err);
    if (rc == 0)
        rc = confirm(&task, err);
    if (rc == 0)
        rc = delete_runs(&task, err);
    cJSON_Delete(task.runs);
    return rc;
}
