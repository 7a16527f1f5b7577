/* Many spools in one go: files that are named, and those of a directory, the ones that were written
 * first before the others, the ranks of one launch together. One thread, which waits here; it owns
 * the list. launch.h sends them; the caller tells what became of each. Tested end to end by
 * test_what_no_daemon_took_is_imported.py. */
#pragma once

#include <sys/types.h>

#include "proto/spool/launch.h"

enum import_state {
    IMPORT_WAITING, /* not sent, or not to its end, `err` may say why: another import goes on */
    IMPORT_STORED,  /* the daemon has it, the file is gone */
    IMPORT_HELD,    /* its writer lives, another import sends it, or it waits for such a file */
    IMPORT_KEPT,    /* refused, damaged or no spool: the file stays, and `err` says why */
};

struct import_file {
    char *path;
    dev_t device; /* with the inode: a file is sent once, however often it is named */
    ino_t inode;
    int64_t written_ns;
    bool was_named; /* and not found in a directory */
    enum import_state state;
    struct replay_facts facts; /* zeros: it was not opened */
    struct err err;
    struct replay *replay; /* while it is open */
};

struct import {
    struct import_file *files;
    size_t n;
};

/* Adds a file, or all *.spool of a directory. 0, or -errno: there is none. */
int import_add(struct import *, const char *path, struct err *err);

/* A file's state is final. */
typedef void import_done_fn(void *context, const struct import_file *);

/* Sends all. `done` gets way->context. Returns 0 once each file had its turn, or what launch_send
 * says; the files that wait then stay WAITING, and are told as well. */
int import_run(struct import *, const struct launch_way *way, import_done_fn *done,
               struct err *err);

/* The word for a state, as `richctl import --json` prints it. */
const char *import_state_name(enum import_state);

void import_release(struct import *);
