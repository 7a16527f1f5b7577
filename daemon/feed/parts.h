/* The inside of the feed's hub, shared by its files: hub.c has clients, requests and answers;
 * subs.c the subscriptions. Loop thread only, apart from the work of queries, which is a
 * reader's. */
#pragma once

#include "daemon/feed/hub.h"
#include "daemon/host/log.h"
#include "proto/feed.h"

struct feedhub {
    struct readers *readers;
    const struct store *store;
    feed_status_cb *on_status;
    void *status_arg;
    struct list clients;
    size_t n_clients;
    size_t n_subs;
    size_t n_queries;   /* out with the readers */
    uint64_t published; /* last sequence number that went through feedhub_publish */
    struct log_limit limit;
};

struct feed_client {
    struct list link;
    struct feedhub *hub;
    const struct feed_transport *transport;
    void *arg;    /* the transport's; NULL when the connection is gone */
    bool is_gone; /* the same, for queries that wait for their turn */
    struct list subs;
    size_t n_subs;
    int64_t next_sub;
    size_t n_queries;
    size_t n_holds; /* functions below us on the stack that still use it */
};

enum sub_state {
    SUB_READING,
    SUB_LIVE,
};

struct sub {
    struct list link;
    struct feed_client *client;
    int64_t id;
    int64_t run_key; /* 0: all runs */
    enum change_kind kind;
    enum sub_state state;
    uint64_t cursor; /* everything up to here was sent */
    bool query_is_out;
    bool over; /* unsubscribed while a query is out */
};

/* A request with the readers. */
struct question {
    struct query query;
    struct feed_client *client;
    struct feed_request request;
    char *text; /* the answer */
    size_t size;
    int rc;
    struct err why;

    struct sub *sub; /* series.subscribe, event.subscribe */
    struct feed_subscribe subscribe;
    int64_t run_key;
    struct history_page page;
};

/* ---- hub.c ----------------------------------------------------------------------------------
 */

/* Frees a client whose connection is gone when nothing of it is out. */
void feed_client_end(struct feed_client *);
/* Takes the text; `code` is the error's that it tells of, else 0. */
void feed_send_text(struct feed_client *, int code, char *text, size_t size);
/* Takes the result; NULL says that memory ran out. */
void feed_send_result(struct feed_client *, const cJSON *id, cJSON *result);
/* Gives the question to a reader. */
void feed_ask(struct feed_client *, struct question *, query_work_cb *, query_done_cb *);
/* It is back: an error is told, the request is answered, and the question freed. */
void feed_finish_question(struct question *);

/* ---- subs.c -----------------------------------------------------------------------------
 */

/* Starts a subscription. Returns 0, or the code to answer with. */
int feed_subs_open(struct feed_client *, struct question *, enum change_kind);
/* Ends the one that the request names. Returns 0, or the code to answer with. */
int feed_subs_close(struct feed_client *, struct question *);
void feed_subs_close_all(struct feed_client *);
/* The output has drained: those that fell behind go on reading. */
void feed_subs_drained(struct feed_client *);
