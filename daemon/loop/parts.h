/* The inside of the loop, shared by its files. Loop thread only.
 *
 * The way of an event:
 *
 *     loop.c     opens every part, and has the timer and the signals
 *     actions.c  steps the core with the event, and carries out what it decides
 *     storage.c  opens the store, whatever it finds
 *     prune.c    has runs leave the history that are too old, or too many
 *     share.c    has the history shared with other daemons
 *     relay.c    has what is stored go on to another daemon, and takes what others relay
 *     held.c     has acknowledgements wait for that history, where the options say so
 *     report.c   writes down what a stored record says: to the log, and to the command for events
 *     stop.c     moves the daemon from serving to its end
 *     status.c   answers server.status
 *     page.c     opens HTTP, asked for or not, and knows the page's address
 *     alive.c    tells the watchdog that all moves
 *
 * A trainer's message, a job that is done and a record that is stored are events, and come from the
 * parts that loop.c has opened; a second that has passed and a signal are loop.c's own. What fails
 * for good (the store, memory) is a move of stop.c, and the exit code. */
#pragma once

#include <uv.h>

#include "daemon/core/monitor/monitor.h"
#include "daemon/feed/socket.h"
#include "daemon/http/http.h"
#include "daemon/ingest/ingest.h"
#include "daemon/loop/alert.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/spools.h"
#include "daemon/loop/work.h"
#include "daemon/relay/relay.h"
#include "daemon/share/share.h"
#include "daemon/store/check.h"
#include "daemon/store/errand.h"

#define EXIT_IO 74 /* of sysexits.h */

#define TICK_MS 1000

enum loop_state {
    LOOP_RUNNING,
    LOOP_DRAINING,
    LOOP_CLOSING,
    LOOP_CLOSED,
    LOOP_N_STATES,
};

/* What is known of the pages that a start does not read. */
enum history_state {
    HISTORY_UNCHECKED,
    HISTORY_CHECKING,
    HISTORY_SOUND,
    HISTORY_DAMAGED,
    HISTORY_UNKNOWN, /* it could not be read, which is no damage: no memory, no right */
};

struct loop {
    uv_loop_t uv;
    uv_thread_t thread; /* the one that all of this belongs to */
    enum loop_state state;
    int exit_code;
    int64_t started_ms; /* of the monotonic clock: the other may be set */
    struct config *config;
    const char *state_dir;
    const char *runtime_dir;
    int state_lock, runtime_lock;
    int elsewhere_lock; /* of the second endpoints.json; < 0: there is none */

    uv_timer_t tick;
    uv_signal_t terminate, interrupt, hangup;
    bool has_handles; /* the four above are open */
    unsigned drain_ticks, close_ticks;
    int64_t used_ms; /* when the daemon was seen in use, of the monotonic clock */
    unsigned n_ticks;
    bool is_stepping;

    struct monitor *monitor;
    struct actions actions;
    struct work *work;
    struct store_lane *store;
    struct readers *readers;
    struct feedhub *hub;
    struct feedsock *feed;
    struct http *http;         /* NULL: off; without a page it could not listen */
    char page[400];            /* its address for its owner; "": there is none */
    char page_of_readers[400]; /* and for those who may not write */
    char server_key[KEY_SIZE]; /* our public one; "": no network is listened on */
    char *token_path;          /* of the page's own token; NULL: it has none */
    struct ingest *ingest;
    struct alert *alert;
    struct share *share;                       /* NULL: the history is not shared */
    struct relay *relay;                       /* NULL: nothing goes on to another daemon */
    size_t n_takes, take_bytes;                /* of relays, that are lent to the store */
    struct spools *spools;                     /* NULL: its directory cannot be used */
    struct list held_by_feed, held_by_commits; /* acknowledgements that wait for it */
    size_t n_held, n_held_points;
    struct log_limit not_stored;
    struct log_limit probe_limit;
    bool store_waits;    /* as it was told last */
    struct errand prune; /* while is_pruning */
    struct store_task prune_task;
    bool is_pruning;
    unsigned prune_pause_ticks;
    char *store_path;
    struct store_check *check; /* NULL: none reads */
    enum history_state history;
    struct err history_problem; /* "": none */
    struct err place_problem;   /* that its file system is no good for it; "": none */
    unsigned check_pause_ticks;
    bool check_hurries;   /* one that took its time was given up */
    unsigned n_repairs;   /* that a check has asked for; a second one would not help */
    size_t n_notes;       /* of the store, that are logged */
    size_t n_lent;        /* jobs and records that are out */
    unsigned still_ticks; /* what was lent and has not moved for so many is stuck */
    bool is_stuck;
    bool is_ready_told; /* the service manager has heard of it */
};

/* ---- actions.c ------------------------------------------------------------------------------- */

/* Hands the event to the core and carries out what it decides. */
void loop_step(struct loop *, const struct event *);
/* Callbacks of the parts, with the loop for `arg`: each is an event. */
void loop_on_ingest(void *arg, const struct event *);
void loop_on_job_done(void *arg, struct job *);
void loop_on_stored(void *arg, struct record *);

/* ---- storage.c ------------------------------------------------------------------------------- */

/* Opens the store and the readers: waits for a lock of another process, and sets a file that is
 * beyond repair aside. Returns 0 or -errno. */
int loop_open_store(struct loop *, struct err *err);
/* A second has passed: begins to read the whole file, or looks what came of it. */
void loop_check_store(struct loop *);
/* A second has passed: a store that could not write is tried, where nothing else does so. */
void loop_try_store(struct loop *);
/* As server.status has it. */
const char *loop_history_state(const struct loop *);

/* ---- prune.c --------------------------------------------------------------------------------- */

/* A second has passed: runs leave the history as keep-days and max-bytes say, at a start and each
 * hour. */
void loop_prune(struct loop *);
/* The options have changed. */
void loop_prune_soon(struct loop *);

/* ---- share.c --------------------------------------------------------------------------------- */

/* Shares the history, where the options name one. Returns 0 or -errno. */
int loop_open_share(struct loop *, struct err *err);
/* Whether the record begins an attempt, whose number daemons that share the history have to know:
 * they are asked, and it is stored then, within ASK_MS. */
bool loop_ask_history(struct loop *, struct record *);

/* ---- relay.c --------------------------------------------------------------------------------- */

/* Has what is stored go on, where the options name an upstream. Returns 0 or -errno. */
int loop_open_relay(struct loop *, struct err *err);
/* A relay's message, with the loop for `arg`: ingest_relay_cb. */
int loop_on_relay(void *arg, const struct take_request *, struct nack *);
/* ---- held.c ---------------------------------------------------------------------------------- */

void loop_init_held(struct loop *);
/* Whether acknowledgements wait for the shared history. */
bool loop_holds_acks(const struct loop *);
/* One that has nothing to publish; and one of a record, which is taken. */
void loop_hold_ack(struct loop *, peer_id, uint64_t seq);
void loop_hold_record(struct loop *, peer_id, struct record *);
/* The shared history has come so far: those that waited for it are sent. */
void loop_release_acks(void *loop, uint64_t feed_seq, uint64_t commits);
/* None is sent any more. */
void loop_drop_acks(struct loop *);

/* ---- page.c ---------------------------------------------------------------------------------- */

/* Opens HTTP as the options say, after the hub. Returns 0 or -errno. */
int loop_open_page(struct loop *, struct err *err);
/* Names and tokens may have changed. */
void loop_set_access(struct loop *);
/* "http://ADDRESS:PORT", or NULL: nothing listens. */
const char *loop_http_address(const struct loop *);

/* ---- report.c -------------------------------------------------------------------------------- */

/* What a person may want to know later: transitions, and probes that differ. */
void loop_report(struct loop *, const struct record *);

/* ---- stop.c ---------------------------------------------------------------------------------- */

enum stop_event {
    STOP_SIGNAL,  /* SIGTERM or SIGINT */
    STOP_SETTLED, /* the core has finished what was promised */
    STOP_OVERDUE, /* it took too long */
    STOP_FAILED,  /* the store or memory, for good */
    STOP_HOME,    /* nothing is lent any more */
    STOP_N_EVENTS,
};

/* Clients find us no more. */
void loop_remove_endpoints(const struct loop *);

/* The one function that moves the state; what belongs to entering one is done in it. */
void loop_move(struct loop *, enum stop_event);
/* Moves on as far as what is lent, and the core, allow. Not from within a step. */
void loop_move_on(struct loop *);
/* Logs why, and closes once what is lent is home. */
void loop_fail(struct loop *, const char *why);
/* A second has passed while the daemon stops. */
void loop_stop_tick(struct loop *);
/* A second signal: closes, or ends the process by it when something is lent. */
void loop_stop_now(struct loop *, int number);
/* Closes what is open of the handles; the loop has to turn until they are gone. */
void loop_close_handles(struct loop *);

/* ---- status.c -------------------------------------------------------------------------------- */

/* The members of server.status that only the daemon knows. */
void loop_add_status(void *arg, bool may_write, cJSON *status);

/* ---- alive.c --------------------------------------------------------------------------------- */

/* Reads what systemd expects. */
void loop_init_watchdog(struct loop *);
/* The first time when the loop begins. */
void loop_report_ready(struct loop *);
/* Once a tick. */
void loop_report_alive(struct loop *);
