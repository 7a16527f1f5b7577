#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* Alerts: what a trainer wants a person to see. A summary message says it, as any member whose name
 * begins with ALERT_NAME; so it is durable, merged and sent again as the summary is, and nothing of
 * the protocol is its own. What is new in it becomes an event: a row of `finding` with its name and
 * its place in the feed. The words stay in the summary, which readers join with the row.
 *
 * The same message once more says nothing new, and is no second event; the same name with other
 * words is one, in the place of the first. At most RUN_WATCHED_MAX of a message are events.
 * Tested by test_record.c and tests/e2e/measure/test_an_alert_is_told.py. */

static bool is_alert(const cJSON *member)
{
    size_t size = strlen(ALERT_NAME);

    return strncmp(member->string, ALERT_NAME, size) == 0 && cJSON_IsObject(member) &&
           member->string[size] && strlen(member->string + size) <= TEXT_MAX;
}

static bool is_new(const cJSON *said, const cJSON *before, bool late)
{
    const cJSON *known = cJSON_GetObjectItemCaseSensitive(before, said->string);

    return !known || (!late && !cJSON_Compare(known, said, true));
}

/* The record owns its two texts. An alert that gives no step was before the first. */
static int note(struct record *record, const cJSON *said, struct err *err)
{
    struct finding *finding = &record->findings[record->n_findings];
    char *name = strdup(said->string), *text = json_print(said);
    struct err ignored;
    int64_t step = 0;
    double when = record->time;

    if (!name || !text) {
        free(name);
        cJSON_free(text);
        return err_set(err, -ENOMEM, "out of memory");
    }
    json_integer(said, "step", 0, INT64_MAX, &step, &ignored);
    json_number(said, "time", &when, &ignored);
    *finding = (struct finding){
        .metric = name,
        .alert = text,
        .attempt = record->attempt,
        .step = step,
        .time = when,
        .transition = {.start = step, .end = step, .from = NAN, .to = NAN, .returned = -1},
        .n_from = NAN,
        .n_to = NAN,
    };
    record->n_findings++;
    return 0;
}

/* One of this name may stand at another step. */
static int put(struct store *store, struct record *record, struct finding *finding, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ALERT_DROP];
    int rc;

    SQL_BIND(statement, record->run_key);
    sql_bind_text(statement, 2, finding->metric);
    rc = sql_run(statement, err);
    return rc < 0 ? rc : store_finding_put(store, record, 0, finding, err);
}

static int put_new(struct store *store, struct record *record, const cJSON *given,
                   const cJSON *before, bool late, struct err *err)
{
    const cJSON *said;
    int rc = 0;

    cJSON_ArrayForEach(said, given)
    {
        if (rc < 0 || record->n_findings == RUN_WATCHED_MAX)
            break;
        if (!is_alert(said) || !is_new(said, before, late))
            continue;
        rc = note(record, said, err);
        if (rc == 0)
            rc = put(store, record, &record->findings[record->n_findings - 1], err);
    }
    return rc;
}

int store_alerts_put(struct store *store, struct record *record, const char *stored, bool late,
                     struct err *err)
{
    cJSON *given = NULL, *before = NULL;
    int rc = 0;

    record_drop_alerts(record); /* of a try before this one */
    if (!strstr(record->constants, "\"" ALERT_NAME))
        return 0;
    given = store_constants_parse(store, record->constants, &rc, err);
    if (given)
        before = store_constants_parse(store, stored, &rc, err);
    if (before)
        rc = put_new(store, record, given, before, late, err);
    cJSON_Delete(given);
    cJSON_Delete(before);
    return rc;
}
