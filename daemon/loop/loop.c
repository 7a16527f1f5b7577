#include "daemon/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/monitor/monitor.h"
#include "daemon/feed/socket.h"
#include "daemon/format/model_json.h"
#include "daemon/host/endpoints.h"
#include "daemon/host/lock.h"
#include "daemon/host/paths.h"
#include "daemon/http/http.h"
#include "daemon/ingest/ingest.h"
#include "daemon/loop/alert.h"
#include "daemon/loop/options.h"
#include "daemon/loop/work.h"
#include "proto/json.h"

#define STORE_FILE "richd.sqlite"
#define TICK_MS    1000
/* Jobs take seconds at most, a commit milliseconds; systemd waits 30 s before it kills. */
#define DRAIN_TICKS 10
/* A job or commit that is out for so long without any coming home is stuck: the watchdog is no
 * longer petted, and systemd starts us again. */
#define STUCK_TICKS 10
/* Rows of all trainers together may take this share of the memory, and at least room for two runs.
 */
#define BUDGET_SHARE     0.125
#define BUDGET_BYTES_MIN (256u << 20)
/* Moments and blocks may fill this share of the machine's memory. */
#define STATE_SHARE 0.5
/* Exit codes of sysexits.h. */
#define EXIT_UNAVAILABLE 69
#define EXIT_CANTCREATE  73
#define EXIT_IO          74

enum loop_state {
    LOOP_RUNNING,
    LOOP_DRAINING,
    LOOP_CLOSING,
};

struct loop {
    uv_loop_t uv;
    enum loop_state state;
    int exit_code;
    double started; /* seconds since 1970 */
    struct config *config;
    const char *state_dir;
    const char *runtime_dir;
    int state_lock, runtime_lock;

    uv_timer_t tick;
    uv_signal_t terminate, interrupt, hangup;
    bool has_handles;
    unsigned drain_ticks;
    bool handles_closing;
    bool stepping;

    struct monitor *monitor;
    struct actions actions;
    struct work *work;
    struct store_lane *store;
    struct readers *readers;
    struct feedhub *hub;
    struct feedsock *feed;
    struct http *http; /* NULL: off */
    struct ingest *ingest;
    struct alert *alert;
    struct log_limit not_stored;
    struct log_limit probe_limit;
    size_t n_out;         /* jobs and records that are lent */
    unsigned quiet_ticks; /* since one came home, while some are out */
};

static double clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- carrying out actions ------------------------------------------------------------------ */

static void maybe_close(struct loop *l);
static void start_closing(struct loop *l);

static void fail(struct loop *l, const char *text)
{
    if (l->exit_code == 0)
        log_error("stopping: %s", text);
    l->exit_code = EXIT_IO;
    start_closing(l);
}

static void tell_command(struct loop *l, const struct record *r, const char *layer,
                         const struct finding *f)
{
    cJSON *event = finding_to_json(r->run, layer, r->attempt, f);
    char *text = event ? json_print(event) : NULL, *line = NULL;
    int size = text ? asprintf(&line, "%s\n", text) : -1;

    cJSON_free(text);
    cJSON_Delete(event);
    if (size > 0)
        alert_put(l->alert, line, (size_t)size);
}

/* Events are few and told where somebody may look afterwards. */
static void tell_event(struct loop *l, const struct record *r, const char *layer,
                       const struct finding *f)
{
    const struct transition *t = &f->transition;

    log_info("transition run=%s layer=%s metric=%s direction=%s start=%lld end=%lld from=%.4g"
             " to=%.4g",
             r->run, layer, metric_table[f->metric].name, transition_direction_name(t->direction),
             (long long)t->start, (long long)t->end, t->from, t->to);
    if (alert_is_on(l->alert))
        tell_command(l, r, layer, f);
}

static void tell_events(struct loop *l, const struct record *r)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        for (size_t k = 0; k < p->n_findings; k++)
            tell_event(l, r, p->layer, &p->findings[k]);
    }
}

/* Why a point of a probe has no s_init; readers see the flag, and both numbers of rows. */
static void tell_probes(struct loop *l, const struct record *r)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (p->probe_doubt != PROBE_NONE)
            log_warn_limited(
                &l->probe_limit, "probe differs run=%s layer=%s step=%lld rows=%.0f: %s", r->run,
                p->layer, (long long)r->step, p->point.n, probe_doubt_text(p->probe_doubt));
    }
}

/* Acknowledge, then show, then forget. */
static void complete(struct loop *l, peer_id peer, struct record *r)
{
    if (peer && l->exit_code == 0)
        ingest_send_record_ack(l->ingest, peer, r);
    feedhub_publish(l->hub, r);
    tell_events(l, r);
    tell_probes(l, r);
    log_debug("stored run=%s seq=%llu step=%lld points=%zu scalars=%zu", r->run,
              (unsigned long long)r->seq, (long long)r->step, r->n_points, r->n_scalars);
    record_free(r);
}

static void start_job(struct loop *l, struct job *job)
{
    l->n_out++;
    if (work_start(l->work, job) == 0)
        return;
    l->n_out--;
    monitor_abandon_job(l->monitor, job, &l->actions);
    fail(l, "out of memory");
}

static void do_action(struct loop *l, struct action *a)
{
    switch (a->type) {
    case ACT_WELCOME:
        log_info("run opened run=%s attempt=%u", a->welcome.run, a->welcome.attempt);
        ingest_send_welcome(l->ingest, a->peer, &a->welcome);
        break;
    case ACT_PROGRESS:
        ingest_send_progress(l->ingest, a->peer, a->granted);
        break;
    case ACT_ACK:
        ingest_send_ack(l->ingest, a->peer, a->seq);
        break;
    case ACT_COMPLETE:
        complete(l, a->peer, a->record);
        break;
    case ACT_NACK:
        ingest_send_nack(l->ingest, a->peer, a->nack);
        free(a->nack);
        break;
    case ACT_JOB:
        start_job(l, a->job);
        break;
    case ACT_STORE:
        l->n_out++;
        store_lane_put(l->store, a->record);
        break;
    case ACT_FATAL:
        fail(l, a->fatal.text);
        break;
    }
}

/* Steps the core and carries out what it decides. Nothing that an action calls steps again from
 * below: jobs, commits and messages come back through the loop. */
static void step(struct loop *l, const struct event *e)
{
    struct batch *b;

    assert(!l->stepping);
    l->stepping = true;
    monitor_step(l->monitor, e, &l->actions);
    for (size_t i = 0; i < l->actions.n; i++)
        do_action(l, &l->actions.items[i]);
    l->actions.n = 0;
    while ((b = actions_next_released(&l->actions)))
        ingest_release(b);
    l->stepping = false;
    if (l->actions.out_of_memory)
        fail(l, "out of memory");
    if (l->state != LOOP_RUNNING)
        maybe_close(l);
}

static void on_ingest(void *arg, const struct event *e)
{
    step(arg, e);
}

static void on_job_done(void *arg, struct job *job)
{
    struct loop *l = arg;

    l->n_out--;
    l->quiet_ticks = 0;
    step(l, &(struct event){.type = EV_JOB_DONE, .time = clock_now(), .job = job});
}

static void on_stored(void *arg, struct record *r)
{
    struct loop *l = arg;

    if (r->rc < 0 && r->kind != RECORD_OPEN)
        log_warn_limited(&l->not_stored, "not stored run=%s seq=%llu: %s", r->run,
                         (unsigned long long)r->seq, r->error);
    l->n_out--;
    l->quiet_ticks = 0;
    step(l, &(struct event){.type = EV_STORED, .time = clock_now(), .record = r});
}

/* ---- status -------------------------------------------------------------------------------- */

static void add_status(void *arg, cJSON *o)
{
    struct loop *l = arg;
    struct monitor_stats m = monitor_stats(l->monitor);
    const struct store *store = store_lane_store(l->store);

    cJSON_AddStringToObject(o, "version", RICHD_VERSION);
    json_add_integer(o, "pid", getpid());
    json_add_double(o, "uptime_s", clock_now() - l->started);
    cJSON_AddStringToObject(o, "state_dir", l->state_dir);
    cJSON_AddStringToObject(o, "ingest", ingest_endpoint(l->ingest));
    cJSON_AddStringToObject(o, "feed", feedsock_address(l->feed));
    if (l->http)
        cJSON_AddStringToObject(o, "http", http_address(l->http));
    else
        cJSON_AddNullToObject(o, "http");
    cJSON_AddStringToObject(o, "blas", linalg_description());
    json_add_counter(o, "seq", store_feed_seq(store));
    json_add_integer(o, "runs_open", (int64_t)m.runs_open);
    json_add_integer(o, "connections", (int64_t)feedhub_n_clients(l->hub));
    json_add_integer(o, "subscriptions", (int64_t)feedhub_n_subscriptions(l->hub));
    json_add_integer(o, "batches", (int64_t)m.batches);
    json_add_integer(o, "rows", (int64_t)m.rows);
    json_add_integer(o, "bytes", (int64_t)m.bytes);
    json_add_integer(o, "batches_refused",
                     (int64_t)(m.batches_refused + ingest_n_refused(l->ingest)));
    json_add_integer(o, "points", (int64_t)m.points);
    json_add_integer(o, "commits", (int64_t)store_commits(store));
    json_add_integer(o, "buffered_bytes", (int64_t)m.buffered_bytes);
    json_add_integer(o, "budget_bytes", (int64_t)m.budget_bytes);
}

/* ---- time and signals ---------------------------------------------------------------------- */

/* The loop ticks, so it lives; the pool lives when what it was lent comes home. */
static void pet_watchdog(struct loop *l)
{
    l->quiet_ticks = l->n_out > 0 ? l->quiet_ticks + 1 : 0;
    if (l->quiet_ticks < STUCK_TICKS)
        sd_notify(0, "WATCHDOG=1");
}

static void on_tick(uv_timer_t *timer)
{
    struct loop *l = timer->data;

    pet_watchdog(l);
    if (l->state == LOOP_DRAINING && ++l->drain_ticks >= DRAIN_TICKS) {
        log_warn("not everything was finished within %d s", DRAIN_TICKS);
        start_closing(l);
        return;
    }
    if (l->state == LOOP_CLOSING)
        return;
    ingest_report_gone(l->ingest);
    feedsock_tick(l->feed);
    if (l->http)
        http_tick(l->http);
    step(l, &(struct event){.type = EV_TICK, .time = clock_now()});
}

/* What is under way cannot be called back, and a disk that hangs would never let it go: as after
 * kill -9, the next start finds everything that was acknowledged. */
static void leave(struct loop *l, int number)
{
    log_warn("%zu jobs and commits are left behind", l->n_out);
    endpoints_remove(l->runtime_dir);
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number); /* process 1 of a container outlives its own signals */
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *l = handle->data;

    if (l->state != LOOP_RUNNING) {
        log_warn("%s again: stopping at once", strsignal(number));
        if (l->n_out > 0)
            leave(l, number);
        start_closing(l);
        return;
    }
    log_info("%s: finishing what was promised", strsignal(number));
    sd_notify(0, "STOPPING=1");
    l->state = LOOP_DRAINING;
    ingest_stop(l->ingest);
    step(l, &(struct event){.type = EV_DRAIN, .time = clock_now()});
}

static void on_change(void *arg, const char *name, bool taken)
{
    (void)arg;
    if (taken)
        log_info("%s has changed", name);
    else
        log_warn("%s has changed, which needs a restart", name);
}

/* Also when neither option differs: the file of tokens may. */
static void set_access(struct loop *l)
{
    struct err e;

    if (l->http && http_set_access(l->http, l->config->value[OPTION_HTTP_HOST],
                                   l->config->value[OPTION_TOKEN_FILE], &e) < 0)
        log_error("http: names and tokens stay as they were: %s", e.text);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct loop *l = handle->data;
    struct config fresh;
    struct err e;

    if (l->state != LOOP_RUNNING)
        return;
    log_info("%s: reading the options again", strsignal(number));
    if (options_read(&fresh, l->config->argc, l->config->argv, &e) < 0) {
        log_error("the options stay as they were: %s", e.text);
        return;
    }
    config_take(l->config, &fresh, on_change, l);
    log_set_level(l->config->log_level);
    alert_set_path(l->alert, l->config->value[OPTION_ON_EVENT]);
    set_access(l);
    config_release(&fresh);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void on_part_closed(void *arg)
{
    (void)arg;
}

static void close_handles(struct loop *l)
{
    l->handles_closing = true;
    if (l->feed)
        feedsock_close(l->feed, on_part_closed, l);
    if (l->ingest)
        ingest_close(l->ingest, on_part_closed, l);
    l->feed = NULL;
    l->ingest = NULL;
    http_close(l->http);
    alert_close(l->alert);
    if (!l->has_handles)
        return;
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_close((uv_handle_t *)&l->terminate, NULL);
    uv_close((uv_handle_t *)&l->interrupt, NULL);
    uv_close((uv_handle_t *)&l->hangup, NULL);
}

static void start_closing(struct loop *l)
{
    if (l->state == LOOP_CLOSING)
        return;
    if (l->state == LOOP_RUNNING)
        ingest_stop(l->ingest);
    l->state = LOOP_CLOSING;
    if (!l->stepping)
        maybe_close(l);
}

/* What is lent comes home first: the handles below it stay open until then. */
static void maybe_close(struct loop *l)
{
    if (l->state == LOOP_DRAINING && monitor_is_settled(l->monitor))
        l->state = LOOP_CLOSING;
    if (l->state == LOOP_CLOSING && l->n_out == 0 && !l->handles_closing)
        close_handles(l);
}

static void free_parts(struct loop *l)
{
    struct batch *b;

    monitor_free(l->monitor, &l->actions);
    while ((b = actions_next_released(&l->actions)))
        ingest_release(b);
    actions_release(&l->actions);
    alert_free(l->alert);
    http_free(l->http);
    feedhub_free(l->hub);
    readers_close(l->readers);
    store_lane_close(l->store);
    work_free(l->work);
    if (l->runtime_lock >= 0)
        close(l->runtime_lock);
    if (l->state_lock >= 0)
        close(l->state_lock);
    free(l);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int lock_dirs(struct loop *l, struct err *e)
{
    int rc = paths_make_dir(l->state_dir, e);

    if (rc == 0)
        rc = paths_make_dir(l->runtime_dir, e);
    if (rc < 0)
        return rc;
    l->state_lock = lock_take(l->state_dir, e);
    if (l->state_lock < 0)
        return l->state_lock;
    if (strcmp(l->state_dir, l->runtime_dir) == 0)
        return 0;
    l->runtime_lock = lock_take(l->runtime_dir, e);
    return l->runtime_lock < 0 ? l->runtime_lock : 0;
}

/* A damaged history is set aside, by name, and a new one is started; never silently. */
static int open_store(struct loop *l, struct err *e)
{
    char *path = paths_join(l->state_dir, STORE_FILE), aside[4096];
    int rc;

    if (!path)
        return err_set(e, -ENOMEM, "out of memory");
    rc = store_lane_open(&l->uv, path, on_stored, l, &l->store, e);
    if (rc == -EUCLEAN) {
        log_error("%s", e->text);
        rc = store_set_aside(path, aside, sizeof aside, e);
        if (rc == 0) {
            log_error("the damaged history is kept as %s; a new one begins", aside);
            rc = store_lane_open(&l->uv, path, on_stored, l, &l->store, e);
        }
    }
    if (rc == 0)
        rc = readers_open(&l->uv, path, &l->readers, e);
    free(path);
    return rc;
}

static size_t n_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (size_t)n : 1;
}

/* What the machine has, or a container leaves us. */
static double memory_bytes(void)
{
    double all = (double)uv_get_total_memory(), ours = (double)uv_get_constrained_memory();

    return ours > 0 && ours < all ? ours : all;
}

static int open_core(struct loop *l, struct err *e)
{
    double budget = BUDGET_SHARE * memory_bytes();
    struct monitor_config config = {
        .n_workers = n_cpus(),
        .budget_bytes = budget > BUDGET_BYTES_MIN ? (uint64_t)budget : BUDGET_BYTES_MIN,
        .state_bytes = STATE_SHARE * memory_bytes(),
    };

    l->monitor = monitor_new(&config);
    l->work = work_new(&l->uv, on_job_done, l);
    l->hub = feedhub_new(l->readers, store_lane_store(l->store), add_status, l);
    return l->monitor && l->work && l->hub ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int open_alert(struct loop *l, const struct config *c, struct err *e)
{
    l->alert = alert_new(&l->uv, c->value[OPTION_ON_EVENT]);
    return l->alert ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static bool is_ready(void *arg)
{
    return ((struct loop *)arg)->state == LOOP_RUNNING;
}

static int open_http(struct loop *l, const struct config *c, struct err *e)
{
    struct http_config config = {
        .address = c->value[OPTION_HTTP],
        .hosts = c->value[OPTION_HTTP_HOST],
        .token_file = c->value[OPTION_TOKEN_FILE],
        .is_ready = is_ready,
        .arg = l,
    };

    return config.address ? http_open(&l->uv, &config, l->hub, &l->http, e) : 0;
}

static int open_sockets(struct loop *l, const struct config *c, struct err *e)
{
    int rc = lock_check_socket(c->value[OPTION_LISTEN], e);

    if (rc == 0)
        rc = lock_check_socket(c->value[OPTION_FEED], e);
    if (rc == 0)
        rc = ingest_open(&l->uv, c->value[OPTION_LISTEN], on_ingest, l, &l->ingest, e);
    if (rc == 0)
        rc = feedsock_open(&l->uv, c->value[OPTION_FEED], l->hub, &l->feed, e);
    if (rc == 0)
        rc = open_http(l, c, e);
    if (rc == 0)
        rc = endpoints_write(l->runtime_dir, ingest_endpoint(l->ingest), feedsock_address(l->feed),
                             l->http ? http_address(l->http) : NULL, e);
    return rc == 0 ? endpoints_share(c, e) : rc;
}

static void start_handles(struct loop *l)
{
    uv_timer_init(&l->uv, &l->tick);
    uv_signal_init(&l->uv, &l->terminate);
    uv_signal_init(&l->uv, &l->interrupt);
    uv_signal_init(&l->uv, &l->hangup);
    l->tick.data = l->terminate.data = l->interrupt.data = l->hangup.data = l;
    uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    uv_signal_start(&l->terminate, on_signal, SIGTERM);
    uv_signal_start(&l->interrupt, on_signal, SIGINT);
    uv_signal_start(&l->hangup, on_hangup, SIGHUP);
    l->has_handles = true;
}

/* The pool: one thread a core for jobs, and one each for the store and the readers, which mostly
 * wait for the disk. libuv reads the variable when the pool is first used. */
static void size_pool(void)
{
    char size[24];

    snprintf(size, sizeof size, "%zu", n_cpus() + 3);
    setenv("UV_THREADPOOL_SIZE", size, 1);
}

int loop_open(struct config *c, struct loop **out, int *exit_code, struct err *e)
{
    struct loop *l = calloc(1, sizeof *l);
    int rc;

    *exit_code = EXIT_UNAVAILABLE;
    if (!l)
        return err_set(e, -ENOMEM, "out of memory");
    size_pool();
    uv_loop_init(&l->uv);
    actions_init(&l->actions);
    l->started = clock_now();
    l->config = c;
    l->state_dir = c->value[OPTION_STATE_DIR];
    l->runtime_dir = c->value[OPTION_RUNTIME_DIR];
    l->state_lock = l->runtime_lock = -1;

    rc = lock_dirs(l, e);
    if (rc < 0) {
        *exit_code = EXIT_CANTCREATE;
        goto fail;
    }
    rc = open_store(l, e);
    if (rc < 0) {
        *exit_code = EXIT_IO;
        goto fail;
    }
    rc = open_core(l, e);
    if (rc == 0)
        rc = open_sockets(l, c, e);
    if (rc == 0)
        rc = open_alert(l, c, e);
    if (rc < 0)
        goto fail;
    start_handles(l);
    *out = l;
    return 0;
fail:
    close_handles(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    free_parts(l);
    return rc;
}

int loop_run(struct loop *l)
{
    int code, rc;

    log_info("ready ingest=%s feed=%s state=%s", ingest_endpoint(l->ingest),
             feedsock_address(l->feed), l->state_dir);
    if (l->http)
        log_info("http=%s", http_address(l->http));
    log_info("blas=\"%s\" workers=%zu", linalg_description(), n_cpus());
    sd_notify(0, "READY=1");
    uv_run(&l->uv, UV_RUN_DEFAULT);
    rc = uv_loop_close(&l->uv);
    if (rc < 0)
        log_error("the loop did not close: %s", uv_strerror(rc));
    code = l->exit_code;
    endpoints_remove(l->runtime_dir);
    free_parts(l);
    log_info("stopped");
    return rc < 0 ? EXIT_FAILURE : code;
}
