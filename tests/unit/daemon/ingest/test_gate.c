/* The gate with the real libzmq behind it: that its thread meets our accept4 and recv at all is
 * what is tested here. Peers are plain sockets that speak the beginning of ZMTP. */
#include "daemon/ingest/gate.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define MIB         (1u << 20)
#define WAITING_MAX (8 * MIB)
#define PATIENCE_S  30
#define N_WAITING   4
#define MORE_LONG   3 /* ZMTP's flags of a frame with 8 bytes for its size, and others behind it */

struct fixture {
    void *context, *router;
    struct sockaddr_un name;
    char endpoint[128];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int64_t frame_max = MIB;
    int linger_ms = 0;

    f->name.sun_family = AF_UNIX;
    snprintf(f->name.sun_path, sizeof f->name.sun_path, "/tmp/test_gate-%d.sock", (int)getpid());
    snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s", f->name.sun_path);
    assert_int_equal(gate_open(WAITING_MAX), 0);
    f->context = zmq_ctx_new();
    f->router = zmq_socket(f->context, ZMQ_ROUTER);
    zmq_setsockopt(f->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(f->router, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    assert_int_equal(zmq_bind(f->router, f->endpoint), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    zmq_close(f->router);
    zmq_ctx_term(f->context);
    gate_close();
    unlink(f->name.sun_path);
    free(f);
    return 0;
}

static int new_socket(void)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

static void connect_to(const struct fixture *f, int fd)
{
    assert_int_equal(connect(fd, (const struct sockaddr *)&f->name, sizeof f->name), 0);
}

static bool is_served(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1); /* of the greeting */

    assert_true(n >= 0 || errno == ECONNRESET);
    return n == 1;
}

/* The soft limit is what is in use: no descriptor is left for libzmq. */
static rlim_t leave_no_descriptor(void)
{
    struct rlimit limit;
    rlim_t before;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static void without_a_descriptor_a_connection_is_closed_and_later_ones_are_served(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit;
    int waiting[N_WAITING], later;

    for (int i = 0; i < N_WAITING; i++)
        waiting[i] = new_socket();
    later = new_socket();
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = leave_no_descriptor();
    for (int i = 0; i < N_WAITING; i++) {
        connect_to(f, waiting[i]);
        assert_false(is_served(waiting[i]));
    }
    assert_int_equal(gate_counts().refused, N_WAITING);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    connect_to(f, later);
    assert_true(is_served(later));
    for (int i = 0; i < N_WAITING; i++)
        close(waiting[i]);
    close(later);
}

/* ---- what is sent and not read --------------------------------------------------------------- */

static int greet(const struct fixture *f)
{
    static const unsigned char ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                         "DEALER";
    unsigned char answer[107]; /* its greeting and READY: no message is taken before */
    unsigned char greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    int fd = new_socket();

    connect_to(f, fd);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(send(fd, ready, sizeof ready - 1, MSG_NOSIGNAL), sizeof ready - 1);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
    return fd;
}

/* Whether the peer could send a frame of a MiB, that is not the last one of its message. */
static bool send_part(int fd)
{
    static unsigned char part[9 + MIB] = {MORE_LONG, [6] = MIB >> 16};
    size_t at = 0;

    while (at < sizeof part) {
        ssize_t n = send(fd, part + at, sizeof part - at, MSG_NOSIGNAL);

        if (n < 0) {
            assert_true(errno == EPIPE || errno == ECONNRESET);
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static void beyond_the_bound_of_all_the_one_with_most_is_cut(void **state)
{
    struct fixture *f = *state;
    int greedy = greet(f), modest = greet(f);
    unsigned n = 0;

    assert_true(send_part(modest));
    while (send_part(greedy))
        assert_true(++n < 2 * WAITING_MAX / MIB);
    assert_true(n >= WAITING_MAX / MIB - 2);
    assert_int_equal(gate_counts().cut, 1);
    assert_int_equal(gate_counts().cut_pid, getpid());
    assert_int_equal(gate_counts().cut_uid, getuid());
    assert_true(send_part(modest));
    close(greedy);
    close(modest);
}

/* libzmq closes a connection whose next frame it refuses, and does not read its end. */
static void what_a_closed_connection_had_sent_counts_no_more(void **state)
{
    static const unsigned char too_long[9] = {MORE_LONG, [5] = 1};
    struct fixture *f = *state;
    int modest = greet(f), wrong = greet(f);
    char piece[16];

    assert_true(send_part(modest));
    for (unsigned i = 0; i < WAITING_MAX / MIB - 2; i++)
        assert_true(send_part(wrong));
    assert_int_equal(send(wrong, too_long, sizeof too_long, MSG_NOSIGNAL), sizeof too_long);
    assert_true(recv(wrong, piece, sizeof piece, 0) <= 0);
    for (unsigned i = 0; i < WAITING_MAX / MIB / 2; i++)
        assert_true(send_part(modest));
    assert_int_equal(gate_counts().cut, 0);
    gate_peak();
    assert_int_equal(gate_peak(), 1);
    close(wrong);
    close(modest);
}

/* The message: a routing id, and one frame. Returns the bytes that came on the connection. */
static int take_message(const struct fixture *f, uint64_t *bytes)
{
    zmq_msg_t id, body;
    int fd;

    zmq_msg_init(&id);
    zmq_msg_init(&body);
    assert_true(zmq_msg_recv(&id, f->router, 0) >= 0);
    assert_true(zmq_msg_recv(&body, f->router, 0) >= 0);
    assert_false(zmq_msg_more(&body));
    *bytes = zmq_msg_size(&body) + 9;
    fd = zmq_msg_get(&body, ZMQ_SRCFD);
    zmq_msg_close(&id);
    zmq_msg_close(&body);
    return fd;
}

static void an_answer_that_libzmq_does_not_take_counts_no_more(void **state)
{
    struct fixture *f = *state;
    int peer = greet(f);
    uint64_t bytes;
    int fd;

    assert_int_equal(send(peer, "\0\2hi", 4, MSG_NOSIGNAL), 4);
    fd = take_message(f, &bytes);
    for (size_t i = 0; i < 4 * WAITING_MAX / MIB; i++) {
        assert_true(gate_give(fd, MIB));
        gate_take_back(fd, MIB);
    }
    assert_int_equal(gate_counts().cut, 0);
    gate_take_back(-1, 1);
    close(peer);
}

static void what_is_read_counts_no_more(void **state)
{
    struct fixture *f = *state;
    void *context = zmq_ctx_new(), *trainer = zmq_socket(context, ZMQ_DEALER);
    char *part = calloc(1, MIB);
    uint64_t bytes;

    assert_int_equal(zmq_connect(trainer, f->endpoint), 0);
    for (size_t i = 0; i < 4 * WAITING_MAX / MIB; i++) {
        int fd;

        assert_int_equal(zmq_send(trainer, part, MIB, 0), MIB);
        fd = take_message(f, &bytes);
        assert_true(fd >= 0);
        gate_take(fd, bytes);
    }
    assert_int_equal(gate_counts().cut, 0);
    gate_take(-1, 1);
    gate_take(1 << 30, 1);
    free(part);
    zmq_close(trainer);
    zmq_ctx_term(context);
}

/* Gives answers to a peer that reads none; returns how many MiB were taken. */
static size_t give_until_cut(const struct fixture *f, int peer)
{
    static char answer[MIB];
    zmq_msg_t id, body;
    size_t n = 0;
    int fd;

    assert_int_equal(send(peer, "\0\2hi", 4, MSG_NOSIGNAL), 4);
    zmq_msg_init(&id);
    zmq_msg_init(&body);
    assert_true(zmq_msg_recv(&id, f->router, 0) >= 0);
    assert_int_equal(zmq_msg_recv(&body, f->router, 0), 2);
    fd = zmq_msg_get(&body, ZMQ_SRCFD);
    while (gate_give(fd, MIB + 9)) {
        assert_true(++n < 4 * WAITING_MAX / MIB);
        assert_true(zmq_send(f->router, zmq_msg_data(&id), zmq_msg_size(&id), ZMQ_SNDMORE) >= 0);
        assert_int_equal(zmq_send(f->router, answer, MIB, ZMQ_DONTWAIT), MIB);
    }
    zmq_msg_close(&id);
    zmq_msg_close(&body);
    return n;
}

static void a_peer_that_takes_no_answers_is_cut(void **state)
{
    struct fixture *f = *state;
    char piece[4096];
    ssize_t n;
    int peer = greet(f);

    assert_in_range(give_until_cut(f, peer), WAITING_MAX / MIB - 1, WAITING_MAX / MIB + 1);
    assert_int_equal(gate_counts().cut, 1);
    assert_true(gate_counts().cut_unsent > WAITING_MAX / 2);
    while ((n = read(peer, piece, sizeof piece)) > 0)
        continue;
    assert_true(n == 0 || errno == ECONNRESET);
    close(peer);
}

/* libzmq sends what it is given, so nothing waits. */
static void answers_that_are_taken_count_no_more(void **state)
{
    struct fixture *f = *state;
    void *context = zmq_ctx_new(), *trainer = zmq_socket(context, ZMQ_DEALER);
    char *answer = calloc(1, MIB);
    zmq_msg_t id, body;

    assert_int_equal(zmq_connect(trainer, f->endpoint), 0);
    assert_int_equal(zmq_send(trainer, "hi", 2, 0), 2);
    zmq_msg_init(&id);
    zmq_msg_init(&body);
    assert_true(zmq_msg_recv(&id, f->router, 0) >= 0);
    assert_int_equal(zmq_msg_recv(&body, f->router, 0), 2);
    for (size_t i = 0; i < 4 * WAITING_MAX / MIB; i++) {
        assert_true(gate_give(zmq_msg_get(&body, ZMQ_SRCFD), MIB + 9));
        assert_true(zmq_send(f->router, zmq_msg_data(&id), zmq_msg_size(&id), ZMQ_SNDMORE) >= 0);
        assert_int_equal(zmq_send(f->router, answer, MIB, 0), MIB);
        assert_int_equal(zmq_recv(trainer, answer, MIB, 0), MIB);
    }
    assert_int_equal(gate_counts().cut, 0);
    assert_true(gate_give(-1, 1));
    free(answer);
    zmq_msg_close(&id);
    zmq_msg_close(&body);
    zmq_close(trainer);
    zmq_ctx_term(context);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_descriptor_a_connection_is_closed_and_later_ones_are_served),
        TEST(beyond_the_bound_of_all_the_one_with_most_is_cut),
        TEST(what_a_closed_connection_had_sent_counts_no_more),
        TEST(an_answer_that_libzmq_does_not_take_counts_no_more),
        TEST(what_is_read_counts_no_more),
        TEST(a_peer_that_takes_no_answers_is_cut),
        TEST(answers_that_are_taken_count_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
