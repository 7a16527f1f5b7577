/* The control messages of INGEST.md, in both directions: the daemon parses what the client encodes,
 * and the other way round. Texts and limits are checked here, so that a parsed message keeps to the
 * page. No state, no I/O, any thread; the daemon and the client know what a message means. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/limits.h"
#include "proto/base/policy.h"
#include "proto/json.h"

#define CONTROL_PROTOCOL 1

enum control_type {
    CONTROL_HELLO, /* trainer to daemon */
    CONTROL_OPEN,
    CONTROL_CHECKPOINT,
    CONTROL_LOG,
    CONTROL_SUMMARY,
    CONTROL_CONFIG,
    CONTROL_CLOSE,
    CONTROL_PING,
    CONTROL_RELAY, /* a relay to the daemon behind it; so is BATCH */
    CONTROL_BATCH,
    CONTROL_HELLO_ANSWER, /* daemon to trainer */
    CONTROL_WELCOME,
    CONTROL_PROGRESS,
    CONTROL_ACK,
    CONTROL_NACK,
    CONTROL_PONG,
    CONTROL_PLACE, /* to a relay */
    CONTROL_TYPES,
};

enum control_status {
    CONTROL_FINISHED,
    CONTROL_FAILED,
};

/* In all of these: an optional text that is absent is NULL, an optional number NaN, an optional
 * integer the value named beside it. */
struct control_hello {
    int64_t protocol_min;
    int64_t protocol_max;
    const char *client; /* optional */
    const char *host;   /* optional */
    int64_t pid;        /* 0: absent */
};

struct control_open {
    const char *run;
    const char *name;    /* after parsing never NULL: the run's id when left out */
    const char *project; /* after parsing never NULL: "default" when left out */
    const char *group;   /* after parsing never NULL: "" when left out */
    const cJSON *tags;   /* array of strings, NULL: none */
    const cJSON *config; /* object, NULL: none */
    enum resume resume;
    int64_t attempt; /* 0: a new one */
    const char *writer;
    enum window_kind window;
    double half_life_rows; /* WINDOW_EXPONENTIAL, > 0 */
    int64_t every;         /* of the object `spectrum`: at each so-many-th checkpoint; 0: none */
    int64_t leading;       /* of `spectrum`: so many eigenvalues; 0: all */
    bool uncentred;        /* of `spectrum`: "centred":false */
    bool probe;            /* each window has the same rows */
    bool replay;           /* it comes from a spool: the attempt that the writer has, if any */
    double time;           /* of a replay, optional: when the spool began, seconds since 1970 */
    const char *host;      /* where the trainer runs; NULL: it does not say */
    enum projector_kind projector;
    double energy;        /* of the object `projector`: the share that `top` keeps; NaN: left out */
    int64_t k;            /* of `projector`: so many directions; 0: by energy */
    double lambda;        /* of `projector`, for `ridge`; NaN: left out */
    const cJSON *watched; /* `metrics` of the object `transitions`; NULL: left out */
    const char *launch;   /* of the object `member`: the start of the job; NULL: left out */
    int64_t rank;         /* of `member`, below world */
    int64_t world;        /* of `member` */
};

struct control_layer {
    const char *layer;
    int64_t seq;     /* its last batch */
    int64_t rows;    /* offered so far */
    int64_t thinned; /* left out so far, and not in `rows`; 0 by default */
};

struct control_checkpoint {
    int64_t seq;
    int64_t step;
    double time;   /* optional, seconds since 1970 */
    bool spectrum; /* wanted at this one */
    bool implied;  /* the trainer gave no step */
    struct control_layer *layers;
    size_t n_layers;
    const cJSON *metrics; /* object of numbers and nulls, NULL: none */
};

struct control_scalar {
    const char *name;
    double value; /* NaN: null */
};

struct control_log {
    int64_t seq;
    int64_t step;
    double time;  /* optional */
    bool implied; /* the trainer gave no step */
    struct control_scalar *scalars;
    size_t n_scalars;
};

/* summary and config: what holds for the whole run. */
struct control_constants {
    int64_t seq;
    const cJSON *values; /* object, never NULL */
};

struct control_close {
    int64_t seq;
    enum control_status status;
};

/* ping and pong */
struct control_ping {
    int64_t id;
};

/* What a relay's source is called: its store's id, and a number behind it. */
#define CONTROL_SOURCE_MAX 64

struct control_relay {
    const char *source;
    const char *session; /* tells this process from others */
    bool again;          /* it has written as that source before */
    int64_t version;     /* of batches, CONTROL_RELAYS */
};

/* A second frame has its rows. */
struct control_batch {
    const char *source;
    const char *session;
    int64_t batch;
    int64_t feed_seq; /* of the relay: up to there all is on the way with it */
};

/* What relays send to each other, and to whom they belong. */
#define CONTROL_RELAYS 1

struct control_hello_answer {
    int64_t protocol;
    const char *server; /* optional */
    bool members;       /* several trainers may speak for a run */
    int64_t relays;     /* takes relays' batches up to that version; 0: it does not know them */
    const char *feed;   /* where the daemon's feed is, optional */
    const char *page;   /* the link to its page for readers, with the token; optional */
    int64_t pid;        /* the daemon's, 0: it says none */
};

struct control_welcome {
    const char *run;
    int64_t attempt;
    int64_t granted;   /* bytes */
    int64_t last_seq;  /* 0: none */
    int64_t last_step; /* -1: none */
    int64_t rank;      /* of the object `member` */
    int64_t world;     /* of `member`; 0: left out */
};

struct control_progress {
    int64_t granted; /* bytes */
};

struct control_ack {
    int64_t seq;
    const cJSON *points; /* array of POINT objects, NULL: none */
};

/* Where a relay is: the answer to RELAY, with a second frame, and to each BATCH. */
struct control_place {
    const char *source;
    int64_t batch;
    int64_t feed_seq;
    const char *path;    /* the ids of the stores from here on, with commas between */
    const char *problem; /* optional: what was left out, and why */
};

struct control_nack {
    const char *code;
    const char *text; /* optional */
    bool fatal;
    int64_t seq;       /* 0: absent */
    const char *layer; /* optional */
    int64_t batch;     /* 0: absent */
};

struct control {
    enum control_type type;
    cJSON *root;
    void *array; /* the layers of a checkpoint, the scalars of a log */
    union {
        struct control_hello hello;
        struct control_open open;
        struct control_checkpoint checkpoint;
        struct control_log log;
        struct control_constants constants; /* SUMMARY, CONFIG */
        struct control_close close;
        struct control_ping ping;
        struct control_relay relay;
        struct control_batch batch;
        struct control_hello_answer hello_answer;
        struct control_welcome welcome;
        struct control_progress progress;
        struct control_ack ack;
        struct control_nack nack;
        struct control_ping pong;
        struct control_place place;
    };
};

/* Parses a control frame. Returns 0 and fills `out`, whose texts and arrays are borrowed until
 * control_release; or -EPROTO (what is wrong with which field in `err`) or -ENOMEM, with nothing to
 * release. */
int control_parse(const void *text, size_t size, struct control *out, struct err *err);

/* Frees what control_parse took. A zeroed or released one is fine. */
void control_release(struct control *);

/* "checkpoint" for CONTROL_CHECKPOINT. */
const char *control_type_name(enum control_type type);

/* A run's id: 1 to RUN_ID_MAX of A-Z a-z 0-9 . _ -, not starting with a dot. */
bool control_run_valid(const char *run);

/* Each returns one line without a newline (free with cJSON_free), or NULL when memory ran out.
 * Texts must be UTF-8. The text of a nack and the problem of a place may be anything: they are
 * mended and cut to TEXT_MAX bytes. */
char *control_encode_hello(const struct control_hello *);
char *control_encode_open(const struct control_open *);
char *control_encode_checkpoint(const struct control_checkpoint *);
char *control_encode_log(const struct control_log *);
char *control_encode_summary(const struct control_constants *);
char *control_encode_config(const struct control_constants *);
char *control_encode_close(const struct control_close *);
char *control_encode_ping(const struct control_ping *);
char *control_encode_hello_answer(const struct control_hello_answer *);
char *control_encode_welcome(const struct control_welcome *);
char *control_encode_progress(const struct control_progress *);
char *control_encode_ack(const struct control_ack *);
char *control_encode_nack(const struct control_nack *);
char *control_encode_pong(const struct control_ping *);
char *control_encode_relay(const struct control_relay *);
char *control_encode_batch(const struct control_batch *);
char *control_encode_place(const struct control_place *);

/* A parsed value as one line, for tags and config. Its doubles read back the same, which cJSON's
 * own printer does not promise. Returns a string (free with cJSON_free), or NULL. */
char *control_text(const cJSON *value);
