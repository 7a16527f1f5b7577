#include "daemon/ingest/gate.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/host/files.h"

#define EXPORT __attribute__((visibility("default")))

typedef int accept4_fn(int, struct sockaddr *, socklen_t *, int);
typedef ssize_t recv_fn(int, void *, size_t, int);
typedef ssize_t send_fn(int, const void *, size_t, int);
typedef int close_fn(int);

/* libzmq asks again at once while a connection waits. */
#define PAUSE_NS 10000000

/* What waits for one side or the other, in bytes. */
struct peer {
    atomic_bool is_trainer;         /* it was accepted, and has not ended */
    bool is_stranger;               /* from a network, and no message of it has come so far */
    char address[INET6_ADDRSTRLEN]; /* of a stranger */
    uint64_t unread;                /* libzmq has read them, and ingest has not taken them */
    uint64_t unsent;                /* ingest has given them, and the trainer takes nothing */
};

static struct {
    atomic_bool is_open;
    pthread_t loop;       /* any other thread that asks is libzmq's */
    pthread_mutex_t lock; /* of what follows */
    size_t n_files;
    struct peer *peers;        /* by descriptor */
    uint64_t total, total_max; /* bytes that wait */
    int spare;                 /* given up for a connection that is accepted to be closed */
    struct gate_counts counts;
    size_t n_connected, n_strangers;
    size_t peak; /* most that were connected, since gate_peak was called */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .spare = -1};

/* The thread is the one that accepts, and so the only one that closes what it has accepted. It ends
 * before the gate is closed. */
static _Thread_local bool accepts;

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int gate_open(uint64_t waiting_bytes_max)
{
    gate.peers = calloc(files_limit(), sizeof *gate.peers);
    gate.spare = open_spare();
    if (!gate.peers || gate.spare < 0) {
        int rc = gate.peers ? -EMFILE : -ENOMEM;

        gate_close();
        return rc;
    }
    gate.n_files = files_limit();
    gate.loop = pthread_self();
    gate.total = 0;
    gate.total_max = waiting_bytes_max;
    gate.counts = (struct gate_counts){0};
    gate.n_connected = gate.n_strangers = gate.peak = 0;
    atomic_store(&gate.is_open, true);
    return 0;
}

void gate_close(void)
{
    struct peer *peers = gate.peers;

    atomic_store(&gate.is_open, false);
    pthread_mutex_lock(&gate.lock);
    gate.peers = NULL;
    gate.n_files = 0;
    pthread_mutex_unlock(&gate.lock);
    free(peers);
    if (gate.spare >= 0)
        close(gate.spare);
    gate.spare = -1;
}

static bool is_libzmq(void)
{
    return atomic_load(&gate.is_open) && !pthread_equal(pthread_self(), gate.loop);
}

static bool has_place(int fd)
{
    return fd >= 0 && (size_t)fd < gate.n_files;
}

/* ---- with the lock --------------------------------------------------------------------------- */

static uint64_t waiting(int fd)
{
    return gate.peers[fd].unread + gate.peers[fd].unsent;
}

/* So many of `count`, which is a peer's, wait no more. */
static void take(uint64_t *count, uint64_t bytes)
{
    uint64_t n = bytes < *count ? bytes : *count;

    *count -= n;
    gate.total -= n;
}

static void set_stranger(int fd, bool is_stranger)
{
    struct peer *peer = &gate.peers[fd];

    if (is_stranger && !peer->is_stranger)
        gate.n_strangers++;
    if (!is_stranger && peer->is_stranger)
        gate.n_strangers--;
    peer->is_stranger = is_stranger;
}

/* What waits for a connection ends with it. */
static void set_trainer(int fd, bool is_trainer)
{
    struct peer *peer = &gate.peers[fd];

    take(&peer->unread, peer->unread);
    take(&peer->unsent, peer->unsent);
    if (is_trainer && !peer->is_trainer)
        gate.n_connected++;
    if (gate.n_connected > gate.peak)
        gate.peak = gate.n_connected;
    if (!is_trainer && peer->is_trainer)
        gate.n_connected--;
    peer->is_trainer = is_trainer;
    if (!is_trainer && peer->is_stranger) {
        gate.counts.strangers++;
        memcpy(gate.counts.stranger, peer->address, sizeof peer->address);
        set_stranger(fd, false);
    }
}

/* The one for which most waits. */
static int largest(void)
{
    int found = 0;

    for (size_t i = 1; i < gate.n_files; i++) {
        if (waiting((int)i) > waiting(found))
            found = (int)i;
    }
    return found;
}

/* libzmq sees the end of the connection, and frees what is its own. */
static void cut(int fd)
{
    struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
    socklen_t size = sizeof peer;

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    gate.counts.cut++;
    gate.counts.cut_unread = gate.peers[fd].unread;
    gate.counts.cut_unsent = gate.peers[fd].unsent;
    gate.counts.cut_pid = peer.pid;
    gate.counts.cut_uid = peer.uid;
    set_trainer(fd, false);
    shutdown(fd, SHUT_RDWR);
}

/* So many more of `count`, which is the peer's, wait. Whether it is still connected. */
static bool add(int fd, uint64_t *count, uint64_t bytes)
{
    *count += bytes;
    gate.total += bytes;
    if (waiting(fd) > GATE_PEER_BYTES_MAX)
        cut(fd);
    else if (gate.total > gate.total_max)
        cut(largest());
    return gate.peers[fd].is_trainer;
}

/* ---- what ingest takes and gives ------------------------------------------------------------- */

void gate_take(int fd, uint64_t bytes)
{
    if (!has_place(fd))
        return;
    pthread_mutex_lock(&gate.lock);
    take(&gate.peers[fd].unread, bytes);
    set_stranger(fd, false);
    pthread_mutex_unlock(&gate.lock);
}

void gate_cut(int fd)
{
    if (!has_place(fd))
        return;
    pthread_mutex_lock(&gate.lock);
    if (gate.peers[fd].is_trainer) {
        set_trainer(fd, false);
        shutdown(fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&gate.lock);
}

bool gate_give(int fd, uint64_t bytes)
{
    bool is_connected = true;

    if (!has_place(fd))
        return true;
    pthread_mutex_lock(&gate.lock);
    if (gate.peers[fd].is_trainer)
        is_connected = add(fd, &gate.peers[fd].unsent, bytes);
    pthread_mutex_unlock(&gate.lock);
    return is_connected;
}

void gate_take_back(int fd, uint64_t bytes)
{
    if (!has_place(fd))
        return;
    pthread_mutex_lock(&gate.lock);
    take(&gate.peers[fd].unsent, bytes);
    pthread_mutex_unlock(&gate.lock);
}

size_t gate_peak(void)
{
    size_t peak;

    pthread_mutex_lock(&gate.lock);
    peak = gate.peak;
    gate.peak = gate.n_connected;
    pthread_mutex_unlock(&gate.lock);
    return peak;
}

struct gate_counts gate_counts(void)
{
    struct gate_counts counts;

    pthread_mutex_lock(&gate.lock);
    counts = gate.counts;
    pthread_mutex_unlock(&gate.lock);
    return counts;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* Those that would be called if ours were not here: libc's, a sanitizer's, a test's. */
static int accept_one(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    static _Atomic(accept4_fn *) next;
    accept4_fn *found = atomic_load(&next);

    if (!found) {
        found = (accept4_fn *)dlsym(RTLD_NEXT, "accept4");
        atomic_store(&next, found);
    }
    return found(listener, address, size, flags);
}

static int close_one(int fd)
{
    static _Atomic(close_fn *) next;

    if (!next)
        next = (close_fn *)dlsym(RTLD_NEXT, "close");
    return next(fd);
}

static bool is_scarce(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* Counted first: who was refused may ask for the count. */
static void refuse(int fd)
{
    pthread_mutex_lock(&gate.lock);
    gate.counts.refused++;
    pthread_mutex_unlock(&gate.lock);
    close(fd);
}

/* There is no descriptor: the spare one makes room for a connection that is closed at once. Another
 * process may take that room where the whole machine has none; then we pause, for the connection
 * goes on waiting. */
static void turn_away_without_room(int listener)
{
    int fd;

    if (gate.spare >= 0)
        close(gate.spare);
    fd = accept_one(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        refuse(fd);
    else
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    gate.spare = open_spare();
}

static void note_trainer(int fd, bool is_trainer)
{
    pthread_mutex_lock(&gate.lock);
    set_trainer(fd, is_trainer);
    pthread_mutex_unlock(&gate.lock);
}

/* The address at the other end, where that is not on this machine; else "". */
static void read_address(int fd, char text[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

    *text = '\0';
    getpeername(fd, (struct sockaddr *)&address, &size);
    if (address.ss_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
    if (address.ss_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
        inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
}

/* False: it is a stranger too many. */
static bool note_stranger(int fd)
{
    char address[INET6_ADDRSTRLEN];
    bool has_room = true;

    read_address(fd, address);
    if (!*address)
        return true;
    pthread_mutex_lock(&gate.lock);
    has_room = gate.n_strangers < GATE_STRANGERS_MAX;
    if (has_room) {
        set_stranger(fd, true);
        memcpy(gate.peers[fd].address, address, sizeof address);
    } else {
        gate.counts.crowded++;
        memcpy(gate.counts.stranger, address, sizeof address);
    }
    pthread_mutex_unlock(&gate.lock);
    return has_room;
}

/* In place of a connection that was refused libzmq gets an error after which it takes the next one.
 */
static int admit(int listener, int flags)
{
    int fd = accept_one(listener, NULL, NULL, flags);

    accepts = true;
    if (fd < 0 && !is_scarce(errno))
        return -1;
    if (fd < 0) {
        turn_away_without_room(listener);
    } else if (!has_place(fd) || !files_leaves_room(fd)) {
        refuse(fd);
    } else if (!note_stranger(fd)) {
        close_one(fd);
    } else {
        note_trainer(fd, true);
        return fd;
    }
    errno = ECONNABORTED;
    return -1;
}

EXPORT int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    return is_libzmq() ? admit(listener, flags) : accept_one(listener, address, size, flags);
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* libzmq closes a connection without reading its end where it refuses what came, or waited for it
 * for too long. Noted before, for then the number may be another's. Other files, and other threads,
 * take no lock: not even in a child between fork and exec, where one would stay as it was. */
EXPORT int close(int fd)
{
    if (accepts && has_place(fd) && gate.peers[fd].is_trainer)
        note_trainer(fd, false);
    return close_one(fd);
}

/* ---- reading and writing --------------------------------------------------------------------- */

static ssize_t receive_one(int fd, void *data, size_t size, int flags)
{
    static _Atomic(recv_fn *) next;

    if (!next)
        next = (recv_fn *)dlsym(RTLD_NEXT, "recv");
    return next(fd, data, size, flags);
}

static ssize_t send_one(int fd, const void *data, size_t size, int flags)
{
    static _Atomic(send_fn *) next;

    if (!next)
        next = (send_fn *)dlsym(RTLD_NEXT, "send");
    return next(fd, data, size, flags);
}

/* What libzmq is told: a connection that was cut is at its end. */
static ssize_t note_read(int fd, ssize_t n, int code)
{
    if (n > 0)
        return add(fd, &gate.peers[fd].unread, (uint64_t)n) ? n : 0;
    if (n == 0 || (code != EAGAIN && code != EINTR))
        set_trainer(fd, false);
    return n;
}

EXPORT ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t n = receive_one(fd, data, size, flags);
    int code = errno;

    if (!is_libzmq() || !has_place(fd))
        return n;
    pthread_mutex_lock(&gate.lock);
    if (gate.peers[fd].is_trainer)
        n = note_read(fd, n, code);
    pthread_mutex_unlock(&gate.lock);
    errno = code;
    return n;
}

EXPORT ssize_t send(int fd, const void *data, size_t size, int flags)
{
    ssize_t n = send_one(fd, data, size, flags);
    int code = errno;

    if (n <= 0 || !is_libzmq() || !has_place(fd))
        return n;
    pthread_mutex_lock(&gate.lock);
    take(&gate.peers[fd].unsent, (uint64_t)n);
    pthread_mutex_unlock(&gate.lock);
    errno = code;
    return n;
}
