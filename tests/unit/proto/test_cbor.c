#include "proto/cbor.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads the bytes as one item; they stand in memory of their own size. */
static int read_one(const char *bytes, size_t size, struct cbor_item *out, char **held)
{
    struct cbor_reader reader = {.size = size};
    int rc;

    *held = reader.data = malloc(size ? size : 1);
    assert_non_null(*held);
    memcpy(*held, bytes, size);
    rc = cbor_read(&reader, out, NULL);
    if (rc == 0 && out->type != CBOR_ARRAY)
        assert_int_equal(reader.at, size);
    return rc;
}

static void integers_are_those_of_the_rfc(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        int64_t value;
    } cases[] = {
        {"\x00", 1, 0},
        {"\x17", 1, 23},
        {"\x18\x18", 2, 24},
        {"\x19\x03\xe8", 3, 1000},
        {"\x1a\x00\x0f\x42\x40", 5, 1000000},
        {"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00", 9, 1000000000000},
        {"\x20", 1, -1},
        {"\x39\x03\xe7", 3, -1000},
        {"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cbor cbor = {.size_max = 100};
        struct cbor_item item;
        char *held;

        cbor_put_integer(&cbor, cases[i].value);
        assert_int_equal(cbor.size, cases[i].size);
        assert_memory_equal(cbor.data, cases[i].bytes, cbor.size);
        assert_int_equal(read_one(cases[i].bytes, cases[i].size, &item, &held), 0);
        assert_int_equal(item.type, CBOR_INTEGER);
        assert_int_equal(item.integer, cases[i].value);
        free(held);
        cbor_release(&cbor);
    }
}

static void a_double_comes_back_bit_by_bit(void **state)
{
    static const double values[] = {0.0, -0.0, 1.1, -4.1, 1e300, 5e-324, 0.1 + 0.2};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct cbor cbor = {.size_max = 100};
        struct cbor_item item;
        char *held;

        cbor_put_number(&cbor, values[i]);
        assert_int_equal(read_one(cbor.data, cbor.size, &item, &held), 0);
        assert_int_equal(item.type, CBOR_NUMBER);
        assert_memory_equal(&item.number, &values[i], sizeof values[i]);
        free(held);
        cbor_release(&cbor);
    }
}

static void what_is_not_finite_is_null(void **state)
{
    static const char infinite[] = "\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00";
    struct cbor cbor = {.size_max = 100};
    struct cbor_item item;
    char *held;

    (void)state;
    cbor_put_number(&cbor, (double)NAN);
    cbor_put_number(&cbor, (double)INFINITY);
    assert_int_equal(cbor.size, 2);
    assert_memory_equal(cbor.data, "\xf6\xf6", 2);
    assert_int_equal(read_one(infinite, 9, &item, &held), 0);
    assert_int_equal(item.type, CBOR_NULL);
    free(held);
    cbor_release(&cbor);
}

static void texts_end_with_a_nul_and_leave_the_next_item_alone(void **state)
{
    struct cbor cbor = {.size_max = 1000};
    struct cbor_reader reader;
    struct cbor_item item;

    (void)state;
    cbor_put_array(&cbor, 3);
    cbor_put_text(&cbor, "\xc3\xbc ja", 5);
    cbor_put_bytes(&cbor, "\0\1", 2);
    cbor_put_text(&cbor, "", 0);
    reader = (struct cbor_reader){cbor.data, cbor.size, 0};
    assert_int_equal(cbor_read(&reader, &item, NULL), 0);
    assert_int_equal(item.type, CBOR_ARRAY);
    assert_int_equal(item.integer, 3);
    assert_int_equal(cbor_read(&reader, &item, NULL), 0);
    assert_string_equal(item.data, "\xc3\xbc ja");
    assert_int_equal(item.size, 5);
    assert_int_equal(cbor_read(&reader, &item, NULL), 0);
    assert_int_equal(item.type, CBOR_BYTES);
    assert_memory_equal(item.data, "\0\1", 2);
    assert_int_equal(cbor_read(&reader, &item, NULL), 0);
    assert_string_equal(item.data, "");
    assert_int_equal(cbor_read(&reader, &item, NULL), -EPROTO);
    cbor_release(&cbor);
}

static void what_is_wrong_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"", 0},
        {"\x18", 1},                                 /* cut off */
        {"\x62\x61", 2},                             /* a text longer than what is there */
        {"\x61\xff", 2},                             /* no UTF-8 */
        {"\x61\x00", 2},                             /* a NUL */
        {"\x9f\xff", 2},                             /* an array without a length */
        {"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 9}, /* of more items than bytes */
        {"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 9},
        {"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 9}, /* beyond 64 bits */
        {"\xa0", 1},                                 /* a map */
        {"\xc0\x00", 2},                             /* a tag */
        {"\xf5", 1},                                 /* true */
        {"\xfa\x00\x00\x00\x00", 5},                 /* a float */
        {"\x1c", 1},                                 /* reserved */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cbor_item item;
        char *held;

        if (read_one(cases[i].bytes, cases[i].size, &item, &held) != -EPROTO)
            fail_msg("case %zu is taken", i);
        free(held);
    }
}

static void a_full_buffer_takes_nothing_more(void **state)
{
    struct cbor cbor = {.size_max = 4};
    size_t at;

    (void)state;
    cbor_put_text(&cbor, "abc", 3);
    assert_false(cbor.has_failed);
    at = cbor_begin_array(&cbor);
    cbor_end_array(&cbor, at, 1);
    cbor_put_null(&cbor);
    assert_true(cbor.has_failed);
    assert_true(cbor.size <= 4);
    cbor_release(&cbor);
}

static void an_array_is_told_how_long_it_was(void **state)
{
    struct cbor cbor = {.size_max = 100};
    size_t at = cbor_begin_array(&cbor);

    (void)state;
    cbor_put_integer(&cbor, 1);
    cbor_end_array(&cbor, at, 0x01020304);
    assert_memory_equal(cbor.data, "\x9a\x01\x02\x03\x04\x01", 6);
    cbor_cut(&cbor, 5);
    assert_int_equal(cbor.size, 5);
    cbor_release(&cbor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_those_of_the_rfc),
        cmocka_unit_test(a_double_comes_back_bit_by_bit),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(texts_end_with_a_nul_and_leave_the_next_item_alone),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(a_full_buffer_takes_nothing_more),
        cmocka_unit_test(an_array_is_told_how_long_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
