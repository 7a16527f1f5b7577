#include "client/ctl/feed/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/json.h"

static void expect(const struct options *options, const char *wanted)
{
    struct err err = {""};
    cJSON *filter;
    char *text;

    assert_int_equal(filter_make(options, &filter, &err), 0);
    text = json_print(filter);
    assert_string_equal(text, wanted);
    cJSON_free(text);
    cJSON_Delete(filter);
}

static void without_options_all_runs_are_meant(void **state)
{
    struct options options = {0};

    (void)state;
    expect(&options, "{}");
    assert_false(filter_is_given(&options));
    options.hidden = true;
    assert_false(filter_is_given(&options));
    options.search = "x";
    assert_true(filter_is_given(&options));
    expect(&options, "{\"search\":\"x\",\"hidden\":true}");
}

static void values_are_numbers_words_of_json_or_texts(void **state)
{
    struct options options = {
        .config = {{"a=1e-3", "b=true", "c=null", "d=x=y", "e=\"1\"", "f=\"", "g=inf", "h=0x10"},
                   8}};

    (void)state;
    expect(&options, "{\"config\":{\"a\":0.001,\"b\":true,\"c\":null,\"d\":\"x=y\",\"e\":\"1\","
                     "\"f\":\"\\\"\",\"g\":\"inf\",\"h\":\"0x10\"}}");
}

static void ranges_have_one_end_or_two(void **state)
{
    struct options options = {.config = {{"a=1..2", "b=..2", "c=-1..", "d=..", "e=1..x"}, 5}};

    (void)state;
    expect(&options,
           "{\"config\":{\"a\":{\"min\":1,\"max\":2},\"b\":{\"max\":2},\"c\":{\"min\":-1},"
           "\"d\":\"..\",\"e\":\"1..x\"}}");
}

static void a_condition_without_a_name_is_refused(void **state)
{
    char name[FILTER_KEY_SIZE + 2];
    struct options options = {.config = {{name}, 1}};
    struct err err;
    cJSON *filter;

    (void)state;
    memset(name, 'k', sizeof name);
    strcpy(name + sizeof name - 2, "=");
    assert_int_equal(filter_make(&options, &filter, &err), -EINVAL);
    assert_null(filter);
    name[0] = '=';
    assert_int_equal(filter_make(&options, &filter, &err), -EINVAL);
}

static void a_value_is_found_by_its_name_or_a_way(void **state)
{
    cJSON *config = cJSON_Parse("{\"a.b\":1,\"m\":{\"d\":{\"e\":2}},\"n\":3}");

    (void)state;
    assert_int_equal(filter_config_value(config, "a.b")->valueint, 1);
    assert_int_equal(filter_config_value(config, "m.d.e")->valueint, 2);
    assert_null(filter_config_value(config, "m.d.x"));
    assert_null(filter_config_value(config, "n.d"));
    assert_null(filter_config_value(config, ""));
    assert_null(filter_config_value(NULL, "a"));
    cJSON_Delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_all_runs_are_meant),
        cmocka_unit_test(values_are_numbers_words_of_json_or_texts),
        cmocka_unit_test(ranges_have_one_end_or_two),
        cmocka_unit_test(a_condition_without_a_name_is_refused),
        cmocka_unit_test(a_value_is_found_by_its_name_or_a_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
