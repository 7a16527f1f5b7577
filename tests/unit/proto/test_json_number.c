#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/random.h"

#define N_RANDOM 200000

static const char *text_of(double value)
{
    static char text[JSON_DOUBLE_SIZE];

    size_t size = json_double_text(value, text);

    assert_int_equal(size, strlen(text));
    return text;
}

/* By libc: %.15g where that reads back the same, else %.17g, which may have a digit too many. */
static void check_beside_libc(double value)
{
    const char *text = text_of(value);
    char by_libc[JSON_DOUBLE_SIZE];
    double back = strtod(text, NULL);
    bool has_few;

    assert_memory_equal(&back, &value, sizeof value);
    snprintf(by_libc, sizeof by_libc, "%.15g", value);
    has_few = strtod(by_libc, NULL) == value;
    if (!has_few)
        snprintf(by_libc, sizeof by_libc, "%.17g", value);
    if (has_few && fabs(value) >= DBL_MIN)
        assert_string_equal(text, by_libc);
    assert_true(strlen(text) <= strlen(by_libc));
}

static void every_double_reads_back_the_same_in_the_fewest_digits(void **state)
{
    struct random random;

    (void)state;
    random_seed(&random, 1);
    for (size_t i = 0; i < N_RANDOM; i++) {
        uint64_t bits = random_bits(&random);
        double value;

        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_beside_libc(value);
        check_beside_libc((double)(float)random_uniform(&random));
        check_beside_libc((double)(int64_t)bits);
        check_beside_libc((double)(bits % 100000) / 1000);
    }
}

static void numbers_have_the_form_of_printf(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {10, "10"},
        {0.5, "0.5"},
        {-12.25, "-12.25"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {0.000012345, "1.2345e-05"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {100000000000000, "100000000000000"},
        {1e15, "1e+15"},
        {1e21, "1e+21"},
        {1e100, "1e+100"},
        {1e-100, "1e-100"},
        {1234567890123456, "1234567890123456"},
        {12345678901234568, "12345678901234568"},
        {123456789012345680, "1.2345678901234568e+17"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {(double)INFINITY, "null"},
        {(double)NAN, "null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(text_of(cases[i].value), cases[i].text);
}

static void powers_of_two_and_ten_read_back_the_same(void **state)
{
    (void)state;
    for (int exponent = DBL_MIN_EXP - DBL_MANT_DIG; exponent < DBL_MAX_EXP; exponent++) {
        double power = ldexp(1, exponent);

        check_beside_libc(power);
        check_beside_libc(nextafter(power, 0));
        check_beside_libc(nextafter(power, 2 * power));
    }
    for (int exponent = -307; exponent < 309; exponent++)
        check_beside_libc(pow(10, exponent));
}

static void no_locale_writes_a_comma(void **state)
{
    const char *before = setlocale(LC_ALL, NULL);
    char kept[64];

    (void)state;
    snprintf(kept, sizeof kept, "%s", before);
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is there */
    assert_string_equal(text_of(0.5), "0.5");
    setlocale(LC_ALL, kept);
}

static void integers_are_written_whole(void **state)
{
    static const int64_t cases[] = {0, 1, -1, 9, 10, -10, 99, 1000000, INT64_MAX, INT64_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[JSON_DOUBLE_SIZE], expected[JSON_DOUBLE_SIZE];

        snprintf(expected, sizeof expected, "%" PRId64, cases[i]);
        assert_int_equal(json_integer_text(cases[i], text), strlen(expected));
        assert_string_equal(text, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_double_reads_back_the_same_in_the_fewest_digits),
        cmocka_unit_test(numbers_have_the_form_of_printf),
        cmocka_unit_test(powers_of_two_and_ten_read_back_the_same),
        cmocka_unit_test(no_locale_writes_a_comma),
        cmocka_unit_test(integers_are_written_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
