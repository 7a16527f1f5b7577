#include <errno.h>
#include <stdlib.h>

#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "daemon/loop/parts.h"
#include "daemon/store/aside.h"

/* Tested by tests/e2e/durable/test_a_lock_of_another_process_is_waited_for.py and
 * test_damage_is_found_told_and_repaired.py. */

/* A backup may hold the file for so long; each try waits for SQL_BUSY_TIMEOUT_MS. */
#define LOCKED_TRIES 24

/* Damage that a query meets is looked for, but not more often. */
#define CHECK_PAUSE_TICKS 60

/* ---- opening --------------------------------------------------------------------------------- */

/* No trainer is connected yet, and their clients keep what they have for us. */
static int open_when_unlocked(struct loop *loop, struct err *err)
{
    int rc = -EAGAIN;

    for (int i = 0; rc == -EAGAIN && i < LOCKED_TRIES; i++) {
        rc = store_lane_open(&loop->uv, loop->store_path, loop_on_stored, loop, &loop->store, err);
        if (rc == -EAGAIN && i == 0)
            log_warn("the start waits for another process: %s", err->text);
    }
    return rc;
}

/* A history that is damaged beyond repair is set aside, by name, and a new one is started; never
 * silently. */
static int open_or_set_aside(struct loop *loop, struct err *err)
{
    char aside[4096];
    int rc = open_when_unlocked(loop, err);

    if (rc != -EUCLEAN)
        return rc;
    log_error("%s", err->text);
    rc = store_set_aside(loop->store_path, aside, sizeof aside, err);
    if (rc < 0)
        return rc;
    err_set(&loop->history_problem, rc, "the damaged history is kept as %s; a new one begins",
            aside);
    log_error("%s", loop->history_problem.text);
    return open_when_unlocked(loop, err);
}

/* Sentences of the store that were not logged yet. */
static void log_notes(struct loop *loop)
{
    const struct store_notes *notes = store_lane_notes(loop->store);

    for (; loop->n_notes < notes->n; loop->n_notes++)
        log_error("history: %s", notes->text[loop->n_notes]);
}

static void on_repaired(void *arg)
{
    struct loop *loop = arg;

    log_notes(loop);
    readers_reopen(loop->readers);
    store_check_free(loop->check); /* what it would find is in the old file */
    loop->check = NULL;
    loop->history = HISTORY_UNCHECKED; /* the new file is read, too */
    loop->history_problem.text[0] = '\0';
    loop->check_pause_ticks = 0;
}

int loop_open_store(struct loop *loop, struct err *err)
{
    int rc;

    loop->store_path = paths_join(loop->state_dir, STORE_FILE);
    if (!loop->store_path)
        return err_set(err, -ENOMEM, "out of memory");
    rc = open_or_set_aside(loop, err);
    if (rc < 0)
        return rc;
    log_notes(loop);
    store_lane_on_repaired(loop->store, on_repaired);
    return readers_open(&loop->uv, loop->store_path, &loop->readers, err);
}

/* ---- the check beside the work --------------------------------------------------------------- */

static void start_check(struct loop *loop)
{
    struct err err;

    loop->check_pause_ticks = CHECK_PAUSE_TICKS;
    if (store_check_start(loop->store_path, loop->check_hurries, &loop->check, &err) == 0)
        loop->history = HISTORY_CHECKING;
    else
        log_warn("the history is not checked: %s", err.text);
}

/* The machine is busy, and the lowest priority got too little of it. */
static void read_again(struct loop *loop, const struct err *err)
{
    log_info("the history is read again, with more haste: %s", err->text);
    loop->check_hurries = true;
    loop->history = HISTORY_UNCHECKED;
}

static void take_result(struct loop *loop, int rc, const struct err *err)
{
    store_check_free(loop->check);
    loop->check = NULL;
    if (rc == -EAGAIN && !loop->check_hurries) {
        read_again(loop, err);
        return;
    }
    if (rc == 0) {
        loop->history = HISTORY_SOUND;
        log_info("the history was read and is sound");
        return;
    }
    loop->history = rc == -EUCLEAN ? HISTORY_DAMAGED : HISTORY_UNKNOWN;
    err_set(&loop->history_problem, rc, "the history %s: %s",
            rc == -EUCLEAN ? "is damaged" : "could not be checked", err->text);
    log_error("%s", loop->history_problem.text);
    if (rc == -EUCLEAN && loop->n_repairs++ == 0)
        store_lane_repair(loop->store);
}

/* What readers have met since the last check began is forgotten when the next one begins. */
static bool is_check_wanted(const struct loop *loop)
{
    bool is_damaged = readers_take_damage(loop->readers);

    return is_damaged || loop->history == HISTORY_UNCHECKED;
}

void loop_check_store(struct loop *loop)
{
    struct err err = {0};
    int rc = loop->check ? store_check_result(loop->check, &err) : 1;

    if (loop->check_pause_ticks > 0)
        loop->check_pause_ticks--;
    if (loop->check && rc < 1)
        take_result(loop, rc, &err);
    else if (!loop->check && loop->check_pause_ticks == 0 && is_check_wanted(loop))
        start_check(loop);
}

const char *loop_history_state(const struct loop *loop)
{
    static const char *const names[] = {
        [HISTORY_UNCHECKED] = "unchecked", [HISTORY_CHECKING] = "checking",
        [HISTORY_SOUND] = "sound",         [HISTORY_DAMAGED] = "damaged",
        [HISTORY_UNKNOWN] = "unknown",
    };

    return names[loop->history];
}
