#include "tests/lib/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/event.h"
#include "tests/lib/core/parcel.h"
#include "tests/lib/fault.h"

#define PEER 7

static void actions_keep_their_order_however_many(void **state)
{
    struct actions actions;

    (void)state;
    actions_init(&actions);
    for (uint64_t i = 0; i < 100; i++)
        actions_add(&actions, ACT_ACK, PEER)->seq = i;
    assert_int_equal(actions.n, 100);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(actions.items[i].seq, i);
    actions_release(&actions);
    assert_int_equal(actions.n, 0);
}

static void an_action_without_memory_is_remembered(void **state)
{
    struct actions actions;

    (void)state;
    actions_init(&actions);
    fault_arm(1);
    assert_null(actions_add(&actions, ACT_ACK, PEER));
    assert_true(fault_disarm());
    assert_true(actions.out_of_memory);
    assert_int_equal(actions.n, 0);
    actions_release(&actions);
}

static void a_refusal_knows_its_code_and_whether_it_ends_the_connection(void **state)
{
    struct actions actions;
    struct nack nack;

    (void)state;
    actions_init(&actions);
    assert_int_equal(nack_set(&nack, NACK_EHELD, "attempt %d is held", 3), -1);
    assert_true(nack.fatal);
    assert_int_equal(nack_set(&nack, NACK_ESHAPE, "%s", "no"), -1);
    assert_false(nack.fatal);
    nack.batch = 5;
    actions_refuse(&actions, PEER, &nack);
    memset(&nack, 0, sizeof nack); /* a copy was sent */
    assert_int_equal(actions.n, 1);
    assert_int_equal(actions.items[0].type, ACT_NACK);
    assert_int_equal(actions.items[0].peer, PEER);
    assert_int_equal(actions.items[0].nack->code, NACK_ESHAPE);
    assert_int_equal(actions.items[0].nack->batch, 5);
    assert_string_equal(actions.items[0].nack->why.text, "no");
    free(actions.items[0].nack);
    actions_release(&actions);
}

static void a_refusal_that_nobody_hears_is_dropped(void **state)
{
    struct actions actions;
    struct nack nack;

    (void)state;
    actions_init(&actions);
    nack_set(&nack, NACK_EBUSY, "later");
    actions_refuse(&actions, 0, &nack);
    fault_arm(1);
    actions_refuse(&actions, PEER, &nack);
    assert_true(fault_disarm());
    assert_int_equal(actions.n, 0);
    assert_false(actions.out_of_memory); /* it was a courtesy */
    actions_release(&actions);
}

static void released_batches_come_out_once_in_order(void **state)
{
    struct parcel *first = parcel_new(PARCEL_F32, "head", 2, 1, 3, 1);
    struct parcel *second = parcel_new(PARCEL_F32, "head", 2, 1, 3, 2);
    struct actions actions;

    (void)state;
    actions_init(&actions);
    actions_release_batch(&actions, &first->batch);
    actions_release_batch(&actions, &second->batch);
    assert_ptr_equal(actions_next_released(&actions), &first->batch);
    assert_ptr_equal(actions_next_released(&actions), &second->batch);
    assert_null(actions_next_released(&actions));
    parcel_free(first);
    parcel_free(second);
    actions_release(&actions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_keep_their_order_however_many),
        cmocka_unit_test(an_action_without_memory_is_remembered),
        cmocka_unit_test(a_refusal_knows_its_code_and_whether_it_ends_the_connection),
        cmocka_unit_test(a_refusal_that_nobody_hears_is_dropped),
        cmocka_unit_test(released_batches_come_out_once_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
