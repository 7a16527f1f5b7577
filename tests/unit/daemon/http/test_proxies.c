#include "daemon/http/proxies.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/lib/cmocka.h"

static struct in6_addr at(const char *text)
{
    struct in6_addr out = {.s6_addr = {[10] = 0xff, 0xff}};

    if (inet_pton(AF_INET, text, &out.s6_addr[12]) != 1)
        assert_int_equal(inet_pton(AF_INET6, text, &out), 1);
    return out;
}

static bool has(const struct proxies *proxies, const char *text)
{
    const struct in6_addr address = at(text);

    return proxies_have(proxies, &address);
}

static void addresses_and_networks_are_known(void **state)
{
    struct proxies proxies;

    (void)state;
    assert_int_equal(proxies_read("10.1.2.3, 192.168.4.0/22,,fd00::/9 [::5]", &proxies, NULL), 0);
    assert_int_equal(proxies.n, 4);
    assert_true(has(&proxies, "10.1.2.3"));
    assert_false(has(&proxies, "10.1.2.4"));
    assert_true(has(&proxies, "192.168.4.0"));
    assert_true(has(&proxies, "192.168.7.255"));
    assert_false(has(&proxies, "192.168.8.0"));
    assert_false(has(&proxies, "192.168.3.255"));
    assert_true(has(&proxies, "fd7f::1"));
    assert_false(has(&proxies, "fd80::1"));
    assert_true(has(&proxies, "::5"));
    assert_false(has(&proxies, "::6"));
    assert_int_equal(proxies_read(NULL, &proxies, NULL), 0);
    assert_false(has(&proxies, "10.1.2.3"));
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ",",
        "hub",
        "10.1.2",
        "10.1.2.3:80",
        "10.0.0.0/33",
        "10.0.0.0/0",
        "10.0.0.0/",
        "10.0.0.0/x",
        "10.0.0.0/8x",
        "::1/129",
        "[::1",
        "10.0.0.1 hub",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111"};
    struct proxies proxies;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(proxies_read(bad[i], &proxies, &err), -EBADMSG);
}

static void the_loopback_is_known_in_both_forms(void **state)
{
    static const struct {
        const char *text;
        bool is;
    } rows[] = {{"127.0.0.1", true},  {"127.9.9.9", true}, {"::1", true},
                {"128.0.0.1", false}, {"::2", false},      {"126.255.255.255", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct in6_addr address = at(rows[i].text);

        assert_int_equal(proxies_is_loopback(&address), rows[i].is);
    }
}

/* A client writes what it likes into the header; a proxy adds whom it saw behind that. */
static void a_client_is_who_the_last_proxy_saw(void **state)
{
    static const struct {
        const char *from, *forwarded, *client;
    } rows[] = {
        {"8.8.8.8", "1.1.1.1", "8.8.8.8"},
        {"10.0.0.1", NULL, "10.0.0.1"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "1.1.1.1", "1.1.1.1"},
        {"10.0.0.1", "9.9.9.9, 1.1.1.1", "1.1.1.1"},
        {"10.0.0.1", "9.9.9.9,1.1.1.1 , 10.0.0.2", "1.1.1.1"},
        {"10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"},
        {"10.0.0.1", "1.1.1.1, nonsense", "10.0.0.1"},
        {"10.0.0.1", "1.1.1.1,", "10.0.0.1"},
        {"10.0.0.1", "2001:db8::1", "2001:db8::1"},
        {"10.0.0.1", "[2001:db8::1]", "2001:db8::1"},
    };
    struct proxies proxies;

    (void)state;
    assert_int_equal(proxies_read("10.0.0.0/8", &proxies, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct in6_addr from = at(rows[i].from), want = at(rows[i].client);
        const struct in6_addr client = proxies_client(&proxies, &from, rows[i].forwarded);

        assert_memory_equal(&client, &want, sizeof want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_networks_are_known),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(the_loopback_is_known_in_both_forms),
        cmocka_unit_test(a_client_is_who_the_last_proxy_saw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
