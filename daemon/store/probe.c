#include <errno.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/blob.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* The first probe stays: in every attempt the layer is compared with it. */
int store_probe_put(struct store *store, int64_t layer_key, const struct probe *probe,
                    struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_PROBE_PUT];
    size_t size = probe_size_bytes(probe->n);
    char *data;
    int rc;

    if (probe->n == 0)
        return 0;
    data = malloc(size);
    if (!data)
        return err_set(err, -ENOMEM, "out of memory");
    blob_put(data, probe->values, probe_n_values(probe->n));
    SQL_BIND(statement, layer_key, (int64_t)probe->n);
    sqlite3_bind_blob64(statement, 3, data, size, SQLITE_STATIC);
    rc = sql_run(statement, err);
    sqlite3_bind_null(statement, 3);
    free(data);
    return rc;
}

static int read_probe(sqlite3_stmt *statement, struct probe *out, struct err *err)
{
    size_t n = (size_t)sqlite3_column_int64(statement, 0),
           size = (size_t)sqlite3_column_bytes(statement, 1);
    const void *data = sqlite3_column_blob(statement, 1);

    if (n == 0 || n > UINT16_MAX || size != probe_size_bytes(n))
        return err_set(err, -EUCLEAN, "a probe of %zu rows has %zu bytes", n, size);
    out->values = data ? malloc(size) : NULL;
    if (!out->values)
        return err_set(err, -ENOMEM, "out of memory");
    out->n = n;
    blob_get(data, out->values, probe_n_values(n));
    return 0;
}

int store_probe_read(struct store *store, int64_t layer_key, struct probe *out, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_PROBE_GET];
    int rc;

    *out = (struct probe){0};
    SQL_BIND(statement, layer_key);
    rc = sql_step(statement, err);
    if (rc == 1)
        rc = read_probe(statement, out, err);
    sqlite3_reset(statement);
    return rc;
}

int store_probe_size(struct store *store, int64_t run_key, double *size_bytes, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_PROBE_SIZE];
    int rc;

    SQL_BIND(statement, run_key);
    rc = sql_step(statement, err);
    if (rc == 1)
        *size_bytes = sql_column_double(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}
