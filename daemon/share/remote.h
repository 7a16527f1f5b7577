/* libpq's calls: one connection to the shared history, used by one thread, which waits for the
 * server here and nowhere else. Each wait ends when `stop_fd` becomes readable, and after
 * REMOTE_SILENT_S without a byte. After any failure but a refused query the connection is closed.
 *
 * Functions return 0 or -errno, with one sentence that names the server: -ECANCELED, it shall stop;
 * -ECONNREFUSED, it is away or has ended the connection; -EACCES, it does not let us in, or lacks a
 * right; -EROFS, it takes no writes; -ENOSPC, its disk is full; -EAGAIN, another daemon was in the
 * way, and it may be tried at once; -ENOENT, a table is not there, or -ENODATA, a column; else
 * -EPROTO. * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* A server that answers nothing for so long is away. */
#define REMOTE_SILENT_S  60
#define REMOTE_CONNECT_S 15
/* More than an answer can have: a reader's window is 16,000 rows of the feed, or the texts of some
 * thousand runs. It bounds what a table that others have filled costs. */
#define REMOTE_ANSWER_MAX ((size_t)256 << 20)
/* A point's columns, source and batch. */
#define REMOTE_PARAMS_MAX 96

struct remote {
    PGconn *connection; /* NULL: none */
    int stop_fd;
    bool writes;      /* a read-only replica will not do */
    char server[160]; /* "HOST:PORT/DATABASE", of the last connection */
};

/* What a statement is given; borrowed until it is sent. */
struct remote_params {
    int n;
    const char *value[REMOTE_PARAMS_MAX];
    int length[REMOTE_PARAMS_MAX];
    int format[REMOTE_PARAMS_MAX]; /* 0: text, 1: binary */
};

void remote_text(struct remote_params *, const char *text);
void remote_binary(struct remote_params *, const char *data, int size);

/* Whether libpq can read the address. Returns 0 or -EINVAL; the text has nothing of a password. */
int remote_check(const char *url, struct err *err);

int remote_connect(struct remote *, const char *url, struct err *err);
void remote_disconnect(struct remote *);

/* Statements without parameters, one after the other, in a transaction. */
int remote_script(struct remote *, const char *sql, struct err *err);

/* One statement; `*out` has its rows in binary form (PQclear). `params` may be NULL. */
int remote_query(struct remote *, const char *sql, const struct remote_params *params,
                 PGresult **out, struct err *err);

/* A transaction whose statements are sent without waiting between them. A failure of any shows at
 * the commit, and undoes all of them. */
int remote_begin(struct remote *, struct err *err);
int remote_add(struct remote *, const char *sql, const struct remote_params *params,
               struct err *err);
int remote_commit(struct remote *, struct err *err);

/* Cells of a result: NULL is 0, NaN and "". */
int64_t remote_integer(const PGresult *, int row, int column);
double remote_number(const PGresult *, int row, int column);
const char *remote_cell(const PGresult *, int row, int column);
