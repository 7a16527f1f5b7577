#include "client/ctl/export/zip.h"

#include "tests/lib/cmocka.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What Python's zipfile, which numpy reads npz with, finds: each member is its name, n times, the
 * n-th n times. */
static const char reader[] =
    "import sys, zipfile\n"
    "with zipfile.ZipFile(sys.argv[1]) as z:\n"
    "    assert z.testzip() is None\n"
    "    names = z.namelist()\n"
    "    assert names == [f'm{i}' for i in range(int(sys.argv[2]))]\n"
    "    for i, name in enumerate(names):\n"
    "        assert z.read(name).decode() == f'head m{i} ' + 'b' * 97 * i\n";

static FILE *body_of(int i)
{
    FILE *body = tmpfile();

    assert_non_null(body);
    for (int k = 0; k < 97 * i; k++)
        fputc('b', body);
    return body;
}

/* The archive at `path`, of `n` members; returns its bytes. */
static long write_archive(const char *path, int n, const struct zip_limits *limits)
{
    FILE *out = fopen(path, "wb");
    struct zip *zip = zip_new(out, limits);
    struct err err;
    long size;

    assert_true(out && zip);
    for (int i = 0; i < n; i++) {
        FILE *body = body_of(i);
        char name[16], head[32];

        snprintf(name, sizeof name, "m%d", i);
        snprintf(head, sizeof head, "head %s ", name);
        assert_int_equal(zip_add(zip, name, head, strlen(head), body, &err), 0);
        fclose(body);
    }
    zip_finish(zip);
    zip_free(zip);
    size = ftell(out);
    assert_int_equal(fclose(out), 0);
    return size;
}

static void expect_read(const char *path, int n)
{
    char command[1024];

    snprintf(command, sizeof command, "python3 -c \"%s\" %s %d", reader, path, n);
    assert_int_equal(system(command), 0);
}

static bool has(const char *path, const char *signature)
{
    static char text[65536];
    FILE *in = fopen(path, "rb");
    size_t size = fread(text, 1, sizeof text, in);

    fclose(in);
    return memmem(text, size, signature, 4) != NULL;
}

/* Each limit by itself, and all of them: sizes, places of members, the list, and how many. */
static void what_is_beyond_a_limit_is_read_by_zipfile(void **state)
{
    static const struct zip_limits rows[] = {
        {UINT32_MAX - 1, 5}, {97, 100}, {1200, 100}, {0, 0}, {UINT32_MAX - 1, 100},
    };
    char path[] = "/tmp/test_zip_XXXXXX";

    (void)state;
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_archive(path, 8, &rows[i]);
        assert_int_equal(has(path, "PK\6\6"), i < 4);
        expect_read(path, 8);
    }
    unlink(path);
}

static void what_is_within_the_limits_is_as_ever(void **state)
{
    char path[] = "/tmp/test_zip_XXXXXX";
    const struct zip_limits exact = {UINT32_MAX - 1, 8}, one_less = {UINT32_MAX - 1, 7};

    (void)state;
    close(mkstemp(path));
    assert_int_equal(write_archive(path, 8, NULL), write_archive(path, 8, &exact));
    assert_int_equal(write_archive(path, 8, &one_less), write_archive(path, 8, NULL) + 56 + 20);
    write_archive(path, 0, NULL);
    expect_read(path, 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_beyond_a_limit_is_read_by_zipfile),
        cmocka_unit_test(what_is_within_the_limits_is_as_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
