#include "client/ctl/common/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/nearest.h"

enum kind {
    KIND_FLAG,
    KIND_TEXT,
    KIND_INTEGER,
    KIND_BYTES, /* an integer, with a unit */
    KIND_LIST,  /* of texts, each given with the option again */
};

struct row {
    const char *name;
    const char *argument; /* NULL for a flag */
    enum kind kind;
    size_t offset;
    int64_t min, max;
    unsigned commands;
    const char *help;
};

#define FLAG(name, member, commands, help)                                                         \
    {                                                                                              \
        name, NULL, KIND_FLAG, offsetof(struct options, member), 0, 0, commands, help              \
    }
#define TEXT(name, argument, member, commands, help)                                               \
    {                                                                                              \
        name, argument, KIND_TEXT, offsetof(struct options, member), 0, 0, commands, help          \
    }
#define LIST(name, argument, member, commands, help)                                               \
    {                                                                                              \
        name, argument, KIND_LIST, offsetof(struct options, member), 0, 0, commands, help          \
    }
#define INTEGER(name, argument, member, min, max, commands, help)                                  \
    {                                                                                              \
        name, argument, KIND_INTEGER, offsetof(struct options, member), min, max, commands, help   \
    }

#define BYTES(name, argument, member, commands, help)                                              \
    {                                                                                              \
        name, argument, KIND_BYTES, offsetof(struct options, member), 0, 0, commands, help         \
    }

#define STEP_MAX ((int64_t)1 << 53)

static const struct row rows[] = {
    TEXT("--runtime-dir", "DIR", runtime_dir, FOR_ALL, "the daemon's runtime directory"),
    TEXT("--feed", "ADDRESS", feed,
         FOR_FEED | FOR_DOCTOR | FOR_BACKUP | FOR_RESTORE | FOR_INVITE | FOR_TOKEN,
         "its feed: unix:PATH or tcp:ADDRESS:PORT [RICHD_FEED]"),
    TEXT("--endpoint", "ADDRESS", endpoint, FOR_IMPORT,
         "its ingest: ipc://PATH or tcp://ADDRESS:PORT [RICHD_ENDPOINT]"),
    INTEGER("--timeout", "SECONDS", timeout_s, 1, 3600, FOR_ALL, "wait for an answer (10)"),
    FLAG("--json", json, FOR_ALL, "one JSON object a line"),
    FLAG("--help", help, FOR_ALL, "this text, or a command's"),
    FLAG("--version", version, FOR_ALL, "the version"),

    TEXT("--project", "P", project, FOR_RUNS | FOR_TOP | FOR_EXPORT, "runs of this project"),
    TEXT("--project", "P,...", project, FOR_INVITE, "projects that the key may write into (all)"),
    TEXT("--address", "HOST:PORT", address, FOR_INVITE,
         "how the other host reaches the daemon (where that listens)"),
    TEXT("--group", "G", group, FOR_RUNS | FOR_EXPORT, "runs of this group"),
    TEXT("--state", "S", state, FOR_RUNS | FOR_EXPORT, "open, finished, failed or lost ones"),
    TEXT("--search", "TEXT", search, FOR_RUNS | FOR_EXPORT,
         "runs with this in their id, name, group, tags or note"),
    LIST("--tag", "TAG", tags, FOR_RUNS | FOR_EXPORT, "runs with this tag; given again: with all"),
    LIST("--config", "KEY=VALUE", config, FOR_RUNS | FOR_EXPORT,
         "runs with this in their configuration; a range is LOW..HIGH"),
    FLAG("--hidden", hidden, FOR_RUNS | FOR_EXPORT, "hidden runs, too"),
    TEXT("--sort", "KEY", sort, FOR_RUNS,
         "created, updated, name, state, a measure, scalar:NAME or config:KEY (created)"),
    FLAG("--reverse", reverse, FOR_RUNS, "the other way round"),
    INTEGER("--limit", "N", limit, 1, STEP_MAX, FOR_RUNS, "the first N (all)"),

    FLAG("--spectrum", spectrum, FOR_SHOW, "the feature decomposition in place of the facts"),
    INTEGER("--step", "STEP", step, 0, STEP_MAX, FOR_SHOW, "the spectrum of this step (latest)"),
    INTEGER("--step", "STEP", step, 0, STEP_MAX, FOR_COMPARE,
            "the checkpoint of this step (latest)"),

    TEXT("--with", "RUN", with, FOR_COMPARE, "another run that had the same probe rows"),
    FLAG("--plain", plain, FOR_COMPARE, "without the correction for the number of rows"),
    TEXT("--layer", "L", layer, FOR_COMPARE, "this layer's checkpoints (all layers, latest)"),

    TEXT("--layer", "L", layer, FOR_SHOW | FOR_SERIES | FOR_TAIL | FOR_PLOT | FOR_EXPORT,
         "only this layer (all)"),
    TEXT("--layer", "L", layer, FOR_TOP, "this layer's D_LR (the last one's)"),
    TEXT("--metric", "M", metric, FOR_SERIES | FOR_TAIL,
         "show only this measure (those that have a value)"),
    TEXT("--metric", "M", metric, FOR_PLOT, "this measure (d_debiased; d_lr where there is none)"),
    INTEGER("--from", "STEP", from, 0, STEP_MAX, FOR_SERIES | FOR_PLOT | FOR_COMPARE,
            "from this step on"),
    INTEGER("--to", "STEP", to, 0, STEP_MAX, FOR_SERIES | FOR_PLOT | FOR_COMPARE,
            "up to this step"),
    INTEGER("--points", "N", points, 4, 100000, FOR_SERIES,
            "more than N a layer become bins with min, max and last (all points)"),
    TEXT("--attempts", "WHICH", attempts, FOR_SERIES | FOR_EXPORT,
         "effective (default), or all: superseded points too"),
    TEXT("--format", "F", format, FOR_EXPORT, "csv, json or npz (as --output ends; csv)"),
    TEXT("--output", "PATH", output, FOR_EXPORT,
         "a file, or a directory with a file for each run; also -o (stdout)"),
    TEXT("--state-dir", "DIR", state_dir, FOR_BACKUP | FOR_RESTORE,
         "where the history is (the running daemon's, or richd's own)"),
    TEXT("--state-dir", "DIR", state_dir, FOR_INVITE,
         "where authorised_keys is (the running daemon's, or richd's own)"),

    TEXT("--state-dir", "DIR", state_dir, FOR_TOKEN,
         "where the tokens are (the running daemon's, or richd's own)"),
    TEXT("--rights", "R", rights, FOR_TOKEN, "read, or read,write to change what is stored (read)"),

    FLAG("--yes", yes, FOR_DELETE | FOR_PRUNE, "ask nobody"),
    FLAG("--yes", yes, FOR_KEYGEN | FOR_JOIN, "replace what is there"),
    FLAG("--relay", relay, FOR_JOIN,
         "for richd --upstream on this host; trainings stay with that richd"),
    INTEGER("--keep-days", "N", keep_days, 0, 1000000, FOR_PRUNE,
            "runs that did not change for N days go"),
    BYTES("--max-bytes", "SIZE", max_bytes, FOR_PRUNE,
          "the oldest go until the history has at most SIZE: 500M, 2G"),
    FLAG("--check", check, FOR_MIGRATE, "only compare what is there"),
    FLAG("--dry-run", dry_run, FOR_PRUNE, "only say what would go"),

    INTEGER("--count", "N", count, 1, STEP_MAX, FOR_TAIL, "end after N points"),
    TEXT("--since", "SEQ", since, FOR_TAIL, "all that was stored after SEQ; 0: from the start"),

    TEXT("--scalar", "NAME", scalar, FOR_PLOT, "a logged scalar, dotted, on the right axis"),
    FLAG("--logx", log_x, FOR_PLOT, "logarithmic step axis (default)"),
    FLAG("--linx", linear_x, FOR_PLOT, "linear step axis"),
    FLAG("--follow", follow, FOR_PLOT, "draw again as points come, until the runs end"),
    FLAG("--follow", follow, FOR_TOP, "with --json: again each run that changes"),
    INTEGER("--width", "COLUMNS", width, 30, 1000, FOR_PLOT, "of the plot (the terminal's)"),
    INTEGER("--height", "LINES", height, 10, 500, FOR_PLOT, "of the plot (the terminal's)"),
    FLAG("--ascii", ascii, FOR_SHOW | FOR_PLOT | FOR_TOP,
         "ASCII alone (default where the locale is not UTF-8)"),
    FLAG("--no-color", no_color, FOR_PLOT | FOR_TOP,
         "no colours, as with NO_COLOR or away from a terminal"),
};
#define N_ROWS (sizeof rows / sizeof rows[0])

_Static_assert(N_ROWS <= 64, "struct options has 64 bits for the rows given");

/* A name stands twice when its help differs between commands; the first row parses. */
static const struct row *find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0)
            return &rows[i];
    }
    return NULL;
}

static int unknown(const char *argument, size_t length, struct err *err)
{
    const char *names[N_ROWS], *nearest;
    char word[ERR_TEXT_SIZE / 4];

    snprintf(word, sizeof word, "%.*s", (int)length, argument);
    for (size_t i = 0; i < N_ROWS; i++)
        names[i] = rows[i].name;
    nearest = nearest_name(word, names, N_ROWS);
    if (nearest)
        return err_set(err, -EINVAL, "unknown option %s; did you mean %s?", word, nearest);
    return err_set(err, -EINVAL, "unknown option %s", word);
}

static int set_integer(const struct row *row, const char *value, int64_t *out, struct err *err)
{
    long long number;
    char *end;

    errno = 0;
    number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < row->min || number > row->max)
        return err_set(err, -EINVAL, "%s takes a whole number from %lld to %lld, not \"%.64s\"",
                       row->name, (long long)row->min, (long long)row->max, value);
    *out = number;
    return 0;
}

/* "2G": units are powers of 1024; "2GiB" and "2GB" mean the same. */
static int set_bytes(const struct row *row, const char *value, int64_t *out, struct err *err)
{
    static const char units[] = "KMGT";
    char *end;
    double number = strtod(value, &end);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

    if (unit) {
        number *= (double)((int64_t)1 << 10 * (unit - units + 1));
        end++;
    }
    if (end == value || !strchr("0123456789.", *value) || !(number <= (double)STEP_MAX) ||
        (*end && strcmp(end, "B") != 0 && !(unit && strcmp(end, "iB") == 0)))
        return err_set(err, -EINVAL, "%s takes a size as 500M or 2G, not \"%.64s\"", row->name,
                       value);
    *out = (int64_t)number;
    return 0;
}

static int add_item(const struct row *row, const char *value, struct option_list *list,
                    struct err *err)
{
    if (list->n == OPTIONS_LIST_MAX)
        return err_set(err, -EINVAL, "%s is given more than %d times", row->name, OPTIONS_LIST_MAX);
    list->items[list->n++] = value;
    return 0;
}

static int set_value(const struct row *row, const char *value, struct options *options,
                     struct err *err)
{
    char *member = (char *)options + row->offset;

    options->given |= (uint64_t)1 << (row - rows);
    if (row->kind == KIND_INTEGER)
        return set_integer(row, value, (int64_t *)(void *)member, err);
    if (row->kind == KIND_BYTES)
        return set_bytes(row, value, (int64_t *)(void *)member, err);
    if (row->kind == KIND_LIST)
        return add_item(row, value, (struct option_list *)(void *)member, err);
    if (row->kind == KIND_TEXT)
        *(const char **)(void *)member = value;
    else
        *(bool *)member = true;
    return 0;
}

static int add_word(struct options *options, const char *word, struct err *err)
{
    if (options->n_words == OPTIONS_MAX_WORDS)
        return err_set(err, -EINVAL, "more than %d arguments", OPTIONS_MAX_WORDS);
    options->words[options->n_words++] = word;
    return 0;
}

/* Few options have a letter. */
static const char *long_form(const char *argument)
{
    if (strcmp(argument, "-h") == 0)
        return "--help";
    return strcmp(argument, "-o") == 0 ? "--output" : argument;
}

/* One option at argv[*i], which may take argv[*i + 1] with it. */
static int parse_option(const char *const *argv, int *i, struct options *options, struct err *err)
{
    const char *argument = long_form(argv[*i]);
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const struct row *row = find_row(argument, length);
    const char *value = equals ? equals + 1 : NULL;

    if (!row)
        return unknown(argument, length, err);
    if (row->kind == KIND_FLAG && value)
        return err_set(err, -EINVAL, "%s takes no value", row->name);
    if (row->kind != KIND_FLAG && !value) {
        value = argv[*i + 1];
        if (!value)
            return err_set(err, -EINVAL, "%s needs a value: %s %s", row->name, row->name,
                           row->argument);
        ++*i;
    }
    return set_value(row, value, options, err);
}

/* `tag RUN -NAME` takes a tag away: behind that command one dash and a name is no option. */
static bool is_word(const struct options *options, const char *argument)
{
    if (argument[0] != '-' || !argument[1])
        return true;
    return argument[1] != '-' && strcmp(argument, "-h") != 0 && options->n_words > 0 &&
           strcmp(options->words[0], "tag") == 0;
}

int options_parse(int argc, const char *const *argv, struct options *out, struct err *err)
{
    bool words_only = false;
    int rc = 0;

    assert(argc >= 0 && argv && out && err);
    *out = (struct options){.timeout_s = 10,
                            .limit = -1,
                            .step = -1,
                            .from = -1,
                            .to = -1,
                            .points = -1,
                            .count = -1,
                            .width = -1,
                            .height = -1,
                            .keep_days = -1,
                            .max_bytes = -1};
    for (int i = 1; i < argc && rc == 0; i++) {
        if (!words_only && strcmp(argv[i], "--") == 0)
            words_only = true;
        else if (!words_only && !is_word(out, argv[i]))
            rc = parse_option(argv, &i, out, err);
        else
            rc = add_word(out, argv[i], err);
    }
    if (rc == 0 && out->log_x && out->linear_x)
        rc = err_set(err, -EINVAL, "--logx and --linx exclude each other");
    return rc;
}

/* Whether any row of that name goes with the command. */
static bool goes_with(const char *name, unsigned command_bit)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if ((rows[i].commands & command_bit) && strcmp(rows[i].name, name) == 0)
            return true;
    }
    return false;
}

int options_check(const struct options *options, unsigned command_bit, const char *command,
                  struct err *err)
{
    assert(command_bit && !(command_bit & (command_bit - 1)) && command);
    for (size_t i = 0; i < N_ROWS; i++) {
        if ((options->given >> i & 1) && !goes_with(rows[i].name, command_bit))
            return err_set(err, -EINVAL, "%s does not go with %s", rows[i].name, command);
    }
    return 0;
}

void options_print_help(unsigned command_bits, FILE *out)
{
    assert(command_bits && out);
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &rows[i];
        char left[40];

        if (!(row->commands & command_bits))
            continue;
        snprintf(left, sizeof left, "%s%s%s", row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        fprintf(out, "  %-20s %s\n", left, row->help);
    }
}
