/* Where things lie: the state and the runtime directory, and the sockets in them. Owns nothing: it
 * completes the options, and makes the directories; main's thread, at the start and at SIGHUP.
 * lock.h makes sure that no other daemon uses them, endpoints.h that clients find the sockets. */
#pragma once

#include "daemon/host/config.h"

/* In the state directory: who may connect over a network, and who we are there. */
#define AUTHORISED_FILE "authorised_keys"
#define SERVER_KEY_FILE "server.key"

/* Fills in state-dir, runtime-dir, listen, feed and http where they were left open: systemd's
 * STATE_DIRECTORY and RUNTIME_DIRECTORY, else the XDG directories (an XDG_RUNTIME_DIR that is no
 * directory of ours is as none), else ~/.local/state/richd and /tmp/richd-UID. A port alone, and
 * localhost, are 127.0.0.1 for http. Checks that socket paths fit, and that TCP stays on the
 * loopback, asks for keys, or is encrypted. Returns 0, -EBADMSG or -ENOMEM. */
int paths_complete(struct config *, struct err *);

/* Creates `dir` and its parents (mode 0700); it must then be a directory of ours. Returns 0 or
 * -errno. */
int paths_make_dir(const char *dir, struct err *);

/* "DIR/name" (free with free), or NULL. */
char *paths_join(const char *dir, const char *name);
