#include "daemon/format/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/list.h"

/* Chunks grow with their text: a short one must not hold much. */
#define CHUNK_MIN 4096
#define CHUNK_MAX 65536

struct text_room {
    struct text_limits limits;
    atomic_size_t memory, files, n_files; /* taken */
    char directory[];
};

struct chunk {
    struct list link;
    size_t size, capacity;
    char data[];
};

struct text {
    struct text_room *room;
    FILE *out; /* NULL: it is whole */
    int rc;
    size_t size, taken;
    struct list chunks; /* the start of the text; those before `taken` are freed */
    size_t taken_of_first;
    int file; /* what follows the chunks; -1: nothing does */
    size_t file_size, file_taken;
    char *piece; /* of the file, from `file_taken` on */
    size_t piece_size, piece_taken;
};

/* ---- the room -------------------------------------------------------------------------------- */

struct text_room *text_room_new(const char *directory, const struct text_limits *limits)
{
    struct text_room *room = calloc(1, sizeof *room + strlen(directory) + 1);

    if (!room)
        return NULL;
    room->limits = *limits;
    strcpy(room->directory, directory);
    return room;
}

void text_room_free(struct text_room *room)
{
    assert(!room || (room->memory == 0 && room->files == 0 && room->n_files == 0));
    free(room);
}

static bool take_room(atomic_size_t *taken, size_t size, size_t limit)
{
    if (atomic_fetch_add(taken, size) + size <= limit)
        return true;
    atomic_fetch_sub(taken, size);
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* One with room for more; NULL when all memory is taken, or there is none. */
static struct chunk *last_chunk(struct text *text, size_t limit)
{
    struct chunk *chunk;
    size_t capacity = text->size < CHUNK_MIN ? CHUNK_MIN : text->size;

    if (!list_empty(&text->chunks)) {
        chunk = LIST_ENTRY(text->chunks.prev, struct chunk, link);
        if (chunk->size < chunk->capacity)
            return chunk;
    }
    if (capacity > CHUNK_MAX)
        capacity = CHUNK_MAX;
    if (!take_room(&text->room->memory, capacity, limit))
        return NULL;
    chunk = malloc(sizeof *chunk + capacity);
    if (!chunk) {
        atomic_fetch_sub(&text->room->memory, capacity);
        return NULL;
    }
    chunk->size = 0;
    chunk->capacity = capacity;
    list_append(&text->chunks, &chunk->link);
    return chunk;
}

/* A file that nobody else sees, and that ends with its descriptor. */
static int open_file(const char *directory)
{
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *path = NULL;

    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return file;
    if (asprintf(&path, "%s/answer-XXXXXX", directory) < 0)
        return -1;
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        unlink(path);
    free(path);
    return file;
}

static int write_file(struct text *text, const char *data, size_t size)
{
    if (!take_room(&text->room->files, size, text->room->limits.files))
        return -ENOBUFS;
    text->file_size += size;
    for (size_t done = 0; done < size;) {
        ssize_t n =
            pwrite(text->file, data + done, size - done, (off_t)(text->file_size - size + done));

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Where no file can be made, memory goes a little further. */
static struct chunk *find_chunk(struct text *text)
{
    const struct text_limits *limits = &text->room->limits;
    struct chunk *chunk = last_chunk(text, limits->memory);

    if (chunk)
        return chunk;
    if (take_room(&text->room->n_files, 1, limits->n_files)) {
        text->file = open_file(text->room->directory);
        if (text->file < 0)
            atomic_fetch_sub(&text->room->n_files, 1);
    }
    return text->file >= 0 ? NULL : last_chunk(text, limits->memory_max);
}

static int write_some(struct text *text, const char *data, size_t size, size_t *n)
{
    struct chunk *chunk = text->file < 0 ? find_chunk(text) : NULL;

    *n = size;
    if (!chunk)
        return text->file < 0 ? -ENOBUFS : write_file(text, data, size);
    if (*n > chunk->capacity - chunk->size)
        *n = chunk->capacity - chunk->size;
    memcpy(chunk->data + chunk->size, data, *n);
    chunk->size += *n;
    return 0;
}

/* Of the stream; 0 is its way to say that it failed. */
static ssize_t on_write(void *arg, const char *data, size_t size)
{
    struct text *text = arg;

    for (size_t done = 0, n; text->rc == 0 && done < size; done += n) {
        text->rc = write_some(text, data + done, size - done, &n);
        text->size += n;
    }
    return text->rc == 0 ? (ssize_t)size : 0;
}

struct text *text_new(struct text_room *room)
{
    struct text *text = calloc(1, sizeof *text);

    if (!text)
        return NULL;
    text->room = room;
    text->file = -1;
    list_init(&text->chunks);
    text->out = fopencookie(text, "w", (cookie_io_functions_t){.write = on_write});
    if (!text->out) {
        text_free(text);
        return NULL;
    }
    __fsetlocking(text->out, FSETLOCKING_BYCALLER); /* one thread writes */
    return text;
}

FILE *text_stream(struct text *text)
{
    assert(text->out);
    return text->out;
}

int text_end(struct text *text)
{
    bool failed = ferror(text->out);

    failed |= fclose(text->out) != 0;
    text->out = NULL;
    if (failed && text->rc == 0)
        text->rc = -ENOMEM;
    return text->rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

size_t text_left(const struct text *text)
{
    return text->size - text->taken;
}

static struct chunk *first_chunk(const struct text *text)
{
    return LIST_ENTRY(text->chunks.next, struct chunk, link);
}

static void free_chunk(struct text *text, struct chunk *chunk)
{
    atomic_fetch_sub(&text->room->memory, chunk->capacity);
    list_remove(&chunk->link);
    free(chunk);
}

static int read_piece(struct text *text)
{
    ssize_t n;

    if (!text->piece)
        text->piece = malloc(TEXT_PIECE);
    if (!text->piece)
        return -ENOMEM;
    do {
        n = pread(text->file, text->piece, TEXT_PIECE, (off_t)text->file_taken);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -EIO;
    text->piece_size = (size_t)n;
    text->piece_taken = 0;
    return 0;
}

ssize_t text_peek(struct text *text, size_t max, char **data)
{
    size_t n;
    int rc = 0;

    assert(!text->out && max > 0);
    if (text_left(text) == 0)
        return 0;
    if (!list_empty(&text->chunks)) {
        *data = first_chunk(text)->data + text->taken_of_first;
        n = first_chunk(text)->size - text->taken_of_first;
        return (ssize_t)(n < max ? n : max);
    }
    if (text->piece_taken == text->piece_size)
        rc = read_piece(text);
    if (rc < 0)
        return rc;
    *data = text->piece + text->piece_taken;
    n = text->piece_size - text->piece_taken;
    return (ssize_t)(n < max ? n : max);
}

void text_take(struct text *text, size_t size)
{
    assert(size <= text_left(text));
    text->taken += size;
    if (list_empty(&text->chunks)) {
        text->file_taken += size;
        text->piece_taken += size;
        assert(text->piece_taken <= text->piece_size);
        return;
    }
    text->taken_of_first += size;
    assert(text->taken_of_first <= first_chunk(text)->size);
    if (text->taken_of_first < first_chunk(text)->size)
        return;
    free_chunk(text, first_chunk(text));
    text->taken_of_first = 0;
}

void text_free(struct text *text)
{
    if (!text)
        return;
    if (text->out)
        fclose(text->out);
    LIST_EACH_SAFE(at, &text->chunks)
    {
        free_chunk(text, LIST_ENTRY(at, struct chunk, link));
    }
    atomic_fetch_sub(&text->room->files, text->file_size);
    if (text->file >= 0) {
        close(text->file);
        atomic_fetch_sub(&text->room->n_files, 1);
    }
    free(text->piece);
    free(text);
}
