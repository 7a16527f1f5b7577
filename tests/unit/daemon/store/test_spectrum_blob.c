#include "daemon/store/spectrum_blob.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>

#define N_VALUES 3

/* rho = 10, 11, 12; u = 20, 21, 22; q = 30, 31, 32. */
static struct spectrum *make(bool with_u, bool with_q)
{
    struct spectrum *s = spectrum_alloc(N_VALUES, with_u, with_q);

    assert_non_null(s);
    for (int k = 0; k < N_VALUES; k++) {
        s->rho[k] = 10 + k;
        if (with_u)
            s->u[k] = 20 + k;
        if (with_q)
            s->q[k] = 30 + k;
    }
    return s;
}

static void the_arrays_that_there_are_come_back(void **state)
{
    (void)state;
    for (int n_arrays = 1; n_arrays <= 3; n_arrays++) {
        struct spectrum *s = make(n_arrays > 1, n_arrays > 2), *back;
        size_t size;
        void *data = spectrum_encode(s, &size);

        assert_non_null(data);
        assert_int_equal(size, n_arrays * N_VALUES * 8);
        back = spectrum_decode(data, size, N_VALUES);
        assert_non_null(back);
        assert_int_equal(back->n_values, N_VALUES);
        assert_int_equal(back->u != NULL, n_arrays > 1);
        assert_int_equal(back->q != NULL, n_arrays > 2);
        assert_memory_equal(back->rho, s->rho, N_VALUES * sizeof *s->rho);
        if (back->u)
            assert_memory_equal(back->u, s->u, N_VALUES * sizeof *s->u);
        if (back->q)
            assert_memory_equal(back->q, s->q, N_VALUES * sizeof *s->q);
        spectrum_free(back);
        spectrum_free(s);
        free(data);
    }
}

static void bytes_of_another_size_are_damage(void **state)
{
    static const char data[64 * sizeof(double)];
    static const struct {
        size_t size, n_values;
    } wrong[] = {
        {0, N_VALUES},           {8, 0}, {20, N_VALUES}, {4 * N_VALUES * 8, N_VALUES},
        {8, SPECTRUM_P_MAX + 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        assert_null(spectrum_decode(data, wrong[i].size, wrong[i].n_values));
        assert_int_equal(errno, EUCLEAN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_arrays_that_there_are_come_back),
        cmocka_unit_test(bytes_of_another_size_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
