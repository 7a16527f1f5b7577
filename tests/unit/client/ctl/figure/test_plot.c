#include "client/ctl/figure/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct plot_sample falling[] = {{1, 1, 1}, {10, 1, 1}, {100, 0, 0}, {1000, 0, 0}};
static const struct plot_sample rising[] = {{1, 0, 0}, {10, 0, 0}, {100, 50, 50}, {1000, 50, 50}};

static const struct plot_curve two[] = {
    {.label = "a head", .samples = falling, .n_samples = 4, .last = 0, .colour = 1},
    {.label = "a acc", .samples = rising, .n_samples = 4, .last = 50, .right = true, .colour = 2},
};

/* The plot as text (free it); checks the number of lines it reports. */
static char *draw(const struct plot *p)
{
    char *text;
    size_t size;
    int lines = 0, reported;
    FILE *out = open_memstream(&text, &size);

    reported = plot_draw(p, out);
    fclose(out);
    for (const char *s = text; *s; s++)
        lines += *s == '\n';
    assert_int_equal(reported, lines);
    return text;
}

static void assert_plot(const struct plot *p, const char *expected)
{
    char *text = draw(p);

    assert_string_equal(text, expected);
    free(text);
}

static void one_curve_is_drawn_as_expected(void **state)
{
    struct plot p = {.title = "d_lr",
                     .curves = two,
                     .n_curves = 1,
                     .columns = 40,
                     .lines = 11,
                     .log_steps = true};

    (void)state;
    assert_plot(&p, "d_lr\n"
                    " 1.0 ┤⠉⠉⠉⠉⠉⠉⠉⠉⠉●⢄                       \n"
                    "     │           ⠣⡀                     \n"
                    "     │            ⠈⠢⡀                   \n"
                    " 0.5 ┤              ⠈⢆                  \n"
                    "     │                ⠑⢄                \n"
                    "     │                  ⠑⡄              \n"
                    " 0.0 ┤                   ⠈⠢●⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀●\n"
                    "     └┬────────┬───────────┬───────────┬\n"
                    "step  1       10          100       1000\n"
                    "● a head  0.0000\n");
}

static void a_second_axis_is_dotted_and_labelled_in_ascii(void **state)
{
    struct plot p = {.title = "d_lr",
                     .curves = two,
                     .n_curves = 2,
                     .columns = 40,
                     .lines = 11,
                     .log_steps = true,
                     .ascii = true};

    (void)state;
    assert_plot(&p, "d_lr\n"
                    " 1.0 +'''''''O:       .X '' '' ''X+ 50\n"
                    "     |         :.    .            |\n"
                    "     |          ':  '             |\n"
                    " 0.5 +            ::              |\n"
                    "     |           . ':             |\n"
                    "     |         '     :.           |\n"
                    " 0.0 +.. .. .X'       'O.........O+ 0\n"
                    "     ++------+---------+---------++\n"
                    "step  1     10        100      1000\n"
                    "O a head  0.0000   X a acc  50.00\n");
}

static void rules_are_dotted_marked_and_in_the_legend(void **state)
{
    const struct plot_rule rules[] = {
        {.value = 2, .mark = "~", .label = "white noise"},
        {.value = 1, .mark = "<", .label = "a head began", .colour = 1},
    };
    struct plot p = {.title = "d_lr",
                     .curves = two,
                     .n_curves = 1,
                     .rules = rules,
                     .n_rules = 2,
                     .fits_rules = true,
                     .columns = 50,
                     .lines = 10,
                     .log_steps = true,
                     .ascii = true};

    char *text;

    (void)state;
    assert_plot(&p, "d_lr\n"
                    "   2 +' '  ' '  ' '  ' '  ' '  ' '  ' '  ' '  ' '~\n"
                    "     |                                            \n"
                    "   1 +............O... .  . .  . .  . .  . .  . .<\n"
                    "     |               ''':...                      \n"
                    "   0 +                     ''''..O...............O\n"
                    "     ++-----------+--------------+---------------+\n"
                    "step  1          10             100           1000\n"
                    "O a head  0.0000\n"
                    "~ white noise  2.0000   < a head began  1.0000\n");
    p.fits_rules = false; /* the axis ends at 1: the other is in the legend alone */
    text = draw(&p);
    assert_non_null(strstr(text, "\n~ white noise  2.0000"));
    assert_null(strstr(text, "~\n"));
    assert_non_null(strstr(text, "<\n"));
    free(text);
}

static void every_line_is_as_wide_as_asked(void **state)
{
    struct plot p = {
        .title = "d_lr", .curves = two, .n_curves = 2, .columns = 57, .lines = 20, .ascii = true};
    char *text = draw(&p), *line, *rest = NULL;
    int rows = 0;

    (void)state;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(strlen(line) <= 57);
        rows++;
    }
    assert_int_equal(rows, 20);
    free(text);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *s = strstr(text, what); s; s = strstr(s + 1, what))
        n++;
    return n;
}

static void every_curve_has_its_own_mark_in_plot_and_legend(void **state)
{
    struct plot_curve curves[3] = {two[0], two[0], two[0]};
    struct plot_sample level[3][2];
    struct plot p = {.title = "t", .curves = curves, .n_curves = 3, .columns = 60, .lines = 20};
    char *text;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        level[i][0] = (struct plot_sample){0, (double)i, (double)i};
        level[i][1] = (struct plot_sample){9, (double)i, (double)i};
        curves[i].samples = level[i];
        curves[i].n_samples = 2;
    }
    text = draw(&p);
    assert_true(count(text, "●") >= 2);
    assert_true(count(text, "○") >= 2);
    assert_true(count(text, "■") >= 2);
    assert_int_equal(count(text, "\033"), 0);
    free(text);
    p.colour = true;
    text = draw(&p);
    assert_true(count(text, "\033[36m") >= 2);
    free(text);
}

static void a_null_interrupts_the_curve(void **state)
{
    const struct plot_sample gap[] = {{0, 0, 0}, {30, NAN, NAN}, {60, 1, 1}};
    const struct plot_curve curve = {
        .label = "x", .samples = gap, .n_samples = 3, .last = 1, .colour = 1};
    struct plot p = {
        .title = "t", .curves = &curve, .n_curves = 1, .columns = 40, .lines = 12, .ascii = true};
    char *text = draw(&p);

    (void)state;
    /* Two lone points: no dot between the marks. */
    assert_null(strchr(text, ':'));
    assert_null(strchr(text, '\''));
    free(text);
}

static void a_bin_is_drawn_from_its_smallest_to_its_largest(void **state)
{
    const struct plot_sample bins[] = {{0, 0, 0}, {50, 0, 1}, {100, 0, 0}};
    const struct plot_curve curve = {
        .label = "x", .samples = bins, .n_samples = 3, .last = 0, .colour = 1};
    struct plot p = {
        .title = "t", .curves = &curve, .n_curves = 1, .columns = 41, .lines = 14, .ascii = true};
    char *text = draw(&p), *line, *rest = NULL;
    int rows_with_spike = 0;

    (void)state;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        rows_with_spike += strlen(line) > 10 && strpbrk(line + 10, ":O'") != NULL;
    assert_true(rows_with_spike >= 10);
    free(text);
}

static void no_samples_and_tiny_sizes_still_draw(void **state)
{
    const struct plot_curve empty = {.label = "x", .last = NAN, .colour = 1};
    struct plot p = {.title = "a title that is longer than the plot is wide",
                     .curves = &empty,
                     .n_curves = 1,
                     .columns = 5,
                     .lines = 1,
                     .log_steps = true};
    char *text = draw(&p);

    (void)state;
    assert_non_null(strstr(text, "x  -"));
    free(text);
    p.n_curves = 0;
    free(draw(&p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_curve_is_drawn_as_expected),
        cmocka_unit_test(a_second_axis_is_dotted_and_labelled_in_ascii),
        cmocka_unit_test(rules_are_dotted_marked_and_in_the_legend),
        cmocka_unit_test(every_line_is_as_wide_as_asked),
        cmocka_unit_test(every_curve_has_its_own_mark_in_plot_and_legend),
        cmocka_unit_test(a_null_interrupts_the_curve),
        cmocka_unit_test(a_bin_is_drawn_from_its_smallest_to_its_largest),
        cmocka_unit_test(no_samples_and_tiny_sizes_still_draw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
