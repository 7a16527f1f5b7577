#include <errno.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/blob.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* The first probe stays: in every attempt the layer is compared with it. */
int store_probe_put(struct store *s, int64_t layer_key, const struct probe *probe, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_PROBE_PUT];
    size_t size = probe_size_bytes(probe->n);
    char *data;
    int rc;

    if (probe->n == 0)
        return 0;
    data = malloc(size);
    if (!data)
        return err_set(e, -ENOMEM, "out of memory");
    blob_put(data, probe->values, probe_n_values(probe->n));
    SQL_BIND(q, layer_key, (int64_t)probe->n);
    sqlite3_bind_blob64(q, 3, data, size, SQLITE_STATIC);
    rc = sql_run(q, e);
    sqlite3_bind_null(q, 3);
    free(data);
    return rc;
}

static int read_probe(sqlite3_stmt *q, struct probe *out, struct err *e)
{
    size_t n = (size_t)sqlite3_column_int64(q, 0), size = (size_t)sqlite3_column_bytes(q, 1);
    const void *data = sqlite3_column_blob(q, 1);

    if (n == 0 || n > UINT16_MAX || size != probe_size_bytes(n))
        return err_set(e, -EUCLEAN, "a probe of %zu rows has %zu bytes", n, size);
    out->values = data ? malloc(size) : NULL;
    if (!out->values)
        return err_set(e, -ENOMEM, "out of memory");
    out->n = n;
    blob_get(data, out->values, probe_n_values(n));
    return 0;
}

int store_probe_read(struct store *s, int64_t layer_key, struct probe *out, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_PROBE_GET];
    int rc;

    *out = (struct probe){0};
    SQL_BIND(q, layer_key);
    rc = sql_step(q, e);
    if (rc == 1)
        rc = read_probe(q, out, e);
    sqlite3_reset(q);
    return rc;
}

int store_probe_size(struct store *s, int64_t run_key, double *size_bytes, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_PROBE_SIZE];
    int rc;

    SQL_BIND(q, run_key);
    rc = sql_step(q, e);
    if (rc == 1)
        *size_bytes = sql_column_double(q, 0);
    sqlite3_reset(q);
    return rc < 0 ? rc : 0;
}
