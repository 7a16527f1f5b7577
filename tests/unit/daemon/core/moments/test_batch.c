/* How many rows a batch stands for. */
#include "tests/lib/cmocka.h"

#include "daemon/core/moments/batch.h"

static void rows_and_statistics_count_and_a_head_does_not(void **state)
{
    struct batch rows = {.kind = BATCH_ROWS, .rows.n = 7};
    struct batch moments = {.kind = BATCH_MOMENTS, .view.n_rows = UINT64_C(1) << 40};
    struct batch head = {.kind = BATCH_HEAD, .head.n = 3};

    (void)state;
    assert_true(batch_n_rows(&rows) == 7);
    assert_true(batch_n_rows(&moments) == UINT64_C(1) << 40);
    assert_true(batch_n_rows(&head) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_statistics_count_and_a_head_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
