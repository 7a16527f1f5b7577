/* Who has a TCP port that we want: for the sentence that refuses a start. Reads /proc, as far as it
 * lets us: processes of other users, and in a sandbox all others, remain unnamed. Any thread. */
#pragma once

#include <stddef.h>

/* Room for a process' name and number. */
#define HOLDER_SIZE 80

/* For an address that ends in :PORT and could not be listened at for the reason `rc`: " (held by
 * NAME, pid 7)" when that is -EADDRINUSE and somebody is seen to listen at the port, else "". */
const char *holder_describe(const char *address, int rc, char out[HOLDER_SIZE]);
