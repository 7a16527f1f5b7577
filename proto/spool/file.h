/* One spool on the disk: locked, read record by record, given its attempt, and removed. One thread,
 * which the disk blocks; it owns the descriptor and the buffer of one record. It knows records and
 * nothing of what they say but attempts; replay.h sends them. The file may be anything: no size is
 * believed before the file has so many bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/spool/format.h"

struct spool_file;

/* Between two records: the byte, and the sequence of the record behind it. */
struct spool_place {
    uint64_t at;
    uint64_t sequence;
};

struct spool_record {
    struct wire_frame frames[WIRE_FRAMES_MAX];
    size_t n_frames;
    struct spool_place end;
};

/* Opens the file, locks it and reads it through; it stands before the first record. On 0 `*out` is
 * to be freed. -EAGAIN: its writer, or another reader, lives; -EPROTO: it is no spool of this
 * version; or -errno. */
int spool_file_open(const char *path, struct spool_file **out, struct err *err);
/* The same without the lock, and without a look at what comes behind the first record: it can only
 * be read. */
int spool_file_look(const char *path, struct spool_file **out, struct err *err);
/* Lets go of it; it stays. NULL is fine. */
void spool_file_free(struct spool_file *);

/* The next whole record, borrowed until the next call. Returns 1, 0 at the end, or -errno. */
int spool_file_read(struct spool_file *, struct spool_record *out, struct err *err);
/* The next record to be read is the one behind `place`, which an earlier one told. */
void spool_file_go_to(struct spool_file *, struct spool_place place);

const char *spool_file_path(const struct spool_file *);
/* The end of the last whole record, in bytes. */
uint64_t spool_file_size(const struct spool_file *);
/* The attempt that was noted last; 0: none. */
int64_t spool_file_attempt(const struct spool_file *);
/* Behind the last whole record there is more than one record that was not written to its end. Such
 * a file is not written to, and not to be removed: nobody knows what it had. */
bool spool_file_is_damaged(const struct spool_file *);

/* Adds the attempt behind the last whole record, where what was torn is cut off, and syncs it. The
 * time of the file stays, which says what was written first. 0, or -errno and the file is as it
 * was. */
int spool_file_note(struct spool_file *, int64_t attempt, struct err *err);

/* Takes it out of its directory. */
int spool_file_remove(struct spool_file *, struct err *err);
