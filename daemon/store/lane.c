#include "daemon/store/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/host/pulse.h"

/* Processor time that no commit needs. One takes milliseconds, and waits for the disk. A repair
 * copies all rows and syncs a whole file: were it ended, the next start would begin it again. */
#define COMMIT_CPU_S 120

/* So many commits of records go before a task, when records always wait. */
#define COMMITS_BEFORE_TASK 8

struct store_lane {
    uv_loop_t *loop;
    struct store *store;
    store_lane_cb *on_stored;
    void *arg;
    uv_work_t request;
    bool busy;
    struct pulse pulse; /* while busy */
    int rc;             /* of the last commit, with its text */
    struct err why;
    char waits[ERR_TEXT_SIZE]; /* of the last commit that came back; "": it did not fail */
    store_lane_repaired_cb *on_repaired;
    bool wants_repair;
    bool wants_sweep;         /* the next time that no record waits */
    bool is_sweep;            /* the commit is a part of that */
    bool is_trial;            /* a commit without records looks whether the store writes again */
    atomic_bool has_repair;   /* the pool's while busy: the commit has a repair in it */
    struct store_notes notes; /* of the store, as they were when nobody wrote them */
    /* All points have their blocks, or it failed. The pool's, so it stands apart from those that
     * gcc reads as one word. */
    bool is_swept;
    struct list waiting;     /* put since the running commit began */
    struct list committing;  /* the pool's while busy */
    struct list tasks;       /* that wait */
    struct store_task *task; /* the pool's while busy; NULL: none is carried out */
    bool is_cleared;         /* nothing is left of runs that have gone, or it failed */
    bool is_turn;            /* of the task, or of clearing, and of no record */
    bool is_stopped;         /* tasks do not go on */
    unsigned n_commits;      /* since the last turn */
};

static void start_commit(struct store_lane *lane);

static void apply(struct store_lane *lane)
{
    lane->rc = 0;
    if (lane->is_sweep)
        lane->is_swept = store_sweep(lane->store, NULL) <= 0;
    if (lane->is_trial || !list_empty(&lane->committing))
        lane->rc = store_apply(lane->store, &lane->committing,
                               &lane->why); /* and each record has its outcome */
}

/* A record carries few codes: those of what heals by itself, and -EIO for all else. */
static void fail(struct list *records, int rc, const char *why)
{
    LIST_EACH(at, records)
    {
        struct record *record = LIST_ENTRY(at, struct record, link);

        record->rc = record_may_come_again(rc) ? rc : -EIO;
        snprintf(record->error, sizeof record->error, "%.*s", (int)sizeof record->error - 1, why);
    }
}

/* Damage that a commit meets is repaired, and the commit tried once more: now, or, where there is
 * no space for the repair, when the core lends the records again. */
static void repair_and_apply(struct store_lane *lane)
{
    int rc;

    lane->has_repair = true;
    rc = store_repair(lane->store, &lane->why);
    if (rc == 0)
        apply(lane);
    if (!record_may_come_again(rc))
        return;
    lane->rc = rc;
    fail(&lane->committing, rc, lane->why.text);
}

/* A piece of a task, or of what runs that have left still have. */
static void take_turn(struct store_lane *lane)
{
    lane->rc = 0;
    if (lane->task)
        lane->task->rc = lane->task->work(lane->store, lane->task, &lane->task->why);
    else
        lane->is_cleared = store_clear(lane->store, NULL) < 1;
}

static void on_commit(uv_work_t *request)
{
    struct store_lane *lane = request->data;

    pulse_begin(&lane->pulse);
    if (lane->is_turn) {
        take_turn(lane);
        return;
    }
    if (lane->has_repair)
        store_repair(lane->store, NULL);
    apply(lane);
    if (lane->rc == -EUCLEAN && !lane->has_repair)
        repair_and_apply(lane);
}

/* No record is committed after records that failed: a later one of the same run would make the
 * store believe that it holds the earlier ones. So all records that wait fail too, and are tried
 * again in order. */
static void fail_waiting(struct store_lane *lane)
{
    fail(&lane->waiting, lane->rc, lane->why.text);
    list_move(&lane->waiting, &lane->committing);
}

/* Before the records come home: who reads what they have written has to read the new file. */
static void tell_repaired(struct store_lane *lane)
{
    lane->has_repair = false;
    lane->wants_repair = false; /* of the old file, where a commit came before */
    lane->is_swept = false;     /* a repair copies no blocks */
    lane->notes = *store_notes(lane->store);
    if (lane->on_repaired)
        lane->on_repaired(lane->arg);
}

/* The task is over, or goes on behind those that wait. Damage is repaired before the next commit.
 */
static struct store_task *take_task(struct store_lane *lane)
{
    struct store_task *task = lane->task;

    lane->task = NULL;
    if (!task)
        return NULL;
    lane->wants_repair |= task->rc == -EUCLEAN;
    lane->is_cleared = false; /* it may have had a run leave */
    if (task->rc == 1 && lane->is_stopped)
        task->rc = err_set(&task->why, -ECANCELED, "the daemon is stopping");
    if (task->rc != 1)
        return task;
    list_append(&lane->tasks, &task->link);
    return NULL;
}

static void on_commit_done(uv_work_t *request, int status)
{
    struct store_lane *lane = request->data;
    struct store_task *task;
    struct list done;

    (void)status;
    if (!lane->is_turn)
        snprintf(lane->waits, sizeof lane->waits, "%s",
                 record_may_come_again(lane->rc) ? lane->why.text : "");
    if (lane->has_repair)
        tell_repaired(lane);
    if (lane->rc < 0)
        fail_waiting(lane);
    list_init(&done);
    list_move(&lane->committing, &done);
    task = take_task(lane);
    lane->busy = lane->is_trial = lane->is_sweep = lane->is_turn = false;
    start_commit(lane);
    LIST_EACH_SAFE(at, &done)
    {
        list_remove(at);
        lane->on_stored(lane->arg, LIST_ENTRY(at, struct record, link));
    }
    if (task)
        task->done(task);
}

static void start_work(struct store_lane *lane)
{
    lane->busy = true;
    pulse_start(&lane->pulse, COMMIT_CPU_S);
    uv_queue_work(lane->loop, &lane->request, on_commit, on_commit_done);
}

/* Records that wait go first, but not for ever: each turn delays them by some 10 ms. */
static bool is_turn_of_task(struct store_lane *lane, bool has_work)
{
    bool may_clear = !lane->is_cleared && !lane->is_stopped && !lane->waits[0];

    return (!list_empty(&lane->tasks) || may_clear) &&
           (!has_work || lane->n_commits >= COMMITS_BEFORE_TASK);
}

static void start_turn(struct store_lane *lane)
{
    lane->n_commits = 0;
    lane->is_turn = true;
    if (!list_empty(&lane->tasks)) {
        lane->task = LIST_ENTRY(lane->tasks.next, struct store_task, link);
        list_remove(&lane->task->link);
    }
    start_work(lane);
}

static void start_commit(struct store_lane *lane)
{
    bool has_work = !list_empty(&lane->waiting) || lane->wants_repair || lane->is_trial;
    bool may_sweep = lane->wants_sweep && !lane->waits[0];

    if (!lane->busy && is_turn_of_task(lane, has_work)) {
        start_turn(lane);
        return;
    }
    if (lane->busy || !(has_work || may_sweep))
        return;
    lane->n_commits++;
    lane->is_sweep = !has_work;
    lane->wants_sweep &= has_work;
    lane->has_repair = lane->wants_repair;
    lane->wants_repair = false;
    list_move(&lane->waiting, &lane->committing);
    start_work(lane);
}

int store_lane_open(uv_loop_t *loop, const char *path, store_lane_cb *on_stored, void *arg,
                    struct store_lane **out, struct err *err)
{
    struct store_lane *lane = calloc(1, sizeof *lane);
    int rc;

    if (!lane)
        return err_set(err, -ENOMEM, "out of memory");
    rc = store_open(path, &lane->store, err);
    if (rc < 0) {
        free(lane);
        return rc;
    }
    lane->notes = *store_notes(lane->store);
    lane->loop = loop;
    lane->on_stored = on_stored;
    lane->arg = arg;
    lane->request.data = lane;
    list_init(&lane->waiting);
    list_init(&lane->committing);
    list_init(&lane->tasks);
    *out = lane;
    return 0;
}

void store_lane_close(struct store_lane *lane)
{
    if (!lane)
        return;
    assert(!lane->busy && list_empty(&lane->waiting) && list_empty(&lane->tasks));
    store_close(lane->store);
    free(lane);
}

void store_lane_put(struct store_lane *lane, struct record *record)
{
    assert(lane && record && list_empty(&record->link));
    list_append(&lane->waiting, &record->link);
    start_commit(lane);
}

void store_lane_stop(struct store_lane *lane)
{
    lane->is_stopped = true;
}

void store_lane_do(struct store_lane *lane, struct store_task *task)
{
    assert(lane && task->work && task->done);
    list_append(&lane->tasks, &task->link);
    start_commit(lane);
}

void store_lane_try_again(struct store_lane *lane)
{
    if (lane->busy || !lane->waits[0])
        return;
    lane->is_trial = true;
    start_commit(lane);
}

void store_lane_sweep(struct store_lane *lane)
{
    if (lane->busy && lane->is_sweep)
        return; /* is_swept is the pool's */
    lane->wants_sweep = !lane->is_swept;
    start_commit(lane);
}

void store_lane_on_repaired(struct store_lane *lane, store_lane_repaired_cb *on_repaired)
{
    lane->on_repaired = on_repaired;
}

void store_lane_repair(struct store_lane *lane)
{
    lane->wants_repair = true;
    start_commit(lane);
}

const struct store_notes *store_lane_notes(const struct store_lane *lane)
{
    return &lane->notes;
}

const struct store *store_lane_store(const struct store_lane *lane)
{
    return lane->store;
}

const char *store_lane_waits(const struct store_lane *lane)
{
    return lane->waits[0] ? lane->waits : NULL;
}

bool store_lane_is_stuck(struct store_lane *lane, unsigned still_max)
{
    return lane->busy && !lane->has_repair && pulse_is_stuck(&lane->pulse, still_max);
}
