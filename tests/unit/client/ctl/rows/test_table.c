#include "client/ctl/rows/table.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void columns_of_a_table_are_aligned(void **state)
{
    struct table *t = table_new("lr");
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    table_add(t, "name");
    table_add(t, "step");
    table_add(t, "größe");
    table_addf(t, "%d", 12);
    table_add(t, "\033");
    table_add(t, NULL);
    assert_int_equal(table_finish(t, out, NULL), 0);
    fclose(out);
    assert_string_equal(text, "name   step\ngröße    12\n\\x1b      -\n");
    free(text);
}

static void a_number_has_the_fewest_digits_that_read_back_the_same(void **state)
{
    struct table *t = table_new("l");
    cJSON *value = cJSON_Parse("[0.3333333333333333,0.1,1764000000.5,12]");
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    table_add_json(t, value);
    assert_int_equal(table_finish(t, out, NULL), 0);
    fclose(out);
    assert_string_equal(text, "[0.3333333333333333,0.1,1764000000.5,12]\n");
    free(text);
    cJSON_Delete(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_of_a_table_are_aligned),
        cmocka_unit_test(a_number_has_the_fewest_digits_that_read_back_the_same),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
