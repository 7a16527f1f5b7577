/* Which trainers get through to libzmq, and how much may wait there for each. libzmq accepts, reads
 * and writes in a thread of its own; 4.3.4 ends the process when no descriptor is left for a
 * connection, keeps a message that has no end without bound, and answers that nobody takes up to
 * their number, whatever their size. So the four system calls by which it meets trainers, accept4,
 * recv, send and close, are defined in this program, where the dynamic linker finds them before
 * libc's. In libzmq's thread they ask the gate; for all others they are the kernel's.
 *
 * Owns the counts of bytes by descriptor, one set for the process, as there is one accept4. Opened
 * and closed by the thread that runs the loop, before and after libzmq's thread; the other
 * functions are that thread's, too. ingest.c takes the messages, answers.c gives the answers. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What may wait in libzmq of one trainer, and for it: the credit of a connection may be on its way
 * (MONITOR_CREDIT_MAX), and one frame beyond it, which is refused when it is there; or the answers
 * to all messages that may be without one. Beyond, it is cut. */
#define GATE_PEER_BYTES_MAX (128u << 20)

/* Connections of a network that have shown no key yet. Each has a descriptor, 25 kB, and 5 s for
 * its handshake: as many as a cluster begins at once, and 6 MB. What knocks beyond them is turned
 * away, and a trainer tries again. */
#define GATE_STRANGERS_MAX 256

struct gate_counts {
    uint64_t refused;                /* connections, for want of descriptors */
    uint64_t strangers;              /* of a network, that ended before a message of theirs came */
    uint64_t crowded;                /* refused, for there are GATE_STRANGERS_MAX of these */
    char stranger[INET6_ADDRSTRLEN]; /* the address of the last one of both */
    uint64_t cut;                    /* trainers, for what waited */
    uint64_t cut_unread, cut_unsent; /* of the last one of these, and who it was; -1: not known */
    pid_t cut_pid;
    uid_t cut_uid;
};

/* `waiting_bytes_max`: of all trainers together; beyond it the one with most is cut. Returns 0 or
 * -errno. */
int gate_open(uint64_t waiting_bytes_max);
/* Also of one that is not open. */
void gate_close(void);

/* ingest has taken a message of so many bytes, headers included, that came on this descriptor. */
void gate_take(int fd, uint64_t bytes);
/* ingest gives libzmq an answer for it. False: the trainer was cut, and the answer is for nobody.
 */
bool gate_give(int fd, uint64_t bytes);
/* Ends the connection, whose sender has no right any more; -1 is fine. */
void gate_cut(int fd);
/* libzmq did not take the answer that was given: its trainer has gone, or takes none. */
void gate_take_back(int fd, uint64_t bytes);

struct gate_counts gate_counts(void);
/* Most trainers that were connected at once since the last call. */
size_t gate_peak(void);
