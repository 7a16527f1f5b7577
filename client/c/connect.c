/* The beginning of a run: the options become the open message, the session and its sender. */
#include "include/richd.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/c/run.h"
#include "proto/base/clock.h"

#define QUEUE_BYTES_DEFAULT ((size_t)64 * 1024 * 1024)
#define WRITER_BYTES        16
/* An id that the library makes: the name, cut so that '-' and 6 hex digits have room. */
#define ID_NAME_MAX 48

/* ---- every function of a run ---------------------------------------------------------------- */

int run_check(const struct richd_run *run)
{
    if (!run)
        return -EINVAL;
    return run->pid == getpid() ? 0 : -ECHILD;
}

void run_lock(struct richd_run *run)
{
    pthread_mutex_lock(&run->shared.lock);
}

int run_unlock(struct richd_run *run, int rc, const struct err *e)
{
    if (rc < 0 && e && e->text[0] != '\0')
        session_complain(run->shared.session, e->text);
    pthread_mutex_unlock(&run->shared.lock);
    return rc;
}

const char *richd_run_id(const struct richd_run *run)
{
    return run ? session_run(run->shared.session) : "";
}

const char *richd_version(void)
{
    return RICHD_VERSION;
}

bool run_overlay(void *ours, size_t our_size, const void *given)
{
    size_t size = 0;

    if (given)
        memcpy(&size, given, sizeof size);
    if (size > 0)
        memcpy(ours, given, size < our_size ? size : our_size);
    return size > 0;
}

/* ---- the open message ---------------------------------------------------------------------- */

/* Random hex digits, made from the clock and the process when the kernel gives none. */
static void random_hex(char *out, size_t n_bytes)
{
    unsigned char bytes[WRITER_BYTES];
    uint64_t seed = (uint64_t)getpid() ^ (uint64_t)(clock_wall_s() * 1e6);

    if (getrandom(bytes, n_bytes, GRND_NONBLOCK) != (ssize_t)n_bytes) {
        for (size_t i = 0; i < n_bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (unsigned char)(seed >> 56);
        }
    }
    for (size_t i = 0; i < n_bytes; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* "mod97 wd1" becomes "mod97-wd1-a1b2c3". */
static void make_run_id(const char *name, char out[RUN_ID_MAX + 1])
{
    size_t n = strnlen(name, ID_NAME_MAX);

    memcpy(out, name, n);
    out[n] = '\0';
    for (size_t i = 0; i < n; i++) {
        char one[2] = {out[i], '\0'};

        if (one[0] == '.' ? i == 0 : !control_run_valid(one))
            out[i] = '-';
    }
    out[n] = '-';
    random_hex(out + n + 1, 3);
}

/* Of texts ended by NULL; NULL is no text. */
static cJSON *list_texts(const char *const *texts)
{
    cJSON *array = cJSON_CreateArray();

    for (; array && texts && *texts; texts++) {
        cJSON *text = cJSON_CreateString(*texts);

        if (!text || !cJSON_AddItemToArray(array, text)) {
            cJSON_Delete(text);
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}

static int check_options(const struct richd_options *o, struct err *e)
{
    if ((unsigned)o->projector > RICHD_PROJECTOR_RIDGE)
        return err_set(e, -EINVAL, "projector is %d, which is no richd_projector",
                       (int)o->projector);
    if ((unsigned)o->resume > RICHD_RESUME_NEVER)
        return err_set(e, -EINVAL, "resume is %d, which is no richd_resume", (int)o->resume);
    if ((unsigned)o->window > RICHD_WINDOW_CUMULATIVE)
        return err_set(e, -EINVAL, "window is %d, which is no richd_window", (int)o->window);
    if (o->probe && o->window != RICHD_WINDOW_CHECKPOINT)
        return err_set(e, -EINVAL, "probe needs RICHD_WINDOW_CHECKPOINT");
    return 0;
}

/* 0 leaves the number to the daemon. */
static double given_or_none(double value)
{
    return value == 0 ? (double)NAN : value;
}

/* The open message as text, which the session checks by parsing it. */
static char *encode_open(const struct richd_options *o, struct err *e)
{
    char made_id[RUN_ID_MAX + 1], writer[2 * WRITER_BYTES + 1];
    struct control_open open = {.name = o->name,
                                .project = o->project,
                                .group = o->group,
                                .projector = (enum projector_kind)o->projector,
                                .energy = given_or_none(o->projector_energy),
                                .k = o->projector_k,
                                .lambda = given_or_none(o->projector_lambda)};
    cJSON *tags = list_texts(o->tags), *watched = list_texts(o->transitions), *config = NULL;
    char *text = NULL;

    if (o->config_json) {
        config = json_parse(o->config_json, strlen(o->config_json), e);
        if (!config) {
            err_prefix(e, -EINVAL, "config_json: ");
            goto done;
        }
    }
    make_run_id(o->name ? o->name : "run", made_id);
    random_hex(writer, WRITER_BYTES);
    open.run = o->run_id ? o->run_id : made_id;
    open.tags = tags;
    open.config = config;
    open.resume = (enum resume)o->resume;
    open.writer = writer;
    open.window = (enum window_kind)o->window;
    open.half_life_rows = o->half_life_rows;
    open.probe = o->probe != 0;
    open.every = o->spectrum_every;
    open.leading = o->spectrum_leading;
    open.uncentred = o->spectrum_uncentred != 0;
    open.watched = o->transitions ? watched : NULL;
    text = tags && watched ? control_encode_open(&open) : NULL;
    if (!text)
        err_set(e, -ENOMEM, "out of memory");
done:
    cJSON_Delete(tags);
    cJSON_Delete(watched);
    cJSON_Delete(config);
    return text;
}

static int new_session(struct richd_run *run, const struct richd_options *o, struct err *e)
{
    char host[TEXT_MAX + 1] = "";
    int rc = check_options(o, e);
    char *open = rc == 0 ? encode_open(o, e) : NULL;

    if (!open)
        return -EINVAL;
    if (gethostname(host, sizeof host - 1) < 0 || !json_utf8_valid(host, strlen(host)))
        host[0] = '\0';
    run->shared.session = session_new(open, host, run->pid, e);
    cJSON_free(open);
    return run->shared.session ? 0 : -EINVAL;
}

static int init_shared(struct shared *shared, struct err *e)
{
    pthread_condattr_t monotonic;
    int rc = pthread_mutex_init(&shared->lock, NULL);

    if (rc == 0)
        rc = pthread_condattr_init(&monotonic);
    if (rc == 0) {
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&shared->settled, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    return rc == 0 ? 0 : err_set(e, -rc, "making a lock: %s", strerror(rc));
}

/* The sender comes first, because it uses all the rest. */
void run_release(struct richd_run *run)
{
    sender_stop(run->sender);
    session_free(run->shared.session);
    pthread_cond_destroy(&run->shared.settled);
    pthread_mutex_destroy(&run->shared.lock);
    free(run);
}

static struct richd_run *new_run(const struct richd_options *o, struct err *e)
{
    struct richd_run *run = calloc(1, sizeof *run);

    if (!run || init_shared(&run->shared, e) < 0) {
        err_set(e, -ENOMEM, "out of memory");
        free(run);
        return NULL;
    }
    run->pid = getpid();
    run->queue_bytes = o->queue_bytes > 0 ? o->queue_bytes : QUEUE_BYTES_DEFAULT;
    if (new_session(run, o, e) < 0)
        goto fail;
    if (endpoints_init(&run->endpoints, o->endpoint, "RICHD_ENDPOINT", o->runtime_dir, e) < 0)
        goto fail;
    run->sender = sender_start(&run->shared, &run->endpoints, e);
    if (!run->sender)
        goto fail;
    return run;
fail:
    run_release(run);
    return NULL;
}

struct richd_run *richd_connect(const struct richd_options *options, char *error, size_t error_size)
{
    struct richd_options complete = RICHD_OPTIONS;
    struct err e = {""};
    struct richd_run *run;

    run_overlay(&complete, sizeof complete, options);
    run = new_run(&complete, &e);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", e.text);
    return run;
}
