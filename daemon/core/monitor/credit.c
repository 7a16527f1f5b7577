#include "daemon/core/monitor/parts.h"

#include <assert.h>

/* How much each connection may send, of the memory that all share (config.budget_bytes).
 *
 * A member has a window: what the daemon holds of it, and what it may still send, stay within. A
 * window is claimed when the member opens, and when it sends again after a pause; it is a share of
 * what the others have not claimed. Who sends nothing for CREDIT_IDLE_TICKS has none of the budget.
 * What was granted to it before cannot be taken back, so the sum of all grants may be more than the
 * budget: thousands of runs that send little find room. What is held is never more. The windows of
 * those who send shrink while memory fills, and a batch for which there is no room is refused. */

/* A window is this share of what is left: a sweep of forty runs finds 24 MiB each in 3 GiB, and a
 * single run is not held back. */
#define CREDIT_SHARE 16
/* Seconds between two checkpoints at which a loop may still be called busy. */
#define CREDIT_IDLE_TICKS 10

static uint64_t share_of(uint64_t left)
{
    if (left / CREDIT_SHARE > MONITOR_CREDIT_MAX)
        return MONITOR_CREDIT_MAX;
    return left / CREDIT_SHARE > MONITOR_CREDIT_MIN ? left / CREDIT_SHARE : MONITOR_CREDIT_MIN;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* A window that does not count grows with its share: its trainer may have a message that is larger.
 * It never becomes smaller, since the trainer counts on what it was granted first. */
static void widen(const struct monitor *monitor, struct member *member)
{
    uint64_t share = share_of(minus(monitor->config.budget_bytes, monitor->credit_claimed));

    if (share > member->credit_bytes)
        member->credit_bytes = share;
}

void monitor_claim_credit(struct monitor *monitor, struct member *member)
{
    member->idle_ticks = 0;
    if (member->claims)
        return;
    widen(monitor, member);
    member->claims = true;
    monitor->credit_claimed += member->credit_bytes;
}

void monitor_yield_credit(struct monitor *monitor, struct member *member)
{
    if (!member->claims)
        return;
    assert(monitor->credit_claimed >= member->credit_bytes);
    member->claims = false;
    monitor->credit_claimed -= member->credit_bytes;
}

uint64_t monitor_room(const struct monitor *monitor)
{
    assert(monitor->stats.buffered_bytes <= monitor->config.budget_bytes);
    return monitor->config.budget_bytes - monitor->stats.buffered_bytes;
}

bool monitor_holds_much(const struct monitor *monitor, const struct member *member)
{
    return member->held_bytes >= member->credit_bytes / 2 ||
           monitor_room(monitor) < monitor->config.budget_bytes / 2;
}

void monitor_return_credit(struct monitor *monitor, struct member *member, struct actions *out)
{
    uint64_t window = share_of(monitor_room(monitor));

    member_grant(member, window < member->credit_bytes ? window : member->credit_bytes, out);
}

void monitor_tick_credit(struct monitor *monitor, struct member *member, struct actions *out)
{
    if (member->held_bytes == 0 && ++member->idle_ticks >= CREDIT_IDLE_TICKS)
        monitor_yield_credit(monitor, member);
    if (member->peer && !member->claims)
        widen(monitor, member);
    monitor_return_credit(monitor, member, out);
    member_send_credit(member, out);
}
