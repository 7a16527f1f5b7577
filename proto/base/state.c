#include "proto/base/state.h"

#include <stddef.h>
#include <string.h>

const char *const state_names[] = {
    [STATE_OPEN] = "open",
    [STATE_FINISHED] = "finished",
    [STATE_FAILED] = "failed",
    [STATE_LOST] = "lost",
    NULL,
};

const char *state_name(int state)
{
    return state_names[state >= 0 && state < STATE_COUNT ? state : STATE_LOST];
}

int state_find(const char *name)
{
    for (int i = 0; i < STATE_COUNT; i++) {
        if (strcmp(state_names[i], name) == 0)
            return i;
    }
    return -1;
}
