/* A damaged database gets another name, and nothing of it is lost on the way. */
#include "daemon/store/aside.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/records.h"

struct fixture {
    char *directory;
    char path[256];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    scratch_free(f->directory);
    free(f);
    return 0;
}

static void write_file(const char *path, const char *suffix, const char *text)
{
    char name[512];
    FILE *file;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_file(const char *path, const char *suffix, const char *text)
{
    char name[512], line[64] = "";
    FILE *file;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    file = fopen(name, "r");
    if (!text) {
        assert_null(file);
        return;
    }
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, text);
    fclose(file);
}

static void the_wal_goes_along_and_the_old_names_are_free(void **state)
{
    struct fixture *f = *state;
    char aside[300], expected[300];
    struct err e;

    write_file(f->path, "", "database");
    write_file(f->path, "-wal", "log");
    write_file(f->path, "-shm", "index");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), 0);
    snprintf(expected, sizeof expected, "%s.damaged-1", f->path);
    assert_string_equal(aside, expected);
    expect_file(aside, "", "database");
    expect_file(aside, "-wal", "log");
    expect_file(f->path, "", NULL);
    expect_file(f->path, "-wal", NULL);
    expect_file(f->path, "-shm", NULL);
}

static void an_older_one_keeps_its_name(void **state)
{
    struct fixture *f = *state;
    char aside[300];
    struct err e;

    write_file(f->path, ".damaged-1", "older");
    write_file(f->path, "", "newer");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), 0);
    expect_file(f->path, ".damaged-1", "older");
    expect_file(f->path, ".damaged-2", "newer");
}

/* The WAL's new name is taken by a stranger: the database keeps its own name, with its WAL. */
static void what_cannot_be_set_aside_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    char aside[300];
    struct err e;

    write_file(f->path, "", "database");
    write_file(f->path, "-wal", "log");
    write_file(f->path, ".damaged-1-wal", "stranger");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), -EEXIST);
    assert_non_null(strstr(e.text, "cannot be set aside"));
    expect_file(f->path, "", "database");
    expect_file(f->path, "-wal", "log");
    expect_file(f->path, ".damaged-1", NULL);
    expect_file(f->path, ".damaged-1-wal", "stranger");
}

static void a_hundred_damaged_ones_are_enough(void **state)
{
    struct fixture *f = *state;
    char suffix[32], aside[300];
    struct err e;

    for (int n = 1; n <= 100; n++) {
        snprintf(suffix, sizeof suffix, ".damaged-%d", n);
        write_file(f->path, suffix, "older");
    }
    write_file(f->path, "", "newer");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), -EEXIST);
    expect_file(f->path, "", "newer");
}

static void a_path_without_room_for_the_name_is_refused(void **state)
{
    struct fixture *f = *state;
    char aside[8];
    struct err e;

    write_file(f->path, "", "database");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), -ENAMETOOLONG);
    expect_file(f->path, "", "database");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_wal_goes_along_and_the_old_names_are_free),
        TEST(an_older_one_keeps_its_name),
        TEST(what_cannot_be_set_aside_stays_as_it_was),
        TEST(a_hundred_damaged_ones_are_enough),
        TEST(a_path_without_room_for_the_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
