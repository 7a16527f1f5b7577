/* A monitor on a bench: events go in one at a time, and what comes out is written down. Jobs run
 * and the disk commits when the test says so, so that it can look in between. Owns the monitor and
 * its disk; one thread. */
#pragma once

#include "daemon/core/monitor/monitor.h"
#include "tests/lib/core/disk.h"
#include "tests/lib/core/parcel.h"

#define BENCH_MAX 6000

struct bench {
    struct monitor_config config;
    struct monitor *monitor;
    struct actions out;
    struct disk disk;
    struct list jobs; /* of job: handed out */
    double time;
    bool faulty; /* steps and jobs run under tests/lib/fault.h's countdown */

    /* what came out, until bench_forget */
    struct welcome welcome;
    size_t n_welcomes;
    uint64_t granted; /* as the trainer heard it last */
    uint64_t acks[BENCH_MAX];
    peer_id ack_peers[BENCH_MAX];
    size_t n_acks;
    struct nack nack; /* the last one */
    peer_id nack_peer;
    size_t n_nacks;
    struct layer_point points[DISK_LAYERS]; /* of the last checkpoint that was completed */
    size_t n_points;
    struct point completed; /* by its spectrum, the last one */
    size_t n_released;
    bool fatal;
};

void bench_init(struct bench *);
/* Frees everything, whatever is out; the disk as well. */
void bench_release(struct bench *);
/* The monitor is thrown away, a new one finds the disk. */
void bench_crash(struct bench *);
void bench_forget(struct bench *);

void bench_step(struct bench *, struct event *, peer_id);
/* Runs all jobs that are out, and those that follow from them. */
void bench_work(struct bench *);
/* Runs the first job that is out. */
void bench_run_job(struct bench *);
/* The first job that is out, for the test to run. */
struct job *bench_take_job(struct bench *);
/* The first record that waits for the disk, or NULL. */
struct record *bench_waiting(const struct bench *);
/* Commits everything that waits and tells the monitor. */
void bench_commit(struct bench *);
/* The disk is full: what waits comes back with -ENOSPC. */
void bench_fail_disk(struct bench *);
/* Work and commit, until nothing is left to do. */
void bench_settle(struct bench *);
void bench_tick(struct bench *, size_t n);

/* Messages. `attempt` 0 is a new one. */
void bench_open(struct bench *, peer_id, const char *run, const char *writer, uint32_t attempt);
void bench_open_window(struct bench *, peer_id, const char *run, struct window);
/* Of run "run", as that rank of a launch. */
void bench_open_member(struct bench *, peer_id, const char *writer, const char *launch,
                       uint32_t rank, uint32_t world);
/* By which all windows hold the same rows. */
void bench_open_probe(struct bench *, peer_id, const char *run, const char *writer);
/* By which the points are watched for transitions of these measures. */
/* Run "run". */
void bench_open_watching(struct bench *, peer_id, const char *writer, struct watch_list);
void bench_open_spectrum(struct bench *, peer_id, const char *run, struct spectrum_policy);
void bench_send(struct bench *, peer_id, struct parcel *, uint64_t seq, uint64_t rows_before);
/* Rows of layer "head", p = 4, C = 2, seeded by seq. */
void bench_rows(struct bench *, peer_id, uint64_t seq, uint64_t rows_before, size_t n);
/* A checkpoint of "head". */
void bench_checkpoint(struct bench *, peer_id, uint64_t seq, uint64_t batch_seq, uint64_t rows);
/* A checkpoint of a trainer that has thinned out so many rows. */
void bench_thinned(struct bench *, peer_id, uint64_t seq, uint64_t batch_seq, uint64_t rows,
                   uint64_t thinned);
/* The same at another step than `seq`. */
void bench_mark(struct bench *, peer_id, uint64_t seq, int64_t step, uint64_t batch_seq,
                uint64_t rows);
void bench_log(struct bench *, peer_id, uint64_t seq);
void bench_close(struct bench *, peer_id, uint64_t seq);
