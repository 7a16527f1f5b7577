#include "client/ctl/top/view.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/common/text.h"

#define NOW 2000.0

static int take_run(struct toplist *l, double now_s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int take_run(struct toplist *l, double now_s, const char *format, ...)
{
    char text[1024];
    va_list args;
    cJSON *run;
    int rc;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    run = cJSON_Parse(text);
    assert_non_null(run);
    rc = toplist_take_run(l, run, now_s);
    cJSON_Delete(run);
    return rc;
}

static int take_point(struct toplist *l, const char *text)
{
    cJSON *point = cJSON_Parse(text);
    int rc = toplist_take_point(l, point);

    assert_non_null(point);
    cJSON_Delete(point);
    return rc;
}

/* Run i of project p: "r0".. named "n0"..; the even ones are open; d_lr falls with i. */
static void add_runs(struct toplist *l, int n)
{
    for (int i = 0; i < n; i++)
        take_run(l, NOW,
                 "{\"run\":\"r%d\",\"project\":\"p\",\"name\":\"n%d\",\"state\":\"%s\","
                 "\"attempt\":1,\"created\":%d,\"updated\":%d,\"n_points\":9,"
                 "\"layers\":[{\"layer\":\"head\",\"step\":%d,\"d_lr\":0.9,\"d_debiased\":%g}]}",
                 i, i, i % 2 ? "finished" : "open", 100 + i, 1990 - i, 10 * i, 1.0 / (i + 1));
}

static struct topview view_of(struct toplist *l, size_t columns, size_t lines, const char *filter)
{
    struct topview v = {
        .columns = columns, .lines = lines, .now_s = NOW, .away_s = (double)NAN, .filter = filter};

    v.n_all = toplist_count(l, &v.n_open);
    v.n_runs = toplist_select(l, v.order, filter, &v.runs);
    return v;
}

static char *draw(const struct topview *v)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    topview_draw(v, out);
    fclose(out);
    return text;
}

/* The number of lines; fails when one is wider than `columns`. */
static size_t count_lines(const char *text, size_t columns)
{
    size_t n = 0;

    for (; *text; text += strcspn(text, "\n") + 1, n++) {
        char line[1024];

        snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
        assert_true(text_width(line) <= columns);
    }
    return n;
}

static void the_screen_of_80_columns_is_drawn_as_expected(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct toprun *const *runs;
    struct topview v;
    char *text;

    (void)state;
    add_runs(l, 3);
    toplist_select(l, TOP_NEWEST, NULL, &runs);
    assert_true(toprun_clear_samples(runs[0]));
    for (int i = 0; i < 100; i++)
        toprun_add_sample(runs[0], i, i < 30 ? 0.9 : 0.1);
    v = view_of(l, 80, 7, "");
    text = draw(&v);
    assert_string_equal(
        text, "richd: 3 runs, 2 open, by newest\n"
              "RUN                    D_LR 0-1          LAST      STEP   PT/S STATE         AGE\n"
              "p/n2                   ▇▇▇▇▇▇▇▇▇▇▂▂▂▂  0.3333        20      - open         12 s\n"
              "p/n0                                   1.0000         0      - open         10 s\n"
              "p/n1                                   0.5000        10      - finished     11 s\n"
              "\n"
              "q quit  / filter  s sort\n");
    free(text);
    toplist_free(l);
}

static void a_plain_value_has_a_star_that_is_explained(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct topview v;
    char *text;

    (void)state;
    take_run(
        l, NOW,
        "{\"run\":\"a\",\"project\":\"p\",\"name\":\"top\",\"state\":\"open\",\"updated\":1990,"
        "\"layers\":[{\"layer\":\"head\",\"step\":5,\"d_lr\":0.25,\"d_debiased\":null}]}");
    v = view_of(l, 80, 4, "");
    text = draw(&v);
    assert_non_null(strstr(text, " 0.2500* "));
    assert_non_null(strstr(text, "s sort  * d_lr itself: there is no d_debiased\n"));
    free(text);
    toplist_free(l);
}

static void no_size_gets_a_line_too_many_or_too_wide(void **state)
{
    struct toplist *l = toplist_new(NULL);

    (void)state;
    add_runs(l, 20);
    take_run(l, NOW,
             "{\"run\":\"w\",\"project\":\"日本語日本語日本語\",\"name\":\"名前名前名前名前名前名前"
             "名前\",\"state\":\"open\",\"created\":1e9,\"layers\":[]}");
    for (size_t columns = 1; columns <= 200; columns++) {
        for (size_t lines = 1; lines <= 30; lines++) {
            struct topview v = view_of(l, columns, lines, "");
            char *text;

            v.away_s = lines % 2 ? (double)NAN : 12;
            text = draw(&v);
            assert_int_equal(count_lines(text, columns), lines);
            free(text);
        }
    }
    toplist_free(l);
}

static void ascii_means_ascii_and_no_colour_no_escapes(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct toprun *const *runs;
    struct topview v;
    char *text;

    (void)state;
    add_runs(l, 2);
    toplist_select(l, TOP_NEWEST, NULL, &runs);
    toprun_clear_samples(runs[0]);
    toprun_add_sample(runs[0], 1, 0.5);
    v = view_of(l, 30, 8, "");
    v.ascii = true;
    v.columns = 52;
    text = draw(&v);
    for (const char *s = text; *s; s++)
        assert_true(*s == '\n' || (*s >= ' ' && *s < 0x7F));
    assert_non_null(strstr(text, " ="));
    free(text);
    v.colour = true;
    text = draw(&v);
    assert_non_null(strstr(text, "\033[32mopen"));
    free(text);
    toplist_free(l);
}

static void a_daemon_that_went_is_told_with_the_time(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct topview v;
    char *text;

    (void)state;
    add_runs(l, 1);
    v = view_of(l, 80, 24, "");
    v.away_s = 12;
    text = draw(&v);
    assert_true(strncmp(text, "daemon away for 12 s", 20) == 0);
    assert_non_null(strstr(text, "p/n0"));
    free(text);
    toplist_free(l);
}

static void scrolling_stops_at_both_ends(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct topview v;

    (void)state;
    add_runs(l, 30);
    v = view_of(l, 80, 13, "");
    assert_int_equal(topview_rows(&v), 10);
    topview_scroll(&v, -1);
    assert_int_equal(v.first, 0);
    topview_scroll(&v, 15);
    assert_int_equal(v.first, 15);
    topview_scroll(&v, 15);
    assert_int_equal(v.first, 20);
    v.lines = 33;
    topview_scroll(&v, 0);
    assert_int_equal(v.first, 0);
    toplist_free(l);
}

static void runs_are_ordered_and_filtered(void **state)
{
    static const char *const first[TOP_ORDERS] = {"r4", "r0", "r0", "r5"};
    struct toplist *l = toplist_new(NULL);
    struct toprun *const *runs;

    (void)state;
    add_runs(l, 6);
    for (int order = 0; order < TOP_ORDERS; order++) {
        assert_int_equal(toplist_select(l, order, "", &runs), 6);
        assert_string_equal(runs[0]->run, first[order]);
    }
    assert_int_equal(toplist_select(l, TOP_NAME, "FINISHED", &runs), 3);
    assert_int_equal(toplist_select(l, TOP_NAME, "p/N3", &runs), 1);
    assert_string_equal(runs[0]->run, "r3");
    assert_int_equal(toplist_select(l, TOP_NAME, "nothing", &runs), 0);
    toplist_free(l);
}

static void points_move_a_run_and_lengthen_its_curve(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct toprun *const *runs;

    (void)state;
    add_runs(l, 1);
    toplist_select(l, TOP_NAME, NULL, &runs);
    assert_true(toprun_clear_samples(runs[0]));
    runs[0]->sampled = true;
    assert_int_equal(take_point(l, "{\"run\":\"r0\",\"layer\":\"head\",\"step\":11,\"d_lr\":0.25}"),
                     1);
    assert_int_equal(take_point(l, "{\"run\":\"r0\",\"layer\":\"head\",\"step\":11,\"d_lr\":0.25}"),
                     0);
    assert_int_equal(take_point(l, "{\"run\":\"r0\",\"layer\":\"body\",\"step\":12}"), 0);
    assert_int_equal(take_point(l, "{\"run\":\"rx\",\"layer\":\"head\",\"step\":12}"), 0);
    assert_true(runs[0]->step == 11 && runs[0]->d_lr == 0.25 && runs[0]->n_samples == 1);
    /* Back to an earlier step: the curve is another one. */
    take_point(l, "{\"run\":\"r0\",\"layer\":\"head\",\"step\":5,\"d_lr\":null}");
    assert_false(runs[0]->sampled);
    assert_true(isnan(runs[0]->d_lr));
    toplist_free(l);
}

static void a_full_curve_is_to_be_asked_for(void **state)
{
    struct toprun r = {.sampled = true};

    (void)state;
    assert_true(toprun_clear_samples(&r));
    for (int i = 0; i < TOP_SAMPLES; i++)
        toprun_add_sample(&r, i, 0.5);
    assert_true(r.sampled);
    toprun_add_sample(&r, TOP_SAMPLES, 0.5);
    assert_false(r.sampled);
    free(r.samples);
}

/* 120 points at 2 a second, and then none: the rate falls. */
static void the_rate_is_of_the_last_minute(void **state)
{
    struct toplist *l = toplist_new(NULL);
    struct toprun *const *runs;

    (void)state;
    for (int i = 0; i <= 60; i++)
        take_run(l, NOW + i, "{\"run\":\"r\",\"state\":\"open\",\"n_points\":%d,\"layers\":[]}",
                 2 * i + 50);
    toplist_select(l, TOP_NAME, NULL, &runs);
    assert_true(fabs(toprun_rate(runs[0], NOW + 60) - 2) < 1e-9);
    assert_true(fabs(toprun_rate(runs[0], NOW + 90) - 1) < 1e-9);
    take_run(l, NOW + 91, "{\"run\":\"r\",\"state\":\"finished\",\"n_points\":170,\"layers\":[]}");
    assert_true(isnan(toprun_rate(runs[0], NOW + 91)));
    toplist_free(l);
}

static void of_several_layers_one_is_shown(void **state)
{
    static const char run[] = "{\"run\":\"r\",\"state\":\"open\",\"layers\":["
                              "{\"layer\":\"a\",\"step\":1,\"d_lr\":0.5},"
                              "{\"layer\":\"b\",\"step\":2,\"d_lr\":0.25}]}";
    struct toplist *last = toplist_new(NULL), *named = toplist_new("a");
    struct toprun *const *runs;

    (void)state;
    take_run(last, NOW, "%s", run);
    take_run(named, NOW, "%s", run);
    toplist_select(last, TOP_NAME, NULL, &runs);
    assert_string_equal(runs[0]->shown_layer, "b +1");
    assert_true(runs[0]->d_lr == 0.25);
    toplist_select(named, TOP_NAME, NULL, &runs);
    assert_string_equal(runs[0]->shown_layer, "a +1");
    assert_true(runs[0]->d_lr == 0.5);
    toplist_free(last);
    toplist_free(named);
}

static void clipping_counts_columns_and_keeps_colours(void **state)
{
    char line[] = "\033[32mab日本\033[0mcd";

    (void)state;
    text_clip(line, 5);
    assert_string_equal(line, "\033[32mab日\033[0m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_screen_of_80_columns_is_drawn_as_expected),
        cmocka_unit_test(a_plain_value_has_a_star_that_is_explained),
        cmocka_unit_test(no_size_gets_a_line_too_many_or_too_wide),
        cmocka_unit_test(ascii_means_ascii_and_no_colour_no_escapes),
        cmocka_unit_test(a_daemon_that_went_is_told_with_the_time),
        cmocka_unit_test(scrolling_stops_at_both_ends),
        cmocka_unit_test(runs_are_ordered_and_filtered),
        cmocka_unit_test(points_move_a_run_and_lengthen_its_curve),
        cmocka_unit_test(a_full_curve_is_to_be_asked_for),
        cmocka_unit_test(the_rate_is_of_the_last_minute),
        cmocka_unit_test(of_several_layers_one_is_shown),
        cmocka_unit_test(clipping_counts_columns_and_keeps_colours),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
