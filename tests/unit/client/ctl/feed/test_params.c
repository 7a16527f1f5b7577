#include "client/ctl/feed/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_json(cJSON *params, const char *expected)
{
    char *text = cJSON_PrintUnformatted(params);

    assert_string_equal(text, expected);
    cJSON_free(text);
    cJSON_Delete(params);
}

static void what_is_unset_is_left_out(void **state)
{
    (void)state;
    assert_json(params_none(), "{}");
    assert_json(params_of(param_text("run", "r0"), param_text("layer", NULL),
                          param_list("metrics", "pr"), param_list("names", NULL),
                          param_integer("from", 0), param_integer("to", -1),
                          param_flag("scalars", true), param_flag("other", false)),
                "{\"run\":\"r0\",\"metrics\":[\"pr\"],\"from\":0,\"scalars\":true}");
}

static void integers_are_exact(void **state)
{
    (void)state;
    assert_json(params_of(param_integer("seq", 9007199254740993)), "{\"seq\":9007199254740993}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_unset_is_left_out),
        cmocka_unit_test(integers_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
