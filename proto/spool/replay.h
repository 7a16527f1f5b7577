/* The conversation by which one spool is sent (SPOOL.md, Replay): what is sent next, within which
 * credit, and what the answers mean. One thread; it owns the file and reads it, and knows no socket
 * and no clock. launch.h has both.
 *
 *          connected         hello            welcome, the attempt is on disk
 *     AWAY --------> GREETING -----> OPENING -------------------------------> SENDING
 *      ^                |              |                                        |
 *      +---------------------- the connection ended ----------------------------+
 *
 *     SENDING -> STORED    each message has its answer, the file is removed
 *     any     -> KEPT      the daemon refuses it for good, it is damaged, or the disk fails: the
 * file stays
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/control.h"
#include "proto/spool/file.h"

/* Of INGEST.md, Waiting. */
#define REPLAY_PING_MS    1000
#define REPLAY_SILENCE_MS 5000
#define REPLAY_OPEN_MS    10000
#define REPLAY_RETRY_MS   1000
/* A live trainer leaves out a message for which there is no credit for 10 s. Here it waits on the
 * disk, so nothing is left out: after this time without credit and without an answer that is still
 * to come, the file stays. */
#define REPLAY_CREDIT_MS 60000

/* So often an open is refused for now (EBUSY), one connection after the other, until the file has
 * to wait for a later call: its run may be live for hours, and other files are waiting. */
#define REPLAY_OPENS_MAX 3

enum replay_state {
    REPLAY_AWAY,
    REPLAY_GREETING,
    REPLAY_OPENING,
    REPLAY_SENDING,
    REPLAY_STORED,
    REPLAY_KEPT,
};

struct replay_facts {
    char run[RUN_ID_MAX + 1];
    char launch[LAUNCH_MAX + 1]; /* "": the run has one trainer */
    int64_t attempt;             /* 0: none yet */
    uint64_t size_bytes;         /* of the file's whole records */
    uint64_t answered_bytes;     /* records before it have their answers */
    uint64_t n_messages;         /* sent, rows among them */
    uint64_t n_refused;          /* of these, by the daemon or because they are none */
    bool may_pass;               /* KEPT for a reason that may pass: a full disk */
    char text[ERR_TEXT_SIZE];    /* the last refusal, or why the file stays */
};

struct replay;

/* Opens the file at its greeting. On 0 `*out` is to be freed; errors are those of spool_file_open,
 * and -EPROTO where the first record is no greeting. */
int replay_open(const char *path, struct replay **out, struct err *err);
/* Whose the file is, which another process may hold: `run` and `launch`. 0, or as replay_open. */
int replay_look(const char *path, struct replay_facts *out, struct err *err);
/* Lets go of the file. NULL is fine. */
void replay_free(struct replay *);

enum replay_state replay_state(const struct replay *);
/* Nothing is to be done any more: STORED or KEPT. */
bool replay_is_over(const struct replay *);
const struct replay_facts *replay_facts(const struct replay *);

/* A connection is there, or has ended. The latter also when replay_tick asks for it. */
void replay_connected(struct replay *, int64_t now_ms);
void replay_disconnected(struct replay *);
/* A message of the daemon. */
void replay_receive(struct replay *, const struct control *, int64_t now_ms);

/* To be called several times a second. False: this connection is to be ended; another one may be
 * made after REPLAY_RETRY_MS. */
bool replay_tick(struct replay *, int64_t now_ms);

/* The frames to send next, borrowed until replay_sent: a greeting or a ping, or, with `may_send`, a
 * record. Returns their number; 0: nothing now, look at the state. */
size_t replay_next(struct replay *, bool may_send, int64_t now_ms,
                   const struct wire_frame **frames);
/* They were sent. */
void replay_sent(struct replay *);
