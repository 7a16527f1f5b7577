/* librichd: a training program's way to richd. It never blocks the training loop, never prints,
 * never raises, and holds no more memory than its options allow. A daemon that is absent, stopped
 * or restarted costs points, not training time. Every function may be called from any thread. One
 * rule holds: no other call of a run may run beside or after its richd_close. The daemon's manual
 * says what is measured, and what the points mean.
 *
 *     struct richd_options options = RICHD_OPTIONS;
 *     options.name = "wd1-seed0";
 *     struct richd_run *run = richd_connect(&options, NULL, 0);
 *     ...
 *     richd_submit(run, &batch);             // each training step, or every few
 *     richd_checkpoint(run, step, 0, NULL);  // when a point is wanted
 *     richd_close(run, RICHD_FINISHED, 2000);
 *
 * Functions return 0 or -errno. All of them take a run that is NULL, do nothing and return -EINVAL,
 * so that a program need not check richd_connect. In a child after fork() all of them do nothing
 * and return -ECHILD. */
#ifndef RICHD_H
#define RICHD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RICHD_API __attribute__((visibility("default")))

struct richd_run;

enum richd_resume {
    RICHD_RESUME_ALLOW, /* a run that exists goes on in a new attempt */
    RICHD_RESUME_MUST,  /* it has to exist */
    RICHD_RESUME_NEVER, /* it must not */
};

/* What a checkpoint is computed over. */
enum richd_window {
    RICHD_WINDOW_CHECKPOINT,  /* the rows since the last checkpoint */
    RICHD_WINDOW_EXPONENTIAL, /* all rows, older ones forgotten with half_life_rows */
    RICHD_WINDOW_CUMULATIVE,  /* all rows */
};

/* Which part of the outputs d_lr and u are measured against (FEED.md, Projectors). */
enum richd_projector {
    RICHD_PROJECTOR_AUTO,  /* the span while there are fewer outputs than features, else the top */
    RICHD_PROJECTOR_SPAN,  /* all of it */
    RICHD_PROJECTOR_TOP,   /* the leading directions: projector_k, or with a share of the energy */
    RICHD_PROJECTOR_RIDGE, /* shrunk by projector_lambda, in units of the largest eigenvalue */
};

enum richd_dtype {
    RICHD_NONE,
    RICHD_F32,
    RICHD_F64,
    RICHD_F16,
    RICHD_BF16,
    RICHD_I32, /* labels */
    RICHD_I64, /* labels */
};

enum richd_status {
    RICHD_FINISHED,
    RICHD_FAILED,
};

/* Start from RICHD_OPTIONS and set what differs; every text is copied. */
struct richd_options {
    size_t struct_size;      /* set by RICHD_OPTIONS; later versions add members at the end */
    const char *run_id;      /* 1 to 64 of A-Z a-z 0-9 . _ -; NULL: made from the name */
    const char *name;        /* NULL: the run's id */
    const char *project;     /* NULL: "default" */
    const char *group;       /* NULL: none */
    const char *const *tags; /* ended by NULL; NULL: none */
    const char *config_json; /* a JSON object; NULL: none */
    enum richd_resume resume;
    enum richd_window window;
    double half_life_rows;   /* for RICHD_WINDOW_EXPONENTIAL */
    const char *endpoint;    /* a ZeroMQ address; NULL: RICHD_ENDPOINT, or found */
    const char *runtime_dir; /* where endpoints.json is; NULL: RICHD_RUNTIME_DIR, or found */
    size_t queue_bytes;      /* most memory for rows on their way; 0: 64 MiB */
    int probe; /* not 0: every window of a layer has the same rows in the same order, for s_init */
    enum richd_projector projector;
    double projector_energy;        /* in (0, 1]; 0: 0.99 */
    uint32_t projector_k;           /* 0: by energy */
    double projector_lambda;        /* 0: 0.01 */
    const char *const *transitions; /* watched for transitions: measures, "scalar:NAME" what is
                                       logged; at most 4, ended by NULL, which alone means none;
                                       NULL: "d_debiased" */
    uint32_t spectrum_every;        /* have the features decomposed at the first checkpoint and each
                                       so-many-th after it; 0: when richd_checkpoint_with asks */
    uint32_t spectrum_leading;      /* only so many eigenvalues; 0: all, up to p = 4096 */
    int spectrum_uncentred;         /* not 0: the means stay in */
};
#define RICHD_OPTIONS                                                                              \
    {                                                                                              \
        sizeof(struct richd_options), NULL, NULL, NULL, NULL, NULL, NULL, RICHD_RESUME_ALLOW,      \
            RICHD_WINDOW_CHECKPOINT, 0, NULL, NULL, 0, 0, RICHD_PROJECTOR_AUTO, 0, 0, 0, NULL, 0,  \
            0, 0                                                                                   \
    }

/* Starts a run and returns at once: a thread in the background connects, and connects again when
 * the connection breaks. Without an endpoint it looks for the daemon's endpoints.json: in
 * runtime_dir or $RICHD_RUNTIME_DIR when one is set; else for the daemon of another host that
 * `richctl join` has written into $XDG_CONFIG_HOME/richd/joined or ~/.config/richd/joined, with its
 * keys; else in $XDG_RUNTIME_DIR/richd,
 * /run/user/UID/richd, /run/richd and /tmp/richd-UID. Returns the run (end it with richd_close), or
 * NULL when an option is wrong or memory ran out, with the reason in `error`, which may be NULL. */
RICHD_API struct richd_run *richd_connect(const struct richd_options *options, char *error,
                                          size_t error_size);

/* The run's id, for richctl and for resuming. Valid until richd_close; "" for NULL. */
RICHD_API const char *richd_run_id(const struct richd_run *run);

/* Rows of one layer at one step, row-major and contiguous; start from RICHD_BATCH. */
struct richd_batch {
    size_t struct_size;
    const char *layer; /* 1 to 128 bytes of UTF-8 */
    int64_t step;
    uint32_t n_rows;
    uint32_t n_features;
    uint32_t n_outputs;
    uint32_t n_targets;   /* columns of the targets, or number of classes of labels */
    const void *features; /* n_rows x n_features: the input of the last layer */
    const void *outputs;  /* n_rows x n_outputs: its linear outputs; with RICHD_NONE they do not
                             travel, and a head is submitted for them */
    const void *targets;  /* NULL; n_rows labels; or n_rows x n_targets */
    enum richd_dtype features_dtype;
    enum richd_dtype outputs_dtype;
    enum richd_dtype targets_dtype;
};
#define RICHD_BATCH                                                                                \
    {                                                                                              \
        sizeof(struct richd_batch), NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL, RICHD_F32, RICHD_F32,   \
            RICHD_NONE                                                                             \
    }

/* Copies the rows and queues them; never blocks. More than 4 MiB become several messages. Returns
 * 0, or -EAGAIN when the queue is full: what did not fit is dropped, counted in richd_stats and in
 * the next point's rows_missing. -EINVAL: the batch is malformed. After the daemon's last word (see
 * richd_last_error): -ESTALE (a newer attempt has the run), -EIDRM (a person has
 * deleted it), -EBUSY, -EEXIST, -ENOENT, -EPROTONOSUPPORT, -EACCES
 * (the key may not write into the project). */
RICHD_API int richd_submit(struct richd_run *run, const struct richd_batch *batch);

/* A linear head in place of wide outputs: R with R'R = W'W for its weights W (n_outputs x
 * n_features), the triangle of a QR decomposition. Start from RICHD_HEAD. */
struct richd_head {
    size_t struct_size;
    const char *layer;
    int64_t step;
    uint32_t n_features;
    uint32_t n_outputs;
    uint32_t n_targets;     /* as in the layer's batches, of which the targets are */
    const void *triangle;   /* n_features rows, each from its diagonal on, one after the other */
    enum richd_dtype dtype; /* RICHD_F32 or RICHD_F64 */
    enum richd_dtype targets_dtype;
    enum richd_dtype weights_dtype; /* of W, when it is coarser than R (RICHD_BF16); else NONE */
};
#define RICHD_HEAD                                                                                 \
    {                                                                                              \
        sizeof(struct richd_head), NULL, 0, 0, 0, 0, NULL, RICHD_F32, RICHD_NONE, RICHD_NONE       \
    }

/* Copies the triangle and queues it, in slices of at most 4 MiB; never blocks. Each checkpoint
 * needs a triangle of its own, submitted after the rows and before richd_checkpoint. Without it the
 * point is of the features alone, and carries the flag "no_head". Returns as richd_submit does;
 * after -EAGAIN the head is not whole. */
RICHD_API int richd_submit_head(struct richd_run *run, const struct richd_head *head);

/* The result of a checkpoint for one layer. Later versions add members at the end, so reach the
 * i-th point with richd_points_at only. */
struct richd_point {
    const char *layer;
    int64_t step;
    double time;
    double n;              /* rows in the window */
    uint64_t rows_missing; /* offered, but never arrived */
    int64_t rows_from;     /* steps of the first and the last batch in the window */
    int64_t rows_to;
    uint32_t p;    /* features */
    uint32_t c;    /* outputs */
    uint32_t rank; /* of the centred outputs */
    double d_lr;   /* 0 rich, 1 lazy; NaN: not available, as for all of these */
    double d_debiased;
    double u;
    double pr;
    const char *const *flags; /* names, ended by NULL */
};

struct richd_points;

/* How many; 0 for NULL. */
RICHD_API size_t richd_points_count(const struct richd_points *points);
/* The i-th, borrowed from `points`; NULL when there is none. */
RICHD_API const struct richd_point *richd_points_at(const struct richd_points *points, size_t i);
/* The point of a layer, or NULL. */
RICHD_API const struct richd_point *richd_points_find(const struct richd_points *points,
                                                      const char *layer);
/* Any number that the daemon sent, by its name ("d_lr", or a measure newer than this library); NaN
 * when it sent none. */
RICHD_API double richd_point_metric(const struct richd_point *point, const char *name);
/* 1 when the point carries that flag ("partial"), else 0. */
RICHD_API int richd_point_flag(const struct richd_point *point, const char *name);
/* NULL is fine. */
RICHD_API void richd_points_free(struct richd_points *points);

struct richd_scalar {
    const char *name; /* 1 to 128 bytes of UTF-8 */
    double value;     /* stored as null when it is not finite */
};

/* Marks a checkpoint: the daemon measures everything that was submitted before it, of every layer.
 * The library keeps the mark and sends it again until the daemon has it on disk. With timeout_ms =
 * 0 it returns at once; otherwise it waits that long for the points, which go to *points (free with
 * richd_points_free; `points` may be NULL, and *points is NULL unless 0 is returned). -ETIMEDOUT:
 * it is still on its way. It comes at once, so that the training loop does not wait, while the
 * daemon is known to be away: none was found for 1 s, or one that was there has been gone for 5 s.
 * -EAGAIN: 4096 of them are on their way, and this one was not taken. -EPROTO and other codes: the
 * daemon refused it. */
RICHD_API int richd_checkpoint(struct richd_run *run, int64_t step, int timeout_ms,
                               struct richd_points **points);

/* What a checkpoint may have beside its rows; start from RICHD_EXTRAS. */
struct richd_extras {
    size_t struct_size;
    const struct richd_scalar *metrics; /* measures of the whole network that only the trainer can
                                           compute, for the points of all its layers: "param_norm",
                                           "param_change", "ntk_distance", "ntk_alignment" */
    size_t n_metrics;
    int spectrum; /* not 0: decompose the features, whatever spectrum_every says */
};
#define RICHD_EXTRAS                                                                               \
    {                                                                                              \
        sizeof(struct richd_extras), NULL, 0, 0                                                    \
    }

/* The same with extras. The daemon refuses the checkpoint, with -EPROTO, when it does not know one
 * of the measures. */
RICHD_API int richd_checkpoint_with(struct richd_run *run, int64_t step,
                                    const struct richd_extras *extras, int timeout_ms,
                                    struct richd_points **points);

/* Logs up to 1024 scalars of a step. Never blocks. The library keeps them and sends them again, as
 * it does with a checkpoint. */
RICHD_API int richd_log(struct richd_run *run, int64_t step, const struct richd_scalar *scalars,
                        size_t n_scalars);

/* What holds for the whole run and has no step: `json` is an object, merged by its names into the
 * run's configuration, or into its summary, and kept over attempts. Never blocks, and is sent again
 * like a log. -EINVAL when it is no object of at most 1 MiB. The daemon refuses one that makes the
 * run's own larger than that. A member "alert: TITLE" of a summary, as
 * {"alert: loss is not finite":{"level":"warn","text":"...","step":7}}, is told at once to those
 * who listen (proto/FEED.md, EVENT). */
RICHD_API int richd_config(struct richd_run *run, const char *json);
RICHD_API int richd_summary(struct richd_run *run, const char *json);

struct richd_stats {
    uint64_t batches;         /* offered, dropped ones included */
    uint64_t rows;            /* of those batches */
    uint64_t batches_sent;    /* handed to the connection */
    uint64_t batches_dropped; /* for want of memory or credit */
    uint64_t rows_dropped;    /* of those batches */
    uint64_t batches_refused; /* by the daemon: see richd_last_error */
    uint64_t marks_waiting;   /* checkpoints, logs and the close that are not on disk yet */
    uint64_t bytes_held;      /* rows on their way */
    int connected;            /* 1 while the daemon has the run open */
};

/* Fills the first stats_size bytes; the caller gives its own sizeof(struct richd_stats). */
RICHD_API int richd_stats(struct richd_run *run, struct richd_stats *stats, size_t stats_size);

/* Copies the latest error of the daemon or of the connection; "" when there was none. Returns 0, or
 * the code with which the run was ended, as richd_submit does. */
RICHD_API int richd_last_error(struct richd_run *run, char *text, size_t text_size);

/* Says how the run ended, waits at most timeout_ms until the daemon has everything on disk (not at
 * all while it is known to be away, as in richd_checkpoint), and frees the run in any case. Returns
 * 0, -ETIMEDOUT when something was still on its way, or the code with which the run was ended. */
RICHD_API int richd_close(struct richd_run *run, enum richd_status status, int timeout_ms);

/* "0.1.0" */
RICHD_API const char *richd_version(void);

#ifdef __cplusplus
}
#endif

#endif
