#include "proto/spool/replay.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/vectors.h"

#define HELLO "{\"type\":\"hello\",\"protocol\":1,\"members\":true}"
#define WELCOME                                                                                    \
    "{\"type\":\"welcome\",\"run\":\"mod97\",\"attempt\":%d,\"granted\":%d,\"last_seq\":0,"        \
    "\"last_step\":null}"

/* A file of proto/vectors/spool.json. The first one has a greeting, two rows of 92 bytes in all, a
 * mark of seq 1, a close of seq 2, and the attempt 3; others are parts of it. */
static char path[] = "/tmp/richd-replay-XXXXXX";
#define ROWS_BYTES 92

static struct replay *open_file(const char *vector_name)
{
    cJSON *vectors = vectors_read("spool");
    const cJSON *vector = vectors->child;
    struct replay *replay = NULL;
    struct err err = {""};
    unsigned char *bytes;
    FILE *file;
    size_t size;

    while (strcmp(vectors_text(vector, "name"), vector_name) != 0)
        vector = vector->next;
    bytes = vectors_bytes(vectors_text(vector, "hex"), &size);
    file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(bytes);
    cJSON_Delete(vectors);
    assert_int_equal(replay_open(path, &replay, &err), 0);
    return replay;
}

/* With no attempt in it. */
static struct replay *open_fresh(void)
{
    return open_file("torn in the last record");
}

static void hear(struct replay *replay, int64_t now, const char *text)
{
    struct control message;
    struct err err = {""};

    assert_int_equal(control_parse(text, strlen(text), &message, &err), 0);
    replay_receive(replay, &message, now);
    control_release(&message);
}

static void hear_welcome(struct replay *replay, int64_t now, int attempt, int granted)
{
    char text[256];

    snprintf(text, sizeof text, WELCOME, attempt, granted);
    hear(replay, now, text);
}

/* What is sent next, as text: a control message itself, "rows" for others, "" for nothing. It
 * counts as sent. */
static const char *send(struct replay *replay, int64_t now)
{
    static char text[512];
    const struct wire_frame *frames;
    size_t n = replay_next(replay, true, now, &frames);

    if (n == 0)
        return "";
    snprintf(text, sizeof text, "%.*s", (int)frames[0].size, (const char *)frames[0].data);
    if (text[0] != '{')
        snprintf(text, sizeof text, "rows");
    replay_sent(replay);
    return text;
}

static void assert_sends(struct replay *replay, int64_t now, const char *part)
{
    const char *text = send(replay, now);

    assert_true(*part ? strstr(text, part) != NULL : *text == '\0');
}

static void greet(struct replay *replay, int64_t now, int attempt, int granted)
{
    replay_connected(replay, now);
    assert_sends(replay, now, "\"hello\"");
    hear(replay, now, HELLO);
    assert_sends(replay, now, "\"open\"");
    assert_sends(replay, now, "");
    hear_welcome(replay, now, attempt, granted);
    assert_int_equal(replay_state(replay), REPLAY_SENDING);
}

static void all_is_sent_in_order_and_the_file_goes(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    assert_string_equal(replay_facts(replay)->run, "mod97");
    greet(replay, 0, 1, 1 << 20);
    assert_sends(replay, 0, "rows");
    assert_sends(replay, 0, "\"checkpoint\"");
    assert_sends(replay, 0, "\"close\"");
    assert_sends(replay, 0, "");
    hear(replay, 0, "{\"type\":\"ack\",\"seq\":1,\"points\":[]}");
    assert_sends(replay, 0, "");
    assert_int_equal(replay_state(replay), REPLAY_SENDING);
    hear(replay, 0, "{\"type\":\"ack\",\"seq\":2}");
    assert_sends(replay, 0, "");
    assert_int_equal(replay_state(replay), REPLAY_STORED);
    assert_int_equal(replay_facts(replay)->n_messages, 3);
    assert_int_equal(access(path, F_OK), -1);
    replay_free(replay);
}

static void the_attempt_is_on_the_disk_before_anything_is_sent(void **state)
{
    struct replay *replay = open_fresh();
    const char *open;

    (void)state;
    greet(replay, 0, 7, 1 << 20);
    replay_free(replay);
    assert_int_equal(replay_open(path, &replay, NULL), 0);
    assert_int_equal(replay_facts(replay)->attempt, 7);
    replay_connected(replay, 0);
    send(replay, 0);
    hear(replay, 0, HELLO);
    open = send(replay, 0);
    assert_non_null(strstr(open, "\"attempt\":7"));
    assert_non_null(strstr(open, "\"config\":{\"lr\":0.001}"));
    replay_free(replay);
}

static void nothing_is_sent_before_the_others_are_there(void **state)
{
    struct replay *replay = open_fresh();
    const struct wire_frame *frames;

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    assert_int_equal(replay_next(replay, false, 0, &frames), 0);
    assert_int_equal(replay_next(replay, true, 0, &frames), 4);
    replay_free(replay);
}

static void rows_wait_for_credit_and_are_never_dropped(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    greet(replay, 0, 1, ROWS_BYTES - 1);
    for (int64_t now = 0; now < REPLAY_CREDIT_MS; now += 1000) {
        assert_sends(replay, now, "");
        assert_int_equal(replay_state(replay), REPLAY_SENDING);
    }
    hear(replay, REPLAY_CREDIT_MS - 1, "{\"type\":\"progress\",\"granted\":92}");
    assert_sends(replay, REPLAY_CREDIT_MS, "rows");
    replay_free(replay);

    replay = open_fresh();
    greet(replay, 0, 1, ROWS_BYTES - 1);
    assert_sends(replay, 0, "");
    assert_sends(replay, REPLAY_CREDIT_MS, "");
    assert_int_equal(replay_state(replay), REPLAY_KEPT);
    assert_non_null(strstr(replay_facts(replay)->text, "no room for rows of 92 bytes"));
    assert_int_equal(access(path, F_OK), 0);
    replay_free(replay);
}

static void a_new_connection_begins_behind_the_last_answer(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    assert_sends(replay, 0, "rows");
    assert_sends(replay, 0, "\"checkpoint\"");
    hear(replay, 0, "{\"type\":\"nack\",\"code\":\"ENOTOPEN\",\"text\":\"no\"}");
    assert_false(replay_tick(replay, 0));
    replay_disconnected(replay);
    greet(replay, 10, 1, 1 << 20);
    assert_sends(replay, 10, "rows");
    assert_sends(replay, 10, "\"checkpoint\"");
    hear(replay, 10, "{\"type\":\"ack\",\"seq\":1}");
    replay_disconnected(replay);
    greet(replay, 20, 1, 1 << 20);
    assert_sends(replay, 20, "\"close\"");
    assert_int_equal(replay_facts(replay)->n_messages, 3);
    replay_free(replay);
}

static void what_is_refused_for_now_is_sent_again_later(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    assert_sends(replay, 0, "rows");
    assert_sends(replay, 0, "\"checkpoint\"");
    hear(replay, 5, "{\"type\":\"nack\",\"code\":\"EIO\",\"text\":\"full\",\"seq\":1}");
    assert_sends(replay, 6, "");
    assert_true(replay_tick(replay, 6));
    assert_sends(replay, 5 + REPLAY_RETRY_MS, "rows");
    assert_sends(replay, 5 + REPLAY_RETRY_MS, "\"checkpoint\"");
    replay_free(replay);
}

static void what_is_refused_for_good_is_counted(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    for (int i = 0; i < 3; i++)
        send(replay, 0);
    hear(replay, 0,
         "{\"type\":\"nack\",\"code\":\"ESHAPE\",\"text\":\"p\",\"layer\":\"head\",\"batch\":1}");
    hear(replay, 0, "{\"type\":\"nack\",\"code\":\"EPROTO\",\"text\":\"no\",\"seq\":1}");
    hear(replay, 0, "{\"type\":\"ack\",\"seq\":2}");
    assert_sends(replay, 0, "");
    assert_int_equal(replay_state(replay), REPLAY_STORED);
    assert_int_equal(replay_facts(replay)->n_refused, 2);
    assert_string_equal(replay_facts(replay)->text, "EPROTO: no");
    replay_free(replay);
}

static void a_fatal_refusal_keeps_the_file(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    hear(replay, 0, "{\"type\":\"nack\",\"code\":\"EFENCED\",\"text\":\"newer\",\"fatal\":true}");
    assert_int_equal(replay_state(replay), REPLAY_KEPT);
    assert_string_equal(replay_facts(replay)->text, "EFENCED: newer");
    assert_sends(replay, 0, "");
    assert_int_equal(access(path, F_OK), 0);
    replay_free(replay);
}

static void an_open_that_is_refused_for_now_is_tried_a_few_times(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    for (int i = 0; i < REPLAY_OPENS_MAX; i++) {
        assert_int_equal(replay_state(replay), REPLAY_AWAY);
        replay_connected(replay, 0);
        assert_sends(replay, 0, "\"hello\"");
        hear(replay, 0, HELLO);
        assert_sends(replay, 0, "\"open\"");
        hear(replay, 0, "{\"type\":\"nack\",\"code\":\"EBUSY\",\"text\":\"live\",\"fatal\":true}");
        replay_tick(replay, 0);
        replay_disconnected(replay);
    }
    assert_int_equal(replay_state(replay), REPLAY_KEPT);
    assert_true(replay_facts(replay)->may_pass);
    assert_string_equal(replay_facts(replay)->text, "EBUSY: live");
    replay_free(replay);
}

static void a_damaged_file_is_sent_as_far_as_it_goes_and_stays_as_it_is(void **state)
{
    struct replay *replay = open_file("a byte of the mark changed");
    uint64_t size = replay_facts(replay)->size_bytes;

    (void)state;
    greet(replay, 0, 1, 1 << 20);
    assert_int_equal(replay_facts(replay)->size_bytes, size);
    assert_sends(replay, 0, "rows");
    assert_sends(replay, 0, "");
    assert_int_equal(replay_state(replay), REPLAY_KEPT);
    assert_non_null(strstr(replay_facts(replay)->text, "is damaged from byte"));
    assert_int_equal(access(path, F_OK), 0);
    replay_free(replay);
}

static void silence_and_a_welcome_that_does_not_come_end_the_connection(void **state)
{
    struct replay *replay = open_fresh();

    (void)state;
    replay_connected(replay, 0);
    assert_true(replay_tick(replay, REPLAY_SILENCE_MS - 1));
    assert_false(replay_tick(replay, REPLAY_SILENCE_MS));
    replay_disconnected(replay);
    replay_connected(replay, 0);
    for (int64_t now = 0; now < REPLAY_OPEN_MS; now += 1000) {
        hear(replay, now, "{\"type\":\"pong\",\"id\":1}");
        assert_true(replay_tick(replay, now));
    }
    hear(replay, REPLAY_OPEN_MS, "{\"type\":\"pong\",\"id\":1}");
    assert_false(replay_tick(replay, REPLAY_OPEN_MS));
    replay_free(replay);
}

static void a_file_without_a_greeting_is_refused(void **state)
{
    struct replay *replay = NULL;
    struct err err = {""};
    FILE *file = fopen(path, "wb");

    (void)state;
    fwrite(spool_magic, 1, SPOOL_MAGIC_SIZE, file);
    fclose(file);
    assert_int_equal(replay_open(path, &replay, &err), -EPROTO);
    assert_non_null(strstr(err.text, "has no beginning"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_sent_in_order_and_the_file_goes),
        cmocka_unit_test(the_attempt_is_on_the_disk_before_anything_is_sent),
        cmocka_unit_test(nothing_is_sent_before_the_others_are_there),
        cmocka_unit_test(rows_wait_for_credit_and_are_never_dropped),
        cmocka_unit_test(a_new_connection_begins_behind_the_last_answer),
        cmocka_unit_test(what_is_refused_for_now_is_sent_again_later),
        cmocka_unit_test(what_is_refused_for_good_is_counted),
        cmocka_unit_test(a_fatal_refusal_keeps_the_file),
        cmocka_unit_test(an_open_that_is_refused_for_now_is_tried_a_few_times),
        cmocka_unit_test(a_damaged_file_is_sent_as_far_as_it_goes_and_stays_as_it_is),
        cmocka_unit_test(silence_and_a_welcome_that_does_not_come_end_the_connection),
        cmocka_unit_test(a_file_without_a_greeting_is_refused),
    };
    int rc;

    close(mkstemp(path));
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
