#include "daemon/store/representation_blob.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void what_was_kept_comes_back_bit_for_bit(void **state)
{
    static const size_t windows[] = {4, 5, 255, 256, 257, 1024};

    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct representation r, back;
        size_t size, n_values;
        void *data;

        assert_int_equal(representation_alloc(&r, windows[i]), 0);
        n_values = representation_n_values(r.n);
        for (size_t k = 0; k < n_values; k++)
            r.kernel[k] = sinf((float)k);
        data = representation_encode(&r, &size);
        assert_non_null(data);
        assert_int_equal(representation_decode(data, size, (int64_t)windows[i], &back), 0);
        assert_int_equal(back.n_rows, windows[i]);
        assert_memory_equal(back.kernel, r.kernel, n_values * sizeof *r.kernel);
        representation_release(&back);
        representation_release(&r);
        free(data);
    }
    assert_int_equal(4 * representation_n_values(256), 131584);
}

static void other_sizes_and_numbers_that_are_none_are_damage(void **state)
{
    static const struct {
        size_t size;
        int64_t n_rows;
    } wrong[] = {{24, 3}, {39, 4}, {41, 4}, {40, 5}, {0, 4}, {40, -4}, {131584, 1 << 20}, {0, 0}};
    static const float no_numbers[] = {(float)NAN, (float)INFINITY};
    char *data = calloc(1, 131584);
    struct representation r;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(representation_decode(data, wrong[i].size, wrong[i].n_rows, &r), -EUCLEAN);
    assert_int_equal(representation_decode(data, 40, 4, &r), 0);
    representation_release(&r);
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        memcpy(data + 4, &no_numbers[i], sizeof no_numbers[i]);
        assert_int_equal(representation_decode(data, 40, 4, &r), -EUCLEAN);
        assert_null(r.kernel);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_comes_back_bit_for_bit),
        cmocka_unit_test(other_sizes_and_numbers_that_are_none_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
