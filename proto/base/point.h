/* What richd records: a point, the result of a checkpoint for one layer, and a scalar that the
 * trainer logged. Here is the one list of a point's members: the struct, the store's columns, the
 * JSON object, the columns of series.query and richctl's rows come from it, and tests hold FEED.md
 * and the Python client to it. Constant data and plain values; any thread. What the members mean is
 * in FEED.md.
 *
 * A new member is a row here, a line in FEED.md, and the code that computes it. The store adds its
 * column by itself; in points that are older, a number is NaN, a step is -1 and a count is 0.
 * Tested by test_model_json.c, test_store.c and test_history.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/limits.h"
#include "proto/base/metric.h"

/* FIELD(name, KIND, PLACE, sentence), and the rows of METRICS as MEASURE(...), in the order of the
 * JSON object. */
#define POINT_FIELDS(FIELD, MEASURE)                                                               \
    FIELD(step, STEP, ROW, "the training step of the checkpoint")                                  \
    FIELD(time, NUMBER, ROW, "seconds since 1970")                                                 \
    FIELD(n, NUMBER, ROW, "rows in the window; effective rows when weighted")                      \
    FIELD(rows_missing, COUNT, ROW, "rows that were offered for this window and never arrived")    \
    FIELD(rows_thinned, COUNT, ROW, "rows of this window that the trainer thinned out evenly")     \
    FIELD(ranks_missing, COUNT, ROW, "ranks of the job whose rows it was made without")            \
    FIELD(rows_from, STEP, ROW, "step of the window's first batch; -1: not known")                 \
    FIELD(rows_to, STEP, ROW, "step of the window's last batch; -1: not known")                    \
    FIELD(p, SIZE, LAYER, "features")                                                              \
    FIELD(c, SIZE, LAYER, "outputs")                                                               \
    FIELD(rank, SIZE, ROW, "r, rank of the centred outputs")                                       \
    FIELD(classes_seen, COUNT, ROW, "classes with a row in the window; 0 without labels")          \
    FIELD(class_rows_min, COUNT, ROW, "rows of the class that has the fewest; 0 without labels")   \
    METRICS(MEASURE)                                                                               \
    FIELD(flags, FLAGS, ROW, "bits of enum flag")

/* How a member is held, and how it is written down. */
enum point_kind {
    POINT_KIND_STEP,   /* an integer; null below 0 */
    POINT_KIND_COUNT,  /* an integer */
    POINT_KIND_SIZE,   /* a small integer */
    POINT_KIND_NUMBER, /* null when it is not finite */
    POINT_KIND_FLAGS,  /* bits by flag_table; JSON has their names */
};

#define POINT_TYPE_STEP   int64_t
#define POINT_TYPE_COUNT  uint64_t
#define POINT_TYPE_SIZE   uint32_t
#define POINT_TYPE_NUMBER double
#define POINT_TYPE_FLAGS  uint32_t

/* Where the store has a member. */
enum point_place {
    POINT_PLACE_ROW,   /* in the point's own row */
    POINT_PLACE_LAYER, /* in its layer's: the same for all points of the layer */
};

struct point {
#define FIELD(name, KIND, PLACE, sentence) POINT_TYPE_##KIND name;
#define MEASURE(...)
    POINT_FIELDS(FIELD, MEASURE)
#undef FIELD
#undef MEASURE
    double value[METRIC_COUNT]; /* the measures; NaN: not available */
};

/* The members by number: POINT_step, and POINT_D_LR for a measure. */
enum point_member {
#define FIELD(name, KIND, PLACE, sentence) POINT_##name,
#define MEASURE(ENUM, ...)                 POINT_##ENUM,
    POINT_FIELDS(FIELD, MEASURE)
#undef FIELD
#undef MEASURE
        POINT_MEMBER_COUNT
};

struct point_field {
    const char *name; /* as in JSON, and the column in the store */
    enum point_kind kind;
    enum point_place place;
    int metric;              /* -1: no measure */
    size_t offset;           /* in struct point */
    const char *description; /* one sentence */
};

/* By enum point_member. */
extern const struct point_field point_table[POINT_MEMBER_COUNT];

/* A member's value: of the kinds that are integers, and of a NUMBER. */
int64_t point_integer(const struct point *, const struct point_field *);
double point_number(const struct point *, const struct point_field *);
void point_set_integer(struct point *, const struct point_field *, int64_t value);
void point_set_number(struct point *, const struct point_field *, double value);

struct scalar {
    char name[SCALAR_NAME_MAX + 1];
    double value; /* NaN: was not finite */
};
