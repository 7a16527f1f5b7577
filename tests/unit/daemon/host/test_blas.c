#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "tests/lib/cmocka.h"

static void environment_is(const char *asked, const char *ours)
{
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("RICHD_CORETYPE");
    if (asked)
        setenv("OPENBLAS_CORETYPE", asked, 1);
    if (ours)
        setenv("RICHD_CORETYPE", ours, 1);
}

static void the_environment_says_who_chose(void **state)
{
    const char *kernels = linalg_kernels();

    (void)state;
    environment_is(NULL, NULL);
    assert_string_equal(blas_chosen_by(), "openblas");
    environment_is(kernels, NULL);
    assert_string_equal(blas_chosen_by(), "environment");
    environment_is(kernels, kernels);
    assert_string_equal(blas_chosen_by(), "richd");
    environment_is(kernels, "ANOTHER"); /* a user's word behind ours */
    assert_string_equal(blas_chosen_by(), "environment");
    environment_is("ANOTHER", "ANOTHER"); /* OpenBLAS did not take it */
    assert_string_equal(blas_chosen_by(), "openblas");
    environment_is("", NULL);
    assert_string_equal(blas_chosen_by(), "openblas");
}

static void nothing_is_better_than_what_the_user_asked_for(void **state)
{
    char *argv[] = {NULL};

    (void)state;
    environment_is("PRESCOTT", NULL);
    assert_null(blas_better());
    blas_start_again(argv); /* returns */
    environment_is(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_says_who_chose),
        cmocka_unit_test(nothing_is_better_than_what_the_user_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
