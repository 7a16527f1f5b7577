/* `richd --detach`: the daemon in the background, in a session of its own, with its log in
 * STATE-DIR/richd.log. Owns nothing when it returns; main's thread, of a process that then ends.
 * The daemon itself is a program like any other: it says that it is ready as to systemd
 * (NOTIFY_SOCKET). */
#pragma once

#include "daemon/host/config.h"

/* Starts this program again, with the same options but --detach, and waits until it is ready, at
 * most 10 s. It inherits no descriptor that is marked close-on-exec. Returns the exit code: 0 when
 * the daemon is ready or still starts, else its own (75: another richd has its directories); or
 * -errno with a text when it could not be started. */
int detach_start(const struct config *, struct err *err);
