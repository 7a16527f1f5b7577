/* richctl: asks a running richd and prints the answer. One thread; the exit codes are those of
 * sysexits.h. The table below is the list of commands, options.c has the list of options.
 *
 * The way through: main reads the command line (common/options), checks it against the command's
 * row, and connects (connect). The command, one file each, sends requests (feed/params,
 * feed/feedclient) or has feed/history and feed/runs ask for many pages. The answers become lines
 * (rows, or common/jsonline with --json) or drawings (figure). top and `plot --follow` draw again
 * and again on a screen of their own (top, common/terminal). export writes whole runs into files
 * (export). import alone asks no feed: it speaks as a trainer does (proto/spool).
 *
 * What fails returns -errno with one sentence; main prints the sentence and maps the code: a wrong
 * option, or a value that the daemon refuses (-EINVAL), is 64 with the usage; no daemon, or one
 * that went (-ENOTCONN, -ETIMEDOUT, -EBUSY), is 69; all else is 1. Ctrl-C ends a live command with
 * 0. */
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "client/ctl/command.h"
#include "client/ctl/common/text.h"
#include "client/ctl/connect.h"
#include "proto/base/nearest.h"

/* More runs than a plot can show. */
#define PLOT_RUNS_MAX 15

/* Of a command's name and its arguments, in the list of all. */
#define COMMAND_COLUMNS 22

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    enum command_bit bit;
    size_t min_arguments, max_arguments;
    command_fn *run; /* NULL: main's own */
};

static const struct command commands[] = {
    {"status", "", "the daemon: addresses, counters", FOR_STATUS, 0, 0, cmd_status},
    {"open", " [RUN]", "the link of the page, for a browser", FOR_OPEN, 0, 1, cmd_open},
    {"runs", "", "all runs, or those that the options choose", FOR_RUNS, 0, 0, cmd_runs},
    {"show", " RUN", "one run: attempts, config, layers, scalars, events", FOR_SHOW, 1, 1,
     cmd_show},
    {"series", " RUN", "the points of a run, a line each", FOR_SERIES, 1, 1, cmd_series},
    {"compare", " RUN", "how alike layers, checkpoints or runs are: linear CKA", FOR_COMPARE, 1, 1,
     cmd_compare},
    {"tail", " [RUN]", "the latest points and events, then new ones as they come", FOR_TAIL, 0, 1,
     cmd_tail},
    {"top", "", "all runs, live; not in a terminal: a table, once", FOR_TOP, 0, 0, cmd_top},
    {"plot", " RUN...", "curves in the terminal", FOR_PLOT, 1, PLOT_RUNS_MAX, cmd_plot},
    {"measures", " [NAME]", "what the measures and flags mean, and how to read them", FOR_MEASURES,
     0, 1, cmd_measures},
    {"rename", " RUN NAME", "gives a run another name", FOR_RENAME, 2, 2, cmd_rename},
    {"note", " RUN [TEXT]", "prints the note to a run, or writes it; \"\" removes it", FOR_NOTE, 1,
     2, cmd_note},
    {"tag", " RUN [+TAG] [-TAG]", "prints the tags of a run, or adds some and takes others away",
     FOR_TAG, 1, OPTIONS_MAX_WORDS - 1, cmd_tag},
    {"hide", " RUN...", "leaves runs out of lists", FOR_HIDE, 1, OPTIONS_MAX_WORDS - 1, cmd_hide},
    {"unhide", " RUN...", "has hidden runs in lists again", FOR_UNHIDE, 1, OPTIONS_MAX_WORDS - 1,
     cmd_unhide},
    {"delete", " RUN...", "deletes runs for good, after a question", FOR_DELETE, 1,
     OPTIONS_MAX_WORDS - 1, cmd_delete},
    {"prune", "", "deletes runs that are too old, or too many", FOR_PRUNE, 0, 0, cmd_prune},
    {"export", " [RUN...]", "all points, scalars and events of runs, for other programs",
     FOR_EXPORT, 0, OPTIONS_MAX_WORDS - 1, cmd_export},
    {"import", " [PATH...]", "what trainings kept while no daemon answered, sent to this one",
     FOR_IMPORT, 0, OPTIONS_MAX_WORDS - 1, cmd_import},
    {"backup", " FILE", "copies the whole history, which may be in use, to a new file", FOR_BACKUP,
     1, 1, cmd_backup},
    {"restore", " FILE", "puts a backup in the history's place, and keeps what was there",
     FOR_RESTORE, 1, 1, cmd_restore},
    {"migrate", " FROM TO", "moves a whole history into PostgreSQL, or back, and compares both",
     FOR_MIGRATE, 2, 2, cmd_migrate},
    {"invite", " NAME", "a key for trainers of another host, in a line to paste there", FOR_INVITE,
     1, 1, cmd_invite},
    {"join", "", "takes that line, from stdin: this user's trainings go to its daemon", FOR_JOIN, 0,
     0, cmd_join},
    {"keygen", " [NAME]", "a pair of keys in the file NAME.key; prints the public one", FOR_KEYGEN,
     0, 1, cmd_keygen},
    {"token", " [add|remove NAME]", "who may read, or write, by HTTP: a token for each, by name",
     FOR_TOKEN, 0, 2, cmd_token},
    {"doctor", "", "what is wrong, and what to do about it; 1 when there is anything", FOR_DOCTOR,
     0, 0, cmd_doctor},
    {"help", " [COMMAND]", "this text, or a command's", FOR_HELP, 0, 1, NULL},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(const struct command *command, FILE *out)
{
    if (command)
        fprintf(out, "usage: richctl %s%s [options]\n", command->name, command->arguments);
    else
        fprintf(out, "usage: richctl [--runtime-dir DIR] [--json] COMMAND ...; see --help\n");
}

static int print_help(const struct command *command)
{
    print_usage(command, stdout);
    if (command) {
        printf("\n%c%s.\n\n", toupper((unsigned char)command->summary[0]), command->summary + 1);
        options_print_help(command->bit, stdout);
        return EX_OK;
    }
    printf("\nAsks a running richd. RUN is a run's id, its name, or project/name.\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %s%-*s %s\n", commands[i].name, (int)(COMMAND_COLUMNS - strlen(commands[i].name)),
               commands[i].arguments, commands[i].summary);
    printf("\n");
    options_print_help(FOR_STATUS, stdout);
    printf(
        "\nD_LR is 0 for rich and 1 for lazy. Compare a run with its own beginning, and with runs "
        "of the same\np and C; \"richctl measures\" explains it and the others.\n");
    printf("\n\"richctl COMMAND --help\" lists a command's options. Exit codes: 0; 1 not found, or "
           "another error;\n64 wrong usage; 69 no daemon, or it went away.\n");
    return EX_OK;
}

/* An empty text: another program has said it already. */
static void complain(const struct err *err)
{
    if (!*err->text)
        return;
    fputs("richctl: ", stderr);
    text_print(err->text, stderr);
    fputc('\n', stderr);
}

static int usage_error(const struct command *command, const struct err *err)
{
    complain(err);
    print_usage(command, stderr);
    return EX_USAGE;
}

static int exit_code(int rc)
{
    switch (rc) {
    case 0:
        return EX_OK;
    case -EINVAL:
        return EX_USAGE;
    case -ENOTCONN:
    case -ETIMEDOUT:
    case -EBUSY:
        return EX_UNAVAILABLE;
    default:
        return 1;
    }
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void unknown_command(const char *name, struct err *err)
{
    const char *names[N_COMMANDS], *nearest;

    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    nearest = nearest_name(name, names, N_COMMANDS);
    err_set(err, -EINVAL, "unknown command \"%.64s\"%s%s%s", name, nearest ? "; did you mean " : "",
            nearest ? nearest : "", nearest ? "?" : "");
}

/* Returns 0, or -EINVAL with a line about what is wrong with the words or options. */
static int check(const struct command *command, const struct options *options, struct err *err)
{
    size_t n = options->n_words - 1;

    if (n < command->min_arguments)
        return err_set(err, -EINVAL, "%s needs%s", command->name,
                       command->min_arguments > 1            ? command->arguments
                       : strstr(command->arguments, " FILE") ? " a file"
                       : strstr(command->arguments, " NAME") ? " a name"
                                                             : " a run");
    if (n > command->max_arguments)
        return err_set(err, -EINVAL, "%s takes no \"%.64s\"", command->name,
                       options->words[1 + command->max_arguments]);
    return options_check(options, command->bit, command->name, err);
}

static int run_command(const struct command *command, const struct options *options)
{
    struct feedclient *feed = NULL;
    struct err err = {""};
    int rc = command->bit & FOR_FEED ? connect_open(options, &feed, &err) : 0;

    if (rc == 0)
        rc = command->run(feed, options, &err);
    feedclient_free(feed);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_set(&err, -EIO, "writing to stdout: %s", strerror(errno));
    if (rc < 0)
        complain(&err);
    return exit_code(rc);
}

/* richctl help [COMMAND] */
static int help(const struct options *options)
{
    const char *name = options->n_words > 1 ? options->words[1] : NULL;
    struct err err;

    if (!name || find_command(name))
        return print_help(name ? find_command(name) : NULL);
    unknown_command(name, &err);
    return usage_error(NULL, &err);
}

int main(int argc, char **argv)
{
    const struct command *command = NULL;
    struct options options;
    struct err err = {""};

    /* For the width of characters; numbers keep their decimal point. */
    if (!setlocale(LC_CTYPE, ""))
        setlocale(LC_CTYPE, "C.UTF-8");
    if (options_parse(argc, (const char *const *)argv, &options, &err) < 0)
        return usage_error(options.n_words > 0 ? find_command(options.words[0]) : NULL, &err);
    if (options.version) {
        printf("richctl %s\n", RICHD_VERSION);
        return EX_OK;
    }
    if (options.n_words == 0) {
        if (options.help)
            return print_help(NULL);
        err_set(&err, -EINVAL, "a command is needed");
        return usage_error(NULL, &err);
    }
    command = find_command(options.words[0]);
    if (!command) {
        unknown_command(options.words[0], &err);
        return usage_error(NULL, &err);
    }
    if (options.help)
        return print_help(command);
    if (check(command, &options, &err) < 0)
        return usage_error(command, &err);
    if (command->bit == FOR_HELP)
        return help(&options);
    return run_command(command, &options);
}
