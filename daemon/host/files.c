#include "daemon/host/files.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

/* 1,024 readers of the feed, 1,024 of HTTP, and trainers; the units in systemd/ have the same. */
#define FILES_MAX 65536
/* What the daemon opens while it runs: the store's journal and its backup, the readers of the
 * history, a command for events with its pipe, files that are read again, a connection that is
 * refused. Fourteen were seen. */
#define FILES_OWN 32
/* The daemon has 30 when it is ready; some trainers, and an eighth for each kind of reader. */
#define FILES_MIN 128
/* A reader can wait, a trainer cannot. */
#define READERS_SHARE 8

static struct {
    size_t limit;
    atomic_size_t reserved[FILES_READERS], in_use[FILES_READERS];
} files = {.limit = FILES_MAX};

int files_init(struct err *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set(err, -errno, "the limit of open files: %s", strerror(errno));
    if (limit.rlim_cur < FILES_MAX) {
        limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    files.limit = limit.rlim_cur < FILES_MAX ? limit.rlim_cur : FILES_MAX;
    if (files.limit < FILES_MIN)
        return err_set(err, -EMFILE,
                       "richd may open %zu files and needs at least %d (ulimit -n, LimitNOFILE=)",
                       files.limit, FILES_MIN);
    return 0;
}

size_t files_reserve(enum files_reader reader, size_t wanted)
{
    size_t share = files.limit / READERS_SHARE;

    assert(reader < FILES_READERS);
    if (share > wanted)
        share = wanted;
    atomic_store(&files.reserved[reader], share);
    return share;
}

void files_note(enum files_reader reader, size_t n)
{
    assert(reader < FILES_READERS);
    atomic_store(&files.in_use[reader], n);
}

bool files_leaves_room(int fd)
{
    size_t needed = FILES_OWN;

    for (size_t i = 0; i < FILES_READERS; i++) {
        size_t reserved = atomic_load(&files.reserved[i]), in_use = atomic_load(&files.in_use[i]);

        needed += reserved > in_use ? reserved - in_use : 0;
    }
    return fd >= 0 && (size_t)fd + needed < files.limit;
}

size_t files_limit(void)
{
    return files.limit;
}
