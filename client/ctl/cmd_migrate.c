/* richctl migrate FROM TO: a whole history from a daemon's directory into PostgreSQL, or back, by
 * `richd --migrate`, which copies and then compares. Here its lines become a bar and a table: for
 * each table how many rows and runs there are, and each run of which something differs. Where it is
 * broken off, the same command goes on. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/program.h"
#include "client/ctl/common/progress.h"
#include "client/ctl/common/text.h"
#include "proto/json.h"

#define HISTORY "richd.sqlite"
/* Runs of which something differs, that are named. */
#define NAMED_MAX 20

/* The sums of one table so far. */
struct table {
    char name[64];
    double rows, rows_there;
    int n_runs, n_different, n_elsewhere;
};

struct migration {
    const struct options *options;
    struct progress progress;
    double part;
    char what[16];
    struct table table;
    int n_named;
    bool has_tables;
};

/* ---- what differs ---------------------------------------------------------------------------- */

static void print_table(struct migration *migration)
{
    struct table *table = &migration->table;

    if (!*table->name)
        return;
    progress_clear(&migration->progress);
    if (!migration->has_tables)
        printf("%-16s %14s %14s %8s\n", "TABLE", "ROWS", "THERE", "RUNS");
    migration->has_tables = true;
    printf("%-16s %14.0f %14.0f %8d  ", table->name, table->rows, table->rows_there, table->n_runs);
    if (table->n_different > 0)
        printf("%d differ", table->n_different);
    else
        printf("the same");
    if (table->n_elsewhere > 0)
        printf(", %d described by another daemon since", table->n_elsewhere);
    putchar('\n');
    *table = (struct table){0};
}

/* "  points of run-1: 98 of 100 rows", or which columns are others. */
static void name_run(struct migration *migration, const cJSON *line)
{
    const char *columns = member_text(line, "columns", "");
    double rows = member_number(line, "rows"), there = member_number(line, "rows_there");

    if (++migration->n_named > NAMED_MAX)
        return;
    progress_clear(&migration->progress);
    printf("  %s of ", member_text(line, "table", "?"));
    text_print(member_text(line, "run", "?"), stdout);
    if (rows != there)
        printf(": %.0f of %.0f rows are there", there, rows);
    else
        printf(": %s differ", columns);
    fputs(migration->n_named == NAMED_MAX ? "\n  and so on; --json has all\n" : "\n", stdout);
}

static void take_sums(struct migration *migration, const cJSON *line)
{
    const char *name = member_text(line, "table", "?");
    struct table *table = &migration->table;
    bool is_same = cJSON_IsTrue(member(line, "same"));
    bool is_elsewhere = cJSON_IsTrue(member(line, "described_elsewhere"));

    if (strcmp(table->name, name) != 0)
        print_table(migration);
    snprintf(table->name, sizeof table->name, "%s", name);
    table->rows += member_number(line, "rows");
    table->rows_there += member_number(line, "rows_there");
    table->n_runs++;
    table->n_elsewhere += is_elsewhere;
    if (is_same || is_elsewhere)
        return;
    table->n_different++;
    name_run(migration, line);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void tell(struct migration *migration)
{
    if (*migration->what && progress_is_due(&migration->progress))
        progress_tell(&migration->progress, migration->part, migration->options->words[1],
                      migration->what);
}

static void on_line(void *arg, char *text)
{
    struct migration *migration = arg;
    cJSON *line = text ? json_parse(text, strlen(text), NULL) : NULL;

    if (!line) {
        tell(migration);
        return;
    }
    if (member(line, "part")) {
        migration->part = member_number(line, "part");
        snprintf(migration->what, sizeof migration->what, "%s", member_text(line, "what", ""));
    } else if (migration->options->json) {
        puts(text);
    } else {
        take_sums(migration, line);
    }
    cJSON_Delete(line);
}

/* ---- the two sides --------------------------------------------------------------------------- */

static bool is_server(const char *text)
{
    return strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0 ||
           (strchr(text, '=') && !strchr(text, '/')) || strstr(text, "dbname=") ||
           strncmp(text, "service=", 8) == 0;
}

/* A state directory, or the history in it. */
static int directory_of(const char *text, char directory[PATH_MAX], struct err *err)
{
    const char *slash = strrchr(text, '/'), *name = slash ? slash + 1 : text;
    size_t length = strlen(text);

    if (strcmp(name, HISTORY) == 0)
        length = slash ? (size_t)(slash - text) : 0;
    if (length >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "the path is too long");
    snprintf(directory, PATH_MAX, "%.*s", (int)length, text);
    if (length == 0)
        snprintf(directory, PATH_MAX, "%s", slash ? "/" : ".");
    return 0;
}

static int run(struct migration *migration, const char *way, const char *server,
               const char *directory, struct err *err)
{
    const char *const arguments[] = {"--migrate",   way,       "--history", server,
                                     "--state-dir", directory, NULL};
    int rc;

    progress_init(&migration->progress);
    rc = program_lines(arguments, on_line, migration, err);
    progress_clear(&migration->progress);
    print_table(migration);
    if (rc == -EINTR)
        return err_set(err, rc, "interrupted: the same command goes on where it was");
    return rc == 1 ? err_set(err, -EBADE, "the two histories differ") : rc;
}

int cmd_migrate(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct migration migration = {.options = options};
    const char *from = options->words[1], *to = options->words[2];
    bool is_out = is_server(to);
    char directory[PATH_MAX];
    int rc;

    (void)feed;
    if (is_server(from) == is_out)
        return err_set(err, -EINVAL,
                       "one of the two is a state directory, the other one postgresql://...");
    rc = directory_of(is_out ? from : to, directory, err);
    if (rc < 0)
        return rc;
    if (options->check)
        return run(&migration, is_out ? "check-out" : "check-in", is_out ? to : from, directory,
                   err);
    return run(&migration, is_out ? "out" : "in", is_out ? to : from, directory, err);
}
