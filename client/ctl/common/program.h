/* The daemon's program, run for a task that needs the history's file and not the daemon. It is the
 * richd beside this richctl, or the first on the PATH; its words are the user's to read. One at a
 * time, on one thread, which waits. Tested end to end by test_richctl_keeps_house.py. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Runs `richd ARGUMENTS` (NULL ends them) to its end; its stdout and stderr are ours. It copies the
 * file `from`, and writes `part` meanwhile, by whose size the progress is told. Returns 0 when it
 * ended with 0; -EINTR after an interrupt (interrupt.h), with the program ended and `part` removed;
 * -ENOENT when there is none; -EIO, or -EBUSY for its exit code 75, when it failed, which it has
 * said. */
int program_copy(const char *const arguments[], const char *from, const char *part,
                 struct err *err);

/* Called for each line of its stdout, without the newline; and, with NULL, each tenth of a second.
 */
typedef void program_line_fn(void *arg, char *line);

/* Runs `richd ARGUMENTS` to its end, and hands on what it prints; its stderr is ours. Returns 0
 * when it ended with 0; 1 when it ended with 1; -EINTR after an interrupt, with the program ended;
 * else as program_copy does, and -ENOTCONN for its exit code 69. */
int program_lines(const char *const arguments[], program_line_fn *, void *arg, struct err *err);

/* The state directory that richd uses without more options. Returns 0 or -errno. */
int program_state_dir(char *directory, size_t size, struct err *err);
