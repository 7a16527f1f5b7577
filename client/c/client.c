/* The functions of richd.h: they check what the program gave, copy it, and put it into the session
 * under the run's lock; the sender does the rest. Nothing here waits, except a checkpoint that was
 * asked to and the close. */
#include "include/richd.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client/c/points.h"
#include "client/c/sender.h"

#define QUEUE_BYTES_DEFAULT ((size_t)64 * 1024 * 1024)
/* A message of rows: big enough to be efficient, and half of the least credit that a connection
 * gets, so that one travels while another is folded. */
#define MESSAGE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define WRITER_BYTES      16
/* A run's id that is made: as much of the name as leaves room for '-' and 6 hex digits. */
#define ID_NAME_MAX 48

struct richd_run {
    pid_t pid;
    struct shared shared;
    struct endpoints endpoints;
    struct sender *sender;
    size_t queue_bytes;
    atomic_size_t held; /* rows on their way, in the session and in libzmq */
};

/* ---- time ---------------------------------------------------------------------------------- */

static double wall_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct timespec deadline_after(int timeout_ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* ---- connect ------------------------------------------------------------------------------- */

/* Random hex digits; of the clock and the process when the kernel has none to give. */
static void random_hex(char *out, size_t n_bytes)
{
    unsigned char bytes[WRITER_BYTES];
    uint64_t seed = (uint64_t)getpid() ^ (uint64_t)(wall_time() * 1e6);

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

/* Lays what the program's version of a struct has, which opens with its size, over ours with its
 * defaults. False when there is nothing: NULL, or one that does not start from its macro. */
static bool overlay(void *ours, size_t our_size, const void *given)
{
    size_t size = 0;

    if (given)
        memcpy(&size, given, sizeof size);
    if (size > 0)
        memcpy(ours, given, size < our_size ? size : our_size);
    return size > 0;
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

/* Accepts a run that is half made: the sender first, since it uses all the rest. */
static void release(struct richd_run *run)
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
    release(run);
    return NULL;
}

struct richd_run *richd_connect(const struct richd_options *options, char *error, size_t error_size)
{
    struct richd_options complete = RICHD_OPTIONS;
    struct err e = {""};
    struct richd_run *run;

    overlay(&complete, sizeof complete, options);
    run = new_run(&complete, &e);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", e.text);
    return run;
}

/* ---- every entry --------------------------------------------------------------------------- */

/* In a forked child the sender does not exist and the lock may be held for ever. */
static int check_run(const struct richd_run *run)
{
    if (!run)
        return -EINVAL;
    return run->pid == getpid() ? 0 : -ECHILD;
}

static void lock(struct richd_run *run)
{
    pthread_mutex_lock(&run->shared.lock);
}

/* Keeps the sentence of a failed call for richd_last_error. */
static int unlock(struct richd_run *run, int rc, const struct err *e)
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

/* ---- submit -------------------------------------------------------------------------------- */

/* A batch as the program gave it, in the words of the wire. */
struct rows {
    const char *layer;
    struct wire_header header;
    const void *data[ITEM_ROW_FRAMES];
    size_t row_bytes[ITEM_ROW_FRAMES]; /* of one row of each frame */
};

static size_t row_size(enum dtype dtype, uint32_t columns)
{
    bool label = dtype == DTYPE_I32 || dtype == DTYPE_I64;

    return dtype_size(dtype) * (label ? 1 : (size_t)columns);
}

/* The header is checked by the decoder that the daemon would refuse it with. */
static int check_rows(const struct rows *rows, struct err *e)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct wire_header decoded;
    int rc;

    if (!rows->layer)
        return err_set(e, -EINVAL, "a batch without a layer");
    if (wire_layer_check(rows->layer, strnlen(rows->layer, LAYER_NAME_MAX + 1), e) < 0)
        return -EINVAL;
    wire_header_encode(&rows->header, bytes);
    rc = wire_header_decode(bytes, sizeof bytes, &decoded, e);
    if (rc < 0)
        return err_prefix(e, -EINVAL, "layer %s: ", rows->layer);
    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++) {
        if (rows->header.n_rows > 0 && rows->row_bytes[i] > 0 && !rows->data[i])
            return err_set(e, -EINVAL, "layer %s: %s is NULL", rows->layer,
                           i == 0   ? "features"
                           : i == 1 ? "outputs"
                                    : "targets");
    }
    return 0;
}

static int read_batch(const struct richd_batch *given, struct rows *out, struct err *e)
{
    struct richd_batch b = RICHD_BATCH;

    if (!overlay(&b, sizeof b, given))
        return err_set(e, -EINVAL, "a batch that does not start from RICHD_BATCH");
    *out = (struct rows){
        .layer = b.layer,
        .header = {.kind = WIRE_ROWS,
                   .seq = 1,
                   .step = b.step,
                   .n_rows = b.n_rows,
                   .n_features = b.n_features,
                   .n_outputs = b.n_outputs,
                   .n_targets = b.targets ? b.n_targets : 0,
                   .features_dtype = (enum dtype)b.features_dtype,
                   .outputs_dtype = (enum dtype)b.outputs_dtype,
                   .targets_dtype = b.targets ? (enum dtype)b.targets_dtype : DTYPE_NONE},
        .data = {b.features, b.outputs, b.targets},
    };
    out->row_bytes[0] = row_size(out->header.features_dtype, b.n_features);
    out->row_bytes[1] = row_size(out->header.outputs_dtype, b.n_outputs);
    out->row_bytes[2] = row_size(out->header.targets_dtype, out->header.n_targets);
    return check_rows(out, e);
}

/* Charges the rows to the run's account, or says that they do not fit. */
static bool charge(struct richd_run *run, size_t bytes)
{
    size_t held = atomic_load_explicit(&run->held, memory_order_relaxed);

    do {
        if (bytes > run->queue_bytes || held > run->queue_bytes - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&run->held, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Copies the frames, outside the lock. NULL: there is no memory for them. */
static struct item *copy_frames(struct richd_run *run, const struct wire_header *header,
                                const char *layer, const struct wire_frame frames[ITEM_ROW_FRAMES])
{
    size_t bytes = sizeof(struct item);
    struct item *item;

    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++)
        bytes += frames[i].size;
    if (!charge(run, bytes))
        return NULL;
    item = item_batch(header, layer, frames, &run->held, bytes);
    if (!item)
        atomic_fetch_sub_explicit(&run->held, bytes, memory_order_relaxed);
    return item;
}

/* Queues a message of `n` rows, or counts it as dropped. */
static int submit_frames(struct richd_run *run, const struct wire_header *header, const char *layer,
                         const struct wire_frame frames[ITEM_ROW_FRAMES], uint32_t n)
{
    struct item *item = copy_frames(run, header, layer, frames);
    struct session *session = run->shared.session;
    int rc;

    lock(run);
    rc = item ? session_submit(session, item) : session_drop(session, layer, n);
    unlock(run, rc, NULL);
    if (rc == 0 && item)
        sender_wake(run->sender);
    return rc < 0 ? rc : item ? 0 : -EAGAIN;
}

/* `n` rows from row `from` on. */
static int submit_piece(struct richd_run *run, const struct rows *rows, uint32_t from, uint32_t n)
{
    struct wire_frame frames[ITEM_ROW_FRAMES];
    struct wire_header header = rows->header;

    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++) {
        const char *data = rows->data[i];
        size_t size = n * rows->row_bytes[i];

        frames[i] = (struct wire_frame){size > 0 ? data + from * rows->row_bytes[i] : NULL, size};
    }
    header.n_rows = n;
    return submit_frames(run, &header, rows->layer, frames, n);
}

static int submit(struct richd_run *run, const struct rows *rows)
{
    size_t bytes_per_row = rows->row_bytes[0] + rows->row_bytes[1] + rows->row_bytes[2];
    uint32_t most, from = 0, n;
    int rc = 0;

    assert(bytes_per_row > 0); /* p and C are at least 1 */
    most = (uint32_t)(MESSAGE_BYTES_MAX / bytes_per_row);
    if (most == 0)
        most = 1;
    do {
        int piece;

        n = rows->header.n_rows - from < most ? rows->header.n_rows - from : most;
        piece = submit_piece(run, rows, from, n);
        rc = piece < 0 ? piece : rc;
        from += n;
    } while (from < rows->header.n_rows && (rc == 0 || rc == -EAGAIN));
    return rc;
}

int richd_submit(struct richd_run *run, const struct richd_batch *batch)
{
    struct err e = {""};
    struct rows rows;
    int rc = check_run(run);

    if (rc < 0)
        return rc;
    rc = read_batch(batch, &rows, &e);
    if (rc == 0)
        return submit(run, &rows);
    lock(run);
    return unlock(run, rc, &e);
}

/* ---- a head -------------------------------------------------------------------------------- */

/* As many rows of the triangle as a message takes, one at least, from header->first_row on. */
static void fill_slice(struct wire_header *header)
{
    size_t size = dtype_size(header->features_dtype);

    header->n_rows = 1;
    while (header->first_row + header->n_rows < header->n_features) {
        header->n_rows++;
        if (wire_head_values(header) * size > MESSAGE_BYTES_MAX) {
            header->n_rows--;
            return;
        }
    }
}

static int submit_slices(struct richd_run *run, const char *layer, struct wire_header *header,
                         const void *triangle)
{
    const char *at = triangle;
    int rc = 0;

    while (header->first_row < header->n_features && rc == 0) {
        struct wire_frame frames[ITEM_ROW_FRAMES] = {{0}};

        fill_slice(header);
        frames[0].data = at;
        frames[0].size = (size_t)wire_head_values(header) * dtype_size(header->features_dtype);
        rc = submit_frames(run, header, layer, frames, 0);
        at += frames[0].size;
        header->first_row += header->n_rows;
    }
    return rc;
}

static int read_head(const struct richd_head *given, struct richd_head *out,
                     struct wire_header *header, struct err *e)
{
    struct rows rows;

    if (!overlay(out, sizeof *out, given))
        return err_set(e, -EINVAL, "a head that does not start from RICHD_HEAD");
    if (!out->triangle)
        return err_set(e, -EINVAL, "a head without its triangle");
    *header = (struct wire_header){.kind = WIRE_HEAD,
                                   .seq = 1,
                                   .step = out->step,
                                   .n_rows = 1,
                                   .n_features = out->n_features,
                                   .n_outputs = out->n_outputs,
                                   .n_targets = out->n_targets,
                                   .features_dtype = (enum dtype)out->dtype,
                                   .targets_dtype = (enum dtype)out->targets_dtype};
    rows = (struct rows){.layer = out->layer, .header = *header};
    return check_rows(&rows, e);
}

int richd_submit_head(struct richd_run *run, const struct richd_head *head)
{
    struct richd_head h = RICHD_HEAD;
    struct wire_header header;
    struct err e = {""};
    int rc = check_run(run);

    if (rc < 0)
        return rc;
    rc = read_head(head, &h, &header, &e);
    if (rc == 0)
        return submit_slices(run, h.layer, &header, h.triangle);
    lock(run);
    return unlock(run, rc, &e);
}

/* ---- marks --------------------------------------------------------------------------------- */

/* Waits under the lock for another word from the daemon. Returns 0, or -ETIMEDOUT, at once when it
 * is known to be away. */
static int wait_for_news(struct richd_run *run, const struct timespec *deadline)
{
    if (session_is_absent(run->shared.session))
        return -ETIMEDOUT;
    return -pthread_cond_timedwait(&run->shared.settled, &run->shared.lock, deadline);
}

/* Waits under the lock until the ticket is settled. */
static int await(struct richd_run *run, struct ticket *ticket, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    int rc = 0;

    while (!ticket->settled && rc == 0)
        rc = wait_for_news(run, &deadline);
    session_abandon(ticket);
    return ticket->settled ? ticket->rc : -ETIMEDOUT;
}

int richd_checkpoint(struct richd_run *run, int64_t step, int timeout_ms,
                     struct richd_points **points)
{
    return richd_checkpoint_with(run, step, NULL, timeout_ms, points);
}

static int check_scalars(const struct richd_scalar *scalars, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!scalars || !scalars[i].name)
            return -EINVAL;
    }
    return 0;
}

int richd_checkpoint_with(struct richd_run *run, int64_t step, const struct richd_extras *given,
                          int timeout_ms, struct richd_points **points)
{
    struct richd_extras extras = RICHD_EXTRAS;
    bool waits = timeout_ms > 0;
    struct ticket ticket = {.wants_points = waits && points};
    struct err e = {""};
    int rc = check_run(run);

    overlay(&extras, sizeof extras, given);
    if (points)
        *points = NULL;
    if (rc == 0)
        rc = check_scalars(extras.metrics, extras.n_metrics);
    if (rc < 0)
        return rc;
    lock(run);
    rc = session_checkpoint(run->shared.session, step, wall_time(), &extras, waits ? &ticket : NULL,
                            &e);
    if (rc == 0) {
        sender_wake(run->sender);
        rc = waits ? await(run, &ticket, timeout_ms) : 0;
    }
    unlock(run, rc, &e);
    if (rc == 0 && ticket.wants_points && !ticket.points)
        return -ENOMEM;
    if (points)
        *points = ticket.points;
    return rc;
}

int richd_log(struct richd_run *run, int64_t step, const struct richd_scalar *scalars,
              size_t n_scalars)
{
    struct err e = {""};
    int rc = check_run(run);

    if (rc == 0)
        rc = check_scalars(scalars, n_scalars);
    if (rc < 0)
        return rc;
    lock(run);
    rc = session_log(run->shared.session, step, wall_time(), scalars, n_scalars, &e);
    if (rc == 0)
        sender_wake(run->sender);
    return unlock(run, rc, &e);
}

/* ---- what became of it --------------------------------------------------------------------- */

int richd_stats(struct richd_run *run, struct richd_stats *stats, size_t stats_size)
{
    struct richd_stats all;
    int rc = check_run(run);

    if (rc < 0)
        return rc;
    lock(run);
    session_stats(run->shared.session, &all);
    unlock(run, 0, NULL);
    all.bytes_held = atomic_load_explicit(&run->held, memory_order_relaxed);
    memset(stats, 0, stats_size);
    memcpy(stats, &all, stats_size < sizeof all ? stats_size : sizeof all);
    return 0;
}

int richd_last_error(struct richd_run *run, char *text, size_t text_size)
{
    int rc = check_run(run);

    if (text && text_size > 0)
        text[0] = '\0';
    if (rc < 0)
        return rc;
    lock(run);
    if (text && text_size > 0)
        snprintf(text, text_size, "%s", session_complaint(run->shared.session));
    return unlock(run, session_ended(run->shared.session), NULL);
}

/* Marks are acknowledged in order, so that the close's own ack stands for all; one that waits to be
 * sent again (EIO) may come after it, and is waited for. */
static int await_all(struct richd_run *run, struct ticket *ticket, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    struct richd_stats stats;
    int rc = await(run, ticket, timeout_ms);

    session_stats(run->shared.session, &stats);
    while (rc == 0 && stats.marks_waiting > 0) {
        rc = wait_for_news(run, &deadline);
        session_stats(run->shared.session, &stats);
    }
    return rc;
}

int richd_close(struct richd_run *run, enum richd_status status, int timeout_ms)
{
    struct ticket ticket = {.settled = false};
    struct err e = {""};
    int rc = check_run(run);

    if (rc < 0)
        return rc;
    lock(run);
    rc = session_close(run->shared.session,
                       status == RICHD_FINISHED ? CONTROL_FINISHED : CONTROL_FAILED, &ticket, &e);
    if (rc == 0) {
        sender_wake(run->sender);
        rc = await_all(run, &ticket, timeout_ms > 0 ? timeout_ms : 0);
    }
    unlock(run, rc, &e);
    release(run);
    return rc;
}
