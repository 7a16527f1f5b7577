#include "daemon/core/monitor/claims.h"

#include "tests/lib/cmocka.h"

#include <stdlib.h>

#include "tests/lib/fault.h"

static void claims_are_a_copy_with_names_of_their_own(void **state)
{
    char first[] = "body", second[] = "head.0";
    struct checkpoint_layer layers[] = {{first, 3, 60, 5}, {second, 4, 80, 0}};
    struct claims *claims = claims_new(layers, 2);

    (void)state;
    assert_non_null(claims);
    first[0] = second[0] = '?';
    layers[0].rows = 0;
    assert_int_equal(claims->n, 2);
    assert_string_equal(claims->layers[0].name, "body");
    assert_string_equal(claims->layers[1].name, "head.0");
    assert_int_equal(claims->layers[0].seq, 3);
    assert_int_equal(claims->layers[0].rows, 60);
    assert_int_equal(claims->layers[0].thinned, 5);
    assert_int_equal(claims->size_bytes,
                     sizeof *claims + 2 * sizeof *layers + sizeof first + sizeof second);
    free(claims);
}

static void a_mark_may_name_no_layer(void **state)
{
    struct claims *claims = claims_new(NULL, 0);

    (void)state;
    assert_non_null(claims);
    assert_int_equal(claims->n, 0);
    free(claims);
}

static void without_memory_there_are_none(void **state)
{
    struct checkpoint_layer layer = {"body", 1, 1, 0};

    (void)state;
    fault_arm(1);
    assert_null(claims_new(&layer, 1));
    fault_disarm();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_a_copy_with_names_of_their_own),
        cmocka_unit_test(a_mark_may_name_no_layer),
        cmocka_unit_test(without_memory_there_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
