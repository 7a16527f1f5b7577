#include <errno.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/block.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* Blocks of what is there already: of a history that an older richd wrote, or that was repaired.
 * Points that come make those of their own curves; the others are visited one after the other. */

/* Of one call, 20 ms: a history of a million points takes two minutes of calls once a second. */
#define BLOCKS_AT_ONCE 32
/* Curves that have too few points for a block take a microsecond each. */
#define CURVES_AT_ONCE 1000

/* Goes on to the next curve: 1, or 0 behind the last one. */
static int next_curve(struct store *store, struct curve *at, struct err *err)
{
    sqlite3_stmt *statement =
        store->statement[at->is_scalar ? SQL_SWEEP_SCALARS : SQL_SWEEP_LAYERS];
    int rc;

    SQL_BIND(statement, at->key, at->attempt);
    rc = sql_step(statement, err);
    if (rc == 1) {
        at->key = sqlite3_column_int64(statement, 0);
        at->attempt = sqlite3_column_int64(statement, 1);
        sqlite3_reset(statement);
    } else if (rc == 0 && !at->is_scalar) {
        *at = (struct curve){.is_scalar = true};
        return next_curve(store, at, err);
    }
    return rc;
}

/* 1 where there is more to do. */
static int sweep(struct store *store, struct err *err)
{
    int n_blocks = 0, rc = 1;

    for (int i = 0; rc == 1 && i < CURVES_AT_ONCE; i++) {
        int made = store_block_make(store, &store->swept, BLOCKS_AT_ONCE - n_blocks, err);

        if (made < 0)
            return made;
        n_blocks += made;
        if (n_blocks >= BLOCKS_AT_ONCE)
            return 1;
        rc = next_curve(store, &store->swept, err);
    }
    return rc;
}

int store_sweep(struct store *store, struct err *err)
{
    struct curve before = store->swept;
    int rc, more;

    if (!store->db || store->has_failed)
        return 0;
    more = rc = sql_run(store->statement[SQL_BEGIN], err);
    if (rc == 0)
        more = rc = sweep(store, err);
    if (rc >= 0)
        rc = sql_run(store->statement[SQL_COMMIT], err);
    if (rc == 0)
        return more;
    store->swept = before;
    if (!sqlite3_get_autocommit(store->db))
        store->has_failed |= sql_run(store->statement[SQL_ROLLBACK], NULL) < 0;
    store->has_failed |= !record_may_come_again(rc) && rc != -EUCLEAN;
    return rc;
}
