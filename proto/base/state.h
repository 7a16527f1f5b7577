/* The state of a run, and of each of its attempts, as the store keeps it and readers get it.
 * Constant data, any thread. run.h knows where a run is on its way through the daemon. Tested by
 * test_base.c. */
#pragma once

/* Stored as numbers, in this order for good. */
enum state {
    STATE_OPEN,     /* a trainer is connected */
    STATE_FINISHED, /* it said "finished" */
    STATE_FAILED,   /* it said "failed" */
    STATE_LOST,     /* it went without a word, or a newer attempt took the run */
    STATE_COUNT,
};

/* By state: "open", "finished", "failed", "lost"; NULL behind the last. */
extern const char *const state_names[];

/* The state's name. A number that is no state is "lost": the file may have been edited. */
const char *state_name(int state);
/* The state of that name, or -1. */
int state_find(const char *name);
