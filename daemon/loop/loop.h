/* The daemon as one object: opens every part, carries out what the core decides, and closes all at
 * the end (parts.h has the way through the room). Owns every module that does something and the
 * monitor, on the thread that runs it; main knows what the options mean, and what the exit codes
 * are.
 *
 * SIGTERM and SIGINT finish what was promised: checkpoints received are measured, stored,
 * acknowledged (stop.c). A second signal does not wait. SIGHUP has the options read again. */
#pragma once

#include "daemon/host/config.h"

/* The history, in the state directory. */
#define STORE_FILE "richd.sqlite"

struct loop;

/* Opens everything. Borrows the options until loop_run returns, and changes them at SIGHUP. Returns
 * 0 (free by loop_run), or -errno with the text, and in `exit_code` the class of the failure: 69 a
 * socket, 71 threads or memory that the process may not have, 73 the store cannot be created or is
 * held, 74 it cannot be used. */
int loop_open(struct config *, struct loop **out, int *exit_code, struct err *err);

/* Serves until told to stop, closes and frees everything. Returns the exit code: 0, or 74 when the
 * store failed. */
int loop_run(struct loop *);
