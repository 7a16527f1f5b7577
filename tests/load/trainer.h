/* A trainer of a load: one connection and one run, or one rank of it, that makes checkpoints at a
 * rate and waits for each acknowledgement. The protocol's state is that of librichd (session.h);
 * this part owns the socket, and many of them share one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/load/payload.h"

/* What all trainers of a load do. */
struct trainer_plan {
    const char *endpoint;
    const char *tag; /* of this load: begins the ids of its runs */
    const struct payload *payload;
    size_t n_layers;
    size_t n_checkpoints;
    size_t n_ranks;  /* of one run; 1: a run has one trainer */
    bool holds;      /* no checkpoint is made so far */
    double period_s; /* between two checkpoints; 0: as soon as the last one is acknowledged */
};

/* What came of it. */
struct trainer_tally {
    uint64_t n_acknowledged; /* checkpoints */
    uint64_t n_reconnects;
    uint64_t n_failed; /* trainers that the daemon ended, or that had no memory */
    uint64_t batches_dropped, batches_refused;
    double *waits_s; /* from a checkpoint's turn to its acknowledgement */
    size_t n_waits, waits_max;
    char complaint[256]; /* the last one */
};

struct trainer;

/* The number-th one. Returns NULL without memory or descriptors. */
struct trainer *trainer_new(void *zmq_context, const struct trainer_plan *, size_t number,
                            double now_s);
void trainer_free(struct trainer *);

/* Receives what has come, sends what may go, makes a checkpoint when it is due. */
void trainer_turn(struct trainer *, double now_s, struct trainer_tally *);
/* Its run is open, or was. */
bool trainer_was_open(const struct trainer *);
/* It has closed its run, or it has failed. */
bool trainer_has_ended(const struct trainer *);
/* For zmq_poll: NULL while it is not connected. */
void *trainer_socket(const struct trainer *);
