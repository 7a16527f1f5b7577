#include "client/ctl/figure/canvas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One row as text (free it). */
static void set_dot(struct canvas *canvas, long x, long y, int colour)
{
    const long at[2] = {x, y};
    const unsigned solid[2] = {1, 1};

    canvas_line(canvas, at, at, colour, solid, NULL);
}

static char *row_text(const struct canvas *c, size_t row, bool ascii, bool colour)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    canvas_print_row(c, row, ascii, colour, out);
    fclose(out);
    return text;
}

static void assert_row(const struct canvas *c, size_t row, bool ascii, const char *expected)
{
    char *text = row_text(c, row, ascii, false);

    assert_string_equal(text, expected);
    free(text);
}

static void each_dot_has_its_braille_bit(void **state)
{
    static const char *const braille[4][2] = {{"⠁", "⠈"}, {"⠂", "⠐"}, {"⠄", "⠠"}, {"⡀", "⢀"}};

    (void)state;
    for (long y = 0; y < 4; y++) {
        for (long x = 0; x < 2; x++) {
            struct canvas *c = canvas_new(1, 1);

            set_dot(c, x, y, 1);
            assert_row(c, 0, false, braille[y][x]);
            canvas_free(c);
        }
    }
}

static void dots_outside_are_ignored(void **state)
{
    struct canvas *c = canvas_new(2, 1);

    (void)state;
    set_dot(c, -1, 0, 1);
    set_dot(c, 4, 0, 1);
    set_dot(c, 0, -1, 1);
    set_dot(c, 0, 4, 1);
    canvas_mark(c, 4, 0, "o", 1);
    assert_row(c, 0, false, "  ");
    canvas_free(c);
}

static void a_diagonal_joins_its_ends(void **state)
{
    const long from[2] = {0, 0}, to[2] = {3, 3};
    const unsigned solid[2] = {1, 1};
    struct canvas *c = canvas_new(2, 1);

    (void)state;
    canvas_line(c, from, to, 1, solid, NULL);
    assert_row(c, 0, false, "⠑⢄");
    canvas_free(c);
}

static void a_steep_line_has_no_gaps_in_either_direction(void **state)
{
    const long top[2] = {0, 0}, bottom[2] = {1, 7};
    const unsigned solid[2] = {1, 1};

    (void)state;
    for (int down = 0; down < 2; down++) {
        struct canvas *c = canvas_new(1, 2);

        canvas_line(c, down ? top : bottom, down ? bottom : top, 1, solid, NULL);
        assert_row(c, 0, false, "⡇");
        assert_row(c, 1, false, "⢸");
        canvas_free(c);
    }
}

static void dashes_go_on_from_piece_to_piece(void **state)
{
    const long a[2] = {0, 0}, b[2] = {2, 0}, d[2] = {5, 0};
    const unsigned dotted[2] = {1, 2};
    struct canvas *c = canvas_new(3, 1);
    unsigned phase = 0;

    (void)state;
    canvas_line(c, a, b, 1, dotted, &phase);
    canvas_line(c, b, d, 1, dotted, &phase);
    assert_row(c, 0, false, "⠁⠁⠁");
    canvas_free(c);
}

static void a_mark_covers_its_cell(void **state)
{
    struct canvas *c = canvas_new(2, 1);

    (void)state;
    set_dot(c, 2, 0, 1);
    canvas_mark(c, 3, 3, "●", 1);
    assert_true(canvas_marked(c, 2, 0));
    assert_false(canvas_marked(c, 1, 0));
    assert_row(c, 0, false, " ●");
    canvas_free(c);
}

static void ascii_tells_upper_from_lower(void **state)
{
    struct canvas *c = canvas_new(4, 1);

    (void)state;
    set_dot(c, 0, 0, 1);
    set_dot(c, 2, 3, 1);
    set_dot(c, 4, 1, 1);
    set_dot(c, 5, 2, 1);
    assert_row(c, 0, true, "'.: ");
    canvas_free(c);
}

static void colours_are_switched_once_and_back(void **state)
{
    struct canvas *c = canvas_new(3, 1);
    char *text;

    (void)state;
    set_dot(c, 0, 0, 1);
    set_dot(c, 2, 0, 1);
    set_dot(c, 4, 0, 2);
    text = row_text(c, 0, true, true);
    assert_string_equal(text, "\033[36m''\033[33m'\033[0m");
    free(text);
    canvas_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_dot_has_its_braille_bit),
        cmocka_unit_test(dots_outside_are_ignored),
        cmocka_unit_test(a_diagonal_joins_its_ends),
        cmocka_unit_test(a_steep_line_has_no_gaps_in_either_direction),
        cmocka_unit_test(dashes_go_on_from_piece_to_piece),
        cmocka_unit_test(a_mark_covers_its_cell),
        cmocka_unit_test(ascii_tells_upper_from_lower),
        cmocka_unit_test(colours_are_switched_once_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
