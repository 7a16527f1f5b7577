#include "daemon/share/rows.h"

#include "tests/lib/cmocka.h"

#include <string.h>

static const enum rows_type types[] = {ROWS_INTEGER, ROWS_NUMBER, ROWS_TEXT};

/* What PostgreSQL's array_send() writes for ARRAY[1, -2]::bigint[]. */
static void an_array_is_what_the_server_reads(void **state)
{
    static const unsigned char expected[] = {
        0, 0, 0, 1, 0,    0,    0,    1,    0,    0,    0,    20, /* dimensions, NULLs, int8 */
        0, 0, 0, 2, 0,    0,    0,    1,                          /* two, from 1 on */
        0, 0, 0, 8, 0,    0,    0,    0,    0,    0,    0,    1,  /* 1 */
        0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
    struct rows rows;
    const char *array;
    int size;

    (void)state;
    rows_init(&rows, types, 1);
    rows_put_integer(&rows, 0, 1);
    rows_keep(&rows);
    rows_put_integer(&rows, 0, -2);
    rows_keep(&rows);
    array = rows_array(&rows, 0, &size);
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(array, expected, sizeof expected);
    rows_release(&rows);
}

static void put_row(struct rows *rows, int64_t integer, double number, const char *text)
{
    rows_put_integer(rows, 0, integer);
    rows_put_number(rows, 1, number);
    rows_put_bytes(rows, 2, text, strlen(text));
}

static void a_row_that_is_undone_leaves_no_trace(void **state)
{
    struct rows rows;
    char before[256];
    const char *array;
    int size, again;

    (void)state;
    rows_init(&rows, types, 3);
    put_row(&rows, 1, 0.5, "first");
    rows_keep(&rows);
    array = rows_array(&rows, 2, &size);
    memcpy(before, array, (size_t)size);
    rows_put_integer(&rows, 0, 2); /* and nothing in the other columns */
    rows_undo(&rows);
    put_row(&rows, 3, 1.5, "third");
    rows_undo(&rows);
    array = rows_array(&rows, 2, &again);
    assert_int_equal(again, size);
    assert_memory_equal(array, before, (size_t)size);
    assert_int_equal(rows.n, 1);
    rows_release(&rows);
}

static void null_has_no_bytes(void **state)
{
    struct rows rows;
    const char *array;
    int size;

    (void)state;
    rows_init(&rows, types, 3);
    for (size_t i = 0; i < 3; i++)
        rows_put_null(&rows, i);
    rows_keep(&rows);
    array = rows_array(&rows, 1, &size);
    assert_int_equal(size, 24);
    assert_memory_equal(array + 20, "\xff\xff\xff\xff", 4);
    assert_int_equal(rows_bytes(&rows), 12);
    rows_clear(&rows);
    assert_int_equal(rows_bytes(&rows), 0);
    rows_release(&rows);
}

static void what_is_too_long_for_a_parameter_is_refused(void **state)
{
    struct rows rows;

    (void)state;
    rows_init(&rows, types, 3);
    rows_put_bytes(&rows, 2, "", (size_t)1 << 40);
    assert_true(rows.has_failed);
    rows_keep(&rows);
    assert_int_equal(rows.n, 0);
    rows_clear(&rows);
    assert_false(rows.has_failed);
    rows_release(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_what_the_server_reads),
        cmocka_unit_test(a_row_that_is_undone_leaves_no_trace),
        cmocka_unit_test(null_has_no_bytes),
        cmocka_unit_test(what_is_too_long_for_a_parameter_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
