#include "proto/cbor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

/* The three upper bits of an item's first byte. */
enum major {
    MAJOR_UNSIGNED,
    MAJOR_NEGATIVE, /* -1 - value */
    MAJOR_BYTES,
    MAJOR_TEXT,
    MAJOR_ARRAY,
    MAJOR_SIMPLE = 7,
};

/* The five lower bits: a value below 24, or how many bytes it has behind. */
#define VALUE_OF_1_BYTE  24
#define VALUE_OF_4_BYTES 26
#define VALUE_OF_8_BYTES 27
#define SIMPLE_NULL      22

/* ---- writing --------------------------------------------------------------------------------- */

void cbor_release(struct cbor *cbor)
{
    free(cbor->data);
    *cbor = (struct cbor){.size_max = cbor->size_max};
}

void cbor_cut(struct cbor *cbor, size_t size)
{
    if (size < cbor->size)
        cbor->size = size;
}

static void put(struct cbor *cbor, const void *data, size_t size)
{
    size_t room = cbor->room ? cbor->room : 4096;
    char *larger;

    if (cbor->has_failed || size > cbor->size_max - cbor->size) {
        cbor->has_failed = true;
        return;
    }
    while (room < cbor->size + size)
        room *= 2;
    larger = room > cbor->room ? realloc(cbor->data, room) : cbor->data;
    if (!larger) {
        cbor->has_failed = true;
        return;
    }
    cbor->data = larger;
    cbor->room = room;
    if (size > 0)
        memcpy(cbor->data + cbor->size, data, size);
    cbor->size += size;
}

/* The value in so many bytes, the highest first, behind a first byte. */
static void put_wide(struct cbor *cbor, enum major major, unsigned code, uint64_t value, int n)
{
    unsigned char bytes[9] = {(unsigned char)(major << 5 | code)};

    for (int i = 1; i <= n; i++)
        bytes[i] = (unsigned char)(value >> 8 * (n - i));
    put(cbor, bytes, 1 + (size_t)n);
}

static void put_head(struct cbor *cbor, enum major major, uint64_t value)
{
    if (value < VALUE_OF_1_BYTE)
        put_wide(cbor, major, (unsigned)value, 0, 0);
    else if (value <= UINT8_MAX)
        put_wide(cbor, major, VALUE_OF_1_BYTE, value, 1);
    else if (value <= UINT16_MAX)
        put_wide(cbor, major, VALUE_OF_1_BYTE + 1, value, 2);
    else if (value <= UINT32_MAX)
        put_wide(cbor, major, VALUE_OF_4_BYTES, value, 4);
    else
        put_wide(cbor, major, VALUE_OF_8_BYTES, value, 8);
}

void cbor_put_null(struct cbor *cbor)
{
    put_head(cbor, MAJOR_SIMPLE, SIMPLE_NULL);
}

void cbor_put_integer(struct cbor *cbor, int64_t value)
{
    put_head(cbor, value < 0 ? MAJOR_NEGATIVE : MAJOR_UNSIGNED,
             value < 0 ? ~(uint64_t)value : (uint64_t)value);
}

void cbor_put_number(struct cbor *cbor, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (isfinite(value))
        put_wide(cbor, MAJOR_SIMPLE, VALUE_OF_8_BYTES, bits, 8);
    else
        cbor_put_null(cbor);
}

void cbor_put_text(struct cbor *cbor, const char *text, size_t size)
{
    put_head(cbor, MAJOR_TEXT, size);
    put(cbor, text, size);
}

void cbor_put_bytes(struct cbor *cbor, const void *data, size_t size)
{
    put_head(cbor, MAJOR_BYTES, size);
    put(cbor, data, size);
}

void cbor_put_array(struct cbor *cbor, uint32_t n)
{
    put_head(cbor, MAJOR_ARRAY, n);
}

size_t cbor_begin_array(struct cbor *cbor)
{
    put_wide(cbor, MAJOR_ARRAY, VALUE_OF_4_BYTES, 0, 4);
    return cbor->size;
}

void cbor_end_array(struct cbor *cbor, size_t at, uint32_t n)
{
    if (cbor->has_failed)
        return;
    for (int i = 1; i <= 4; i++)
        cbor->data[at - (size_t)i] = (char)(n >> 8 * (i - 1));
}

/* ---- reading --------------------------------------------------------------------------------- */

static int cut_off(struct err *err)
{
    return err_set(err, -EPROTO, "it is cut off");
}

/* What the first byte says, and the value behind it. */
static int read_head(struct cbor_reader *reader, enum major *major, unsigned *code, uint64_t *value,
                     struct err *err)
{
    size_t left = reader->size - reader->at, n;
    const unsigned char *at = (const unsigned char *)reader->data + reader->at;

    if (left == 0)
        return cut_off(err);
    *major = (enum major)(*at >> 5);
    *code = *at & 31u;
    *value = *code;
    n = *code < VALUE_OF_1_BYTE ? 0 : (size_t)1 << (*code - VALUE_OF_1_BYTE);
    if (*code > VALUE_OF_8_BYTES)
        return err_set(err, -EPROTO, "byte %zu begins an item of no known length", reader->at);
    if (left < 1 + n)
        return cut_off(err);
    if (n > 0)
        *value = 0;
    for (size_t i = 1; i <= n; i++)
        *value = *value << 8 | at[i];
    reader->at += 1 + n;
    return 0;
}

/* At least a byte of head is before it. */
static void end_text(struct cbor_reader *reader, struct cbor_item *out)
{
    char *text = reader->data + reader->at - 1;

    memmove(text, text + 1, out->size);
    text[out->size] = '\0';
    out->data = text;
}

static int read_string(struct cbor_reader *reader, uint64_t size, struct cbor_item *out,
                       struct err *err)
{
    if (size > reader->size - reader->at)
        return cut_off(err);
    out->size = (size_t)size;
    out->data = reader->data + reader->at;
    if (out->type == CBOR_TEXT &&
        (memchr(out->data, '\0', out->size) || !json_utf8_valid(out->data, out->size)))
        return err_set(err, -EPROTO, "byte %zu begins a text that is none", reader->at);
    if (out->type == CBOR_TEXT)
        end_text(reader, out);
    reader->at += out->size;
    return 0;
}

static int read_simple(unsigned code, uint64_t value, struct cbor_item *out, struct err *err)
{
    if (code == VALUE_OF_8_BYTES) {
        out->type = CBOR_NUMBER;
        memcpy(&out->number, &value, sizeof out->number);
        if (isfinite(out->number))
            return 0;
    }
    out->type = CBOR_NULL;
    return code == SIMPLE_NULL || code == VALUE_OF_8_BYTES
               ? 0
               : err_set(err, -EPROTO, "an item of a kind that is not used");
}

int cbor_read(struct cbor_reader *reader, struct cbor_item *out, struct err *err)
{
    enum major major;
    unsigned code;
    uint64_t value;
    int rc = read_head(reader, &major, &code, &value, err);

    *out = (struct cbor_item){.type = CBOR_NULL};
    if (rc < 0)
        return rc;
    switch (major) {
    case MAJOR_UNSIGNED:
    case MAJOR_NEGATIVE:
        out->type = CBOR_INTEGER;
        out->integer = (int64_t)(major == MAJOR_NEGATIVE ? ~value : value);
        return value <= INT64_MAX ? 0 : err_set(err, -EPROTO, "an integer beyond 64 bits");
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        out->type = major == MAJOR_TEXT ? CBOR_TEXT : CBOR_BYTES;
        return read_string(reader, value, out, err);
    case MAJOR_ARRAY:
        out->type = CBOR_ARRAY;
        out->integer = (int64_t)value;
        return value <= reader->size - reader->at ? 0 : cut_off(err);
    case MAJOR_SIMPLE:
        return read_simple(code, value, out, err);
    }
    return err_set(err, -EPROTO, "an item of a kind that is not used");
}
