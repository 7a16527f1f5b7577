#include "daemon/http/failures.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Addresses at once; of more, the one that is forgotten first anyway gives its place. 100 kB. */
#define BUCKETS_MAX 1024
/* Wrong tokens of an address that cost nothing when they come again. */
#define KNOWN_MAX 8
/* Of a digest; two different ones that are alike in it are a guess more for nobody. */
#define MARK_SIZE 8

#define PERIOD_MS ((int64_t)1000 * FAILURES_PERIOD_S)

struct bucket {
    struct in6_addr from;
    int64_t empty_ms; /* when all of its failures are forgotten */
    uint8_t known[KNOWN_MAX][MARK_SIZE];
    unsigned n_known;
};

struct failures {
    size_t n;
    struct bucket bucket[BUCKETS_MAX];
};

struct failures *failures_new(void)
{
    return calloc(1, sizeof(struct failures));
}

void failures_free(struct failures *failures)
{
    free(failures);
}

static struct in6_addr key_of(const struct in6_addr *from)
{
    struct in6_addr key = *from;

    if (!IN6_IS_ADDR_V4MAPPED(from))
        memset(&key.s6_addr[8], 0, 8);
    return key;
}

static struct bucket *find(struct failures *failures, const struct in6_addr *key)
{
    for (size_t i = 0; i < failures->n; i++) {
        if (memcmp(&failures->bucket[i].from, key, sizeof *key) == 0)
            return &failures->bucket[i];
    }
    return NULL;
}

unsigned failures_wait_s(struct failures *failures, const struct in6_addr *from, int64_t now_ms)
{
    const struct in6_addr key = key_of(from);
    const struct bucket *bucket = find(failures, &key);
    int64_t over_ms;

    if (!bucket)
        return 0;
    over_ms = bucket->empty_ms - now_ms - (FAILURES_BURST - 1) * PERIOD_MS;
    return over_ms > 0 ? (unsigned)((over_ms + 999) / 1000) : 0;
}

/* An empty one, or the one that is forgotten first. */
static struct bucket *make_room(struct failures *failures)
{
    struct bucket *oldest = &failures->bucket[0];

    if (failures->n < BUCKETS_MAX)
        return &failures->bucket[failures->n++];
    for (size_t i = 1; i < failures->n; i++) {
        if (failures->bucket[i].empty_ms < oldest->empty_ms)
            oldest = &failures->bucket[i];
    }
    return oldest;
}

static bool is_known(const struct bucket *bucket, const uint8_t digest[SHA256_SIZE])
{
    for (size_t i = 0; i < KNOWN_MAX && i < bucket->n_known; i++) {
        if (memcmp(bucket->known[i], digest, MARK_SIZE) == 0)
            return true;
    }
    return false;
}

void failures_add(struct failures *failures, const struct in6_addr *from,
                  const uint8_t digest[SHA256_SIZE], int64_t now_ms)
{
    const struct in6_addr key = key_of(from);
    struct bucket *bucket = find(failures, &key);

    if (!bucket) {
        bucket = make_room(failures);
        *bucket = (struct bucket){.from = key};
    }
    if (is_known(bucket, digest))
        return;
    memcpy(bucket->known[bucket->n_known++ % KNOWN_MAX], digest, MARK_SIZE);
    if (bucket->empty_ms < now_ms)
        bucket->empty_ms = now_ms;
    bucket->empty_ms += PERIOD_MS;
}
