/* What CURVE costs: batches from a DEALER to a ROUTER over a socket with a path, over TCP on the
 * loopback, and over TCP with keys, in turns. Wall time of both sides, which share the machine, and
 * the processor's time of the whole process. `bench_curve [--json]`. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/curve/keyfile.h"
#include "tests/bench/bench.h"

/* As the clients send them: messages of 4 MiB. */
#define MESSAGE_BYTES ((size_t)4 << 20)
#define N_MESSAGES    32
#define HIGH_WATER    16
#define SECONDS       4

struct way {
    void *context, *router, *dealer;
};

struct bench {
    struct way path, tcp, curve;
    char *rows;
};

static void check(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void set_server(void *router, const struct keyfile *server)
{
    int on = 1;

    check(zmq_setsockopt(router, ZMQ_CURVE_SERVER, &on, sizeof on), "curve");
    check(zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, server->secret_key, KEY_SIZE), "curve");
}

static void set_client(void *dealer, const struct keyfile *server, const struct keyfile *client)
{
    check(zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server->public_key, KEY_SIZE), "curve");
    check(zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, client->public_key, KEY_SIZE), "curve");
    check(zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, client->secret_key, KEY_SIZE), "curve");
}

/* Each side has a context and an I/O thread of its own, as trainer and daemon have. */
static void open_way(struct way *way, void **client_context, const char *address, bool has_keys)
{
    struct keyfile server, client;
    char bound[256];
    size_t size = sizeof bound;
    int water = HIGH_WATER, linger_ms = 0;

    way->context = zmq_ctx_new();
    *client_context = zmq_ctx_new();
    way->router = zmq_socket(way->context, ZMQ_ROUTER);
    way->dealer = zmq_socket(*client_context, ZMQ_DEALER);
    zmq_setsockopt(way->dealer, ZMQ_SNDHWM, &water, sizeof water);
    zmq_setsockopt(way->dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (has_keys) {
        check(keyfile_make_pair(&server, NULL), "a pair");
        check(keyfile_make_pair(&client, NULL), "a pair");
        set_server(way->router, &server);
        set_client(way->dealer, &server, &client);
    }
    check(zmq_bind(way->router, address), "bind");
    check(zmq_getsockopt(way->router, ZMQ_LAST_ENDPOINT, bound, &size), "endpoint");
    check(zmq_connect(way->dealer, bound), "connect");
}

struct sending {
    void *dealer;
    char *rows;
};

static void keep(void *data, void *hint)
{
    (void)data;
    (void)hint;
}

static void *send_all(void *argument)
{
    const struct sending *sending = argument;

    for (int i = 0; i < N_MESSAGES; i++) {
        zmq_msg_t message;

        zmq_msg_init_data(&message, sending->rows, MESSAGE_BYTES, keep, NULL);
        check(zmq_msg_send(&message, sending->dealer, 0), "send");
    }
    return NULL;
}

static void receive_all(void *router)
{
    for (int i = 0; i < 2 * N_MESSAGES; i++) { /* a routing id before each */
        zmq_msg_t message;

        zmq_msg_init(&message);
        check(zmq_msg_recv(&message, router, 0), "receive");
        zmq_msg_close(&message);
    }
}

static double take_turn(const struct way *way, char *rows)
{
    struct sending sending = {way->dealer, rows};
    double began_s = bench_wall_s();
    pthread_t thread;

    pthread_create(&thread, NULL, send_all, &sending);
    receive_all(way->router);
    pthread_join(thread, NULL);
    return bench_wall_s() - began_s;
}

static double by_path(void *arg)
{
    struct bench *bench = arg;

    return take_turn(&bench->path, bench->rows);
}

static double by_tcp(void *arg)
{
    struct bench *bench = arg;

    return take_turn(&bench->tcp, bench->rows);
}

static double by_curve(void *arg)
{
    struct bench *bench = arg;

    return take_turn(&bench->curve, bench->rows);
}

static double process_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double turn_gigabytes(void)
{
    return 1e-9 * (double)N_MESSAGES * (double)MESSAGE_BYTES;
}

static void print_rate(bool json, const char *work, const struct bench_turns *turns)
{
    double ours[BENCH_TURNS_MAX], ratios[BENCH_TURNS_MAX], peers[BENCH_TURNS_MAX];

    for (size_t i = 0; i < turns->n; i++) {
        ours[i] = turn_gigabytes() / turns->ours[i];
        peers[i] = turn_gigabytes() / turns->peers[i];
        ratios[i] = ours[i] / peers[i];
    }
    bench_print(json, &(struct bench_figure){.work = work,
                                             .unit = "GB/s",
                                             .value = bench_quantile(ours, turns->n, 0.5),
                                             .peer = bench_quantile(peers, turns->n, 0.5),
                                             .ratio = bench_quantile(ratios, turns->n, 0.5),
                                             .low = bench_quantile(ratios, turns->n, 0.25),
                                             .high = bench_quantile(ratios, turns->n, 0.75)});
}

static void print_processor(bool json, const char *work, bench_turn *turn, struct bench *bench)
{
    double values[5];

    for (size_t i = 0; i < 5; i++) {
        double began_s = process_s();

        turn(bench);
        values[i] = (process_s() - began_s) / turn_gigabytes();
    }
    bench_print(json, &(struct bench_figure){.work = work,
                                             .unit = "s/GB",
                                             .value = bench_quantile(values, 5, 0.5),
                                             .low = bench_quantile(values, 5, 0.25),
                                             .high = bench_quantile(values, 5, 0.75)});
}

int main(int argc, char **argv)
{
    struct bench bench = {.rows = bench_alloc(MESSAGE_BYTES)};
    bool json = bench_wants_json(argc, argv);
    void *clients[3];
    struct bench_turns turns;
    char path[64];

    memset(bench.rows, 1, MESSAGE_BYTES);
    snprintf(path, sizeof path, "ipc:///tmp/bench_curve-%d.sock", (int)getpid());
    open_way(&bench.path, &clients[0], path, false);
    open_way(&bench.tcp, &clients[1], "tcp://127.0.0.1:*", false);
    open_way(&bench.curve, &clients[2], "tcp://127.0.0.1:*", true);
    bench_take_turns(&turns, SECONDS, by_tcp, by_path, &bench);
    print_rate(json, "batches over TCP, beside a path", &turns);
    bench_take_turns(&turns, SECONDS, by_curve, by_tcp, &bench);
    print_rate(json, "batches over TCP with CURVE, beside TCP", &turns);
    print_processor(json, "processor of both sides, a path", by_path, &bench);
    print_processor(json, "processor of both sides, TCP", by_tcp, &bench);
    print_processor(json, "processor of both sides, TCP with CURVE", by_curve, &bench);
    unlink(path + strlen("ipc://"));
    free(bench.rows);
    _exit(fflush(stdout)); /* the sockets go with the process */
}
