/* The client's side of INGEST.md as a state machine. It numbers batches and marks, keeps marks
 * until their ack, keeps to the credit, and says hello and opens again on every connection. Pure:
 * no socket, clock or lock. The caller serialises all calls (the functions of richd.h and sender.c,
 * under the run's lock), and only the sender takes messages out.
 *
 * In comes what the program gives: session_submit queues a batch, session_checkpoint a mark behind
 * it. The sender says session_connected; session_next hands out hello and open. The daemon's
 * welcome (session_receive) opens the run, and session_next hands out what is queued, in order, as
 * far as the credit goes; session_sent moves a mark to those that are kept. Its ack settles the
 * ticket at which the program waits, and the mark is gone.
 *
 * What fails: a lost connection puts the kept marks back to the front, to be sent again. A nack is
 * final for its message, or has it sent again later, or ends the run: one table in conversation.c.
 * A batch without credit is dropped and counted after a while; silence makes the connection stale
 * (INGEST.md, Waiting).
 *
 *            session_connected              welcome
 *     AWAY --------------------> OPENING ------------> OPEN
 *       ^                         |   ^                 | |
 *       |                         |   +--- ENOTOPEN ----+ |
 *       +-- session_disconnected -+-----------------------+
 *
 *     OPENING, OPEN -- fatal nack --> ENDED, for good
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/c/item.h"
#include "include/richd.h"
#include "proto/control.h"

enum session_state {
    SESSION_AWAY,
    SESSION_OPENING,
    SESSION_OPEN,
    SESSION_ENDED,
    SESSION_STATES,
};

/* How long the session waits for what: INGEST.md, Waiting; the cases are in
 * proto/vectors/waiting.json. */
#define SESSION_PING_MS    1000
#define SESSION_SILENCE_MS 5000
#define SESSION_OPEN_MS    10000
#define SESSION_CREDIT_MS  10000
#define SESSION_RETRY_MS   1000
#define SESSION_ABSENT_MS  1000
#define SESSION_LOST_MS    5000
/* Marks that wait for their ack: those of INGEST.md, and 16 MiB of their text, which is 300
 * checkpoints of a run with the most layers. */
#define SESSION_MARKS_MAX      RUN_UNSTORED_MAX
#define SESSION_MARK_BYTES_MAX 16777216u

/* The place where a caller waits: it is filled when the mark is settled. While `item` is not NULL
 * the session may still write here; session_abandon lets go. */
struct ticket {
    bool settled;
    int rc; /* 0 acknowledged, or -errno */
    bool wants_points;
    struct richd_points *points; /* the caller frees */
    struct item *item;
};

struct session;

/* `open` is the text of the open message for a new attempt; it is checked by parsing it. `host` may
 * be NULL. Returns the session, or NULL with the reason in `err`. */
struct session *session_new(const char *open, const char *host, int64_t pid, struct err *err);

/* Frees the session and all it keeps; the rows' memory account must still stand. NULL is fine. */
void session_free(struct session *);

const char *session_run(const struct session *);
enum session_state session_state(const struct session *);

/* 0, or the code (-ESTALE...) with which a fatal nack ended the run. */
int session_ended(const struct session *);

/* The latest error of the daemon or the sender, "" when there was none; borrowed until the next
 * call. */
const char *session_complaint(const struct session *);

/* True while the daemon is known to be away: nobody should wait for its answer. */
bool session_is_absent(const struct session *);

/* Keeps an error of the sender for session_complaint. */
void session_complain(struct session *, const char *text);

/* ---- the program's side -------------------------------------------------------------------- */

/* Numbers the batch and queues it; takes it, also when it fails. 0, -ENOSPC when the run has too
 * many layers, or session_ended. */
int session_submit(struct session *, struct item *batch);

/* Counts a batch that there was no memory to queue, so that its rows are known to be missing. */
int session_drop(struct session *, const char *layer, uint32_t n_rows);

/* Queue a mark. `ticket` may be NULL; otherwise the caller waits at it until it is settled. 0,
 * -EAGAIN when too many marks wait, -EPROTO when a text is not UTF-8 or too long, -ENOMEM, or
 * session_ended. A close is always taken. */
int session_checkpoint(struct session *, int64_t step, double time, const struct richd_extras *,
                       struct ticket *ticket, struct err *err);
int session_log(struct session *, int64_t step, double time, const struct richd_scalar *scalars,
                size_t n_scalars, struct err *err);
int session_config(struct session *, const cJSON *values, struct err *err);
int session_summary(struct session *, const cJSON *values, struct err *err);
int session_close(struct session *, enum control_status status, struct ticket *ticket,
                  struct err *err);

/* The caller goes away: the ticket is not written any more. */
void session_abandon(struct ticket *ticket);

void session_stats(const struct session *, struct richd_stats *out);

/* ---- the sender's side; now_ms is of any monotonic clock ----------------------------------- */

void session_connected(struct session *, int64_t now_ms);
void session_disconnected(struct session *, int64_t now_ms);

/* A parsed message of the daemon; borrowed. True when a ticket may have been settled. */
bool session_receive(struct session *, const struct control *message, int64_t now_ms);

/* The next message to send, or NULL when there is none or no credit for it. It stays queued, and
 * stays valid without the lock, until session_sent or session_disconnected. */
struct item *session_next(struct session *, int64_t now_ms);
void session_sent(struct session *, struct item *item);

/* Pings, and sends again what is due. */
void session_tick(struct session *, int64_t now_ms);

/* The sender calls it again and again, connected or not. True when this call found the daemon to be
 * away: threads that wait for a ticket then look at session_is_absent. */
bool session_note_absence(struct session *, int64_t now_ms);
/* The sender itself did not run for so long: a daemon that nobody looked for is not away. */
void session_note_stall(struct session *, int64_t stall_ms);

/* True when the connection should be given up: silence, or an open that is never answered. */
bool session_is_stale(const struct session *, int64_t now_ms);

/* When a new connection may be tried; 0: at once. */
int64_t session_retry_at(const struct session *);
