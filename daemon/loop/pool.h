/* libuv's pool of threads: its size, and its start before the daemon is ready. libuv starts them at
 * the first job, and aborts where it gets none; so whether there is room for them, and for what
 * OpenBLAS maps for each, is asked before. Owns nothing but the first jobs; loop thread. work.h and
 * the store know what the threads do. Tested by tests/unit/daemon/loop/test_loop.c and
 * tests/e2e/service/test_what_the_daemon_needs_is_said.py. */
#pragma once

#include <uv.h>

#include "proto/base/err.h"

/* Starts n threads, each of which can compute. More bytes than theirs have
 * to be free, for the rest of the daemon. Returns 0, or -errno with a text that says how much is
 * missing. */
int pool_start(uv_loop_t *, size_t n, size_t more_bytes, struct err *);
