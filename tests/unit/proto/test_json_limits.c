#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An array of `n` zeros (free it). */
static char *zeros(size_t n)
{
    char *text = malloc(2 * n + 2), *end = text;

    *end++ = '[';
    for (size_t i = 0; i < n; i++) {
        *end++ = '0';
        *end++ = ',';
    }
    strcpy(end - 1, "]");
    return text;
}

static void a_trusted_answer_may_exceed_a_requests_limits(void **state)
{
    char *text = zeros(JSON_MAX_SIZE);
    size_t size = strlen(text);
    struct err e;
    cJSON *value;

    (void)state;
    assert_null(json_parse(text, size, &e));
    assert_null(json_parse_limited(text, size, size - 1, size, &e));
    assert_null(json_parse_limited(text, size, size, JSON_MAX_SIZE - 1, &e));
    assert_non_null(strstr(e.text, "values"));
    value = json_parse_limited(text, size, size, JSON_MAX_SIZE, &e);
    assert_int_equal(cJSON_GetArraySize(value), JSON_MAX_SIZE);
    cJSON_Delete(value);
    free(text);
}

static void numbers_made_exact_read_back_the_same(void **state)
{
    static const char text[] =
        "{\"a\":[0.30000000000000004,1e-7,5,-0.0],\"b\":{\"c\":123456789.12345679},\"d\":null,"
        "\"e\":\"1.0\"}";
    cJSON *value = json_parse(text, strlen(text), NULL), *again;
    char *printed;

    (void)state;
    assert_true(json_make_exact(value));
    printed = json_print(value);
    again = json_parse(printed, strlen(printed), NULL);
    cJSON_Delete(value);
    value = json_parse(text, strlen(text), NULL);
    assert_true(cJSON_Compare(value, again, 1));
    assert_non_null(strstr(printed, "0.30000000000000004"));
    assert_non_null(strstr(printed, "123456789.12345679"));
    assert_non_null(strstr(printed, "\"1.0\""));
    cJSON_Delete(value);
    cJSON_Delete(again);
    cJSON_free(printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trusted_answer_may_exceed_a_requests_limits),
        cmocka_unit_test(numbers_made_exact_read_back_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
