#include <errno.h>

#include "daemon/history/db.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* The saved views: tested by test_views.c. */

static cJSON *view_to_json(sqlite3_stmt *statement)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "name", sql_column_text(statement, 0)) &&
        cJSON_AddStringToObject(object, "query", sql_column_text(statement, 1)) &&
        cJSON_AddStringToObject(object, "note", sql_column_text(statement, 2)) &&
        json_add_double(object, "saved", sql_column_double(statement, 3)))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static int view_list(struct history *history, struct answer *answer, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_VIEWS];
    int rc;

    answer_list(answer, cJSON_CreateObject(), "views");
    while ((rc = sql_step(statement, err)) == 1) {
        answer_item(answer, view_to_json(statement));
        if (sql_row_check(statement, err) < 0)
            return history_no_memory(err);
    }
    answer_list_end(answer, cJSON_CreateObject());
    return rc;
}

int history_view_list(struct history *history, struct answer *answer, struct err *err)
{
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = view_list(history, answer, err);
    return history_end_transaction(history, rc);
}
