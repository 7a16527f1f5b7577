#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A rank of a job opens the run. The first of a launch opens an attempt, as a lone trainer does
 * (open.c); each further one joins it here. RECORD_JOIN writes it down, in the order of the
 * journal, so a new member need not wait for it: whatever it sends is stored behind it.
 *
 *     nobody has the rank          a new member
 *     the same writer              it reconnects, or comes back
 *     another writer               the rank was started again alone: it takes the place over
 *     one who was welcomed before  it was replaced, and is fenced
 *
 * The last two are told apart by the attempt, which only one knows who was welcomed. So who takes a
 * rank over is welcomed when that is on disk: after any restart the store has the newest writer
 * that was welcomed. While the run is being opened the store has not said yet who that is. */

static int refuse(struct nack *nack, enum nack_code code, const char *text)
{
    nack_set(nack, code, "%s", text);
    nack->fatal = true;
    return -1;
}

/* All ranks have closed, which is on disk, and this writer is none of them: rows that are folded
 * still are all that remains. */
static bool has_ended(const struct run *run, const char *writer)
{
    if (run->state != RUN_LEAVING || run->n_members < run->world || run->n_waiting > 0 ||
        !list_empty(&run->journal))
        return false;
    LIST_EACH(at, &run->members)
    {
        const struct member *member = LIST_ENTRY(at, struct member, link);

        if (member->state != MEMBER_CLOSED || strcmp(member->writer, writer) == 0)
            return false;
    }
    return true;
}

struct run *monitor_run_of_launch(const struct monitor *monitor, const char *id, const char *launch,
                                  const char *writer)
{
    LIST_EACH(at, &monitor->runs)
    {
        struct run *run = LIST_ENTRY(at, struct run, link);

        if (run->state != RUN_OVER && run->launch && strcmp(run->id, id) == 0 &&
            strcmp(run->launch, launch) == 0 && !has_ended(run, writer))
            return run;
    }
    return NULL;
}

/* Another writer of a rank that has one. */
static int check_writer(const struct run *run, const struct record_open *open,
                        const struct member *member, struct nack *nack)
{
    if (open->attempt == 0 || strcmp(member->writer, open->writer) == 0)
        return 0;
    if (run->state == RUN_OPENING && member->was_welcomed)
        return refuse(nack, NACK_EBUSY, "the rank has two writers, and the run is being opened");
    return nack_set(nack, NACK_EFENCED, "rank %" PRIu32 " of run %s was started again", open->rank,
                    run->id);
}

/* Whether this peer may speak for that rank of the run, which is here. */
static int check_join(const struct run *run, const struct record_open *open,
                      const struct member *mine, struct nack *nack)
{
    const struct member *member = run_member(run, open->rank);

    if (mine && (mine != member || strcmp(mine->writer, open->writer) != 0))
        return refuse(nack, NACK_EPROTO, "this connection has opened a run already");
    if (open->world != run->world) {
        nack_set(nack, NACK_EPROTO,
                 "rank %" PRIu32 " says that %" PRIu32 " ranks were launched, others say %" PRIu32,
                 open->rank, open->world, run->world);
        nack->fatal = true;
        return -1;
    }
    if (member && check_writer(run, open, member, nack) < 0)
        return -1;
    if (open->attempt != 0 && run->state != RUN_OPENING && open->attempt != run->attempt)
        return nack_set(nack, NACK_ENOENT, "attempt %" PRIu32 " of run %s is of another launch",
                        open->attempt, run->id);
    if (!member && run->n_members >= RUN_MEMBERS_MAX) {
        nack_set(nack, NACK_EBUSY, "%d members have joined, no more are taken", RUN_MEMBERS_MAX);
        nack->fatal = true;
        return -1;
    }
    return 0;
}

static void fence(struct monitor *monitor, struct member *member, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EFENCED, "rank %" PRIu32 " of run %s was started again", member->rank,
             member->run->id);
    actions_refuse(out, member->peer, &nack);
    monitor_bind_peer(monitor, member, 0);
}

/* The old writer of the rank is gone, or is told so. */
static int take_over(struct monitor *monitor, struct member *member, const char *writer,
                     struct actions *out)
{
    if (run_renew_member(member->run, member, writer) < 0)
        return -1;
    member->takes_over = true;
    monitor_drop_waiting(monitor, member, out);
    fence(monitor, member, out);
    return 0;
}

static struct member *add_member(struct run *run, const struct record_open *open)
{
    struct member *member = run_add_member(run, open->rank, open->writer, 0);

    if (!member)
        return NULL;
    member->state = MEMBER_AWAY;
    member->was_welcomed = open->attempt != 0;
    return member;
}

/* The member is here, and the store hears of it. */
static int come(struct monitor *monitor, struct member *member, double time, struct actions *out)
{
    struct run *run = member->run;
    struct record *record = record_new(RECORD_JOIN, run->id);
    struct journal_entry *entry;

    if (record)
        record->open.writer = strdup(member->writer);
    entry = record && record->open.writer ? run_new_entry(run, member, record, 0) : NULL;
    if (!entry) {
        record_free(record);
        return -1;
    }
    if (member->state != MEMBER_OPEN)
        member_move(member, MEMBER_OPEN);
    record->time = time;
    member->expected = member->joined = true;
    if (run->state == RUN_LEAVING)
        run_move(run, RUN_OPEN);
    monitor_take_in_turn(monitor, entry, out);
    return 0;
}

/* The member of that open, ready to be bound; NULL without memory. */
static struct member *member_for(struct monitor *monitor, struct run *run,
                                 const struct record_open *open, double time, struct actions *out)
{
    struct member *member = run_member(run, open->rank);
    bool is_new = !member, is_other = member && strcmp(member->writer, open->writer) != 0;

    if (is_new)
        member = add_member(run, open);
    if (!member || (is_other && take_over(monitor, member, open->writer, out) < 0))
        return NULL;
    if (run->state == RUN_OPENING && member->state != MEMBER_OPEN)
        member_move(member, MEMBER_OPEN);
    else if (run->state != RUN_OPENING && !member->joined && come(monitor, member, time, out) < 0)
        return NULL;
    return member;
}

void monitor_join(struct monitor *monitor, struct run *run, const struct event *event,
                  struct actions *out)
{
    const struct record_open *open = &event->open.record->open;
    const struct member *mine = monitor_member_of_peer(monitor, event->peer);
    struct member *member;
    struct nack nack;

    if (check_join(run, open, mine, &nack) < 0) {
        actions_refuse(out, event->peer, &nack);
        return;
    }
    member = member_for(monitor, run, open, event->time, out);
    if (member) {
        monitor_reconnect(monitor, member, event->peer, out);
        return;
    }
    refuse(&nack, NACK_EBUSY, "the daemon is out of memory");
    actions_refuse(out, event->peer, &nack);
}

void monitor_on_joined(const struct journal_entry *entry, struct actions *out)
{
    struct member *member = entry->member;

    if (!member->takes_over || entry->record->senders[0].epoch != member->epoch)
        return;
    member->takes_over = false;
    if (member->peer && entry->run->state != RUN_OVER)
        monitor_welcome(member, out);
}

/* Those who joined while the attempt was being opened. */
void monitor_welcome_members(struct monitor *monitor, struct run *run, double time,
                             struct actions *out)
{
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);
        struct nack nack;

        if (member->is_fenced)
            fence(monitor, member, out);
        member->is_fenced = false;
        if (member->state == MEMBER_AWAY)
            continue;
        if (member->joined || come(monitor, member, time, out) == 0) {
            if (!member->takes_over)
                monitor_welcome(member, out);
            continue;
        }
        refuse(&nack, NACK_EBUSY, "the daemon is out of memory");
        actions_refuse(out, member->peer, &nack);
        monitor_bind_peer(monitor, member, 0);
    }
}

void monitor_leave(struct member *member, enum member_state state)
{
    struct run *run = member->run;

    if (member->state != state)
        member_move(member, state);
    LIST_EACH(at, &run->members)
    {
        if (LIST_ENTRY(at, struct member, link)->state == MEMBER_OPEN)
            return;
    }
    if (run->state == RUN_OPEN)
        run_move(run, RUN_LEAVING);
}
