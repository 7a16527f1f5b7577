/* Parts of a point that need nothing that the rest finds, each made by the first of two workers who
 * comes for it: the one that makes the point, who needs them all at last, and one beside it, who
 * does nothing else (measure.h). Owns the results; borrows the moments while a worker is in a call.
 * Whether the second one comes at all changes no value. Tested by test_shared_parts.c. */
#pragma once

#include <pthread.h>

#include "daemon/core/measure/views.h"

enum shared_part {
    SHARED_VIEWS,   /* half of the time of a point at p = 1024 */
    SHARED_LEADING, /* a quarter at p = 256 */
    SHARED_PARTS,
};

enum shared_state {
    SHARED_OPEN,    /* nobody has come */
    SHARED_IN_WORK, /* one makes it */
    SHARED_MADE,
};

struct shared_parts {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t made;
    enum shared_state state[SHARED_PARTS];
    int rc[SHARED_PARTS];
    struct views views;
    double leading;
};

void shared_parts_init(struct shared_parts *);
void shared_parts_release(struct shared_parts *);

/* For the next window. No worker is in a call. */
void shared_parts_open(struct shared_parts *);

/* Of moments with X'X, and outputs for the views. The worker beside: makes the part, unless the
 * other one has begun. */
void shared_parts_make(struct shared_parts *, enum shared_part, const struct moments *,
                       struct precision);
/* The worker of the point: makes the part, or sleeps until the other one has. The result is in the
 * member then. Returns as views_measure (not at any cost) or leading_eigenvalue. */
int shared_parts_take(struct shared_parts *, enum shared_part, const struct moments *,
                      struct precision);
