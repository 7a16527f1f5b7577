/* A long text on its way from the reader that writes it to the loop that sends it. It is written
 * whole, so that it shows one instant of the store and no slow reader keeps a query alive; then it
 * is taken from its start, piece by piece. What all texts hold in memory together has one limit:
 * what is written beyond it goes to a file without a name in the daemon's directory. Owns the
 * memory and the files; one thread at a time for a text, any thread for the room. The writers are
 * answer.h's, and the feed's outbox takes the pieces. Tested by test_text.c. */
#pragma once

#include <stdio.h>
#include <sys/types.h>

/* What waits in memory in all, before files are used, and where no file can be made (a full disk,
 * say). A text of 100,000 rows has some 25 MB. */
#define TEXT_MEMORY     (16u << 20)
#define TEXT_MEMORY_MAX (64u << 20)
/* What waits in files in all: forty such texts. */
#define TEXT_FILES_MAX (1u << 30)
/* The most that is taken of a file at once. */
#define TEXT_PIECE 16384

struct text_room;
struct text;

struct text_limits {
    size_t memory, memory_max, files; /* bytes */
    size_t n_files;
};

/* For texts whose files are in that directory, which is copied. Returns it (free with
 * text_room_free, when no text is left), or NULL. */
struct text_room *text_room_new(const char *directory, const struct text_limits *);
void text_room_free(struct text_room *);

/* Returns an empty text (free with text_free), or NULL. Borrows the room. */
struct text *text_new(struct text_room *);
/* NULL is fine; also while it is written. */
void text_free(struct text *);

/* To write it; only until text_end. */
FILE *text_stream(struct text *);
/* It is whole. Returns 0, or -ENOMEM, -ENOBUFS (all room is taken) or the disk's error. */
int text_end(struct text *);
/* What is left of it. */
size_t text_left(const struct text *);

/* What comes next: at most `max` bytes, valid until the next call. Returns how many, 0 at the end,
 * or -errno of the file. */
ssize_t text_peek(struct text *, size_t max, char **data);
/* So many of the bytes are taken. */
void text_take(struct text *, size_t size);
