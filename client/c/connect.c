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

int run_unlock(struct richd_run *run, int rc, const struct err *err)
{
    if (rc < 0 && err && err->text[0] != '\0')
        session_complain(run->shared.session, err->text);
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

static int check_options(const struct richd_options *options, struct err *err)
{
    if ((unsigned)options->projector > RICHD_PROJECTOR_RIDGE)
        return err_set(err, -EINVAL, "projector is %d, which is no richd_projector",
                       (int)options->projector);
    if ((unsigned)options->resume > RICHD_RESUME_NEVER)
        return err_set(err, -EINVAL, "resume is %d, which is no richd_resume",
                       (int)options->resume);
    if ((unsigned)options->window > RICHD_WINDOW_CUMULATIVE)
        return err_set(err, -EINVAL, "window is %d, which is no richd_window",
                       (int)options->window);
    if (options->probe && options->window != RICHD_WINDOW_CHECKPOINT)
        return err_set(err, -EINVAL, "probe needs RICHD_WINDOW_CHECKPOINT");
    return 0;
}

/* 0 leaves the number to the daemon. */
static double given_or_none(double value)
{
    return value == 0 ? (double)NAN : value;
}

/* The open message as text, which the session checks by parsing it. */
static char *encode_open(const struct richd_options *options, struct err *err)
{
    char made_id[RUN_ID_MAX + 1], writer[2 * WRITER_BYTES + 1];
    struct control_open open = {.name = options->name,
                                .project = options->project,
                                .group = options->group,
                                .projector = (enum projector_kind)options->projector,
                                .energy = given_or_none(options->projector_energy),
                                .k = options->projector_k,
                                .lambda = given_or_none(options->projector_lambda)};
    cJSON *tags = list_texts(options->tags), *watched = list_texts(options->transitions),
          *config = NULL;
    char *text = NULL;

    if (options->config_json) {
        config = json_parse(options->config_json, strlen(options->config_json), err);
        if (!config) {
            err_prefix(err, -EINVAL, "config_json: ");
            goto done;
        }
    }
    make_run_id(options->name ? options->name : "run", made_id);
    random_hex(writer, WRITER_BYTES);
    open.run = options->run_id ? options->run_id : made_id;
    open.tags = tags;
    open.config = config;
    open.resume = (enum resume)options->resume;
    open.writer = writer;
    open.window = (enum window_kind)options->window;
    open.half_life_rows = options->half_life_rows;
    open.probe = options->probe != 0;
    open.every = options->spectrum_every;
    open.leading = options->spectrum_leading;
    open.uncentred = options->spectrum_uncentred != 0;
    open.watched = options->transitions ? watched : NULL;
    text = tags && watched ? control_encode_open(&open) : NULL;
    if (!text)
        err_set(err, -ENOMEM, "out of memory");
done:
    cJSON_Delete(tags);
    cJSON_Delete(watched);
    cJSON_Delete(config);
    return text;
}

static int new_session(struct richd_run *run, const struct richd_options *options, struct err *err)
{
    char host[TEXT_MAX + 1] = "";
    int rc = check_options(options, err);
    char *open = rc == 0 ? encode_open(options, err) : NULL;

    if (!open)
        return -EINVAL;
    if (gethostname(host, sizeof host - 1) < 0 || !json_utf8_valid(host, strlen(host)))
        host[0] = '\0';
    run->shared.session = session_new(open, host, run->pid, err);
    cJSON_free(open);
    return run->shared.session ? 0 : -EINVAL;
}

static int init_shared(struct shared *shared, struct err *err)
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
    return rc == 0 ? 0 : err_set(err, -rc, "making a lock: %s", strerror(rc));
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

static struct richd_run *new_run(const struct richd_options *options, struct err *err)
{
    struct richd_run *run = calloc(1, sizeof *run);

    if (!run || init_shared(&run->shared, err) < 0) {
        err_set(err, -ENOMEM, "out of memory");
        free(run);
        return NULL;
    }
    run->pid = getpid();
    run->queue_bytes = options->queue_bytes > 0 ? options->queue_bytes : QUEUE_BYTES_DEFAULT;
    if (new_session(run, options, err) < 0)
        goto fail;
    if (endpoints_init(&run->endpoints, options->endpoint, "RICHD_ENDPOINT", options->runtime_dir,
                       err) < 0)
        goto fail;
    run->sender = sender_start(&run->shared, &run->endpoints, err);
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
    struct err err = {""};
    struct richd_run *run;

    run_overlay(&complete, sizeof complete, options);
    run = new_run(&complete, &err);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", err.text);
    return run;
}
