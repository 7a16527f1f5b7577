#include "proto/spool/format.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "proto/json.h"

#define NOTE_BEGINS "{\"type\":\"attempt\""

const uint8_t spool_magic[SPOOL_MAGIC_SIZE] = {'R', 'I', 'C', 'H', 'S', 'P', 'L', 1};

static uint32_t get_u32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

static void put_u32(uint8_t *bytes, size_t value)
{
    uint32_t little = htole32((uint32_t)value);

    memcpy(bytes, &little, sizeof little);
}

struct spool_head spool_head_decode(const uint8_t bytes[SPOOL_HEAD_SIZE])
{
    struct spool_head head = {.size = get_u32(bytes), .sum = get_u32(bytes + 4)};

    memcpy(&head.sequence, bytes + 8, sizeof head.sequence);
    head.sequence = le64toh(head.sequence);
    return head;
}

/* CRC-32 of the sequence's 8 bytes and the payload. */
static uint32_t sum_of(uint64_t sequence, const void *payload, size_t size)
{
    uint64_t little = htole64(sequence);
    uLong sum = crc32_z(0, (const Bytef *)&little, sizeof little);

    return (uint32_t)crc32_z(sum, payload, size);
}

bool spool_payload_matches(const struct spool_head *head, const void *payload)
{
    return sum_of(head->sequence, payload, head->size) == head->sum;
}

int spool_payload_frames(const void *payload, size_t size,
                         struct wire_frame frames[WIRE_FRAMES_MAX])
{
    const uint8_t *bytes = payload;
    size_t n = size >= 4 ? get_u32(bytes) : 0, at = 4 * (n + 1);

    if (n == 0 || n > WIRE_FRAMES_MAX || at > size)
        return -EPROTO;
    for (size_t i = 0; i < n; i++) {
        size_t length = get_u32(bytes + 4 * (i + 1));

        if (length > size - at)
            return -EPROTO;
        frames[i] = (struct wire_frame){bytes + at, length};
        at += length;
    }
    return at == size ? (int)n : -EPROTO;
}

size_t spool_note_encode(uint64_t sequence, int64_t attempt, uint8_t out[SPOOL_NOTE_MAX])
{
    uint8_t *payload = out + SPOOL_HEAD_SIZE;
    uint64_t little = htole64(sequence);
    int length = snprintf((char *)payload + 8, SPOOL_NOTE_MAX - SPOOL_HEAD_SIZE - 8,
                          NOTE_BEGINS ",\"attempt\":%lld}", (long long)attempt);
    size_t size = 8 + (size_t)length;

    put_u32(payload, 1);
    put_u32(payload + 4, (size_t)length);
    put_u32(out, size);
    put_u32(out + 4, sum_of(sequence, payload, size));
    memcpy(out + 8, &little, sizeof little);
    return SPOOL_HEAD_SIZE + size;
}

int64_t spool_note_decode(const struct wire_frame *frame)
{
    int64_t attempt = 0;
    cJSON *note;

    if (frame->size < strlen(NOTE_BEGINS) ||
        memcmp(frame->data, NOTE_BEGINS, strlen(NOTE_BEGINS)) != 0)
        return 0;
    note = json_parse(frame->data, frame->size, NULL);
    if (!note || json_integer(note, "attempt", 1, UINT32_MAX, &attempt, NULL) < 0)
        attempt = 0;
    cJSON_Delete(note);
    return attempt;
}
