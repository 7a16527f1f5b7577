#include "client/ctl/figure/spectrum.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/common/text.h"

/* The figure as text, until the next one is drawn. */
static const char *draw(const struct spectrumfig *f)
{
    static char text[16384];
    FILE *out = fmemopen(text, sizeof text, "w");

    spectrumfig_print(f, out);
    fputc('\0', out);
    fclose(out);
    return text;
}

static void bars_are_logarithmic_and_numbers_stand_beside(void **state)
{
    static const double rho[] = {4, 0.4, 0.004}, u[] = {1, 0.5, (double)NAN},
                        pi[] = {0.5, 0.75, 0.75};
    struct spectrumfig f = {.n = 3, .rho = rho, .u = u, .pi_hat = pi, .ascii = true};
    const char *text = draw(&f);

    (void)state;
    assert_string_equal(
        text, "    k  1e-3                       1 rho/rho1        u        q   PI_hat  PI_star\n"
              "    1  ############################  1.00000   1.0000        -   0.5000        -\n"
              "    2  ###################           0.10000   0.5000        -   0.7500        -\n"
              "    3                                0.00100        -        -   0.7500        -\n");
}

static void eighths_of_a_cell_tell_close_eigenvalues_apart(void **state)
{
    static const double rho[] = {1, 0.9, 0.001};
    struct spectrumfig f = {.n = 3, .rho = rho};
    const char *text = draw(&f), *line = strchr(strchr(text, '\n') + 1, '\n') + 1;

    (void)state;
    assert_non_null(strstr(line, "▋"));
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        char copy[400];

        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(at, "\n"), at);
        assert_true(text_width(copy) <= 80);
    }
}

/* 1..10, then fewer and fewer, and the last one always: 4096 fit a screen. */
static void long_spectra_are_thinned_out_to_the_last(void **state)
{
    double *rho = calloc(4096, sizeof *rho);
    struct spectrumfig f = {.n = 4096, .rho = rho, .ascii = true};
    const char *text;
    int lines = 0;

    (void)state;
    for (int k = 0; k < 4096; k++)
        rho[k] = pow(k + 1, -2);
    text = draw(&f);
    for (const char *s = text; *s; s++)
        lines += *s == '\n';
    assert_in_range(lines, 20, 45);
    assert_non_null(strstr(text, "\n 4096  "));
    assert_null(strstr(strstr(text, "\n 4096  ") + 1, "\n 4096  "));
    free(rho);
}

static void zeros_have_no_bar_and_nothing_varies_no_figure(void **state)
{
    static const double rho[] = {2, 0}, none[] = {0};
    struct spectrumfig f = {.n = 2, .rho = rho, .ascii = true}, empty = {.n = 1, .rho = none};
    const char *text = draw(&f);

    (void)state;
    assert_non_null(strstr(text, "    2                               "));
    text = draw(&empty);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_are_logarithmic_and_numbers_stand_beside),
        cmocka_unit_test(eighths_of_a_cell_tell_close_eigenvalues_apart),
        cmocka_unit_test(long_spectra_are_thinned_out_to_the_last),
        cmocka_unit_test(zeros_have_no_bar_and_nothing_varies_no_figure),
    };

    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
