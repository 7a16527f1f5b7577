/* What the core asks the store to make durable, and what the store answers. The core makes a
 * record, lends it to the store's lane with ACT_STORE, and frees it after EV_STORED; in between the
 * lane alone touches it. Records of one run are stored in the order in which they were lent; when
 * one fails for want of space or memory, those lent after it and not yet stored fail with it, so
 * that what is on disk is a prefix (an attempt remembers its last sequence, not each). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/detect/watch.h"
#include "daemon/core/measure/probe.h"
#include "daemon/core/measure/representation.h"
#include "daemon/core/measure/spectrum.h"
#include "proto/base/list.h"
#include "proto/base/point.h"
#include "proto/base/policy.h"

enum record_kind {
    RECORD_OPEN,       /* start or go on with an attempt */
    RECORD_JOIN,       /* a member comes to an attempt that is open, or comes back */
    RECORD_CHECKPOINT, /* the points of one checkpoint, one per layer */
    RECORD_SPECTRUM,   /* a point of a checkpoint again, with its spectrum. Of no sender */
    RECORD_LOG,        /* scalars */
    RECORD_SUMMARY,    /* what holds for the whole run, merged into its summary */
    RECORD_CONFIG,     /* the same, into its configuration */
    RECORD_CLOSE,      /* the trainer's last word on this attempt; of members: one member's */
    RECORD_LOST,       /* the trainer went without one */
    RECORD_RECALL,     /* read the points of a checkpoint again, for its second ack. Writes nothing,
                          but that a member's mark came, which was too late for them */
    RECORD_REPLAY,     /* writes nothing: show the run's past to its watches. `step` is that of the
                          message before which the attempt has none */
};

/* What the trainer said of its run. Texts are owned by the record; tags and config are JSON. */
struct record_open {
    char *name;
    char *project;
    char *group;
    char *tags;     /* JSON array */
    char *config;   /* JSON object */
    char *writer;   /* names this writer and no other; of JOIN, too */
    char *host;     /* where its trainer runs; NULL: it does not say */
    char *launch;   /* the start of the job whose member it is; NULL: it is the only trainer */
    char *projects; /* "a,b": a run that exists has to be in one of these; NULL: in any */
    uint32_t rank, world; /* with launch */
    enum resume resume;
    uint32_t attempt;   /* 0: a new one; k: go on with k */
    uint32_t elsewhere; /* with 0: the newest one that daemons which share the history have; 0: they
                           have none, or nobody knows */
    bool is_replay;     /* with 0: the newest one that the writer has, where it has one */
    double began;       /* of a replay: when its trainer wrote the first of it; 0: nobody knows */
    double probe_bytes; /* room for the probes of the layers; 0: they are not wanted */
    struct watch_list watched;
};

/* A layer as the store knows it: what the next window starts from. */
struct stored_layer {
    char name[LAYER_NAME_MAX + 1];
    uint32_t p; /* 0, and so is c: no point of it was stored yet */
    uint32_t c;
    uint64_t batch_seq;    /* last batch of this attempt that a stored checkpoint covers */
    uint64_t rows_offered; /* rows offered up to where the next window begins */
    uint64_t rows_thinned; /* and those thinned out up to there */
    struct watch *watch;   /* of REPLAY: that has seen the layer's past, of which the attempt
                              supersedes nothing; NULL: there is none. Owned by the record */
    struct probe probe;    /* the first window's, when wanted; without rows: there is none.
                              Owned by the record */
};

/* A member of the attempt, as the store knows it. */
struct stored_member {
    uint32_t rank;
    char writer[WRITER_MAX + 1];
    bool closed;       /* and not only lost */
    uint64_t last_seq; /* on disk */
    int64_t last_step; /* of its last checkpoint on disk; -1: none */
};

/* Where a member's next window of a layer begins. */
struct stored_total {
    size_t member; /* its place in the answer's members */
    size_t layer;  /* and in its layers */
    uint64_t batch_seq;
    uint64_t rows_offered;
    uint64_t rows_thinned;
};

/* Filled by the store for RECORD_OPEN; for RECORD_REPLAY the layers' names and the watches. */
struct open_result {
    int64_t run_key; /* the store's number for the run; every later record carries it */
    uint32_t attempt;
    bool created;       /* the run is new */
    bool is_older;      /* the attempt is not the newest: a replay goes on with it */
    uint64_t last_seq;  /* last control sequence on disk for this attempt */
    bool has_last_step; /* any checkpoint of the run on disk */
    int64_t last_step;
    struct stored_layer *layers; /* of the run; owned by the record */
    size_t n_layers;
    bool has_cut;                  /* its members have marked a step, */
    int64_t cut_step;              /*   the last one that is on disk */
    struct stored_member *members; /* of an attempt that has members; owned by the record */
    size_t n_members;
    struct stored_total *totals; /* theirs; owned by the record */
    size_t n_totals;
    struct watch *scalar_watch; /* of REPLAY; owned by the record */
};

/* One layer's share of a checkpoint. */
struct layer_point {
    char layer[LAYER_NAME_MAX + 1];
    uint64_t batch_seq;    /* last batch the checkpoint covers */
    uint64_t rows_offered; /* rows offered up to it; not measured: up to where the window begins */
    uint64_t rows_thinned; /* the same of those that were thinned out */
    bool measured;         /* false: no row in the window, only the two totals above are kept */
    struct point point;
    struct spectrum *spectrum; /* owned; NULL: none was made, or asked for */
    struct probe probe;        /* owned; of the layer's first window, else without rows */
    struct representation representation; /* owned; without rows: not of a probe's window */
    enum probe_problem probe_problem;     /* with FLAG_PROBE_DIFFERS: why; in memory only */
    uint64_t
        feed_seq; /* filled by the store when measured: place in the order of all things stored */
    size_t n_findings;                        /* transitions that it completed, or that returned */
    struct finding findings[RUN_WATCHED_MAX]; /* the store fills in the accuracies */
};

struct run;           /* run.h */
struct journal_entry; /* run.h */
struct member;        /* member.h */

/* A member for which a record speaks. */
struct record_sender {
    uint32_t rank;
    uint64_t seq;          /* its control sequence; 0 for JOIN and LOST */
    struct member *member; /* the core's own, as the two below */
    unsigned epoch;        /* which of the member's writers it was */
    uint64_t peer;         /* whom to acknowledge, when it is on disk; 0: nobody waits */
};

/* How much a member had offered when the window of a point was cut. */
struct record_total {
    size_t point; /* its place in the record */
    uint32_t rank;
    uint64_t batch_seq;
    uint64_t rows_offered;
    uint64_t rows_thinned;
};

struct record {
    struct list link; /* in the store lane's queue */
    enum record_kind kind;
    char run[RUN_ID_MAX + 1];
    int64_t run_key;               /* all but RECORD_OPEN */
    uint32_t attempt;              /* all but RECORD_OPEN */
    uint64_t seq;                  /* control sequence; 0 for OPEN, JOIN and LOST */
    struct record_sender *senders; /* of a run with members: of a CHECKPOINT all that have marked
                                      the step, else one. NULL in a run without */
    size_t n_senders;
    int64_t step; /* CHECKPOINT, SPECTRUM, LOG, RECALL */
    bool implied; /* CHECKPOINT, LOG: the trainer gave no step, so the attempt has not begun */
    double time;  /* seconds since 1970 */
    bool failed;  /* CLOSE: the trainer said "failed" */

    struct record_open open;    /* OPEN; of REPLAY what is watched */
    struct open_result opened;  /* OPEN, filled by the store */
    struct layer_point *points; /* CHECKPOINT, SPECTRUM; RECALL, filled by the store */
    size_t n_points;
    struct record_total *totals; /* CHECKPOINT of a run with members, in place of the points' own.
                                    Those of a point that is not measured do not count */
    size_t n_totals;
    double reported[METRIC_COUNT]; /* CHECKPOINT: by the trainer, for each point; NaN: not */
    char *constants;               /* SUMMARY, CONFIG: JSON object */
    struct scalar *scalars;        /* LOG */
    uint64_t *scalar_feed_seqs;    /* LOG, filled by the store; as long as scalars */
    size_t n_scalars;
    size_t n_findings; /* LOG: transitions that it completed, or that returned. SUMMARY, filled by
                          the store: alerts */
    struct finding findings[RUN_WATCHED_MAX];

    /* The outcome, filled by the store: 0, or -EEXIST (RESUME_NEVER), -ENOENT (RESUME_MUST),
     * -EBUSY (attempt held by another writer), -EALREADY (an attempt is open, which a
     * replay would end), -ESTALE (a newer attempt exists), -EIDRM (OPEN: a person has
     * deleted the run), -EACCES (OPEN: it is in no project of the key), -E2BIG (the
     * constants of the run would be too large; the message is done with), -EIO and other errors of
     * the disk, with their sentence; see record_may_come_again. */
    int rc;
    char error[256];

    union {                          /* the core's own: what waits for this record */
        struct run *opening;         /* OPEN */
        struct journal_entry *entry; /* all others */
    };
};

/* Frees what it owns, and zeroes it. */
void open_result_release(struct open_result *);

/* Whether what the store answered heals by itself, so that the same record is stored later: no
 * space, no memory, or another process has the file locked (-EAGAIN). */
bool record_may_come_again(int rc);

/* Whether the list "a,b" has the project; NULL has every one. */
bool record_projects_have(const char *projects, const char *project);

/* A zeroed record of that kind (free with record_free), or NULL. */
struct record *record_new(enum record_kind kind, const char *run);

/* Frees the points with their spectra; the record has none then. */
void record_drop_points(struct record *);
/* Frees the alerts that the store found in it; it has none then. */
void record_drop_alerts(struct record *);
/* Bytes that it counts while it waits for the disk (RUN_UNSTORED_BYTES_MAX). */
size_t record_size(const struct record *);
/* Frees the record and all it owns. NULL is fine. */
void record_free(struct record *);
