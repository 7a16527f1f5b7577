/* Requests, subscriptions and their ends, over a real store and readers, with a transport of ours
 * that keeps what it is sent. Holds hub.c, answers.c, questions.c and subs.c; socket.c is held by
 * tests/e2e. */
#include "daemon/feed/hub.h"

#include "tests/lib/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/errand.h"
#include "daemon/store/store.h"
#include "proto/json.h"
#include "tests/lib/records.h"

#define MAX_TEXTS 128
/* More than a page of the history. */
#define N_BEHIND (HISTORY_PAGE_MAX + 100)

struct fixture {
    uv_loop_t loop;
    char *directory;
    struct store *store;
    struct readers *readers;
    struct feedhub *hub;
    struct record *opened;
    uint64_t seq; /* of the trainer's last record */
};

/* One connection. */
struct peer {
    struct feed_client *client;
    cJSON *texts[MAX_TEXTS];
    size_t n_texts;
    size_t pending;
    unsigned n_ready;
    int last_code;
    bool may_write;
};

static long n_before_failure = -1; /* allocations of cJSON; -1: none fails */

static void *fail_in_turn(size_t size)
{
    if (n_before_failure < 0)
        return malloc(size);
    return n_before_failure-- > 0 ? malloc(size) : NULL;
}

static void keep_text(void *arg, int code, char *text, size_t size)
{
    struct peer *p = arg;
    long n = n_before_failure;

    assert_true(p->n_texts < MAX_TEXTS && text[size - 1] == '\n');
    n_before_failure = -1;
    p->texts[p->n_texts] = cJSON_ParseWithLength(text, size);
    n_before_failure = n;
    assert_non_null(p->texts[p->n_texts]);
    p->n_texts++;
    p->last_code = code;
    free(text);
}

/* As keep_text does with what it is given at once. */
static void keep_long(void *arg, struct text *long_text)
{
    size_t size = text_left(long_text), taken = 0;
    char *text = malloc(size + 1), *piece;

    while (taken < size) {
        ssize_t n = text_peek(long_text, size, &piece);

        assert_true(n > 0);
        memcpy(text + taken, piece, (size_t)n);
        text_take(long_text, (size_t)n);
        taken += (size_t)n;
    }
    text_free(long_text);
    keep_text(arg, 0, text, size);
}

static size_t pending_bytes(void *arg)
{
    return ((struct peer *)arg)->pending;
}

static void on_ready(void *arg)
{
    ((struct peer *)arg)->n_ready++;
}

static bool may_write(void *arg)
{
    return ((struct peer *)arg)->may_write;
}

static const struct feed_transport transport = {
    .words = &feed_lines,
    .send = keep_text,
    .send_long = keep_long,
    .may_write = may_write,
    .pending = pending_bytes,
    .ready = on_ready,
};

static void add_status(void *arg, bool may_write, cJSON *status)
{
    (void)arg;
    (void)may_write;
    json_add_integer(status, "pid", 7);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {""};
    const char *path;

    uv_loop_init(&f->loop);
    f->directory = scratch_new();
    path = scratch_path(f->directory, "history.db");
    if (store_open(path, &f->store, &e) < 0 || readers_open(&f->loop, path, &f->readers, &e) < 0)
        fail_msg("%s", e.text);
    f->opened = record_open("r1", "writer", 0, RESUME_ALLOW);
    assert_int_equal(apply(f->store, f->opened), 0);
    f->hub = feedhub_new(f->readers, f->store, f->directory, add_status, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    uv_run(&f->loop, UV_RUN_DEFAULT);
    feedhub_free(f->hub);
    readers_close(f->readers);
    store_close(f->store);
    record_free(f->opened);
    scratch_free(f->directory);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void connect_peer(struct fixture *f, struct peer *p)
{
    memset(p, 0, sizeof *p);
    p->client = feed_client_new(f->hub, &transport, p);
    assert_non_null(p->client);
}

static void forget_texts(struct peer *p)
{
    while (p->n_texts > 0)
        cJSON_Delete(p->texts[--p->n_texts]);
}

static void leave(struct peer *p)
{
    feed_client_close(p->client);
    forget_texts(p);
}

static void submit(struct peer *p, const char *line)
{
    feed_client_request(p->client, line, strlen(line));
}

/* The last text, after all queries are home. */
static const cJSON *ask(struct fixture *f, struct peer *p, const char *line)
{
    unsigned before = p->n_ready;

    submit(p, line);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p->n_ready, before + 1);
    return p->texts[p->n_texts - 1];
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A checkpoint with one point. */
static struct record *store_point(struct fixture *f)
{
    uint64_t seq = ++f->seq;
    struct record *r = record_of(f->opened, RECORD_CHECKPOINT, seq, (int64_t)seq);

    record_add_point(r, "head", 0.25);
    assert_int_equal(apply(f->store, r), 0);
    return r;
}

/* It is stored and published. */
static void measure(struct fixture *f)
{
    struct record *r = store_point(f);

    feedhub_publish(f->hub, r);
    record_free(r);
}

/* The steps of the points that came, in updates and the first answer; the texts are forgotten. */
static size_t take_steps(struct peer *p, double *steps)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_texts; i++) {
        const cJSON *params = member(p->texts[i], "params");
        const cJSON *points = member(params ? params : member(p->texts[i], "result"), "points");
        const cJSON *point;

        cJSON_ArrayForEach(point, points) steps[n++] = member(point, "step")->valuedouble;
    }
    forget_texts(p);
    return n;
}

static void assert_steps(struct peer *p, unsigned first, unsigned last)
{
    double steps[2 * HISTORY_PAGE_MAX];
    size_t n = take_steps(p, steps);

    assert_int_equal(n, last - first + 1);
    for (size_t i = 0; i < n; i++)
        assert_int_equal((unsigned)steps[i], first + i);
}

#define SUBSCRIBE                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.subscribe\",\"params\":{\"since_seq\":0}}"

/* ---- requests -------------------------------------------------------------------------------- */

static void what_the_loop_knows_is_answered_at_once(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    submit(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.hello\"}");
    submit(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"server.status\"}");
    submit(&p, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"metric.list\"}");
    assert_int_equal(p.n_texts, 3);
    assert_int_equal(p.n_ready, 3);
    assert_string_equal(member(member(p.texts[0], "result"), "server")->valuestring, "richd");
    assert_true(cJSON_IsFalse(member(member(p.texts[0], "result"), "may_write")));
    assert_int_equal(member(member(p.texts[1], "result"), "pid")->valueint, 7);
    assert_int_equal(member(p.texts[2], "id")->valueint, 3);
    leave(&p);
}

static void a_mistake_is_answered_with_its_code(void **state)
{
    static const struct {
        const char *line;
        int code;
    } cases[] = {
        {"nonsense", -32700},
        {"[]", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such\"}", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.get\"}", -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.get\",\"params\":{\"run\":\"x\"}}",
         -32001},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.unsubscribe\",\"params\":{\"sub\":9}}",
         -32001},
    };
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cJSON *answer = ask(f, &p, cases[i].line);

        assert_int_equal(member(member(answer, "error"), "code")->valueint, cases[i].code);
        assert_int_equal(p.last_code, cases[i].code);
    }
    leave(&p);
}

static void a_question_is_answered_by_a_reader(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    const cJSON *answer;

    connect_peer(f, &p);
    submit(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.list\"}");
    assert_int_equal(p.n_texts, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.n_texts, 1);
    answer = ask(f, &p,
                 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"run.get\","
                 "\"params\":{\"run\":\"r1\"}}");
    assert_string_equal(member(member(answer, "result"), "run")->valuestring, "r1");
    leave(&p);
}

static void a_client_that_leaves_lives_until_its_questions_are_home(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    submit(&p, SUBSCRIBE);
    leave(&p);
    assert_int_equal(feedhub_n_clients(f->hub), 1);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.n_texts, 0);
    assert_int_equal(p.n_ready, 0);
    assert_int_equal(feedhub_n_clients(f->hub), 0);
    assert_int_equal(feedhub_n_subscriptions(f->hub), 0);
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static void a_subscription_has_what_was_and_what_comes(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    for (int i = 0; i < 3; i++)
        measure(f);
    ask(f, &p, SUBSCRIBE);
    assert_steps(&p, 1, 3);
    measure(f);
    assert_steps(&p, 4, 4); /* live: without a reader */
    leave(&p);
}

/* An update is written down once for all; the number of the subscription is each one's. */
static void each_subscription_is_told_by_its_own_number(void **state)
{
    struct fixture *f = *state;
    struct peer p[3];

    for (int i = 0; i < 3; i++) {
        connect_peer(f, &p[i]);
        for (int k = 0; k <= 10 * i; k++) /* 1, 11 and 21 */
            ask(f, &p[i], SUBSCRIBE);
        forget_texts(&p[i]);
    }
    measure(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].n_texts, 10 * i + 1);
        for (size_t k = 0; k < p[i].n_texts; k++) {
            const cJSON *params = member(p[i].texts[k], "params");
            const cJSON *first = member(p[0].texts[0], "params");

            assert_int_equal(member(params, "sub")->valuedouble, k + 1);
            assert_true(cJSON_Compare(member(params, "points"), member(first, "points"), true));
            assert_true(cJSON_Compare(member(params, "seq"), member(first, "seq"), true));
        }
    }
    for (int i = 0; i < 3; i++)
        leave(&p[i]);
}

static void what_is_published_while_a_page_is_read_is_sent_once(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    measure(f);
    submit(&p, SUBSCRIBE);
    measure(f);
    measure(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    measure(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_steps(&p, 1, 4);
    leave(&p);
}

static void a_slow_reader_is_sent_nothing_and_misses_nothing(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    ask(f, &p, SUBSCRIBE);
    forget_texts(&p);
    p.pending = FEED_MAX_PENDING + 1;
    for (int i = 0; i < N_BEHIND; i++)
        measure(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.n_texts, 0);
    p.pending = 0;
    feed_client_drained(p.client);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_steps(&p, 1, N_BEHIND);
    measure(f);
    assert_steps(&p, N_BEHIND + 1, N_BEHIND + 1);
    leave(&p);
}

/* ---- no room for texts ----------------------------------------------------------------------- */

static bool has_no_room;
static int n_refused;

struct text *__real_text_new(struct text_room *room);
struct text *__wrap_text_new(struct text_room *room);

/* On a reader, of which each test has one at work. */
struct text *__wrap_text_new(struct text_room *room)
{
    n_refused += has_no_room;
    return has_no_room ? NULL : __real_text_new(room);
}

/* Others have all room. A page is read, and thrown away, less and less often. */
static void a_page_without_room_is_read_again_later(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    ask(f, &p, SUBSCRIBE);
    forget_texts(&p);
    p.pending = FEED_MAX_PENDING + 1;
    measure(f);
    p.pending = 0;
    has_no_room = true;
    for (int i = 0; i < 100; i++) {
        feed_client_drained(p.client);
        uv_run(&f->loop, UV_RUN_DEFAULT);
    }
    has_no_room = false;
    assert_in_range(n_refused, 1, 20); /* 100, if it were asked each time */
    for (int i = 0; p.n_texts == 0 && i < 6000; i++) {
        usleep(10000);
        feed_client_drained(p.client);
        uv_run(&f->loop, UV_RUN_DEFAULT);
    }
    assert_steps(&p, 1, 1);
    leave(&p);
}

/* One after the other of cJSON's allocations fails, and each subscriber hears of each point. */
static void an_update_without_memory_is_read_later(void **state)
{
    struct fixture *f = *state;
    unsigned step = 0;
    struct peer p[2];

    for (int i = 0; i < 2; i++) {
        connect_peer(f, &p[i]);
        ask(f, &p[i], SUBSCRIBE);
        forget_texts(&p[i]);
    }
    for (bool has_failed = true; has_failed;) {
        struct record *record = store_point(f);

        cJSON_InitHooks(&(cJSON_Hooks){fail_in_turn, free});
        n_before_failure = step++;
        feedhub_publish(f->hub, record);
        has_failed = n_before_failure < 0;
        n_before_failure = -1;
        cJSON_InitHooks(NULL);
        record_free(record);
        for (int i = 0; i < 2; i++) {
            feed_client_drained(p[i].client);
            uv_run(&f->loop, UV_RUN_DEFAULT);
            assert_steps(&p[i], step, step);
        }
    }
    assert_true(step > 10);
    for (int i = 0; i < 2; i++)
        leave(&p[i]);
}

static void a_subscription_ends_while_its_page_is_read(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    measure(f);
    submit(&p, SUBSCRIBE);
    submit(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"series.unsubscribe\","
               "\"params\":{\"sub\":1}}");
    assert_int_equal(feedhub_n_subscriptions(f->hub), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    measure(f);
    assert_int_equal(take_steps(&p, (double[1]){0}), 0);
    leave(&p);
}

/* The answer is written around the things that are read; the id is the client's. */
static void the_latest_of_everything_is_the_first_answer(void **state)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":\"\\\"points\\\":[\","
                               "\"method\":\"series.subscribe\"}";
    struct fixture *f = *state;
    const cJSON *answer, *result;
    struct peer p;

    connect_peer(f, &p);
    result = member(ask(f, &p, line), "result");
    assert_int_equal(cJSON_GetArraySize(member(result, "points")), 0);
    assert_int_equal(cJSON_GetArraySize(member(result, "scalars")), 0);
    assert_string_equal(member(result, "seq")->valuestring, "0");
    for (int i = 0; i < 3; i++)
        measure(f);
    answer = ask(f, &p, line);
    result = member(answer, "result");
    assert_string_equal(member(answer, "id")->valuestring, "\"points\":[");
    assert_int_equal(cJSON_GetArraySize(member(result, "points")), 1);
    assert_true(cJSON_IsArray(member(result, "scalars")));
    assert_string_equal(member(result, "seq")->valuestring, "3");
    answer = ask(f, &p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"event.subscribe\"}");
    assert_int_equal(cJSON_GetArraySize(member(member(answer, "result"), "events")), 0);
    leave(&p);
}

static void a_connection_has_so_many_subscriptions_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    connect_peer(f, &p);
    for (int i = 0; i < FEED_MAX_SUBS; i++) {
        assert_null(member(ask(f, &p, SUBSCRIBE), "error"));
        forget_texts(&p);
    }
    assert_int_equal(member(member(ask(f, &p, SUBSCRIBE), "error"), "code")->valueint, -32002);
    assert_int_equal(feedhub_n_subscriptions(f->hub), FEED_MAX_SUBS);
    leave(&p);
    assert_int_equal(feedhub_n_subscriptions(f->hub), 0);
}

/* ---- edits ----------------------------------------------------------------------------------- */

#define EDIT(params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.edit\",\"params\":" params "}"

static void on_stored(void *arg, struct record *record)
{
    (void)arg;
    (void)record;
}

/* The lane is the one that writes from here on; closed by stop_writing. */
static struct store_lane *write_by_lane(struct fixture *f)
{
    struct store_lane *lane;
    struct err e;

    store_close(f->store);
    f->store = NULL;
    if (store_lane_open(&f->loop, scratch_path(f->directory, "history.db"), on_stored, NULL, &lane,
                        &e) < 0)
        fail_msg("%s", e.text);
    feedhub_set_lane(f->hub, lane);
    return lane;
}

static void stop_writing(struct fixture *f, struct store_lane *lane)
{
    uv_run(&f->loop, UV_RUN_DEFAULT);
    store_lane_close(lane);
}

static void an_edit_is_answered_with_the_run(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;
    const cJSON *run;

    connect_peer(f, &p);
    p.may_write = true;
    run = member(ask(f, &p,
                     EDIT("{\"run\":\"r1\",\"name\":\"mine\",\"note\":\"a\\nb\",\"tags\":[\"x\"],"
                          "\"hidden\":true}")),
                 "result");
    assert_string_equal(member(run, "run")->valuestring, "r1");
    assert_string_equal(member(run, "name")->valuestring, "mine");
    assert_string_equal(member(run, "note")->valuestring, "a\nb");
    assert_string_equal(member(run, "tags")->child->valuestring, "x");
    assert_true(cJSON_IsTrue(member(run, "hidden")));

    run = member(ask(f, &p, EDIT("{\"run\":\"mine\",\"name\":\"other\"}")), "result");
    assert_string_equal(member(run, "name")->valuestring, "other");
    assert_string_equal(member(run, "note")->valuestring, "a\nb");
    ask(f, &p, EDIT("{\"run\":\"mine\",\"note\":\"\"}"));
    assert_int_equal(p.last_code, FEED_NOT_FOUND);
    leave(&p);
    stop_writing(f, lane);
}

static void who_may_only_read_edits_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    connect_peer(f, &p);
    ask(f, &p, EDIT("{\"run\":\"r1\",\"name\":\"mine\"}"));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    p.may_write = true;
    ask(f, &p, EDIT("{\"run\":\"r1\"}"));
    assert_int_equal(p.last_code, FEED_BAD_PARAMS);
    feedhub_set_lane(f->hub, NULL);
    ask(f, &p, EDIT("{\"run\":\"r1\",\"name\":\"mine\"}"));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    leave(&p);
    stop_writing(f, lane);
}

/* At each of the three steps: found, written, read. */
static void an_edit_outlives_the_client_that_leaves(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    for (int n_turns = 0; n_turns < 4; n_turns++) {
        connect_peer(f, &p);
        p.may_write = true;
        submit(&p, EDIT("{\"run\":\"r1\",\"note\":\"x\"}"));
        for (int i = 0; i < n_turns; i++)
            uv_run(&f->loop, UV_RUN_ONCE);
        leave(&p);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(feedhub_n_clients(f->hub), 0);
    }
    stop_writing(f, lane);
}

/* ---- saved views ----------------------------------------------------------------------------- */

#define VIEW(method, params)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"view." method "\",\"params\":" params "}"
#define SAVE(more) VIEW("save", "{\"name\":\"Figure 3\",\"query\":\"runs=r1\"" more "}")

static void a_view_is_saved_once_replaced_when_asked_and_deleted(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;
    const cJSON *view;

    connect_peer(f, &p);
    p.may_write = true;
    view = member(ask(f, &p, SAVE(",\"note\":\"a\"")), "result");
    assert_string_equal(member(view, "name")->valuestring, "Figure 3");
    assert_true(member(view, "saved")->valuedouble > 1e9);
    ask(f, &p, SAVE(""));
    assert_int_equal(p.last_code, FEED_BAD_PARAMS);
    ask(f, &p, SAVE(",\"replace\":true"));
    assert_int_equal(p.last_code, 0);
    view = member(member(ask(f, &p, VIEW("list", "{}")), "result"), "views")->child;
    assert_string_equal(member(view, "query")->valuestring, "runs=r1");
    assert_string_equal(member(view, "note")->valuestring, "a");
    assert_null(view->next);
    ask(f, &p, VIEW("delete", "{\"name\":\"Figure 3\"}"));
    assert_int_equal(p.last_code, 0);
    ask(f, &p, VIEW("delete", "{\"name\":\"Figure 3\"}"));
    assert_int_equal(p.last_code, FEED_NOT_FOUND);
    leave(&p);
    stop_writing(f, lane);
}

static void who_may_only_read_lists_views_and_saves_none(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    connect_peer(f, &p);
    ask(f, &p, SAVE(""));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    ask(f, &p, VIEW("delete", "{\"name\":\"Figure 3\"}"));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    assert_null(member(member(ask(f, &p, VIEW("list", "{}")), "result"), "views")->child);
    leave(&p);
    stop_writing(f, lane);
}

static void a_view_is_saved_though_the_client_leaves(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    connect_peer(f, &p);
    p.may_write = true;
    submit(&p, SAVE(""));
    leave(&p);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(feedhub_n_clients(f->hub), 0);
    connect_peer(f, &p);
    assert_non_null(member(member(ask(f, &p, VIEW("list", "{}")), "result"), "views")->child);
    leave(&p);
    stop_writing(f, lane);
}

/* ---- removals -------------------------------------------------------------------------------- */

#define REMOVE(method, params)                                                                     \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

static void a_deletion_is_told_and_only_for_who_may_write(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    connect_peer(f, &p);
    ask(f, &p, REMOVE("run.delete", "{\"run\":\"r1\"}"));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    ask(f, &p, REMOVE("history.prune", "{\"max_bytes\":0}"));
    assert_int_equal(p.last_code, FEED_NOT_ALLOWED);
    p.may_write = true;
    ask(f, &p, REMOVE("history.prune", "{}"));
    assert_int_equal(p.last_code, FEED_BAD_PARAMS);
    assert_string_equal(
        member(member(ask(f, &p, REMOVE("run.delete", "{\"run\":\"r1\"}")), "result"), "run")
            ->valuestring,
        "r1");
    ask(f, &p, REMOVE("run.delete", "{\"run\":\"r1\"}"));
    assert_int_equal(p.last_code, FEED_NOT_FOUND);
    leave(&p);
    stop_writing(f, lane);
}

/* Which run a subscription is of is known when it is answered. */
static void a_subscription_is_told_of_runs_behind_its_answer(void **state)
{
    struct fixture *f = *state;
    struct errand_run other = {.run_key = f->opened->run_key + 1, .id = "other"},
                      its = {.run_key = f->opened->run_key, .id = "r1"};
    struct peer p;

    connect_peer(f, &p);
    submit(&p, REMOVE("series.subscribe", "{\"run\":\"r1\"}"));
    feedhub_tell_left(f->hub, &(struct errand){.runs = &other, .n_runs = 1});
    assert_int_equal(p.n_texts, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.n_texts, 1);
    feedhub_tell_left(f->hub, &(struct errand){.runs = &other, .n_runs = 1});
    assert_int_equal(p.n_texts, 1);
    feedhub_tell_left(f->hub, &(struct errand){.runs = &its, .n_runs = 1});
    assert_int_equal(p.n_texts, 2);
    assert_string_equal(member(p.texts[1], "method")->valuestring, "run.deleted");
    leave(&p);
}

static void a_prune_outlives_the_client_that_leaves(void **state)
{
    struct fixture *f = *state;
    struct store_lane *lane = write_by_lane(f);
    struct peer p;

    connect_peer(f, &p);
    p.may_write = true;
    submit(&p, REMOVE("history.prune", "{\"max_bytes\":0}"));
    leave(&p);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(feedhub_n_clients(f->hub), 0);
    connect_peer(f, &p);
    assert_int_equal(
        member(member(ask(f, &p, REMOVE("run.list", "{}")), "result"), "total")->valueint, 0);
    leave(&p);
    stop_writing(f, lane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_loop_knows_is_answered_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_edit_is_answered_with_the_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_may_only_read_edits_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_view_is_saved_once_replaced_when_asked_and_deleted,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_may_only_read_lists_views_and_saves_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_view_is_saved_though_the_client_leaves, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_deletion_is_told_and_only_for_who_may_write, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_subscription_is_told_of_runs_behind_its_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_prune_outlives_the_client_that_leaves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_edit_outlives_the_client_that_leaves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistake_is_answered_with_its_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_is_answered_by_a_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_lives_until_its_questions_are_home,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_subscription_has_what_was_and_what_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_subscription_is_told_by_its_own_number, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_published_while_a_page_is_read_is_sent_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slow_reader_is_sent_nothing_and_misses_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_page_without_room_is_read_again_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_update_without_memory_is_read_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_subscription_ends_while_its_page_is_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_latest_of_everything_is_the_first_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_connection_has_so_many_subscriptions_and_no_more, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
