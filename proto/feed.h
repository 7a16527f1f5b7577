/* The JSON-RPC codec of the feed: lines to requests, requests to typed parameters, answers to
 * lines. It does no I/O and holds no state; any thread. The daemon knows what a method does, and
 * whether a run, a layer or a measure exists. proto/FEED.md is the authority. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/limits.h"

enum feed_code {
    FEED_NOT_JSON = -32700,
    FEED_NOT_A_REQUEST = -32600,
    FEED_NO_METHOD = -32601,
    FEED_BAD_PARAMS = -32602,
    FEED_FAILED = -32603,
    FEED_NOT_FOUND = -32001,
    FEED_TOO_MANY = -32002,
    FEED_NOT_ALLOWED = -32003,
};

enum feed_method {
    FEED_HELLO,
    FEED_STATUS,
    FEED_RUN_LIST,
    FEED_RUN_GET,
    FEED_RUN_EDIT,
    FEED_RUN_DELETE,
    FEED_HISTORY_PRUNE,
    FEED_VIEW_LIST,
    FEED_VIEW_SAVE,
    FEED_VIEW_DELETE,
    FEED_LAYER_LIST,
    FEED_SERIES_QUERY,
    FEED_SERIES_SUBSCRIBE,
    FEED_SERIES_UNSUBSCRIBE,
    FEED_SCALARS_QUERY,
    FEED_EVENT_QUERY,
    FEED_EVENT_SUBSCRIBE,
    FEED_EVENT_UNSUBSCRIBE,
    FEED_SPECTRUM_QUERY,
    FEED_REPRESENTATION_LIST,
    FEED_REPRESENTATION_MAP,
    FEED_METRIC_LIST,
    FEED_METHOD_COUNT,
};

/* "project/name", two texts. */
#define FEED_RUN_MAX (2 * TEXT_MAX + 1)
/* An id is echoed, so it is short. */
#define FEED_ID_MAX 128
/* run.list: what one answer holds at most. A reader pages with `offset`. */
#define FEED_LIST_MAX       1000
#define FEED_LIST_DEFAULT   100
#define FEED_POINTS_MIN     4
#define FEED_POINTS_MAX     100000
#define FEED_POINTS_DEFAULT 10000
/* Rows of a page, as `limit` asks. */
#define FEED_ROWS_MAX 100000
/* As many as a run has scalars in one log. */
#define FEED_NAMES_MAX 1024
/* What a person writes about a run, in bytes: some pages of text. A list of 1,000 runs has 16 MiB
 * of notes at most. */
#define FEED_NOTE_MAX 16384
/* A saved view: its name stands in a menu, its query is a link of the page, where 50 runs take 4
 * KiB. A note is as long as a run's, so 1,000 views are 33 MB at most. */
#define FEED_VIEW_NAME_MAX  200
#define FEED_VIEW_QUERY_MAX 16384
/* Tags of a run that a person gives it, or that a list is narrowed by. */
#define FEED_TAGS_MAX 64
/* Values of the configuration that a list is narrowed by: each is looked up in every run's. */
#define FEED_WHERE_MAX 16
/* Measures and scalars with which each run of a list comes. */
#define FEED_VALUES_MAX 32

/* A request; it owns the parsed line, and all that is extracted from it borrows from there. */
struct feed_request {
    cJSON *tree;
    const cJSON *id; /* NULL: the answer has id null */
    enum feed_method method;
    const cJSON *params; /* NULL: none */
};

/* Parses one line, without its newline. Returns 0, or the feed_code to answer with and its text in
 * `err`; `out` is valid in both cases (release with feed_request_release), and `out->id` is what
 * the answer has to carry. */
int feed_request_parse(const char *line, size_t size, struct feed_request *out, struct err *err);
void feed_request_release(struct feed_request *);

/* ---- parameters ---- */

/* Each function fills `out` with defaults and what the request says, and returns 0 or
 * FEED_BAD_PARAMS with a text that names the parameter. Texts and arrays are borrowed from the
 * request. */

struct feed_hello {
    const char *client; /* "" when left out */
    const char *token;  /* NULL when left out */
};

enum feed_sort {
    FEED_BY_CREATED,
    FEED_BY_UPDATED,
    FEED_BY_NAME, /* project, then name */
    FEED_BY_STATE,
    FEED_BY_MEASURE, /* these three have a `key` */
    FEED_BY_SCALAR,
    FEED_BY_CONFIG,
};

struct feed_run_list {
    const char *project; /* NULL: all */
    const char *group;   /* NULL: all */
    const char *search;  /* NULL: all; else a part of id, project/name, group, note or tags */
    const cJSON *tags;   /* array of texts, all of which a run has; NULL: any */
    const cJSON *where;  /* object: what the configuration has; NULL: anything */
    const cJSON
        *values; /* array of measures and scalar:NAME that each run comes with; NULL: none */
    const cJSON *values_at; /* object: where those of these names are read; NULL: all at the end */
    const char *state;      /* NULL: all; else one of open, finished, failed, lost */
    enum feed_sort sort;
    const char *key; /* of the measure, scalar or configuration that is sorted by */
    bool descending;
    bool hidden; /* hidden ones, too */
    bool config; /* with the configuration of each run */
    int64_t limit;
    int64_t offset;
};

/* Where a value of run.list is read. */
enum feed_at {
    FEED_AT_LAST,
    FEED_AT_LEAST,
    FEED_AT_GREATEST,
    FEED_AT_STEP, /* the latest one up to a step */
};

/* Of the value of that name; `step` is set with FEED_AT_STEP. `values_at`: of the list. */
enum feed_at feed_value_at(const cJSON *values_at, const char *name, int64_t *step);

/* A range in `where`, {"min","max"}: either may be missing, which is NaN. False: it is a value. */
bool feed_where_range(const cJSON *value, double *min, double *max);

/* What a person changes of a run; NULL, or has_hidden false: as it is. */
struct feed_run_edit {
    const char *run;
    const char *name;
    const char *note;
    const cJSON *tags; /* array of texts */
    bool has_hidden, hidden;
};

struct feed_run {
    const char *run;
};

/* A view that a person has saved: how the page was set. */
struct feed_view_save {
    const char *name;
    const char *query;
    const char *note; /* NULL: as it is */
    bool replace;     /* also when one of that name is there */
};

struct feed_view_delete {
    const char *name;
};

/* What leaves the history. */
struct feed_prune {
    int64_t keep_days; /* -1: however old */
    int64_t max_bytes; /* -1: however much */
    bool is_dry;
};

/* A place in a series: the row of that step in that attempt. */
struct feed_place {
    int64_t attempt; /* 0: before the first row */
    int64_t step;
};
/* "ATTEMPT:STEP" with its NUL, as `next` in requests and answers. */
#define FEED_PLACE_SIZE 44

/* What series.query and scalars.query have in common. */
struct feed_range {
    int64_t from;
    int64_t to;
    int64_t points;
    int64_t limit;          /* rows an answer; 0: all of them, or bins */
    struct feed_place next; /* only the rows after it */
    bool linear;            /* spacing of bins; else log */
    bool all_attempts;      /* superseded points too */
    bool times;             /* bins say when their last row was made */
};

struct feed_series_query {
    const char *run;
    const char *layer;    /* NULL: all */
    const cJSON *metrics; /* array of texts; NULL: all */
    const cJSON *scalars; /* array of texts; NULL: see all_scalars */
    bool all_scalars;     /* else none without `scalars` */
    struct feed_range range;
};

struct feed_scalars_query {
    const char *run;
    const cJSON *names; /* array of texts; NULL: all */
    struct feed_range range;
};

struct feed_event_query {
    const char *run;
    const char *layer; /* NULL: all */
    int64_t from;
    int64_t to;
    bool all_attempts;
};

struct feed_spectrum_query {
    const char *run;
    const char *layer; /* NULL: the only one */
    int64_t step;      /* -1: the latest that has one */
};

struct feed_representation_map {
    const char *run;
    const char *with;    /* NULL: compare the run with itself */
    const cJSON *layers; /* array of texts; NULL: all */
    int64_t from, to;    /* equal for one step */
    int64_t step;        /* that step; -1: none was named */
    bool is_range;       /* all of from..to; else the latest one of each layer */
};

/* series.subscribe and event.subscribe. */
struct feed_subscribe {
    const char *run; /* NULL: all */
    bool has_since_seq;
    uint64_t since_seq;
};

struct feed_unsubscribe {
    int64_t sub;
};

int feed_hello_read(const struct feed_request *, struct feed_hello *out, struct err *err);
int feed_run_list_read(const struct feed_request *, struct feed_run_list *out, struct err *err);
int feed_run_read(const struct feed_request *, struct feed_run *out, struct err *err);
int feed_run_edit_read(const struct feed_request *, struct feed_run_edit *out, struct err *err);
int feed_view_save_read(const struct feed_request *, struct feed_view_save *out, struct err *err);
int feed_view_delete_read(const struct feed_request *, struct feed_view_delete *out,
                          struct err *err);
int feed_prune_read(const struct feed_request *, struct feed_prune *out, struct err *err);
int feed_series_query_read(const struct feed_request *, struct feed_series_query *out,
                           struct err *err);
int feed_scalars_query_read(const struct feed_request *, struct feed_scalars_query *out,
                            struct err *err);
int feed_event_query_read(const struct feed_request *, struct feed_event_query *out,
                          struct err *err);
int feed_spectrum_query_read(const struct feed_request *, struct feed_spectrum_query *out,
                             struct err *err);
int feed_representation_map_read(const struct feed_request *, struct feed_representation_map *out,
                                 struct err *err);
int feed_subscribe_read(const struct feed_request *, struct feed_subscribe *out, struct err *err);
int feed_unsubscribe_read(const struct feed_request *, struct feed_unsubscribe *out,
                          struct err *err);

/* Writes a place as `next` has it. */
void feed_place_print(const struct feed_place *, char text[FEED_PLACE_SIZE]);

/* ---- answers ---- */

/* Each returns one line that ends in '\n' (free with free), its length in `*size`; or NULL when
 * memory ran out. feed_result and feed_notification take the tree, also when they fail. */

char *feed_result(const cJSON *object, cJSON *result, size_t *size);
char *feed_error(const cJSON *object, int code, const char *text, size_t *size);
char *feed_notification(const char *method, cJSON *params, size_t *size);

/* The code for a -errno of the daemon: -ENOENT not found, -EINVAL bad parameters, -ENOBUFS no room
 * for more answers, else failed. */
int feed_code_of(int rc);
