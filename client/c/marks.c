/* Marks: checkpoints, scalars and the close, and what became of them. Only a checkpoint with a
 * timeout and the close wait here. */
#include "include/richd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/c/run.h"
#include "proto/base/clock.h"

/* ---- waiting -------------------------------------------------------------------------------- */

/* The clock is cut to whole milliseconds: one more, so that no wait is too short. */
static struct timespec deadline_after(int timeout_ms)
{
    int64_t ms = clock_monotonic_ms() + timeout_ms + 1;

    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Waits under the lock for the next message of the daemon. Returns 0, or -ETIMEDOUT; at once while
 * the daemon is known to be away. */
static int wait_for_news(struct richd_run *run, const struct timespec *deadline)
{
    if (session_is_absent(run->shared.session))
        return -ETIMEDOUT;
    return -pthread_cond_timedwait(&run->shared.settled, &run->shared.lock, deadline);
}

/* Waits under the lock until the ticket is settled. */
static int await(struct richd_run *run, struct ticket *ticket, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    int rc = 0;

    while (!ticket->settled && rc == 0)
        rc = wait_for_news(run, &deadline);
    session_abandon(ticket);
    return ticket->settled ? ticket->rc : -ETIMEDOUT;
}

int richd_checkpoint(struct richd_run *run, int64_t step, int timeout_ms,
                     struct richd_points **points)
{
    return richd_checkpoint_with(run, step, NULL, timeout_ms, points);
}

static int check_scalars(const struct richd_scalar *scalars, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!scalars || !scalars[i].name)
            return -EINVAL;
    }
    return 0;
}

int richd_checkpoint_with(struct richd_run *run, int64_t step, const struct richd_extras *given,
                          int timeout_ms, struct richd_points **points)
{
    struct richd_extras extras = RICHD_EXTRAS;
    bool waits = timeout_ms > 0;
    struct ticket ticket = {.wants_points = waits && points};
    struct err err = {""};
    int rc = run_check(run);

    run_overlay(&extras, sizeof extras, given);
    if (points)
        *points = NULL;
    if (rc == 0)
        rc = check_scalars(extras.metrics, extras.n_metrics);
    if (rc < 0)
        return rc;
    run_lock(run);
    rc = session_checkpoint(run->shared.session, step, clock_wall_s(), &extras,
                            waits ? &ticket : NULL, &err);
    if (rc == 0) {
        sender_wake(run->sender);
        rc = waits ? await(run, &ticket, timeout_ms) : 0;
    }
    run_unlock(run, rc, &err);
    if (rc == 0 && ticket.wants_points && !ticket.points)
        return -ENOMEM;
    if (points)
        *points = ticket.points;
    return rc;
}

int richd_log(struct richd_run *run, int64_t step, const struct richd_scalar *scalars,
              size_t n_scalars)
{
    struct err err = {""};
    int rc = run_check(run);

    if (rc == 0)
        rc = check_scalars(scalars, n_scalars);
    if (rc < 0)
        return rc;
    run_lock(run);
    rc = session_log(run->shared.session, step, clock_wall_s(), scalars, n_scalars, &err);
    if (rc == 0)
        sender_wake(run->sender);
    return run_unlock(run, rc, &err);
}

/* The object that the text is, or NULL. */
static cJSON *parse_constants(const char *json)
{
    cJSON *values = json ? json_parse(json, strlen(json), NULL) : NULL;

    if (values && !cJSON_IsObject(values)) {
        cJSON_Delete(values);
        return NULL;
    }
    return values;
}

static int say_constants(struct richd_run *run, const char *json,
                         int (*say)(struct session *, const cJSON *, struct err *))
{
    struct err err = {""};
    cJSON *values;
    int rc = run_check(run);

    if (rc < 0)
        return rc;
    values = parse_constants(json);
    if (!values)
        return -EINVAL;
    run_lock(run);
    rc = say(run->shared.session, values, &err);
    if (rc == 0)
        sender_wake(run->sender);
    cJSON_Delete(values);
    return run_unlock(run, rc, &err);
}

int richd_config(struct richd_run *run, const char *json)
{
    return say_constants(run, json, session_config);
}

int richd_summary(struct richd_run *run, const char *json)
{
    return say_constants(run, json, session_summary);
}

/* ---- what became of it --------------------------------------------------------------------- */

int richd_stats(struct richd_run *run, struct richd_stats *stats, size_t stats_size)
{
    struct richd_stats all;
    int rc = run_check(run);

    if (rc < 0)
        return rc;
    run_lock(run);
    session_stats(run->shared.session, &all);
    run_unlock(run, 0, NULL);
    all.bytes_held = atomic_load_explicit(&run->held, memory_order_relaxed);
    memset(stats, 0, stats_size);
    memcpy(stats, &all, stats_size < sizeof all ? stats_size : sizeof all);
    return 0;
}

int richd_last_error(struct richd_run *run, char *text, size_t text_size)
{
    int rc = run_check(run);

    if (text && text_size > 0)
        text[0] = '\0';
    if (rc < 0)
        return rc;
    run_lock(run);
    if (text && text_size > 0)
        snprintf(text, text_size, "%s", session_complaint(run->shared.session));
    return run_unlock(run, session_ended(run->shared.session), NULL);
}

/* Marks are acknowledged in order, so the ack of the close stands for all. Only a mark that waits
 * to be sent again (EIO) may come after it, and the close waits for it. */
static int await_all(struct richd_run *run, struct ticket *ticket, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    struct richd_stats stats;
    int rc = await(run, ticket, timeout_ms);

    session_stats(run->shared.session, &stats);
    while (rc == 0 && stats.marks_waiting > 0) {
        rc = wait_for_news(run, &deadline);
        session_stats(run->shared.session, &stats);
    }
    return rc;
}

int richd_close(struct richd_run *run, enum richd_status status, int timeout_ms)
{
    struct ticket ticket = {.settled = false};
    struct err err = {""};
    int rc = run_check(run);

    if (rc < 0)
        return rc;
    run_lock(run);
    rc = session_close(run->shared.session,
                       status == RICHD_FINISHED ? CONTROL_FINISHED : CONTROL_FAILED, &ticket, &err);
    if (rc == 0) {
        sender_wake(run->sender);
        rc = await_all(run, &ticket, timeout_ms > 0 ? timeout_ms : 0);
    }
    run_unlock(run, rc, &err);
    run_release(run);
    return rc;
}
