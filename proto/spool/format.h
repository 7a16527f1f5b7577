/* The bytes of a spool (SPOOL.md): the head of a record, its checksum and frames, and the record
 * that notes an attempt. No state, no I/O, any thread; what is read may be anything. file.h reads
 * and writes files of them, replay.h sends them.
 *
 * The way through this room. A reader opens a file (file.h): the lock, the version, and one pass
 * over all records, each checked here, which finds the last whole one and the newest attempt.
 * replay.h greets a daemon with the first record, has the attempt written down, and sends the
 * others within the credit until each control message has its answer; then the file is removed.
 * launch.h does this for several files side by side, and waits for them. Tested by test_file.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

#define SPOOL_MAGIC_SIZE 8
#define SPOOL_HEAD_SIZE  16
/* Of a payload, as the writers keep to it: a message has frames of at most 64 MiB, and rarely more
 * than one of them. */
#define SPOOL_PAYLOAD_MAX (256u << 20)
/* A head, the lengths of one frame, and the longest text of a note. */
#define SPOOL_NOTE_MAX (SPOOL_HEAD_SIZE + 8 + 64)

struct spool_head {
    uint32_t size; /* bytes of the payload */
    uint32_t sum;
    uint64_t sequence;
};

/* "RICHSPL" and the version. */
extern const uint8_t spool_magic[SPOOL_MAGIC_SIZE];

struct spool_head spool_head_decode(const uint8_t bytes[SPOOL_HEAD_SIZE]);

/* Whether the payload is the one that the head was written for. */
bool spool_payload_matches(const struct spool_head *head, const void *payload);

/* The frames of a payload, which they borrow. Returns their number, at least 1, or -EPROTO. */
int spool_payload_frames(const void *payload, size_t size,
                         struct wire_frame frames[WIRE_FRAMES_MAX]);

/* The record {"type":"attempt","attempt":N}. Returns its bytes. */
size_t spool_note_encode(uint64_t sequence, int64_t attempt, uint8_t out[SPOOL_NOTE_MAX]);
/* The attempt that a frame notes; 0 for every other frame. */
int64_t spool_note_decode(const struct wire_frame *frame);
