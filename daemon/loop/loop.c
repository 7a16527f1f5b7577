#include "daemon/loop/loop.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "daemon/host/elsewhere.h"
#include "daemon/host/endpoints.h"
#include "daemon/host/lock.h"
#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "daemon/host/paths.h"
#include "daemon/host/room.h"
#include "daemon/loop/options.h"
#include "daemon/loop/parts.h"
#include "daemon/loop/pool.h"
#include "proto/base/clock.h"
#include "proto/base/filesystem.h"

#define CPUS_MAX 640
/* So often free memory goes back to the system, which takes a millisecond or two. Of runs that came
 * and went for minutes 157 MiB stayed resident without it, 29 with it, and 6 were in use. */
#define TRIM_TICKS 60
/* Rows of all trainers together may take this share of the memory, and as much may wait in libzmq,
 * not read or not sent. */
#define BUDGET_SHARE     0.125
#define BUDGET_BYTES_MIN (256u << 20)
/* A spectrum of so many features takes 1.5 s, with old kernels 3. Of more it follows its point. */
#define SPECTRUM_FOLLOWS_P 2048
/* Moments and blocks may fill this share of the machine's memory. */
#define STATE_SHARE 0.5
/* Why a trainer is refused. */
#define READ_ONLY "this daemon only reads, with --read-only on: train with another one"
/* libuv's own bound. */
#define POOL_MAX 1024
/* Exit codes of sysexits.h. */
#define EXIT_UNAVAILABLE 69
#define EXIT_OSERR       71
#define EXIT_CANTCREATE  73
#define EXIT_TEMPFAIL    75

/* ---- time and signals ------------------------------------------------------------------------ */

/* The allocator keeps what runs have freed in pieces between those that are in use. */
static void return_memory(struct loop *loop)
{
    if (++loop->n_ticks % TRIM_TICKS == 0)
        malloc_trim(0);
}

static void tick_parts(struct loop *loop)
{
    feedsock_tick(loop->feed);
    if (loop->http)
        http_tick(loop->http);
    ingest_tick(loop->ingest);
    if (loop->state < LOOP_CLOSING) /* a step without memory ends the daemon */
        loop_step(loop, &(struct event){.type = EV_TICK, .time = clock_wall_s()});
    loop_check_store(loop);
    loop_try_store(loop);
    spools_tick(loop->spools);
    if (loop->state == LOOP_RUNNING)
        loop_prune(loop);
}

static void start_draining(struct loop *loop, const char *why)
{
    log_info("%s: finishing what was promised", why);
    notify_send("STOPPING=1");
    loop_move(loop, STOP_SIGNAL);
    loop_step(loop, &(struct event){.type = EV_DRAIN, .time = clock_wall_s()});
}

/* A run that is just being opened, or whose end waits for a full disk, is no open one. */
static bool is_used(const struct loop *loop)
{
    return monitor_stats(loop->monitor).runs_open > 0 || feedhub_n_clients(loop->hub) > 0 ||
           !monitor_is_settled(loop->monitor);
}

/* Nobody has asked for a daemon that a training started, so it goes when nobody needs it. */
static void look_whether_idle(struct loop *loop)
{
    int64_t now_ms = clock_monotonic_ms(), limit_ms = 1000 * (int64_t)loop->config->idle_exit_s;

    if (limit_ms == 0 || is_used(loop))
        loop->used_ms = now_ms;
    if (loop->state == LOOP_RUNNING && now_ms - loop->used_ms > limit_ms) {
        start_draining(loop, "nobody has used richd for the time of idle-exit");
        loop_move_on(loop);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct loop *loop = timer->data;

    loop_report_alive(loop);
    return_memory(loop);
    loop_stop_tick(loop);
    if (loop->state < LOOP_CLOSING)
        tick_parts(loop);
    look_whether_idle(loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;

    if (loop->state == LOOP_RUNNING)
        start_draining(loop, strsignal(number));
    else
        loop_stop_now(loop, number);
}

static void on_change(void *arg, const char *name, bool taken)
{
    (void)arg;
    if (taken)
        log_info("%s has changed", name);
    else
        log_warn("%s has changed, which needs a restart", name);
}

static void read_options_again(struct loop *loop)
{
    struct config fresh;
    struct err err;

    if (options_read(&fresh, loop->config->argc, loop->config->argv, &err) < 0) {
        log_error("the options stay as they were: %s", err.text);
        return;
    }
    config_take(loop->config, &fresh, on_change, loop);
    log_set_level(loop->config->log_level);
    alert_set_path(loop->alert, loop->config->value[OPTION_ON_EVENT]);
    loop_set_access(loop);
    ingest_read_keys(loop->ingest);
    loop_prune_soon(loop);
    config_release(&fresh);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;

    if (loop->state != LOOP_RUNNING)
        return;
    log_info("%s: reading the options again", strsignal(number));
    read_options_again(loop);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int make_runtime_dir(const struct loop *loop, struct err *err)
{
    char elsewhere[ELSEWHERE_SIZE];

    elsewhere_name(elsewhere);
    if (strcmp(loop->runtime_dir, elsewhere) == 0)
        return elsewhere_make(elsewhere, err);
    return paths_make_dir(loop->runtime_dir, err);
}

static int lock_dirs(struct loop *loop, struct err *err)
{
    int rc = paths_make_dir(loop->state_dir, err);

    if (rc == 0)
        rc = make_runtime_dir(loop, err);
    if (rc < 0)
        return rc;
    loop->state_lock = lock_take(loop->state_dir, err);
    if (loop->state_lock < 0)
        return loop->state_lock;
    if (strcmp(loop->state_dir, loop->runtime_dir) == 0)
        return 0;
    loop->runtime_lock = lock_take(loop->runtime_dir, err);
    return loop->runtime_lock < 0 ? loop->runtime_lock : 0;
}

/* As many as the pool, of 1,024 threads at most, has one and a half for. */
static size_t n_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    if (n > CPUS_MAX)
        return CPUS_MAX;
    return n > 0 ? (size_t)n : 1;
}

/* What the machine has, or a container or a limit leaves us. */
static double memory_bytes(void)
{
    double all = (double)uv_get_total_memory(), ours = (double)uv_get_constrained_memory();
    double limit = (double)room_limit_bytes();

    if (ours > 0 && ours < all)
        all = ours;
    return limit < all ? limit : all;
}

static uint64_t budget_bytes(void)
{
    double budget = BUDGET_SHARE * memory_bytes();

    return budget > BUDGET_BYTES_MIN ? (uint64_t)budget : BUDGET_BYTES_MIN;
}

static int open_core(struct loop *loop, struct err *err)
{
    struct monitor_config config = {
        .n_workers = n_cpus(),
        .budget_bytes = budget_bytes(),
        .state_bytes = STATE_SHARE * memory_bytes(),
        .spectrum_follows_p = SPECTRUM_FOLLOWS_P,
        .ranks_wait_ticks = loop->config->ranks_wait_s,
        .refuses = loop->config->is_read_only ? READ_ONLY : NULL,
    };

    loop->monitor = monitor_new(&config);
    loop->work = work_new(&loop->uv, n_cpus(), loop_on_job_done, loop);
    loop->hub = feedhub_new(loop->readers, store_lane_store(loop->store), loop->state_dir,
                            loop_add_status, loop);
    if (!loop->monitor || !loop->work || !loop->hub)
        return err_set(err, -ENOMEM, "out of memory");
    if (!loop->config->is_read_only)
        feedhub_set_lane(loop->hub, loop->store);
    return 0;
}

static int open_alert(struct loop *loop, const struct config *config, struct err *err)
{
    loop->alert = alert_new(&loop->uv, config->value[OPTION_ON_EVENT]);
    return loop->alert ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Without it nothing is missing but comfort: richctl import does the same. */
static void open_spools(struct loop *loop)
{
    struct err err;

    if (spools_open(&loop->uv, loop->state_dir, ingest_endpoint(loop->ingest), &loop->spools,
                    &err) < 0)
        log_warn("spools are not looked for: %s", err.text);
}

static int write_endpoints(struct loop *loop, struct err *err)
{
    struct endpoints_content content = {
        .ingest = ingest_endpoint(loop->ingest),
        .feed = feedsock_address(loop->feed),
        .http = loop_http_address(loop),
        .page = loop->page,
        .idle_exit_s = loop->config->idle_exit_s,
        .network = ingest_network(loop->ingest),
        .server_key = loop->server_key,
    };

    loop->elsewhere_lock = elsewhere_write(loop->config, &content, err);
    if (loop->elsewhere_lock < 0)
        log_debug("no second endpoints.json: %s", err->text);
    return endpoints_write(loop->runtime_dir, &content, err);
}

/* Our own keys are asked for by trainers of a network alone, and made when the first may come. */
static int open_network(struct loop *loop, const struct listen *listen,
                        const struct ingest_config *config, struct err *err)
{
    char *path = paths_join(loop->state_dir, SERVER_KEY_FILE);
    char *authorised = paths_join(loop->state_dir, AUTHORISED_FILE);
    struct keyfile keys = {.public_key = ""};
    struct ingest_config trainers = *config;
    int rc = path && authorised ? 0 : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0 && listen->n_more > 0)
        rc = keyfile_keep(path, &keys, err);
    if (rc == 0) {
        memcpy(loop->server_key, keys.public_key, sizeof loop->server_key);
        trainers.listen = listen;
        trainers.key = &keys;
        trainers.authorised = authorised;
        rc = ingest_open(&loop->uv, listen->local, &trainers, &loop->ingest, err);
    }
    explicit_bzero(&keys, sizeof keys);
    free(path);
    free(authorised);
    return rc;
}

static int open_sockets(struct loop *loop, const struct config *config, struct err *err)
{
    struct ingest_config trainers = {.on_event = loop_on_ingest,
                                     .on_relay = loop_on_relay,
                                     .arg = loop,
                                     .waiting_bytes_max = budget_bytes()};
    struct listen listen;
    int rc = listen_parse(config->value[OPTION_LISTEN], &listen, err);

    if (rc == 0)
        rc = lock_check_socket(listen.local, err);

    if (rc == 0)
        rc = lock_check_socket(config->value[OPTION_FEED], err);
    if (rc == 0)
        rc = open_network(loop, &listen, &trainers, err);
    if (rc == 0)
        rc = feedsock_open(&loop->uv, config->value[OPTION_FEED], loop->hub, &loop->feed, err);
    if (rc == 0)
        rc = loop_open_page(loop, err);
    if (rc == 0)
        ingest_tell(loop->ingest, feedsock_address(loop->feed), loop->page_of_readers);
    if (rc == 0)
        rc = write_endpoints(loop, err);
    return rc == 0 ? endpoints_share(config, err) : rc;
}

static void start_handles(struct loop *loop)
{
    uv_timer_init(&loop->uv, &loop->tick);
    uv_signal_init(&loop->uv, &loop->terminate);
    uv_signal_init(&loop->uv, &loop->interrupt);
    uv_signal_init(&loop->uv, &loop->hangup);
    loop->tick.data = loop->terminate.data = loop->interrupt.data = loop->hangup.data = loop;
    uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
    uv_signal_start(&loop->terminate, on_signal, SIGTERM);
    uv_signal_start(&loop->interrupt, on_signal, SIGINT);
    uv_signal_start(&loop->hangup, on_hangup, SIGHUP);
    loop->has_handles = true;
}

/* Threads for jobs, and one each for the store and the readers, which mostly wait for the disk. */
static int start_pool(struct loop *loop, struct err *err)
{
    size_t n = work_n_threads(n_cpus()) + 3;

    return pool_start(&loop->uv, n < POOL_MAX ? n : POOL_MAX, BUDGET_BYTES_MIN, err);
}

static void free_parts(struct loop *loop)
{
    struct batch *batch;

    monitor_free(loop->monitor, &loop->actions);
    while ((batch = actions_next_released(&loop->actions)))
        ingest_release(batch);
    actions_release(&loop->actions);
    loop_drop_acks(loop);
    alert_free(loop->alert);
    spools_free(loop->spools);
    share_close(loop->share);
    relay_close(loop->relay);
    http_free(loop->http);
    feedhub_free(loop->hub);
    store_check_free(loop->check);
    readers_close(loop->readers);
    store_lane_close(loop->store);
    free(loop->store_path);
    free(loop->token_path);
    work_free(loop->work);
    lock_release(loop->elsewhere_lock);
    lock_release(loop->runtime_lock);
    lock_release(loop->state_lock);
    free(loop);
}

int loop_open(struct config *config, struct loop **out, int *exit_code, struct err *err)
{
    struct loop *loop = calloc(1, sizeof *loop);
    int rc;

    *exit_code = EXIT_UNAVAILABLE;
    if (!loop)
        return err_set(err, -ENOMEM, "out of memory");
    uv_loop_init(&loop->uv);
    actions_init(&loop->actions);
    loop_init_held(loop);
    loop->started_ms = clock_monotonic_ms();
    loop->thread = uv_thread_self();
    loop->config = config;
    loop->state_dir = config->value[OPTION_STATE_DIR];
    loop->runtime_dir = config->value[OPTION_RUNTIME_DIR];
    loop->state_lock = loop->runtime_lock = loop->elsewhere_lock = -1;
    loop_init_watchdog(loop);

    rc = start_pool(loop, err);
    if (rc < 0) {
        *exit_code = EXIT_OSERR;
        goto fail;
    }
    rc = lock_dirs(loop, err);
    if (rc < 0) {
        *exit_code = rc == -EBUSY ? EXIT_TEMPFAIL : EXIT_CANTCREATE;
        goto fail;
    }
    if (filesystem_check(loop->state_dir, &loop->place_problem) < 0)
        log_warn("%s", loop->place_problem.text);
    rc = loop_open_store(loop, err);
    if (rc < 0) {
        *exit_code = EXIT_IO;
        goto fail;
    }
    rc = open_core(loop, err);
    start_handles(loop); /* who finds us by our files may end us */
    if (rc == 0)
        rc = open_sockets(loop, config, err);
    if (rc == 0)
        rc = open_alert(loop, config, err);
    if (rc == 0)
        rc = loop_open_share(loop, err);
    if (rc == 0)
        rc = loop_open_relay(loop, err);
    if (rc < 0)
        goto fail;
    open_spools(loop);
    *out = loop;
    return 0;
fail:
    loop_close_handles(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    free_parts(loop);
    return rc;
}

/* ---- running --------------------------------------------------------------------------------- */

int loop_run(struct loop *loop)
{
    const struct listen *network = ingest_network(loop->ingest);
    int code, rc;

    log_info("ready ingest=%s feed=%s state=%s", ingest_endpoint(loop->ingest),
             feedsock_address(loop->feed), loop->state_dir);
    for (size_t i = 0; network && i < network->n_more; i++)
        log_info("network=%s key=%s", network->more[i], loop->server_key);
    if (*loop->page)
        log_info("http=%s", loop_http_address(loop));
    log_info("blas=\"%s\" kernels=%s chosen_by=%s workers=%zu", linalg_description(),
             linalg_kernels(), blas_chosen_by(), n_cpus());
    loop_report_ready(loop);
    loop->used_ms = clock_monotonic_ms();
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    rc = uv_loop_close(&loop->uv);
    if (rc < 0)
        log_error("the loop did not close: %s", uv_strerror(rc));
    code = loop->exit_code;
    loop_remove_endpoints(loop);
    free_parts(loop);
    log_info("stopped");
    return rc < 0 ? EXIT_FAILURE : code;
}
