#include "proto/spool/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct spool_file {
    char *path;
    int descriptor;
    uint64_t bytes; /* of the file, whole or not */
    struct spool_place at, end;
    int64_t attempt;
    bool is_damaged;
    uint8_t *payload;
    size_t room;
};

static int fail(const struct spool_file *file, int error, struct err *err)
{
    return err_set(err, -error, "%s: %s", file->path, strerror(error));
}

/* A POSIX lock: a forked child of a dead writer does not hold it on. */
static int lock(struct spool_file *file, struct err *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(file->descriptor, F_SETLK, &whole) == 0)
        return 0;
    if (errno != EACCES && errno != EAGAIN)
        return fail(file, errno, err);
    return err_set(err, -EAGAIN, "%s: a training writes it, or another import sends it",
                   file->path);
}

/* Bytes that were read, fewer at the file's end; or -errno. */
static ssize_t read_at(const struct spool_file *file, void *out, size_t size, uint64_t at,
                       struct err *err)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(file->descriptor, (char *)out + done, size - done, (off_t)(at + done));

        if (n < 0 && errno != EINTR)
            return fail(file, errno, err);
        if (n == 0)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)done;
}

static int check_kind(struct spool_file *file, struct err *err)
{
    uint8_t magic[SPOOL_MAGIC_SIZE];
    struct stat st;
    ssize_t n;

    if (fstat(file->descriptor, &st) < 0)
        return fail(file, errno, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EPROTO, "%s is not a file", file->path);
    n = read_at(file, magic, sizeof magic, 0, err);
    if (n < 0)
        return (int)n;
    if (n < SPOOL_MAGIC_SIZE || memcmp(magic, spool_magic, SPOOL_MAGIC_SIZE) != 0)
        return err_set(err, -EPROTO, "%s is no spool of version %d", file->path,
                       spool_magic[SPOOL_MAGIC_SIZE - 1]);
    file->bytes = (uint64_t)st.st_size;
    file->at = file->end = (struct spool_place){SPOOL_MAGIC_SIZE, 1};
    return 0;
}

static int make_room(struct spool_file *file, size_t size, struct err *err)
{
    if (size > file->room) {
        uint8_t *larger = realloc(file->payload, size);

        if (!larger)
            return err_set(err, -ENOMEM, "%s: no memory for a record of %zu bytes", file->path,
                           size);
        file->payload = larger;
        file->room = size;
    }
    return 0;
}

/* Whether the file ends within this record: a writer that was killed leaves that. */
static bool is_torn(const struct spool_file *file, const struct spool_head *head)
{
    uint64_t left = file->bytes - file->at.at;

    return left < SPOOL_HEAD_SIZE ||
           (head->sequence == file->at.sequence && head->size <= SPOOL_PAYLOAD_MAX &&
            left - SPOOL_HEAD_SIZE < head->size);
}

/* The record at file->at. Returns 1, 0 when it is not whole, or -errno. */
static int read_record(struct spool_file *file, struct spool_record *out, struct err *err)
{
    uint8_t bytes[SPOOL_HEAD_SIZE] = {0};
    uint64_t left = file->bytes - file->at.at;
    struct spool_head head;
    ssize_t n = read_at(file, bytes, sizeof bytes, file->at.at, err);
    int rc;

    if (n < 0)
        return (int)n;
    head = spool_head_decode(bytes);
    file->is_damaged = !is_torn(file, &head);
    if (n < SPOOL_HEAD_SIZE || left < SPOOL_HEAD_SIZE || head.sequence != file->at.sequence ||
        head.size > SPOOL_PAYLOAD_MAX || head.size > left - SPOOL_HEAD_SIZE)
        return 0;
    rc = make_room(file, head.size, err);
    if (rc < 0)
        return rc;
    n = read_at(file, file->payload, head.size, file->at.at + SPOOL_HEAD_SIZE, err);
    if (n < 0)
        return (int)n;
    rc = (size_t)n < head.size || !spool_payload_matches(&head, file->payload)
             ? -EPROTO
             : spool_payload_frames(file->payload, head.size, out->frames);
    if (rc < 0)
        return 0;
    out->n_frames = (size_t)rc;
    file->at = (struct spool_place){file->at.at + SPOOL_HEAD_SIZE + head.size, head.sequence + 1};
    out->end = file->at;
    return 1;
}

/* One pass: where the whole records end, what is behind them, and the newest attempt. */
static int read_through(struct spool_file *file, struct err *err)
{
    struct spool_place start = file->at;
    struct spool_record record;
    int rc;

    while ((rc = read_record(file, &record, err)) > 0) {
        int64_t attempt = spool_note_decode(&record.frames[0]);

        if (attempt > 0)
            file->attempt = attempt;
    }
    file->end = file->at;
    file->at = start;
    free(file->payload); /* many files may be open, and wait */
    file->payload = NULL;
    file->room = 0;
    return rc;
}

static int open_file(const char *path, bool only_looks, struct spool_file **out, struct err *err)
{
    int flags = (only_looks ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    struct spool_file *file = calloc(1, sizeof *file);
    int rc;

    if (!file || !(file->path = strdup(path))) {
        free(file);
        return err_set(err, -ENOMEM, "out of memory");
    }
    file->descriptor = open(path, flags | O_NONBLOCK); /* a pipe must not hold us up */
    rc = file->descriptor < 0 ? fail(file, errno, err) : 0;
    if (rc == 0 && !only_looks)
        rc = lock(file, err);
    if (rc == 0)
        rc = check_kind(file, err);
    if (rc == 0 && only_looks)
        file->end.at = file->bytes;
    else if (rc == 0)
        rc = read_through(file, err);
    if (rc < 0) {
        spool_file_free(file);
        return rc;
    }
    *out = file;
    return 0;
}

int spool_file_open(const char *path, struct spool_file **out, struct err *err)
{
    return open_file(path, false, out, err);
}

int spool_file_look(const char *path, struct spool_file **out, struct err *err)
{
    return open_file(path, true, out, err);
}

void spool_file_free(struct spool_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor);
    free(file->payload);
    free(file->path);
    free(file);
}

int spool_file_read(struct spool_file *file, struct spool_record *out, struct err *err)
{
    bool is_damaged = file->is_damaged;
    int rc;

    if (file->at.at >= file->end.at)
        return 0;
    rc = read_record(file, out, err);
    file->is_damaged = is_damaged;
    if (rc == 0)
        return err_set(err, -EIO, "%s: byte %llu reads otherwise than before", file->path,
                       (unsigned long long)file->at.at);
    return rc;
}

void spool_file_go_to(struct spool_file *file, struct spool_place place)
{
    assert(place.at <= file->end.at);
    file->at = place;
}

const char *spool_file_path(const struct spool_file *file)
{
    return file->path;
}

uint64_t spool_file_size(const struct spool_file *file)
{
    return file->end.at;
}

int64_t spool_file_attempt(const struct spool_file *file)
{
    return file->attempt;
}

bool spool_file_is_damaged(const struct spool_file *file)
{
    return file->is_damaged;
}

/* Written whole and synced, or -errno. */
static int append(struct spool_file *file, const uint8_t *bytes, size_t size)
{
    ssize_t n;

    if (ftruncate(file->descriptor, (off_t)file->end.at) < 0)
        return -errno;
    n = pwrite(file->descriptor, bytes, size, (off_t)file->end.at);
    if (n < 0)
        return -errno;
    if ((size_t)n < size)
        return -ENOSPC;
    return fdatasync(file->descriptor) < 0 ? -errno : 0;
}

int spool_file_note(struct spool_file *file, int64_t attempt, struct err *err)
{
    uint8_t bytes[SPOOL_NOTE_MAX];
    size_t size = spool_note_encode(file->end.sequence, attempt, bytes);
    struct stat st;
    int rc;

    assert(!file->is_damaged);
    if (fstat(file->descriptor, &st) < 0)
        return fail(file, errno, err);
    rc = append(file, bytes, size);
    if (rc < 0) {
        if (ftruncate(file->descriptor, (off_t)file->end.at) < 0)
            return fail(file, errno, err);
        return fail(file, -rc, err);
    }
    file->attempt = attempt;
    file->end.at += size;
    file->end.sequence++;
    file->bytes = file->end.at;
    futimens(file->descriptor, (struct timespec[2]){st.st_atim, st.st_mtim});
    return 0;
}

int spool_file_remove(struct spool_file *file, struct err *err)
{
    return unlink(file->path) < 0 ? fail(file, errno, err) : 0;
}
