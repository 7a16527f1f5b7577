#include "daemon/store/blob.h"

#include "tests/lib/cmocka.h"

#include <string.h>

static void a_double_is_eight_bytes_with_the_lowest_first(void **state)
{
    static const unsigned char one[] = {0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    const double value = 1;
    char bytes[sizeof one];

    (void)state;
    assert_ptr_equal(blob_put(bytes, &value, 1), bytes + sizeof one);
    assert_memory_equal(bytes, one, sizeof one);
}

/* NaN and the sign of zero too: the bits are kept, not the values. */
static void arrays_come_back_bit_by_bit_from_any_address(void **state)
{
    const double values[] = {-0.0, 1e-310, 0.1, -1e308, __builtin_nan("0x5a"), __builtin_inf()};
    const size_t n = sizeof values / sizeof *values;
    char bytes[1 + sizeof values];
    double back[sizeof values / sizeof *values];

    (void)state;
    assert_ptr_equal(blob_put(bytes + 1, values, n), bytes + sizeof bytes);
    assert_ptr_equal(blob_get(bytes + 1, back, n), bytes + sizeof bytes);
    assert_memory_equal(back, values, sizeof values);
}

static void an_array_that_is_not_there_takes_no_bytes(void **state)
{
    char bytes[1] = {'x'};

    (void)state;
    assert_ptr_equal(blob_put(bytes, NULL, 4), bytes);
    assert_ptr_equal(blob_get(bytes, NULL, 4), bytes);
    assert_int_equal(bytes[0], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_double_is_eight_bytes_with_the_lowest_first),
        cmocka_unit_test(arrays_come_back_bit_by_bit_from_any_address),
        cmocka_unit_test(an_array_that_is_not_there_takes_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
