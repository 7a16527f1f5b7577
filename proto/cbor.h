/* The part of CBOR (RFC 8949) in which a relay's batch travels (RELAY.md): integers of 64
 * bits, doubles, texts, bytes, null, and arrays whose length is known. Numbers arrive bit by bit,
 * and bytes as they are. No state beyond the caller's; any thread. What the items mean is the
 * relay's (daemon/relay). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* Items behind one another. When memory runs out, or `size_max` is reached, nothing more is taken
 * and `has_failed` says so. A zeroed one with a limit is ready; cbor_release frees it. */
struct cbor {
    char *data;
    size_t size, room, size_max;
    bool has_failed;
};

void cbor_release(struct cbor *);
/* Back to a size that it had. */
void cbor_cut(struct cbor *, size_t size);

void cbor_put_null(struct cbor *);
void cbor_put_integer(struct cbor *, int64_t value);
/* Null for what is not finite. */
void cbor_put_number(struct cbor *, double value);
void cbor_put_text(struct cbor *, const char *text, size_t size);
void cbor_put_bytes(struct cbor *, const void *data, size_t size);
/* An array of `n` items, which follow. */
void cbor_put_array(struct cbor *, uint32_t n);
/* One whose length is not known yet: returns where it is told later. */
size_t cbor_begin_array(struct cbor *);
void cbor_end_array(struct cbor *, size_t at, uint32_t n);

enum cbor_type {
    CBOR_NULL,
    CBOR_INTEGER,
    CBOR_NUMBER,
    CBOR_TEXT, /* UTF-8 without NUL, and a NUL behind it */
    CBOR_BYTES,
    CBOR_ARRAY,
};

struct cbor_item {
    enum cbor_type type;
    int64_t integer; /* of an array: how many items follow */
    double number;
    const char *data;
    size_t size;
};

struct cbor_reader {
    char *data;
    size_t size, at;
};

/* Reads the next item. The data is the caller's and is written to: a text moves by a byte, so that
 * a NUL fits behind it, and each item is read once. Returns 0, or -EPROTO for what is cut off, of
 * another kind, no text, or an integer beyond 64 bits. An array has at most as many items as bytes
 * are left. */
int cbor_read(struct cbor_reader *, struct cbor_item *out, struct err *err);
