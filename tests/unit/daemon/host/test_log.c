#include "daemon/host/log.h"

#include "tests/lib/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char written[65536];

/* What `log` writes to standard error, in `written`. */
static void catch (void (*log)(void))
{
    char path[] = "/tmp/test_log-XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    ssize_t n;

    assert_true(file >= 0 && before >= 0);
    unlink(path);
    dup2(file, STDERR_FILENO);
    log();
    dup2(before, STDERR_FILENO);
    close(before);
    n = pread(file, written, sizeof written - 1, 0);
    assert_true(n >= 0);
    written[n] = '\0';
    close(file);
}

static size_t count(const char *text)
{
    size_t n = 0;

    for (const char *at = strstr(written, text); at; at = strstr(at + 1, text))
        n++;
    return n;
}

static void log_a_name_from_outside(void)
{
    log_info("run=%s", "a\nb\x1b[0m");
}

static void a_line_stays_one_line(void **state)
{
    (void)state;
    catch (log_a_name_from_outside);
    assert_int_equal(count("\n"), 1);
    assert_non_null(strstr(written, " info  run=a b [0m\n"));
}

static void a_line_begins_with_its_date(void **state)
{
    int year, month, day, hour, minute, second, ms;

    (void)state;
    catch (log_a_name_from_outside);
    assert_int_equal(sscanf(written, "%4d-%2d-%2d %2d:%2d:%2d.%3d info ", &year, &month, &day,
                            &hour, &minute, &second, &ms),
                     7);
    assert_true(year >= 2026 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
}

static void log_a_long_text(void)
{
    char text[5000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("%s", text);
}

static void a_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    catch (log_a_long_text);
    assert_true(strlen(written) <= 2048);
    assert_int_equal(written[strlen(written) - 1], '\n');
}

static void log_at_each_level(void)
{
    log_set_level(LOG_WARN);
    log_error("an error");
    log_warn("a warning");
    log_info("a fact");
    log_set_level(LOG_INFO);
}

static void lines_above_the_level_are_not_written(void **state)
{
    (void)state;
    catch (log_at_each_level);
    assert_int_equal(count("\n"), 2);
    assert_int_equal(count("a fact"), 0);
}

static void log_a_flood(void)
{
    struct log_limit limit = {0};

    for (unsigned i = 0; i < 100; i++)
        log_warn_limited(&limit, "flood %u", i);
    assert_int_equal(limit.n_suppressed, 100 - LOG_BURST);
    limit.period_start_ms -= LOG_PERIOD_S * 1000 + 1;
    log_warn_limited(&limit, "later");
}

static void a_flood_is_counted_and_told_with_the_next_line(void **state)
{
    (void)state;
    catch (log_a_flood);
    assert_int_equal(count("flood"), LOG_BURST);
    assert_int_equal(count("95 more lines like the next were left out"), 1);
    assert_int_equal(count("later"), 1);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_find("error"), LOG_ERROR);
    assert_int_equal(log_level_find("warn"), LOG_WARN);
    assert_int_equal(log_level_find("info"), LOG_INFO);
    assert_int_equal(log_level_find("debug"), LOG_DEBUG);
    assert_int_equal(log_level_find("notice"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_line_begins_with_its_date),
        cmocka_unit_test(a_long_line_is_cut_and_ends),
        cmocka_unit_test(lines_above_the_level_are_not_written),
        cmocka_unit_test(a_flood_is_counted_and_told_with_the_next_line),
        cmocka_unit_test(levels_have_names),
    };

    unsetenv("JOURNAL_STREAM");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
