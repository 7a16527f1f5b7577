/* What 1,000 subscribers on sockets of their own see of a training with ten points a second: how
 * long after checkpoint() a point is with the last of them, how long after the first, and which
 * share of a core the daemon works. Trainer, daemon and readers share the machine, as they do in
 * use; what readers do with an update is to read it. `bench_sockets [--json]`. */
#include <errno.h>
#include <pthread.h>
#include <richd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/daemon.h"

#define N_READERS 1000
#define N_POINTS  100
#define PERIOD_S  0.1
/* The first points find cold caches, and are not counted. */
#define N_WARM     10
#define PAUSE_US   1000
#define FINISH_MS  10000
#define N_ROWS     64
#define N_FEATURES 32
#define N_OUTPUTS  10

#define SUBSCRIBE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.subscribe\"}\n"

struct point {
    double asked_s, first_s, last_s;
    size_t n_seen;
};

struct bench {
    struct bench_daemon daemon;
    struct richd_run *run;
    int events; /* of epoll */
    int sockets[N_READERS];
    size_t n_updates[N_READERS];
    struct point points[N_POINTS];
    size_t n_seen; /* updates of all readers */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- readers ---- */

static int connect_feed(const struct bench_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("a socket");
    snprintf(address.sun_path, sizeof address.sun_path, "%s/feed.sock", daemon->folder);
    while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        if (waitpid(daemon->pid, NULL, WNOHANG) != 0)
            fail("the daemon");
        usleep(PAUSE_US);
    }
    return fd;
}

/* Lines that end in what has come: all that there is, as readers with one buffer take it. */
static size_t read_lines(int fd)
{
    static char buffer[1 << 16];
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    size_t lines = 0;

    if (n <= 0)
        fail("a reader was cut off");
    for (const char *at = buffer; (at = memchr(at, '\n', (size_t)(buffer + n - at))) != NULL; at++)
        lines++;
    return lines;
}

static void subscribe(struct bench *bench, uint32_t i)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    int fd = connect_feed(&bench->daemon);

    bench->sockets[i] = fd;
    if (send(fd, SUBSCRIBE, strlen(SUBSCRIBE), 0) < 0)
        fail("subscribing");
    while (read_lines(fd) == 0)
        ;
    if (epoll_ctl(bench->events, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void note_update(struct bench *bench, size_t reader, double now_s)
{
    size_t k = bench->n_updates[reader]++;
    struct point *point = &bench->points[k];

    if (k >= N_POINTS) {
        fprintf(stderr, "a reader was told of more points than there are\n");
        exit(1);
    }
    if (point->n_seen++ == 0)
        point->first_s = now_s;
    point->last_s = now_s;
    bench->n_seen++;
}

/* Until each reader has seen each point. */
static void *read_all(void *argument)
{
    struct bench *bench = argument;
    struct epoll_event ready[64];

    while (bench->n_seen < (size_t)N_READERS * N_POINTS) {
        int n = epoll_wait(bench->events, ready, 64, -1);

        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            size_t reader = ready[i].data.u32, lines = read_lines(bench->sockets[reader]);

            while (lines-- > 0)
                note_update(bench, reader, bench_wall_s());
        }
    }
    return NULL;
}

/* ---- the trainer ---- */

static void open_run(struct bench *bench)
{
    struct richd_options options = RICHD_OPTIONS;
    char error[256];

    options.name = "sockets";
    options.runtime_dir = bench->daemon.folder;
    bench->run = richd_connect(&options, error, sizeof error);
    if (!bench->run) {
        fprintf(stderr, "bench_sockets: %s\n", error);
        exit(1);
    }
}

static void train_step(struct bench *bench, size_t step)
{
    static float features[N_ROWS * N_FEATURES], outputs[N_ROWS * N_OUTPUTS];
    struct richd_batch batch = RICHD_BATCH;

    for (size_t i = 0; i < N_ROWS * N_FEATURES; i++)
        features[i] = (float)((i * 7919 + step) % 101);
    for (size_t i = 0; i < N_ROWS * N_OUTPUTS; i++)
        outputs[i] = (float)((i * 6007 + step) % 97);
    batch.layer = "head";
    batch.step = (int64_t)step;
    batch.n_rows = N_ROWS;
    batch.n_features = N_FEATURES;
    batch.n_outputs = N_OUTPUTS;
    batch.features = features;
    batch.outputs = outputs;
    if (richd_submit(bench->run, &batch) < 0)
        fail("richd_submit");
    bench->points[step].asked_s = bench_wall_s();
    richd_checkpoint(bench->run, (int64_t)step, 0, NULL);
}

static void sleep_until(double s)
{
    struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Returns the share of a core that the daemon had, once the caches were warm. */
static double train(struct bench *bench)
{
    double began = bench_wall_s(), worked = 0, warm = 0;

    for (size_t step = 0; step < N_POINTS; step++) {
        sleep_until(began + (double)step * PERIOD_S);
        if (step == N_WARM) {
            warm = bench_wall_s();
            worked = bench_daemon_cpu_s(&bench->daemon);
        }
        train_step(bench, step);
    }
    sleep_until(began + N_POINTS * PERIOD_S);
    return (bench_daemon_cpu_s(&bench->daemon) - worked) / (bench_wall_s() - warm);
}

/* ---- figures ---- */

/* The 99th percentile over points, with the quartiles. */
static void print_ms(bool json, const char *work, double *values_s)
{
    struct bench_figure figure = {.work = work, .shape = {.n = N_READERS}, .unit = "ms"};
    size_t n = N_POINTS - N_WARM;

    figure.value = 1e3 * bench_quantile(values_s, n, 0.99);
    figure.low = 1e3 * bench_quantile(values_s, n, 0.25);
    figure.high = 1e3 * bench_quantile(values_s, n, 0.75);
    bench_print(json, &figure);
}

static void print(bool json, const struct bench *bench, double share)
{
    double spread[N_POINTS - N_WARM], delay[N_POINTS - N_WARM];
    struct bench_figure cores = {.work = "daemon of subscribers",
                                 .shape = {.n = N_READERS},
                                 .unit = "% of a core",
                                 .value = 100 * share,
                                 .low = 100 * share,
                                 .high = 100 * share};

    for (size_t i = 0; i < N_POINTS - N_WARM; i++) {
        const struct point *point = &bench->points[N_WARM + i];

        spread[i] = point->last_s - point->first_s;
        delay[i] = point->last_s - point->asked_s;
    }
    print_ms(json, "point, first to last reader", spread);
    print_ms(json, "point, asked to last reader", delay);
    bench_print(json, &cores);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    bool json = bench_wants_json(argc, argv);
    pthread_t thread;
    double share;

    bench_daemon_start(&bench.daemon);
    bench.events = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < N_READERS; i++)
        subscribe(&bench, i);
    bench_daemon_lift(&bench.daemon);
    open_run(&bench);
    pthread_create(&thread, NULL, read_all, &bench);
    share = train(&bench);
    pthread_join(thread, NULL);
    print(json, &bench, share);
    richd_close(bench.run, RICHD_FINISHED, FINISH_MS);
    bench_daemon_stop(&bench.daemon);
    return 0;
}
