/* A load for a daemon: so many trainers, each with a connection and a run of its own or a rank of
 * one, that send rows or moments and wait for their acknowledgements; at the end what came of it.
 *
 *     load ENDPOINT [--trainers N] [--at-once N] [--ranks N] [--layers N] [--checkpoints N]
 *          [--rate A_SECOND] [--features P] [--outputs C] [--rows N] [--moments] [--together]
 *          [--tag TEXT] [--json]
 *
 * One thread has thousands of them, which need no more than their sockets: where this process may
 * not open files for all, others have a share of them each. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/bench.h"
#include "tests/load/shares.h"
#include "tests/load/trainer.h"

#define POLL_MS 5
/* Of more trainers none is waited for: there is a pause of so long for each. */
#define POLLED_MAX 256
#define PAUSE_NS   10000
/* Descriptors and sockets that are nobody's trainer, and those that a trainer has: the socket's
 * bell, its connection, and another one while it connects again. */
#define SPARE     64
#define EACH      3
#define WAITS_MAX 1000000
/* New connections a turn: the queue of a listening socket is no place to wait in. */
#define NEW_A_TURN 16

struct load {
    struct trainer_plan plan;
    size_t n_trainers, at_once;
    size_t n_features, n_outputs, n_rows;
    bool moments, json;
    char tag[48];

    void *context;
    struct trainer **alive; /* at_once places */
    size_t n_alive, n_begun, n_open;
    size_t n_wanted; /* open at once in all processes, before a checkpoint is made */
    size_t first;    /* the number of this process's first trainer */
    struct shares *shares;
    struct trainer_tally *tally;
    double began_s, ended_s;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- what is asked for --------------------------------------------------------------------- */

static void usage(int code)
{
    fprintf(
        code ? stderr : stdout,
        "load ENDPOINT [--trainers N] [--at-once N] [--ranks N] [--layers N] [--checkpoints N]\n"
        "     [--rate A_SECOND] [--features P] [--outputs C] [--rows N] [--moments] [--together]\n"
        "     [--tag TEXT] [--json]\n"
        "--together: the first checkpoint is made when as many as may be at once are open\n");
    exit(code);
}

static size_t number(const char *name, const char *text)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value == 0 || value > UINT32_MAX) {
        fprintf(stderr, "load: --%s \"%s\" is no number from 1 on\n", name, text);
        exit(2);
    }
    return value;
}

static double period_of(const char *rate)
{
    char *end;
    const double value = strtod(rate, &end);

    if (*end || !(value > 0)) {
        fprintf(stderr, "load: --rate \"%s\" is no rate above 0\n", rate);
        exit(2);
    }
    return 1 / value;
}

static void read_arguments(int argc, char **argv, struct load *load)
{
    static const char names[][12] = {"trainers",    "at-once",  "ranks",   "layers",
                                     "checkpoints", "features", "outputs", "rows"};
    size_t *const numbers[] = {
        &load->n_trainers,         &load->at_once,    &load->plan.n_ranks, &load->plan.n_layers,
        &load->plan.n_checkpoints, &load->n_features, &load->n_outputs,    &load->n_rows};
    enum { N = sizeof numbers / sizeof *numbers };
    struct option options[N + 7] = {{0}};
    int which;

    for (int i = 0; i < N; i++)
        options[i] = (struct option){names[i], required_argument, NULL, i};
    options[N] = (struct option){"rate", required_argument, NULL, 'r'};
    options[N + 1] = (struct option){"tag", required_argument, NULL, 't'};
    options[N + 2] = (struct option){"moments", no_argument, NULL, 'm'};
    options[N + 3] = (struct option){"json", no_argument, NULL, 'j'};
    options[N + 4] = (struct option){"help", no_argument, NULL, 'h'};
    options[N + 5] = (struct option){"together", no_argument, NULL, 'a'};
    while ((which = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (which < N)
            *numbers[which] = number(names[which], optarg);
        else if (which == 'r')
            load->plan.period_s = period_of(optarg);
        else if (which == 't')
            snprintf(load->tag, sizeof load->tag, "%s", optarg);
        else if (which == 'm')
            load->moments = true;
        else if (which == 'j')
            load->json = true;
        else if (which == 'a')
            load->plan.holds = true;
        else
            usage(which == 'h' ? 0 : 2);
    }
    if (optind + 1 != argc)
        usage(2);
    load->plan.endpoint = argv[optind];
}

/* ---- the load ------------------------------------------------------------------------------ */

/* How many descriptors this process may have. */
static size_t raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

static size_t n_processes(size_t at_once)
{
    const size_t files = raise_descriptors(), most = files > SPARE ? (files - SPARE) / EACH : 1;
    const size_t n = (at_once + most - 1) / most;

    if (n <= SHARES_MAX)
        return n;
    fprintf(stderr, "load: %zu trainers at once are too many for %zu descriptors a process\n",
            at_once, files);
    return SHARES_MAX;
}

/* The i-th of n parts of a whole ends here. */
static size_t part_end(size_t whole, size_t i, size_t n)
{
    return whole * (i + 1) / n;
}

static int begin_shares(struct load *load)
{
    const size_t n = n_processes(load->at_once);
    int which;

    load->shares = shares_new(n, WAITS_MAX);
    if (!load->shares)
        return -ENOMEM;
    which = shares_begin(load->shares);
    if (which < 0)
        return which;
    load->tally = &load->shares->tallies[which];
    load->first = which > 0 ? part_end(load->n_trainers, (size_t)which - 1, n) : 0;
    load->n_trainers = part_end(load->n_trainers, (size_t)which, n) - load->first;
    load->at_once = MIN(load->n_trainers, (load->at_once + n - 1) / n);
    return which;
}

/* Returns which process this is, or -errno. */
static int prepare(struct load *load)
{
    struct trainer_plan *plan = &load->plan;
    int which;

    if (load->at_once == 0 || load->at_once > load->n_trainers)
        load->at_once = load->n_trainers;
    if (!*load->tag)
        snprintf(load->tag, sizeof load->tag, "load-%d", (int)getpid());
    load->n_wanted = load->plan.holds ? load->at_once : 0;
    plan->tag = load->tag;
    plan->payload = load->moments
                        ? payload_of_moments(load->n_rows, load->n_features, load->n_outputs)
                        : payload_of_rows(load->n_rows, load->n_features, load->n_outputs);
    which = plan->payload ? begin_shares(load) : -ENOMEM;
    if (which < 0)
        return which;
    load->context = zmq_ctx_new();
    load->alive = calloc(load->at_once, sizeof(struct trainer *));
    if (!load->context || !load->alive)
        return -ENOMEM;
    /* libzmq frees a closed socket's place later, when others are made already. */
    zmq_ctx_set(load->context, ZMQ_MAX_SOCKETS, 2 * (int)load->at_once + SPARE);
    return which;
}

static void begin_some(struct load *load, double now)
{
    for (int i = 0; i < NEW_A_TURN; i++) {
        struct trainer *trainer;

        if (load->n_alive == load->at_once || load->n_begun == load->n_trainers)
            return;
        trainer = trainer_new(load->context, &load->plan, load->first + load->n_begun, now);
        load->n_begun++;
        if (trainer)
            load->alive[load->n_alive++] = trainer;
        else
            load->tally->n_failed++;
    }
}

static void note_open(struct load *load, size_t n_opened, size_t n_open)
{
    shares_note_open(load->shares, n_opened, load->n_open, n_open);
    load->n_open = n_open;
    if (atomic_load(&load->shares->n_opened) >= load->n_wanted)
        load->plan.holds = false;
}

static void turn_all(struct load *load, double now)
{
    size_t n_open = 0, n_opened = 0;

    for (size_t i = 0; i < load->n_alive;) {
        struct trainer *trainer = load->alive[i];
        const bool was_open = trainer_was_open(trainer);

        trainer_turn(trainer, now, load->tally);
        n_opened += !was_open && trainer_was_open(trainer);
        if (trainer_has_ended(trainer)) {
            trainer_free(trainer);
            load->alive[i] = load->alive[--load->n_alive];
            continue;
        }
        n_open += trainer_was_open(trainer);
        i++;
    }
    note_open(load, n_opened, n_open);
}

/* A turn asks each trainer, which takes 2 us, and so does libzmq for a poll of all: many are asked
 * now and then, or the load has the processor in place of the daemon. */
static void wait_for_any(struct load *load, zmq_pollitem_t *items)
{
    int n = 0;

    if (load->n_alive > POLLED_MAX) {
        nanosleep(&(struct timespec){.tv_nsec = (long)load->n_alive * PAUSE_NS}, NULL);
        return;
    }
    for (size_t i = 0; i < load->n_alive; i++) {
        if (trainer_socket(load->alive[i]))
            items[n++] = (zmq_pollitem_t){trainer_socket(load->alive[i]), 0, ZMQ_POLLIN, 0};
    }
    zmq_poll(items, n, POLL_MS);
}

static int carry_out(struct load *load)
{
    zmq_pollitem_t *items = calloc(load->at_once, sizeof *items);

    if (!items)
        return -ENOMEM;
    load->began_s = now_s();
    do {
        begin_some(load, now_s());
        turn_all(load, now_s());
        wait_for_any(load, items);
    } while (load->n_alive > 0 || load->n_begun < load->n_trainers);
    load->ended_s = now_s();
    free(items);
    return 0;
}

/* ---- what came of it ----------------------------------------------------------------------- */

struct outcome {
    double seconds, checkpoints, points, gb; /* a second, but for the first */
    double median_ms, p99_ms;
};

static struct outcome sum_up(struct load *load)
{
    struct trainer_tally *tally = load->tally;
    const double seconds = load->ended_s - load->began_s,
                 checkpoints = (double)tally->n_acknowledged / seconds,
                 points = checkpoints * (double)load->plan.n_layers;
    struct outcome outcome = {
        seconds, checkpoints, points, points * (double)load->plan.payload->size * 1e-9, 0, 0};

    if (tally->n_waits > 0) {
        outcome.median_ms = bench_quantile(tally->waits_s, tally->n_waits, .5) * 1e3;
        outcome.p99_ms = bench_quantile(tally->waits_s, tally->n_waits, .99) * 1e3;
    }
    return outcome;
}

static void print_json(const struct load *load, const struct outcome *outcome)
{
    const struct trainer_tally *tally = load->tally;

    printf("{\"seconds\":%.3f,\"opened\":%zu,\"most_at_once\":%zu,\"checkpoints\":%" PRIu64
           ",\"checkpoints_a_second\":%.1f,\"points_a_second\":%.1f,\"gb_a_second\":%.3f,"
           "\"wait_ms\":%.2f,\"wait_ms_p99\":%.2f,",
           outcome->seconds, atomic_load(&load->shares->n_opened),
           atomic_load(&load->shares->n_peak_open), tally->n_acknowledged, outcome->checkpoints,
           outcome->points, outcome->gb, outcome->median_ms, outcome->p99_ms);
    printf("\"reconnects\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"batches_dropped\":%" PRIu64
           ",\"batches_refused\":%" PRIu64 "}\n",
           tally->n_reconnects, tally->n_failed, tally->batches_dropped, tally->batches_refused);
}

static void print_text(const struct load *load, const struct outcome *outcome)
{
    const struct trainer_tally *tally = load->tally;

    printf("%.3f s: %zu trainers opened, at most %zu at once\n%" PRIu64
           " checkpoints acknowledged: %.1f a second, %.1f points a second, %.3f GB/s\n",
           outcome->seconds, atomic_load(&load->shares->n_opened),
           atomic_load(&load->shares->n_peak_open), tally->n_acknowledged, outcome->checkpoints,
           outcome->points, outcome->gb);
    printf("wait for an acknowledgement: median %.2f ms, p99 %.2f ms\n"
           "reconnects %" PRIu64 ", trainers failed %" PRIu64 ", batches dropped %" PRIu64
           ", refused %" PRIu64 "\n",
           outcome->median_ms, outcome->p99_ms, tally->n_reconnects, tally->n_failed,
           tally->batches_dropped, tally->batches_refused);
}

static void report(struct load *load)
{
    const struct outcome outcome = sum_up(load);

    if (load->json)
        print_json(load, &outcome);
    else
        print_text(load, &outcome);
    if (*load->tally->complaint)
        fprintf(stderr, "load: %s\n", load->tally->complaint);
}

int main(int argc, char **argv)
{
    static struct load load = {.plan = {.n_layers = 1, .n_checkpoints = 10, .n_ranks = 1},
                               .n_trainers = 1,
                               .n_features = 32,
                               .n_outputs = 10,
                               .n_rows = 64};

    int which;

    read_arguments(argc, argv, &load);
    which = prepare(&load);
    if (which < 0 || carry_out(&load) < 0) {
        fprintf(stderr, "load: out of memory\n");
        return 1;
    }
    zmq_ctx_term(load.context);
    if (which > 0)
        return 0;
    shares_join(load.shares);
    load.ended_s = now_s();
    report(&load);
    return load.tally->n_failed > 0;
}
