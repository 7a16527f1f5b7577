/* A text goes through memory and file, and comes back as it was written. */
#include "daemon/format/text.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/records.h"

#define MEMORY 65536

struct fixture {
    char *directory;
    struct text_room *room;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->directory = scratch_new();
    f->room =
        text_room_new(f->directory, &(struct text_limits){MEMORY, 2 * MEMORY, 16 * MEMORY, 2});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    text_room_free(f->room); /* asserts that nothing is taken of it */
    scratch_free(f->directory);
    free(f);
    return 0;
}

/* So many lines of eight bytes, each with its number. */
static struct text *lines(struct fixture *f, int n, int expected)
{
    struct text *text = text_new(f->room);

    for (int i = 0; i < n; i++)
        fprintf(text_stream(text), "%07d\n", i);
    assert_int_equal(text_end(text), expected);
    return text;
}

static void expect_lines(struct text *text, int n, size_t max)
{
    char *all = malloc((size_t)n * 8 + 1), *piece, line[16];
    size_t size = 0;
    ssize_t taken;

    assert_int_equal(text_left(text), (size_t)n * 8);
    while ((taken = text_peek(text, max, &piece)) > 0) {
        assert_true((size_t)taken <= max);
        memcpy(all + size, piece, (size_t)taken);
        size += (size_t)taken;
        text_take(text, (size_t)taken);
    }
    assert_int_equal(taken, 0);
    for (int i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%07d\n", i);
        assert_memory_equal(all + (size_t)i * 8, line, 8);
    }
    free(all);
}

static void a_short_text_stays_in_memory(void **state)
{
    struct text *text = lines(*state, 100, 0);

    expect_lines(text, 100, 7);
    text_free(text);
}

static void a_long_text_goes_on_in_a_file(void **state)
{
    struct text *one = lines(*state, 20000, 0), *other = lines(*state, 20000, 0);

    expect_lines(one, 20000, 10007);
    expect_lines(other, 20000, 1 << 20);
    text_free(one);
    text_free(other);
    text_free(lines(*state, 20000, 0)); /* nobody took it */
}

static void without_room_a_text_fails_and_gives_back_what_it_took(void **state)
{
    struct text *text = lines(*state, 140000, -ENOBUFS);

    text_free(text);
    text = lines(*state, 130000, 0);
    text_free(text);
}

static void without_a_file_memory_goes_a_little_further(void **state)
{
    struct fixture f = {
        .room =
            text_room_new("/dev/null/none", &(struct text_limits){MEMORY, 2 * MEMORY, MEMORY, 1})};
    struct text *text = lines(&f, 12000, 0);

    (void)state;
    expect_lines(text, 12000, 4096);
    text_free(text);
    text_free(lines(&f, 20000, -ENOBUFS));
    text_room_free(f.room);
}

static void a_text_that_is_given_up_while_it_is_written_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct text *text = text_new(f->room);

    for (int i = 0; i < 20000; i++)
        fputs("it is left\n", text_stream(text));
    text_free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_short_text_stays_in_memory),
        TEST(a_long_text_goes_on_in_a_file),
        TEST(without_room_a_text_fails_and_gives_back_what_it_took),
        TEST(without_a_file_memory_goes_a_little_further),
        TEST(a_text_that_is_given_up_while_it_is_written_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
