/* Where things lie: state and runtime directory, sockets, the lock that keeps a second daemon away,
 * and endpoints.json, by which clients find us. Used by main at the start and the end; the files
 * belong to this process while it holds the lock. */
#pragma once

#include "daemon/host/config.h"

/* Fills in state-dir, runtime-dir, listen and feed where they were left open: systemd's
 * STATE_DIRECTORY and RUNTIME_DIRECTORY, else the XDG directories, else ~/.local/state/richd and
 * /tmp/richd-UID. Checks that socket paths fit and that TCP stays on the loopback. Returns 0,
 * -EBADMSG or -ENOMEM. */
int paths_complete(struct config *, struct err *);

/* Creates `dir` and its parents (mode 0700); it must then be a directory of ours. Returns 0 or
 * -errno. */
int paths_make_dir(const char *dir, struct err *);

/* Takes `dir`/richd.lock for the life of the process. Returns a descriptor, -EBUSY naming the
 * holder, or -errno. */
int paths_lock(const char *dir, struct err *);

/* "DIR/name" (free with free), or NULL. */
char *paths_join(const char *dir, const char *name);

/* Whether the socket file of `address` ("ipc://PATH" or "unix:PATH"; others pass) may be replaced:
 * binding takes the path over silently, even from a program that listens on it, and an explicit
 * path is not covered by the locks of our directories. Returns 0, or -EADDRINUSE. */
int paths_check_socket_free(const char *address, struct err *);

/* Writes DIR/endpoints.json (mode 0600) in one move; `http` may be NULL. Returns 0 or -errno. */
int paths_write_endpoints(const char *dir, const char *ingest, const char *feed, const char *http,
                          struct err *);
void paths_remove_endpoints(const char *dir);

/* Whether there is such a group, by name or number: 0, or -EINVAL with a text. */
int paths_check_group(const char *group, struct err *);

/* Lets the socket-group through, if there is one: runtime-dir gets mode 0750, endpoints.json 0640
 * and the sockets of listen and feed 0660, all of them the group. To be called when they exist.
 * Returns 0 or -errno. */
int paths_share(const struct config *, struct err *);
