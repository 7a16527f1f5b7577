#include "daemon/http/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Whether the head has this line, with its CR LF. */
static bool has_line(const char *head, const char *line)
{
    const char *at = strstr(head, line);

    return at && (at == head || at[-1] == '\n') && strncmp(at + strlen(line), "\r\n", 2) == 0;
}

static void write_head(struct http_head h, char out[HTTP_HEAD_MAX])
{
    size_t size = http_head_write(&h, out);

    assert_int_equal(size, strlen(out));
    assert_string_equal(out + size - 4, "\r\n\r\n");
    assert_null(strstr(strstr(out, "\r\n\r\n") + 2, "\r\n\r\n\r\n"));
}

static void a_file_has_its_type_tag_and_length(void **state)
{
    char head[HTTP_HEAD_MAX];

    (void)state;
    write_head((struct http_head){.status = HTTP_OK,
                                  .type = "text/css",
                                  .etag = "\"abc\"",
                                  .coding = "gzip",
                                  .length = 1234567890123},
               head);
    assert_true(has_line(head, "HTTP/1.1 200 OK"));
    assert_true(has_line(head, "content-type: text/css"));
    assert_true(has_line(head, "etag: \"abc\""));
    assert_true(has_line(head, "content-encoding: gzip"));
    assert_true(has_line(head, "vary: accept-encoding"));
    assert_true(has_line(head, "content-length: 1234567890123"));
    assert_null(strstr(head, "connection:"));
}

static void what_is_not_changed_has_no_length(void **state)
{
    char head[HTTP_HEAD_MAX];

    (void)state;
    write_head((struct http_head){.status = HTTP_NOT_MODIFIED, .etag = "\"abc\"", .length = 7},
               head);
    assert_true(has_line(head, "HTTP/1.1 304 Not Modified"));
    assert_null(strstr(head, "content-length"));
}

static void a_stream_ends_with_its_connection(void **state)
{
    char head[HTTP_HEAD_MAX];

    (void)state;
    write_head((struct http_head){.status = HTTP_OK, .type = "text/event-stream", .endless = true},
               head);
    assert_null(strstr(head, "content-length"));
    assert_true(has_line(head, "x-accel-buffering: no"));
    assert_true(has_line(head, "connection: close"));
    assert_true(has_line(head, "cache-control: no-store"));
}

static void every_answer_carries_the_policies(void **state)
{
    static const enum http_code codes[] = {HTTP_OK,           HTTP_NOT_MODIFIED, HTTP_BAD_REQUEST,
                                           HTTP_UNAUTHORIZED, HTTP_FORBIDDEN,    HTTP_NOT_FOUND,
                                           HTTP_NO_METHOD,    HTTP_MISDIRECTED,  HTTP_TOO_MANY,
                                           HTTP_FAILED,       HTTP_UNAVAILABLE};
    char head[HTTP_HEAD_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        write_head((struct http_head){.status = codes[i], .type = "text/plain"}, head);
        assert_non_null(strstr(head, "\r\ncontent-security-policy: default-src 'none'; "));
        assert_true(has_line(head, "x-content-type-options: nosniff"));
        assert_int_equal(codes[i] == HTTP_UNAUTHORIZED,
                         has_line(head, "www-authenticate: Bearer realm=\"richd\""));
        assert_int_equal(codes[i] == HTTP_NO_METHOD, has_line(head, "allow: GET, HEAD"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_its_type_tag_and_length),
        cmocka_unit_test(what_is_not_changed_has_no_length),
        cmocka_unit_test(a_stream_ends_with_its_connection),
        cmocka_unit_test(every_answer_carries_the_policies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
