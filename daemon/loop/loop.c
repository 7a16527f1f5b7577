#include "daemon/loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "daemon/host/endpoints.h"
#include "daemon/host/lock.h"
#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "daemon/loop/options.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"

#define STORE_FILE "richd.sqlite"
#define TICK_MS    1000
/* A job or commit that is out for so long without any coming home is stuck: the watchdog hears
 * nothing more of us, and systemd starts us again. */
#define STUCK_TICKS 10
/* Rows of all trainers together may take this share of the memory; two runs always find room. */
#define BUDGET_SHARE     0.125
#define BUDGET_BYTES_MIN (256u << 20)
/* Moments and blocks may fill this share of the machine's memory. */
#define STATE_SHARE 0.5
/* Exit codes of sysexits.h. */
#define EXIT_UNAVAILABLE 69
#define EXIT_CANTCREATE  73

/* ---- time and signals ------------------------------------------------------------------------ */

/* The loop ticks, so it lives; the pool lives when what it was lent comes home. */
static void report_alive(struct loop *l)
{
    l->quiet_ticks = l->n_lent > 0 ? l->quiet_ticks + 1 : 0;
    if (l->quiet_ticks < STUCK_TICKS)
        sd_notify(0, "WATCHDOG=1");
}

static void tick_parts(struct loop *l)
{
    ingest_report_gone(l->ingest);
    feedsock_tick(l->feed);
    if (l->http)
        http_tick(l->http);
    loop_step(l, &(struct event){.type = EV_TICK, .time = clock_wall_s()});
}

static void on_tick(uv_timer_t *timer)
{
    struct loop *l = timer->data;

    report_alive(l);
    loop_stop_tick(l);
    if (l->state < LOOP_CLOSING)
        tick_parts(l);
}

static void start_draining(struct loop *l, int number)
{
    log_info("%s: finishing what was promised", strsignal(number));
    sd_notify(0, "STOPPING=1");
    loop_move(l, STOP_SIGNAL);
    loop_step(l, &(struct event){.type = EV_DRAIN, .time = clock_wall_s()});
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *l = handle->data;

    if (l->state == LOOP_RUNNING)
        start_draining(l, number);
    else
        loop_stop_now(l, number);
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

static void read_options_again(struct loop *l)
{
    struct config fresh;
    struct err e;

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

static void on_hangup(uv_signal_t *handle, int number)
{
    struct loop *l = handle->data;

    if (l->state != LOOP_RUNNING)
        return;
    log_info("%s: reading the options again", strsignal(number));
    read_options_again(l);
}

/* ---- opening --------------------------------------------------------------------------------- */

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
    rc = store_lane_open(&l->uv, path, loop_on_stored, l, &l->store, e);
    if (rc == -EUCLEAN) {
        log_error("%s", e->text);
        rc = store_set_aside(path, aside, sizeof aside, e);
        if (rc == 0) {
            log_error("the damaged history is kept as %s; a new one begins", aside);
            rc = store_lane_open(&l->uv, path, loop_on_stored, l, &l->store, e);
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
    l->work = work_new(&l->uv, loop_on_job_done, l);
    l->hub = feedhub_new(l->readers, store_lane_store(l->store), loop_add_status, l);
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
        rc = ingest_open(&l->uv, c->value[OPTION_LISTEN], loop_on_ingest, l, &l->ingest, e);
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
    lock_release(l->runtime_lock);
    lock_release(l->state_lock);
    free(l);
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
    l->started = clock_wall_s();
    l->thread = uv_thread_self();
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
    loop_close_handles(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    free_parts(l);
    return rc;
}

/* ---- running --------------------------------------------------------------------------------- */

int loop_run(struct loop *l)
{
    int code, rc;

    log_info("ready ingest=%s feed=%s state=%s", ingest_endpoint(l->ingest),
             feedsock_address(l->feed), l->state_dir);
    if (l->http)
        log_info("http=%s", http_address(l->http));
    log_info("blas=\"%s\" kernels=%s chosen_by=%s workers=%zu", linalg_description(),
             linalg_kernels(), blas_chosen_by(), n_cpus());
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
