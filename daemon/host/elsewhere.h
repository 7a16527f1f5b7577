/* A second endpoints.json, in /tmp/richd-UID, where every client of ours looks: a job, cron or a
 * container has another XDG_RUNTIME_DIR than the session in which the daemon was started, or none.
 * Owns that file while its directory's lock is held; main's thread, at the start and the end. */
#pragma once

#include "daemon/host/endpoints.h"

#define ELSEWHERE_SIZE 32

/* "/tmp/richd-UID". */
void elsewhere_name(char dir[ELSEWHERE_SIZE]);

/* Makes the directory (mode 0700), or looks whether the one that is there is ours, no link, and
 * written by nobody else. Returns 0 or -errno. */
int elsewhere_make(const char *dir, struct err *err);

/* Writes the file, unless the runtime directory was named (such a daemon is for those who name it),
 * is systemd's, or is this one. Returns its lock (release with lock_release, after
 * endpoints_remove), -EBUSY when another daemon of ours has it, -ENOENT when it is not wanted, or
 * -errno; always with a text. */
int elsewhere_write(const struct config *, const struct endpoints_content *, struct err *);
