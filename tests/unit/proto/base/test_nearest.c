#include "proto/base/nearest.h"

#include "tests/lib/cmocka.h"

static const char *const names[] = {"state-dir", "runtime-dir", "listen", "feed", "http"};
#define N (sizeof names / sizeof *names)

static void a_slip_of_the_hand_is_understood(void **state)
{
    (void)state;
    assert_string_equal(nearest_name("staet-dir", names, N), "state-dir");
    assert_string_equal(nearest_name("runtime_dir", names, N), "runtime-dir");
    assert_string_equal(nearest_name("htp", names, N), "http");
    assert_string_equal(nearest_name("feed", names, N), "feed");
}

static void another_word_is_none(void **state)
{
    (void)state;
    assert_null(nearest_name("colour", names, N));
    assert_null(nearest_name("", names, N));
    assert_null(nearest_name("x", names, N));
    assert_null(nearest_name("feed", names, 0));
    assert_null(nearest_name("a-word-that-is-longer-than-any-name-could-ever-be", names, N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_of_the_hand_is_understood),
        cmocka_unit_test(another_word_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
