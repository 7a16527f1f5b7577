/* One layer of one attempt: its moments, the FIFO of batches and checkpoint marks, and the one job
 * that may be out with a worker. A mark is measured when everything before it in the FIFO has been
 * folded, so it measures exactly the batches sent before it. Belongs to the loop; while a job is
 * out, moments, fold and the batches of the job belong to the workers. It decides nothing about
 * runs or credit. layer_memory.c makes and frees it. Tested with its files by test_layer.c.
 *
 *             start                  job done
 *     IDLE ----------> FOLDING ------------------> IDLE
 *       |  ----------> ABSORBING ----------------> IDLE
 *        \ ----------> MEASURING ----------------> IDLE
 *                          |                        ^
 *                          '---> DECOMPOSING -------'   where a large spectrum follows its point
 */
#pragma once

#include "daemon/core/detect/watch.h"
#include "daemon/core/monitor/job.h"
#include "proto/base/policy.h"

struct window {
    enum window_kind kind;
    double half_life_rows; /* of EXPONENTIAL; else 0: nothing is forgotten */
};

struct run;           /* run.h */
struct journal_entry; /* run.h */

/* A checkpoint's place in one layer's FIFO. */
struct mark {
    struct queued queued;
    struct journal_entry *entry;           /* the checkpoint it belongs to */
    struct point *point;                   /* where the result goes */
    struct spectrum **spectrum;            /* and where the decomposition goes, NULL before */
    struct probe *probe;                   /* and the first window's probe, without rows before */
    struct representation *representation; /* and this window's, without rows before */
    enum probe_problem *problem;           /* and why there is no likeness to it */
    struct spectrum_wish wish;
    uint64_t
        rows_offered; /* by all members up to it; not measured: up to where the window begins */
    uint64_t rows_thinned; /* by all members up to it; not measured: as rows_offered */
    bool measured;         /* false: there was no row to measure, and the window goes on */
};

enum layer_state {
    LAYER_IDLE,
    LAYER_FOLDING,
    LAYER_ABSORBING,
    LAYER_MEASURING,
    LAYER_DECOMPOSING,
};

/* A spectrum that takes long follows its point, which is on disk meanwhile. */
struct later {
    struct spectrum_wish wish;
    uint64_t number;   /* the owner's: which checkpoint it is of */
    struct point told; /* as it is on disk */
    struct point more; /* the same, measured with the spectrum */
    struct spectrum *spectrum;
    struct probe probe; /* none: the first measurement took it */
    enum probe_problem problem;
};

/* How far the batches of one member have come, in one layer. */
struct source {
    uint64_t last_seq;     /* last batch number that entered */
    uint64_t rows_offered; /* through that batch */
    uint64_t rows_thinned; /* up to the last mark */
};

struct layer {
    struct list link; /* in its run */
    struct run *run;
    char name[LAYER_NAME_MAX + 1];
    uint32_t p;
    uint32_t c;
    uint32_t k; /* targets or classes, by the first batch of this attempt; 0: none */
    bool targets_are_labels;
    struct window window;
    struct projector projector; /* the run's policy; AUTO until the first point decides */
    enum layer_state state;
    bool has_memory; /* moments and fold are allocated: from the first batch on */
    struct moments moments;
    struct reservoir *reservoir; /* rows beside the moments, which borrow it */
    struct classes *classes;     /* sums by label, borrowed too; NULL: no labels */
    struct head *head;           /* NULL: outputs come with the rows. A checkpoint uses it up */
    struct fold_line *fold;
    struct precision precision; /* coarsest formats in the window */
    bool is_inner;              /* a deeper layer has the same outputs: messages of this attempt */
    bool has_probe;             /* the rows of each window are the same */
    struct probe probe;         /* the first window's; without rows before */
    uint32_t follows_p;         /* of more features a spectrum follows its point */
    double counted_bytes;       /* the owner's: what its budget was charged for this layer */

    struct list queue; /* of struct queued */
    size_t n_marks;    /* in the queue */
    uint64_t queued_rows;
    size_t queued_bytes;
    size_t held_bytes; /* queued or in the job */
    size_t row_at;     /* rows of the queue's first batch that are folded already */
    bool flush;        /* fold what is there without waiting for a full block */
    bool starved;      /* no memory to measure: nothing starts until the owner resets this */

    struct source *sources; /* one a member, by its place */
    size_t n_sources;
    size_t head_place;       /* of the member whose head the window takes, n_sources: none yet */
    uint64_t rows_offered;   /* by all of them */
    uint64_t window_offered; /* rows offered when the window began */
    uint64_t window_rows;    /* rows that entered it */
    uint64_t rows_thinned;   /* by all members; in no batch, and not among those offered */
    uint64_t window_thinned; /* rows thinned when the window began */
    int64_t rows_from;       /* steps of the first and the last batch in the moments; */
    int64_t rows_to;         /*   -1 before the first */

    struct watch *watch; /* over this attempt's points */

    struct list in_job; /* batches that the job reads to their end */
    struct mark *measuring;
    struct later *later; /* NULL: no spectrum follows */
    struct job job;
};

/* A layer without memory yet, with a source for one member. Returns it (free with layer_free), or
 * NULL. */
struct layer *layer_new(struct run *, const char *name, uint32_t p, uint32_t c, struct window,
                        struct projector, const struct watch_list *);

/* Makes room for the sources of so many members. Returns 0 or -ENOMEM. */
int layer_reserve_sources(struct layer *, size_t n);
/* The member's batches are numbered from the beginning again. */
void layer_forget_source(struct layer *, size_t place);

/* Whether the batch has the shape of the layer and, once there is memory, its targets and its way
 * to the outputs. Returns 0, or -EINVAL with what differs. */
int layer_check(const struct layer *, const struct batch *, struct err *why);

/* Bytes that moments, kept rows, fold, head and, if wanted, a probe will take for batches like this
 * one. */
double layer_size_bytes(const struct batch *, size_t n_workers, bool with_probe);

/* How many of the batch's classes get room where so many bytes are left, 0 without labels, and the
 * bytes that they take at most, as they occur. */
size_t layer_n_classes(const struct batch *, double room_bytes);
double layer_classes_bytes(const struct batch *, size_t n_classes);

/* Allocates them, once, for batches like this one, whose shape is the layer's from now on. Returns
 * 0 or -ENOMEM. */
int layer_allocate(struct layer *, const struct batch *first, size_t n_workers, size_t n_classes);

/* Frees an idle layer with an empty queue. NULL is fine. */
void layer_free(struct layer *);

enum layer_answer {
    LAYER_QUEUES,      /* the batch is the layer's until its job is done */
    LAYER_PASSES_OVER, /* it was here before, its checkpoint was, it has no row, or the window has
                          the head of another member */
    LAYER_REFUSES,     /* its numbers cannot be true */
};

/* Offers a batch of the member at `place` that layer_check found good, to a layer with memory.
 * `why`: of LAYER_REFUSES. */
enum layer_answer layer_offer(struct layer *, size_t place, struct batch *, struct err *why);
/* Whether a member's totals of batches and rows are those of its batches before, or more by what
 * may be lost. */
bool layer_totals_follow(const struct layer *, size_t place, uint64_t seq, uint64_t rows);
/* The member has offered so much: its batches up to these totals are passed over from now on. */
void layer_note_totals(struct layer *, size_t place, uint64_t seq, uint64_t rows);
/* The member has thinned out so many rows in all, as its mark says. Fewer than before, or a jump
 * that cannot be true, count as none. */
void layer_note_thinned(struct layer *, size_t place, uint64_t rows);
/* Puts the mark into the FIFO, behind all that was offered; it stays the caller's and must outlive
 * its measurement. */
void layer_push_mark(struct layer *, struct mark *);

/* The next job, or NULL when the layer is busy or should rather wait for more rows. A block is
 * started when it is full, when a mark waits behind it, or on flush. */
struct job *layer_start(struct layer *);

/* What came home with a job. */
struct layer_done {
    struct job *next;      /* the job goes on with a spectrum: lend it again */
    struct list *finished; /* batches to release; the refused among them say why */
    struct mark *mark;     /* measured, or found empty; with `next` its spectrum follows */
    bool has_decomposed;   /* which the owner finds in `later` and drops */
    int rc; /* -ENOMEM: the moments were not merged, or the mark is in the queue again */
};

/* The job is back. `finished` is the caller's list and gets the batches. */
void layer_job_done(struct layer *, struct list *finished, struct layer_done *out);

/* Forgets the spectrum that followed its point. */
void layer_drop_later(struct layer *);

/* The job was lent and cannot be carried out, for want of memory: what it read goes to `finished`
 * and counts as missing, the mark it was to measure is forgotten, and nothing starts until the
 * owner resets `starved`. For a daemon that is about to end. */
void layer_drop_job(struct layer *, struct list *finished);

/* Empties the queue of an attempt that is over: batches to `finished`; marks are forgotten. Returns
 * the bytes that were queued. */
size_t layer_clear_queue(struct layer *, struct list *finished);
