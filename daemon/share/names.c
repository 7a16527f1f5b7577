#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/share/push_parts.h"

/* Which numbers attempts, layers and scalars have in the history. The history is asked what it has
 * of the runs in question; what is not there gets the next number, which belongs to us when the
 * batch is committed. Where another daemon was faster with that number the batch is refused
 * (SHARE_IDENTITY), and all is asked again.
 *
 * An attempt is known by its writer and the time of its opening, so it has one number however often
 * a store is copied, restored or moved. It keeps the store's number where that is free: of a run
 * that went on elsewhere in the meantime it gets the next one. */

static int reserve(struct numbers *numbers, int64_t key, struct err *err)
{
    size_t n = numbers->n ? numbers->n : 64;
    struct number *at;

    if ((size_t)key < numbers->n)
        return 0;
    while (n <= (size_t)key)
        n *= 2;
    at = realloc(numbers->at, n * sizeof *at);
    if (!at)
        return err_set(err, -ENOMEM, "out of memory");
    memset(at + numbers->n, 0, (n - numbers->n) * sizeof *at);
    numbers->at = at;
    numbers->n = n;
    return 0;
}

struct number *numbers_find(const struct numbers *numbers, int64_t run_key, int64_t key)
{
    struct number *found = key > 0 && (size_t)key < numbers->n ? &numbers->at[key] : NULL;

    return found && found->run_key == run_key ? found : NULL;
}

static int reserve_attempt(struct known_run *run, int64_t attempt, struct err *err)
{
    size_t n = (size_t)attempt + 1;
    int32_t *attempts;

    if (n <= run->n_attempts)
        return 0;
    attempts = realloc(run->attempts, n * sizeof *attempts);
    if (!attempts)
        return err_set(err, -ENOMEM, "out of memory");
    memset(attempts + run->n_attempts, 0, (n - run->n_attempts) * sizeof *attempts);
    run->attempts = attempts;
    run->n_attempts = n;
    return 0;
}

static int set_number(struct push *push, const struct pending *pending, int64_t number,
                      struct err *err)
{
    struct numbers *numbers = pending->type == SHARE_LAYER ? &push->layers : &push->scalars;
    int rc;

    if (number > INT32_MAX)
        return err_set(err, -EPROTO, "run \"%s\" has no number left", pending->run->id);
    if (pending->type == SHARE_ATTEMPT) {
        rc = reserve_attempt(pending->run, pending->key, err);
        if (rc == 0)
            pending->run->attempts[pending->key] = (int32_t)number;
        return rc;
    }
    rc = reserve(numbers, pending->key, err);
    if (rc == 0)
        numbers->at[pending->key] =
            (struct number){.run_key = pending->run->key, .number = (int32_t)number};
    return rc;
}

/* ---- what the history has -------------------------------------------------------------------- */

/* The answers to these are in the order of ids, then of names; column 1 is the number. */
static const char *const questions[] = {
    [SHARE_ATTEMPT] = "SELECT run, attempt, writer, opened FROM richd.attempt"
                      " WHERE run = ANY($1::text[]) ORDER BY run, writer, attempt",
    [SHARE_LAYER] = "SELECT run, layer, name FROM richd.layer WHERE run = ANY($1::text[])"
                    " ORDER BY run, name",
    [SHARE_SCALAR] = "SELECT run, scalar, name FROM richd.scalar_name"
                     " WHERE run = ANY($1::text[]) ORDER BY run, name",
};

/* The first row that is not before that run and name ("": of the run's rows the first). */
static int first_row(const PGresult *rows, const char *run, const char *name)
{
    int low = 0, high = PQntuples(rows);

    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(remote_cell(rows, middle, 0), run);

        if (order == 0)
            order = strcmp(remote_cell(rows, middle, 2), name);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_of_run(const PGresult *rows, int row, const char *run)
{
    return row < PQntuples(rows) && strcmp(remote_cell(rows, row, 0), run) == 0;
}

/* The number that the history has for it; 0: none. */
static int64_t find_number(const PGresult *rows, const struct pending *pending)
{
    const char *run = pending->run->id;

    for (int row = first_row(rows, run, pending->name); is_of_run(rows, row, run); row++) {
        if (strcmp(remote_cell(rows, row, 2), pending->name) != 0)
            return 0;
        if (pending->type != SHARE_ATTEMPT || remote_number(rows, row, 3) == pending->opened)
            return remote_integer(rows, row, 1);
    }
    return 0;
}

static int64_t largest_number(const PGresult *rows, const char *run)
{
    int64_t largest = 0;

    for (int row = first_row(rows, run, ""); is_of_run(rows, row, run); row++) {
        int64_t number = remote_integer(rows, row, 1);

        if (number > largest)
            largest = number;
    }
    return largest;
}

/* Those of one type, which stand together by run. */
static int number_all(struct push *push, enum share_type type, const PGresult *rows,
                      struct err *err)
{
    const struct known_run *run = NULL;
    int64_t largest = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < push->n_pending; i++) {
        const struct pending *pending = &push->pending[i];
        int64_t number;

        if (pending->type != type || pending->run->is_gone)
            continue;
        if (pending->run != run)
            largest = largest_number(rows, pending->run->id);
        run = pending->run;
        number = find_number(rows, pending);
        if (number == 0)
            number = ++largest;
        if (number == largest && type == SHARE_ATTEMPT && pending->key > largest)
            number = largest = pending->key;
        rc = set_number(push, pending, number, err);
    }
    return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The ids of the runs that have something of that type pending. */
static bool put_ids(const struct push *push, enum share_type type, struct rows *ids)
{
    const struct known_run *last = NULL;

    for (size_t i = 0; i < push->n_pending; i++) {
        const struct known_run *run = push->pending[i].run;

        if (push->pending[i].type != type || run == last)
            continue;
        last = run;
        rows_put_bytes(ids, 0, run->id, strlen(run->id));
        rows_keep(ids);
    }
    return ids->n > 0 || ids->has_failed;
}

static int ask(struct remote *remote, const char *question, struct rows *ids, PGresult **out,
               struct err *err)
{
    struct remote_params params = {0};
    int size;

    *out = NULL;
    if (ids->has_failed)
        return err_set(err, -ENOMEM, "out of memory");
    remote_binary(&params, rows_array(ids, 0, &size), 0);
    params.length[0] = size;
    return remote_query(remote, question, &params, out, err);
}

/* A run that was deleted there after it was made here is gone. */
static int find_gone(struct push *push, struct remote *remote, struct rows *ids, struct err *err)
{
    PGresult *rows;
    int rc = ask(
        remote, "SELECT run, deleted FROM richd.tombstone WHERE run = ANY($1::text[]) ORDER BY run",
        ids, &rows, err);

    for (int i = 0; rc == 0 && i < PQntuples(rows); i++) {
        for (size_t j = 0; j < push->n_pending; j++) {
            struct known_run *run = push->pending[j].run;

            assert(run);
            if (strcmp(run->id, remote_cell(rows, i, 0)) == 0 &&
                !(run->created > remote_number(rows, i, 1)))
                run->is_gone = true;
        }
    }
    PQclear(rows);
    return rc;
}

static int give(struct push *push, struct remote *remote, enum share_type type, struct err *err)
{
    static const enum rows_type text[] = {ROWS_TEXT};
    PGresult *rows = NULL;
    struct rows ids;
    int rc = 0;

    rows_init(&ids, text, 1);
    if (put_ids(push, type, &ids)) {
        rc = type == SHARE_ATTEMPT ? find_gone(push, remote, &ids, err) : 0;
        if (rc == 0)
            rc = ask(remote, questions[type], &ids, &rows, err);
        if (rc == 0)
            rc = number_all(push, type, rows, err);
    }
    PQclear(rows);
    rows_release(&ids);
    return rc;
}

int push_give_numbers(struct push *push, struct remote *remote, struct err *err)
{
    int rc = give(push, remote, SHARE_ATTEMPT, err);

    if (rc == 0)
        rc = give(push, remote, SHARE_LAYER, err);
    return rc == 0 ? give(push, remote, SHARE_SCALAR, err) : rc;
}
