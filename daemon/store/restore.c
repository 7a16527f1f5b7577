#include "daemon/store/restore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/aside.h"
#include "daemon/store/backup.h"

/* How a restore goes, so that at each instant `path` is one history or the other:
 *
 *     copy      `from` beside `path`, as a backup copies: whole, checked, synced
 *     aside     another name for what is there, with its WAL
 *     rename    the copy takes the place
 *     remove    the WAL, and the mark of the feed's last number, which were the other's
 *
 * After a crash before the last step a start puts the WAL of another file away, and says so. */

#define COPY_SUFFIX ".restored"
/* There may be none. */
static int keep_other(const char *path, char *aside, size_t size, struct err *err)
{
    int rc = store_link_aside(path, "before", aside, size, err);

    if (rc == -ENOENT)
        *aside = '\0';
    return rc == -ENOENT ? 0 : rc;
}

static int take_place(const char *copy, const char *path, struct err *err)
{
    static const char *const others[] = {"-shm", "-wal", ".seq"};
    int rc = rename(copy, path) < 0 ? -errno : 0;

    for (size_t i = 0; rc == 0 && i < sizeof others / sizeof *others; i++)
        rc = store_unlink(path, others[i]);
    if (rc == 0)
        rc = store_sync_directory(path);
    return rc < 0 ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int store_restore(const char *path, const char *from, char *aside, size_t size, struct err *err)
{
    char copy[PATH_MAX];
    int rc;

    if (snprintf(copy, sizeof copy, "%s" COPY_SUFFIX, path) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    unlink(copy);
    rc = store_backup(from, copy, err);
    if (rc == 0)
        rc = keep_other(path, aside, size, err);
    if (rc == 0)
        rc = take_place(copy, path, err);
    unlink(copy);
    return rc;
}
