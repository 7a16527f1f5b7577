/* What is kept is found again, at its revision alone, and never takes more than it may. */
#include "daemon/history/run_cache.h"

#include "tests/lib/cmocka.h"

#include <stdlib.h>
#include <string.h>

static void expect(const struct run_cache *cache, int64_t run_key, int64_t revision,
                   const char *expected)
{
    size_t size = 0;
    const char *text = run_cache_find(cache, run_key, revision, &size);

    if (!expected) {
        assert_null(text);
        return;
    }
    assert_non_null(text);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
}

static void a_text_is_found_at_its_revision_alone(void **state)
{
    struct run_cache *cache = run_cache_new();

    (void)state;
    expect(cache, 1, 7, NULL);
    run_cache_keep(cache, 1, 7, "one", 3);
    run_cache_keep(cache, 2, 7, "two", 3);
    expect(cache, 1, 7, "one");
    expect(cache, 2, 7, "two");
    expect(cache, 1, 8, NULL);
    run_cache_keep(cache, 1, 8, "once more", 9);
    expect(cache, 1, 7, NULL);
    expect(cache, 1, 8, "once more");
    run_cache_keep(cache, 1 + (1 << 20), 1, "of the same place", 17);
    expect(cache, 1, 8, NULL);
    run_cache_clear(cache);
    expect(cache, 2, 7, NULL);
    run_cache_free(cache);
    run_cache_keep(NULL, 1, 1, "x", 1);
    assert_null(run_cache_find(NULL, 1, 1, &(size_t){0}));
}

static void it_holds_so_much_and_no_more(void **state)
{
    struct run_cache *cache = run_cache_new();
    char text[RUN_CACHE_TEXT_MAX + 1];
    size_t size, n_found = 0;

    (void)state;
    memset(text, 'x', sizeof text);
    run_cache_keep(cache, 1, 1, text, sizeof text);
    assert_null(run_cache_find(cache, 1, 1, &size));
    for (int64_t key = 1; key <= 5000; key++)
        run_cache_keep(cache, key, 1, text, RUN_CACHE_TEXT_MAX);
    for (int64_t key = 1; key <= 5000; key++)
        n_found += run_cache_find(cache, key, 1, &size) != NULL;
    assert_true(n_found > 0 && n_found <= RUN_CACHE_BYTES / RUN_CACHE_TEXT_MAX);
    assert_non_null(run_cache_find(cache, 5000, 1, &size));
    run_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_found_at_its_revision_alone),
        cmocka_unit_test(it_holds_so_much_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
