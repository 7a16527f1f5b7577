#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* What holds for a whole run and has no step: its configuration and its summary, JSON objects that
 * messages are merged into by their top-level names. A new attempt brings a configuration of its
 * own; `updates` holds what messages said, so that it stays where the new one says nothing. */

/* ---- merging ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the object's members, sorted; `*n` of them (free), or NULL without memory. */
static const char **sorted_names(const cJSON *object, size_t *n)
{
    const char **names = calloc((size_t)cJSON_GetArraySize(object) + 1, sizeof *names);

    *n = 0;
    if (!names)
        return NULL;
    for (const cJSON *member = object->child; member; member = member->next)
        names[(*n)++] = member->string;
    qsort(names, *n, sizeof *names, compare_names);
    return names;
}

/* Moves the members of `object` that `names` does not have to the front of `out`. */
static void keep_others(cJSON *object, const char *const *names, size_t n, cJSON *out)
{
    while (object->child) {
        cJSON *member = cJSON_DetachItemViaPointer(object, object->child);
        const char *name = member->string;

        if (n > 0 && bsearch(&name, names, n, sizeof *names, compare_names))
            cJSON_Delete(member);
        else
            cJSON_AddItemToArray(out, member);
    }
}

/* A new object: what `given` does not name of `stored`, then, if `is_merge`, `given` itself. Both
 * lose their members. Linear but for a sort, since both may have 100,000 names. NULL without
 * memory.
 */
static cJSON *combine(cJSON *stored, cJSON *given, bool is_merge)
{
    cJSON *combined = cJSON_CreateObject();
    size_t n = 0;
    const char **names = sorted_names(given, &n);

    if (combined && names) {
        keep_others(stored, names, n, combined);
        if (is_merge)
            keep_others(given, NULL, 0, combined);
    } else {
        cJSON_Delete(combined);
        combined = NULL;
    }
    free(names);
    return combined;
}

/* Why a stored text could not be parsed, which SQLite can tell: it is damaged (-EUCLEAN, for which
 * `err` has the words), or there is no memory. */
static int why_not_parsed(struct store *store, const char *text, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(store->db, "SELECT json_valid(?1)", &statement, err);

    if (rc == 0) {
        sql_bind_text(statement, 1, text);
        rc = sql_step(statement, err);
    }
    if (rc == 1)
        rc = sqlite3_column_int(statement, 0) ? err_set(err, -ENOMEM, "out of memory") : -EUCLEAN;
    sqlite3_finalize(statement);
    return rc;
}

cJSON *store_constants_parse(struct store *store, const char *text, int *rc, struct err *err)
{
    /* What the codec let in may be longer as it was printed. */
    cJSON *tree =
        json_parse_limited(text, strlen(text), 4 * (size_t)JSON_MAX_SIZE, JSON_MAX_SIZE, err);

    *rc = tree ? 0 : why_not_parsed(store, text, err);
    return tree;
}

/* The text of the two combined, in `*out` (cJSON_free); -E2BIG when it is larger than a message may
 * be, -EUCLEAN or -ENOMEM. */
static int combine_texts(struct store *store, const char *stored, const char *given, bool is_merge,
                         char **out, struct err *err)
{
    int rc;
    cJSON *old = store_constants_parse(store, stored, &rc, err),
          *added = old ? store_constants_parse(store, given, &rc, err) : NULL;
    cJSON *combined = added ? combine(old, added, is_merge) : NULL;

    *out = combined && json_make_exact(combined) ? json_print(combined) : NULL;
    if (rc == 0 && !*out)
        rc = err_set(err, -ENOMEM, "out of memory");
    else if (rc == 0 && strlen(*out) > JSON_MAX_SIZE) {
        cJSON_free(*out);
        *out = NULL;
        rc = -E2BIG;
    }
    cJSON_Delete(old);
    cJSON_Delete(added);
    cJSON_Delete(combined);
    return rc;
}

/* `stored` with `given` merged into it, as combine_texts; what is `late`, of an attempt that a
 * newer one has followed, gives way to what is stored. */
static int merge(struct store *store, const char *stored, const char *given, bool late, char **out,
                 struct err *err)
{
    return combine_texts(store, late ? given : stored, late ? stored : given, true, out, err);
}

/* ---- reading and writing ------------------------------------------------------------------- */

/* Copies of the first `n` columns (free); "{}" each when there is no row. */
static int read_texts(sqlite3_stmt *statement, int64_t run_key, char **out, int n, struct err *err)
{
    int rc;

    SQL_BIND(statement, run_key);
    rc = sql_step(statement, err);
    for (int i = 0; rc >= 0 && i < n; i++) {
        out[i] = strdup(rc == 1 ? sql_column_text(statement, i) : "{}");
        if (!out[i])
            rc = err_set(err, -ENOMEM, "out of memory");
    }
    if (rc == 1)
        rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int put_texts(sqlite3_stmt *statement, int64_t run_key, const char *first,
                     const char *second, struct err *err)
{
    SQL_BIND(statement, run_key);
    sql_bind_text(statement, 2, first);
    if (second)
        sql_bind_text(statement, 3, second);
    return sql_run(statement, err);
}

/* ---- the messages -------------------------------------------------------------------------- */

static int put_summary(struct store *store, struct record *record, bool late, struct err *err)
{
    char *stored = NULL, *merged = NULL;
    int rc = read_texts(store->statement[SQL_SUMMARY_GET], record->run_key, &stored, 1, err);

    if (rc == 0)
        rc = merge(store, stored, record->constants, late, &merged, err);
    if (rc == 0)
        rc = put_texts(store->statement[SQL_SUMMARY_PUT], record->run_key, merged, NULL, err);
    if (rc == 0)
        rc = store_alerts_put(store, record, stored, late, err);
    free(stored);
    cJSON_free(merged);
    return rc;
}

static int put_config(struct store *store, const struct record *record, bool late, struct err *err)
{
    char *stored[2] = {NULL}, *config = NULL, *updates = NULL;
    int rc = read_texts(store->statement[SQL_CONFIG_GET], record->run_key, stored, 2, err);

    if (rc == 0)
        rc = merge(store, stored[0], record->constants, late, &config, err);
    if (rc == 0)
        rc = merge(store, stored[1], record->constants, late, &updates, err);
    if (rc == 0)
        rc = put_texts(store->statement[SQL_CONFIG_PUT], record->run_key, config, updates, err);
    free(stored[0]);
    free(stored[1]);
    cJSON_free(config);
    cJSON_free(updates);
    return rc;
}

int store_constants_put(struct store *store, struct record *record, bool late, struct err *err)
{
    bool is_config = record->kind == RECORD_CONFIG;
    int rc =
        is_config ? put_config(store, record, late, err) : put_summary(store, record, late, err);

    if (rc == -E2BIG)
        rc = store_record_refuse(record, -E2BIG, "run \"%s\": its %s would be larger than %d bytes",
                                 record->run, is_config ? "config" : "summary", JSON_MAX_SIZE);
    if (rc == 0)
        rc = store_run_touch(store, record, err);
    return rc < 0 ? rc : store_attempt_advance(store, record, false, err);
}

/* What messages said stays where the new configuration says nothing; too large together, the newest
 * word stays. */
int store_config_open(struct store *store, const struct record *record, struct err *err)
{
    const char *given = record->open.config ? record->open.config : "{}";
    char *stored[2] = {NULL}, *updates = NULL, *config = NULL;
    int64_t run_key = record->opened.run_key;
    int rc = read_texts(store->statement[SQL_CONFIG_GET], run_key, stored, 2, err);

    if (rc == 0 && strcmp(stored[1], "{}") != 0) {
        rc = combine_texts(store, stored[1], given, false, &updates, err);
        if (rc == 0)
            rc = merge(store, updates, given, false, &config, err);
    }
    if (rc == 0 || rc == -E2BIG)
        rc = put_texts(store->statement[SQL_CONFIG_PUT], run_key, config ? config : given,
                       config ? updates : "{}", err);
    free(stored[0]);
    free(stored[1]);
    cJSON_free(updates);
    cJSON_free(config);
    return rc;
}
