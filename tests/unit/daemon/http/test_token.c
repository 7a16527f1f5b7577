#include "daemon/http/token.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/access.h"

static char folder[32], file[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_token-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/page.token", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder);
}

static void keep(struct http_tokens *token)
{
    struct err e = {""};
    char *path;

    assert_int_equal(http_token_keep(folder, token, &path, &e), 0);
    assert_string_equal(path, file);
    free(path);
}

static void they_are_made_once_and_kept(void **state)
{
    struct http_tokens first, again;
    struct stat st;

    (void)state;
    keep(&first);
    assert_int_equal(strlen(first.read), HTTP_TOKEN_SIZE - 1);
    assert_int_equal(strlen(first.write), HTTP_TOKEN_SIZE - 1);
    assert_string_not_equal(first.read, first.write);
    keep(&again);
    assert_memory_equal(&first, &again, sizeof first);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void one_reads_one_writes_and_another_does_neither(void **state)
{
    struct http_access *access;
    struct http_tokens token;
    struct err e = {""};

    (void)state;
    keep(&token);
    assert_int_equal(http_access_new("127.0.0.1:1", NULL, file, &access, &e), 0);
    assert_int_equal(http_access_check_reader(access, token.read, &e), HTTP_OK);
    assert_int_equal(http_access_check_reader(access, token.write, &e), HTTP_OK);
    assert_false(http_access_may_edit(access, token.read));
    assert_true(http_access_may_edit(access, token.write));
    token.read[0] = token.read[0] == 'a' ? 'b' : 'a';
    assert_int_equal(http_access_check_reader(access, token.read, &e), HTTP_UNAUTHORIZED);
    http_access_free(access);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(file, mode), 0);
}

/* A link that was given away for reading goes on reading, and does no more. */
static void one_of_before_goes_on_reading(void **state)
{
    static const char known[] = "0123456789abcdef0123456789abcdef";
    struct http_tokens token;

    (void)state;
    write_file("read 0123456789abcdef0123456789abcdef\n", 0600);
    keep(&token);
    assert_string_equal(token.read, known);
    assert_string_not_equal(token.write, known);
}

/* What others may have read, or what is none. */
static void one_that_is_no_secret_is_replaced(void **state)
{
    static const char known[] = "0123456789abcdef0123456789abcdef";
    static const struct {
        const char *text;
        mode_t mode;
    } cases[] = {
        {"read 0123456789abcdef0123456789abcdef\n", 0644},
        {"read,write 0123456789abcdef0123456789abcdef\n", 0644},
        {"read short\n", 0600},
        {"read 0123456789abcdefXYZ3456789abcdef\n", 0600},
        {"", 0600},
    };
    struct http_tokens token;
    struct stat st;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].text, cases[i].mode);
        keep(&token);
        assert_string_not_equal(token.read, known);
        assert_string_not_equal(token.write, known);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void a_link_is_replaced_and_not_followed(void **state)
{
    struct http_tokens token;
    char target[80];

    (void)state;
    snprintf(target, sizeof target, "%s/elsewhere", folder);
    assert_int_equal(symlink(target, file), 0);
    keep(&token);
    assert_int_equal(access(target, F_OK), -1);
}

static void a_directory_that_takes_none_says_so(void **state)
{
    struct http_tokens token;
    char *path;
    struct err e = {""};

    (void)state;
    assert_int_equal(http_token_keep("/nonexistent", &token, &path, &e), -ENOENT);
    assert_null(path);
    assert_non_null(strstr(e.text, "/nonexistent/page.token"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(they_are_made_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_reads_one_writes_and_another_does_neither, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_of_before_goes_on_reading, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_no_secret_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_is_replaced_and_not_followed, set_up, tear_down),
        cmocka_unit_test(a_directory_that_takes_none_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
