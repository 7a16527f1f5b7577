/* The line of an invitation: what is printed is read again, and what was cut is refused. */
#include "client/ctl/common/invitation.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct keyfile made(const char *endpoint)
{
    struct keyfile server = {.public_key = ""}, keys = {.public_key = ""};

    assert_int_equal(keyfile_make_pair(&server, NULL), 0);
    assert_int_equal(keyfile_make_pair(&keys, NULL), 0);
    memcpy(keys.server_key, server.public_key, KEY_SIZE);
    snprintf(keys.endpoint, sizeof keys.endpoint, "%s", endpoint);
    return keys;
}

static void what_is_printed_is_read_again(void **state)
{
    static const char *const endpoints[] = {"tcp://hub.example.org:24105", "tcp://[fe80::1]:1"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct keyfile keys = made(endpoints[i]), read;
        char line[INVITATION_SIZE], pasted[INVITATION_SIZE + 40];

        invitation_print(&keys, line);
        snprintf(pasted, sizeof pasted, " echo '%s' | richctl join\n", line);
        assert_int_equal(invitation_parse(pasted, &read, NULL), 0);
        assert_memory_equal(&keys, &read, sizeof keys);
        snprintf(pasted, sizeof pasted, "%s\r\n", line);
        assert_int_equal(invitation_parse(pasted, &read, NULL), 0);
    }
}

static void what_was_cut_is_refused_without_its_key(void **state)
{
    struct keyfile keys = made("tcp://hub:24105"), read;
    char line[INVITATION_SIZE];
    struct err err;

    (void)state;
    invitation_print(&keys, line);
    for (size_t n = 0; n < strlen(line); n++) {
        char part[INVITATION_SIZE];

        snprintf(part, sizeof part, "%.*s", (int)n, line);
        assert_int_equal(invitation_parse(part, &read, &err), -EBADMSG);
        assert_null(strstr(err.text, keys.server_key));
    }
    assert_int_equal(invitation_parse("richd://hub:99999/", &read, &err), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_read_again),
        cmocka_unit_test(what_was_cut_is_refused_without_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
