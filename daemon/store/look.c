#include "daemon/store/look.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK ".seq"

/* SQLite takes a file of one byte for an empty one. */
#define EMPTY_BYTES 1

/* Where there are so many, a person has to look. */
#define OTHERS_MAX 100

static const char *join(const char *path, const char *suffix, char *out)
{
    out[0] = '\0';
    if (snprintf(out, PATH_MAX, "%s%s", path, suffix) >= PATH_MAX)
        out[0] = '\0'; /* names nothing */
    return out;
}

/* The size in `*out`, -1: there is no such file. */
static int find_size(const char *path, const char *suffix, int64_t *out, struct err *err)
{
    char name[PATH_MAX];
    struct stat s;

    *out = -1;
    if (stat(join(path, suffix, name), &s) == 0)
        *out = (int64_t)s.st_size;
    else if (errno != ENOENT)
        return err_set(err, -errno, "%s: %s", name, strerror(errno));
    return 0;
}

/* 0: there is none. One that cannot be read costs the comparison, and not the start. */
static uint64_t read_mark(const char *path, struct store_notes *notes)
{
    char name[PATH_MAX], line[32];
    FILE *file = fopen(join(path, MARK, name), "re");
    bool is_read = file && fgets(line, sizeof line, file);

    if (!is_read && (file || errno != ENOENT))
        store_note(notes,
                   "%s cannot be read: whether the history is older than it was is not known",
                   name);
    if (file)
        fclose(file);
    return is_read ? strtoull(line, NULL, 10) : 0;
}

/* Under another name first: a mark is whole or the older one. */
void look_leave(const char *path, uint64_t feed_seq)
{
    char name[PATH_MAX], fresh[PATH_MAX];
    FILE *file = fopen(join(path, MARK ".new", fresh), "we");
    bool written;

    if (!file)
        return;
    written = fprintf(file, "%" PRIu64 "\n", feed_seq) > 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(fresh, join(path, MARK, name)) < 0)
        unlink(fresh);
}

static int make_empty(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set(err, -errno, "%s", strerror(errno));
    close(fd);
    return 0;
}

/* Byte 18 of a database is 2 when it has a WAL, from before that is made (SQLite's file format). A
 * backup has none. Returns 1 for such a file, 0, or -errno. */
static int has_no_wal(const char *path, struct err *err)
{
    char head[20] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    int rc = n < 0 ? err_set(err, -errno, "it cannot be read: %s", strerror(errno)) : 0;

    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return rc;
    return n == sizeof head && strcmp(head, "SQLite format 3") == 0 && head[18] == 1;
}

/* SQLite would write what is in a WAL into the file beside which it lies, whosesoever it is. */
static int put_away_wal(const char *path, struct store_notes *notes, struct err *err)
{
    char wal[PATH_MAX], other[PATH_MAX], suffix[32];
    int rc = -EEXIST;

    join(path, "-wal", wal);
    for (int n = 1; n <= OTHERS_MAX && rc == -EEXIST; n++) {
        snprintf(suffix, sizeof suffix, "-wal.other-%d", n);
        rc = link(wal, join(path, suffix, other)) < 0 ? -errno : 0;
    }
    if (rc == 0 && unlink(wal) < 0)
        rc = -errno;
    if (rc < 0)
        return err_set(err, rc, "its -wal is of another file, and cannot be put away: %s",
                       strerror(-rc));
    unlink(join(path, "-shm", wal));
    store_note(notes, "the -wal beside the history was that of another file, and is kept as %s",
               other);
    return 0;
}

/* There is no content: only a WAL may know of a history. */
static int look_at_empty(const char *path, int64_t size, int64_t wal_size,
                         struct store_notes *notes, struct err *err)
{
    int rc = 0;

    if (wal_size > 0) {
        if (size < 0)
            rc = make_empty(path, err);
        return rc < 0 ? rc : err_set(err, -EUCLEAN, "it is empty, and its -wal is not");
    }
    if (size >= 0)
        store_note(notes, "%s was empty (%" PRId64 " bytes): a new history begins", path, size);
    return 0;
}

int look_at(const char *path, struct look *out, struct store_notes *notes, struct err *err)
{
    int64_t size = -1, wal_size = -1;
    int rc = find_size(path, "", &size, err);

    if (rc == 0)
        rc = find_size(path, "-wal", &wal_size, err);
    if (rc < 0)
        return rc;
    out->has_wal = wal_size >= 0;
    out->feed_seq = read_mark(path, notes);
    if (size <= EMPTY_BYTES)
        return look_at_empty(path, size, wal_size, notes, err);
    rc = wal_size > 0 ? has_no_wal(path, err) : 0;
    return rc == 1 ? put_away_wal(path, notes, err) : rc;
}
