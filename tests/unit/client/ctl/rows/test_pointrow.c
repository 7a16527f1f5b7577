#include "client/ctl/rows/pointrow.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/common/text.h"

/* The line of a point with everything, in so many columns. */
static void assert_point_row(size_t columns, const char *expected)
{
    cJSON *number = cJSON_CreateNumber(0.5);
    const cJSON *parts[POINT_PARTS];
    struct pointrow row = {"a-run-with-a-long-name", "layer.0.head", parts};
    struct pointrow_format f = {.run = true, .layer = true, .columns = columns};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    for (int i = 0; i < POINT_PARTS; i++)
        parts[i] = number;
    for (int i = METRIC_D_LR; i <= METRIC_PR; i++)
        f.shown[i] = true;
    pointrow_print(&f, &row, out);
    fclose(out);
    assert_string_equal(text, expected);
    assert_true(columns == 0 || text_width(text) <= columns + 1);
    free(text);
    cJSON_Delete(number);
}

static void rows_of_points_fit_the_terminal(void **state)
{
    (void)state;
    assert_point_row(40, "a-run-w…  lay…           0     0.5000\n");
    assert_point_row(80, "a-run-with-a-lo…  layer.0…           0          0     0.5000\n");
    assert_point_row(0, "a-run-with-a-long-name    layer.0.head           0          0     0.5000"
                        "     0.5000     0.5000     0.5000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_points_fit_the_terminal),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
