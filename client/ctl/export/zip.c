#include "client/ctl/export/zip.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* PKWARE's APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16. */
#define LOCAL_SIGNATURE   0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE     0x06054b50u
#define VERSION           20
#define NAMES_ARE_UTF8    0x0800
#define FIRST_OF_1980     0x0021 /* day and month 1 */
#define ENTRIES_MAX       65535
#define SIZE_MAX_ZIP      UINT32_MAX

struct entry {
    char *name;
    uint32_t crc, size, offset;
};

struct zip {
    FILE *out;
    uint64_t offset; /* bytes written */
    struct entry *entries;
    size_t n, capacity;
};

struct zip *zip_new(FILE *out)
{
    struct zip *zip = calloc(1, sizeof *zip);

    if (zip)
        zip->out = out;
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

/* ---- an entry -------------------------------------------------------------------------------- */

/* What the local header and the list of entries both have. */
static void put_facts(struct zip *zip, const struct entry *entry)
{
    put_16(zip, VERSION);
    put_16(zip, NAMES_ARE_UTF8);
    put_16(zip, 0); /* stored */
    put_16(zip, 0); /* midnight */
    put_16(zip, FIRST_OF_1980);
    put_32(zip, entry->crc);
    put_32(zip, entry->size);
    put_32(zip, entry->size);
    put_16(zip, (unsigned)strlen(entry->name));
    put_16(zip, 0); /* nothing extra */
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
    if (size > SIZE_MAX_ZIP)
        return err_set(err, -EFBIG, "%s: a member of an archive has at most 4 GiB", entry->name);
    entry->size = (uint32_t)size;
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

    if (zip->n == ENTRIES_MAX)
        return err_set(err, -EFBIG, "an archive has at most %d members", ENTRIES_MAX);
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
    if (zip->offset > SIZE_MAX_ZIP)
        return err_set(err, -EFBIG, "an archive has at most 4 GiB");
    entry->offset = (uint32_t)zip->offset;
    put_32(zip, LOCAL_SIGNATURE);
    put_facts(zip, entry);
    put(zip, entry->name, strlen(entry->name));
    put(zip, head, head_size);
    return body ? copy_body(zip, entry->size - head_size, body, err) : 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void put_listed(struct zip *zip, const struct entry *entry)
{
    put_32(zip, CENTRAL_SIGNATURE);
    put_16(zip, VERSION);
    put_facts(zip, entry);
    put_16(zip, 0); /* no comment */
    put_16(zip, 0); /* the first disk */
    put_16(zip, 0); /* bytes, not text */
    put_32(zip, 0); /* no attributes */
    put_32(zip, entry->offset);
    put(zip, entry->name, strlen(entry->name));
}

int zip_finish(struct zip *zip, struct err *err)
{
    uint64_t start = zip->offset;

    if (start > SIZE_MAX_ZIP)
        return err_set(err, -EFBIG, "an archive has at most 4 GiB");
    for (size_t i = 0; i < zip->n; i++)
        put_listed(zip, &zip->entries[i]);
    uint32_t size = (uint32_t)(zip->offset - start);
    put_32(zip, END_SIGNATURE);
    put_16(zip, 0); /* this disk, and that of the list */
    put_16(zip, 0);
    put_16(zip, (unsigned)zip->n);
    put_16(zip, (unsigned)zip->n);
    put_32(zip, size);
    put_32(zip, (uint32_t)start);
    put_16(zip, 0); /* no comment */
    return 0;
}
