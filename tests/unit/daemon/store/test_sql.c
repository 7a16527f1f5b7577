/* SQLite's failures as -errno with a sentence, and the values that SQL has no word for. */
#include "daemon/store/sql.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/records.h"

#define CREATE (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)

struct fixture {
    char *directory;
    char path[256];
    sqlite3 *db;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;

    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "a.db"));
    assert_int_equal(sql_open(f->path, CREATE, &f->db, &e), 0);
    assert_int_equal(sql_exec(f->db, "CREATE TABLE t (x, y)", &e), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sqlite3_close(f->db);
    scratch_free(f->directory);
    free(f);
    return 0;
}

static int library_version;

int __real_sqlite3_libversion_number(void);
int __wrap_sqlite3_libversion_number(void);
int __wrap_sqlite3_libversion_number(void)
{
    return library_version ? library_version : __real_sqlite3_libversion_number();
}

static void a_library_that_is_too_old_is_named(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db;
    struct err e;

    library_version = SQL_OLDEST - 1;
    assert_int_equal(sql_open(f->path, CREATE, &db, &e), -ENOTSUP);
    assert_null(db);
    assert_non_null(strstr(e.text, "and richd needs " SQL_OLDEST_TEXT " or a newer one"));
    library_version = SQL_OLDEST;
    assert_int_equal(sql_open(f->path, CREATE, &db, &e), 0);
    sqlite3_close(db);
    library_version = 0;
}

static void an_integer_is_found_by_its_key(void **state)
{
    struct fixture *f = *state;
    sqlite3_stmt *q;
    struct err e;
    int64_t n = 7;

    assert_int_equal(sql_exec(f->db, "INSERT INTO t VALUES(1, 40)", &e), 0);
    assert_int_equal(sql_prepare(f->db, "SELECT y FROM t WHERE x = ?1", &q, &e), 0);
    assert_int_equal(sql_integer_of(q, 2, &n, &e), 0);
    assert_int_equal(n, 7);
    assert_int_equal(sql_integer_of(q, 1, &n, &e), 0);
    assert_int_equal(n, 40);
    sql_finalize(&q, 1);
}

static void a_file_that_is_no_database_is_damage(void **state)
{
    struct fixture *f = *state;
    const char *path = scratch_path(f->directory, "text");
    FILE *file = fopen(path, "w");
    sqlite3 *db;
    struct err e;
    int64_t n;

    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_int_equal(sql_open(path, SQLITE_OPEN_READONLY, &db, &e), 0);
    assert_int_equal(sql_integer(db, "SELECT count(*) FROM sqlite_schema", &n, &e), -EUCLEAN);
    assert_non_null(strstr(e.text, "not a database"));
    sqlite3_close(db);
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    struct fixture *f = *state;
    const char *path = scratch_path(f->directory, "missing/a.db");
    sqlite3 *db = f->db;
    struct err e;

    assert_int_equal(sql_open(path, CREATE, &db, &e), -EIO);
    assert_null(db);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, strerror(ENOENT)));
}

static void a_lock_of_another_connection_can_be_waited_for(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other;
    struct err e;

    assert_int_equal(sql_open(f->path, CREATE, &other, &e), 0);
    sqlite3_busy_timeout(other, 0);
    assert_int_equal(sql_exec(f->db, "BEGIN IMMEDIATE", &e), 0);
    assert_int_equal(sql_exec(other, "BEGIN IMMEDIATE", &e), -EAGAIN);
    assert_non_null(strstr(e.text, "locked"));
    assert_int_equal(sql_exec(f->db, "COMMIT", &e), 0);
    assert_int_equal(sql_exec(other, "BEGIN IMMEDIATE", &e), 0);
    sqlite3_close(other);
}

static void a_reader_may_not_write(void **state)
{
    struct fixture *f = *state;
    sqlite3 *reader;
    struct err e;

    assert_int_equal(sql_open(f->path, SQLITE_OPEN_READONLY, &reader, &e), 0);
    assert_int_equal(sql_exec(reader, "INSERT INTO t VALUES (1, 2)", &e), -EACCES);
    sqlite3_close(reader);
}

static void a_full_database_is_no_space_and_the_statement_can_be_run_again(void **state)
{
    struct fixture *f = *state;
    sqlite3_stmt *insert;
    struct err e;
    int64_t n;

    assert_int_equal(sql_exec(f->db, "PRAGMA max_page_count = 3", &e), 0);
    assert_int_equal(sql_prepare(f->db, "INSERT INTO t (x) VALUES (zeroblob(?1))", &insert, &e), 0);
    SQL_BIND(insert, 100000);
    assert_int_equal(sql_run(insert, &e), -ENOSPC);
    assert_non_null(strstr(e.text, "full"));
    SQL_BIND(insert, 1);
    assert_int_equal(sql_run(insert, &e), 0);
    sql_finalize(&insert, 1);
    assert_null(insert);
    assert_int_equal(sql_integer(f->db, "SELECT count(*) FROM t", &n, &e), 0);
    assert_int_equal(n, 1);
}

static void an_integer_that_is_not_there_is_damage(void **state)
{
    struct fixture *f = *state;
    struct err e;
    int64_t n = 7;

    assert_int_equal(sql_integer(f->db, "SELECT x FROM t", &n, &e), -EUCLEAN);
    assert_non_null(strstr(e.text, "SELECT x FROM t"));
    assert_int_equal(n, 7);
}

static void nan_and_no_text_are_null_and_come_back(void **state)
{
    struct fixture *f = *state;
    sqlite3_stmt *q;
    struct err e;
    int64_t n;

    assert_int_equal(sql_prepare(f->db, "INSERT INTO t VALUES (?1, ?2)", &q, &e), 0);
    sql_bind_double(q, 1, (double)NAN);
    sql_bind_text(q, 2, NULL);
    assert_int_equal(sql_run(q, &e), 0);
    sql_finalize(&q, 1);
    assert_int_equal(
        sql_integer(f->db, "SELECT count(*) FROM t WHERE x IS NULL AND y IS NULL", &n, &e), 0);
    assert_int_equal(n, 1);
    assert_int_equal(sql_prepare(f->db, "SELECT x, y FROM t", &q, &e), 0);
    assert_int_equal(sql_step(q, &e), 1);
    assert_true(isnan(sql_column_double(q, 0)));
    assert_string_equal(sql_column_text(q, 1), "");
    assert_int_equal(sql_row_check(q, &e), 0);
    assert_int_equal(sql_step(q, &e), 0);
    sql_finalize(&q, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_library_that_is_too_old_is_named),
        TEST(an_integer_is_found_by_its_key),
        TEST(a_file_that_is_no_database_is_damage),
        TEST(a_file_that_cannot_be_opened_is_named),
        TEST(a_lock_of_another_connection_can_be_waited_for),
        TEST(a_reader_may_not_write),
        TEST(a_full_database_is_no_space_and_the_statement_can_be_run_again),
        TEST(an_integer_that_is_not_there_is_damage),
        TEST(nan_and_no_text_are_null_and_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
