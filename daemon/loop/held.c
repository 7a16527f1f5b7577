#include <stdio.h>
#include <stdlib.h>

#include "daemon/loop/parts.h"

/* --ack history: what is on this host's disk is shown at once, and acknowledged when the shared
 * history has it. An acknowledgement names its message, so the order of two does not matter. What
 * has a place in the feed waits until the history has come so far; the rest, and what was sent
 * again, until the history has all that was committed when it came. A trainer that goes away
 * sends again on its next connection what was not acknowledged. Tested by
 * test_acknowledged_when_the_history_has_it.py. */

/* Points that wait with their acknowledgement, which a trainer is told with it: 70 MB. Behind them
 * messages are acknowledged without their points. */
#define HELD_POINTS_MAX 100000

struct held {
    struct list link;
    uint64_t until;        /* the feed's number, or the commits */
    struct record *record; /* NULL: the two below */
    peer_id peer;
    uint64_t seq;
};

void loop_init_held(struct loop *loop)
{
    list_init(&loop->held_by_feed);
    list_init(&loop->held_by_commits);
}

bool loop_holds_acks(const struct loop *loop)
{
    return loop->config->acks_by_history && loop->share;
}

/* 0: it has no place in the feed, or an old one. */
static uint64_t place_of(const struct record *record)
{
    uint64_t place = 0;

    if (record->kind == RECORD_RECALL)
        return 0;
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].measured && record->points[i].feed_seq > place)
            place = record->points[i].feed_seq;
    }
    for (size_t i = 0; i < record->n_scalars; i++) {
        if (record->scalar_feed_seqs[i] > place)
            place = record->scalar_feed_seqs[i];
    }
    return place;
}

/* Takes the record. */
static void hold(struct loop *loop, struct record *record, peer_id peer, uint64_t seq,
                 uint64_t place)
{
    struct held *held = calloc(1, sizeof *held);

    if (!held) {
        record_free(record);
        loop_fail(loop, "out of memory");
        return;
    }
    *held = (struct held){.record = record, .peer = peer, .seq = seq, .until = place};
    loop->n_held++;
    loop->n_held_points += record ? record->n_points : 0;
    if (place == 0)
        held->until = store_commits(store_lane_store(loop->store));
    list_append(place ? &loop->held_by_feed : &loop->held_by_commits, &held->link);
    share_tell_reached(loop->share); /* it may be there already */
}

void loop_hold_ack(struct loop *loop, peer_id peer, uint64_t seq)
{
    hold(loop, NULL, peer, seq, 0);
}

/* What else it has may be large. */
static void lighten(struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        struct layer_point *point = &record->points[i];

        spectrum_free(point->spectrum);
        probe_release(&point->probe);
        representation_release(&point->representation);
        point->spectrum = NULL;
    }
}

void loop_hold_record(struct loop *loop, peer_id peer, struct record *record)
{
    uint64_t place = place_of(record);

    if (loop->n_held_points + record->n_points <= HELD_POINTS_MAX) {
        lighten(record);
        hold(loop, record, peer, 0, place);
        return;
    }
    if (record->n_senders == 0)
        hold(loop, NULL, peer, record->seq, place);
    for (size_t i = 0; i < record->n_senders; i++)
        hold(loop, NULL, record->senders[i].peer, record->senders[i].seq, place);
    record_free(record);
}

static void let_go(struct loop *loop, struct held *held, bool sends)
{
    list_remove(&held->link);
    loop->n_held--;
    loop->n_held_points -= held->record ? held->record->n_points : 0;
    if (sends && held->record)
        ingest_send_record_acks(loop->ingest, held->peer, held->record);
    else if (sends)
        ingest_send_ack(loop->ingest, held->peer, held->seq);
    record_free(held->record);
    free(held);
}

/* Both lists are in the order of what they wait for. */
static void let_go_until(struct loop *loop, struct list *list, uint64_t reached, bool sends)
{
    LIST_EACH_SAFE(at, list)
    {
        struct held *held = LIST_ENTRY(at, struct held, link);

        if (held->until > reached)
            return;
        let_go(loop, held, sends);
    }
}

void loop_release_acks(void *arg, uint64_t feed_seq, uint64_t commits)
{
    struct loop *loop = arg;
    bool sends = loop->ingest && loop->exit_code == 0;

    let_go_until(loop, &loop->held_by_feed, feed_seq, sends);
    let_go_until(loop, &loop->held_by_commits, commits, sends);
}

void loop_drop_acks(struct loop *loop)
{
    let_go_until(loop, &loop->held_by_feed, UINT64_MAX, false);
    let_go_until(loop, &loop->held_by_commits, UINT64_MAX, false);
}
