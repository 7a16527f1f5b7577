#include "client/c/session.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/vectors.h"

#define OPEN "{\"type\":\"open\",\"run\":\"r1\",\"writer\":\"w1\",\"resume\":\"never\"}"
/* Header, the name "head", 4 rows of 3 + 2 floats. */
#define BATCH_BYTES (64 + 4 + 4 * 5 * 4)

static const struct richd_extras plain = RICHD_EXTRAS;

static atomic_size_t held;

static struct session *new_session(void)
{
    struct err e = {""};
    struct session *s = session_new(OPEN, "host", 7, &e);

    if (!s)
        print_error("%s\n", e.text);
    assert_non_null(s);
    return s;
}

static int submit(struct session *s, const char *layer)
{
    static const float rows[12];
    struct wire_header header = {
        .kind = WIRE_ROWS,
        .n_rows = 4,
        .n_features = 3,
        .n_outputs = 2,
        .features_dtype = DTYPE_F32,
        .outputs_dtype = DTYPE_F32,
    };
    struct wire_frame frames[ITEM_ROW_FRAMES] = {{rows, 48}, {rows, 32}, {NULL, 0}};

    atomic_fetch_add(&held, 100);
    return session_submit(s, item_batch(&header, layer, frames, &held, 100));
}

static bool receive(struct session *s, const char *text, int64_t now)
{
    struct control c;
    bool settled;

    assert_int_equal(control_parse(text, strlen(text), &c, NULL), 0);
    settled = session_receive(s, &c, now);
    control_release(&c);
    return settled;
}

/* Sends the next message and checks that its text begins so. */
static void expect_text(struct session *s, const char *prefix, int64_t now)
{
    struct item *item = session_next(s, now);

    assert_non_null(item);
    assert_false(item_is_batch(item));
    if (strncmp(item->text, prefix, strlen(prefix)) != 0)
        print_error("%s, not %s\n", item->text, prefix);
    assert_memory_equal(item->text, prefix, strlen(prefix));
    session_sent(s, item);
}

static void expect_batch(struct session *s, uint64_t seq, uint64_t rows_before, int64_t now)
{
    struct item *item = session_next(s, now);

    assert_non_null(item);
    assert_true(item_is_batch(item));
    assert_int_equal(item->header.seq, seq);
    assert_int_equal(item->header.rows_before, rows_before);
    session_sent(s, item);
}

static void welcome(struct session *s, int64_t granted, int64_t now)
{
    char text[160];

    expect_text(s, "{\"type\":\"hello\"", now);
    expect_text(s, "{\"type\":\"open\"", now);
    assert_null(session_next(s, now));
    receive(s, "{\"type\":\"hello\",\"protocol\":1}", now);
    snprintf(text, sizeof text,
             "{\"type\":\"welcome\",\"run\":\"r1\",\"attempt\":3,\"granted\":%lld,\"last_seq\":0}",
             (long long)granted);
    receive(s, text, now);
    assert_int_equal(session_state(s), SESSION_OPEN);
}

static struct session *open_session(int64_t granted)
{
    struct session *s = new_session();

    session_connected(s, 0);
    welcome(s, granted, 0);
    return s;
}

static void finish(struct session *s)
{
    session_free(s);
    assert_int_equal(atomic_load(&held), 0);
}

static struct richd_stats stats_of(const struct session *s)
{
    struct richd_stats stats;

    session_stats(s, &stats);
    return stats;
}

static void bad_open_is_refused_before_any_connection(void **state)
{
    const char *bad = "{\"type\":\"open\",\"run\":\"../x\",\"writer\":\"w\"}";
    struct err e = {""};

    (void)state;
    assert_null(session_new(bad, NULL, 1, &e));
    assert_non_null(strstr(e.text, "run"));
}

static void nothing_is_sent_before_the_welcome(void **state)
{
    struct session *s = new_session();

    (void)state;
    assert_int_equal(submit(s, "head"), 0);
    assert_null(session_next(s, 0));
    session_connected(s, 0);
    welcome(s, 1000, 0);
    expect_batch(s, 1, 0, 0);
    finish(s);
}

static void batches_are_numbered_by_layer_and_drops_consume_numbers(void **state)
{
    struct session *s = open_session(100000);

    (void)state;
    submit(s, "head");
    submit(s, "body");
    assert_int_equal(session_drop(s, "head", 10), 0);
    submit(s, "head");
    expect_batch(s, 1, 0, 0);
    expect_batch(s, 1, 0, 0);
    expect_batch(s, 3, 14, 0);
    assert_int_equal(stats_of(s).batches, 4);
    assert_int_equal(stats_of(s).rows, 22);
    assert_int_equal(stats_of(s).batches_dropped, 1);
    assert_int_equal(stats_of(s).rows_dropped, 10);
    finish(s);
}

static void checkpoint_carries_totals_and_stays_behind_earlier_batches(void **state)
{
    struct session *s = open_session(100000);

    (void)state;
    submit(s, "head");
    session_drop(s, "head", 10);
    assert_int_equal(session_checkpoint(s, 5, NAN, &plain, NULL, NULL), 0);
    submit(s, "head");
    expect_batch(s, 1, 0, 0);
    expect_text(s,
                "{\"type\":\"checkpoint\",\"seq\":1,\"step\":5,"
                "\"layers\":{\"head\":{\"seq\":2,\"rows\":14}}}",
                0);
    expect_batch(s, 3, 14, 0);
    finish(s);
}

static void checkpoint_carries_what_it_has_beside_rows(void **state)
{
    const struct richd_scalar metrics[] = {{"param_norm", 12.5}, {"ntk_distance", (double)NAN}};
    const struct richd_scalar bad = {"\xff", 1};
    const struct richd_extras extras = {sizeof extras, metrics, 2, 1};
    const struct richd_extras wrong = {sizeof wrong, &bad, 1, 0};
    struct session *s = open_session(100000);
    struct err e;

    (void)state;
    assert_int_equal(session_checkpoint(s, 5, NAN, &wrong, NULL, &e), -EPROTO);
    assert_int_equal(session_checkpoint(s, 5, NAN, &extras, NULL, NULL), 0);
    expect_text(s,
                "{\"type\":\"checkpoint\",\"seq\":1,\"step\":5,\"spectrum\":true,\"layers\":{},"
                "\"metrics\":{\"param_norm\":12.5,\"ntk_distance\":null}}",
                0);
    finish(s);
}

static void credit_is_never_exceeded(void **state)
{
    struct session *s = open_session(2 * BATCH_BYTES + 1);

    (void)state;
    for (int i = 0; i < 4; i++)
        submit(s, "head");
    expect_batch(s, 1, 0, 0);
    expect_batch(s, 2, 4, 0);
    assert_null(session_next(s, 0));
    receive(s, "{\"type\":\"progress\",\"granted\":10}", 0); /* may only grow */
    assert_null(session_next(s, 0));
    receive(s, "{\"type\":\"progress\",\"granted\":444}", 0);
    expect_batch(s, 3, 8, 0);
    assert_null(session_next(s, 0));
    finish(s);
}

static void batch_without_credit_is_dropped_and_lets_the_checkpoint_pass(void **state)
{
    struct session *s = open_session(BATCH_BYTES);

    (void)state;
    for (int i = 0; i < 3; i++)
        submit(s, "head");
    session_checkpoint(s, 5, NAN, &plain, NULL, NULL);
    expect_batch(s, 1, 0, 0);
    assert_null(session_next(s, 10));
    assert_null(session_next(s, 10 + SESSION_CREDIT_MS - 1));
    expect_text(s, "{\"type\":\"checkpoint\"", 10 + SESSION_CREDIT_MS);
    assert_int_equal(stats_of(s).batches_dropped, 2);
    assert_int_equal(stats_of(s).rows_dropped, 8);
    finish(s);
}

static void credit_begins_anew_with_a_connection(void **state)
{
    struct session *s = open_session(BATCH_BYTES);

    (void)state;
    submit(s, "head");
    expect_batch(s, 1, 0, 0);
    session_disconnected(s, 1);
    submit(s, "head");
    session_connected(s, 2);
    welcome(s, BATCH_BYTES, 2);
    expect_batch(s, 2, 4, 2);
    finish(s);
}

static void reconnection_goes_on_with_the_attempt(void **state)
{
    struct session *s = open_session(1000);

    (void)state;
    session_disconnected(s, 1);
    assert_int_equal(session_state(s), SESSION_AWAY);
    session_connected(s, 2);
    expect_text(s, "{\"type\":\"hello\",\"protocol_min\":1,\"protocol_max\":1", 2);
    expect_text(
        s,
        "{\"type\":\"open\",\"run\":\"r1\",\"name\":\"r1\",\"project\":\"default\","
        "\"group\":\"\",\"resume\":\"allow\",\"attempt\":3,\"writer\":\"w1\",\"host\":\"host\"}",
        2);
    finish(s);
}

static void unacknowledged_marks_go_first_and_in_order_after_a_reconnection(void **state)
{
    struct session *s = open_session(1000);
    struct richd_scalar scalar = {"loss", 0.5};

    (void)state;
    session_checkpoint(s, 1, NAN, &plain, NULL, NULL);
    session_log(s, 1, NAN, &scalar, 1, NULL);
    session_checkpoint(s, 2, NAN, &plain, NULL, NULL);
    expect_text(s, "{\"type\":\"checkpoint\",\"seq\":1", 0);
    expect_text(s, "{\"type\":\"log\",\"seq\":2", 0);
    receive(s, "{\"type\":\"ack\",\"seq\":1,\"points\":[]}", 0);
    assert_int_equal(stats_of(s).marks_waiting, 2);
    session_disconnected(s, 1);
    submit(s, "head");
    session_connected(s, 2);
    welcome(s, 1000, 2);
    expect_text(s, "{\"type\":\"log\",\"seq\":2,\"step\":1,\"scalars\":{\"loss\":0.5}}", 2);
    expect_text(s, "{\"type\":\"checkpoint\",\"seq\":3", 2);
    expect_batch(s, 1, 0, 2);
    receive(s, "{\"type\":\"ack\",\"seq\":2}", 2);
    receive(s, "{\"type\":\"ack\",\"seq\":2}", 2);
    receive(s, "{\"type\":\"ack\",\"seq\":3}", 2);
    assert_int_equal(stats_of(s).marks_waiting, 0);
    finish(s);
}

static void not_open_says_hello_again_once(void **state)
{
    struct session *s = open_session(1000);

    (void)state;
    session_checkpoint(s, 1, NAN, &plain, NULL, NULL);
    expect_text(s, "{\"type\":\"checkpoint\"", 0);
    receive(s, "{\"type\":\"nack\",\"code\":\"ENOTOPEN\",\"fatal\":false,\"seq\":1}", 1);
    receive(s, "{\"type\":\"nack\",\"code\":\"ENOTOPEN\",\"fatal\":false}", 1);
    welcome(s, 1000, 1);
    expect_text(s, "{\"type\":\"checkpoint\",\"seq\":1", 1);
    assert_null(session_next(s, 1));
    finish(s);
}

static void ack_settles_the_ticket_with_points(void **state)
{
    struct session *s = open_session(1000);
    struct ticket ticket = {.wants_points = true};

    (void)state;
    session_checkpoint(s, 9, NAN, &plain, &ticket, NULL);
    expect_text(s, "{\"type\":\"checkpoint\"", 0);
    assert_true(receive(s,
                        "{\"type\":\"ack\",\"seq\":1,\"points\":[{\"layer\":\"head\",\"step\":9,"
                        "\"n\":4,\"d_lr\":0.25,\"u\":null,\"new_measure\":7.5,"
                        "\"flags\":[\"partial\"]}]}",
                        0));
    assert_true(ticket.settled);
    assert_int_equal(ticket.rc, 0);
    assert_int_equal(richd_points_count(ticket.points), 1);
    assert_null(richd_points_at(ticket.points, 1));
    assert_null(richd_points_find(ticket.points, "body"));
    assert_true(richd_points_find(ticket.points, "head")->d_lr == 0.25);
    assert_true(isnan(richd_points_at(ticket.points, 0)->u));
    assert_true(richd_point_metric(richd_points_at(ticket.points, 0), "new_measure") == 7.5);
    assert_true(isnan(richd_point_metric(richd_points_at(ticket.points, 0), "none")));
    assert_int_equal(richd_point_flag(richd_points_at(ticket.points, 0), "partial"), 1);
    assert_int_equal(richd_point_flag(richd_points_at(ticket.points, 0), "constant"), 0);
    richd_points_free(ticket.points);
    finish(s);
}

static void abandoned_ticket_is_not_written(void **state)
{
    struct session *s = open_session(1000);
    struct ticket ticket = {.wants_points = true};

    (void)state;
    session_checkpoint(s, 9, NAN, &plain, &ticket, NULL);
    expect_text(s, "{\"type\":\"checkpoint\"", 0);
    session_abandon(&ticket);
    receive(s, "{\"type\":\"ack\",\"seq\":1,\"points\":[]}", 0);
    assert_false(ticket.settled);
    assert_null(ticket.points);
    finish(s);
}

static void refused_mark_is_gone_and_said(void **state)
{
    struct session *s = open_session(1000);
    struct ticket ticket = {.settled = false};

    (void)state;
    session_checkpoint(s, 9, NAN, &plain, &ticket, NULL);
    expect_text(s, "{\"type\":\"checkpoint\"", 0);
    receive(s, "{\"type\":\"nack\",\"code\":\"EPROTO\",\"text\":\"no such step\",\"seq\":1}", 0);
    assert_true(ticket.settled);
    assert_int_equal(ticket.rc, -EPROTO);
    assert_int_equal(stats_of(s).marks_waiting, 0);
    assert_non_null(strstr(session_complaint(s), "no such step"));
    finish(s);
}

static void refused_batches_are_counted_apart_from_dropped_ones(void **state)
{
    struct session *s = open_session(1000);

    (void)state;
    submit(s, "head");
    submit(s, "head");
    expect_batch(s, 1, 0, 0);
    expect_batch(s, 2, 4, 0);
    receive(s, "{\"type\":\"nack\",\"code\":\"ENUMERIC\",\"layer\":\"head\",\"batch\":1}", 0);
    receive(s, "{\"type\":\"nack\",\"code\":\"ECREDIT\",\"layer\":\"head\",\"batch\":2}", 0);
    assert_int_equal(stats_of(s).batches_refused, 1);
    assert_int_equal(stats_of(s).batches_dropped, 1);
    assert_int_equal(session_state(s), SESSION_OPEN);
    finish(s);
}

static void store_failure_sends_again_later(void **state)
{
    struct session *s = open_session(1000);

    (void)state;
    session_checkpoint(s, 9, NAN, &plain, NULL, NULL);
    expect_text(s, "{\"type\":\"checkpoint\"", 0);
    receive(s, "{\"type\":\"nack\",\"code\":\"EIO\",\"seq\":1}", 100);
    session_tick(s, 100 + SESSION_RETRY_MS - 101);
    assert_null(session_next(s, 0));
    session_tick(s, 100 + SESSION_RETRY_MS);
    expect_text(s, "{\"type\":\"ping\"", 1100);
    expect_text(s, "{\"type\":\"checkpoint\",\"seq\":1", 1100);
    finish(s);
}

static void fatal_refusal_ends_the_run(void **state)
{
    static const struct {
        const char *code;
        int rc;
    } rows[] = {{"EVERSION", -EPROTONOSUPPORT},
                {"EFENCED", -ESTALE},
                {"EHELD", -EBUSY},
                {"EEXIST", -EEXIST},
                {"ENOENT", -ENOENT},
                {"ELATER", -EPROTO}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct session *s = open_session(1000);
        struct ticket ticket = {.settled = false};
        char text[128];

        submit(s, "head");
        session_checkpoint(s, 9, NAN, &plain, &ticket, NULL);
        snprintf(text, sizeof text, "{\"type\":\"nack\",\"code\":\"%s\",\"fatal\":true}",
                 rows[i].code);
        assert_true(receive(s, text, 0));
        assert_int_equal(session_ended(s), rows[i].rc);
        assert_int_equal(ticket.rc, rows[i].rc);
        assert_null(session_next(s, 0));
        assert_int_equal(atomic_load(&held), 0);
        assert_int_equal(submit(s, "head"), rows[i].rc);
        assert_int_equal(session_checkpoint(s, 9, NAN, &plain, NULL, NULL), rows[i].rc);
        session_connected(s, 5);
        assert_null(session_next(s, 5));
        assert_int_equal(stats_of(s).batches_dropped, 1);
        finish(s);
    }
}

static void busy_daemon_is_tried_again_later(void **state)
{
    struct session *s = new_session();

    (void)state;
    session_connected(s, 50);
    receive(s, "{\"type\":\"nack\",\"code\":\"EBUSY\",\"fatal\":true}", 60);
    assert_int_equal(session_ended(s), 0);
    assert_int_equal(session_state(s), SESSION_AWAY);
    assert_int_equal(session_retry_at(s), 60 + SESSION_RETRY_MS);
    finish(s);
}

static void marks_are_bounded_and_the_close_is_taken_all_the_same(void **state)
{
    struct session *s = new_session();
    struct ticket ticket = {.settled = false};

    (void)state;
    for (int i = 0; i < SESSION_MARKS_MAX; i++)
        assert_int_equal(session_checkpoint(s, i, NAN, &plain, NULL, NULL), 0);
    assert_int_equal(session_checkpoint(s, 1, NAN, &plain, NULL, NULL), -EAGAIN);
    assert_int_equal(stats_of(s).marks_waiting, SESSION_MARKS_MAX);
    assert_int_equal(session_close(s, CONTROL_FINISHED, &ticket, NULL), 0);
    session_free(s);
    assert_true(ticket.settled);
    assert_int_equal(ticket.rc, -ECANCELED);
}

static void what_the_daemon_would_refuse_is_refused_at_once(void **state)
{
    struct session *s = open_session(1000);
    struct richd_scalar not_utf8 = {"\xff", 1}, nameless = {"", 1};
    struct err e = {""};

    (void)state;
    assert_int_equal(session_log(s, 1, NAN, &not_utf8, 1, &e), -EPROTO);
    assert_int_equal(session_log(s, 1, NAN, &nameless, 1, &e), -EPROTO);
    assert_int_equal(session_checkpoint(s, -1, NAN, &plain, NULL, &e), -EPROTO);
    assert_int_equal(session_checkpoint(s, 1, NAN, &plain, NULL, &e), 0);
    expect_text(s, "{\"type\":\"checkpoint\",\"seq\":1", 0); /* no number was spent */
    finish(s);
}

static void layers_are_bounded(void **state)
{
    struct session *s = new_session();
    char name[16];

    (void)state;
    for (int i = 0; i < RUN_LAYERS_MAX; i++) {
        snprintf(name, sizeof name, "l%d", i);
        assert_int_equal(submit(s, name), 0);
    }
    assert_int_equal(submit(s, "one more"), -ENOSPC);
    assert_int_equal(submit(s, "l5"), 0);
    finish(s);
}

static void pings_each_second_and_calls_silence_stale(void **state)
{
    struct session *s = open_session(1000);
    int64_t now;

    (void)state;
    session_tick(s, SESSION_PING_MS - 1);
    assert_null(session_next(s, 0));
    for (now = SESSION_PING_MS; now < SESSION_SILENCE_MS; now += SESSION_PING_MS) {
        session_tick(s, now);
        expect_text(s, "{\"type\":\"ping\"", now);
        assert_false(session_is_stale(s, now));
    }
    assert_true(session_is_stale(s, now));
    receive(s, "{\"type\":\"pong\",\"id\":1}", now);
    assert_false(session_is_stale(s, now));
    finish(s);
}

static void open_that_is_never_answered_is_stale(void **state)
{
    struct session *s = new_session();
    int64_t now = 0;

    (void)state;
    session_connected(s, 0);
    for (; now < 2 * SESSION_SILENCE_MS; now += 1000) {
        receive(s, "{\"type\":\"pong\",\"id\":1}", now);
        assert_false(session_is_stale(s, now));
    }
    assert_true(session_is_stale(s, now));
    finish(s);
}

static void daemon_is_known_to_be_away_after_1_s_and_one_that_was_there_after_5(void **state)
{
    struct session *s = new_session();
    int64_t now = 100;

    (void)state;
    assert_false(session_note_absence(s, now));
    assert_false(session_note_absence(s, now + 999));
    session_connected(s, now + 999); /* it connects, and its welcome is waited for */
    assert_false(session_note_absence(s, now + 2000));
    session_disconnected(s, now + 2000); /* none came */
    assert_true(session_note_absence(s, now + 2000));
    assert_true(session_is_absent(s));
    assert_false(session_note_absence(s, now + 2500)); /* told once */
    session_connected(s, now + 2600);
    assert_true(session_is_absent(s));
    welcome(s, 1000, now + 3000);
    assert_false(session_is_absent(s));

    assert_false(session_note_absence(s, now + 60000));
    session_disconnected(s, now + 60000);
    assert_false(session_note_absence(s, now + 60000));
    assert_false(session_note_absence(s, now + 64999));
    assert_true(session_note_absence(s, now + 65000));
    finish(s);
}

static void run_that_was_ended_is_not_waited_for_as_absent(void **state)
{
    struct session *s = open_session(1000);

    (void)state;
    receive(s, "{\"type\":\"nack\",\"code\":\"EFENCED\",\"fatal\":true}", 0);
    assert_int_equal(session_state(s), SESSION_ENDED);
    assert_false(session_note_absence(s, 0));
    assert_false(session_note_absence(s, 100000));
    finish(s);
}

/* ---- proto/vectors/waiting.json -------------------------------------------------------------- */

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void times_are_those_of_the_vectors(void **state)
{
    static const struct {
        const char *name;
        int ms;
    } times[] = {{"ping", SESSION_PING_MS},   {"silence", SESSION_SILENCE_MS},
                 {"open", SESSION_OPEN_MS},   {"credit", SESSION_CREDIT_MS},
                 {"retry", SESSION_RETRY_MS}, {"absent", SESSION_ABSENT_MS},
                 {"lost", SESSION_LOST_MS}};
    cJSON *vectors = vectors_read("waiting");
    const cJSON *wanted = member(cJSON_GetArrayItem(vectors, 0), "times_ms");

    (void)state;
    assert_int_equal(cJSON_GetArraySize(wanted), sizeof times / sizeof *times);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const cJSON *time = member(wanted, times[i].name);

        assert_true(cJSON_IsNumber(time));
        assert_int_equal(times[i].ms, time->valueint);
    }
    cJSON_Delete(vectors);
}

static void submit_bytes(struct session *s, int bytes)
{
    static const char rows[1024];
    struct wire_header header = {.kind = WIRE_ROWS, .n_rows = 1, .features_dtype = DTYPE_F32};
    struct wire_frame frames[ITEM_ROW_FRAMES] = {
        {rows, (size_t)bytes - WIRE_HEADER_SIZE - strlen("head")}, {NULL, 0}, {NULL, 0}};

    atomic_fetch_add(&held, 100);
    session_submit(s, item_batch(&header, "head", frames, &held, 100));
}

static void act(struct session *s, const cJSON *step, int64_t now)
{
    const cJSON *message = member(step, "receive");
    char *text = message ? cJSON_PrintUnformatted(message) : NULL;

    if (member(step, "connect"))
        session_connected(s, now);
    if (member(step, "disconnect"))
        session_disconnected(s, now);
    if (member(step, "batch"))
        submit_bytes(s, member(step, "batch")->valueint);
    if (member(step, "checkpoint"))
        session_checkpoint(s, 1, NAN, &plain, NULL, NULL);
    if (text)
        receive(s, text, now);
    cJSON_free(text);
}

static void expect_sent(struct session *s, const cJSON *step, int64_t now)
{
    const cJSON *type;
    char begin[64];

    cJSON_ArrayForEach(type, member(step, "sent"))
    {
        struct item *item = session_next(s, now);

        assert_non_null(item);
        snprintf(begin, sizeof begin, "{\"type\":\"%s\"", type->valuestring);
        if (item_is_batch(item))
            assert_string_equal(type->valuestring, "batch");
        else
            assert_memory_equal(item->text, begin, strlen(begin));
        session_sent(s, item);
    }
    assert_null(session_next(s, now));
}

/* Ends a connection that the session gives up, as the sender does, and checks after which time the
 * next one may be made. */
static void expect_connection(struct session *s, const cJSON *step, bool was_up, int64_t now)
{
    const cJSON *reconnect = member(step, "reconnect_ms");
    bool gives_up = session_is_stale(s, now);
    int64_t wait;

    if (gives_up)
        session_disconnected(s, now);
    gives_up = gives_up || (was_up && session_state(s) == SESSION_AWAY);
    if (member(step, "disconnect"))
        return;
    assert_int_equal(gives_up, reconnect != NULL);
    wait = session_retry_at(s) > now ? session_retry_at(s) - now : 0;
    if (reconnect)
        assert_int_equal(wait, reconnect->valueint);
}

static void play(struct session *s, const cJSON *step)
{
    static const char *const states[] = {"away", "opening", "open", "ended"};
    int64_t now = member(step, "at_ms")->valueint;
    bool was_up = session_state(s) == SESSION_OPENING || session_state(s) == SESSION_OPEN;

    act(s, step, now);
    session_tick(s, now);
    expect_connection(s, step, was_up, now);
    if (member(step, "stalled_ms"))
        session_note_stall(s, member(step, "stalled_ms")->valueint);
    session_note_absence(s, now);
    expect_sent(s, step, now);
    if (member(step, "state"))
        assert_string_equal(states[session_state(s)], member(step, "state")->valuestring);
    if (member(step, "dropped"))
        assert_int_equal(stats_of(s).batches_dropped, member(step, "dropped")->valueint);
    if (member(step, "absent"))
        assert_int_equal(session_is_absent(s), cJSON_IsTrue(member(step, "absent")));
}

static void waits_as_the_vectors_say(void **state)
{
    cJSON *vectors = vectors_read("waiting"), *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        struct session *s = new_session();
        const cJSON *step;

        print_message("case: %s\n", vectors_text(vector, "name"));
        cJSON_ArrayForEach(step, member(vector, "steps"))
        {
            play(s, step);
        }
        finish(s);
    }
    cJSON_Delete(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_open_is_refused_before_any_connection),
        cmocka_unit_test(nothing_is_sent_before_the_welcome),
        cmocka_unit_test(batches_are_numbered_by_layer_and_drops_consume_numbers),
        cmocka_unit_test(checkpoint_carries_totals_and_stays_behind_earlier_batches),
        cmocka_unit_test(checkpoint_carries_what_it_has_beside_rows),
        cmocka_unit_test(credit_is_never_exceeded),
        cmocka_unit_test(batch_without_credit_is_dropped_and_lets_the_checkpoint_pass),
        cmocka_unit_test(credit_begins_anew_with_a_connection),
        cmocka_unit_test(reconnection_goes_on_with_the_attempt),
        cmocka_unit_test(unacknowledged_marks_go_first_and_in_order_after_a_reconnection),
        cmocka_unit_test(not_open_says_hello_again_once),
        cmocka_unit_test(ack_settles_the_ticket_with_points),
        cmocka_unit_test(abandoned_ticket_is_not_written),
        cmocka_unit_test(refused_mark_is_gone_and_said),
        cmocka_unit_test(refused_batches_are_counted_apart_from_dropped_ones),
        cmocka_unit_test(store_failure_sends_again_later),
        cmocka_unit_test(fatal_refusal_ends_the_run),
        cmocka_unit_test(busy_daemon_is_tried_again_later),
        cmocka_unit_test(marks_are_bounded_and_the_close_is_taken_all_the_same),
        cmocka_unit_test(what_the_daemon_would_refuse_is_refused_at_once),
        cmocka_unit_test(layers_are_bounded),
        cmocka_unit_test(pings_each_second_and_calls_silence_stale),
        cmocka_unit_test(open_that_is_never_answered_is_stale),
        cmocka_unit_test(daemon_is_known_to_be_away_after_1_s_and_one_that_was_there_after_5),
        cmocka_unit_test(run_that_was_ended_is_not_waited_for_as_absent),
        cmocka_unit_test(times_are_those_of_the_vectors),
        cmocka_unit_test(waits_as_the_vectors_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
