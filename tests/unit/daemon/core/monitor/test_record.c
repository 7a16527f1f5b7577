#include "tests/lib/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "tests/lib/fault.h"

static void a_record_is_zeroed_and_named(void **state)
{
    struct record *record = record_new(RECORD_LOST, "run");

    (void)state;
    assert_non_null(record);
    assert_int_equal(record->kind, RECORD_LOST);
    assert_string_equal(record->run, "run");
    assert_int_equal(record->seq, 0);
    assert_null(record->entry);
    record_free(record);
    record_free(NULL);
    fault_arm(1);
    assert_null(record_new(RECORD_LOST, "run"));
    assert_true(fault_disarm());
}

static void a_half_built_open_is_freed(void **state)
{
    struct record *record = record_new(RECORD_OPEN, "run");

    (void)state;
    record->open.name = strdup("name");
    record->opened.layers = calloc(2, sizeof *record->opened.layers);
    record->opened.n_layers = 2;
    record->opened.layers[0].watch =
        watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_D_LR}});
    assert_non_null(record->opened.layers[0].watch);
    record_free(record); /* the address sanitizer sees what is left */
}

static void dropped_points_are_gone(void **state)
{
    struct record *record = record_new(RECORD_CHECKPOINT, "run");

    (void)state;
    record->points = calloc(3, sizeof *record->points);
    record->n_points = 3;
    record_drop_points(record);
    assert_int_equal(record->n_points, 0);
    assert_null(record->points);
    record_drop_points(record);
    record_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_zeroed_and_named),
        cmocka_unit_test(a_half_built_open_is_freed),
        cmocka_unit_test(dropped_points_are_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
