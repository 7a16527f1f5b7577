#include "proto/control_hint.h"

#include "tests/lib/cmocka.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *text, int64_t seq, bool is_greeting)
{
    size_t size = strlen(text);
    char *exactly = malloc(size + 1); /* a byte more than `size`, or an empty one would be none */
    struct control_hint hint;

    assert_non_null(exactly);
    memcpy(exactly + 1, text, size);
    hint = control_hint_read(exactly + 1, size);
    if (hint.seq != seq || hint.is_greeting != is_greeting)
        fail_msg("%s: seq %lld, greeting %d", text, (long long)hint.seq, hint.is_greeting);
    free(exactly);
}

static void a_number_is_found_whatever_is_wrong_around_it(void **state)
{
    (void)state;
    expect("{\"type\":\"log\",\"seq\":7,\"step\":-1}", 7, false);
    expect("{\"seq\":7}", 7, false);
    expect(" { \"a\" : [ { \"seq\" : 3 } , \"}\" ] , \"seq\" : 7 ", 7, false);
    expect("{\"config\":{\"seq\":3,\"x\":\"\\\"},{\"},\"seq\":9007199254740991}", 9007199254740991,
           false);
    expect("{\"seq\":7,\"seq\":8}", 7, false);
    expect("{\"a\":1e999,\"seq\":7,\"b\":\xff", 7, false);
    expect("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],"
           "\"seq\":7}",
           7, false);
}

static void what_is_no_number_of_a_message_is_none(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "}",
                                        "[7]",
                                        "seq",
                                        "{\"seq",
                                        "{\"seq\"",
                                        "{\"seq\":",
                                        "{\"seq\":}",
                                        "{\"seq\":-7}",
                                        "{\"seq\":7.5}",
                                        "{\"seq\":7e1}",
                                        "{\"seq\":\"7\"}",
                                        "{\"seq\":null}",
                                        "{\"seq\":9007199254740992}",
                                        "{\"seq\":99999999999999999999999}",
                                        "{\"a\":{\"seq\":7}}",
                                        "{\"a\":\"\\",
                                        "{\"seq\" 7}",
                                        "{\"\\\"seq\":7}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], 0, false);
}

static void a_greeting_is_known_by_its_type(void **state)
{
    (void)state;
    expect("{\"type\":\"open\",\"run\":\"../x\"}", 0, true);
    expect("{\"run\":\"\xff\", \"type\" : \"hello\" }", 0, true);
    expect("{\"type\":\"opened\"}", 0, false);
    expect("{\"type\":[\"open\"]}", 0, false);
    expect("{\"config\":{\"type\":\"open\"}}", 0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_found_whatever_is_wrong_around_it),
        cmocka_unit_test(what_is_no_number_of_a_message_is_none),
        cmocka_unit_test(a_greeting_is_known_by_its_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
