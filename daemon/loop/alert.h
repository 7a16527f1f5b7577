/* Runs a command for every event, with the EVENT of proto/FEED.md as a line on its standard input.
 * Owns the queue and the one child that runs; loop thread only. It neither waits nor retries: the
 * feed is where nothing is lost. What an event is, the caller knows.
 *
 * The command is an executable file, without arguments and without a shell: nothing a trainer names
 * can become a word of a command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "proto/base/err.h"

/* Events that wait for the command before; what comes beyond is dropped and counted. A run has few
 * events, so a full queue means a command that hangs: 64 of them for 10 s each are ten minutes. */
#define ALERT_QUEUE_MAX 64
/* Then it is killed, with the processes it has started. */
#define ALERT_LIMIT_MS 10000

struct alert;

/* Whether `path` can be run: 0, or -EINVAL with a text. */
int alert_check(const char *path, struct err *err);

/* Borrows the loop, and `path`, which may be NULL, until another one is set. Returns it (free with
 * alert_free), or NULL. */
struct alert *alert_new(uv_loop_t *, const char *path);

/* From now on this is run, for what waits as well; NULL: nothing is, and what waits is dropped. */
void alert_set_path(struct alert *, const char *path);
/* Whether there is a command. */
bool alert_is_on(const struct alert *);

/* Takes the line (free with free), which ends in '\n'. */
void alert_put(struct alert *, char *line, size_t size);

/* Kills the command, drops what waits, closes the handles. NULL is fine. */
void alert_close(struct alert *);
/* After the loop has closed the handles. NULL is fine. */
void alert_free(struct alert *);
