/* Addresses to listen at: one without keys, and some of networks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/host/listen.h"

static void local_and_network_addresses_are_told_apart(void **state)
{
    struct listen listen;

    (void)state;
    assert_int_equal(
        listen_parse("ipc:///run/a,b.sock, tcp://10.0.0.1:1,tcp://[::]:2", &listen, NULL), 0);
    assert_string_equal(listen.local, "ipc:///run/a,b.sock");
    assert_int_equal(listen.n_more, 2);
    assert_string_equal(listen.more[0], "tcp://10.0.0.1:1");
    assert_string_equal(listen.more[1], "tcp://[::]:2");
    assert_int_equal(listen_parse("tcp://127.0.0.1:0", &listen, NULL), 0);
    assert_string_equal(listen.local, "tcp://127.0.0.1:0");
    assert_int_equal(listen.n_more, 0);
    assert_int_equal(listen_parse("tcp://0.0.0.0:24105", &listen, NULL), 0);
    assert_string_equal(listen.local, "");
    assert_int_equal(listen.n_more, 1);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "udp://1.2.3.4:5",
        "tcp://hub:24105",
        "tcp://*:1",
        "tcp://10.0.0.1",
        "tcp://10.0.0.1:70000",
        "ipc://relative",
        "ipc:///a,ipc:///b",
        "ipc:///a,tcp://127.0.0.1:1",
        "tcp://10.0.0.1:1,",
        "tcp://1.1.1.1:1,tcp://1.1.1.1:2,tcp://1.1.1.1:3,tcp://1.1.1.1:4,tcp://1.1.1.1:5,"
        "tcp://1.1.1.1:6,tcp://1.1.1.1:7,tcp://1.1.1.1:8,tcp://1.1.1.1:9",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct listen listen;
        struct err err = {""};

        if (listen_parse(texts[i], &listen, &err) != -EBADMSG)
            fail_msg("%s is taken", texts[i]);
        assert_true(strlen(err.text) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_and_network_addresses_are_told_apart),
        cmocka_unit_test(what_is_no_address_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
