#include "client/ctl/common/member.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_absent_or_of_another_kind_is_the_default(void **state)
{
    cJSON *object = cJSON_Parse("{\"text\":\"head\",\"number\":2.5,\"null\":null}");

    (void)state;
    assert_string_equal(member_text(object, "text", "?"), "head");
    assert_string_equal(member_text(object, "number", "?"), "?");
    assert_string_equal(member_text(object, "none", "?"), "?");
    assert_null(member_text(NULL, "text", NULL));
    assert_true(member_number(object, "number") == 2.5);
    assert_true(isnan(member_number(object, "text")));
    assert_true(isnan(member_number(object, "null")));
    assert_true(isnan(number_of(NULL)));
    assert_null(member(object, "TEXT"));
    cJSON_Delete(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_or_of_another_kind_is_the_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
