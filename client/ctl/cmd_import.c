/* richctl import: sends the spools that trainings left (SPOOL.md), and removes those that are
 * stored. A line, or with --json an object, for each file on stdout; how far it is on stderr. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/endpoints.h"
#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/progress.h"
#include "client/ctl/common/text.h"
#include "proto/spool/import.h"

struct task {
    const struct options *options;
    struct endpoints places;
    struct progress progress;
    size_t n_left; /* files that stay and should not */
};

/* ---- where ----------------------------------------------------------------------------------- */

/* As SPOOL.md has it. Free with free; NULL without memory. */
static char *default_directory(void)
{
    const char *named = getenv("RICHD_SPOOL_DIR"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path;

    if (named && *named)
        return strdup(named);
    if (state && *state)
        return asprintf(&path, "%s/richd/spool", state) < 0 ? NULL : path;
    return asprintf(&path, "%s/.local/state/richd/spool", home ? home : "") < 0 ? NULL : path;
}

/* The directory may be absent: no training has kept anything. */
static int add_default(struct import *import, struct err *err)
{
    char *directory = default_directory();
    int rc =
        directory ? import_add(import, directory, err) : err_set(err, -ENOMEM, "out of memory");

    free(directory);
    return rc == -ENOENT ? 0 : rc;
}

static int gather(struct import *import, const struct options *options, struct err *err)
{
    int rc = options->n_words > 1 ? 0 : add_default(import, err);

    for (size_t i = 1; i < options->n_words && rc == 0; i++)
        rc = import_add(import, options->words[i], err);
    return rc;
}

static int find_daemon(void *context, char address[LAUNCH_ADDRESS_SIZE], struct err *err)
{
    const struct task *task = context;
    struct endpoint endpoint;
    int rc = endpoints_find(&task->places, "ingest", &endpoint, err);

    _Static_assert(sizeof endpoint.address <= LAUNCH_ADDRESS_SIZE, "an address fits");
    if (rc == 0)
        memcpy(address, endpoint.address, sizeof endpoint.address);
    return rc;
}

/* ---- on the way ------------------------------------------------------------------------------ */

static void tell(struct task *task, struct replay *const *replays, size_t n)
{
    double done = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        done += (double)replay_facts(replays[i])->answered_bytes;
        all += (double)replay_facts(replays[i])->size_bytes;
    }
    progress_tell(&task->progress, done / all, replay_facts(replays[0])->run, "are stored");
}

static bool on_turn(void *context, struct replay *const *replays, size_t n)
{
    struct task *task = context;

    if (progress_is_due(&task->progress))
        tell(task, replays, n);
    return !interrupt_look();
}

/* ---- what became of a file ------------------------------------------------------------------- */

static bool fill_json(cJSON *object, const void *what)
{
    const struct import_file *file = what;
    const struct replay_facts *facts = &file->facts;

    return cJSON_AddStringToObject(object, "path", file->path) &&
           (facts->run[0] ? cJSON_AddStringToObject(object, "run", facts->run)
                          : cJSON_AddNullToObject(object, "run")) &&
           (facts->attempt > 0 ? json_add_integer(object, "attempt", facts->attempt)
                               : cJSON_AddNullToObject(object, "attempt") != NULL) &&
           json_add_integer(object, "messages", (int64_t)facts->n_messages) &&
           json_add_integer(object, "refused", (int64_t)facts->n_refused) &&
           json_add_integer(object, "bytes", (int64_t)facts->size_bytes) &&
           cJSON_AddStringToObject(object, "state", import_state_name(file->state)) &&
           (file->err.text[0] ? cJSON_AddStringToObject(object, "text", file->err.text)
                              : cJSON_AddNullToObject(object, "text"));
}

/* PATH: what is wrong. */
static void complain(const struct import_file *file)
{
    fputs("richctl: ", stderr);
    if (!strstr(file->err.text, file->path)) {
        text_print(file->path, stderr);
        fputs(": ", stderr);
    }
    text_print(file->err.text, stderr);
    fputc('\n', stderr);
}

static void print_stored(const struct import_file *file)
{
    const struct replay_facts *facts = &file->facts;
    char bytes[TEXT_SIZE];

    text_print(facts->run, stdout);
    printf(" attempt %lld: %llu messages, %s\n", (long long)facts->attempt,
           (unsigned long long)facts->n_messages, text_bytes((double)facts->size_bytes, bytes));
    if (facts->n_refused > 0)
        fprintf(stderr, "richctl: %llu of these were refused; the last: %s\n",
                (unsigned long long)facts->n_refused, facts->text);
}

/* And should not: that a training writes it is as it should be. */
static bool stays(const struct import_file *file)
{
    return file->state == IMPORT_KEPT || file->state == IMPORT_WAITING ||
           (file->state == IMPORT_HELD && file->was_named);
}

static void on_done(void *context, const struct import_file *file)
{
    struct task *task = context;

    progress_clear(&task->progress);
    task->n_left += stays(file);
    if (task->options->json)
        jsonline_make(fill_json, file, stdout, NULL);
    else if (file->state == IMPORT_STORED && file->facts.run[0])
        print_stored(file);
    else if (file->state != IMPORT_STORED && file->err.text[0])
        complain(file);
    fflush(stdout);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run(struct task *task, struct import *import, struct err *err)
{
    struct launch_way way = {find_daemon, on_turn, task, 1000 * task->options->timeout_s};
    int rc;

    interrupt_watch();
    rc = import_run(import, &way, on_done, err);
    progress_clear(&task->progress);
    if (rc == 0 && task->n_left > 0)
        rc = err_set(err, -EIO, "%zu of %zu files stay where they are", task->n_left, import->n);
    return rc;
}

int cmd_import(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct task task = {.options = options};
    struct import import = {NULL, 0};
    int rc = endpoints_init(&task.places, options->endpoint, "RICHD_ENDPOINT", options->runtime_dir,
                            err);

    (void)feed;
    progress_init(&task.progress);
    if (rc == 0)
        rc = gather(&import, options, err);
    if (rc == 0)
        rc = run(&task, &import, err);
    import_release(&import);
    return rc;
}
