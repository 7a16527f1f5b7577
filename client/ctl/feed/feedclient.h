/* A blocking connection to the feed (proto/FEED.md): requests with their answers, and the updates
 * that come between them, kept in order. For one thread; it owns the socket and what it has read.
 * The commands know what requests and answers mean. Tested end to end by test_richctl.py.
 *
 * The way of a call: feedclient_call sends one line and reads lines until the one with its id
 * comes. Updates that come before it wait in a list; feedclient_next takes them from there first. A
 * timeout, a line that is no JSON and a connection that ends are errors of the call; an interrupt
 * ends each wait. */
#pragma once

#include <cjson/cJSON.h>

#include "proto/base/err.h"

struct feedclient;

/* Connects to unix:PATH or tcp:ADDRESS:PORT. An answer that takes longer than `timeout_ms` is an
 * error. On 0 `*out` is the connection (free with feedclient_free).
 *
 * Errors, here and below: -EINVAL for an address that is none, -ENOTCONN when nobody is there or
 * the daemon went, -ETIMEDOUT, -EBUSY when it has too many connections, -EREMOTEIO when it answered
 * with an error (its text in `err`), -EPROTO for an answer that makes no sense, -EINTR after an
 * interrupt (interrupt.h). */
int feedclient_open(struct feedclient **out, const char *address, int timeout_ms, struct err *err);
void feedclient_free(struct feedclient *);

/* Closes the connection, drops all that was read, and makes another one, to the same or another
 * address. After an error there is none: calls fail with -ENOTCONN until this succeeds. */
int feedclient_reopen(struct feedclient *, const char *address, struct err *err);

/* What to poll for reading, besides feedclient_next with timeout 0; -1 without a connection. */
int feedclient_fd(const struct feedclient *);

/* Sends a request and waits for its answer. Takes `params`, made with params.h; NULL says that
 * memory ran out while it was made. On 0 `*result` is an object (free with cJSON_Delete), else
 * NULL; `result` is NULL when nobody wants the answer. */
int feedclient_call(struct feedclient *, const char *method, cJSON *params, cJSON **result,
                    struct err *err);

/* From now on an answer may take `timeout_ms`, and while it is awaited `on_turn` is called ten
 * times a second. */
void feedclient_be_patient(struct feedclient *, int timeout_ms, void (*on_turn)(void *context),
                           void *context);

/* Waits up to `timeout_ms` (-1: for ever) for the next series.update or event.update. Returns 1
 * with its params in `*update` (free with cJSON_Delete), 0 when none came, or an error. */
int feedclient_next(struct feedclient *, int timeout_ms, cJSON **update, struct err *err);
