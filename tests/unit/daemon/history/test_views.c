/* Saved views: what the store writes and the history reads. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/history/history.h"
#include "daemon/store/store.h"
#include "tests/lib/answers.h"
#include "tests/lib/history_fixture.h"

static int save(struct history_fixture *f, const char *name, const char *query, const char *note,
                bool replace, struct err *e)
{
    return store_save_view(
        f->store,
        &(struct view_edit){
            .name = name, .query = query, .note = note, .replace = replace, .time = 7.5},
        e);
}

/* The list as text, into `text`. */
static void list(struct history_fixture *f, char *text, size_t size)
{
    struct history *history;
    struct answer answer;
    FILE *stream = fmemopen(text, size, "w");
    struct err e;

    assert_non_null(stream);
    assert_int_equal(history_open(f->path, &history, &e), 0);
    answer_start(&answer, ANSWER_JSON, NULL, stream);
    assert_int_equal(history_view_list(history, &answer, &e), 0);
    assert_int_equal(answer_end(&answer), 0);
    assert_int_equal(fclose(stream), 0);
    history_close(history);
}

static void views_are_listed_by_name_as_they_were_saved_last(void **state)
{
    struct history_fixture *f = *state;
    char text[500];
    struct err e;

    assert_int_equal(save(f, "b", "runs=x", NULL, false, &e), 0);
    assert_int_equal(save(f, "a", "runs=y", "why", false, &e), 0);
    assert_int_equal(save(f, "a", "", NULL, true, &e), 0); /* the note stays */
    history_fixture_reopen(f);
    list(f, text, sizeof text);
    assert_string_equal(
        text, "{\"views\":[{\"name\":\"a\",\"query\":\"\",\"note\":\"why\",\"saved\":7.5},"
              "{\"name\":\"b\",\"query\":\"runs=x\",\"note\":\"\",\"saved\":7.5}]}\n");
}

static void a_view_is_not_overwritten_unasked(void **state)
{
    struct history_fixture *f = *state;
    char text[500];
    struct err e;

    assert_int_equal(save(f, "a", "runs=x", NULL, false, &e), 0);
    assert_int_equal(save(f, "a", "runs=y", NULL, false, &e), -EEXIST);
    assert_non_null(strstr(e.text, "there is a view \"a\""));
    list(f, text, sizeof text);
    assert_non_null(strstr(text, "runs=x"));
}

static void a_deleted_view_is_gone(void **state)
{
    struct history_fixture *f = *state;
    char text[500];
    struct err e;

    assert_int_equal(save(f, "a", "runs=x", NULL, false, &e), 0);
    assert_int_equal(store_delete_view(f->store, "a", &e), 0);
    assert_int_equal(store_delete_view(f->store, "a", &e), -ENOENT);
    list(f, text, sizeof text);
    assert_string_equal(text, "{\"views\":[]}\n");
}

static void views_have_a_limit(void **state)
{
    struct history_fixture *f = *state;
    char sql[300];
    struct err e;

    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO saved_view(name, query, note) SELECT 'view ' || i, '', '' FROM n",
             STORE_VIEWS_MAX);
    history_fixture_run(f, sql);
    assert_int_equal(save(f, "one more", "", NULL, true, &e), -ENOBUFS);
    assert_int_equal(save(f, "view 7", "runs=x", NULL, true, &e), 0);
    assert_int_equal(store_delete_view(f->store, "view 8", &e), 0);
    assert_int_equal(save(f, "one more", "", NULL, false, &e), 0);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, history_fixture_set_up, history_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(views_are_listed_by_name_as_they_were_saved_last),
        TEST(a_view_is_not_overwritten_unasked),
        TEST(a_deleted_view_is_gone),
        TEST(views_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
