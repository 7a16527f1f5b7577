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

static void take_layer(sqlite3_stmt *statement, struct found *out)
{
    out->layer_key = sqlite3_column_int64(statement, 0);
    snprintf(out->layer, sizeof out->layer, "%s", sql_column_text(statement, 1));
    out->p = (uint32_t)sqlite3_column_int64(statement, 2);
}

/* The layer of that name, or without one the only layer. */
static int find_layer(struct history *history, const char *name, struct found *out, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    int rc, n = 0;

    SQL_BIND(statement, out->run_key);
    sql_bind_text(statement, 2, name);
    while ((rc = sql_step(statement, err)) == 1) {
        if (n++ == 0)
            take_layer(statement, out);
        rc = sql_row_check(statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    if (rc < 0)
        return rc;
    if (n == 0)
        return err_set(err, -ENOENT, "run \"%s\" has no layer \"%.128s\"", out->run,
                       name ? name : "with a point");
    if (n > 1)
        return err_set(err, -EINVAL, "run \"%s\" has %d layers: \"layer\" has to name one",
                       out->run, n);
    return 0;
}

static int no_spectrum(const struct found *found, int64_t step, struct err *err)
{
    if (step < 0)
        return err_set(err, -ENOENT, "run \"%s\", layer \"%s\": no spectrum was asked for",
                       found->run, found->layer);
    return err_set(err, -ENOENT, "run \"%s\", layer \"%s\": no spectrum at step %" PRId64,
                   found->run, found->layer, step);
}

static int answer(sqlite3_stmt *statement, const struct found *found, cJSON **out, struct err *err)
{
    struct spectrum *spectrum = spectrum_decode(sqlite3_column_blob(statement, 9),
                                                (size_t)sqlite3_column_bytes(statement, 9),
                                                (size_t)sqlite3_column_int64(statement, 8));

    if (!spectrum)
        return errno == ENOMEM ? history_no_memory(err)
                               : err_set(err, -EUCLEAN, "the spectrum is damaged");
    spectrum->p = found->p;
    spectrum->rank = (uint32_t)sqlite3_column_int64(statement, 3);
    spectrum->rank_targets = (uint32_t)sqlite3_column_int64(statement, 4);
    spectrum->uncentred = sqlite3_column_int(statement, 5) != 0;
    spectrum->few_rows = sqlite3_column_int(statement, 6) != 0;
    spectrum->total = sql_column_double(statement, 7);
    *out = spectrum_to_json(found->run, found->layer, (uint32_t)sqlite3_column_int64(statement, 0),
                            sqlite3_column_int64(statement, 1), sql_column_double(statement, 2),
                            spectrum);
    spectrum_free(spectrum);
    return *out ? 0 : history_no_memory(err);
}

static int query_spectrum(struct history *history, const struct feed_spectrum_query *params,
                          cJSON **out, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_SPECTRUM];
    struct found found;
    int rc;

    rc = history_resolve(history, params->run, &found.run_key, found.run, err);
    if (rc == 0)
        rc = find_layer(history, params->layer, &found, err);
    if (rc < 0)
        return rc;
    SQL_BIND(statement, found.layer_key, params->step, found.run_key);
    rc = sql_step(statement, err);
    if (rc == 1)
        rc = answer(statement, &found, out, err);
    else if (rc == 0)
        rc = no_spectrum(&found, params->step, err);
    sqlite3_reset(statement);
    return rc;
}

int history_spectrum(struct history *history, const struct feed_spectrum_query *params, cJSON **out,
                     struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = query_spectrum(history, params, out, err);
    return history_end(history, rc, out);
}
