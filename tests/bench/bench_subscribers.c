/* What a point costs that 1,000 subscribers wait for: written down, and written to the socket of
 * each, beside the writes alone. Processor time of the loop's thread. `bench_subscribers [--json]`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/feed/hub.h"
#include "daemon/store/store.h"
#include "tests/lib/records.h"

#define N_READERS 1000
#define N_TURNS   41

#define SUBSCRIBE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"series.subscribe\"}"

struct reader {
    struct feed_client *client;
    int ends[2];
};

static size_t update_size; /* of the last text that was sent */

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void send_text(void *arg, int code, char *text, size_t size)
{
    struct reader *reader = arg;

    (void)code;
    update_size = size;
    if (write(reader->ends[0], text, size) != (ssize_t)size)
        exit(1);
    free(text);
}

static void send_long(void *arg, struct text *text)
{
    (void)arg;
    text_free(text);
}

static size_t pending(void *arg)
{
    (void)arg;
    return 0;
}

static void ready(void *arg)
{
    (void)arg;
}

static const struct feed_transport transport = {.words = &feed_lines,
                                                .send = send_text,
                                                .send_long = send_long,
                                                .pending = pending,
                                                .ready = ready};

static void add_status(void *arg, bool may_write, cJSON *status)
{
    (void)arg;
    (void)may_write;
    (void)status;
}

static void drain(struct reader *readers)
{
    static char buffer[1 << 16];

    for (int i = 0; i < N_READERS; i++) {
        if (read(readers[i].ends[1], buffer, sizeof buffer) <= 0)
            exit(1);
    }
}

static double time_point(struct feedhub *hub, struct store *store, const struct record *run, int i)
{
    struct record *point = record_of(run, RECORD_CHECKPOINT, (uint64_t)i + 1, i);
    double start, spent;

    record_add_point(point, "head", .5 / (i + 1));
    if (apply(store, point) < 0)
        exit(1);
    start = now_ms();
    feedhub_publish(hub, point);
    spent = now_ms() - start;
    record_free(point);
    return spent;
}

static double time_writes(struct reader *readers)
{
    static char text[1 << 16];
    double start = now_ms();

    for (int i = 0; i < N_READERS; i++) {
        if (write(readers[i].ends[0], text, update_size) != (ssize_t)update_size)
            exit(1);
    }
    return now_ms() - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print(double *ours, double *peer, bool is_json)
{
    double value, other, low, high;

    qsort(ours, N_TURNS, sizeof *ours, compare);
    qsort(peer, N_TURNS, sizeof *peer, compare);
    value = ours[N_TURNS / 2];
    other = peer[N_TURNS / 2];
    low = ours[N_TURNS / 10];
    high = ours[N_TURNS - 1 - N_TURNS / 10];
    if (is_json)
        printf("{\"work\":\"a point to all subscribers\",\"n\":%d,\"unit\":\"ms\",\"value\":%.4g,"
               "\"peer\":%.4g,\"ratio\":%.4g,\"low\":%.4g,\"high\":%.4g}\n",
               N_READERS, value, other, value / other, low, high);
    else
        printf("a point to %d subscribers, %zu bytes each: %.2f ms (%.2f to %.2f)   the writes"
               " alone %.2f ms, %.2f x   10 a second: %.1f %% of a core\n",
               N_READERS, update_size, value, low, high, other, value / other, value);
}

static void open_readers(struct feedhub *hub, struct reader *readers, uv_loop_t *loop)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < N_READERS; i++) {
        readers[i].client = feed_client_new(hub, &transport, &readers[i]);
        if (!readers[i].client || socketpair(AF_UNIX, SOCK_STREAM, 0, readers[i].ends) < 0)
            exit(1);
        feed_client_request(readers[i].client, SUBSCRIBE, strlen(SUBSCRIBE));
    }
    uv_run(loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static struct reader clients[N_READERS];
    double ours[N_TURNS], peer[N_TURNS];
    char *directory = scratch_new(), path[256];
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW);
    struct readers *readers;
    struct feedhub *hub;
    struct store *store;
    struct err e;
    uv_loop_t loop;

    uv_loop_init(&loop);
    snprintf(path, sizeof path, "%s/history.db", directory);
    if (store_open(path, &store, &e) < 0 || readers_open(&loop, path, &readers, &e) < 0 ||
        apply(store, run) < 0 || !(hub = feedhub_new(readers, store, directory, add_status, NULL)))
        exit(1);
    open_readers(hub, clients, &loop);
    for (int i = 0; i < N_TURNS; i++) {
        ours[i] = time_point(hub, store, run, i);
        drain(clients);
        peer[i] = time_writes(clients);
        drain(clients);
    }
    print(ours, peer, argc > 1 && strcmp(argv[1], "--json") == 0);
    for (int i = 0; i < N_READERS; i++)
        feed_client_close(clients[i].client);
    uv_run(&loop, UV_RUN_DEFAULT);
    feedhub_free(hub);
    readers_close(readers);
    store_close(store);
    record_free(run);
    scratch_free(directory);
    return 0;
}
