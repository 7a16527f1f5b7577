#include <errno.h>
#include <stddef.h>

#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* What a person writes about a run: tested by test_store.c. */

static int put_note(struct store *store, const struct run_edit *edit, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_NOTE_PUT];

    SQL_BIND(statement, edit->run_key);
    sql_bind_text(statement, 2, edit->note);
    return sql_run(statement, err);
}

static int edit_run(struct store *store, void *arg, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_EDIT];
    const struct run_edit *edit = arg;
    int rc;

    SQL_BIND(statement, edit->run_key);
    sql_bind_text(statement, 2, edit->name);
    sql_bind_text(statement, 3, edit->tags);
    if (edit->has_hidden)
        sqlite3_bind_int(statement, 4, edit->hidden);
    else
        sqlite3_bind_null(statement, 4);
    rc = sql_run(statement, err);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        return err_set(err, -ENOENT, "the run is gone");
    return rc < 0 || !edit->note ? rc : put_note(store, edit, err);
}

int store_edit_run(struct store *store, const struct run_edit *edit, struct err *err)
{
    struct run_edit copy = *edit;

    return store_transact(store, edit_run, &copy, err);
}
