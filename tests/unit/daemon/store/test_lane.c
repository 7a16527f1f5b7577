/* The lane takes its turns: what waits for a commit, and what is done beside. */
#include "daemon/store/lane.h"

#include "tests/lib/cmocka.h"

#include <stdint.h>
#include <string.h>
#include <uv.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/block.h"
#include "daemon/store/store.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/records.h"

static size_t n_stored;

static void on_stored(void *arg, struct record *record)
{
    (void)arg;
    assert_int_equal(record->rc, 0);
    record_free(record);
    n_stored++;
}

static struct record *log_of(const struct record *run, uint64_t seq)
{
    struct record *record = record_of(run, RECORD_LOG, seq, (int64_t)seq);

    record_add_scalar(record, "loss", 1.0 / (double)seq);
    return record;
}

/* Each tick finds a commit under way, and the next record comes only when it is done. */
static void points_are_summed_up_between_commits(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *group[BLOCK_POINTS];
    struct store_lane *lane;
    uv_loop_t loop;
    uint64_t seq = 0;

    assert_int_equal(apply(f->store, run), 0);
    for (int i = 0; i < BLOCK_POINTS; i++)
        group[i] = log_of(run, ++seq);
    assert_int_equal(apply_many(f->store, group, BLOCK_POINTS), 0);
    for (int i = 0; i < BLOCK_POINTS; i++)
        record_free(group[i]);
    store_close(f->store);
    f->store = NULL;
    history_fixture_run(f, "DELETE FROM block");

    n_stored = 0;
    uv_loop_init(&loop);
    assert_int_equal(store_lane_open(&loop, f->path, on_stored, NULL, &lane, NULL), 0);
    for (size_t i = 1; i <= 3; i++) {
        store_lane_put(lane, log_of(run, ++seq));
        store_lane_sweep(lane);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(n_stored, i);
    }
    store_lane_close(lane);
    uv_loop_close(&loop);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM block WHERE name = ''"), 1);
    record_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(points_are_summed_up_between_commits,
                                        history_fixture_set_up, history_fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
