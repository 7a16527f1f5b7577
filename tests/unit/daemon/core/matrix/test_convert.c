#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "tests/lib/cmocka.h"

static const enum dtype all[] = {DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16};
#define N_ALL (sizeof all / sizeof all[0])

/* IEEE 754 as the standard states it: sign, biased exponent, fraction. */
static double value_of(unsigned bits, int n_exponent, int n_fraction)
{
    unsigned fraction = bits & ((1u << n_fraction) - 1);
    int exponent = (int)(bits >> n_fraction & ((1u << n_exponent) - 1));
    int bias = (1 << (n_exponent - 1)) - 1;
    double sign = bits >> (n_exponent + n_fraction) ? -1 : 1;

    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - n_fraction);
    return sign * ldexp((1u << n_fraction) + fraction, exponent - bias - n_fraction);
}

static void check_all_16_bit_values(enum dtype d, int n_exponent, int n_fraction)
{
    unsigned all_ones = ((1u << n_exponent) - 1) << n_fraction;

    for (unsigned bits = 0; bits < 0x10000; bits++) {
        uint16_t stored = (uint16_t)bits;
        bool finite = (bits & all_ones) != all_ones;
        double got, expected = value_of(bits, n_exponent, n_fraction);
        float single;

        assert_int_equal(convert_find_nonfinite(d, &stored, 1), finite ? 1 : 0);
        if (!finite)
            continue;
        convert_to_double(d, &stored, 1, &got);
        assert_memory_equal(&got, &expected, sizeof got); /* -0.0 is not 0.0 */
        convert_to_float(d, &stored, 1, &single);
        got = single;
        assert_memory_equal(&got, &expected, sizeof got);
    }
}

static void every_f16_value_is_read_exactly(void **state)
{
    (void)state;
    check_all_16_bit_values(DTYPE_F16, 5, 10);
}

static void every_bf16_value_is_read_exactly(void **state)
{
    (void)state;
    check_all_16_bit_values(DTYPE_BF16, 8, 7);
}

static void f32_and_f64_are_read_exactly_from_odd_addresses(void **state)
{
    static const float singles[] = {1.5f, -0.0f, FLT_MAX, -FLT_MIN, 0x1p-149f, 1e30f, 1e-30f};
    static const double doubles[] = {1.5, -0.0, DBL_MAX, -DBL_MIN, 0x1p-1074, 0.1, 1e-300};
    char bytes[1 + sizeof doubles];
    double out[7];

    (void)state;
    memcpy(bytes + 1, singles, sizeof singles);
    convert_to_double(DTYPE_F32, bytes + 1, 7, out);
    for (int i = 0; i < 7; i++) {
        double expected = singles[i];

        assert_memory_equal(&out[i], &expected, sizeof expected);
    }
    memcpy(bytes + 1, doubles, sizeof doubles);
    convert_to_double(DTYPE_F64, bytes + 1, 7, out);
    assert_memory_equal(out, doubles, sizeof doubles);
}

static void size_and_epsilon_are_those_of_the_format(void **state)
{
    (void)state;
    assert_int_equal(dtype_size(DTYPE_NONE), 0);
    assert_int_equal(dtype_size(DTYPE_F32), 4);
    assert_int_equal(dtype_size(DTYPE_F64), 8);
    assert_int_equal(dtype_size(DTYPE_F16), 2);
    assert_int_equal(dtype_size(DTYPE_BF16), 2);
    assert_true(dtype_epsilon(DTYPE_F32) == FLT_EPSILON);
    assert_true(dtype_epsilon(DTYPE_F64) == DBL_EPSILON);
    assert_true(dtype_epsilon(DTYPE_F16) == value_of(0x3C01, 5, 10) - 1);
    assert_true(dtype_epsilon(DTYPE_BF16) == value_of(0x3F81, 8, 7) - 1);
}

/* Inf and NaN of a format, as the bits of its largest finite number plus 1 and plus 2. */
static void put_nonfinite(enum dtype d, int which, char *to)
{
    static const uint64_t infinity[] = {
        [DTYPE_F32] = 0x7F800000,
        [DTYPE_F64] = 0x7FF0000000000000,
        [DTYPE_F16] = 0x7C00,
        [DTYPE_BF16] = 0x7F80,
    };
    uint64_t sign = 1ull << (8 * dtype_size(d) - 1);
    uint64_t bits[] = {infinity[d], infinity[d] | sign, infinity[d] + 1, (infinity[d] + 1) | sign,
                       sign | (sign - 1)};

    memcpy(to, &bits[which], dtype_size(d)); /* little-endian, as the wire */
}

static void the_first_value_that_is_not_finite_is_found(void **state)
{
    char bytes[1 + 8 * 40];
    static const size_t places[] = {0, 1, 7, 8, 31, 38, 39};

    (void)state;
    for (size_t k = 0; k < N_ALL; k++) {
        size_t size = dtype_size(all[k]);

        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            for (int which = 0; which < 5; which++) {
                memset(bytes, 0, sizeof bytes);
                put_nonfinite(all[k], which, bytes + 1 + size * places[i]);
                put_nonfinite(all[k], 0, bytes + 1 + size * 39);
                assert_int_equal(convert_find_nonfinite(all[k], bytes + 1, 40), places[i]);
                assert_int_equal(convert_find_nonfinite(all[k], bytes + 1, places[i]), places[i]);
            }
        }
    }
}

static void the_largest_and_smallest_finite_values_pass(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_ALL; k++) {
        size_t size = dtype_size(all[k]);
        char bytes[8 * 4];
        uint64_t largest, negative, smallest = 1, minus_zero = 1ull << (8 * size - 1);

        put_nonfinite(all[k], 0, memset(bytes, 0, sizeof bytes));
        memcpy(&largest, bytes, 8);
        largest -= 1;
        negative = largest | minus_zero;
        memcpy(bytes, &largest, size);
        memcpy(bytes + size, &negative, size);
        memcpy(bytes + 2 * size, &smallest, size);
        memcpy(bytes + 3 * size, &minus_zero, size);
        assert_int_equal(convert_find_nonfinite(all[k], bytes, 4), 4);
        assert_int_equal(convert_find_nonfinite(all[k], bytes, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_value_is_read_exactly),
        cmocka_unit_test(every_bf16_value_is_read_exactly),
        cmocka_unit_test(f32_and_f64_are_read_exactly_from_odd_addresses),
        cmocka_unit_test(size_and_epsilon_are_those_of_the_format),
        cmocka_unit_test(the_first_value_that_is_not_finite_is_found),
        cmocka_unit_test(the_largest_and_smallest_finite_values_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
