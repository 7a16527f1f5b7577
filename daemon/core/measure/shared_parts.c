#include "daemon/core/measure/shared_parts.h"

#include <assert.h>

#include "daemon/core/measure/leading.h"

void shared_parts_init(struct shared_parts *shared)
{
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->made, NULL);
    for (size_t i = 0; i < SHARED_PARTS; i++)
        shared->state[i] = SHARED_OPEN;
}

void shared_parts_release(struct shared_parts *shared)
{
    pthread_cond_destroy(&shared->made);
    pthread_mutex_destroy(&shared->lock);
}

void shared_parts_open(struct shared_parts *shared)
{
    for (size_t i = 0; i < SHARED_PARTS; i++) {
        assert(shared->state[i] != SHARED_IN_WORK);
        shared->state[i] = SHARED_OPEN;
    }
}

static bool claim(struct shared_parts *shared, enum shared_part part)
{
    bool is_open;

    pthread_mutex_lock(&shared->lock);
    is_open = shared->state[part] == SHARED_OPEN;
    if (is_open)
        shared->state[part] = SHARED_IN_WORK;
    pthread_mutex_unlock(&shared->lock);
    return is_open;
}

void shared_parts_make(struct shared_parts *shared, enum shared_part part, const struct moments *m,
                       struct precision precision)
{
    int rc;

    if (!claim(shared, part))
        return;
    rc = part == SHARED_VIEWS ? views_measure(m, precision, false, &shared->views)
                              : leading_eigenvalue(m, NULL, &shared->leading);
    pthread_mutex_lock(&shared->lock);
    shared->rc[part] = rc;
    shared->state[part] = SHARED_MADE;
    pthread_cond_signal(&shared->made);
    pthread_mutex_unlock(&shared->lock);
}

int shared_parts_take(struct shared_parts *shared, enum shared_part part, const struct moments *m,
                      struct precision precision)
{
    int rc;

    shared_parts_make(shared, part, m, precision);
    pthread_mutex_lock(&shared->lock);
    while (shared->state[part] != SHARED_MADE)
        pthread_cond_wait(&shared->made, &shared->lock);
    rc = shared->rc[part];
    pthread_mutex_unlock(&shared->lock);
    return rc;
}
