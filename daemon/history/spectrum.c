#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/format/model_json.h"
#include "daemon/history/db.h"
#include "daemon/store/spectrum_blob.h"
#include "daemon/store/sql.h"
#include "proto/base/point.h"

/* spectrum.query: one layer's decomposition, at a step or the latest. */

/* A layer found: its key and shape, and its name in bytes that outlive the statement. */
struct found {
    int64_t run_key, layer_key;
    uint32_t p;
    char run[RUN_ID_MAX + 1];
    char layer[LAYER_NAME_MAX + 1];
};

static void take_layer(sqlite3_stmt *q, struct found *out)
{
    out->layer_key = sqlite3_column_int64(q, 0);
    snprintf(out->layer, sizeof out->layer, "%s", sql_column_text(q, 1));
    out->p = (uint32_t)sqlite3_column_int64(q, 2);
}

/* The layer of that name, or without one the only layer. */
static int find_layer(struct history *h, const char *name, struct found *out, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    int rc, n = 0;

    SQL_BIND(q, out->run_key);
    sql_bind_text(q, 2, name);
    while ((rc = sql_step(q, e)) == 1) {
        if (n++ == 0)
            take_layer(q, out);
        rc = sql_row_check(q, e);
        if (rc < 0)
            break;
    }
    sqlite3_reset(q);
    if (rc < 0)
        return rc;
    if (n == 0)
        return err_set(e, -ENOENT, "run \"%s\" has no layer \"%.128s\"", out->run,
                       name ? name : "with a point");
    if (n > 1)
        return err_set(e, -EINVAL, "run \"%s\" has %d layers: \"layer\" has to name one", out->run,
                       n);
    return 0;
}

static int no_spectrum(const struct found *found, int64_t step, struct err *e)
{
    if (step < 0)
        return err_set(e, -ENOENT, "run \"%s\", layer \"%s\": no spectrum was asked for",
                       found->run, found->layer);
    return err_set(e, -ENOENT, "run \"%s\", layer \"%s\": no spectrum at step %" PRId64, found->run,
                   found->layer, step);
}

static int answer(sqlite3_stmt *q, const struct found *found, cJSON **out, struct err *e)
{
    struct spectrum *s =
        spectrum_decode(sqlite3_column_blob(q, 9), (size_t)sqlite3_column_bytes(q, 9),
                        (size_t)sqlite3_column_int64(q, 8));

    if (!s)
        return errno == ENOMEM ? history_no_memory(e)
                               : err_set(e, -EUCLEAN, "the spectrum is damaged");
    s->p = found->p;
    s->rank = (uint32_t)sqlite3_column_int64(q, 3);
    s->rank_targets = (uint32_t)sqlite3_column_int64(q, 4);
    s->uncentred = sqlite3_column_int(q, 5) != 0;
    s->few_rows = sqlite3_column_int(q, 6) != 0;
    s->total = sql_column_double(q, 7);
    *out = spectrum_to_json(found->run, found->layer, (uint32_t)sqlite3_column_int64(q, 0),
                            sqlite3_column_int64(q, 1), sql_column_double(q, 2), s);
    spectrum_free(s);
    return *out ? 0 : history_no_memory(e);
}

static int query_spectrum(struct history *h, const struct feed_spectrum_query *params, cJSON **out,
                          struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_SPECTRUM];
    struct found found;
    int rc;

    rc = history_resolve(h, params->run, &found.run_key, found.run, e);
    if (rc == 0)
        rc = find_layer(h, params->layer, &found, e);
    if (rc < 0)
        return rc;
    SQL_BIND(q, found.layer_key, params->step, found.run_key);
    rc = sql_step(q, e);
    if (rc == 1)
        rc = answer(q, &found, out, e);
    else if (rc == 0)
        rc = no_spectrum(&found, params->step, e);
    sqlite3_reset(q);
    return rc;
}

int history_spectrum(struct history *h, const struct feed_spectrum_query *params, cJSON **out,
                     struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = query_spectrum(h, params, out, e);
    return history_end(h, rc, out);
}
