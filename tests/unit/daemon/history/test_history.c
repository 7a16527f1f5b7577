#include "daemon/history/history.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/selection.h"
#include "daemon/store/store.h"
#include "proto/json.h"
#include "tests/lib/answers.h"
#include "tests/lib/records.h"

struct fixture {
    char *directory;
    char path[256];
    struct store *store;
    struct history *history;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};

    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    if (store_open(f->path, &f->store, &e) < 0 || history_open(f->path, &f->history, &e) < 0)
        fail_msg("%s", e.text);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    history_close(f->history);
    store_close(f->store);
    scratch_free(f->directory);
    free(f);
    return 0;
}

static struct record *open_run(struct fixture *f, const char *id, const char *name,
                               const char *project, const char *writer)
{
    struct record *r = record_open(id, writer, 0, RESUME_ALLOW);

    r->open.name = name ? strdup(name) : NULL;
    r->open.project = project ? strdup(project) : NULL;
    assert_int_equal(apply(f->store, r), 0);
    return r;
}

static void checkpoint(struct fixture *f, const struct record *opened, uint64_t seq, int64_t step,
                       double d_lr)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);

    record_add_point(r, "head", d_lr);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

/* A checkpoint with a spectrum of three values whose first eigenvalue is `first`. */
static void spectrum_at(struct fixture *f, const struct record *opened, uint64_t seq, int64_t step,
                        const char *layer, double first)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);
    struct spectrum *s = spectrum_alloc(3, true, true);

    assert_non_null(s);
    s->p = 128;
    s->rank = 2;
    s->rank_targets = 1;
    s->total = 7.5;
    memcpy(s->rho, (double[]){first, 0.1, 1e-17}, 3 * sizeof(double));
    memcpy(s->u, (double[]){1, 0.5, (double)NAN}, 3 * sizeof(double));
    memcpy(s->q, (double[]){0.25, 0, (double)NAN}, 3 * sizeof(double));
    record_add_point(r, layer, 0.5)->spectrum = s;
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static void log_scalar(struct fixture *f, const struct record *opened, uint64_t seq, int64_t step,
                       const char *name, double value)
{
    struct record *r = record_of(opened, RECORD_LOG, seq, step);

    record_add_scalar(r, name, value);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

/* The tree as the feed prints it, parsed again; so that raw texts and numbers are read as a client
 * reads them. */
static cJSON *reparse(cJSON *tree)
{
    char *text = json_print(tree);
    cJSON *again;
    struct err e = {0};

    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    again = cJSON_Parse(text);
    if (!again)
        fail_msg("%s: %s", e.text, text);
    cJSON_free(text);
    cJSON_Delete(tree);
    return again;
}

/* Follows "layers.0.columns.step". */
static const cJSON *at(const cJSON *tree, const char *path)
{
    char copy[128], *rest = copy;
    const char *name;

    snprintf(copy, sizeof copy, "%s", path);
    while (tree && (name = strsep(&rest, ".")))
        tree = cJSON_IsArray(tree) ? cJSON_GetArrayItem(tree, atoi(name))
                                   : cJSON_GetObjectItemCaseSensitive(tree, name);
    if (!tree)
        fail_msg("no %s", path);
    return tree;
}

static double number_at(const cJSON *tree, const char *path)
{
    const cJSON *number = at(tree, path);

    assert_true(cJSON_IsNumber(number));
    return number->valuedouble;
}

static int size_at(const cJSON *tree, const char *path)
{
    return cJSON_GetArraySize(at(tree, path));
}

static void expect_text(const cJSON *tree, const char *path, const char *text)
{
    const cJSON *string = at(tree, path);

    assert_true(cJSON_IsString(string));
    assert_string_equal(string->valuestring, text);
}

static void expect_number(const cJSON *tree, const char *path, double number)
{
    const cJSON *value = at(tree, path);

    assert_true(cJSON_IsNumber(value));
    assert_true(value->valuedouble == number);
}

static void expect_numbers(const cJSON *tree, const char *path, const double *numbers, int n)
{
    assert_int_equal(size_at(tree, path), n);
    for (int i = 0; i < n; i++)
        assert_true(cJSON_GetArrayItem(at(tree, path), i)->valuedouble == numbers[i]);
}

static struct feed_series_query whole(const char *run)
{
    return (struct feed_series_query){.run = run, .range = {.to = INT64_MAX, .points = 10000}};
}

static cJSON *series(struct fixture *f, const struct feed_series_query *query)
{
    struct err e = {0};
    cJSON *out;

    if (asked_series(f->history, query, &out, &e) < 0)
        fail_msg("%s", e.text);
    return reparse(out);
}

static void runs_are_listed_newest_first(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, "p1", "w"), *b = open_run(f, "b", NULL, "p2", "w");
    struct record *c = open_run(f, "c", NULL, "p1", "w");
    struct record *close = record_of(a, RECORD_CLOSE, 1, 0);
    struct feed_run_list params = {.descending = true, .limit = 100};
    struct err e;
    cJSON *out;

    assert_int_equal(apply(f->store, close), 0);
    assert_int_equal(asked_run_list(f->history, &params, &out, &e), 0);
    out = reparse(out);
    assert_int_equal(number_at(out, "total"), 3);
    expect_text(out, "runs.0.run", "c");
    expect_text(out, "runs.2.run", "a");
    expect_text(out, "runs.2.state", "finished");
    assert_null(cJSON_GetObjectItemCaseSensitive(at(out, "runs.2"), "config"));
    cJSON_Delete(out);

    params.config = true;
    assert_int_equal(asked_run_list(f->history, &params, &out, &e), 0);
    assert_non_null(at(out = reparse(out), "runs.2.config"));
    cJSON_Delete(out);

    params = (struct feed_run_list){.descending = true, .project = "p1", .limit = 1, .offset = 1};
    assert_int_equal(asked_run_list(f->history, &params, &out, &e), 0);
    assert_int_equal(number_at(out = reparse(out), "total"), 2);
    assert_int_equal(size_at(out, "runs"), 1);
    expect_text(out, "runs.0.run", "a");
    cJSON_Delete(out);

    params = (struct feed_run_list){.descending = true, .state = "open", .limit = 0};
    assert_int_equal(asked_run_list(f->history, &params, &out, &e), 0);
    assert_int_equal(number_at(out = reparse(out), "total"), 2);
    assert_int_equal(size_at(out, "runs"), 0);
    cJSON_Delete(out);
    record_free(close);
    record_free(a);
    record_free(b);
    record_free(c);
}

/* How many runs the search leaves, and the first of them. */
static void expect_found(struct fixture *f, const struct feed_run_list *params, double total,
                         const char *first)
{
    struct err e;
    cJSON *out;

    assert_int_equal(asked_run_list(f->history, params, &out, &e), 0);
    out = reparse(out);
    assert_float_equal(number_at(out, "total"), total, 0);
    if (total > 0)
        expect_text(out, "runs.0.run", first);
    cJSON_Delete(out);
}

static void search_expect(struct fixture *f, const char *search, double total, const char *first)
{
    expect_found(f, &(struct feed_run_list){.descending = true, .search = search, .limit = 10},
                 total, first);
}

static void runs_are_searched_in_all_their_texts(void **state)
{
    static const char *const facts[][5] = {
        {"id-1", "seed0", "mod97", "sweep-a", "[\"Demo\"]"},
        {"id-2", "seed1", "mod97", "sweep-b", "[\"paper\"]"},
        {"id-3", "seed1", "vision", "", "[]"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        struct record *r = record_open(facts[i][0], "w", 0, RESUME_ALLOW);

        r->open.name = strdup(facts[i][1]);
        r->open.project = strdup(facts[i][2]);
        r->open.group = strdup(facts[i][3]);
        r->open.tags = strdup(facts[i][4]);
        assert_int_equal(apply(f->store, r), 0);
        record_free(r);
    }
    search_expect(f, "ID-", 3, "id-3");
    search_expect(f, "mod97/seed", 2, "id-2");
    search_expect(f, "sweep-A", 1, "id-1");
    search_expect(f, "demo", 1, "id-1");
    search_expect(f, "%", 0, NULL);
    search_expect(f, "", 3, "id-3");
    search_expect(f, "1mod", 0, NULL); /* not over the border of two texts */
    expect_found(f, &(struct feed_run_list){.descending = true, .group = "sweep-b", .limit = 10}, 1,
                 "id-2");
    expect_found(f, &(struct feed_run_list){.sort = FEED_BY_NAME, .limit = 10}, 3, "id-1");
    expect_found(f,
                 &(struct feed_run_list){
                     .descending = true, .search = "seed1", .project = "mod97", .limit = 10},
                 1, "id-2");
}

/* The ids in the order of the list, with blanks between. */
static void expect_order(struct fixture *f, const struct feed_run_list *params, const char *ids)
{
    char text[256] = "";
    cJSON *out, *run;
    struct err e;

    if (asked_run_list(f->history, params, &out, &e) < 0)
        fail_msg("%s", e.text);
    out = reparse(out);
    cJSON_ArrayForEach(run, cJSON_GetObjectItem(out, "runs"))
    {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? " " : "",
                 cJSON_GetObjectItem(run, "run")->valuestring);
    }
    assert_string_equal(text, ids);
    assert_float_equal(number_at(out, "total"),
                       cJSON_GetArraySize(cJSON_GetObjectItem(out, "runs")), 0);
    cJSON_Delete(out);
}

/* Runs a, b and c. */
static void store_sweep_of_three(struct fixture *f)
{
    static const struct {
        const char *id, *tags, *config;
        double d_lr, accuracy;
    } facts[] = {
        {"a", "[\"paper\",\"x y\"]",
         "{\"lr\":0.1,\"opt\":\"adam\",\"model\":{\"depth\":4},\"amp\":true,\"n\":null}", .5, .9},
        {"b", "[\"paper\"]", "{\"lr\":1e-3,\"opt\":\"sgd\",\"model\":{\"depth\":8},\"amp\":1}", .1,
         .5},
        {"c", "[]", "{\"lr\":\"0.1\",\"model.depth\":2}", .3, NAN},
    };

    for (size_t i = 0; i < 3; i++) {
        struct record *r = record_open(facts[i].id, "w", 0, RESUME_ALLOW);

        r->open.tags = strdup(facts[i].tags);
        r->open.config = strdup(facts[i].config);
        assert_int_equal(apply(f->store, r), 0);
        checkpoint(f, r, 1, 10, facts[i].d_lr);
        if (!isnan(facts[i].accuracy))
            log_scalar(f, r, 2, 10, "acc", facts[i].accuracy);
        record_free(r);
    }
}

static void expect_where(struct fixture *f, const char *where, const char *ids)
{
    cJSON *object = cJSON_Parse(where);

    assert_non_null(object);
    expect_order(f, &(struct feed_run_list){.where = object, .limit = 10}, ids);
    cJSON_Delete(object);
}

static void expect_tags(struct fixture *f, const char *tags, const char *ids)
{
    cJSON *array = cJSON_Parse(tags);

    expect_order(f, &(struct feed_run_list){.tags = array, .limit = 10}, ids);
    cJSON_Delete(array);
}

static void runs_are_found_by_what_they_were_configured_with(void **state)
{
    struct fixture *f = *state;

    store_sweep_of_three(f);
    expect_where(f, "{\"lr\":0.1}", "a");
    expect_where(f, "{\"lr\":\"0.1\"}", "c");
    expect_where(f, "{\"lr\":{\"min\":0.001,\"max\":0.1}}", "a b");
    expect_where(f, "{\"lr\":{\"max\":0.05}}", "b");
    expect_where(f, "{\"lr\":0.1,\"opt\":\"sgd\"}", "");
    expect_where(f, "{\"opt\":\"sgd\"}", "b");
    expect_where(f, "{\"amp\":true}", "a");
    expect_where(f, "{\"amp\":1}", "b");
    expect_where(f, "{\"n\":null}", "a");
    expect_where(f, "{\"model.depth\":{\"min\":2}}",
                 "a b c"); /* a name with a dot, or the way in */
    expect_where(f, "{\"model.depth\":8}", "b");
    expect_where(f, "{\"no such\":8}", "");
    expect_where(f, "{\"' OR 1 --\":8}", "");
    expect_tags(f, "[\"paper\"]", "a b");
    expect_tags(f, "[\"paper\",\"x y\"]", "a");
    expect_tags(f, "[\"pap\"]", "");
    expect_tags(f, "[]", "a b c");
}

static void runs_are_sorted_by_what_came_of_them(void **state)
{
    static const struct {
        enum feed_sort sort;
        const char *key, *up, *down;
    } facts[] = {
        {FEED_BY_CREATED, NULL, "a b c", "c b a"},
        {FEED_BY_NAME, NULL, "a b c", "c b a"},
        {FEED_BY_STATE, NULL, "c b a", "c b a"}, /* all are open: the newest first */
        {FEED_BY_MEASURE, "d_lr", "b c a", "a c b"},
        {FEED_BY_SCALAR, "acc", "b a c", "a b c"}, /* what has none is the last */
        {FEED_BY_SCALAR, "none", "c b a", "c b a"},
        {FEED_BY_CONFIG, "model.depth", "c a b", "b a c"},
    };
    struct fixture *f = *state;
    cJSON *out;
    struct err e;

    store_sweep_of_three(f);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        struct feed_run_list list = {.sort = facts[i].sort, .key = facts[i].key, .limit = 10};

        expect_order(f, &list, facts[i].up);
        list.descending = true;
        expect_order(f, &list, facts[i].down);
    }
    assert_int_equal(
        asked_run_list(f->history,
                       &(struct feed_run_list){.sort = FEED_BY_MEASURE, .key = "acc", .limit = 10},
                       &out, &e),
        -EINVAL);
    assert_non_null(strstr(e.text, "scalar:NAME"));
}

static void expect_value_of(const cJSON *run, const char *name, double value)
{
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(run, "values"),
                *item = cJSON_GetObjectItemCaseSensitive(values, name);

    if (isnan(value))
        assert_true(cJSON_IsNull(item));
    else
        assert_float_equal(item->valuedouble, value, 0);
}

static cJSON *values_at(struct fixture *f, const char *at)
{
    cJSON *names = cJSON_Parse("[\"d_lr\",\"u\",\"scalar:acc\"]"), *where = cJSON_Parse(at), *out;
    struct feed_run_list list = {.values = names, .values_at = where, .limit = 10};
    struct err e;

    assert_int_equal(asked_run_list(f->history, &list, &out, &e), 0);
    cJSON_Delete(names);
    cJSON_Delete(where);
    return out;
}

static void a_value_is_its_extreme_or_that_up_to_a_step(void **state)
{
    struct fixture *f = *state;
    struct record *r = record_open("a", "w", 0, RESUME_ALLOW);
    static const double d_lr[] = {.5, .2, .7, NAN};
    cJSON *out;

    assert_int_equal(apply(f->store, r), 0);
    for (uint64_t i = 0; i < 4; i++)
        checkpoint(f, r, i + 1, 10 * (int64_t)i, d_lr[i]);
    record_free(r);
    out = values_at(f, "{\"d_lr\":\"least\",\"scalar:acc\":\"greatest\"}");
    expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "d_lr", .2);
    expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "scalar:acc", (double)NAN);
    cJSON_Delete(out);
    out = values_at(f, "{\"d_lr\":\"greatest\",\"u\":\"greatest\"}");
    expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "d_lr", .7);
    cJSON_Delete(out);
    out = values_at(f, "{\"d_lr\":19}");
    expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "d_lr", .2);
    cJSON_Delete(out);
    out = values_at(f, "{\"d_lr\":1000,\"scalar:acc\":5}");
    expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "d_lr", .7); /* the last one is null */
    cJSON_Delete(out);
}

static void a_value_is_not_that_of_evaluation(void **state)
{
    struct fixture *f = *state;
    struct record *r = record_open("a", "w", 0, RESUME_ALLOW), *c;
    cJSON *out;

    assert_int_equal(apply(f->store, r), 0);
    c = record_of(r, RECORD_CHECKPOINT, 1, 10);
    record_add_point(c, "head", .5);
    record_add_point(c, "head@eval", .2);
    assert_int_equal(apply(f->store, c), 0);
    record_free(c);
    record_free(r);
    for (int i = 0; i < 2; i++) {
        out = values_at(f, i ? "{\"d_lr\":\"least\"}" : "{}");
        expect_value_of(cJSON_GetObjectItem(out, "runs")->child, "d_lr", .5);
        cJSON_Delete(out);
    }
}

static void runs_come_with_the_values_that_are_asked_for(void **state)
{
    struct fixture *f = *state;
    cJSON *names = cJSON_Parse("[\"scalar:acc\",\"d_lr\",\"scalar:' OR 1 --\"]"), *out;
    struct feed_run_list list = {.values = names, .limit = 10};
    const cJSON *run;
    struct err e;

    store_sweep_of_three(f);
    assert_int_equal(asked_run_list(f->history, &list, &out, &e), 0);
    run = cJSON_GetArrayItem(cJSON_GetObjectItem(out, "runs"), 1);
    assert_string_equal(cJSON_GetObjectItem(run, "run")->valuestring, "b");
    expect_value_of(run, "scalar:acc", .5);
    expect_value_of(run, "d_lr", .1);
    expect_value_of(run, "scalar:' OR 1 --", (double)NAN);
    cJSON_Delete(out);
    cJSON_ReplaceItemInArray(names, 1, cJSON_CreateString("size"));
    assert_int_equal(asked_run_list(f->history, &list, &out, &e), -EINVAL);
    assert_non_null(strstr(e.text, "size"));
    cJSON_Delete(names);
}

static void an_edited_run_is_shown_and_found_as_edited(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "id-1", "theirs", "p", "w");
    struct run_edit edit = {.run_key = r->opened.run_key, .name = "mine", .note = "Figure 3"};
    cJSON *out;
    struct err e;

    expect_order(f, &(struct feed_run_list){.search = "figure", .limit = 10}, "");
    assert_int_equal(store_edit_run(f->store, &edit, &e), 0);
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"p/mine"}, &out, &e), 0);
    out = reparse(out);
    expect_text(out, "name", "mine");
    expect_text(out, "note", "Figure 3");
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(out, "hidden")));
    cJSON_Delete(out);
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"theirs"}, &out, &e), -ENOENT);
    expect_order(f, &(struct feed_run_list){.search = "figure", .limit = 10}, "id-1");

    edit = (struct run_edit){.run_key = edit.run_key, .has_hidden = true, .hidden = true};
    assert_int_equal(store_edit_run(f->store, &edit, &e), 0);
    expect_order(f, &(struct feed_run_list){.limit = 10}, "");
    expect_order(f, &(struct feed_run_list){.hidden = true, .limit = 10}, "id-1");
    record_free(r);
}

/* What the list says of the only run is what run.get says, all but what it alone has. */
static void expect_list_as_get(struct fixture *f)
{
    cJSON *list, *run;
    const cJSON *member;
    struct err e;

    assert_int_equal(
        asked_run_list(f->history, &(struct feed_run_list){.config = true, .limit = 9}, &list, &e),
        0);
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"a"}, &run, &e), 0);
    list = reparse(list);
    run = reparse(run);
    cJSON_DeleteItemFromObject(run, "attempts");
    cJSON_DeleteItemFromObject(run, "scalars");
    cJSON_ArrayForEach(member, run)
    {
        const cJSON *listed = cJSON_GetObjectItem(at(list, "runs.0"), member->string);

        if (!listed || !cJSON_Compare(listed, member, true))
            fail_msg("%s: %s, not %s", member->string, json_print(listed), json_print(member));
    }
    assert_int_equal(size_at(list, "runs.0"), cJSON_GetArraySize(run));
    cJSON_Delete(list);
    cJSON_Delete(run);
}

/* Texts of runs are kept from one list to the next: none may be shown that has become wrong. */
static void a_list_shows_each_change(void **state)
{
    static const enum record_kind kinds[] = {RECORD_CHECKPOINT, RECORD_LOG,  RECORD_SUMMARY,
                                             RECORD_CONFIG,     RECORD_LOST, RECORD_CHECKPOINT,
                                             RECORD_SPECTRUM,   RECORD_CLOSE};
    struct fixture *f = *state;
    struct record *opened = open_run(f, "a", "x\ny", "p", "w"), *again;
    struct run_edit edit = {.run_key = opened->opened.run_key, .note = "a \"note\"\n"};

    expect_list_as_get(f);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct record *r = record_of(opened, kinds[i], kinds[i] == RECORD_LOST ? 0 : i + 1, 10);

        if (kinds[i] == RECORD_CHECKPOINT || kinds[i] == RECORD_SPECTRUM)
            record_add_spectrum(record_add_point(r, "head", .1 * (double)(i + 1)));
        if (kinds[i] == RECORD_SUMMARY || kinds[i] == RECORD_CONFIG)
            r->constants = strdup("{\"best\":[1,{\"x\":1.5e-7}]}");
        assert_int_equal(apply(f->store, r), 0);
        expect_list_as_get(f);
        record_free(r);
    }
    assert_int_equal(store_edit_run(f->store, &edit, NULL), 0);
    expect_list_as_get(f);
    again = open_run(f, "a", "other", NULL, "w2");
    expect_list_as_get(f);
    record_free(opened);
    record_free(again);
}

static void a_list_shows_which_ranks_are_open(void **state)
{
    struct fixture *f = *state;
    struct record *rank[2], *lost;

    for (uint32_t i = 0; i < 2; i++) {
        rank[i] = record_open("a", i ? "w1" : "w0", 0, RESUME_ALLOW);
        rank[i]->open.launch = strdup("job-1");
        rank[i]->open.rank = i;
        rank[i]->open.world = 2;
        assert_int_equal(apply(f->store, rank[i]), 0);
        expect_list_as_get(f);
    }
    lost = record_of(rank[0], RECORD_LOST, 0, 0);
    lost->senders = calloc(1, sizeof *lost->senders);
    lost->n_senders = 1;
    assert_int_equal(apply(f->store, lost), 0);
    expect_list_as_get(f);
    record_free(lost);
    record_free(rank[0]);
    record_free(rank[1]);
}

static void runs_are_ordered_by_their_last_change(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, "p", "w"), *b = open_run(f, "b", NULL, "p", "w");
    struct record *close = record_of(a, RECORD_CLOSE, 1, 0);

    close->time = 2e9;
    assert_int_equal(apply(f->store, close), 0);
    expect_found(f, &(struct feed_run_list){.descending = true, .limit = 10}, 2, "b");
    expect_found(f,
                 &(struct feed_run_list){.sort = FEED_BY_UPDATED, .descending = true, .limit = 10},
                 2, "a");
    record_free(close);
    record_free(a);
    record_free(b);
}

static void a_run_shows_what_is_known_of_it(void **state)
{
    struct fixture *f = *state;
    struct record *r = record_open("id-1", "w", 0, RESUME_ALLOW);
    struct err e;
    cJSON *out;

    r->open.name = strdup("seed0");
    r->open.project = strdup("mod97");
    r->open.tags = strdup("[\"demo\"]");
    r->open.config = strdup("{\"lr\":\n0.001}"); /* a newline would end the feed's line */
    assert_int_equal(apply(f->store, r), 0);
    checkpoint(f, r, 1, 10, 0.5);
    log_scalar(f, r, 2, 11, "test_acc", 0.25);
    log_scalar(f, r, 3, 11, "loss", 2);
    checkpoint(f, r, 4, 20, (double)NAN);
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"seed0"}, &out, &e), 0);
    out = reparse(out);
    expect_text(out, "run", "id-1");
    expect_text(out, "name", "seed0");
    expect_text(out, "project", "mod97");
    expect_text(out, "group", "");
    expect_text(out, "tags.0", "demo");
    assert_true(number_at(out, "config.lr") == 0.001);
    expect_text(out, "state", "open");
    assert_int_equal(number_at(out, "attempt"), 1);
    assert_true(number_at(out, "created") == 1764000000.5);
    assert_true(number_at(out, "updated") == 1764000020.5);
    assert_int_equal(number_at(out, "last_step"), 20);
    assert_int_equal(number_at(out, "n_points"), 2);
    expect_text(out, "layers.0.layer", "head");
    assert_int_equal(number_at(out, "layers.0.step"), 20);
    assert_true(cJSON_IsNull(at(out, "layers.0.d_lr")));
    assert_true(cJSON_IsNull(at(out, "layers.0.d_debiased")));
    assert_int_equal(number_at(out, "attempts.0.first_step"), 10);
    assert_true(cJSON_IsNull(at(out, "attempts.0.closed")));
    expect_text(out, "attempts.0.state", "open");
    assert_true(cJSON_IsNull(at(out, "host")));
    assert_true(cJSON_IsNull(at(out, "attempts.0.host")));
    expect_text(out, "scalars.0", "loss");
    expect_text(out, "scalars.1", "test_acc");
    cJSON_Delete(out);
    record_free(r);
}

static void a_run_is_where_its_newest_attempt_is(void **state)
{
    struct fixture *f = *state;
    struct record *first = record_open("a", "w1", 0, RESUME_ALLOW),
                  *second = record_open("a", "w2", 0, RESUME_ALLOW);
    cJSON *out, *list;
    struct err e;

    first->open.host = strdup("gpu3");
    second->open.host = strdup("gpu\"4\"");
    assert_int_equal(apply(f->store, first), 0);
    assert_int_equal(apply(f->store, second), 0);
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"a"}, &out, &e), 0);
    out = reparse(out);
    expect_text(out, "host", "gpu\"4\"");
    expect_text(out, "attempts.0.host", "gpu3");
    expect_text(out, "attempts.1.host", "gpu\"4\"");
    assert_int_equal(asked_run_list(f->history, &(struct feed_run_list){.limit = 9}, &list, &e), 0);
    expect_text(list, "runs.0.host", "gpu\"4\"");
    cJSON_Delete(list);
    cJSON_Delete(out);
    record_free(first);
    record_free(second);
}

static void a_run_is_found_by_id_path_or_newest_name(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "seed", "p/1", "w");
    struct record *b = open_run(f, "b", "seed", "p2", "w");
    struct record *seed = open_run(f, "c", "a", "p2", "w"); /* its name is another one's id */
    static const struct {
        const char *run;
        const char *id;
    } cases[] = {{"a", "a"}, {"p/1/seed", "a"}, {"seed", "b"}, {"p2/seed", "b"}, {"p2/a", "c"}};
    struct err e;
    int64_t key;
    cJSON *out;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(asked_layer_list(f->history, &(struct feed_run){cases[i].run}, &out, &e),
                         0);
        expect_text(out, "run", cases[i].id);
        cJSON_Delete(out);
    }
    assert_int_equal(history_find_run(f->history, "../../etc/x", &key, &e), -ENOENT);
    assert_non_null(strstr(e.text, "../../etc/x"));
    assert_int_equal(history_run_get(f->history, &(struct feed_run){"z"}, &out, &e), -ENOENT);
    assert_null(out);
    record_free(a);
    record_free(b);
    record_free(seed);
}

static void layers_show_their_latest_point(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w");
    struct record *c = record_of(r, RECORD_CHECKPOINT, 1, 10);
    struct err e;
    cJSON *out;

    record_add_point(c, "head", 0.5);
    record_add_point(c, "body", 0.25)->measured = false;
    record_add_point(c, "shapeless", 0)->measured = false;
    c->points[2].point.p = 0;
    assert_int_equal(apply(f->store, c), 0);
    assert_int_equal(asked_layer_list(f->history, &(struct feed_run){"a"}, &out, &e), 0);
    out = reparse(out);
    assert_int_equal(size_at(out, "layers"), 2);
    assert_int_equal(number_at(out, "layers.0.n_points"), 1);
    assert_int_equal(number_at(out, "layers.0.last.step"), 10);
    assert_true(number_at(out, "layers.0.last.d_lr") == 0.5);
    assert_int_equal(number_at(out, "layers.0.last.p"), 128);
    assert_int_equal(number_at(out, "layers.1.n_points"), 0);
    assert_true(cJSON_IsNull(at(out, "layers.1.last")));
    cJSON_Delete(out);
    record_free(c);
    record_free(r);
}

static void a_short_series_is_given_point_by_point(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w");
    struct feed_series_query query = whole("a");
    cJSON *metrics = cJSON_Parse("[\"u\"]"), *out;

    for (int i = 0; i < 5; i++)
        checkpoint(f, r, (uint64_t)i + 1, i * 10, i == 3 ? (double)NAN : i);
    out = series(f, &query);
    assert_true(cJSON_IsFalse(at(out, "layers.0.binned")));
    expect_numbers(out, "layers.0.columns.step", (double[]){0, 10, 20, 30, 40}, 5);
    expect_numbers(out, "layers.0.columns.attempt", (double[]){1, 1, 1, 1, 1}, 5);
    expect_numbers(out, "layers.0.columns.n", (double[]){1024, 1024, 1024, 1024, 1024}, 5);
    assert_true(cJSON_IsNull(at(out, "layers.0.columns.d_lr.3")));
    assert_true(number_at(out, "layers.0.columns.pr.4") == 1);
    assert_int_equal(size_at(out, "layers.0.columns.flags"), 5);
    assert_int_equal(size_at(out, "layers.0.columns.flags.0"), 0);
    assert_int_equal(size_at(out, "layers.0.columns.rows_missing"), 5);
    assert_int_equal(size_at(out, "layers.0.columns.rank"), 5);
    assert_int_equal(size_at(out, "layers.0.columns.time"), 5);
    cJSON_Delete(out);

    query.range.from = 10;
    query.range.to = 30;
    query.range.points = 4;
    query.metrics = metrics;
    query.layer = "head";
    out = series(f, &query);
    expect_numbers(out, "layers.0.columns.step", (double[]){10, 20, 30}, 3);
    assert_int_equal(size_at(out, "layers.0.columns.u"), 3);
    assert_null(cJSON_GetObjectItem(at(out, "layers.0.columns"), "d_lr"));
    cJSON_Delete(metrics);
    cJSON_Delete(out);
    record_free(r);
}

static void what_a_series_does_not_know_is_named(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w");
    struct feed_series_query query = whole("a");
    struct feed_scalars_query scalars = {.run = "a", .range = query.range};
    cJSON *metrics = cJSON_Parse("[\"d_lr\",\"dlr\"]");
    struct err e;
    cJSON *out;

    query.layer = "tail";
    assert_int_equal(asked_series(f->history, &query, &out, &e), -ENOENT);
    assert_non_null(strstr(e.text, "\"tail\""));
    query.layer = NULL;
    query.metrics = metrics;
    assert_int_equal(asked_series(f->history, &query, &out, &e), -EINVAL);
    assert_non_null(strstr(e.text, "\"dlr\""));
    scalars.names = metrics;
    assert_int_equal(asked_scalars(f->history, &scalars, &out, &e), -ENOENT);
    assert_null(out);
    cJSON_Delete(metrics);
    record_free(r);
}

static void a_newer_attempt_supersedes_later_points(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w1"), *again, *idle;
    struct feed_series_query query = whole("a");
    cJSON *out;

    for (int i = 1; i <= 4; i++)
        checkpoint(f, r, (uint64_t)i, i * 10, i);
    again = open_run(f, "a", NULL, NULL, "w2");
    checkpoint(f, again, 1, 25, 7);
    checkpoint(f, again, 2, 30, 8);
    idle = open_run(f, "a", NULL, NULL, "w3"); /* has stored nothing, supersedes nothing */
    out = series(f, &query);
    expect_numbers(out, "layers.0.columns.step", (double[]){10, 20, 25, 30}, 4);
    expect_numbers(out, "layers.0.columns.d_lr", (double[]){1, 2, 7, 8}, 4);
    expect_numbers(out, "layers.0.columns.attempt", (double[]){1, 1, 2, 2}, 4);
    cJSON_Delete(out);
    query.range.all_attempts = true;
    out = series(f, &query);
    expect_numbers(out, "layers.0.columns.step", (double[]){10, 20, 30, 40, 25, 30}, 6);
    cJSON_Delete(out);
    record_free(idle);
    record_free(again);
    record_free(r);
}

/* An attempt that begins before an older one's first step supersedes all of both. */
static void an_attempt_from_the_start_supersedes_everything(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w1"), *b, *c;
    struct feed_series_query query = whole("a");
    cJSON *out;

    checkpoint(f, a, 1, 10, 1);
    b = open_run(f, "a", NULL, NULL, "w2");
    checkpoint(f, b, 1, 50, 2);
    c = open_run(f, "a", NULL, NULL, "w3");
    checkpoint(f, c, 1, 0, 3);
    out = series(f, &query);
    expect_numbers(out, "layers.0.columns.d_lr", (double[]){3}, 1);
    cJSON_Delete(out);
    record_free(a);
    record_free(b);
    record_free(c);
}

static void fill(struct fixture *f, const struct record *r, int64_t n, int64_t spike)
{
    enum { GROUP = 500 };
    struct record *batch[GROUP];

    for (int64_t i = 0; i < n; i += GROUP) {
        for (int64_t j = 0; j < GROUP; j++) {
            int64_t step = (i + j + 1) * 10;

            batch[j] = record_of(r, RECORD_CHECKPOINT, (uint64_t)(i + j) + 1, step);
            record_add_point(batch[j], "head", step == spike ? 99 : 0.5);
        }
        assert_int_equal(apply_many(f->store, batch, GROUP), 0);
        for (int j = 0; j < GROUP; j++)
            record_free(batch[j]);
    }
}

static void a_long_series_is_binned_and_keeps_its_spike(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w");
    struct feed_series_query query = whole("a");
    int n, n_spikes = 0;
    double count = 0;
    cJSON *out;

    fill(f, r, 3000, 20000);
    query.range.points = 100;
    for (int linear = 0; linear < 2; linear++, n_spikes = 0, count = 0) {
        query.range.linear = linear;
        out = series(f, &query);
        assert_true(cJSON_IsTrue(at(out, "layers.0.binned")));
        n = size_at(out, "layers.0.columns.step");
        assert_in_range(n, 20, 50);
        assert_int_equal(size_at(out, "layers.0.columns.step_end"), n);
        assert_int_equal(size_at(out, "layers.0.columns.pr.last"), n);
        assert_int_equal(number_at(out, "layers.0.columns.step.0"), 10);
        for (int i = 0; i < n; i++) {
            n_spikes +=
                cJSON_GetArrayItem(at(out, "layers.0.columns.d_lr.max"), i)->valuedouble == 99;
            assert_true(cJSON_GetArrayItem(at(out, "layers.0.columns.d_lr.min"), i)->valuedouble ==
                        0.5);
            count += cJSON_GetArrayItem(at(out, "layers.0.columns.count"), i)->valuedouble;
        }
        assert_int_equal(n_spikes, 1);
        assert_int_equal(count, 3000);
        cJSON_Delete(out);
    }
    query.range.points = 3000; /* exactly as many as there are */
    out = series(f, &query);
    assert_true(cJSON_IsFalse(at(out, "layers.0.binned")));
    cJSON_Delete(out);
    record_free(r);
}

static void scalars_are_given_by_name(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w"), *again;
    struct feed_scalars_query query = {.run = "a", .range = {.to = INT64_MAX, .points = 4}};
    cJSON *names = cJSON_Parse("[\"loss\"]"), *out;
    struct err e;

    log_scalar(f, r, 1, 1, "test_acc", 0.5);
    log_scalar(f, r, 2, 1, "loss", 4);
    log_scalar(f, r, 3, 2, "loss", (double)NAN);
    log_scalar(f, r, 4, 3, "loss", 2);
    again = open_run(f, "a", NULL, NULL, "w2");
    log_scalar(f, again, 1, 3, "loss", 1);
    assert_int_equal(asked_scalars(f->history, &query, &out, &e), 0);
    out = reparse(out);
    assert_int_equal(size_at(out, "scalars"), 2);
    expect_text(out, "scalars.0.name", "loss");
    expect_numbers(out, "scalars.0.columns.step", (double[]){1, 2, 3}, 3);
    expect_numbers(out, "scalars.0.columns.attempt", (double[]){1, 1, 2}, 3);
    assert_true(cJSON_IsNull(at(out, "scalars.0.columns.value.1")));
    assert_true(number_at(out, "scalars.0.columns.value.2") == 1);
    assert_true(number_at(out, "scalars.1.columns.value.0") == 0.5);
    cJSON_Delete(out);

    query.names = names;
    for (int i = 4; i < 10; i++)
        log_scalar(f, again, (uint64_t)i, i, "loss", i);
    assert_int_equal(asked_scalars(f->history, &query, &out, &e), 0);
    out = reparse(out);
    assert_int_equal(size_at(out, "scalars"), 1);
    assert_true(cJSON_IsTrue(at(out, "scalars.0.binned")));
    assert_int_equal(size_at(out, "scalars.0.columns.value.max"), 2);
    assert_true(number_at(out, "scalars.0.columns.value.last.1") == 9);
    assert_null(cJSON_GetObjectItem(at(out, "scalars.0.columns"), "time"));
    cJSON_Delete(out);

    query.range.times = true;
    assert_int_equal(asked_scalars(f->history, &query, &out, &e), 0);
    out = reparse(out);
    assert_int_equal(size_at(out, "scalars.0.columns.time"), 2);
    assert_int_equal(number_at(out, "scalars.0.columns.attempt.0"), 2);
    assert_int_equal(number_at(out, "scalars.0.columns.attempt.1"), 2);
    assert_true(number_at(out, "scalars.0.columns.time.1") > 0);
    cJSON_Delete(out);
    cJSON_Delete(names);
    record_free(again);
    record_free(r);
}

/* Puts the place in front of which the next page begins into the query; false after the last one.
 */
static bool turn_page(struct feed_series_query *query, const cJSON *out)
{
    const cJSON *next = at(out, "layers.0.next");
    long long attempt, step;

    assert_true(cJSON_IsFalse(at(out, "layers.0.binned")));
    if (cJSON_IsNull(next))
        return false;
    assert_int_equal(sscanf(next->valuestring, "%lld:%lld", &attempt, &step), 2);
    query->range.next = (struct feed_place){attempt, step};
    return true;
}

/* Pages of three rows, over two attempts of which the second begins inside the first one. */
static void pages_give_every_row_once_over_all_attempts(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w1"), *again;
    struct feed_series_query query = whole("a");
    static const double steps[] = {10, 20, 25, 30, 10, 20, 30, 40, 25, 30};
    int n = 0, n_pages = 0;
    bool more;

    for (int i = 1; i <= 4; i++)
        checkpoint(f, r, (uint64_t)i, i * 10, i);
    again = open_run(f, "a", NULL, NULL, "w2");
    checkpoint(f, again, 1, 25, 7);
    checkpoint(f, again, 2, 30, 8);
    query.range.limit = 3;
    for (int all = 0; all < 2; all++) {
        query.range.all_attempts = all;
        query.range.next = (struct feed_place){0};
        do {
            cJSON *out = series(f, &query);
            int size = size_at(out, "layers.0.columns.step");

            assert_true(size <= 3);
            expect_numbers(out, "layers.0.columns.step", &steps[n], size);
            n += size;
            n_pages++;
            more = turn_page(&query, out);
            cJSON_Delete(out);
        } while (more);
        assert_int_equal(n, all ? 10 : 4);
        assert_int_equal(n_pages, all ? 4 : 2);
    }
    record_free(again);
    record_free(r);
}

static void a_page_that_holds_the_last_row_is_the_last(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w1");
    struct feed_series_query query = whole("a");
    cJSON *out;

    fill(f, r, 500, 0);
    query.range.limit = 500;
    query.range.points = 4;
    out = series(f, &query);
    assert_int_equal(size_at(out, "layers.0.columns.step"), 500);
    assert_false(turn_page(&query, out));
    cJSON_Delete(out);
    query.range.next = (struct feed_place){1, 5000};
    out = series(f, &query);
    assert_int_equal(size_at(out, "layers.0.columns.step"), 0);
    assert_false(turn_page(&query, out));
    cJSON_Delete(out);
    record_free(r);
}

static void scalars_are_joined_by_attempt_and_step(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w1"), *again;
    struct feed_series_query query = whole("a");
    cJSON *names = cJSON_Parse("[\"loss\"]"), *unknown = cJSON_Parse("[\"los\"]"), *out;
    struct err e;

    log_scalar(f, r, 1, 10, "loss", 4);
    log_scalar(f, r, 2, 15, "loss", 3);
    log_scalar(f, r, 3, 30, "test_acc", 0.5);
    log_scalar(f, r, 4, 30, "loss", (double)NAN);
    for (int i = 1; i <= 4; i++)
        checkpoint(f, r, (uint64_t)i + 4, i * 10, i);
    again = open_run(f, "a", NULL, NULL, "w2");
    log_scalar(f, again, 1, 40, "loss", 1);
    checkpoint(f, again, 2, 40, 8);
    out = series(f, &query);
    assert_null(cJSON_GetObjectItem(at(out, "layers.0.columns"), "scalars"));
    cJSON_Delete(out);

    query.all_scalars = true;
    query.range.all_attempts = true;
    out = series(f, &query);
    expect_numbers(out, "layers.0.columns.step", (double[]){10, 20, 30, 40, 40}, 5);
    assert_int_equal(size_at(out, "layers.0.columns.scalars"), 2);
    assert_int_equal(size_at(out, "layers.0.columns.scalars.loss"), 5);
    expect_number(out, "layers.0.columns.scalars.loss.0", 4);
    for (int i = 1; i < 4; i++) {
        char path[64];

        snprintf(path, sizeof path, "layers.0.columns.scalars.loss.%d", i);
        assert_true(cJSON_IsNull(at(out, path)));
    }
    expect_number(out, "layers.0.columns.scalars.loss.4", 1);
    expect_number(out, "layers.0.columns.scalars.test_acc.2", 0.5);
    cJSON_Delete(out);

    query.all_scalars = false;
    query.scalars = names;
    out = series(f, &query);
    assert_int_equal(size_at(out, "layers.0.columns.scalars"), 1);
    cJSON_Delete(out);
    query.scalars = unknown;
    assert_int_equal(asked_series(f->history, &query, &out, &e), -ENOENT);
    assert_non_null(strstr(e.text, "no scalar \"los\""));
    cJSON_Delete(names);
    cJSON_Delete(unknown);
    record_free(again);
    record_free(r);
}

static void a_snapshot_holds_the_latest_of_everything(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w"), *b = open_run(f, "b", NULL, NULL, "w");
    struct history_page page;
    struct err e;

    assert_int_equal(asked_latest(f->history, CHANGE_SERIES, 0, &page, &e), 0);
    assert_int_equal(page.n_items, 0);
    assert_int_equal(page.reached, 0);
    history_page_release(&page);
    checkpoint(f, a, 1, 10, 0.5);
    checkpoint(f, b, 1, 5, 0.25);
    checkpoint(f, a, 2, 20, 0.75);
    log_scalar(f, b, 2, 6, "loss", 3);
    assert_int_equal(asked_latest(f->history, CHANGE_SERIES, 0, &page, &e), 0);
    assert_int_equal(page.n_items, 3);
    assert_int_equal(page.reached, 4);
    expect_text(page.points, "0.run", "b");
    expect_text(page.points, "1.run", "a");
    expect_text(page.scalars, "0.name", "loss");
    history_page_release(&page);
    assert_int_equal(asked_latest(f->history, CHANGE_SERIES, a->opened.run_key, &page, &e), 0);
    assert_int_equal(page.n_items, 1);
    assert_int_equal(page.reached, 4);
    history_page_release(&page);
    record_free(a);
    record_free(b);
}

/* ---- events -------------------------------------------------------------------------------- */

/* A checkpoint that completes a fall which began 40 steps ago and lasted 20. */
static void fall(struct fixture *f, const struct record *opened, uint64_t seq, int64_t step,
                 const char *layer)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);

    record_add_finding(r, record_add_point(r, layer, 0.125), METRIC_D_LR, step - 40, step - 20);
    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(r->points[0].findings[0].feed_seq, r->points[0].feed_seq + 1);
    record_free(r);
}

/* event.query of run "a", as a client reads it. */
static cJSON *events_of(struct fixture *f, const char *layer, int64_t from, int64_t to, bool all)
{
    struct feed_event_query q = {"a", layer, from, to, all};
    cJSON *out;
    struct err e;

    assert_int_equal(asked_events(f->history, &q, &out, &e), 0);
    return reparse(out);
}

static void expect_events(struct fixture *f, const char *layer, int64_t from, int64_t to, bool all,
                          int n)
{
    cJSON *answer = events_of(f, layer, from, to, all);

    assert_int_equal(cJSON_GetArraySize(at(answer, "events")), n);
    cJSON_Delete(answer);
}

static void events_are_those_that_overlap_the_steps(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w"), *b = open_run(f, "b", NULL, NULL, "w");
    cJSON *answer;
    struct err e;

    fall(f, a, 1, 100, "head");
    fall(f, b, 1, 100, "head");
    fall(f, a, 2, 200, "head");
    fall(f, a, 3, 300, "body");
    expect_events(f, NULL, 0, INT64_MAX, false, 3);
    expect_events(f, "head", 0, INT64_MAX, false, 2);
    assert_int_equal(
        asked_events(f->history, &(struct feed_event_query){"a", "tail", 0, 9, 0}, &answer, &e),
        -ENOENT);
    expect_events(f, NULL, 80, 160, false, 2);
    expect_events(f, NULL, 81, 159, false, 0);
    answer = events_of(f, "head", 81, INT64_MAX, false);
    expect_text(answer, "events.0.direction", "fall");
    expect_text(answer, "events.0.metric", "d_lr");
    expect_number(answer, "events.0.start", 160);
    expect_number(answer, "events.0.end", 180);
    expect_number(answer, "events.0.from", 0.5);
    expect_number(answer, "events.0.to", 0.125);
    expect_number(answer, "events.0.size", 0.375);
    assert_true(cJSON_IsNull(at(answer, "events.0.agrees")));
    cJSON_Delete(answer);
    record_free(a);
    record_free(b);
}

/* Feed numbers in the order in which they were found, behind the point's. */
static void a_point_keeps_an_event_of_each_metric(void **state)
{
    struct fixture *f = *state;
    struct record *opened = open_run(f, "a", NULL, NULL, "w");
    struct record *r = record_of(opened, RECORD_CHECKPOINT, 1, 100);
    struct layer_point *lp = record_add_point(r, "head", 0.125);
    struct history_page page;
    cJSON *answer;
    struct err e;

    record_add_finding(r, lp, METRIC_PR, 60, 80);
    record_add_finding(r, lp, METRIC_D_LR, 60, 90);
    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(r->points[0].findings[0].feed_seq, r->points[0].feed_seq + 1);
    assert_int_equal(r->points[0].findings[1].feed_seq, r->points[0].feed_seq + 2);
    answer = events_of(f, "head", 0, INT64_MAX, false);
    assert_int_equal(cJSON_GetArraySize(at(answer, "events")), 2);
    expect_text(answer, "events.0.metric", "pr");
    expect_number(answer, "events.0.end", 80);
    expect_text(answer, "events.1.metric", "d_lr");
    expect_number(answer, "events.1.end", 90);
    cJSON_Delete(answer);
    fall(f, opened, 2, 200, "head"); /* of D_LR: pr's latest stays */
    assert_int_equal(asked_latest(f->history, CHANGE_EVENTS, 0, &page, &e), 0);
    assert_int_equal(page.n_items, 2);
    answer = reparse(cJSON_Duplicate(page.events, true));
    expect_text(answer, "0.metric", "pr");
    expect_text(answer, "1.metric", "d_lr");
    expect_number(answer, "1.step", 200);
    cJSON_Delete(answer);
    history_page_release(&page);
    record_free(r);
    record_free(opened);
}

static void a_newer_attempt_supersedes_events(void **state)
{
    struct fixture *f = *state;
    struct record *first = open_run(f, "a", NULL, NULL, "w"), *second;

    fall(f, first, 1, 100, "head");
    fall(f, first, 2, 200, "head");
    second = open_run(f, "a", NULL, NULL, "v");
    expect_events(f, NULL, 0, INT64_MAX, false, 2);
    checkpoint(f, second, 1, 150, 0.5);
    expect_events(f, NULL, 0, INT64_MAX, false, 1);
    expect_events(f, NULL, 0, INT64_MAX, true, 2);
    record_free(first);
    record_free(second);
}

/* The point at that step finds that the fall which step `told` completed has returned. */
static void go_back(struct fixture *f, const struct record *opened, uint64_t seq, int64_t step,
                    int64_t told, uint32_t attempt)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);
    struct finding *finding;

    record_add_finding(r, record_add_point(r, "head", 0.5), METRIC_D_LR, told - 40, told - 20);
    finding = &r->points[0].findings[0];
    finding->step = told;
    finding->attempt = attempt;
    finding->transition.returned = step;
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static void expect_returned(struct fixture *f, bool all, double step)
{
    cJSON *answer = events_of(f, NULL, 0, INT64_MAX, all);

    assert_int_equal(cJSON_GetArraySize(at(answer, "events")), 1);
    if (step < 0)
        assert_true(cJSON_IsNull(at(answer, "events.0.returned")));
    else
        expect_number(answer, "events.0.returned", step);
    cJSON_Delete(answer);
}

static void an_event_that_returns_is_told_again(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w");
    struct history_page page;
    cJSON *told;
    struct err e;

    fall(f, a, 1, 100, "head");
    expect_returned(f, false, -1);
    go_back(f, a, 2, 200, 100, 1);
    expect_returned(f, false, 200);
    /* a reader that has seen the event, whose number was 2 */
    assert_int_equal(history_changes(f->history, CHANGE_EVENTS, 0, 2, 10, &page, &e), 0);
    assert_int_equal(page.n_items, 1);
    told = reparse(cJSON_Duplicate(page.events, true));
    expect_number(told, "0.step", 100);
    expect_number(told, "0.returned", 200);
    expect_number(told, "0.n_from", 512);
    expect_number(told, "0.n_to", 1024);
    cJSON_Delete(told);
    history_page_release(&page);
    record_free(a);
}

/* It was found to have returned at a step that a newer attempt has taken over. */
static void a_return_that_is_superseded_is_taken_back(void **state)
{
    struct fixture *f = *state;
    struct record *first = open_run(f, "a", NULL, NULL, "w"), *second;

    fall(f, first, 1, 100, "head");
    go_back(f, first, 2, 200, 100, 1);
    second = open_run(f, "a", NULL, NULL, "v");
    expect_returned(f, false, 200);
    checkpoint(f, second, 1, 150, 0.1);
    expect_returned(f, false, -1);
    expect_returned(f, true, 200);
    go_back(f, second, 2, 300, 100, 1);
    expect_returned(f, false, 300);
    record_free(first);
    record_free(second);
}

static void expect_watched(struct fixture *f, const char *layer, const char *expected)
{
    cJSON *answer = events_of(f, layer, 0, INT64_MAX, false);
    char *text = cJSON_PrintUnformatted(at(answer, "watched"));

    assert_string_equal(text, expected);
    cJSON_free(text);
    cJSON_Delete(answer);
}

static struct record *open_watching(struct fixture *f, const char *writer, struct watch_list list)
{
    struct record *r = record_open("a", writer, 0, RESUME_ALLOW);

    r->open.watched = list;
    assert_int_equal(apply(f->store, r), 0);
    return r;
}

#define SERIES(layer, metric, points)                                                              \
    "{\"layer\":" layer ",\"metric\":\"" metric "\",\"points\":" points ",\"needed\":23}"

static void a_series_says_how_many_points_it_has(void **state)
{
    struct fixture *f = *state;
    const struct watch_list list = {
        .n = 2, .metrics = {METRIC_PR, METRIC_NC1}, .n_scalars = 2, .scalars = {"acc", "typo"}};
    struct record *a = open_watching(f, "w", list), *b;

    expect_watched(f, NULL, "[" SERIES("null", "acc", "0") "," SERIES("null", "typo", "0") "]");
    for (uint64_t i = 1; i <= 30; i++) {
        struct record *r = record_of(a, RECORD_CHECKPOINT, i, (int64_t)i);
        struct layer_point *lp = record_add_point(r, "head", 0.5);

        lp->point.value[METRIC_NC1] = i % 10 ? (double)NAN : 0.5;
        lp->point.flags = i <= 10 ? FLAG_PARTIAL : 0;
        assert_int_equal(apply(f->store, r), 0);
        record_free(r);
    }
    log_scalar(f, a, 31, 30, "acc", 0.5);
    expect_watched(f, "head",
                   "[" SERIES("\"head\"", "pr", "20") "," //
                   SERIES("\"head\"", "nc1", "2") "]");
    expect_watched(f, NULL,
                   "[" SERIES("\"head\"", "pr", "20") "," //
                   SERIES("\"head\"", "nc1", "2") ","     //
                   SERIES("null", "acc", "1") "," SERIES("null", "typo", "0") "]");
    /* a new attempt watches something else, and takes over at step 15 */
    b = open_watching(f, "v", watch_default);
    expect_watched(f, NULL, "[" SERIES("\"head\"", "d_debiased", "20") "]");
    checkpoint(f, b, 1, 15, 0.5);
    expect_watched(f, NULL, "[" SERIES("\"head\"", "d_debiased", "5") "]");
    record_free(a);
    record_free(b);
}

static void where_d_debiased_is_null_d_lr_is_watched_in_its_place(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_watching(f, "w", watch_default);

    for (uint64_t i = 1; i <= 30; i++) {
        struct record *r = record_of(a, RECORD_CHECKPOINT, i, (int64_t)i);

        record_add_point(r, "head", 0.5)->point.value[METRIC_D_DEBIASED] = (double)NAN;
        assert_int_equal(apply(f->store, r), 0);
        record_free(r);
    }
    expect_watched(f, NULL, "[" SERIES("\"head\"", "d_lr", "23") "]");
    record_free(a);
}

/* Logs an accuracy before and behind a fall over 60..80, told at 100. */
static cJSON *fall_with_accuracy(struct fixture *f, const char *run, const char *name,
                                 double before, double behind)
{
    struct record *r = open_run(f, run, NULL, NULL, "w");
    struct feed_event_query q = {run, NULL, 0, INT64_MAX, false};
    cJSON *out;
    struct err e;

    log_scalar(f, r, 1, 10, name, before);
    log_scalar(f, r, 2, 95, name, behind);
    fall(f, r, 3, 100, "head");
    log_scalar(f, r, 4, 110, name, 1000); /* too late to be told */
    assert_int_equal(asked_events(f->history, &q, &out, &e), 0);
    record_free(r);
    return reparse(out);
}

static void an_accuracy_that_rises_beside_it_agrees(void **state)
{
    static const struct {
        const char *name;
        double before, behind;
        int agrees; /* -1: unknown */
    } cases[] = {
        {"test_acc", 0.01, 1, 1},   {"val_accuracy", 0.5, 0.71, 1}, {"eval_acc", 3, 40, 1},
        {"test_acc", 0.5, 0.69, 0}, {"test_acc", 50, 60, 0},        {"test_acc", 0.9, 0.1, 0},
        {"test_acc", 0.1, NAN, -1}, {"test_acc", NAN, 1, -1},       {"train_acc", 0, 1, -1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char run[16];
        cJSON *answer;
        const cJSON *agrees;

        snprintf(run, sizeof run, "run%zu", i);
        answer = fall_with_accuracy(*state, run, cases[i].name, cases[i].before, cases[i].behind);
        agrees = at(answer, "events.0.agrees");
        assert_int_equal(cJSON_IsTrue(agrees), cases[i].agrees == 1);
        assert_int_equal(cJSON_IsFalse(agrees), cases[i].agrees == 0);
        assert_int_equal(cJSON_IsNull(agrees), cases[i].agrees == -1);
        if (cases[i].agrees >= 0) {
            expect_text(answer, "events.0.accuracy.name", cases[i].name);
            expect_number(answer, "events.0.accuracy.from", cases[i].before);
            expect_number(answer, "events.0.accuracy.to", cases[i].behind);
        }
        cJSON_Delete(answer);
    }
}

static void events_have_the_cursor_of_the_series(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w"), *b = open_run(f, "b", NULL, NULL, "w");
    struct history_page page;
    struct err e;

    fall(f, a, 1, 100, "head"); /* point 1, event 2 */
    checkpoint(f, a, 2, 110, 0.5);
    fall(f, b, 1, 100, "head"); /* 4, 5 */
    fall(f, a, 3, 200, "head"); /* 6, 7 */
    checkpoint(f, a, 4, 210, 0.5);
    assert_int_equal(history_changes(f->history, CHANGE_EVENTS, 0, 0, 2, &page, &e), 0);
    assert_int_equal(page.n_items, 2);
    assert_int_equal(page.reached, 5);
    expect_text(page.events, "1.run", "b");
    history_page_release(&page);
    assert_int_equal(
        history_changes(f->history, CHANGE_EVENTS, a->opened.run_key, 2, 10, &page, &e), 0);
    assert_int_equal(page.n_items, 1);
    assert_int_equal(cJSON_GetArraySize(page.points), 0);
    expect_text(page.events, "0.run", "a");
    assert_int_equal(page.reached, 8);
    history_page_release(&page);
    assert_int_equal(asked_latest(f->history, CHANGE_EVENTS, 0, &page, &e), 0);
    assert_int_equal(page.n_items, 2);
    expect_text(page.events, "0.run", "b");
    expect_text(page.events, "1.run", "a");
    assert_int_equal(page.reached, 8);
    history_page_release(&page);
    record_free(a);
    record_free(b);
}

static void changes_come_in_order_and_once(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w"), *b = open_run(f, "b", NULL, NULL, "w");
    struct history_page page;
    uint64_t seq = 0;
    size_t n = 0;
    struct err e;

    for (int i = 1; i <= 20; i++) {
        checkpoint(f, a, (uint64_t)(2 * i - 1), i, i);
        log_scalar(f, a, (uint64_t)(2 * i), i, "loss", i);
        checkpoint(f, b, (uint64_t)i, i, i);
    }
    do {
        assert_int_equal(
            history_changes(f->history, CHANGE_SERIES, a->opened.run_key, seq, 7, &page, &e), 0);
        assert_true(page.n_items <= 7);
        assert_true(page.reached > seq);
        assert_int_equal(page.committed, 60);
        n += page.n_items;
        seq = page.reached;
        for (int i = 0; i < cJSON_GetArraySize(page.points); i++)
            expect_text(cJSON_GetArrayItem(page.points, i), "run", "a");
        history_page_release(&page);
    } while (seq < 60);
    assert_int_equal(n, 40);
    assert_int_equal(seq, 60);
    checkpoint(f, a, 41, 5, 99); /* a replaced point comes once more, and only in its new place */
    assert_int_equal(history_changes(f->history, CHANGE_SERIES, 0, 0, 1000, &page, &e), 0);
    assert_int_equal(page.n_items, 60);
    assert_int_equal(page.reached, 61);
    page.points = reparse(page.points);
    assert_true(number_at(page.points, "39.d_lr") == 99);
    history_page_release(&page);
    assert_int_equal(history_changes(f->history, CHANGE_SERIES, 0, 61, 1000, &page, &e), 0);
    assert_int_equal(page.n_items, 0);
    assert_int_equal(page.reached, 61);
    history_page_release(&page);
    assert_int_equal(history_changes(f->history, CHANGE_SERIES, 0, 5000, 1000, &page, &e), 0);
    assert_int_equal(page.reached, 61);
    history_page_release(&page);
    record_free(a);
    record_free(b);
}

static void a_page_passes_over_a_bounded_number_of_rows(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", NULL, NULL, "w"), *b = open_run(f, "b", NULL, NULL, "w");
    struct history_page page;
    struct err e;

    fill(f, a, HISTORY_PAGE_SCAN + 500, -1);
    checkpoint(f, b, 1, 1, 1);
    assert_int_equal(
        history_changes(f->history, CHANGE_SERIES, b->opened.run_key, 0, 1000, &page, &e), 0);
    assert_int_equal(page.n_items, 0);
    assert_int_equal(page.reached, HISTORY_PAGE_SCAN);
    history_page_release(&page);
    assert_int_equal(history_changes(f->history, CHANGE_SERIES, b->opened.run_key,
                                     HISTORY_PAGE_SCAN, 1000, &page, &e),
                     0);
    assert_int_equal(page.n_items, 1);
    assert_int_equal(page.reached, page.committed);
    history_page_release(&page);
    record_free(a);
    record_free(b);
}

struct reader {
    const char *path;
    _Atomic bool stop;
    int n_reads;
    int rc;
    bool consistent;
};

/* Reads while the writer writes. Run "a" gets as many points as scalars in each transaction, so an
 * answer that shows half of one would be seen. */
static void *read_on(void *arg)
{
    struct reader *reader = arg;
    struct history *history;
    uint64_t seq = 0;

    reader->consistent = true;
    reader->rc = history_open(reader->path, &history, NULL);
    while (reader->rc == 0 && !reader->stop) {
        struct history_page page;

        reader->rc = history_changes(history, CHANGE_SERIES, 0, seq, 1000, &page, NULL);
        if (reader->rc < 0)
            break;
        if (cJSON_GetArraySize(page.points) != cJSON_GetArraySize(page.scalars) ||
            page.n_items != page.reached - seq)
            reader->consistent = false;
        seq = page.reached;
        history_page_release(&page);
        reader->n_reads++;
    }
    history_close(history);
    return NULL;
}

static void readers_see_whole_transactions_while_the_writer_writes(void **state)
{
    struct fixture *f = *state;
    struct record *r = open_run(f, "a", NULL, NULL, "w");
    struct reader readers[2] = {{.path = f->path}, {.path = f->path}};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, read_on, &readers[i]);
    for (uint64_t i = 0; i < 400; i++) {
        struct record *batch[2] = {record_of(r, RECORD_CHECKPOINT, 2 * i + 1, (int64_t)i),
                                   record_of(r, RECORD_LOG, 2 * i + 2, (int64_t)i)};

        record_add_point(batch[0], "head", 0.5);
        record_add_scalar(batch[1], "loss", 0.5);
        assert_int_equal(apply_many(f->store, batch, 2), 0);
        record_free(batch[0]);
        record_free(batch[1]);
    }
    for (int i = 0; i < 2; i++) {
        readers[i].stop = true;
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].rc, 0);
        assert_true(readers[i].consistent);
        assert_true(readers[i].n_reads > 1);
    }
    record_free(r);
}

static void a_history_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct history *none;
    struct err e;

    assert_int_equal(history_open("/nonexistent/history.db", &none, &e), -EIO);
    assert_null(none);
    assert_int_equal(history_open(scratch_path(f->directory, "no.db"), &none, &e), -EIO);
    assert_non_null(strstr(e.text, "no.db"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- spectra ------------------------------------------------------------------------------- */

static double first_rho(struct fixture *f, const char *layer, int64_t step)
{
    struct feed_spectrum_query query = {.run = "a", .layer = layer, .step = step};
    struct err e = {0};
    cJSON *out;
    double rho;

    if (history_spectrum(f->history, &query, &out, &e) < 0)
        fail_msg("%s", e.text);
    rho = atof(cJSON_GetObjectItem(out, "rho")->child->valuestring); /* raw: it is not parsed */
    cJSON_Delete(out);
    return rho;
}

static void expect_no_spectrum(struct fixture *f, const char *layer, int64_t step, int rc,
                               const char *text)
{
    struct feed_spectrum_query query = {.run = "a", .layer = layer, .step = step};
    struct err e = {0};
    cJSON *out;

    assert_int_equal(history_spectrum(f->history, &query, &out, &e), rc);
    assert_null(out);
    assert_non_null(strstr(e.text, text));
}

static void a_spectrum_comes_back_to_the_last_bit(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w");
    struct feed_spectrum_query query = {.run = "a", .step = -1};
    struct err e = {0};
    cJSON *out;
    char *text;

    spectrum_at(f, a, 1, 10, "head", 1.0 / 3);
    assert_int_equal(history_spectrum(f->history, &query, &out, &e), 0);
    text = json_print(out);
    assert_string_equal(text, "{\"run\":\"a\",\"layer\":\"head\",\"attempt\":1,\"step\":10,"
                              "\"n\":1024,\"p\":128,\"rank\":2,\"rank_targets\":1,"
                              "\"centred\":true,\"few_rows\":false,\"total\":7.5,"
                              "\"rho\":[0.3333333333333333,0.1,1e-17],\"u\":[1,0.5,null],"
                              "\"q\":[0.25,0,null],\"pi_hat\":[0.5,0.75,0.75],"
                              "\"pi_star\":[0.25,0.25,0.25]}");
    cJSON_free(text);
    cJSON_Delete(out);
    record_free(a);
}

static void the_latest_spectrum_is_the_default(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w");

    spectrum_at(f, a, 1, 10, "head", 1);
    spectrum_at(f, a, 2, 20, "head", 2);
    checkpoint(f, a, 3, 30, 0.5);
    assert_true(first_rho(f, NULL, -1) == 2);
    assert_true(first_rho(f, "head", 10) == 1);
    expect_no_spectrum(f, NULL, 30, -ENOENT, "no spectrum at step 30");
    expect_no_spectrum(f, "tail", -1, -ENOENT, "no layer \"tail\"");
    spectrum_at(f, a, 4, 40, "tail", 4);
    expect_no_spectrum(f, NULL, -1, -EINVAL, "2 layers");
    assert_true(first_rho(f, "tail", -1) == 4);
    record_free(a);
}

static void a_run_without_a_spectrum_says_so(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w");

    checkpoint(f, a, 1, 10, 0.5);
    expect_no_spectrum(f, NULL, -1, -ENOENT, "no spectrum was asked for");
    record_free(a);
}

static void a_spectrum_goes_with_its_point(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w");

    spectrum_at(f, a, 1, 10, "head", 1);
    spectrum_at(f, a, 2, 10, "head", 2);
    assert_true(first_rho(f, NULL, 10) == 2);
    checkpoint(f, a, 3, 10, 0.5);
    expect_no_spectrum(f, NULL, 10, -ENOENT, "no spectrum at step 10");
    record_free(a);
}

static void a_newer_attempt_supersedes_spectra(void **state)
{
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w"), *b;

    spectrum_at(f, a, 1, 10, "head", 1);
    spectrum_at(f, a, 2, 20, "head", 2);
    b = open_run(f, "a", "a", "p", "v");
    checkpoint(f, b, 1, 15, 0.5);
    assert_true(first_rho(f, NULL, -1) == 1);
    expect_no_spectrum(f, NULL, 20, -ENOENT, "no spectrum at step 20");
    record_free(a);
    record_free(b);
}

static double separation_of(struct fixture *f, const char *name)
{
    struct err e = {0};
    cJSON *out;
    double value;

    assert_int_equal(asked_layer_list(f->history, &(struct feed_run){"a"}, &out, &e), 0);
    out = reparse(out);
    value = cJSON_IsNull(at(out, name)) ? (double)NAN : at(out, name)->valuedouble;
    cJSON_Delete(out);
    return value;
}

/* Checkpoints of three layers, but the last one's label is missing at first. */
static void layers_of_the_latest_checkpoint_follow_the_law_of_separation(void **state)
{
    static const char *const names[] = {"third", "first", "second"};
    struct fixture *f = *state;
    struct record *a = open_run(f, "a", "a", "p", "w");

    for (uint64_t step = 1; step <= 2; step++) {
        struct record *r = record_of(a, RECORD_CHECKPOINT, step, (int64_t)step);

        for (int i = 0; i < 3; i++)
            record_add_point(r, names[i], 0.5)->point.value[METRIC_NC1] =
                step == 1 && i == 2 ? (double)NAN : 8 * exp(-2. * i);
        assert_int_equal(apply(f->store, r), 0);
        record_free(r);
        assert_true(separation_of(f, "separation.layers") == (step == 1 ? 2 : 3));
        assert_true(step == 2 || isnan(separation_of(f, "separation.slope")));
    }
    assert_true(fabs(separation_of(f, "separation.slope") + 2) < 1e-14);
    assert_true(fabs(separation_of(f, "separation.r2") - 1) < 1e-14);
    record_free(a);
}

/* Rows of one layer out of `n`, when a query names so many of the measures. */
static int64_t share_of(size_t n, int n_metrics)
{
    struct feed_range range = {.limit = FEED_ROWS_MAX};
    struct selection sel = {.range = &range};

    for (int i = 0; i < n_metrics; i++)
        sel.metrics[i] = true;
    selection_share_rows(&sel, n, selection_point_columns(&sel));
    assert_true((size_t)sel.max_rows * selection_point_columns(&sel) * n <= HISTORY_ANSWER_VALUES);
    return sel.max_rows;
}

static void an_answer_is_bounded_by_its_values(void **state)
{
    (void)state;
    assert_true(share_of(1, 1) > 50000);
    assert_true(share_of(1, METRIC_COUNT) > 15000);
    assert_true(share_of(10, METRIC_COUNT) > 1500);
    assert_int_equal(share_of(1, METRIC_COUNT) / 10, share_of(10, METRIC_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_are_listed_newest_first),
        TEST(runs_are_searched_in_all_their_texts),
        TEST(runs_are_ordered_by_their_last_change),
        TEST(runs_are_found_by_what_they_were_configured_with),
        TEST(runs_are_sorted_by_what_came_of_them),
        TEST(a_value_is_its_extreme_or_that_up_to_a_step),
        TEST(a_value_is_not_that_of_evaluation),
        TEST(runs_come_with_the_values_that_are_asked_for),
        TEST(an_edited_run_is_shown_and_found_as_edited),
        TEST(a_list_shows_each_change),
        TEST(a_list_shows_which_ranks_are_open),
        TEST(a_spectrum_comes_back_to_the_last_bit),
        TEST(the_latest_spectrum_is_the_default),
        TEST(a_run_without_a_spectrum_says_so),
        TEST(a_spectrum_goes_with_its_point),
        TEST(a_newer_attempt_supersedes_spectra),
        TEST(a_run_shows_what_is_known_of_it),
        TEST(a_run_is_where_its_newest_attempt_is),
        TEST(a_run_is_found_by_id_path_or_newest_name),
        TEST(layers_show_their_latest_point),
        TEST(layers_of_the_latest_checkpoint_follow_the_law_of_separation),
        TEST(a_short_series_is_given_point_by_point),
        TEST(what_a_series_does_not_know_is_named),
        TEST(a_newer_attempt_supersedes_later_points),
        TEST(an_attempt_from_the_start_supersedes_everything),
        TEST(a_long_series_is_binned_and_keeps_its_spike),
        TEST(an_answer_is_bounded_by_its_values),
        TEST(pages_give_every_row_once_over_all_attempts),
        TEST(a_page_that_holds_the_last_row_is_the_last),
        TEST(scalars_are_joined_by_attempt_and_step),
        TEST(scalars_are_given_by_name),
        TEST(a_snapshot_holds_the_latest_of_everything),
        TEST(events_are_those_that_overlap_the_steps),
        TEST(a_newer_attempt_supersedes_events),
        TEST(an_event_that_returns_is_told_again),
        TEST(a_return_that_is_superseded_is_taken_back),
        TEST(a_series_says_how_many_points_it_has),
        TEST(where_d_debiased_is_null_d_lr_is_watched_in_its_place),
        TEST(a_point_keeps_an_event_of_each_metric),
        TEST(an_accuracy_that_rises_beside_it_agrees),
        TEST(events_have_the_cursor_of_the_series),
        TEST(changes_come_in_order_and_once),
        TEST(a_page_passes_over_a_bounded_number_of_rows),
        TEST(readers_see_whole_transactions_while_the_writer_writes),
        TEST(a_history_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
