/* What trainings kept beside the history (SPOOL.md, `spool` in the state directory): at the start
 * and every SPOOLS_EACH_S a process of this program sends the files that nobody holds, as any
 * client does. Owns that process; loop thread only. proto/spool knows how files are sent.
 *
 * A process of its own: it waits for the disk, a file may be anything and claim 256 MiB, and libzmq
 * ends a process that has no descriptor or thread left for it. It can be killed at any time. Tested
 * end to end by test_what_no_daemon_took_is_imported.py. */
#pragma once

#include <uv.h>

#include "proto/base/err.h"

#define SPOOLS_EACH_S 30

struct spools;

/* Makes the directory in `state_dir`; both texts are copied. On 0 `*out` is to be closed, and freed
 * when the loop has closed the handles. */
int spools_open(uv_loop_t *, const char *state_dir, const char *ingest, struct spools **out,
                struct err *err);
/* A second has passed. NULL is fine, here and below. */
void spools_tick(struct spools *);
/* Ends the process; nothing is begun any more. */
void spools_close(struct spools *);
void spools_free(struct spools *);

/* `richd --import`, the process: sends the files of `directory` to the daemon at `ingest`. One that
 * is refused, damaged or no spool gets the suffix .kept, so that it is not tried again and again.
 * Returns the exit code. */
int spools_import(const char *directory, const char *ingest);
