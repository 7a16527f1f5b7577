#include "proto/control.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/vectors.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct control parsed(const char *text)
{
    struct control c;
    struct err e = {""};
    int rc = control_parse(text, strlen(text), &c, &e);

    if (rc < 0)
        print_error("%s: %s\n", text, e.text);
    assert_int_equal(rc, 0);
    return c;
}

static char *encode_again(const struct control *c)
{
    switch (c->type) {
    case CONTROL_HELLO:
        return control_encode_hello(&c->hello);
    case CONTROL_OPEN:
        return control_encode_open(&c->open);
    case CONTROL_CHECKPOINT:
        return control_encode_checkpoint(&c->checkpoint);
    case CONTROL_LOG:
        return control_encode_log(&c->log);
    case CONTROL_SUMMARY:
        return control_encode_summary(&c->constants);
    case CONTROL_CONFIG:
        return control_encode_config(&c->constants);
    case CONTROL_CLOSE:
        return control_encode_close(&c->close);
    case CONTROL_PING:
        return control_encode_ping(&c->ping);
    case CONTROL_HELLO_ANSWER:
        return control_encode_hello_answer(&c->hello_answer);
    case CONTROL_WELCOME:
        return control_encode_welcome(&c->welcome);
    case CONTROL_PROGRESS:
        return control_encode_progress(&c->progress);
    case CONTROL_ACK:
        return control_encode_ack(&c->ack);
    case CONTROL_NACK:
        return control_encode_nack(&c->nack);
    case CONTROL_PONG:
        return control_encode_pong(&c->pong);
    case CONTROL_RELAY:
        return control_encode_relay(&c->relay);
    case CONTROL_BATCH:
        return control_encode_batch(&c->batch);
    case CONTROL_PLACE:
        return control_encode_place(&c->place);
    case CONTROL_TYPES:
        break;
    }
    return NULL;
}

/* What was parsed, encoded, parsed and encoded again is the same line. */
static void assert_round_trip(const struct control *c)
{
    char *first = encode_again(c), *second;
    struct control again;

    assert_non_null(first);
    assert_null(strchr(first, '\n'));
    again = parsed(first);
    assert_int_equal(again.type, c->type);
    second = encode_again(&again);
    assert_string_equal(first, second);
    control_release(&again);
    cJSON_free(first);
    cJSON_free(second);
}

static void check_vector(const cJSON *vector)
{
    const char *text = vectors_text(vector, "text");
    struct control c;
    struct err e = {""};
    int rc = control_parse(text, strlen(text), &c, &e);

    if (cJSON_IsTrue(cJSON_GetObjectItem(vector, "valid"))) {
        assert_string_equal(e.text, "");
        assert_int_equal(rc, 0);
        assert_round_trip(&c);
        control_release(&c);
    } else {
        assert_int_equal(rc, -EPROTO);
        assert_true(e.text[0] != '\0');
    }
}

static void messages_match_the_vectors(void **state)
{
    cJSON *vectors = vectors_read("control");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        print_message("  %s\n", vectors_text(vector, "name"));
        check_vector(vector);
    }
    cJSON_Delete(vectors);
}

static void open_has_the_defaults_of_the_page(void **state)
{
    struct control c = parsed("{\"type\":\"open\",\"run\":\"r1\",\"writer\":\"w\"}");

    (void)state;
    assert_int_equal(c.type, CONTROL_OPEN);
    assert_string_equal(c.open.name, "r1");
    assert_string_equal(c.open.project, "default");
    assert_string_equal(c.open.group, "");
    assert_null(c.open.tags);
    assert_null(c.open.config);
    assert_int_equal(c.open.resume, RESUME_ALLOW);
    assert_int_equal(c.open.attempt, 0);
    assert_int_equal(c.open.window, WINDOW_CHECKPOINT);
    assert_null(c.open.watched);
    control_release(&c);
}

static void open_carries_every_field(void **state)
{
    struct control c =
        parsed("{\"type\":\"open\",\"run\":\"r1\",\"name\":\"n\",\"project\":\"p\",\"group\":\"g\","
               "\"tags\":[\"a\",\"b\"],\"config\":{\"lr\":0.1},\"resume\":\"never\",\"attempt\":3,"
               "\"writer\":\"w\",\"window\":{\"kind\":\"exponential\",\"half_life_rows\":512.5},"
               "\"transitions\":{\"metrics\":[\"pr\",\"d_lr\"]}}");
    char *tags = control_text(c.open.tags), *config = control_text(c.open.config);
    char *watched = control_text(c.open.watched);

    (void)state;
    assert_string_equal(c.open.name, "n");
    assert_string_equal(c.open.project, "p");
    assert_string_equal(c.open.group, "g");
    assert_string_equal(tags, "[\"a\",\"b\"]");
    assert_string_equal(config, "{\"lr\":0.1}");
    assert_int_equal(c.open.resume, RESUME_NEVER);
    assert_int_equal(c.open.attempt, 3);
    assert_int_equal(c.open.window, WINDOW_EXPONENTIAL);
    assert_true(c.open.half_life_rows == 512.5);
    assert_string_equal(watched, "[\"pr\",\"d_lr\"]");
    cJSON_free(watched);
    cJSON_free(tags);
    cJSON_free(config);
    control_release(&c);
}

/* cJSON's own printer loses the last bits of one double in eight: 5e-324 and 1/3 + ulp are two. */
static void config_keeps_its_doubles(void **state)
{
    const char *text = "{\"type\":\"open\",\"run\":\"r\",\"writer\":\"w\",\"config\":{\"a\":"
                       "0.33333333333333337,\"b\":[5e-324,1e+22],\"c\":123456789}}";
    struct control c = parsed(text);
    char *config = control_text(c.open.config);

    (void)state;
    assert_string_equal(config, "{\"a\":0.33333333333333337,\"b\":[5e-324,1e+22],\"c\":123456789}");
    cJSON_free(config);
    control_release(&c);
}

static void checkpoint_lists_its_layers_in_order(void **state)
{
    struct control c =
        parsed("{\"type\":\"checkpoint\",\"seq\":7,\"step\":546,\"layers\":"
               "{\"head\":{\"seq\":41,\"rows\":20992},\"b\":{\"seq\":1,\"rows\":0}}}");

    (void)state;
    assert_int_equal(c.checkpoint.seq, 7);
    assert_int_equal(c.checkpoint.step, 546);
    assert_true(isnan(c.checkpoint.time));
    assert_int_equal(c.checkpoint.n_layers, 2);
    assert_string_equal(c.checkpoint.layers[0].layer, "head");
    assert_int_equal(c.checkpoint.layers[0].seq, 41);
    assert_int_equal(c.checkpoint.layers[0].rows, 20992);
    assert_string_equal(c.checkpoint.layers[1].layer, "b");
    control_release(&c);
}

static void log_gives_nan_for_null(void **state)
{
    struct control c = parsed("{\"type\":\"log\",\"seq\":8,\"step\":1,\"time\":2.5,\"scalars\":"
                              "{\"loss\":null,\"acc\":0.25}}");

    (void)state;
    assert_true(c.log.time == 2.5);
    assert_int_equal(c.log.n_scalars, 2);
    assert_string_equal(c.log.scalars[0].name, "loss");
    assert_true(isnan(c.log.scalars[0].value));
    assert_true(c.log.scalars[1].value == 0.25);
    control_release(&c);
}

static void log_says_null_for_what_is_not_finite(void **state)
{
    struct control_scalar scalars[] = {{"a", INFINITY}, {"b", NAN}, {"c", 0.1}};
    struct control_log log = {
        .seq = 8, .step = 546, .time = NAN, .scalars = scalars, .n_scalars = COUNT(scalars)};
    char *text = control_encode_log(&log);

    (void)state;
    assert_string_equal(text, "{\"type\":\"log\",\"seq\":8,\"step\":546,"
                              "\"scalars\":{\"a\":null,\"b\":null,\"c\":0.1}}");
    cJSON_free(text);
}

static void welcome_reads_as_on_the_page(void **state)
{
    struct control_welcome w = {.run = "r1", .attempt = 1, .granted = 67108864, .last_step = -1};
    char *text = control_encode_welcome(&w);
    struct control c = parsed(text);

    (void)state;
    assert_string_equal(text, "{\"type\":\"welcome\",\"run\":\"r1\",\"attempt\":1,"
                              "\"granted\":67108864,\"last_seq\":0,\"last_step\":null}");
    assert_int_equal(c.welcome.last_step, -1);
    control_release(&c);
    cJSON_free(text);
}

static void nack_tells_what_is_absent(void **state)
{
    struct control c = parsed("{\"type\":\"nack\",\"code\":\"ENOTOPEN\"}");

    (void)state;
    assert_string_equal(c.nack.code, "ENOTOPEN");
    assert_null(c.nack.text);
    assert_false(c.nack.fatal);
    assert_int_equal(c.nack.seq, 0);
    assert_null(c.nack.layer);
    assert_int_equal(c.nack.batch, 0);
    control_release(&c);
}

static void nack_mends_a_text_cut_in_a_character(void **state)
{
    char text[ERR_TEXT_SIZE];
    struct control_nack n = {.code = "EPROTO", .text = text};
    struct control c;
    char *line;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text + TEXT_MAX - 1, "\xC3\xA9", 2);
    line = control_encode_nack(&n);
    c = parsed(line);
    assert_int_equal(strlen(c.nack.text), TEXT_MAX);
    assert_int_equal(c.nack.text[TEXT_MAX - 1], '?');
    control_release(&c);
    cJSON_free(line);
}

static void refusal_names_the_message_and_the_field(void **state)
{
    const char *text = "{\"type\":\"checkpoint\",\"seq\":7,\"step\":1,"
                       "\"layers\":{\"head\":{\"seq\":\"x\",\"rows\":1}}}";
    struct control c;
    struct err e;

    (void)state;
    assert_int_equal(control_parse(text, strlen(text), &c, &e), -EPROTO);
    assert_non_null(strstr(e.text, "checkpoint: layer \"head\""));
    assert_non_null(strstr(e.text, "\"seq\""));
}

static void a_time_has_a_date(void **state)
{
    static const struct {
        const char *time;
        int rc;
    } rows[] = {
        {"0", 0},        {"null", 0},        {"253402300799", 0}, {"253402300800", -EPROTO},
        {"-1", -EPROTO}, {"1e300", -EPROTO},
    };
    char text[128];
    struct control c;
    struct err e;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(text, sizeof text,
                 "{\"type\":\"log\",\"seq\":1,\"step\":1,\"time\":%s,\"scalars\":{}}",
                 rows[i].time);
        assert_int_equal(control_parse(text, strlen(text), &c, &e), rows[i].rc);
        if (rows[i].rc < 0)
            assert_non_null(strstr(e.text, "\"time\""));
        control_release(&c);
    }
}

static void text_need_not_end_in_nul(void **state)
{
    char *block = malloc(22);
    struct control c;

    (void)state;
    memcpy(block, "{\"type\":\"ping\",\"id\":3}", 22);
    assert_int_equal(control_parse(block, 22, &c, NULL), 0);
    assert_int_equal(c.ping.id, 3);
    control_release(&c);
    control_release(&c);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_match_the_vectors),
        cmocka_unit_test(open_has_the_defaults_of_the_page),
        cmocka_unit_test(open_carries_every_field),
        cmocka_unit_test(config_keeps_its_doubles),
        cmocka_unit_test(checkpoint_lists_its_layers_in_order),
        cmocka_unit_test(log_gives_nan_for_null),
        cmocka_unit_test(log_says_null_for_what_is_not_finite),
        cmocka_unit_test(welcome_reads_as_on_the_page),
        cmocka_unit_test(nack_tells_what_is_absent),
        cmocka_unit_test(nack_mends_a_text_cut_in_a_character),
        cmocka_unit_test(refusal_names_the_message_and_the_field),
        cmocka_unit_test(a_time_has_a_date),
        cmocka_unit_test(text_need_not_end_in_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
