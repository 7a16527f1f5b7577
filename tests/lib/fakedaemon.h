/* A daemon for the clients' tests: a ROUTER on a thread of its own that speaks INGEST.md just so
 * far, writes down what it hears, and misbehaves when told to. It measures and stores nothing. The
 * test owns it; all functions are for the test's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fakedaemon;

/* Makes a runtime directory under /tmp, without a daemon in it. */
struct fakedaemon *fakedaemon_new(void);
/* Stops it, and removes the directory. */
void fakedaemon_free(struct fakedaemon *);

const char *fakedaemon_directory(const struct fakedaemon *);

/* Binds and writes endpoints.json; `move` gives it another address than the last time. */
void fakedaemon_start(struct fakedaemon *, bool move);
/* As kill -9 does: the connections end, what is unread is lost. The notes stay. */
void fakedaemon_stop(struct fakedaemon *);

/* How it behaves from now on. By default it grants 64 MiB and acknowledges all. */
void fakedaemon_grant(struct fakedaemon *, int64_t granted); /* also sends progress */
void fakedaemon_acknowledge(struct fakedaemon *, bool yes);
void fakedaemon_deafen(struct fakedaemon *, bool yes);              /* reads nothing meanwhile */
void fakedaemon_forget(struct fakedaemon *);                        /* as if nothing were open */
void fakedaemon_refuse_open(struct fakedaemon *, const char *code); /* with a fatal nack */

/* What it heard, one note a message: "hello", "open attempt=0 writer=W", behind which
 * stands " watched=[...]" when it says so, "batch head seq=1 before=0
 * n=4", "checkpoint 1", "log 2", "close 3 finished". Pings are not noted. */
int fakedaemon_count(struct fakedaemon *, const char *prefix);
/* Copies the i-th note that begins so; "" when there is none. */
void fakedaemon_note(struct fakedaemon *, const char *prefix, int i, char *out, int out_size);
/* Waits until `n` notes begin so; false when that takes longer than 10 s. */
bool fakedaemon_await(struct fakedaemon *, const char *prefix, int n);
/* The place of the i-th note that begins so among all; -1 when there is none. */
int fakedaemon_place(struct fakedaemon *, const char *prefix, int i);
/* Bytes of all data messages of the latest connection. */
uint64_t fakedaemon_bytes(struct fakedaemon *);
/* True when every batch's first feature of each row counted on from the batch before. */
bool fakedaemon_rows_are_whole(struct fakedaemon *);
