/* The options that are numbers or names: their defaults, and whether they are what they should be.
 * Owns nothing; main's thread, behind config.h, which reads the texts. */
#pragma once

#include "daemon/host/config.h"

/* Fills in log_level, nice, ranks_wait_s, idle_exit_s, keep_days and
 * max_bytes. Returns 0, -ENOMEM, or -EBADMSG with a
 * text that names the option and where its value came from. */
int values_check(struct config *, struct err *err);
