/* A question to the person at the terminal, before something goes for good. Blocks on stdin. Tested
 * with its files by test_richctl_delete.py. */
#pragma once

#include <stdbool.h>

#include "proto/base/err.h"

/* Whether a person can be asked: stdin and stderr are terminals. */
bool ask_is_possible(void);

/* Asks on stderr; y and yes say yes. Returns 0, or -ECANCELED. */
int ask(const char *question, struct err *err);
