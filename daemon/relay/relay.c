#include "daemon/relay/relay.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "daemon/relay/batch.h"
#include "daemon/relay/link.h"
#include "daemon/store/store.h"
#include "proto/base/address.h"
#include "proto/base/clock.h"
#include "proto/curve/keyfile.h"

/* One batch is on its way at a time, so the other side's pace is ours, and what is not there yet
 * stays in the store:
 *
 *     open the link -> begin: where am I? -> batch, place, batch, place ... -> idle -> batch ...
 *           ^                                    |
 *           '------------- pause <-------- failure
 */

/* So often the thread looks whether the store has committed. */
#define LOOK_MS 250
/* The first pause after a failure, which doubles; what a person has to mend is tried less often. */
#define PAUSE_MIN_MS     200
#define PAUSE_MAX_MS     5000
#define PAUSE_MENDING_MS 5000

struct relay {
    struct relay_config config; /* its texts are copies */
    char address[KEYFILE_ENDPOINT_SIZE], keys[PATH_MAX];
    pthread_t thread;
    bool has_thread;
    int stop_fd;
    int pause_ms;

    /* The thread's own. */
    struct link link;
    struct batch_reader *reader;
    struct cbor rows;
    char id[33]; /* of the store */
    char source[CONTROL_SOURCE_MAX + 1];
    char session[33];   /* tells this process from others */
    int64_t generation; /* of the source, where another store has the same id */
    bool has_begun;     /* this process has written as that source */
    int64_t batch;      /* the last one that is there */

    atomic_int_fast64_t position; /* of the feed: all up to it is there */
    pthread_mutex_t lock;         /* of what follows */
    struct relay_status status;
    char left_out[TEXT_MAX + 1];
    char path[RELAY_PATH_SIZE];
};

/* ---- status ---------------------------------------------------------------------------------- */

static int64_t n_waiting(const struct relay *relay)
{
    int64_t n = (int64_t)store_feed_seq(relay->config.store) - relay->position;

    return n > 0 ? n : 0;
}

void relay_status(struct relay *relay, struct relay_status *out)
{
    pthread_mutex_lock(&relay->lock);
    *out = relay->status;
    if (!*out->problem)
        snprintf(out->problem, sizeof out->problem, "%s", relay->left_out);
    pthread_mutex_unlock(&relay->lock);
    out->n_waiting = n_waiting(relay);
}

void relay_path(struct relay *relay, char out[RELAY_PATH_SIZE])
{
    *out = '\0';
    if (!relay)
        return;
    pthread_mutex_lock(&relay->lock);
    memcpy(out, relay->path, RELAY_PATH_SIZE);
    pthread_mutex_unlock(&relay->lock);
}

/* `waits`: something is not there that was committed. */
static void tell(struct relay *relay, bool waits, const char *problem)
{
    struct relay_status *status = &relay->status;

    pthread_mutex_lock(&relay->lock);
    if (!waits)
        status->behind_since = 0;
    else if (status->behind_since == 0)
        status->behind_since = clock_wall_s();
    snprintf(status->problem, sizeof status->problem, "%s", problem);
    pthread_mutex_unlock(&relay->lock);
}

/* ---- the place ------------------------------------------------------------------------------- */

/* Whether the way leads back here. */
static bool has_us(const struct relay *relay, const char *path)
{
    return strstr(path, relay->id) != NULL;
}

static int heed_place(struct relay *relay, const struct link_place *place, struct err *err)
{
    if (has_us(relay, place->path))
        return err_set(err, -ELOOP, "%s: it leads back to this daemon, through %s", relay->address,
                       place->path);
    if (*place->problem && strcmp(place->problem, relay->left_out) != 0)
        log_warn("%s: %s", relay->address, place->problem);
    pthread_mutex_lock(&relay->lock);
    memcpy(relay->path, place->path, sizeof relay->path);
    if (*place->problem)
        memcpy(relay->left_out, place->problem, sizeof relay->left_out);
    pthread_mutex_unlock(&relay->lock);
    relay->batch = place->batch;
    return 0;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* The runs whose description is there. */
static int note_known(struct relay *relay, struct cbor *known, struct err *err)
{
    struct cbor_reader reader = {known->data, known->size, 0};
    struct cbor_item id, revision;
    int rc = known->size > 0 ? cbor_read(&reader, &id, err) : 0; /* the array's head */

    while (rc == 0 && reader.at < reader.size) {
        rc = cbor_read(&reader, &id, err);
        if (rc == 0)
            rc = cbor_read(&reader, &revision, err);
        if (rc == 0 && (id.type != CBOR_TEXT || revision.type != CBOR_INTEGER))
            rc = err_set(err, -EPROTO, "%s: a list of runs that is none", relay->address);
        if (rc == 0)
            rc = batch_note_run(relay->reader, id.data, revision.integer, err);
    }
    return rc;
}

static int ask_place(struct relay *relay, struct link_place *place, struct cbor *known,
                     struct err *err)
{
    if (relay->generation > 0)
        snprintf(relay->source, sizeof relay->source, "%s-%" PRId64, relay->id, relay->generation);
    else
        snprintf(relay->source, sizeof relay->source, "%s", relay->id);
    return link_ask(&relay->link,
                    control_encode_relay(&(struct control_relay){.source = relay->source,
                                                                 .session = relay->session,
                                                                 .again = relay->has_begun,
                                                                 .version = CONTROL_RELAYS}),
                    NULL, place, known, err);
}

/* Another store has our id, or has had it: ours goes on under another one. */
static void take_next_source(struct relay *relay)
{
    relay->generation++;
    relay->has_begun = false;
}

/* Asks where we are: 0, 1 when another source has to be taken, or -errno. */
static int try_source(struct relay *relay, struct cbor *known, struct err *err)
{
    struct link_place place = {0};
    int64_t committed = 0;
    int rc = batch_committed(relay->reader, &committed, err);

    if (rc == 0)
        rc = ask_place(relay, &place, known, err);
    if (rc == 0)
        rc = heed_place(relay, &place, err);
    if (rc < 0)
        return rc;
    if (place.feed_seq > committed) { /* the store is older than what it has sent */
        take_next_source(relay);
        return 1;
    }
    relay->has_begun = true;
    relay->position = place.feed_seq;
    batch_note_place(relay->reader, place.feed_seq);
    return 0;
}

static int begin(struct relay *relay, struct err *err)
{
    struct cbor known = {0};
    int rc;

    batch_forget(relay->reader);
    do {
        cbor_release(&known);
        rc = try_source(relay, &known, err);
    } while (rc == 1);
    if (rc == 0)
        rc = note_known(relay, &known, err);
    cbor_release(&known);
    if (rc == 0)
        log_info("what is stored goes on to %s", relay->address);
    return rc;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Sends one batch: 1 when there is more, 0 when all is there, or -errno. */
static int step(struct relay *relay, struct err *err)
{
    struct link_place place = {0};
    int64_t feed_seq;
    int rc = batch_read(relay->reader, &relay->rows, &feed_seq, err);

    if (rc <= 0)
        return rc;
    tell(relay, true, "");
    rc = link_ask(&relay->link,
                  control_encode_batch(&(struct control_batch){.source = relay->source,
                                                               .session = relay->session,
                                                               .batch = relay->batch + 1,
                                                               .feed_seq = feed_seq}),
                  &relay->rows, &place, NULL, err);
    if (rc == 0 && (place.batch != relay->batch + 1 || place.feed_seq != feed_seq))
        rc = err_set(err, -EPROTO, "%s: it is at batch %" PRId64 ", not at %" PRId64,
                     relay->address, place.batch, relay->batch + 1);
    if (rc == 0)
        rc = heed_place(relay, &place, err);
    if (rc < 0)
        return rc;
    relay->position = feed_seq;
    return batch_note_sent(relay->reader);
}

/* Sleeps; true: it shall stop. */
static bool is_stopped_within(const struct relay *relay, int timeout_ms)
{
    struct pollfd fd = {relay->stop_fd, POLLIN, 0};

    return poll(&fd, 1, timeout_ms) > 0;
}

/* Sends until all is there, then whenever there is more. */
static int forward(struct relay *relay, struct err *err)
{
    for (;;) {
        uint64_t commits = store_commits(relay->config.store);
        int rc = step(relay, err);

        if (rc < 0)
            return rc;
        relay->pause_ms = PAUSE_MIN_MS;
        tell(relay, rc > 0, "");
        while (rc == 0 && commits == store_commits(relay->config.store))
            rc = link_keep(&relay->link, LOOK_MS, err);
        if (rc < 0)
            return rc;
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool needs_mending(int rc)
{
    return rc == -EACCES || rc == -ENOTSUP || rc == -EPROTO || rc == -ELOOP;
}

/* Tells of the failure, each once, and waits before the next try; true: it shall stop. */
static bool fail(struct relay *relay, int rc, const struct err *err)
{
    int pause_ms = relay->pause_ms;

    link_close(&relay->link);
    if (rc == -ECANCELED)
        return true;
    if (rc == -ESTALE)
        take_next_source(relay);
    if (strcmp(relay->status.problem, err->text) != 0)
        log_warn("what is stored waits here: %s", err->text);
    tell(relay, n_waiting(relay) > 0, err->text);
    relay->pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
    return is_stopped_within(relay, needs_mending(rc) ? PAUSE_MENDING_MS : pause_ms);
}

static void *run(void *arg)
{
    struct relay *relay = arg;
    struct err err = {0};
    int rc;

    do {
        rc = link_open(&relay->link, &err);
        if (rc == 0)
            rc = begin(relay, &err);
        if (rc == 0)
            rc = forward(relay, &err);
    } while (!fail(relay, rc, &err));
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

int relay_check(const char *text, struct err *err)
{
    struct address address;
    bool is_path = strncmp(text, "ipc://", 6) == 0 && text[6] != '\0';

    if (strlen(text) >= KEYFILE_ENDPOINT_SIZE ||
        !(is_path || (strncmp(text, "tcp://", 6) == 0 && address_parse(text + 6, &address) == 0)))
        return err_set(err, -EINVAL, "\"%.128s\" is neither tcp://HOST:PORT nor ipc://PATH", text);
    return 0;
}

static int start(struct relay *relay, struct err *err)
{
    uint64_t bits[2];
    int rc;

    relay->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (relay->stop_fd < 0)
        return err_set(err, -ENOMEM, "no descriptor");
    if (getrandom(bits, sizeof bits, 0) != sizeof bits)
        return err_set(err, -EAGAIN, "no random numbers");
    snprintf(relay->session, sizeof relay->session, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
    rc = batch_new(relay->config.path, &relay->reader, err);
    if (rc == 0)
        rc = batch_source(relay->reader, relay->id, err);
    if (rc < 0)
        return rc;
    relay->link.stop_fd = relay->stop_fd;
    relay->link.address = relay->address;
    relay->link.keys = relay->keys;
    if (pthread_create(&relay->thread, NULL, run, relay) != 0)
        return err_set(err, -EAGAIN, "no thread for what goes on to %s", relay->address);
    relay->has_thread = true;
    return 0;
}

int relay_open(const struct relay_config *config, struct relay **out, struct err *err)
{
    struct relay *relay = calloc(1, sizeof *relay);

    *out = relay;
    if (!relay)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&relay->lock, NULL);
    relay->config = *config;
    relay->stop_fd = -1;
    relay->pause_ms = PAUSE_MIN_MS;
    snprintf(relay->address, sizeof relay->address, "%s", config->address);
    snprintf(relay->status.server, sizeof relay->status.server, "%s", config->address);
    snprintf(relay->keys, sizeof relay->keys, "%s", config->keys ? config->keys : "");
    return start(relay, err);
}

void relay_close(struct relay *relay)
{
    uint64_t one = 1;

    if (!relay)
        return;
    if (relay->has_thread) {
        if (write(relay->stop_fd, &one, sizeof one) < 0)
            log_warn("the relay's thread was not told to stop");
        pthread_join(relay->thread, NULL);
    }
    link_release(&relay->link);
    batch_free(relay->reader);
    cbor_release(&relay->rows);
    if (relay->stop_fd >= 0)
        close(relay->stop_fd);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}
