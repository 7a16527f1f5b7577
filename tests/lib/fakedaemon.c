#include "tests/lib/fakedaemon.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/control.h"
#include "proto/wire.h"

#define NOTES_MAX 20000
#define NOTE_SIZE 128
#define PEER_SIZE 64

struct fakedaemon {
    char directory[64];
    int n_moves;
    void *context;
    void *router;
    pthread_t thread;

    pthread_mutex_t lock; /* all below */
    bool stop;
    bool acknowledges;
    bool deaf;
    char refusal[32];
    int64_t granted;
    bool grant_is_due;
    unsigned char peer[PEER_SIZE]; /* who has the run open */
    size_t peer_size;
    uint64_t bytes;
    float next_row;
    bool rows_are_whole;
    char (*notes)[NOTE_SIZE];
    int n_notes;
};

static void give_up(const char *what)
{
    fprintf(stderr, "fakedaemon: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

struct fakedaemon *fakedaemon_new(void)
{
    struct fakedaemon *f = calloc(1, sizeof *f);

    if (!f)
        give_up("calloc");
    f->notes = calloc(NOTES_MAX, sizeof *f->notes);
    snprintf(f->directory, sizeof f->directory, "/tmp/richd-test-XXXXXX");
    if (!f->notes || !mkdtemp(f->directory))
        give_up("mkdtemp");
    pthread_mutex_init(&f->lock, NULL);
    f->acknowledges = f->rows_are_whole = true;
    f->granted = 64 * 1024 * 1024;
    return f;
}

static void remove_file(const struct fakedaemon *f, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    unlink(path);
}

void fakedaemon_free(struct fakedaemon *f)
{
    char name[32];

    if (f->router)
        fakedaemon_stop(f);
    remove_file(f, "endpoints.json");
    for (int i = 0; i <= f->n_moves; i++) {
        snprintf(name, sizeof name, "ingest%d.sock", i);
        remove_file(f, name);
    }
    rmdir(f->directory);
    pthread_mutex_destroy(&f->lock);
    free(f->notes);
    free(f);
}

const char *fakedaemon_directory(const struct fakedaemon *f)
{
    return f->directory;
}

/* ---- answering; all under the lock --------------------------------------------------------- */

static void note(struct fakedaemon *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct fakedaemon *f, const char *format, ...)
{
    va_list args;

    if (f->n_notes == NOTES_MAX)
        give_up("too many notes");
    va_start(args, format);
    vsnprintf(f->notes[f->n_notes++], NOTE_SIZE, format, args);
    va_end(args);
}

static void answer(struct fakedaemon *f, const void *peer, size_t peer_size, char *text)
{
    zmq_send(f->router, peer, peer_size, ZMQ_SNDMORE);
    zmq_send(f->router, text, strlen(text), 0);
    cJSON_free(text);
}

static void refuse(struct fakedaemon *f, const void *peer, size_t peer_size, const char *code,
                   bool fatal)
{
    struct control_nack nack = {.code = code, .text = "as told", .fatal = fatal};

    answer(f, peer, peer_size, control_encode_nack(&nack));
}

static void on_open(struct fakedaemon *f, const void *peer, size_t peer_size,
                    const struct control_open *open)
{
    struct control_welcome welcome = {
        .run = open->run, .attempt = 1, .granted = f->granted, .last_step = -1};
    char *watched = open->watched ? control_text(open->watched) : NULL;

    note(f,
         "open attempt=%" PRId64 " writer=%s probe=%d every=%" PRId64 " leading=%" PRId64
         " uncentred=%d%s%s",
         open->attempt, open->writer, open->probe, open->every, open->leading, open->uncentred,
         watched ? " watched=" : "", watched ? watched : "");
    cJSON_free(watched);
    if (f->refusal[0] != '\0') {
        refuse(f, peer, peer_size, f->refusal, true);
        return;
    }
    memcpy(f->peer, peer, peer_size);
    f->peer_size = peer_size;
    f->bytes = 0;
    answer(f, peer, peer_size, control_encode_welcome(&welcome));
}

static void acknowledge(struct fakedaemon *f, int64_t seq, bool with_point)
{
    struct control_ack ack = {seq, NULL};
    cJSON *points = NULL;

    if (!f->acknowledges)
        return;
    if (with_point)
        ack.points = points = cJSON_Parse("[{\"layer\":\"head\",\"step\":5,\"n\":4,\"p\":3,"
                                          "\"c\":2,\"d_lr\":0.25,\"flags\":[\"partial\"]}]");
    answer(f, f->peer, f->peer_size, control_encode_ack(&ack));
    cJSON_Delete(points);
}

static void on_mark(struct fakedaemon *f, const struct control *c)
{
    if (c->type == CONTROL_CHECKPOINT) {
        note(f, "checkpoint %" PRId64, c->checkpoint.seq);
        acknowledge(f, c->checkpoint.seq, true);
    } else if (c->type == CONTROL_LOG) {
        note(f, "log %" PRId64, c->log.seq);
        acknowledge(f, c->log.seq, false);
    } else if (c->type == CONTROL_SUMMARY || c->type == CONTROL_CONFIG) {
        note(f, "%s %" PRId64 " names %d", control_type_name(c->type), c->constants.seq,
             cJSON_GetArraySize(c->constants.values));
        acknowledge(f, c->constants.seq, false);
    } else if (c->type == CONTROL_CLOSE) {
        note(f, "close %" PRId64 " %s", c->close.seq,
             c->close.status == CONTROL_FINISHED ? "finished" : "failed");
        acknowledge(f, c->close.seq, false);
    } else {
        note(f, "unexpected %s", control_type_name(c->type));
    }
}

static bool is_open(const struct fakedaemon *f, const void *peer, size_t peer_size)
{
    return peer_size == f->peer_size && memcmp(peer, f->peer, peer_size) == 0;
}

static void on_control(struct fakedaemon *f, const void *peer, size_t peer_size,
                       const struct wire_frame *frame)
{
    struct control_hello_answer hello = {.protocol = 1, .server = "fake 1"};
    struct control c;
    struct err e;

    if (control_parse(frame->data, frame->size, &c, &e) < 0) {
        note(f, "malformed: %.90s", e.text);
        return;
    }
    if (c.type == CONTROL_HELLO) {
        note(f, "hello");
        answer(f, peer, peer_size, control_encode_hello_answer(&hello));
    } else if (c.type == CONTROL_PING) {
        answer(f, peer, peer_size, control_encode_pong(&c.ping));
    } else if (c.type == CONTROL_OPEN) {
        on_open(f, peer, peer_size, &c.open);
    } else if (!is_open(f, peer, peer_size)) {
        refuse(f, peer, peer_size, "ENOTOPEN", false);
    } else {
        on_mark(f, &c);
    }
    control_release(&c);
}

static void check_rows(struct fakedaemon *f, const struct wire_batch *b)
{
    const char *row = b->features.data;

    for (uint32_t i = 0; i < b->header.n_rows; i++) {
        float first;

        memcpy(&first, row, sizeof first);
        if (first != f->next_row)
            f->rows_are_whole = false;
        f->next_row = first + 1;
        row += b->header.n_features * sizeof first;
    }
}

static void on_batch(struct fakedaemon *f, const void *peer, size_t peer_size,
                     const struct wire_frame *frames, size_t n_frames)
{
    struct wire_batch batches[WIRE_LAYERS_MAX], b;
    struct err e;
    size_t n;

    if (wire_message_decode(frames, n_frames, batches, &n, &e) < 0) {
        note(f, "malformed: %.90s", e.text);
        return;
    }
    if (!is_open(f, peer, peer_size)) {
        refuse(f, peer, peer_size, "ENOTOPEN", false);
        return;
    }
    b = batches[0];
    note(f, "batch %.*s seq=%" PRIu64 " before=%" PRIu64 " n=%" PRIu32, (int)b.layer_size, b.layer,
         b.header.seq, b.header.rows_before, b.header.n_rows);
    for (size_t i = 0; i < n_frames; i++)
        f->bytes += frames[i].size;
    if (b.header.kind == WIRE_ROWS)
        check_rows(f, &b);
}

/* ---- the thread ---------------------------------------------------------------------------- */

static bool receive(struct fakedaemon *f)
{
    zmq_msg_t messages[1 + WIRE_FRAMES_MAX];
    struct wire_frame frames[1 + WIRE_FRAMES_MAX];
    size_t n = 0;

    do {
        if (n == 1 + WIRE_FRAMES_MAX)
            give_up("too many frames");
        zmq_msg_init(&messages[n]);
        if (zmq_msg_recv(&messages[n], f->router, ZMQ_DONTWAIT) < 0)
            return false;
        frames[n] = (struct wire_frame){zmq_msg_data(&messages[n]), zmq_msg_size(&messages[n])};
    } while (zmq_msg_more(&messages[n++]));
    pthread_mutex_lock(&f->lock);
    if (n == 2)
        on_control(f, frames[0].data, frames[0].size, &frames[1]);
    else
        on_batch(f, frames[0].data, frames[0].size, frames + 1, n - 1);
    pthread_mutex_unlock(&f->lock);
    while (n > 0)
        zmq_msg_close(&messages[--n]);
    return true;
}

/* True while the thread shall go on; *reads unless it is deaf. */
static bool goes_on(struct fakedaemon *f, bool *reads)
{
    struct control_progress progress;
    bool on;

    pthread_mutex_lock(&f->lock);
    on = !f->stop;
    *reads = !f->deaf;
    progress.granted = f->granted;
    if (f->grant_is_due && f->peer_size > 0)
        answer(f, f->peer, f->peer_size, control_encode_progress(&progress));
    f->grant_is_due = false;
    pthread_mutex_unlock(&f->lock);
    return on;
}

static void *main_of_thread(void *argument)
{
    struct fakedaemon *f = argument;
    zmq_pollitem_t item = {f->router, 0, ZMQ_POLLIN, 0};
    bool reads;

    while (goes_on(f, &reads)) {
        zmq_poll(&item, reads, 5);
        while (reads && receive(f))
            ;
    }
    return NULL;
}

void fakedaemon_start(struct fakedaemon *f, bool move)
{
    char address[128], path[128];
    int zero = 0;
    FILE *file;

    f->n_moves += move;
    snprintf(address, sizeof address, "ipc://%s/ingest%d.sock", f->directory, f->n_moves);
    snprintf(path, sizeof path, "%s/endpoints.json", f->directory);
    f->context = zmq_ctx_new();
    f->router = zmq_socket(f->context, ZMQ_ROUTER);
    zmq_setsockopt(f->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(f->router, ZMQ_RCVHWM, &zero, sizeof zero);
    if (zmq_bind(f->router, address) < 0)
        give_up(address);
    file = fopen(path, "w");
    if (!file || fprintf(file, "{\"ingest\":\"%s\",\"feed\":\"unix:x\"}\n", address) < 0)
        give_up(path);
    fclose(file);
    f->stop = false;
    f->peer_size = 0;
    if (pthread_create(&f->thread, NULL, main_of_thread, f) != 0)
        give_up("pthread_create");
}

void fakedaemon_stop(struct fakedaemon *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    zmq_close(f->router);
    zmq_ctx_term(f->context);
    f->router = NULL;
}

/* ---- what the test says and asks ----------------------------------------------------------- */

void fakedaemon_grant(struct fakedaemon *f, int64_t granted)
{
    pthread_mutex_lock(&f->lock);
    f->granted = granted;
    f->grant_is_due = true;
    pthread_mutex_unlock(&f->lock);
}

void fakedaemon_acknowledge(struct fakedaemon *f, bool yes)
{
    pthread_mutex_lock(&f->lock);
    f->acknowledges = yes;
    pthread_mutex_unlock(&f->lock);
}

void fakedaemon_deafen(struct fakedaemon *f, bool yes)
{
    pthread_mutex_lock(&f->lock);
    f->deaf = yes;
    pthread_mutex_unlock(&f->lock);
}

void fakedaemon_forget(struct fakedaemon *f)
{
    pthread_mutex_lock(&f->lock);
    f->peer_size = 0;
    pthread_mutex_unlock(&f->lock);
}

void fakedaemon_refuse_open(struct fakedaemon *f, const char *code)
{
    pthread_mutex_lock(&f->lock);
    snprintf(f->refusal, sizeof f->refusal, "%s", code);
    pthread_mutex_unlock(&f->lock);
}

int fakedaemon_place(struct fakedaemon *f, const char *prefix, int i)
{
    int place = -1;

    pthread_mutex_lock(&f->lock);
    for (int at = 0; at < f->n_notes && place < 0; at++) {
        if (strncmp(f->notes[at], prefix, strlen(prefix)) == 0 && i-- == 0)
            place = at;
    }
    pthread_mutex_unlock(&f->lock);
    return place;
}

void fakedaemon_note(struct fakedaemon *f, const char *prefix, int i, char *out, int out_size)
{
    int place = fakedaemon_place(f, prefix, i);

    pthread_mutex_lock(&f->lock);
    snprintf(out, (size_t)out_size, "%s", place < 0 ? "" : f->notes[place]);
    pthread_mutex_unlock(&f->lock);
}

int fakedaemon_count(struct fakedaemon *f, const char *prefix)
{
    int n = 0;

    pthread_mutex_lock(&f->lock);
    for (int at = 0; at < f->n_notes; at++)
        n += strncmp(f->notes[at], prefix, strlen(prefix)) == 0;
    pthread_mutex_unlock(&f->lock);
    return n;
}

bool fakedaemon_await(struct fakedaemon *f, const char *prefix, int n)
{
    struct timespec pause = {0, 5000000};

    for (int i = 0; i < 2000; i++) {
        if (fakedaemon_count(f, prefix) >= n)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

uint64_t fakedaemon_bytes(struct fakedaemon *f)
{
    uint64_t bytes;

    pthread_mutex_lock(&f->lock);
    bytes = f->bytes;
    pthread_mutex_unlock(&f->lock);
    return bytes;
}

bool fakedaemon_rows_are_whole(struct fakedaemon *f)
{
    bool whole;

    pthread_mutex_lock(&f->lock);
    whole = f->rows_are_whole;
    pthread_mutex_unlock(&f->lock);
    return whole;
}
