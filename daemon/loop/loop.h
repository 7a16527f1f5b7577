/* Carries out what the core decides: the one place where an action meets the module that does it,
 * and the shutdown. Owns every io module and the monitor, on the thread that runs it; what the
 * options mean and what the exit codes are is main's business.
 *
 *               SIGTERM, SIGINT                settled, 10 s, or a second signal
 *     RUNNING ------------------> DRAINING ---------------------------> CLOSING ---> all handles
 * closed
 *         \______________ the store failed for good ________________/
 *
 * DRAINING takes nothing new and finishes what was promised: checkpoints received are measured,
 * stored, acknowledged. CLOSING waits for jobs and commits that are out, then closes every handle;
 * a second signal does not wait, and the process ends by it.
 *
 * SIGHUP has the options read again. */
#pragma once

#include "daemon/host/config.h"

struct loop;

/* Opens everything. Borrows the options until loop_run returns, and changes them at SIGHUP. Returns
 * 0 (free by loop_run), or -errno with the text, and in `exit_code` the
 * class of the failure: 69 a socket, 73 the store cannot be created or is held, 74 it cannot be
 * used. */
int loop_open(struct config *, struct loop **out, int *exit_code, struct err *e);

/* Serves until told to stop, closes and frees everything. Returns the exit code: 0, or 74 when the
 * store failed. */
int loop_run(struct loop *);
