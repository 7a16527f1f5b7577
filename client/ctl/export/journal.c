#include "client/ctl/export/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/common/member.h"
#include "proto/base/limits.h"
#include "proto/json.h"

#define FILE_NAME ".richctl-export"
/* A run's id, a space, and a time. */
#define LINE_SIZE (RUN_ID_MAX + 1 + JSON_DOUBLE_SIZE + 2)

struct journal {
    char *path;
    char *asked;  /* the first line, with its newline */
    FILE *file;   /* for reading from its beginning, and writing at its end */
    cJSON *lines; /* of the export before: members by line, to be found by name */
};

static void make_line(const cJSON *run, char line[LINE_SIZE])
{
    char time[JSON_DOUBLE_SIZE];

    json_double_text(member_number(run, "updated"), time);
    snprintf(line, LINE_SIZE, "%.*s %s\n", RUN_ID_MAX, member_text(run, "run", ""), time);
}

/* The lines of an export that was asked the same; a line without an end was torn. */
static int read_lines(struct journal *journal, struct err *err)
{
    char *line = NULL;
    size_t size = 0;
    bool is_same = getline(&line, &size, journal->file) > 0 && strcmp(line, journal->asked) == 0;
    bool ok = true;

    while (is_same && ok && getline(&line, &size, journal->file) > 0) {
        if (strchr(line, '\n'))
            ok = cJSON_AddTrueToObject(journal->lines, line) != NULL;
    }
    free(line);
    return ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* What was read stands at the beginning of the new one. */
static int begin(struct journal *journal, struct err *err)
{
    const cJSON *line;

    rewind(journal->file);
    if (ftruncate(fileno(journal->file), 0) < 0)
        return err_set(err, -errno, "%s: %s", journal->path, strerror(errno));
    fputs(journal->asked, journal->file);
    cJSON_ArrayForEach(line, journal->lines)
    {
        fputs(line->string, journal->file);
    }
    return fflush(journal->file) == 0
               ? 0
               : err_set(err, -errno, "%s: %s", journal->path, strerror(errno));
}

int journal_open(struct journal **out, const char *directory, const char *format,
                 const char *attempts, const char *layer, struct err *err)
{
    struct journal *journal = calloc(1, sizeof *journal);
    int rc;

    *out = journal;
    if (!journal)
        return err_set(err, -ENOMEM, "out of memory");
    if (asprintf(&journal->path, "%s/" FILE_NAME, directory) < 0)
        journal->path = NULL;
    if (asprintf(&journal->asked, "format=%s attempts=%s layer=%s\n", format,
                 attempts ? attempts : "effective", layer ? layer : "") < 0)
        journal->asked = NULL;
    journal->lines = cJSON_CreateObject();
    if (!journal->path || !journal->asked || !journal->lines)
        return err_set(err, -ENOMEM, "out of memory");
    journal->file = fopen(journal->path, "a+e");
    if (!journal->file)
        return err_set(err, -errno, "%s: %s", journal->path, strerror(errno));
    rewind(journal->file);
    rc = read_lines(journal, err);
    return rc < 0 ? rc : begin(journal, err);
}

bool journal_has(const struct journal *journal, const cJSON *run)
{
    char line[LINE_SIZE];

    make_line(run, line);
    return member(journal->lines, line) != NULL;
}

int journal_add(struct journal *journal, const cJSON *run, struct err *err)
{
    char line[LINE_SIZE];

    make_line(run, line);
    fputs(line, journal->file);
    return fflush(journal->file) == 0
               ? 0
               : err_set(err, -errno, "%s: %s", journal->path, strerror(errno));
}

void journal_close(struct journal *journal, bool is_whole)
{
    if (!journal)
        return;
    if (journal->file)
        fclose(journal->file);
    if (journal->path && is_whole)
        unlink(journal->path);
    cJSON_Delete(journal->lines);
    free(journal->asked);
    free(journal->path);
    free(journal);
}
