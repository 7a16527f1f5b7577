#include "client/ctl/common/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void push(struct keys *k, const char *bytes)
{
    keys_push(k, bytes, strlen(bytes));
}

static void bytes_become_keys(void **state)
{
    static const char bytes[] = "j\033[A\033OB\033[5~\033[6~\033[1~\033[F\r\n\177\033[15~q";
    static const int expected[] = {'j',           KEY_UP,        KEY_DOWN,  KEY_PAGE_UP,
                                   KEY_PAGE_DOWN, KEY_HOME,      KEY_END,   KEY_ENTER,
                                   KEY_ENTER,     KEY_BACKSPACE, KEY_OTHER, 'q'};
    struct keys k = {.n = 0};

    (void)state;
    push(&k, bytes);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(keys_next(&k, false), expected[i]);
    assert_int_equal(keys_next(&k, true), KEY_NONE);
}

static void a_torn_sequence_waits_for_its_rest(void **state)
{
    static const char *const pieces[] = {"\033", "[", "5", "~"};
    struct keys k = {.n = 0};

    (void)state;
    for (size_t i = 0; i + 1 < sizeof pieces / sizeof pieces[0]; i++) {
        push(&k, pieces[i]);
        assert_true(keys_torn(&k));
        assert_int_equal(keys_next(&k, false), KEY_NONE);
    }
    push(&k, pieces[3]);
    assert_false(keys_torn(&k));
    assert_int_equal(keys_next(&k, false), KEY_PAGE_UP);
}

static void escape_alone_is_a_key_when_nothing_follows(void **state)
{
    struct keys k = {.n = 0};

    (void)state;
    push(&k, "\033");
    assert_int_equal(keys_next(&k, true), KEY_ESCAPE);
    push(&k, "\033q");
    assert_int_equal(keys_next(&k, false), KEY_ESCAPE);
    assert_int_equal(keys_next(&k, false), 'q');
}

static void a_flood_is_bounded_and_drained(void **state)
{
    char flood[2 * KEYS_MAX];
    struct keys k = {.n = 0};
    size_t n = 0;

    (void)state;
    memset(flood, '5', sizeof flood);
    memcpy(flood, "\033[", 2);
    keys_push(&k, flood, sizeof flood);
    assert_false(keys_torn(&k));
    while (keys_next(&k, false) != KEY_NONE)
        n++;
    assert_int_equal(n, 1);
    assert_int_equal(k.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_keys),
        cmocka_unit_test(a_torn_sequence_waits_for_its_rest),
        cmocka_unit_test(escape_alone_is_a_key_when_nothing_follows),
        cmocka_unit_test(a_flood_is_bounded_and_drained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
