/* The engine: every run, layer, batch and checkpoint there is, stepped by events. It owns them all,
 * is called from the loop thread alone, and never reads a clock, draws a random number, logs, or
 * touches a socket: time and bytes arrive in events, everything to be done leaves as actions. So
 * the whole protocol can be run with a seed, a fake clock and a store that fails (tests/sim).
 *
 * The way through, for a run whose trainer does all right:
 *
 *     open.c     EV_OPEN makes a run; ACT_STORE writes its attempt, EV_STORED brings ACT_WELCOME
 *     join.c     EV_OPEN of a further rank of a job makes a member of its run
 *     batches.c  EV_BATCH is checked and queued in its layer; a full block leaves as ACT_JOB
 *     control.c  EV_CHECKPOINT puts a mark behind the batches of each layer, and an entry into the
 *                run's journal; EV_LOG and EV_CLOSE are entries without marks
 *     marks.c    of a run with members, the marks of a step wait for each other
 *     credit.c   how much each may send
 *     done.c     EV_JOB_DONE releases batches and returns their credit; a measured mark completes
 *                its entry, which leaves as ACT_STORE; EV_STORED acknowledges it (ACT_COMPLETE)
 *     runs.c     frees a run that is over, or that has closed, when all of it has come home
 *
 * What fails: a message that is wrong, or comes too early, is refused (ACT_NACK) and changes
 * nothing; rows with a value that is not finite are refused by the job and count as missing; a full
 * disk is waited for, at each EV_TICK; any other disk error, or an action without memory, ends the
 * daemon (ACT_FATAL); a silent trainer is declared lost by EV_TICK. */
#pragma once

#include "daemon/core/monitor/event.h"

struct monitor_config {
    size_t n_workers;            /* threads that jobs can use */
    uint64_t budget_bytes;       /* rows of all connections together; at least MONITOR_CREDIT_MAX */
    double state_bytes;          /* moments and blocks of all layers together */
    uint32_t spectrum_follows_p; /* of more features a spectrum follows its point; 0: none does */
    const char *refuses;         /* why no run is opened; NULL: all are */
    uint64_t ranks_wait_ticks;   /* a mark of one rank waits so long for those of others */
};

struct monitor_stats {
    uint64_t batches;         /* taken */
    uint64_t rows;            /* in them */
    uint64_t bytes;           /* in them */
    uint64_t batches_refused; /* for whatever reason */
    uint64_t points;          /* on disk */
    size_t runs_open;
    uint64_t buffered_bytes; /* held now */
    uint64_t budget_bytes;
};

/* A trainer that is silent for so many ticks (it pings every second) is gone. */
#define MONITOR_LOST_TICKS 30
/* The most credit that a connection gets: two blocks of the widest layers may be in flight while
 * one is folded. */
#define MONITOR_CREDIT_MAX (64u << 20)
/* The least. A connection with less could not send one 4 MiB batch while another is folded. */
#define MONITOR_CREDIT_MIN (8u << 20)

struct monitor;

/* Returns it (free with monitor_free), or NULL. */
struct monitor *monitor_new(const struct monitor_config *);
/* Frees everything. All jobs and records must be home; batches still queued go to `released`. */
void monitor_free(struct monitor *, struct actions *released);

/* Takes one event, decides, and appends what is to be done. A job or record must come back exactly
 * once for each action that lent it; at each EV_TICK all counters are held against what they count
 * (assertions). */
void monitor_step(struct monitor *, const struct event *, struct actions *);

/* A job that came as ACT_JOB was not started, for want of memory, and will never be: its batches
 * are released, a mark it was to measure is not answered. For a daemon that is about to end. */
void monitor_drop_job(struct monitor *, struct job *, struct actions *);

/* Nothing that was promised is pending: the daemon may stop. */
bool monitor_is_settled(const struct monitor *);
/* No job and no record is out: monitor_free may be called. */
bool monitor_is_quiet(const struct monitor *);

struct monitor_stats monitor_stats(const struct monitor *);
