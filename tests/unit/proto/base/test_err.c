#include "proto/base/err.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <string.h>

static int fail_for(struct err *e, const char *run)
{
    return err_set(e, -ENOENT, "there is no run %s", run);
}

static void a_failure_has_its_code_and_a_sentence(void **state)
{
    struct err e = {"of before"};

    (void)state;
    assert_int_equal(fail_for(&e, "mod97"), -ENOENT);
    assert_string_equal(e.text, "there is no run mod97");
}

static void a_prefix_says_what_was_tried(void **state)
{
    struct err e = {""};
    int rc = fail_for(&e, "mod97");

    (void)state;
    assert_int_equal(err_prefix(&e, rc, "reading %s: ", "the store"), -ENOENT);
    assert_string_equal(e.text, "reading the store: there is no run mod97");
}

static void a_caller_may_want_no_text(void **state)
{
    (void)state;
    assert_int_equal(fail_for(NULL, "mod97"), -ENOENT);
    assert_int_equal(err_prefix(NULL, -EIO, "reading: "), -EIO);
}

static void a_long_sentence_is_cut(void **state)
{
    char name[2 * ERR_TEXT_SIZE];
    struct err e;

    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    fail_for(&e, name);
    assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
    err_prefix(&e, -EIO, "first ");
    assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(strncmp(e.text, "first there is no run xxx", 25), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_has_its_code_and_a_sentence),
        cmocka_unit_test(a_prefix_says_what_was_tried),
        cmocka_unit_test(a_caller_may_want_no_text),
        cmocka_unit_test(a_long_sentence_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
