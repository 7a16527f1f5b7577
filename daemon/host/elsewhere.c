#include "daemon/host/elsewhere.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/host/lock.h"

/* Tested by test_elsewhere.c and tests/e2e/service/test_it_is_found_everywhere.py. */

void elsewhere_name(char dir[ELSEWHERE_SIZE])
{
    snprintf(dir, ELSEWHERE_SIZE, "/tmp/richd-%u", (unsigned)getuid());
}

static bool is_wanted(const struct config *config, const char *dir)
{
    return strcmp(config->source[OPTION_RUNTIME_DIR], "default") == 0 &&
           !getenv("RUNTIME_DIRECTORY") && strcmp(config->value[OPTION_RUNTIME_DIR], dir) != 0;
}

/* Others may make things in /tmp, links among them. Its group may look in (socket-group). */
int elsewhere_make(const char *dir, struct err *err)
{
    struct stat st;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "%s cannot be made: %s", dir, strerror(errno));
    if (lstat(dir, &st) < 0)
        return err_set(err, -errno, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return err_set(err, -EPERM, "%s is no directory in which we alone write", dir);
    return 0;
}

int elsewhere_write(const struct config *config, const struct endpoints_content *content,
                    struct err *err)
{
    char dir[ELSEWHERE_SIZE];
    int rc, lock;

    elsewhere_name(dir);
    if (!is_wanted(config, dir))
        return err_set(err, -ENOENT, "the runtime directory was named");
    rc = elsewhere_make(dir, err);
    lock = rc < 0 ? rc : lock_take(dir, err);
    if (lock < 0)
        return lock;
    rc = endpoints_write(dir, content, err);
    if (rc == 0)
        return lock;
    lock_release(lock);
    return rc;
}
