#include "client/ctl/export/zip.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* PKWARE's APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, and 4.5.3. */
#define LOCAL_SIGNATURE   0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define LONG_END          0x06064b50u
#define LONG_END_LOCATOR  0x07064b50u
#define END_SIGNATURE     0x06054b50u
#define VERSION           20
#define LONG_VERSION      45 /* whose readers know ZIP64 */
#define LONG_EXTRA        1
#define NAMES_ARE_UTF8    0x0800
#define FIRST_OF_1980     0x0021 /* day and month 1 */
/* What follows the first two fields of the long end. */
#define LONG_END_SIZE 44

/* What does not fit in 16 or 32 bits has all of them set, and stands elsewhere in 64. */
static const struct zip_limits own_limits = {UINT32_MAX - 1, UINT16_MAX - 1};

struct entry {
    char *name;
    uint32_t crc;
    uint64_t size, offset;
};

struct zip {
    FILE *out;
    struct zip_limits limits;
    uint64_t offset; /* bytes written */
    struct entry *entries;
    size_t n, capacity;
};

struct zip *zip_new(FILE *out, const struct zip_limits *limits)
{
    struct zip *zip = calloc(1, sizeof *zip);

    if (!zip)
        return NULL;
    zip->out = out;
    zip->limits = limits ? *limits : own_limits;
    return zip;
}

void zip_free(struct zip *zip)
{
    if (!zip)
        return;
    for (size_t i = 0; i < zip->n; i++)
        free(zip->entries[i].name);
    free(zip->entries);
    free(zip);
}

/* ---- little-endian numbers ------------------------------------------------------------------- */

static void put(struct zip *zip, const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, zip->out);
    zip->offset += size;
}

static void put_16(struct zip *zip, unsigned value)
{
    put(zip, (unsigned char[]){value & 0xFF, value >> 8 & 0xFF}, 2);
}

static void put_32(struct zip *zip, uint32_t value)
{
    put_16(zip, value & 0xFFFF);
    put_16(zip, value >> 16);
}

static void put_64(struct zip *zip, uint64_t value)
{
    put_32(zip, (uint32_t)value);
    put_32(zip, (uint32_t)(value >> 32));
}

static bool is_long(const struct zip *zip, uint64_t value)
{
    return value > zip->limits.bytes;
}

/* Where 64 bits are needed, the sign that they stand elsewhere. */
static void put_short(struct zip *zip, uint64_t value)
{
    put_32(zip, is_long(zip, value) ? UINT32_MAX : (uint32_t)value);
}

/* ---- an entry -------------------------------------------------------------------------------- */

/* What the local header and the list of entries both have, with so many bytes of extra fields. */
static void put_facts(struct zip *zip, const struct entry *entry, unsigned extra)
{
    put_16(zip, extra ? LONG_VERSION : VERSION);
    put_16(zip, NAMES_ARE_UTF8);
    put_16(zip, 0); /* stored */
    put_16(zip, 0); /* midnight */
    put_16(zip, FIRST_OF_1980);
    put_32(zip, entry->crc);
    put_short(zip, entry->size);
    put_short(zip, entry->size);
    put_16(zip, (unsigned)strlen(entry->name));
    put_16(zip, extra);
}

/* The bytes of put_extra. */
static unsigned extra_size(const struct zip *zip, const struct entry *entry, bool has_offset)
{
    unsigned n = 16 * is_long(zip, entry->size) + 8 * (has_offset && is_long(zip, entry->offset));

    return n ? 4 + n : 0;
}

/* What did not fit: the size as it was and as it is stored, and where the entry begins. */
static void put_extra(struct zip *zip, const struct entry *entry, bool has_offset)
{
    unsigned size = extra_size(zip, entry, has_offset);

    if (size == 0)
        return;
    put_16(zip, LONG_EXTRA);
    put_16(zip, size - 4);
    if (is_long(zip, entry->size)) {
        put_64(zip, entry->size);
        put_64(zip, entry->size);
    }
    if (has_offset && is_long(zip, entry->offset))
        put_64(zip, entry->offset);
}

/* Size and checksum of the head and the body. */
static int measure(struct entry *entry, const void *head, size_t head_size, FILE *body,
                   struct err *err)
{
    unsigned char part[65536];
    uint64_t size = head_size;
    size_t n;

    entry->crc = (uint32_t)crc32(crc32(0, NULL, 0), head, (uInt)head_size);
    if (body)
        rewind(body);
    while (body && (n = fread(part, 1, sizeof part, body)) > 0) {
        entry->crc = (uint32_t)crc32(entry->crc, part, (uInt)n);
        size += n;
    }
    if (body && ferror(body))
        return err_set(err, -EIO, "reading a temporary file: %s", strerror(errno));
    entry->size = size;
    return 0;
}

static int copy_body(struct zip *zip, uint64_t size, FILE *body, struct err *err)
{
    unsigned char part[65536];
    size_t n;

    rewind(body);
    while (size > 0 && (n = fread(part, 1, sizeof part, body)) > 0) {
        put(zip, part, n);
        size -= n;
    }
    return size == 0 ? 0 : err_set(err, -EIO, "a temporary file has changed");
}

static int add_entry(struct zip *zip, const char *name, struct err *err)
{
    struct entry *grown;
    size_t capacity = zip->capacity ? 2 * zip->capacity : 64;

    if (zip->n == zip->capacity) {
        grown = realloc(zip->entries, capacity * sizeof *grown);
        if (!grown)
            return err_set(err, -ENOMEM, "out of memory");
        zip->entries = grown;
        zip->capacity = capacity;
    }
    zip->entries[zip->n] = (struct entry){.name = strdup(name)};
    if (!zip->entries[zip->n].name)
        return err_set(err, -ENOMEM, "out of memory");
    zip->n++;
    return 0;
}

int zip_add(struct zip *zip, const char *name, const void *head, size_t head_size, FILE *body,
            struct err *err)
{
    struct entry *entry;
    int rc = add_entry(zip, name, err);

    assert(strlen(name) <= UINT16_MAX);
    if (rc < 0)
        return rc;
    entry = &zip->entries[zip->n - 1];
    rc = measure(entry, head, head_size, body, err);
    if (rc < 0)
        return rc;
    entry->offset = zip->offset;
    put_32(zip, LOCAL_SIGNATURE);
    put_facts(zip, entry, extra_size(zip, entry, false));
    put(zip, entry->name, strlen(entry->name));
    put_extra(zip, entry, false);
    put(zip, head, head_size);
    return body ? copy_body(zip, entry->size - head_size, body, err) : 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void put_listed(struct zip *zip, const struct entry *entry)
{
    put_32(zip, CENTRAL_SIGNATURE);
    put_16(zip, VERSION);
    put_facts(zip, entry, extra_size(zip, entry, true));
    put_16(zip, 0); /* no comment */
    put_16(zip, 0); /* the first disk */
    put_16(zip, 0); /* bytes, not text */
    put_32(zip, 0); /* no attributes */
    put_short(zip, entry->offset);
    put(zip, entry->name, strlen(entry->name));
    put_extra(zip, entry, true);
}

static void put_long_end(struct zip *zip, uint64_t start)
{
    uint64_t at = zip->offset;

    put_32(zip, LONG_END);
    put_64(zip, LONG_END_SIZE);
    put_16(zip, LONG_VERSION);
    put_16(zip, LONG_VERSION);
    put_32(zip, 0); /* this disk, and that of the list */
    put_32(zip, 0);
    put_64(zip, zip->n);
    put_64(zip, zip->n);
    put_64(zip, at - start);
    put_64(zip, start);
    put_32(zip, LONG_END_LOCATOR);
    put_32(zip, 0); /* its disk */
    put_64(zip, at);
    put_32(zip, 1); /* of so many */
}

void zip_finish(struct zip *zip)
{
    uint64_t start = zip->offset, size;
    unsigned n = zip->n > zip->limits.entries ? UINT16_MAX : (unsigned)zip->n;

    for (size_t i = 0; i < zip->n; i++)
        put_listed(zip, &zip->entries[i]);
    size = zip->offset - start;
    if (is_long(zip, start) || is_long(zip, size) || n == UINT16_MAX)
        put_long_end(zip, start);
    put_32(zip, END_SIGNATURE);
    put_16(zip, 0); /* this disk, and that of the list */
    put_16(zip, 0);
    put_16(zip, n);
    put_16(zip, n);
    put_short(zip, size);
    put_short(zip, start);
    put_16(zip, 0); /* no comment */
}
