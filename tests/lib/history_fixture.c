#include "tests/lib/history_fixture.h"

#include "tests/lib/cmocka.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/store.h"
#include "tests/lib/records.h"

void history_fixture_reopen(struct history_fixture *f)
{
    struct err e = {0};

    store_close(f->store);
    if (store_open(f->path, &f->store, &e) < 0)
        fail_msg("%s", e.text);
}

static sqlite3 *open_beside(const struct history_fixture *f)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    return db;
}

/* SQLite before 3.35 cannot drop a column: there it gets a name by which nobody asks for it. */
static char *as_renames(const char *sql)
{
    static const char drop[] = "DROP COLUMN ";
    const char *at;
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);

    while ((at = strstr(sql, drop))) {
        int length = (int)strcspn(at + sizeof drop - 1, "; ");

        fprintf(out, "%.*sRENAME COLUMN %.*s TO no_%.*s", (int)(at - sql), sql, length,
                at + sizeof drop - 1, length, at + sizeof drop - 1);
        sql = at + sizeof drop - 1 + length;
    }
    fputs(sql, out);
    fclose(out);
    return text;
}

void history_fixture_exec(sqlite3 *db, const char *sql)
{
    char *text = sqlite3_libversion_number() < 3035000 ? as_renames(sql) : strdup(sql);

    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    free(text);
}

void history_fixture_run(const struct history_fixture *f, const char *sql)
{
    sqlite3 *db = open_beside(f);

    history_fixture_exec(db, sql);
    sqlite3_close(db);
}

int64_t history_fixture_ask(const struct history_fixture *f, const char *sql)
{
    sqlite3 *db = open_beside(f);
    sqlite3_stmt *statement;
    int64_t n = -1;
    int rc;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        n = sqlite3_column_int64(statement, 0);
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return n;
}

int history_fixture_set_up(void **state)
{
    struct history_fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    history_fixture_reopen(f);
    *state = f;
    return 0;
}

int history_fixture_tear_down(void **state)
{
    struct history_fixture *f = *state;

    store_close(f->store);
    scratch_free(f->directory);
    free(f);
    return 0;
}
