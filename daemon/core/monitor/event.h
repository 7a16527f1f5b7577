/* The two vocabularies of monitor_step: what happened, and what is to be done. Events carry facts
 * only, the clock among them; actions carry everything their executor needs. Who owns what is said
 * at each. Plain values on the loop thread; carrying them out is daemon/loop/loop.c's work. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/moments/batch.h"
#include "daemon/core/monitor/layer.h"
#include "daemon/core/monitor/record.h"
#include "proto/base/err.h"
#include "proto/base/nack.h"

/* A connection to the ingest socket; ingest numbers them, from 1. */
typedef uint64_t peer_id;

/* ---- events -------------------------------------------------------------------------------- */

enum event_type {
    EV_OPEN,       /* a trainer opens a run */
    EV_BATCH,      /* rows or moments arrived */
    EV_CHECKPOINT, /* measure what came before */
    EV_LOG,        /* scalars, or what holds for the whole run */
    EV_CLOSE,      /* the trainer's last word */
    EV_ALIVE,      /* anything else came from this peer */
    EV_GONE,       /* the peer takes no answers: it has to open again */
    EV_JOB_DONE,   /* a job came home from the pool */
    EV_STORED,     /* a record came home from the store, committed or with its error */
    EV_TICK,       /* a second has passed */
    EV_DRAIN,      /* the daemon is going to stop: finish what is promised */
};

/* A layer named by a checkpoint. */
struct checkpoint_layer {
    const char *name;
    uint64_t seq;
    uint64_t rows;
    uint64_t thinned;
};

/* When the points of a run get a spectrum without being asked, and which. */
struct spectrum_policy {
    uint32_t every;   /* at the first checkpoint and each so-many-th after it; 0: when asked */
    uint32_t leading; /* as in struct spectrum_wish */
    bool uncentred;
};

struct event {
    enum event_type type;
    peer_id peer; /* OPEN to GONE */
    double time;  /* the daemon's clock, seconds since 1970 */
    union {
        struct {
            struct record *record; /* RECORD_OPEN; the step takes it */
            struct window window;
            struct projector projector;
            struct spectrum_policy spectrum;
            bool probe; /* each window has the same rows */
        } open;
        struct batch *batch; /* the step takes it */
        struct {
            uint64_t seq;
            int64_t step;
            double time;                           /* the trainer's clock */
            const struct checkpoint_layer *layers; /* borrowed until the step returns */
            size_t n_layers;
            bool spectrum; /* asked for, whatever the policy */
            bool implied;  /* the trainer gave no step */
            const double
                *reported; /* METRIC_COUNT values, NaN: none; borrowed as well. NULL: none */
        } checkpoint;
        struct record *log; /* RECORD_LOG, SUMMARY or CONFIG; the step takes it */
        struct {
            uint64_t seq;
            bool failed;
        } close;
        struct job *job;       /* the layer's own, back */
        struct record *record; /* STORED: the core's own, back */
    };
};

/* ---- actions ------------------------------------------------------------------------------- */

enum action_type {
    ACT_WELCOME,  /* the run is open: answer the peer */
    ACT_PROGRESS, /* send the peer its credit */
    ACT_ACK,      /* acknowledge `seq`, which is on disk; nothing to publish */
    ACT_COMPLETE, /* a record is on disk: acknowledge it to the peer (0: nobody waits), or to the
                     peers of its senders where it has some; publish what is new in it, then
                     record_free */
    ACT_NACK,     /* refuse something */
    ACT_JOB,      /* run the job's shares on the pool */
    ACT_STORE,    /* lend the record to the store lane */
    ACT_FATAL,    /* the store failed for good: stop without acknowledging anything more */
};

struct welcome {
    char run[RUN_ID_MAX + 1];
    uint32_t attempt;
    uint64_t granted;
    uint64_t last_seq;
    bool has_last_step;
    int64_t last_step;
    uint32_t rank;  /* of a member */
    uint32_t world; /* 0: the trainer is the only one */
};

/* A refusal on its way to a trainer. */
struct nack {
    enum nack_code code;
    bool fatal; /* the daemon takes nothing more from this connection */
    struct err why;
    uint64_t seq;                   /* the control message, or 0 */
    char layer[LAYER_NAME_MAX + 1]; /* the data message, or "" */
    uint64_t batch;
};

struct action {
    enum action_type type;
    peer_id peer;
    union {
        struct welcome welcome;
        uint64_t granted;
        uint64_t seq;
        struct record *record; /* COMPLETE gives it; STORE lends it until EV_STORED */
        struct nack *nack;     /* gives it; free() */
        struct job *job;       /* lends it until EV_JOB_DONE */
        struct err fatal;
    };
};

/* What a step wants done, in this order. The caller empties it after each step. */
struct actions {
    struct action *items;
    size_t n, capacity;
    bool out_of_memory;   /* an action could not be added: treat as ACT_FATAL */
    struct list released; /* of batch: theirs no longer needed, give the messages back */
};

void actions_init(struct actions *);
/* The items and the memory; whatever the actions still own must have been taken. */
void actions_release(struct actions *);
/* A zeroed action at the end, or NULL when memory ran out (and out_of_memory is set). */
struct action *actions_add(struct actions *, enum action_type, peer_id);
/* The daemon cannot go on: it stops, and says why. */
void actions_fail(struct actions *, const char *why);

/* Every refusal is made by nack_set and sent by actions_refuse. nack_set writes the code and the
 * sentence, clears the rest, and returns -1, so that a check ends with `return nack_set(...)`. */
int nack_set(struct nack *, enum nack_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends a copy. When nobody listens (peer 0) or memory runs out, it is dropped: a refusal is a
 * courtesy, never the promise. */
void actions_refuse(struct actions *, peer_id, const struct nack *);

/* Gives the batch back to ingest. */
void actions_release_batch(struct actions *, struct batch *);
/* Takes the first released batch out, or NULL. */
struct batch *actions_next_released(struct actions *);
