#include "daemon/http/access.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define READ  "read-0123456789abcdef"
#define WRITE "write-0123456789abcdef"

static struct http_access *new_access(const char *address, const char *hosts, const char *tokens)
{
    struct http_access *a;
    struct err e;

    assert_int_equal(http_access_new(address, hosts, tokens, &a, &e), 0);
    return a;
}

/* A file with this text; the caller unlinks it. */
static void write_tokens(char path[64], const char *text, mode_t mode)
{
    int fd;

    snprintf(path, 64, "/tmp/richd-tokens-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_host(const struct http_access *a, const char *host, enum http_code code)
{
    struct err e = {""};

    assert_int_equal(http_access_check_names(a, &(struct http_asker){.host = host}, &e), code);
    assert_int_equal(*e.text == '\0', code == HTTP_OK);
}

static void a_host_is_compared_whole_and_its_port_is_free(void **state)
{
    static const char *const good[] = {"localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:65535",
                                       "[::1]",     "[::1]:80",    "10.1.2.3",  "10.1.2.3:9",
                                       "hub.org",   "HUB.org:443", "b"};
    static const char *const bad[] = {"localhos",      "localhostx",  "localhost.",
                                      "xlocalhost",    "localhost:",  "localhost:x",
                                      "localhost:1:2", "[::1]x",      "[::1",
                                      "::1",           "127.0.0.10",  "127.0.0.1.x",
                                      "hub.org,b",     ",",           "hub",
                                      "org",           "hub.org.x:1", "10.1.2.3:80x",
                                      ":80",           "a b"};
    struct http_access *a = new_access("10.1.2.3:80", "hub.org,b", NULL);

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        expect_host(a, good[i], HTTP_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_host(a, bad[i], HTTP_MISDIRECTED);
    expect_host(a, "", HTTP_BAD_REQUEST);
    expect_host(a, NULL, HTTP_BAD_REQUEST);
    http_access_free(a);
}

static void names_may_have_blanks_between_them(void **state)
{
    struct http_access *a = new_access("127.0.0.1:80", " hub.org, b\t,,[fd00::1],", NULL);

    (void)state;
    expect_host(a, "hub.org:1", HTTP_OK);
    expect_host(a, "b", HTTP_OK);
    expect_host(a, "[fd00::1]:8080", HTTP_OK);
    expect_host(a, " b", HTTP_MISDIRECTED);
    http_access_free(a);
}

static void what_no_host_can_be_is_no_name(void **state)
{
    static const char *const bad[] = {"",          ",",   "http://hub.org", "hub.org:80",
                                      "hub.org/x", "a;b", "fd00::1",        "*",
                                      "*.hub.org", "[",   "a, b:1"};
    struct http_access *a;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(http_access_new("127.0.0.1:80", bad[i], NULL, &a, &e), -EBADMSG);
        assert_null(a);
    }
}

static void an_origin_is_the_host_with_a_scheme_or_refused(void **state)
{
    static const char *const bad[] = {"null",
                                      "",
                                      "localhost:80",
                                      "http://localhost",
                                      "http://localhost:80/",
                                      "http://localhost:800",
                                      "http://localhost:80.evil.org",
                                      "http://evil.org",
                                      "ftp://localhost:80",
                                      "http://http://localhost:80",
                                      "HTTP://localhost:80"};
    struct http_access *a = new_access("127.0.0.1:80", NULL, NULL);
    struct http_asker asker = {.host = "localhost:80", .origin = "http://localhost:80"};
    struct err e;

    (void)state;
    assert_int_equal(http_access_check_names(a, &asker, &e), HTTP_OK);
    asker.origin = "https://LOCALHOST:80";
    assert_int_equal(http_access_check_names(a, &asker, &e), HTTP_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        asker.origin = bad[i];
        assert_int_equal(http_access_check_names(a, &asker, &e), HTTP_FORBIDDEN);
    }
    http_access_free(a);
}

static void expect_token(const struct http_access *a, const char *authorization,
                         enum http_code code)
{
    struct http_asker asker = {.authorization = authorization};
    struct err e;

    assert_int_equal(http_access_check_token(a, &asker, &e), code);
}

#define BOTH "both-0123456789abcdef"

static void one_that_may_write_may_read_as_well(void **state)
{
    static const struct {
        const char *token;
        bool may_edit;
    } facts[] = {{BOTH, true}, {READ, false}, {WRITE, false}, {"", false}, {BOTH "x", false}};
    struct http_access *a;
    char path[64], header[128];

    (void)state;
    /* What a file of before says twice still reads, and no more. */
    write_tokens(path, "read " READ "\nwrite " WRITE "\nwrite " READ "\nread,write " BOTH "\n",
                 0600);
    a = new_access("127.0.0.1:80", NULL, path);
    expect_token(a, "Bearer " BOTH, HTTP_OK);
    expect_token(a, "Bearer " READ, HTTP_OK);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        snprintf(header, sizeof header, "Bearer %s", facts[i].token);
        assert_int_equal(http_access_may_edit(a, facts[i].token), facts[i].may_edit);
        assert_int_equal(http_access_may_edit_by(a, &(struct http_asker){.authorization = header}),
                         facts[i].may_edit);
    }
    assert_false(http_access_may_edit_by(a, &(struct http_asker){.authorization = BOTH}));
    assert_false(http_access_may_edit_by(a, &(struct http_asker){.authorization = NULL}));
    http_access_free(a);
    unlink(path);
}

static void a_token_is_right_wrong_or_for_something_else(void **state)
{
    char path[64], longer[2 * HTTP_TOKEN_MAX];
    struct http_access *a;

    (void)state;
    write_tokens(path, "# tokens\n\n  read " READ "\nwrite " WRITE "\n", 0600);
    a = new_access("127.0.0.1:80", NULL, path);
    expect_token(a, "Bearer " READ, HTTP_OK);
    expect_token(a, "bearer " READ, HTTP_OK);
    expect_token(a, "Bearer " WRITE, HTTP_FORBIDDEN);
    expect_token(a, "Bearer " READ "x", HTTP_UNAUTHORIZED);
    expect_token(a, "Bearer read-0123456789abcde", HTTP_UNAUTHORIZED);
    expect_token(a, "Bearer  " READ, HTTP_UNAUTHORIZED);
    expect_token(a, "Bearer ", HTTP_UNAUTHORIZED);
    expect_token(a, "Bearer", HTTP_UNAUTHORIZED);
    expect_token(a, READ, HTTP_UNAUTHORIZED);
    expect_token(a, "", HTTP_UNAUTHORIZED);
    expect_token(a, NULL, HTTP_UNAUTHORIZED);
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "Bearer ", 7);
    longer[sizeof longer - 1] = '\0';
    expect_token(a, longer, HTTP_UNAUTHORIZED);
    http_access_free(a);
    unlink(path);
}

static void without_a_file_no_token_is_asked_for(void **state)
{
    struct http_access *a = new_access("127.0.0.1:80", NULL, NULL);

    (void)state;
    expect_token(a, NULL, HTTP_OK);
    expect_token(a, "Bearer anything", HTTP_OK);
    assert_false(http_access_may_edit(a, "anything"));
    http_access_free(a);
}

static void a_file_of_tokens_is_private_and_well_formed(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        int rc;
        const char *why;
    } rows[] = {
        {"read " READ "\n", 0640, -EPERM, "chmod 600"},
        {"read " READ "\n", 0604, -EPERM, "chmod 600"},
        {"", 0600, -EBADMSG, "no token"},
        {"# read " READ "\n", 0600, -EBADMSG, "no token"},
        {"read 0123456789abcde\n", 0600, -EBADMSG, "line 1"},
        {"read " READ "\nadmin " READ "\n", 0600, -EBADMSG, "line 2"},
        {"read " READ " " READ "\n", 0600, -EBADMSG, "line 1"},
        {READ "\n", 0600, -EBADMSG, "line 1"},
        {"read,edit " READ "\n", 0600, -EBADMSG, "read,write TOKEN"},
    };
    struct http_access *a;
    struct err e;
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_tokens(path, rows[i].text, rows[i].mode);
        assert_int_equal(http_access_new("", NULL, path, &a, &e), rows[i].rc);
        assert_null(a);
        assert_non_null(strstr(e.text, rows[i].why));
        unlink(path);
    }
    assert_int_equal(http_access_new("", NULL, "/nonexistent/tokens", &a, &e), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_is_compared_whole_and_its_port_is_free),
        cmocka_unit_test(names_may_have_blanks_between_them),
        cmocka_unit_test(what_no_host_can_be_is_no_name),
        cmocka_unit_test(an_origin_is_the_host_with_a_scheme_or_refused),
        cmocka_unit_test(one_that_may_write_may_read_as_well),
        cmocka_unit_test(a_token_is_right_wrong_or_for_something_else),
        cmocka_unit_test(without_a_file_no_token_is_asked_for),
        cmocka_unit_test(a_file_of_tokens_is_private_and_well_formed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
