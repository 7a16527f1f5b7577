#include "client/ctl/common/shown.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/ctl/common/text.h"
#include "proto/base/metric.h"

static void expect(const char *json, int form, const char *text)
{
    cJSON *point = cJSON_Parse(json);
    char buffer[TEXT_SIZE];

    assert_int_equal(shown_form(point, METRIC_D_LR), form);
    assert_string_equal(shown_member(point, METRIC_D_LR, buffer), text);
    cJSON_Delete(point);
}

static void the_corrected_form_is_shown_and_a_plain_one_has_a_star(void **state)
{
    (void)state;
    expect("{\"d_lr\":0.0941,\"d_debiased\":0.0573}", METRIC_D_DEBIASED, "0.0573");
    expect("{\"d_lr\":0.0941,\"d_debiased\":null}", METRIC_D_LR, "0.0941*");
    expect("{\"d_lr\":0.0941}", METRIC_D_LR, "0.0941*");
    expect("{\"d_lr\":null,\"d_debiased\":null}", METRIC_D_LR, "-");
}

static void a_measure_of_one_form_has_no_star(void **state)
{
    cJSON *point = cJSON_Parse("{\"nc1\":0.5}");
    char buffer[TEXT_SIZE];

    (void)state;
    assert_int_equal(shown_form(point, METRIC_NC1), METRIC_NC1);
    assert_string_equal(shown_member(point, METRIC_NC1, buffer), "0.5000");
    cJSON_Delete(point);
}

static void numbers_are_chosen_as_members_are(void **state)
{
    char buffer[TEXT_SIZE];

    (void)state;
    assert_true(shown_value(0.25, 0.5) == 0.25);
    assert_true(shown_value((double)NAN, 0.5) == 0.5);
    assert_true(isnan(shown_value((double)NAN, (double)NAN)));
    assert_string_equal(shown_text(-0.0012, 0.5, buffer), "-0.0012");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_corrected_form_is_shown_and_a_plain_one_has_a_star),
        cmocka_unit_test(a_measure_of_one_form_has_no_star),
        cmocka_unit_test(numbers_are_chosen_as_members_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
