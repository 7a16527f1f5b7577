/* The small lists of proto/base: formats, states, policies, refusal codes, clocks. */
#include "tests/lib/cmocka.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/dtype.h"
#include "proto/base/metric.h"
#include "proto/base/nack.h"
#include "proto/base/policy.h"
#include "proto/base/state.h"

static void formats_have_the_codes_of_the_protocol(void **state)
{
    static const struct {
        enum dtype dtype;
        const char *name;
        size_t size;
    } formats[] = {
        {0, "none", 0}, {1, "f32", 4}, {2, "f64", 8}, {3, "f16", 2},
        {4, "bf16", 2}, {5, "i32", 4}, {6, "i64", 8},
    };

    (void)state;
    assert_int_equal(DTYPE_COUNT, sizeof formats / sizeof *formats);
    for (size_t i = 0; i < DTYPE_COUNT; i++) {
        assert_string_equal(dtype_name(formats[i].dtype), formats[i].name);
        assert_int_equal(dtype_size(formats[i].dtype), formats[i].size);
        assert_int_equal(dtype_is_label(formats[i].dtype), formats[i].name[0] == 'i');
    }
    assert_int_equal(dtype_size((enum dtype)200), 0);
    assert_string_equal(dtype_name((enum dtype)200), "unknown");
}

static void states_are_found_by_name_and_strangers_are_lost(void **state)
{
    (void)state;
    for (int i = 0; i < STATE_COUNT; i++)
        assert_int_equal(state_find(state_name(i)), i);
    assert_int_equal(state_find("closed"), -1);
    assert_string_equal(state_name(-1), "lost");
    assert_string_equal(state_name(STATE_COUNT), "lost");
    /* They are stored as numbers. */
    assert_int_equal(STATE_OPEN, 0);
    assert_int_equal(STATE_LOST, 3);
}

static size_t count(const char *const *words)
{
    size_t n = 0;

    while (words[n])
        n++;
    return n;
}

static void each_policy_has_a_word(void **state)
{
    (void)state;
    assert_int_equal(count(resume_names), RESUME_NEVER + 1);
    assert_int_equal(count(window_names), WINDOW_CUMULATIVE + 1);
    assert_int_equal(count(projector_names), PROJECTOR_RIDGE + 1);
}

static void refusals_that_end_a_connection_are_fatal(void **state)
{
    (void)state;
    for (enum nack_code code = 0; code < NACK_COUNT; code++) {
        assert_int_equal(nack_code_name(code)[0], 'E');
        assert_int_equal(nack_code_find(nack_code_name(code)), code);
    }
    assert_int_equal(nack_code_find("ENEWER"), NACK_COUNT);
    assert_true(nack_code_is_fatal(NACK_EFENCED));
    assert_false(nack_code_is_fatal(NACK_ECREDIT));
}

static void metrics_are_found_by_name(void **state)
{
    (void)state;
    for (int i = 0; i < METRIC_COUNT; i++)
        assert_int_equal(metric_find(metric_table[i].name), i);
    assert_int_equal(metric_find("d_l"), -1);
}

static void a_plain_measure_knows_its_corrected_form(void **state)
{
    (void)state;
    assert_int_equal(metric_corrected(METRIC_D_LR), METRIC_D_DEBIASED);
    assert_int_equal(metric_plain(METRIC_D_DEBIASED), METRIC_D_LR);
    assert_int_equal(metric_corrected(METRIC_NC1), METRIC_NC1);
    for (int i = 0; i < METRIC_COUNT; i++) {
        assert_int_equal(metric_plain(metric_corrected(i)), metric_plain(i));
        assert_true(metric_plain(i) <= i);
    }
}

static void one_clock_tells_the_time_and_one_goes_forward(void **state)
{
    int64_t before = clock_monotonic_ms();

    (void)state;
    assert_true(clock_wall_s() > 1.6e9);
    assert_true(clock_monotonic_ms() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_the_codes_of_the_protocol),
        cmocka_unit_test(states_are_found_by_name_and_strangers_are_lost),
        cmocka_unit_test(each_policy_has_a_word),
        cmocka_unit_test(refusals_that_end_a_connection_are_fatal),
        cmocka_unit_test(metrics_are_found_by_name),
        cmocka_unit_test(a_plain_measure_knows_its_corrected_form),
        cmocka_unit_test(one_clock_tells_the_time_and_one_goes_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
