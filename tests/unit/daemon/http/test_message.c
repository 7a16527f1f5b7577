#include "daemon/http/message.h"

#include "tests/lib/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char head[HTTP_HEAD_BYTES_MAX + 1];

/* Reads the text as a head, which it has to be as a whole. */
static enum http_code read_head(const char *text, struct http_message *out)
{
    struct err why = {""};
    enum http_code code;

    assert_int_equal(http_message_end(text, strlen(text)), strlen(text));
    strcpy(head, text);
    code = http_message_read(head, strlen(head), out, &why);
    assert_int_equal(*why.text == '\0', code == HTTP_OK);
    return code;
}

static void expect(enum http_code code, const char *text)
{
    struct http_message message;
    enum http_code got = read_head(text, &message);

    if (got != code)
        fail_msg("%d for %s", got, text);
}

static void a_head_is_read_with_its_query_and_headers(void **state)
{
    struct http_message m;

    (void)state;
    assert_int_equal(
        read_head("GET /a%20b/c?x=1&&y=%26+%2B& HTTP/1.1\r\nHOST: \t localhost:1 \t\r\n"
                  "A: b\r\nAccept:\r\nX: y: z\r\n\r\n",
                  &m),
        HTTP_OK);
    assert_int_equal(m.method, HTTP_GET);
    assert_true(m.keeps);
    assert_string_equal(m.path, "/a b/c");
    assert_int_equal(m.n_args, 2);
    assert_string_equal(m.arg[0], "x=1");
    assert_string_equal(m.arg[1], "y=& +");
    assert_string_equal(m.header[HEADER_HOST], "localhost:1");
    assert_string_equal(m.header[HEADER_ACCEPT], "");
    assert_null(m.header[HEADER_ORIGIN]);
}

static void a_connection_is_kept_unless_one_side_says_no(void **state)
{
    struct http_message m;

    (void)state;
    read_head("HEAD / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", &m);
    assert_int_equal(m.method, HTTP_HEAD);
    assert_true(m.keeps);
    read_head("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", &m);
    assert_false(m.keeps);
    read_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &m);
    assert_false(m.keeps);
}

static void the_end_is_an_empty_line_and_nothing_else(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nGET";
    static const char *const bad[] = {
        "GET / HTTP/1.1\n", "GET / HTTP/1.1\rA", "GET \1",  "A: b\r\nC: \x7f", "\n",
        "A: b\r\r\n",       "\x16\x03\x01",      "a\x1b[0m"};

    (void)state;
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_int_equal(http_message_end(text, size), size < 24 ? 0 : 24);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_message_end(bad[i], strlen(bad[i])), -1);
    assert_int_equal(http_message_end("GET /\0", 6), -1);
}

static void what_another_program_may_read_otherwise_is_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 0, 0\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\xff: b\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET /\tHTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1.10\r\n\r\n",
        "GET / HTTP/1\r\n\r\n",
        "GET http://localhost/ HTTP/1.1\r\n\r\n",
        "GET localhost HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "GET /#a HTTP/1.1\r\n\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        "GET /% HTTP/1.1\r\n\r\n",
        "GET /%4 HTTP/1.1\r\n\r\n",
        "GET /%4g HTTP/1.1\r\n\r\n",
        "GET /%00 HTTP/1.1\r\n\r\n",
        "GET /?a=%00 HTTP/1.1\r\n\r\n",
        "GET /?a=%zz HTTP/1.1\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(HTTP_BAD_REQUEST, bad[i]);
    expect(HTTP_OK, "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
}

static void methods_and_versions_have_answers_of_their_own(void **state)
{
    static const char *const others[] = {
        "TRACE / HTTP/1.1\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\n\r\n",
        "G / HTTP/1.1\r\n\r\n",
        "GETT / HTTP/1.1\r\n\r\n",
        "POSTT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
    };
    struct http_message m;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(read_head(others[i], &m), HTTP_OK);
        assert_int_equal(m.method, HTTP_OTHER_METHOD);
    }
    expect(HTTP_NO_VERSION, "GET / HTTP/2.0\r\n\r\n");
    expect(HTTP_NO_VERSION, "PRI * HTTP/2.0\r\n\r\n");
}

/* POST with these headers. */
static enum http_code read_post(const char *headers, struct http_message *m)
{
    char text[512];

    snprintf(text, sizeof text, "POST /a HTTP/1.1\r\n%s\r\n", headers);
    return read_head(text, m);
}

static void a_post_says_how_long_its_body_is(void **state)
{
    static const struct {
        const char *headers;
        long size;
    } rows[] = {
        {"Content-Length: 0\r\n", 0},
        {"Content-Length: 0017\r\n", 17},
        {"Content-Length: 1048576\r\n", 1048576},
        {"Content-Length: 1048577\r\n", 1048577},
        {"Content-Length: 99999999999999999999999\r\n", 1048577},
        {"", -1},
        {"Transfer-Encoding: chunked\r\n", -1},
    };
    struct http_message m;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_post(rows[i].headers, &m), HTTP_OK);
        assert_int_equal(m.method, HTTP_POST);
        assert_string_equal(m.path, "/a");
        assert_int_equal(m.body_size, rows[i].size);
    }
}

static void a_body_of_two_lengths_is_refused(void **state)
{
    static const char *const bad[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
    };
    struct http_message m;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_post(bad[i], &m), HTTP_BAD_REQUEST);
}

/* A head with `n` times `c` between the two texts. */
static enum http_code long_head(const char *before, char c, size_t n, const char *behind,
                                struct http_message *m)
{
    static char text[HTTP_HEAD_BYTES_MAX + 1];
    size_t size = strlen(before);

    assert_true(size + n + strlen(behind) <= HTTP_HEAD_BYTES_MAX);
    strcpy(text, before);
    memset(text + size, c, n);
    strcpy(text + size + n, behind);
    return read_head(text, m);
}

static void limits_hold_at_the_limit_and_not_one_beyond(void **state)
{
    struct http_message m;

    (void)state;
    assert_int_equal(long_head("GET /", 'a', HTTP_TEXT_MAX - 2, " HTTP/1.1\r\n\r\n", &m), HTTP_OK);
    assert_int_equal(long_head("GET /", 'a', HTTP_TEXT_MAX - 1, " HTTP/1.1\r\n\r\n", &m),
                     HTTP_BAD_REQUEST);
    assert_int_equal(long_head("GET /?", 'a', HTTP_TEXT_MAX - 1, " HTTP/1.1\r\n\r\n", &m), HTTP_OK);
    assert_int_equal(long_head("GET /?", 'a', HTTP_TEXT_MAX, " HTTP/1.1\r\n\r\n", &m),
                     HTTP_BAD_REQUEST);
    assert_int_equal(long_head("GET / HTTP/1.1\r\nHost: ", 'a', HTTP_TEXT_MAX - 1, "\r\n\r\n", &m),
                     HTTP_OK);
    assert_int_equal(long_head("GET / HTTP/1.1\r\nHost: ", 'a', HTTP_TEXT_MAX, "\r\n\r\n", &m),
                     HTTP_BAD_REQUEST);
    assert_int_equal(long_head("GET / HTTP/1.1\r\nAccept: ", 'a', HTTP_TEXT_MAX, "\r\n\r\n", &m),
                     HTTP_OK);
    assert_null(m.header[HEADER_ACCEPT]);
    assert_int_equal(long_head("GET / HTTP/1.1\r\nX: ", 'a', 7000, "\r\n\r\n", &m), HTTP_OK);
}

/* A head of `n` header lines, or of a query with as many parts. */
static void many(char *out, const char *before, const char *each, size_t n, const char *behind)
{
    strcpy(out, before);
    for (size_t i = 0; i < n; i++)
        strcat(out, each);
    strcat(out, behind);
}

static void headers_and_parts_of_a_query_are_counted(void **state)
{
    char text[HTTP_HEAD_BYTES_MAX];

    (void)state;
    many(text, "GET / HTTP/1.1\r\n", "A: b\r\n", HTTP_HEADERS_MAX, "\r\n");
    expect(HTTP_OK, text);
    many(text, "GET / HTTP/1.1\r\n", "A: b\r\n", HTTP_HEADERS_MAX + 1, "\r\n");
    expect(HTTP_HEAD_TOO_LARGE, text);
    many(text, "GET /?", "a=1&", HTTP_ARGS_MAX, " HTTP/1.1\r\n\r\n");
    expect(HTTP_OK, text);
    many(text, "GET /?", "a=1&", HTTP_ARGS_MAX + 1, " HTTP/1.1\r\n\r\n");
    expect(HTTP_BAD_REQUEST, text);
}

static void lists_have_whole_words(void **state)
{
    (void)state;
    assert_true(http_message_lists("keep-alive, Upgrade", "upgrade"));
    assert_true(http_message_lists("upgrade", "upgrade"));
    assert_true(http_message_lists(",, upgrade\t,x", "upgrade"));
    assert_false(http_message_lists("upgraded", "upgrade"));
    assert_false(http_message_lists("no-upgrade", "upgrade"));
    assert_false(http_message_lists("", "upgrade"));
    assert_false(http_message_lists(NULL, "upgrade"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read_with_its_query_and_headers),
        cmocka_unit_test(a_connection_is_kept_unless_one_side_says_no),
        cmocka_unit_test(the_end_is_an_empty_line_and_nothing_else),
        cmocka_unit_test(what_another_program_may_read_otherwise_is_refused),
        cmocka_unit_test(methods_and_versions_have_answers_of_their_own),
        cmocka_unit_test(a_post_says_how_long_its_body_is),
        cmocka_unit_test(a_body_of_two_lengths_is_refused),
        cmocka_unit_test(limits_hold_at_the_limit_and_not_one_beyond),
        cmocka_unit_test(headers_and_parts_of_a_query_are_counted),
        cmocka_unit_test(lists_have_whole_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
