#include "daemon/http/failures.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/cmocka.h"

#define PERIOD_MS (1000 * FAILURES_PERIOD_S)

static struct in6_addr v4(uint8_t last)
{
    return (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 10, 0, 0, last}};
}

/* A wrong token that was not there before. */
static void guess(struct failures *failures, const struct in6_addr *from, int64_t now_ms)
{
    static uint32_t n;
    uint8_t digest[SHA256_SIZE];

    n++;
    sha256(&n, sizeof n, digest);
    failures_add(failures, from, digest, now_ms);
}

static void an_address_that_guesses_waits(void **state)
{
    struct failures *failures = failures_new();
    const struct in6_addr bad = v4(1), good = v4(2);
    int64_t now_ms = 1000000;

    (void)state;
    for (int i = 0; i < FAILURES_BURST; i++) {
        assert_int_equal(failures_wait_s(failures, &bad, now_ms), 0);
        guess(failures, &bad, now_ms);
    }
    assert_int_equal(failures_wait_s(failures, &bad, now_ms), FAILURES_PERIOD_S);
    assert_int_equal(failures_wait_s(failures, &good, now_ms), 0);
    assert_int_equal(failures_wait_s(failures, &bad, now_ms + PERIOD_MS - 1), 1);
    now_ms += PERIOD_MS;
    assert_int_equal(failures_wait_s(failures, &bad, now_ms), 0);
    guess(failures, &bad, now_ms);
    assert_int_equal(failures_wait_s(failures, &bad, now_ms), FAILURES_PERIOD_S);
    now_ms += FAILURES_BURST * PERIOD_MS;
    for (int i = 0; i < FAILURES_BURST; i++)
        guess(failures, &bad, now_ms);
    assert_int_equal(failures_wait_s(failures, &bad, now_ms), FAILURES_PERIOD_S);
    failures_free(failures);
}

static void the_same_wrong_token_is_one_guess(void **state)
{
    struct failures *failures = failures_new();
    const struct in6_addr from = v4(1);
    uint8_t digest[SHA256_SIZE] = {1};

    (void)state;
    for (int i = 0; i < 100 * FAILURES_BURST; i++)
        failures_add(failures, &from, digest, 1000000);
    assert_int_equal(failures_wait_s(failures, &from, 1000000), 0);
    failures_free(failures);
}

static void a_subnet_of_ipv6_is_one_address(void **state)
{
    struct failures *failures = failures_new();
    struct in6_addr from = {.s6_addr = {0x20, 0x01, 0x0d, 0xb8}}, other = from;

    (void)state;
    other.s6_addr[7] = 1;
    for (uint8_t i = 0; i < FAILURES_BURST; i++) {
        from.s6_addr[15] = i;
        guess(failures, &from, 1000000);
    }
    assert_int_equal(failures_wait_s(failures, &from, 1000000), FAILURES_PERIOD_S);
    assert_int_equal(failures_wait_s(failures, &other, 1000000), 0);
    failures_free(failures);
}

static void many_addresses_take_no_more_room(void **state)
{
    struct failures *failures = failures_new();
    struct in6_addr from = {.s6_addr = {0x20}}, first = v4(1);

    (void)state;
    for (int i = 0; i < FAILURES_BURST; i++)
        guess(failures, &first, 1000000);
    for (int i = 0; i < 5000; i++) {
        from.s6_addr[6] = (uint8_t)(i >> 8);
        from.s6_addr[7] = (uint8_t)i;
        guess(failures, &from, 1000000);
    }
    /* Who has guessed most is forgotten last. */
    assert_int_equal(failures_wait_s(failures, &first, 1000000), FAILURES_PERIOD_S);
    failures_free(failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_guesses_waits),
        cmocka_unit_test(the_same_wrong_token_is_one_guess),
        cmocka_unit_test(a_subnet_of_ipv6_is_one_address),
        cmocka_unit_test(many_addresses_take_no_more_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
