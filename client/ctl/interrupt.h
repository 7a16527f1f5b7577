/* Ctrl-C for commands that run until told to stop: remembered, not deadly, and noticed without a
 * race by whoever waits with interrupt_mask(). The process has one; only its single thread calls.
 * What ending means is left to the command. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/* From now on SIGINT and SIGTERM are remembered, and delivered only inside ppoll. */
void interrupt_watch(void);

/* True once one has come. */
bool interrupt_pending(void);

/* The mask to wait with, or NULL while nobody watches. */
const sigset_t *interrupt_mask(void);
