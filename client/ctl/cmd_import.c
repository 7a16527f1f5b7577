/* richctl import: sends the spools that trainings left (SPOOL.md), and removes those that are
 * stored. A line, or with --json an object, for each file on stdout; how far it is on stderr. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/endpoints.h"
#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/text.h"
#include "proto/base/clock.h"
#include "proto/spool/import.h"

/* Short imports say nothing on their way. */
#define PROGRESS_AFTER_MS 2000
/* Between two lines of a log, and two drawings of the bar. */
#define PROGRESS_EACH_MS 10000
#define BAR_EACH_MS      100
#define BAR_COLUMNS      30

struct task {
    const struct options *options;
    struct endpoints places;
    bool has_terminal; /* for a bar on stderr */
    bool has_bar;
    int64_t tell_at;
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

static void draw_bar(double part, const char *run)
{
    static const char full[] = "##############################";
    int n = (int)(part * BAR_COLUMNS);

    fprintf(stderr, "\r[%-*.*s] %3d %%  ", BAR_COLUMNS, n, full, (int)(100 * part));
    text_print(run, stderr);
    fputs("\033[K", stderr);
}

static void clear_bar(struct task *task)
{
    if (task->has_bar)
        fputs("\r\033[K", stderr);
    task->has_bar = false;
}

static void tell(struct task *task, struct replay *const *replays, size_t n)
{
    double done = 0, all = 0;
    const char *run = replay_facts(replays[0])->run;

    for (size_t i = 0; i < n; i++) {
        done += (double)replay_facts(replays[i])->answered_bytes;
        all += (double)replay_facts(replays[i])->size_bytes;
    }
    if (task->has_terminal) {
        draw_bar(done / all, run);
        task->has_bar = true;
    } else {
        text_print(run, stderr);
        fprintf(stderr, ": %d %% are stored\n", (int)(100 * done / all));
    }
    task->tell_at = clock_monotonic_ms() + (task->has_terminal ? BAR_EACH_MS : PROGRESS_EACH_MS);
}

/* Signals come in nowhere else. */
static bool take_signals(void)
{
    struct timespec none = {0, 0};

    ppoll(NULL, 0, &none, interrupt_mask());
    return interrupt_pending();
}

static bool on_turn(void *context, struct replay *const *replays, size_t n)
{
    struct task *task = context;

    if (clock_monotonic_ms() >= task->tell_at)
        tell(task, replays, n);
    return !take_signals();
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

    clear_bar(task);
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
    clear_bar(task);
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
    task.has_terminal = isatty(STDERR_FILENO);
    task.tell_at = clock_monotonic_ms() + (task.has_terminal ? 0 : PROGRESS_AFTER_MS);
    if (rc == 0)
        rc = gather(&import, options, err);
    if (rc == 0)
        rc = run(&task, &import, err);
    import_release(&import);
    return rc;
}
