/* The command line as values. One table, a row an option, gives parsing, checking and help; the row
 * names the commands that the option goes with. main calls it at the start; the values borrow from
 * argv. The commands know what they mean.
 *
 * getopt_long was tried on paper: it would take the loop over argv and the search for a name (30
 * lines), and want a table of its own, words in another order and texts of ours in place of its
 * own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/err.h"

/* More words than a shell makes of `*.spool` for the ranks of a large job. */
#define OPTIONS_MAX_WORDS 4096

/* Commands, as bits: an option names all it goes with. */
enum command_bit {
    FOR_STATUS = 1 << 0,
    FOR_RUNS = 1 << 1,
    FOR_SHOW = 1 << 2,
    FOR_SERIES = 1 << 3,
    FOR_TAIL = 1 << 4,
    FOR_PLOT = 1 << 5,
    FOR_TOP = 1 << 6,
    FOR_COMPARE = 1 << 7,
    FOR_MEASURES = 1 << 8,
    FOR_OPEN = 1 << 9,
    FOR_IMPORT = 1 << 10,
    FOR_EXPORT = 1 << 11,
    FOR_HELP = 1 << 12,
    FOR_DOCTOR = 1 << 13,
    FOR_BACKUP = 1 << 14,
    FOR_RESTORE = 1 << 15,
    FOR_RENAME = 1 << 16,
    FOR_NOTE = 1 << 17,
    FOR_TAG = 1 << 18,
    FOR_HIDE = 1 << 19,
    FOR_UNHIDE = 1 << 20,
    FOR_DELETE = 1 << 21,
    FOR_PRUNE = 1 << 22,
    FOR_KEYGEN = 1 << 23,
    FOR_INVITE = 1 << 24,
    FOR_JOIN = 1 << 25,
    FOR_MIGRATE = 1 << 26,
    FOR_TOKEN = 1 << 27,
    FOR_KEYS = FOR_KEYGEN | FOR_INVITE | FOR_JOIN,
    FOR_EDIT = FOR_RENAME | FOR_NOTE | FOR_TAG | FOR_HIDE | FOR_UNHIDE | FOR_DELETE | FOR_PRUNE,
    FOR_FEED = ((1 << 10) - 1) | FOR_EXPORT | FOR_EDIT, /* those that ask the feed */
    FOR_ALL = FOR_FEED | FOR_IMPORT | FOR_HELP | FOR_DOCTOR | FOR_BACKUP | FOR_RESTORE | FOR_KEYS |
              FOR_MIGRATE | FOR_TOKEN,
};

/* Values of an option that may be given again and again. As many as the feed takes of any. */
#define OPTIONS_LIST_MAX 64
struct option_list {
    const char *items[OPTIONS_LIST_MAX];
    size_t n;
};

/* Unset: NULL, false, -1, empty. */
struct options {
    const char *runtime_dir;
    const char *feed;
    const char *endpoint;
    int64_t timeout_s;
    bool json;
    bool help;
    bool version;

    const char *project;
    const char *group;
    const char *state;
    const char *search;
    struct option_list tags;
    struct option_list config;
    bool hidden;
    const char *sort;
    bool reverse;
    int64_t limit;

    bool spectrum;
    int64_t step;

    const char *with;
    bool plain;

    const char *layer;
    const char *metric;
    const char *attempts;
    int64_t from;
    int64_t to;
    int64_t points;

    const char *since;
    int64_t count;

    const char *format;
    const char *output;
    const char *state_dir;
    const char *address;
    const char *rights;

    bool yes;
    bool relay;
    int64_t keep_days;
    int64_t max_bytes;
    bool dry_run;
    bool check;

    const char *scalar;
    bool log_x;
    bool linear_x;
    bool follow;
    int64_t width;
    int64_t height;
    bool ascii;
    bool no_color;

    const char *words[OPTIONS_MAX_WORDS]; /* the command, then its arguments */
    size_t n_words;
    uint64_t given; /* a bit for each row of the table that was used */
};

/* Options may stand before and after the words; "--" ends them. Returns 0, or -EINVAL with one
 * line that says what is wrong. `err` is required. */
int options_parse(int argc, const char *const *argv, struct options *out, struct err *err);

/* Refuses (-EINVAL) an option that does not go with the command. */
int options_check(const struct options *, unsigned command_bit, const char *command,
                  struct err *err);

/* Prints the options that go with any of the commands in `command_bits`. */
void options_print_help(unsigned command_bits, FILE *out);
