#include <errno.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/representation_blob.h"
#include "daemon/store/sql.h"

/* Of a layer's checkpoints 0, 1, 2... these keep their representation: every s-th, where the stride
 * s is the smallest power of two with which at most STORE_REPRESENTATIONS are kept, and the newest.
 * So a layer has 33 at most, 4.3 MB, however long the run. The first one stays for good; of a run
 * of 10,000 checkpoints every 512th is there. */
#define STORE_REPRESENTATIONS 32

static int64_t stride_of(int64_t ordinal)
{
    int64_t stride = 1;

    while (ordinal / stride >= STORE_REPRESENTATIONS)
        stride *= 2;
    return stride;
}

static int put(struct store *store, const struct record *record, int64_t layer_key, int64_t ordinal,
               const struct representation *representation, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_REPRESENTATION_PUT];
    size_t size;
    void *data = representation_encode(representation, &size);
    int rc;

    if (!data)
        return err_set(err, -ENOMEM, "out of memory");
    SQL_BIND(statement, layer_key, record->attempt, record->step, ordinal,
             (int64_t)representation->n_rows);
    sqlite3_bind_blob64(statement, 6, data, size, SQLITE_STATIC);
    rc = sql_run(statement, err);
    sqlite3_bind_null(statement, 6);
    free(data);
    return rc;
}

/* The point is stored already, and counted. */
int store_representation_put(struct store *store, const struct record *record, int64_t layer_key,
                             const struct representation *representation, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_REPRESENTATION_THIN];
    bool is_there = representation->n_rows > 0;
    int64_t n = 1;
    int rc = 0;

    if (is_there)
        rc = sql_integer_of(store->statement[SQL_LAYER_POINTS], layer_key, &n, err);
    if (rc < 0)
        return rc;
    SQL_BIND(statement, layer_key, stride_of(n - 1), record->attempt, record->step);
    rc = sql_run(statement, err);
    return rc < 0 || !is_there ? rc : put(store, record, layer_key, n - 1, representation, err);
}
