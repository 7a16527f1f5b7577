/* The daemon's place among the programs that want a core: behind a training. Owns nothing; main's
 * thread, before any other exists, because a thread begins with the priority of the one that makes
 * it. Which niceness it is, config.h says. */
#pragma once

#include "proto/base/err.h"

/* What it is without a request: a ninth of the processor time that a training gets on the same
 * core (weight 110 beside 1,024), so that the daemon still answers pings and measures. */
#define NICE_DEFAULT "10"

/* A niceness as an option has it: 0 to 19. Returns it, or -EBADMSG with a text that names it. */
int priority_read(const char *text, struct err *);

/* Gives this process at least this niceness, and SCHED_BATCH: its threads, when they wake up, do
 * not push a running training off its core. A niceness that is higher already stays. Returns 0, or
 * -errno where the system forbids either; the daemon then works on as it is. */
int priority_lower(int nice, struct err *);
