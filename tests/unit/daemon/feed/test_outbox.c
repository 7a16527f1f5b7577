#include "daemon/feed/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct outbox *o, const char *text)
{
    outbox_put(o, strdup(text), strlen(text));
    assert_false(o->lost);
}

static void expect_piece(struct outbox *o, size_t max, const char *data, bool first, bool last)
{
    struct outbox_piece piece;

    assert_true(outbox_peek(o, max, &piece));
    assert_int_equal(piece.size, strlen(data));
    assert_memory_equal(piece.data, data, piece.size);
    assert_int_equal(piece.first, first);
    assert_int_equal(piece.last, last);
    outbox_take(o, &piece);
}

static void texts_leave_in_order_and_in_pieces(void **state)
{
    struct outbox o;
    struct outbox_piece piece;

    (void)state;
    outbox_init(&o);
    put(&o, "abcdefg");
    put(&o, "hi");
    assert_int_equal(o.pending, 9);
    expect_piece(&o, 3, "abc", true, false);
    expect_piece(&o, 3, "def", false, false);
    expect_piece(&o, 3, "g", false, true);
    assert_int_equal(o.pending, 2);
    expect_piece(&o, 2, "hi", true, true);
    assert_int_equal(o.pending, 0);
    assert_false(outbox_peek(&o, 3, &piece));
}

static void an_empty_text_is_a_piece_as_well(void **state)
{
    struct outbox o;

    (void)state;
    outbox_init(&o);
    put(&o, "");
    expect_piece(&o, 3, "", true, true);
}

static void seconds_count_while_nothing_is_taken(void **state)
{
    struct outbox o;

    (void)state;
    outbox_init(&o);
    assert_int_equal(outbox_tick(&o), 0);
    assert_int_equal(outbox_tick(&o), 0);
    put(&o, "abc");
    assert_int_equal(outbox_tick(&o), 1);
    assert_int_equal(outbox_tick(&o), 2);
    expect_piece(&o, 1, "a", true, false);
    assert_int_equal(outbox_tick(&o), 0);
    assert_int_equal(outbox_tick(&o), 1);
    expect_piece(&o, 2, "bc", false, true);
    assert_int_equal(outbox_tick(&o), 0);
    assert_int_equal(outbox_tick(&o), 0);
}

static void what_was_not_taken_is_freed(void **state)
{
    struct outbox o;

    (void)state;
    outbox_init(&o);
    put(&o, "abc");
    put(&o, "def");
    expect_piece(&o, 1, "a", true, false);
    outbox_release(&o);
    assert_int_equal(o.pending, 0);
    put(&o, "x");
    expect_piece(&o, 8, "x", true, true);
    outbox_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_leave_in_order_and_in_pieces),
        cmocka_unit_test(an_empty_text_is_a_piece_as_well),
        cmocka_unit_test(seconds_count_while_nothing_is_taken),
        cmocka_unit_test(what_was_not_taken_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
