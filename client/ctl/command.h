/* A command: a function that gets a connection and the options, and prints its answer to stdout.
 * Each has a file of its own, cmd_NAME.c; main.c has their table, and describes the way through the
 * program. Tested end to end with its files by test_richctl.py, whose daemon is made up or real. */
#pragma once

#include "client/ctl/common/options.h"
#include "client/ctl/feed/feedclient.h"

/* Returns 0, or -errno with one sentence in `err`: -EINVAL for a wrong command line, else as
 * feedclient.h says. main turns it into the exit code. */
typedef int command_fn(struct feedclient *, const struct options *, struct err *e);

command_fn cmd_status;
command_fn cmd_runs;
command_fn cmd_show;
command_fn cmd_spectrum; /* show --spectrum */
command_fn cmd_compare;
command_fn cmd_series;
command_fn cmd_tail;
command_fn cmd_top;
command_fn cmd_plot;
command_fn cmd_measures;
command_fn cmd_open;
command_fn cmd_export;
command_fn cmd_rename;
command_fn cmd_note;
command_fn cmd_tag;
command_fn cmd_hide;
command_fn cmd_unhide;
command_fn cmd_delete;
command_fn cmd_prune;
command_fn cmd_backup; /* these two run richd, also where no daemon answers */
command_fn cmd_restore;
command_fn cmd_migrate; /* and this one */
command_fn cmd_doctor;  /* connects itself, to each daemon that it finds */
command_fn cmd_keygen;  /* these four get no connection either */
command_fn cmd_token;
command_fn cmd_invite;
command_fn cmd_join;
command_fn cmd_import; /* gets no connection to the feed */
