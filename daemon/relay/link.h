/* A relay's connection to the daemon behind it: one DEALER, used by one thread, which waits for the
 * other side here and nowhere else. Each wait ends when `stop_fd` becomes readable, and after
 * LINK_SILENT_MS without a message. Over a network it speaks CURVE by the keys that `keys` names.
 *
 * Functions return 0 or -errno, with one sentence that names the address: -ECANCELED, it shall
 * stop; -ETIMEDOUT, it is away; -EACCES, it has no keys, or does not let us write; -ENOTSUP, it is
 * of another version; -ESTALE, another daemon writes as our source; -EAGAIN, it cannot take it now;
 * else -EPROTO. After any of them the link is closed by its owner.
 *
 * Tested with its files by tests/e2e/relay/test_a_relay_forwards_what_it_has.py. */
#pragma once

#include <stdint.h>

#include "daemon/relay/take.h"
#include "proto/base/err.h"
#include "proto/cbor.h"
#include "proto/control.h"

#define LINK_SILENT_MS INT64_C(5000)

struct link {
    void *context, *socket, *monitor; /* NULL: none */
    int stop_fd;
    const char *address;
    const char *keys; /* the file; "": none */
    int64_t ping;
    int64_t heard_ms, pinged_ms; /* of the monotonic clock */
    int64_t patience_ms;         /* it may be silent for so long */
};

/* What the other side says of us. */
struct link_place {
    int64_t batch, feed_seq;
    char path[RELAY_PATH_SIZE];
    char problem[TEXT_MAX + 1];
};

/* Connects, and says hello. */
int link_open(struct link *, struct err *err);
/* Ends the connection; and for good, what is left. One that is not open is fine. */
void link_close(struct link *);
void link_release(struct link *);

/* Waits so long where nothing is to be said, and sees whether the other side is still there. */
int link_keep(struct link *, int timeout_ms, struct err *err);

/* Says `text`, which it frees, with the rows behind it where there are some, and waits for the
 * place. `known`, which may be NULL, takes the second frame (free with cbor_release). */
int link_ask(struct link *, char *text, const struct cbor *rows, struct link_place *out,
             struct cbor *known, struct err *err);
