#include <string.h>

#include "daemon/share/tally.h"
#include "tests/lib/cmocka.h"

#define N 10000

static void each_key_has_values_of_its_own(void **state)
{
    struct tally tally;
    size_t n = 0;
    uint64_t a, b;

    (void)state;
    tally_init(&tally, 3);
    assert_null(tally_find(&tally, 1, 2));
    for (uint64_t i = 0; i < N; i++) { /* keys that differ in one of the two alone */
        tally_at(&tally, i % 100, i / 100)[2] += i;
        tally_at(&tally, i % 100, i / 100)[2] += 1;
    }
    assert_int_equal(tally.n, N);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(tally_find(&tally, i % 100, i / 100)[2], i + 1);
    for (size_t i = 0; i < tally.room; i++)
        n += tally_look(&tally, i, &a, &b) != NULL;
    assert_int_equal(n, N);
    assert_null(tally_find(&tally, 100, 0));
    tally_release(&tally);
}

static void a_byte_more_or_another_is_another_number(void **state)
{
    static const char text[] = "a text of more than eight bytes";
    char other[sizeof text];

    (void)state;
    assert_int_equal(tally_bytes(text, sizeof text), tally_bytes(text, sizeof text));
    for (size_t i = 0; i < sizeof text; i++) {
        memcpy(other, text, sizeof text);
        other[i] ^= 1;
        assert_true(tally_bytes(other, sizeof text) != tally_bytes(text, sizeof text));
        assert_true(tally_bytes(text, i) != tally_bytes(text, i + 1));
    }
    assert_true(tally_bytes("\0", 1) != tally_bytes("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_values_of_its_own),
        cmocka_unit_test(a_byte_more_or_another_is_another_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
