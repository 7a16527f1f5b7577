#include "daemon/core/monitor/member.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The peer hears of its credit in steps of this share of the window: often enough never to starve,
 * seldom enough not to matter. */
#define CREDIT_STEPS 8

struct member *member_new(struct run *run, const char *writer, peer_id peer)
{
    struct member *member = calloc(1, sizeof *member);

    if (!member)
        return NULL;
    list_init(&member->link);
    list_init(&member->peer_link);
    list_init(&member->waiting);
    member->run = run;
    member->last_step = -1;
    member->expected = true;
    member->peer = peer;
    member->writer = strdup(writer);
    if (!member->writer) {
        free(member);
        return NULL;
    }
    return member;
}

void member_move(struct member *member, enum member_state state)
{
    static const bool allowed[MEMBER_STATE_COUNT][MEMBER_STATE_COUNT] = {
        [MEMBER_OPEN] = {[MEMBER_CLOSED] = true, [MEMBER_LOST] = true},
        [MEMBER_AWAY] = {[MEMBER_OPEN] = true, [MEMBER_CLOSED] = true},
        [MEMBER_CLOSED] = {[MEMBER_OPEN] = true},
        [MEMBER_LOST] = {[MEMBER_OPEN] = true, [MEMBER_CLOSED] = true},
    };

    assert(allowed[member->state][state]);
    member->state = state;
}

void member_free(struct member *member)
{
    if (!member)
        return;
    assert(list_empty(&member->waiting));
    list_remove(&member->link);
    list_remove(&member->peer_link);
    free(member->writer);
    free(member);
}

void member_start_credit(struct member *member)
{
    member->granted =
        member->credit_bytes > member->held_bytes ? member->credit_bytes - member->held_bytes : 0;
    member->granted_sent = member->granted;
    member->received = 0;
}

void member_grant(struct member *member, uint64_t window_bytes, struct actions *out)
{
    uint64_t room = window_bytes > member->held_bytes ? window_bytes - member->held_bytes : 0;

    if (member->received + room > member->granted)
        member->granted = member->received + room;
    assert(member->granted >= member->granted_sent);
    if (member->granted - member->granted_sent >= member->credit_bytes / CREDIT_STEPS)
        member_send_credit(member, out);
}

void member_send_credit(struct member *member, struct actions *out)
{
    struct action *action = member->peer && member->granted != member->granted_sent
                                ? actions_add(out, ACT_PROGRESS, member->peer)
                                : NULL;

    if (!action)
        return;
    action->granted = member->granted;
    member->granted_sent = member->granted;
}
