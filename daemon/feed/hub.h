/* FEED.md behind any transport: requests in, texts out, and the subscriptions (parts.h has the way
 * through the room). Owns the subscriptions (to series, or to events: one mechanism) and the
 * queries that are out; loop thread only. The transport (socket.h) knows how lines travel: it hands
 * each request over, and says when its output has drained.
 *
 * A subscription never buffers. It has a cursor, the last sequence number sent, and is either LIVE
 * (what is published is sent at once) or READING (a page is being read from the store after the
 * cursor). A reader that is slow, new, or resuming is the same case: it reads pages until nothing
 * is left, then it is live. So nothing is missing and nothing comes twice, and no memory grows with
 * a slow reader.
 *
 *             page read, more left, or output waits
 *                  .-----------.
 *     subscribe -> READING <---' ---- nothing left ----> LIVE
 *                     ^-------- output waits -------------'
 *
 * One that ends while its page is read is ENDED until the page is there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/monitor/record.h"
#include "daemon/format/answer.h"
#include "daemon/format/text.h"
#include "daemon/history/readers.h"
#include "daemon/store/lane.h"

struct errand;
struct feedhub;
struct feed_client;

/* Output waiting for one client beyond which nothing is pushed to it (proto/FEED.md, Limits). */
#define FEED_MAX_PENDING (1u << 20)
/* The same of all clients together, and what each may have in any case. */
#define FEED_PENDING_ALL (32u << 20)
#define FEED_PENDING_MIN (16u << 10)
#define FEED_MAX_SUBS    64

/* How answers are written down; feed_lines does as FEED.md says. Each takes its tree and returns a
 * text (free with free), or NULL. No state: `result` is called on a reader's thread, too. */
struct feed_words {
    char *(*result)(const cJSON *id, cJSON *result, size_t *size);
    char *(*error)(const cJSON *id, int code, const char *text, size_t *size);
    char *(*notification)(const char *method, cJSON *params, size_t *size);
    enum answer_form form; /* of what the history answers */
};
extern const struct feed_words feed_lines;

/* What a transport does for its clients. `transport` is what feed_client_new was given. */
struct feed_transport {
    const struct feed_words *words;
    /* Takes the text (free with free), a line that ends in '\n' where `words` are feed_lines.
     * `code` is that of the error that it reports, else 0. Never closes the client from within: the
     * hub goes on using it and its subscriptions. */
    void (*send)(void *transport, int code, char *text, size_t size);
    /* The same of an answer of the history; text_free frees it. */
    void (*send_long)(void *transport, struct text *);
    /* Whether who is behind it may change what is stored; NULL: no. */
    bool (*may_write)(void *transport);
    /* Bytes taken and not yet written. */
    size_t (*pending)(void *transport);
    /* A client has one answer, and is told of nothing: it gets no subscription. */
    bool answers_once;
    /* The request is answered: the next one may be handed over. */
    void (*ready)(void *transport);
};

/* Fills the members of server.status that only the daemon knows, for someone who may write or not.
 */
typedef void feed_status_cb(void *arg, bool may_write, cJSON *status);

/* Borrows readers and store; `directory` is where long answers wait. Returns it (free with
 * feedhub_free), or NULL. */
struct feedhub *feedhub_new(struct readers *, const struct store *, const char *directory,
                            feed_status_cb *, void *arg);
/* Borrows the lane, over which clients that may write do so; without it none may. */
void feedhub_set_lane(struct feedhub *, struct store_lane *);
/* All clients must be gone, and no query may be out. NULL is fine. */
void feedhub_free(struct feedhub *);

/* A record was committed: live subscriptions hear of what is new in it. */
void feedhub_publish(struct feedhub *, const struct record *);

/* The store has things up to `seq` that came as no record: subscriptions read them. */
void feedhub_catch_up(struct feedhub *, uint64_t seq);

/* Runs have left the history: subscriptions that they concern are told. */
void feedhub_tell_left(struct feedhub *, const struct errand *);

/* Returns the protocol side of a connection, or NULL. */
struct feed_client *feed_client_new(struct feedhub *, const struct feed_transport *,
                                    void *transport);
/* The connection is gone: nothing is sent any more, and its queries are cancelled. It frees itself
 * when they are home. */
void feed_client_close(struct feed_client *);

/* Answers one request line (without '\n'), now or later; `ready` follows in either case. */
void feed_client_request(struct feed_client *, const char *line, size_t size);
/* The output has drained, or a second has passed: subscriptions that fell behind go on reading. */
void feed_client_drained(struct feed_client *);

size_t feedhub_n_clients(const struct feedhub *);
size_t feedhub_n_subscriptions(const struct feedhub *);
