#include <errno.h>

#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* The views of the page that a person saves: tested by history/test_views.c. */

static int check_room(struct store *store, const struct view_edit *edit, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_VIEW_COUNT];
    int64_t n_others, n_same;
    int rc;

    sql_bind_text(statement, 1, edit->name);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    n_others = sqlite3_column_int64(statement, 0);
    n_same = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    if (n_same > 0 && !edit->replace)
        return err_set(err, -EEXIST, "there is a view \"%.200s\": \"replace\" overwrites it",
                       edit->name);
    if (n_others >= STORE_VIEWS_MAX)
        return err_set(err, -ENOBUFS, "there are %d views: delete one first", STORE_VIEWS_MAX);
    return 0;
}

static int save(struct store *store, void *arg, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_VIEW_PUT];
    const struct view_edit *edit = arg;
    int rc = check_room(store, edit, err);

    if (rc < 0)
        return rc;
    sql_bind_text(statement, 1, edit->name);
    sql_bind_text(statement, 2, edit->query);
    sql_bind_text(statement, 3, edit->note);
    sql_bind_double(statement, 4, edit->time);
    return sql_run(statement, err);
}

static int drop(struct store *store, void *arg, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_VIEW_DROP];
    const struct view_edit *edit = arg;
    int rc;

    sql_bind_text(statement, 1, edit->name);
    rc = sql_run(statement, err);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        return err_set(err, -ENOENT, "no view \"%.200s\"", edit->name);
    return rc;
}

int store_save_view(struct store *store, const struct view_edit *edit, struct err *err)
{
    struct view_edit copy = *edit;

    return store_transact(store, save, &copy, err);
}

int store_delete_view(struct store *store, const char *name, struct err *err)
{
    struct view_edit edit = {.name = name};

    return store_transact(store, drop, &edit, err);
}
