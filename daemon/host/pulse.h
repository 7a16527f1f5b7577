/* Whether a thread that was given work moves on with it: the rule by which systemd's watchdog is
 * petted, for one piece of work. Owns nothing, neither the work nor the thread. The loop hands work
 * over and looks once a tick; the thread says when it begins. What is done about a thread that is
 * stuck, its caller decides.
 *
 * A thread moves while it uses processor time, however slow the machine, and however long its one
 * call of LAPACK. It is stuck when it used none for so many looks, as in a disk or a lock that
 * hangs, or when it used far more than its work can need, as in a loop without an end. Ticks count,
 * not seconds: nothing of a process that was stopped is stuck. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct pulse {
    double cpu_s_max; /* the work cannot need more processor time */
    double seen_s;    /* at the last look */
    unsigned still;   /* looks since it used any */
    atomic_bool begun;
    double began_s; /* the thread's, as the two below; the loop reads them when `begun` is set */
    clockid_t clock;
};

/* The loop hands the work over to a thread that will take it soon. */
void pulse_start(struct pulse *, double cpu_s_max);
/* The thread begins. */
void pulse_begin(struct pulse *);
/* Processor time that the thread has used since it began, in seconds; 0 before. The loop asks,
 * while the work is out. */
double pulse_used_s(const struct pulse *);

/* The rule: the work has used `used_s` by now. Whether it is stuck, as it is after `still_max`
 * looks without any, or beyond its maximum. */
bool pulse_look(struct pulse *, double used_s, unsigned still_max);
/* pulse_look with what the thread has used. */
bool pulse_is_stuck(struct pulse *, unsigned still_max);
