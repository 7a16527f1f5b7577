#include "daemon/http/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/cmocka.h"

#define TOKEN "0123456789abcdef"
/* Of that. */
#define HASH "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"

static void write_file(const char *path, const char *text)
{
    char other[80];
    int fd;

    snprintf(other, sizeof other, "%s.new", path);
    fd = open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(rename(other, path), 0);
}

static unsigned rights(const struct tokens *tokens, const char *token)
{
    uint8_t digest[SHA256_SIZE];

    sha256(token, strlen(token), digest);
    return tokens_rights(tokens, digest);
}

static void a_hash_and_its_token_are_the_same(void **state)
{
    char path[] = "/tmp/richd-tokens-XXXXXX";
    struct tokens *tokens;
    struct err err;

    (void)state;
    close(mkstemp(path));
    tokens = tokens_new(path, true);
    write_file(path, "read " HASH " laptop\nread,write other-" TOKEN "\n");
    assert_int_equal(tokens_refresh(tokens, false, &err), 1);
    assert_int_equal(rights(tokens, TOKEN), TOKEN_READS);
    assert_int_equal(rights(tokens, "other-" TOKEN), TOKEN_READS | TOKEN_WRITES | TOKEN_EDITS);
    assert_int_equal(rights(tokens, HASH), TOKEN_NONE);
    assert_int_equal(rights(tokens, ""), TOKEN_NONE);
    assert_int_equal(tokens_rights(NULL, (uint8_t[SHA256_SIZE]){0}), TOKEN_NONE);
    tokens_free(tokens);
    unlink(path);
}

static void what_was_written_counts_at_the_next_look(void **state)
{
    char path[] = "/tmp/richd-tokens-XXXXXX";
    struct tokens *tokens;
    struct err err;

    (void)state;
    close(mkstemp(path));
    unlink(path);
    tokens = tokens_new(path, true);
    assert_int_equal(tokens_refresh(tokens, true, &err), 1);
    assert_int_equal(tokens_refresh(tokens, false, &err), 0);
    write_file(path, "read " HASH " laptop\n");
    assert_int_equal(tokens_refresh(tokens, false, &err), 1);
    assert_int_equal(tokens_refresh(tokens, false, &err), 0);
    assert_int_equal(rights(tokens, TOKEN), TOKEN_READS);
    write_file(path, "read sha256:12 laptop\n");
    assert_int_equal(tokens_refresh(tokens, false, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "line 1"));
    assert_int_equal(rights(tokens, TOKEN), TOKEN_READS);
    unlink(path);
    assert_int_equal(tokens_refresh(tokens, false, &err), 1);
    assert_int_equal(rights(tokens, TOKEN), TOKEN_NONE);
    tokens_free(tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_and_its_token_are_the_same),
        cmocka_unit_test(what_was_written_counts_at_the_next_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
