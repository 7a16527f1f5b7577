/* richctl export: whole runs as CSV, JSON or NumPy's archive, to stdout, a file, or a directory
 * with a file for each run. Nothing is binned, and numbers are as the daemon has them.
 *
 * The way through: the runs that are meant are looked up first (run.get for each RUN, run.list for
 * a filter), then read and written one after the other (export/reader). A file has its name when it
 * is whole, so an export that is interrupted leaves no half one. Into a directory it is taken up
 * again: UNFINISHED lists what is written, as it was asked, and an export that comes to its end
 * removes the list.
 *
 * Parquet is the Python package's: pyarrow writes it there, and there is no such library in C that
 * is not larger than all of richd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/progress.h"
#include "client/ctl/export/journal.h"
#include "client/ctl/export/outfile.h"
#include "client/ctl/export/reader.h"
#include "client/ctl/feed/filter.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/feed/runs.h"

/* The clock is not read, and signals are not let in, at every row. */
#define ROWS_A_LOOK 256

static const struct export_format *const formats[] = {&export_csv, &export_json, &export_npz};
#define N_FORMATS (sizeof formats / sizeof formats[0])

struct task {
    struct feedclient *feed;
    const struct options *options;
    const struct export_format *format;
    const char *directory; /* NULL: one file, or stdout */
    struct journal *journal;
    cJSON *noted; /* of each run, by its id: that, when it changed, and its points */
    struct progress progress;
    const char *name; /* of the run in progress */
    double n_done;    /* points of the runs before it, and its rows */
    double n_all;
    size_t n_rows; /* since the last look */
};

/* ---- which format, and where ------------------------------------------------------------------
 */

static const struct export_format *find_format(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (name && strcmp(formats[i]->name, name) == 0)
            return formats[i];
    }
    return NULL;
}

/* What was named, or what the output's ending says, or CSV; but no CSV in a file of Parquet. */
static int choose_format(struct task *task, struct err *err)
{
    const char *named = task->options->format, *output = task->options->output;
    const char *ending = output ? strrchr(output, '.') : NULL;
    const char *asked = named ? named : ending ? ending + 1 : "csv";
    bool is_parquet = strcmp(asked, "parquet") == 0;

    task->format = find_format(asked);
    if (!task->format && !named && !is_parquet)
        task->format = &export_csv;
    if (task->format)
        return 0;
    return err_set(err, -EINVAL, "--format is csv, json or npz, not \"%.64s\"%s", asked,
                   is_parquet ? "; Python's richd writes Parquet: run.to_pandas().to_parquet(FILE)"
                              : "");
}

/* An output that is one, or whose name ends as one's does; that is made. */
static int choose_directory(struct task *task, struct err *err)
{
    const char *output = task->options->output;
    size_t length = output ? strlen(output) : 0;
    struct stat st;

    if (length == 0)
        return 0;
    if (output[length - 1] == '/' && mkdir(output, 0777) < 0 && errno != EEXIST)
        return err_set(err, -errno, "%s: %s", output, strerror(errno));
    if (output[length - 1] == '/' || (stat(output, &st) == 0 && S_ISDIR(st.st_mode)))
        task->directory = output;
    return 0;
}

static int check(const struct task *task, struct err *err)
{
    int n = cJSON_GetArraySize(task->noted);

    if (task->directory)
        return 0;
    if (task->format->one_run && n > 1)
        return err_set(err, -EINVAL,
                       "a file of %s holds one run, and these are %d: name a directory, -o DIR/",
                       task->format->name, n);
    if (task->format->is_binary && !task->options->output && isatty(STDOUT_FILENO))
        return err_set(err, -EINVAL, "%s is nothing for a terminal: name a file, -o FILE",
                       task->format->name);
    return 0;
}

/* ---- which runs -------------------------------------------------------------------------------
 */

/* What is needed of a run until its turn comes; a run that is named twice is written once. */
static int note_run(void *context, cJSON *run, struct err *err)
{
    static const char *const facts[] = {"run", "updated", "n_points"};
    struct task *task = context;
    cJSON *note;
    bool ok = true;

    if (member(task->noted, member_text(run, "run", "")))
        return 0;
    note = cJSON_AddObjectToObject(task->noted, member_text(run, "run", ""));
    for (size_t i = 0; ok && i < sizeof facts / sizeof facts[0]; i++) {
        cJSON *copy = cJSON_Duplicate(member(run, facts[i]), 1);

        ok = note && cJSON_AddItemToObject(note, facts[i], copy);
        if (!ok)
            cJSON_Delete(copy);
    }
    task->n_all += member_number(run, "n_points");
    return ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int note_named(struct task *task, const char *name, struct err *err)
{
    cJSON *run;
    int rc = feedclient_call(task->feed, "run.get", params_of(param_text("run", name)), &run, err);

    if (rc == 0)
        rc = note_run(task, run, err);
    cJSON_Delete(run);
    return rc;
}

static int note_listed(struct task *task, struct err *err)
{
    struct runs_query query = {.limit = -1};
    cJSON *filter;
    int rc = filter_make(task->options, &filter, err);

    query.filter = filter;
    if (rc == 0)
        rc = runs_each(task->feed, &query, note_run, task, err);
    cJSON_Delete(filter);
    return rc;
}

static int find_runs(struct task *task, struct err *err)
{
    const struct options *options = task->options;
    int rc = 0;

    task->noted = cJSON_CreateObject();
    if (!task->noted)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 1; rc == 0 && i < options->n_words; i++)
        rc = note_named(task, options->words[i], err);
    if (rc == 0 && options->n_words == 1)
        rc = note_listed(task, err);
    if (rc == 0 && !task->noted->child)
        rc = err_set(err, -ENOENT, "there is no such run");
    return rc;
}

/* ---- one after the other ----------------------------------------------------------------------
 */

static bool on_row(void *context)
{
    struct task *task = context;

    task->n_done++;
    if (++task->n_rows % ROWS_A_LOOK != 0)
        return true;
    if (progress_is_due(&task->progress))
        progress_tell(&task->progress, task->n_done / (task->n_all > 0 ? task->n_all : 1),
                      task->name, "is written");
    return !interrupt_look();
}

static int read_run(struct task *task, const cJSON *noted, void *writer, struct err *err)
{
    struct export_query query = {task->options->attempts, task->options->layer, on_row, task};
    double n_before = task->n_done;
    cJSON *run;
    int rc;

    task->name = noted->string;
    rc =
        feedclient_call(task->feed, "run.get", params_of(param_text("run", task->name)), &run, err);
    if (rc == 0)
        rc = export_read(task->feed, run, &query, task->format, writer, err);
    cJSON_Delete(run);
    task->n_done = n_before + member_number(noted, "n_points");
    return rc;
}

/* The runs from `first` on into one file: one of them, or (`is_all`) all. */
static int write_file(struct task *task, const char *path, const cJSON *first, bool is_all,
                      struct err *err)
{
    struct outfile file;
    void *writer;
    int rc = outfile_open(&file, path, err);

    if (rc < 0)
        return rc;
    writer = task->format->open(file.stream, path);
    rc = writer ? 0 : err_set(err, -ENOMEM, "out of memory");
    for (const cJSON *run = first; rc == 0 && run; run = is_all ? run->next : NULL)
        rc = read_run(task, run, writer, err);
    task->format->close(writer);
    if (rc == 0)
        return outfile_keep(&file, err);
    outfile_drop(&file);
    return rc;
}

static int write_into_directory(struct task *task, const cJSON *run, struct err *err)
{
    const char *id = run->string;
    char *path;
    int rc;

    /* Ids are names without a path (INGEST.md), but it is another machine's word. */
    if (!*id || *id == '.' || strchr(id, '/'))
        return err_set(err, -EPROTO, "the run's id \"%s\" is no name of a file", id);
    if (asprintf(&path, "%s/%s.%s", task->directory, id, task->format->name) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    rc = write_file(task, path, run, false, err);
    free(path);
    return rc;
}

static int write_directory(struct task *task, struct err *err)
{
    const cJSON *run;
    int rc = journal_open(&task->journal, task->directory, task->format->name,
                          task->options->attempts, task->options->layer, err);

    cJSON_ArrayForEach(run, task->noted)
    {
        if (rc < 0 || journal_has(task->journal, run))
            continue;
        rc = interrupt_look() ? -EINTR : write_into_directory(task, run, err);
        if (rc == 0)
            rc = journal_add(task->journal, run, err);
    }
    journal_close(task->journal, rc == 0);
    return rc;
}

static int write_runs(struct task *task, struct err *err)
{
    int rc;

    interrupt_watch();
    progress_init(&task->progress);
    rc = task->directory ? write_directory(task, err)
                         : write_file(task, task->options->output, task->noted->child, true, err);
    progress_clear(&task->progress);
    if (rc == -EINTR)
        err_set(err, rc, "interrupted: no half file is left%s",
                task->directory ? "; the same command goes on behind the runs that are written"
                                : "");
    return rc;
}

int cmd_export(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct task task = {.feed = feed, .options = options};
    int rc = choose_format(&task, err);

    if (rc == 0 && (options->n_words > 1) == filter_is_given(options))
        rc = err_set(err, -EINVAL, "export takes runs, or options that choose them (--project P)");
    if (rc == 0)
        rc = choose_directory(&task, err);
    if (rc == 0)
        rc = find_runs(&task, err);
    if (rc == 0)
        rc = check(&task, err);
    if (rc == 0)
        rc = write_runs(&task, err);
    cJSON_Delete(task.noted);
    return rc;
}
