/* The same calls make JSON, CSV and JSON-RPC, as a tree of all of it would be printed. */
#include "daemon/format/answer.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>

static void put_list(struct answer *answer, const char *head, int n, const char *tail)
{
    answer_list(answer, cJSON_Parse(head), "runs");
    for (int i = 0; i < n; i++)
        answer_item(answer, cJSON_Parse("{\"run\":\"a,b\",\"n\":null}"));
    answer_list_end(answer, tail ? cJSON_Parse(tail) : NULL);
}

static void expect_list(enum answer_form form, const char *head, int n, const char *tail,
                        const char *expected)
{
    cJSON *id = cJSON_CreateString("x\"y");
    struct answer answer;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    answer_start(&answer, form, id, out);
    put_list(&answer, head, n, tail);
    assert_int_equal(answer_end(&answer), 0);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    cJSON_Delete(id);
}

static void a_list_stands_between_the_members_of_its_head_and_tail(void **state)
{
    (void)state;
    expect_list(ANSWER_JSON, "{\"total\":2}", 2, NULL,
                "{\"total\":2,\"runs\":[{\"run\":\"a,b\",\"n\":null},{\"run\":\"a,b\",\"n\":null}]}"
                "\n");
    expect_list(ANSWER_JSON, "{}", 0, "{\"a\":1,\"b\":[]}", "{\"runs\":[],\"a\":1,\"b\":[]}\n");
    expect_list(ANSWER_LINE, "{\"total\":0}", 0, "{}",
                "{\"jsonrpc\":\"2.0\",\"id\":\"x\\\"y\",\"result\":{\"total\":0,\"runs\":[]}}\n");
}

static void csv_has_a_row_for_an_item_and_nothing_else(void **state)
{
    (void)state;
    expect_list(ANSWER_CSV, "{\"total\":2}", 2, "{\"a\":1}", "run,n\r\n\"a,b\",\r\n\"a,b\",\r\n");
    expect_list(ANSWER_CSV, "{\"total\":0}", 0, NULL, "\r\n");
}

static void a_tree_that_is_missing_fails_the_answer(void **state)
{
    const enum answer_form forms[] = {ANSWER_LINE, ANSWER_JSON, ANSWER_CSV, ANSWER_RUN_METRICS};

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct answer answer;
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        answer_start(&answer, forms[i], NULL, out);
        answer_list(&answer, cJSON_CreateObject(), "runs");
        answer_item(&answer, NULL);
        answer_list_end(&answer, NULL);
        assert_int_equal(answer_end(&answer), -ENOMEM);
        fclose(out);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_stands_between_the_members_of_its_head_and_tail),
        cmocka_unit_test(csv_has_a_row_for_an_item_and_nothing_else),
        cmocka_unit_test(a_tree_that_is_missing_fails_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
