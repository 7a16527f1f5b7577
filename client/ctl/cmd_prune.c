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
#include "client/ctl/feed/params.h"

/* A history of many gigabytes takes minutes; that a daemon stands still is found by others. */
#define PATIENCE_MS 3600000

struct task {
    struct feedclient *feed;
    const struct options *options;
    struct progress progress;
};

/* How far the daemon is, it does not say. */
static void on_turn(void *context)
{
    struct task *task = context;

    if (progress_is_due(&task->progress))
        progress_tell_busy(&task->progress, "the daemon removes runs");
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

static int print_answer(cJSON *answer, const struct options *options, struct err *err)
{
    const cJSON *run;

    if (options->json)
        return jsonline_print(answer, stdout, err);
    cJSON_ArrayForEach(run, member(answer, "runs"))
    {
        text_print(cJSON_IsString(run) ? run->valuestring : "?", stdout);
        fputc('\n', stdout);
    }
    print_sentence(answer, options->dry_run ? "would go" : "have gone", stdout);
    return 0;
}

/* Nobody is asked in a script, or where nothing would go. */
static int confirm(struct task *task, struct err *err)
{
    cJSON *answer;
    bool is_empty;
    int rc;

    if (task->options->yes || task->options->dry_run || !ask_is_possible())
        return 0;
    rc = prune(task, true, &answer, err);
    if (rc < 0)
        return rc;
    is_empty = cJSON_GetArraySize(member(answer, "runs")) == 0;
    if (!is_empty)
        print_sentence(answer, "would go", stderr);
    cJSON_Delete(answer);
    return is_empty ? 0 : ask("Delete them for good?", err);
}

int cmd_prune(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct task task = {.feed = feed, .options = options};
    cJSON *answer = NULL;
    int rc;

    if (options->keep_days < 0 && options->max_bytes < 0)
        return err_set(err, -EINVAL, "prune needs --keep-days N, --max-bytes SIZE, or both");
    /* At the question an interrupt ends the program. */
    rc = confirm(&task, err);
    interrupt_watch();
    if (rc == 0)
        rc = prune(&task, options->dry_run, &answer, err);
    if (rc < 0)
        return rc;
    rc = print_answer(answer, options, err);
    cJSON_Delete(answer);
    return rc;
}
