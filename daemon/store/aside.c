#include "daemon/store/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where a hundred were put aside, a person has to look; another one would not help. */
#define ASIDE_MAX 100

/* Makes `new_path` another name of `path` + `suffix`; a file that is not there needs none. */
static int link_as(const char *path, const char *new_path, const char *suffix)
{
    char from[PATH_MAX], to[PATH_MAX];

    if (snprintf(from, sizeof from, "%s%s", path, suffix) >= PATH_MAX ||
        snprintf(to, sizeof to, "%s%s", new_path, suffix) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (link(from, to) == 0)
        return 0;
    return errno == ENOENT && *suffix ? 0 : -errno;
}

int store_unlink(const char *path, const char *suffix)
{
    char name[PATH_MAX];

    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= PATH_MAX)
        return -ENAMETOOLONG;
    return unlink(name) == 0 || errno == ENOENT ? 0 : -errno;
}

/* The names of a directory are durable when the directory is synced. */
int store_sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX];
    int fd, rc = 0;

    if (!slash)
        snprintf(directory, sizeof directory, ".");
    else
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path) + 1, path);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* The WAL may hold what the database does not, so it goes along under the name that SQLite will
 * look for. */
int store_link_aside(const char *path, const char *word, char *aside, size_t size, struct err *err)
{
    int rc = -EEXIST;

    for (int n = 1; n <= ASIDE_MAX && rc == -EEXIST; n++) {
        if ((size_t)snprintf(aside, size, "%s.%s-%d", path, word, n) >= size)
            return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
        rc = link_as(path, aside, "");
    }
    if (rc < 0)
        return err_set(err, rc, "%s: cannot be set aside: %s", path, strerror(-rc));
    rc = link_as(path, aside, "-wal");
    if (rc == 0) {
        rc = store_sync_directory(path);
        if (rc < 0)
            store_unlink(aside, "-wal");
    }
    if (rc < 0) {
        store_unlink(aside, "");
        return err_set(err, rc, "%s: cannot be set aside: %s", path, strerror(-rc));
    }
    return 0;
}

/* Links before it unlinks, so that a file always has a name, also after a crash. */
int store_set_aside(const char *path, char *aside, size_t size, struct err *err)
{
    int rc = store_link_aside(path, "damaged", aside, size, err);

    if (rc < 0)
        return rc;
    /* The WAL last: without its file it would be taken for a history that was lost. */
    rc = store_unlink(path, "-shm");
    if (rc == 0)
        rc = store_unlink(path, "");
    if (rc == 0)
        rc = store_unlink(path, "-wal");
    return rc < 0 ? err_set(err, rc, "%s: it is %s as well, and cannot be removed: %s", path, aside,
                            strerror(-rc))
                  : 0;
}
