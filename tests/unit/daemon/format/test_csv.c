#include "daemon/format/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_csv(const char *json, const char *expected)
{
    cJSON *answer = cJSON_Parse(json);
    size_t size;
    char *text;

    assert_non_null(answer);
    text = csv_from_answer(answer, &size);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
    cJSON_Delete(answer);
}

static void a_series_has_a_row_a_point_behind_its_layer(void **state)
{
    (void)state;
    expect_csv("{\"run\":\"r\",\"layers\":[{\"layer\":\"a\",\"columns\":{\"step\":[1,2],"
               "\"d_lr\":[0.5,null],\"flags\":[[],[\"partial\",\"ridge\"]]}},"
               "{\"layer\":\"b\",\"columns\":{\"step\":[3],\"d_lr\":[-0.25],\"flags\":[[]]}}]}",
               "layer,step,d_lr,flags\r\na,1,0.5,\r\na,2,,partial ridge\r\nb,3,-0.25,\r\n");
}

static void parts_of_bins_and_joined_scalars_are_columns(void **state)
{
    (void)state;
    expect_csv("{\"run\":\"r\",\"layers\":[{\"layer\":\"a\",\"columns\":{\"step\":[1],"
               "\"d_lr\":{\"min\":[0.25],\"max\":[0.5]},\"scalars\":{\"a,b\":[2]}}}]}",
               "layer,step,d_lr_min,d_lr_max,\"scalars_a,b\"\r\na,1,0.25,0.5,2\r\n");
}

static void a_text_is_quoted_and_no_formula(void **state)
{
    (void)state;
    expect_csv("{\"runs\":[{\"tags\":[\"=1+1\",\"x,y\"],\"d_lr\":-1.5,\"name\":\"-1.5\"}]}",
               "tags,d_lr,name\r\n\"'=1+1 x,y\",-1.5,'-1.5\r\n");
    expect_csv("{\"runs\":[{\"run\":\"=1+1\",\"name\":\"a\\\"b\",\"tags\":[\"x\",\"y\"]},"
               "{\"run\":\"-\",\"config\":{\"lr\":1}}]}",
               "run,name,tags,config\r\n'=1+1,\"a\"\"b\",x y,\r\n'-,,,\"{\"\"lr\"\":1}\"\r\n");
}

static void an_object_of_arrays_is_counted(void **state)
{
    (void)state;
    expect_csv("{\"run\":\"r\",\"rho\":[3,2],\"u\":[1]}", "k,rho,u\r\n1,3,1\r\n2,2,\r\n");
}

/* A run may have a thousand scalars: none is left out. */
static void a_wide_table_keeps_all_its_columns(void **state)
{
    enum { N = 1000 };
    cJSON *answer = cJSON_CreateObject();
    cJSON *layer = cJSON_CreateObject(), *columns = cJSON_AddObjectToObject(layer, "columns");
    size_t size, commas = 0;
    char *text;

    (void)state;
    cJSON_AddItemToArray(cJSON_AddArrayToObject(answer, "layers"), layer);
    cJSON_AddStringToObject(layer, "layer", "a");
    for (int i = 0; i < N; i++) {
        char name[16];

        snprintf(name, sizeof name, "s%d", i);
        cJSON_AddItemToArray(cJSON_AddArrayToObject(columns, name), cJSON_CreateNumber(i));
    }
    text = csv_from_answer(answer, &size);
    assert_non_null(text);
    for (const char *c = text; *c && *c != '\r'; c++)
        commas += *c == ',';
    assert_int_equal(commas, N);
    assert_non_null(strstr(text, ",999\r\n"));
    free(text);
    cJSON_Delete(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_series_has_a_row_a_point_behind_its_layer),
        cmocka_unit_test(parts_of_bins_and_joined_scalars_are_columns),
        cmocka_unit_test(a_text_is_quoted_and_no_formula),
        cmocka_unit_test(an_object_of_arrays_is_counted),
        cmocka_unit_test(a_wide_table_keeps_all_its_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
