#include "tests/lib/cmocka.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/base/address.h"

static const struct {
    const char *text, *host; /* host NULL: refused */
    uint16_t port;
    bool numeric, loopback;
} cases[] = {
    {"127.0.0.1:8080", "127.0.0.1", 8080, true, true},
    {"127.9.9.9:0", "127.9.9.9", 0, true, true},
    {"10.0.0.1:65535", "10.0.0.1", 65535, true, false},
    {"[::1]:5", "::1", 5, true, true},
    {"[fe80::1]:5", "fe80::1", 5, true, false},
    {"localhost:80", "localhost", 80, false, false},
    {"127.0.0.1.example.org:80", "127.0.0.1.example.org", 80, false, false},
    {"[nonsense]:80", "nonsense", 80, false, false},
    {"127.0.0.1", NULL, 0, false, false},
    {"127.0.0.1:", NULL, 0, false, false},
    {"127.0.0.1:65536", NULL, 0, false, false},
    {"127.0.0.1:000080", NULL, 0, false, false},
    {"127.0.0.1:+80", NULL, 0, false, false},
    {"127.0.0.1:80x", NULL, 0, false, false},
    {":80", NULL, 0, false, false},
    {"[]:80", NULL, 0, false, false},
    {"::1:80", NULL, 0, false, false},
    {"[::1:80", NULL, 0, false, false},
    {"::1]:80", NULL, 0, false, false},
    {"[[::1]]:80", NULL, 0, false, false},
    {"", NULL, 0, false, false},
};

static void an_address_is_read_whole_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        struct sockaddr_storage socket;
        char again[300];
        int rc = address_parse(cases[i].text, &a);

        print_message("%s\n", cases[i].text);
        assert_int_equal(rc, cases[i].host ? 0 : -EINVAL);
        if (rc < 0)
            continue;
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        assert_int_equal(address_to_socket(&a, &socket) > 0, cases[i].numeric);
        assert_int_equal(address_is_loopback(&a), cases[i].loopback);
        assert_int_equal(address_print(&a, again, sizeof again), 0);
        assert_string_equal(again, cases[i].text);
    }
}

static void a_host_that_is_too_long_is_refused(void **state)
{
    char text[ADDRESS_HOST_MAX + 10];
    struct address a;

    (void)state;
    memset(text, 'a', sizeof text);
    strcpy(text + ADDRESS_HOST_MAX, ":80");
    assert_int_equal(address_parse(text, &a), 0);
    assert_int_equal(address_print(&a, text, ADDRESS_HOST_MAX), -ENAMETOOLONG);
    memset(text, 'a', sizeof text);
    strcpy(text + ADDRESS_HOST_MAX + 1, ":80");
    assert_int_equal(address_parse(text, &a), -EINVAL);
}

static void the_socket_has_the_port_in_network_order(void **state)
{
    struct sockaddr_storage socket;
    struct address a;

    (void)state;
    assert_int_equal(address_parse("127.0.0.1:258", &a), 0);
    assert_int_equal(address_to_socket(&a, &socket), sizeof(struct sockaddr_in));
    assert_int_equal(ntohs(((struct sockaddr_in *)&socket)->sin_port), 258);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_whole_or_refused),
        cmocka_unit_test(a_host_that_is_too_long_is_refused),
        cmocka_unit_test(the_socket_has_the_port_in_network_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
