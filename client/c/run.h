/* What the functions of richd.h share: the run, its lock, and the reading of the structs that a
 * program gives. For connect.c, submit.c and marks.c alone, on the program's threads.
 *
 * The way through: richd_connect makes the session and starts the sender. richd_submit checks a
 * batch, charges its rows to the run's account, copies them, and queues them in the session under
 * the lock; richd_checkpoint and richd_log queue a mark in the same way. The sender takes from the
 * session what may be sent, and brings it what the daemon says; an ack settles the ticket at which
 * richd_checkpoint or richd_close waits.
 *
 * What fails: a mistake of the program is an error code and a sentence (richd_last_error), at once.
 * Rows without room are dropped and counted. A daemon that is away costs only the wait that was
 * asked for, and the wait ends when its absence is known (INGEST.md, Waiting). Tested with its
 * files by test_client.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "client/c/sender.h"
#include "client/common/endpoints.h"

struct richd_run {
    pid_t pid;
    struct shared shared;
    struct endpoints endpoints;
    struct sender *sender;
    size_t queue_bytes;
    atomic_size_t held; /* rows on their way, in the session and in libzmq */
};

/* 0, -EINVAL for NULL, or -ECHILD: in a forked child the sender does not exist, and the lock may be
 * held for ever. */
int run_check(const struct richd_run *);

void run_lock(struct richd_run *);
/* Keeps the sentence of a failed call for richd_last_error, and returns `rc`. `err` may be NULL. */
int run_unlock(struct richd_run *, int rc, const struct err *err);

/* Copies the members that the program's version of a struct has over our defaults; the struct
 * begins with its size. False when there is nothing to copy: NULL, or a struct that was not started
 * from its macro. */
bool run_overlay(void *ours, size_t our_size, const void *given);

/* Stops the sender and frees all. Accepts a run that is half made. */
void run_release(struct richd_run *);
