/* A daemon of a benchmark's own, in a folder of its own: the program build/richd beside this one.
 * One thread. The socket of its feed is feed.sock in the folder, which is its runtime directory. */
#pragma once

#include <sys/types.h>

struct bench_daemon {
    char folder[64];
    pid_t pid;
};

/* Starts it, and does not wait for it. It ends with the benchmark. */
void bench_daemon_start(struct bench_daemon *);
/* Ends it, and removes its folder. */
void bench_daemon_stop(struct bench_daemon *);

/* Where other work must not disturb us (nice -n -15), it must not disturb the daemon: its threads
 * are lifted as well, out of SCHED_BATCH, too, by which a thread that wakes up waits for the
 * others' slices. */
void bench_daemon_lift(const struct bench_daemon *);

/* Seconds that processors worked for it. */
double bench_daemon_cpu_s(const struct bench_daemon *);
