/* Whether the process may have the threads and the memory that it will need, asked before it needs
 * them: libuv, libzmq and OpenBLAS abort, or try for ever, where they get none. Owns nothing;
 * main's thread, at the start. The caller knows how much it will need. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Whether so many more threads can run at once: they do, for a moment. Returns 0, or -errno with a
 * text that has the number. */
int room_check_threads(size_t n, struct err *);

/* Whether so many more bytes can be mapped at once: they are, for a moment. Returns 0, or -ENOMEM
 * with a text that has the numbers. */
int room_check_memory(size_t bytes, struct err *);

/* What a new thread maps for its stack. */
size_t room_stack_bytes(void);
/* What RLIMIT_AS lets the process map in all, or SIZE_MAX. */
size_t room_limit_bytes(void);
