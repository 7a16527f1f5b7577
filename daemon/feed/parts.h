/* The inside of the feed's hub, shared by its files. Loop thread only, apart from the work of
 * queries, which is a reader's.
 *
 * The way of a request:
 *
 *     socket.c     listens and accepts; connections.c reads a line, and hands it over
 *                  (daemon/http/socket.c: a message)
 * hub.c        reads the request, and gives it to the file that answers it
 *     answers.c    answers at once what the loop knows: hello, status, the measures
 *     subs.c       starts and ends subscriptions, and sends them what is new
 *     updates.c    writes down what they are told: a page, or the latest of everything
 *     removals.c   has the store delete a run, or the oldest ones
 *     edits.c      has the store change what a person asks for, and answers with the run
 *     views.c      the same for the page's saved views
 *     questions.c  lends a question to a reader of the history; its answer goes to the transport
 *
 * Each calls those below it and none above it. A request that is wrong gets an error with a
 * sentence as its answer. A client that leaves stays in memory until its queries are home. A reader
 * that takes nothing is cut by its transport. Tested with its files by test_hub.c. */
#pragma once

#include "daemon/feed/hub.h"
#include "daemon/host/log.h"
#include "daemon/store/errand.h"
#include "daemon/store/store.h"
#include "proto/feed.h"

struct feedhub {
    struct readers *readers;
    const struct store *store;
    struct store_lane *lane; /* NULL: nobody writes */
    struct text_room *room;
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
    void *arg;    /* the transport's */
    bool is_gone; /* the connection is, and with it `arg` */
    struct list subs;
    size_t n_subs;
    int64_t next_sub;
    size_t n_queries; /* out with the readers: they keep it alive */
};

enum sub_state {
    SUB_READING,
    SUB_LIVE,
    SUB_ENDED, /* while its query is out, which frees it */
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
    int64_t pause_ms, again_ms; /* since its page failed, by the monotonic clock; 0: it did not */
};

/* A request with the readers. */
struct question {
    struct query query;
    struct feed_client *client;
    struct feed_request request;
    struct text *text; /* the answer of the history */
    int rc;
    struct err why;

    struct sub *sub; /* series.subscribe, event.subscribe */
    struct feed_subscribe subscribe;
    int64_t run_key;
    struct history_page page;

    struct feed_run_edit edit; /* run.edit */
    struct errand errand;      /* run.delete, history.prune */
    struct view_edit view;     /* view.save, and of view.delete the name; texts of the request */
    struct store_task task;
    char run[RUN_ID_MAX + 1]; /* the id of the run that it is about */
    char *tags;               /* as JSON */
};

/* ---- questions.c ----------------------------------------------------------------------------- */

/* Takes the text, which may be NULL; `code` is that of the error that it reports, else 0. */
void feed_send_text(struct feed_client *, int code, char *text, size_t size);
void feed_send_error(struct feed_client *, const cJSON *object, int code, const char *why);
/* Takes the result; NULL says that memory ran out. */
void feed_send_result(struct feed_client *, const cJSON *object, cJSON *result);

/* Lends a query of the client's to a reader. */
void feed_lend(struct feed_client *, struct query *, query_work_cb *, query_done_cb *);
/* It is home. Frees a client that is gone when nothing of it is out. */
void feed_take_back(struct feed_client *);
void feed_free_if_gone(struct feed_client *);

/* On a reader, behind a text of that size. */
void feed_give_back(size_t size);
/* Lends the question, which `done` has to end. */
void feed_ask(struct question *, query_work_cb *work, query_done_cb *done);
/* The same, for a method that the history answers. */
void feed_ask_history(struct question *);
/* Lends the client to the store's lane, for `question->task`. */
void feed_lend_to_store(struct question *);
/* Answers with the run `question->run`, after what was asked is done: it stays lent. */
void feed_ask_run(struct question *);
/* The question is answered, or refused, and freed. The client may be gone afterwards. */
void feed_end_question(struct question *);
/* It was lent: an error of its is sent, then it ends. */
void feed_end_lent_question(struct question *);

/* ---- answers.c ------------------------------------------------------------------------------- */

/* All NULL when memory ran out. */
cJSON *feed_answer_hello(const struct feed_client *);
cJSON *feed_answer_status(const struct feed_client *);
cJSON *feed_answer_metrics(void);

/* ---- updates.c ------------------------------------------------------------------------------- */

#define FEED_NO_ROOM "no room for a page of updates"

/* {"sub","seq"} and what the page holds of the subscription's kind, which is taken from it; an
 * empty list in place of one that is NULL. NULL without memory. Any thread. */
cJSON *feed_update_params(const struct sub *, struct history_page *);

/* "series.update", or "event.update". */
const char *feed_method(const struct sub *);

/* On a reader: writes the text of the answer to a subscription, things while they are read, and how
 * far they reach into its page. Returns 0 or -errno. */
int feed_answer_latest(struct history *, struct question *);

/* What a record brings, on its way to all subscriptions. An update is written down once for those
 * that are told the same in the same words: only its "sub" is each one's own. */
#define PUBLICATION_TEXTS 4 /* two kinds, in two words */

struct publication_text {
    char *(*words)(const char *method, cJSON *params, size_t *size);
    enum change_kind kind;
    char *text; /* NULL: the record has nothing of the kind */
    size_t size;
    size_t id_at, id_end; /* where the number of the subscription stands */
};

struct publication {
    const struct record *record;
    uint64_t first_seq, last_seq; /* of what is in the record */
    struct publication_text text[PUBLICATION_TEXTS];
    size_t n_texts;
};

/* The update for a subscription to which nothing of the record was sent: 1 with its text (free with
 * free), 0 where there is nothing to tell, -ENOMEM. */
int feed_publication_text(struct publication *, const struct sub *, char **text, size_t *size);
void feed_publication_release(struct publication *);

/* Adds to the page what the record holds for the subscription, beyond its cursor. Returns 0 or
 * -ENOMEM, with a part of it in the page. */
int feed_collect(const struct sub *, const struct record *, struct history_page *);
/* The notification that the page is; takes what is in it. NULL without memory. */
char *feed_update_text(const struct sub *, struct history_page *, size_t *size);

/* ---- edits.c --------------------------------------------------------------------------------- */

/* Whether who is behind it may change what is stored. */
bool feed_may_write(const struct feed_client *);
/* 0, or the code to answer with. */
int feed_check_may_write(struct question *);
/* Starts to carry it out. Returns 0, or the code to answer with. */
int feed_edit_run(struct question *);

/* ---- views.c --------------------------------------------------------------------------------- */

/* As feed_edit_run. */
int feed_save_view(struct question *);
int feed_delete_view(struct question *);

/* ---- removals.c ------------------------------------------------------------------------------ */

/* As feed_edit_run. */
int feed_delete_run(struct question *);
int feed_prune(struct question *);

/* ---- subs.c ---------------------------------------------------------------------------------- */

/* Starts a subscription. Returns 0, or the code to answer with. */
int feed_subs_open(struct question *, enum change_kind);
/* Ends the one of that kind that the request names. Returns 0, or the code to answer with. */
int feed_subs_close(struct question *, enum change_kind);
void feed_subs_close_all(struct feed_client *);
/* Sends what the record has to the client's subscriptions. */
/* What is new comes from the store. */
void feed_subs_catch_up(struct feed_client *);
void feed_subs_publish(struct feed_client *, struct publication *);
/* Tells those that the run concerns that it has left. Who is behind is not told. */
void feed_subs_tell_left(struct feed_client *, const struct errand_run *);
/* The output has drained: those that fell behind go on reading. */
void feed_subs_drained(struct feed_client *);
