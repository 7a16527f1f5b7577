#include "proto/spool/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/nack.h"

/* Control messages on their way. The daemon takes 4,096 of a run (INGEST.md, Limits); the disk
 * writes several hundred at once. */
#define IN_FLIGHT_MAX 256

/* A control message that was sent. */
struct sent {
    int64_t seq;
    struct spool_place end;
    bool is_answered;
};

struct replay {
    struct spool_file *file;
    struct replay_facts facts;
    enum replay_state state;
    cJSON *hello, *open;
    bool is_member;

    char *urgent; /* hello, open or ping, to be sent first; NULL: none */
    struct wire_frame urgent_frame;
    struct spool_record record; /* to be sent next */
    bool has_record;
    size_t record_bytes; /* that need credit; 0: a control message */
    int64_t record_seq;  /* of a control message */
    bool is_at_end;

    struct sent sent[IN_FLIGHT_MAX]; /* in order */
    size_t n_sent;
    struct spool_place answered; /* records before it are not sent again */
    uint64_t counted_to;         /* records before it were counted */

    uint64_t granted, sent_bytes;
    int64_t heard_at, pinged_at, opened_at;
    int64_t held_until;    /* a control message was refused for now */
    int64_t blocked_since; /* without credit; -1: there is some */
    int64_t ping_id;
    unsigned n_busy; /* opens that were refused for now, one after the other */
    bool wants_end;  /* of this connection */
};

/* ---- states -------------------------------------------------------------------------------- */

static const bool moves[REPLAY_KEPT + 1][REPLAY_KEPT + 1] = {
    [REPLAY_AWAY] = {[REPLAY_GREETING] = true, [REPLAY_KEPT] = true},
    [REPLAY_GREETING] = {[REPLAY_AWAY] = true, [REPLAY_OPENING] = true, [REPLAY_KEPT] = true},
    [REPLAY_OPENING] = {[REPLAY_AWAY] = true, [REPLAY_SENDING] = true, [REPLAY_KEPT] = true},
    [REPLAY_SENDING] = {[REPLAY_AWAY] = true, [REPLAY_STORED] = true, [REPLAY_KEPT] = true},
};

static void move(struct replay *replay, enum replay_state to)
{
    assert(moves[replay->state][to]);
    replay->state = to;
}

enum replay_state replay_state(const struct replay *replay)
{
    return replay->state;
}

bool replay_is_over(const struct replay *replay)
{
    return replay->state == REPLAY_STORED || replay->state == REPLAY_KEPT;
}

const struct replay_facts *replay_facts(const struct replay *replay)
{
    return &replay->facts;
}

static void keep(struct replay *replay, const char *text)
{
    snprintf(replay->facts.text, sizeof replay->facts.text, "%s", text);
    move(replay, REPLAY_KEPT);
}

/* The same file may be sent later. */
static void keep_for_now(struct replay *replay, const char *text)
{
    replay->facts.may_pass = true;
    keep(replay, text);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The two frames of the first record. */
static int read_greeting(struct replay *replay, struct err *err)
{
    const struct wire_frame *frames = replay->record.frames;
    struct control hello = {.root = NULL}, open = {.root = NULL};
    int rc = spool_file_read(replay->file, &replay->record, err);

    if (rc < 0)
        return rc;
    rc = rc == 0 || replay->record.n_frames != 2 ? err_set(err, -EPROTO, "it is not whole") : 0;
    if (rc == 0)
        rc = control_parse(frames[0].data, frames[0].size, &hello, err);
    if (rc == 0)
        rc = control_parse(frames[1].data, frames[1].size, &open, err);
    if (rc == 0 && (hello.type != CONTROL_HELLO || open.type != CONTROL_OPEN))
        rc = err_set(err, -EPROTO, "it is no greeting");
    if (rc == 0) {
        snprintf(replay->facts.run, sizeof replay->facts.run, "%s", open.open.run);
        snprintf(replay->facts.launch, sizeof replay->facts.launch, "%s",
                 open.open.launch ? open.open.launch : "");
        replay->is_member = open.open.launch != NULL;
        replay->facts.attempt = open.open.attempt;
        replay->hello = json_parse(frames[0].data, frames[0].size, NULL);
        replay->open = json_parse(frames[1].data, frames[1].size, NULL);
        if (!replay->hello || !replay->open || !json_make_exact(replay->hello) ||
            !json_make_exact(replay->open))
            rc = err_set(err, -ENOMEM, "out of memory");
    }
    control_release(&hello);
    control_release(&open);
    return rc;
}

int replay_open(const char *path, struct replay **out, struct err *err)
{
    struct replay *replay = calloc(1, sizeof *replay);
    int rc;

    if (!replay)
        return err_set(err, -ENOMEM, "out of memory");
    rc = spool_file_open(path, &replay->file, err);
    if (rc == 0) {
        rc = read_greeting(replay, err);
        if (rc < 0)
            err_prefix(err, rc, "%s has no beginning: ", path);
    }
    if (rc < 0) {
        replay_free(replay);
        return rc;
    }
    if (spool_file_attempt(replay->file) > 0)
        replay->facts.attempt = spool_file_attempt(replay->file);
    replay->answered = replay->record.end;
    replay->counted_to = replay->facts.answered_bytes = replay->answered.at;
    replay->facts.size_bytes = spool_file_size(replay->file);
    replay->blocked_since = -1;
    *out = replay;
    return 0;
}

int replay_look(const char *path, struct replay_facts *out, struct err *err)
{
    struct replay *replay = calloc(1, sizeof *replay);
    int rc =
        replay ? spool_file_look(path, &replay->file, err) : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0)
        rc = read_greeting(replay, err);
    if (rc == 0)
        *out = replay->facts;
    replay_free(replay);
    return rc;
}

void replay_free(struct replay *replay)
{
    if (!replay)
        return;
    spool_file_free(replay->file);
    cJSON_Delete(replay->hello);
    cJSON_Delete(replay->open);
    cJSON_free(replay->urgent);
    free(replay);
}

/* Records whose answers are still to come are sent again. */
static void go_back(struct replay *replay)
{
    spool_file_go_to(replay->file, replay->answered);
    replay->has_record = replay->is_at_end = false;
    replay->n_sent = 0;
    replay->blocked_since = -1;
}

static void count_refusal(struct replay *replay, const char *text)
{
    replay->facts.n_refused++;
    snprintf(replay->facts.text, sizeof replay->facts.text, "%s", text);
}

/* The number of a control message that a trainer keeps until its answer; 0 for what is none. */
static int64_t seq_of(const struct control *message)
{
    switch (message->type) {
    case CONTROL_CHECKPOINT:
        return message->checkpoint.seq;
    case CONTROL_LOG:
        return message->log.seq;
    case CONTROL_SUMMARY:
    case CONTROL_CONFIG:
        return message->constants.seq;
    case CONTROL_CLOSE:
        return message->close.seq;
    default:
        return 0;
    }
}

/* What the record is sent as. True when it is sent; what no daemon would take is refused here. */
static bool prepare_control(struct replay *replay, bool is_new)
{
    const struct wire_frame *frame = &replay->record.frames[0];
    struct control message;
    struct err err = {""};

    if (spool_note_decode(frame) > 0)
        return false;
    replay->record_seq = 0;
    if (control_parse(frame->data, frame->size, &message, &err) == 0) {
        replay->record_seq = seq_of(&message);
        control_release(&message);
    }
    if (replay->record_seq > 0 && replay->record.n_frames == 1)
        return true;
    if (is_new)
        count_refusal(replay, err.text[0] ? err.text : "a message that stands in no spool");
    return false;
}

static bool prepare(struct replay *replay)
{
    const struct wire_frame *frames = replay->record.frames;
    bool is_new = replay->record.end.at > replay->counted_to;
    bool is_control = frames[0].size > 0 && *(const char *)frames[0].data == '{';

    if (is_new)
        replay->counted_to = replay->record.end.at;
    replay->record_bytes = 0;
    if (is_control && !prepare_control(replay, is_new))
        return false;
    for (size_t i = 0; !is_control && i < replay->record.n_frames; i++)
        replay->record_bytes += frames[i].size;
    replay->facts.n_messages += is_new;
    return is_control || replay->record_bytes > 0;
}

/* Finds the next record to be sent. False at the end, and when the file cannot be read. */
static bool load(struct replay *replay)
{
    struct err err = {""};
    int rc = 1;

    while (!replay->has_record && rc > 0) {
        rc = spool_file_read(replay->file, &replay->record, &err);
        replay->has_record = rc > 0 && prepare(replay);
    }
    if (rc < 0)
        keep_for_now(replay, err.text);
    replay->is_at_end = rc == 0;
    return replay->has_record;
}

/* All was sent, and has its answers. */
static void finish(struct replay *replay)
{
    struct err err = {""};

    if (spool_file_is_damaged(replay->file)) {
        err_set(&err, 0, "%s is damaged from byte %llu on: what is before it is stored",
                spool_file_path(replay->file), (unsigned long long)replay->facts.size_bytes);
        keep(replay, err.text);
    } else if (spool_file_remove(replay->file, &err) < 0) {
        keep(replay, err.text);
    } else {
        replay->facts.answered_bytes = replay->facts.size_bytes;
        move(replay, REPLAY_STORED);
    }
}

/* ---- the connection ------------------------------------------------------------------------ */

static void queue(struct replay *replay, char *text)
{
    cJSON_free(replay->urgent);
    replay->urgent = text;
}

/* Without memory nothing is sent; silence follows, and then a new connection. */
void replay_connected(struct replay *replay, int64_t now_ms)
{
    move(replay, REPLAY_GREETING);
    queue(replay, json_print(replay->hello));
    go_back(replay);
    replay->granted = replay->sent_bytes = 0;
    replay->heard_at = replay->pinged_at = replay->opened_at = now_ms;
    replay->held_until = 0;
    replay->wants_end = false;
}

void replay_disconnected(struct replay *replay)
{
    if (replay->state == REPLAY_AWAY || replay_is_over(replay))
        return;
    move(replay, REPLAY_AWAY);
    queue(replay, NULL);
}

/* The open as the trainer wrote it, with the newest attempt. Going on with an attempt is no new
 * run, whatever `resume` asked for. */
static char *make_open(struct replay *replay)
{
    bool ok = true;

    cJSON_DeleteItemFromObjectCaseSensitive(replay->open, "replay");
    ok = cJSON_AddTrueToObject(replay->open, "replay") != NULL;
    if (replay->facts.attempt > 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(replay->open, "attempt");
        cJSON_DeleteItemFromObjectCaseSensitive(replay->open, "resume");
        ok = ok && json_add_integer(replay->open, "attempt", replay->facts.attempt);
    }
    return ok ? json_print(replay->open) : NULL;
}

static void on_hello(struct replay *replay, const struct control_hello_answer *hello)
{
    if (replay->state != REPLAY_GREETING)
        return;
    if (replay->is_member && !hello->members) {
        keep(replay, "this richd knows no ranks: it is older than the run");
        return;
    }
    queue(replay, make_open(replay));
    move(replay, REPLAY_OPENING);
}

/* A damaged file is not written to: `replay` in its open leads to the same attempt. */
static void on_welcome(struct replay *replay, const struct control_welcome *welcome)
{
    struct err err = {""};

    if (replay->state != REPLAY_OPENING)
        return;
    if (welcome->attempt != replay->facts.attempt && !spool_file_is_damaged(replay->file) &&
        spool_file_note(replay->file, welcome->attempt, &err) < 0) {
        keep_for_now(replay, err.text);
        return;
    }
    replay->facts.size_bytes = spool_file_size(replay->file);
    replay->facts.attempt = welcome->attempt;
    replay->granted = (uint64_t)welcome->granted;
    replay->n_busy = 0;
    move(replay, REPLAY_SENDING);
}

/* The message has its answer: what stands before the first one without is not sent again. */
static void settle(struct replay *replay, int64_t seq)
{
    size_t i = 0, n = 0;

    while (i < replay->n_sent && (replay->sent[i].is_answered || replay->sent[i].seq != seq))
        i++;
    if (i == replay->n_sent)
        return;
    replay->sent[i].is_answered = true;
    while (n < replay->n_sent && replay->sent[n].is_answered)
        replay->answered = replay->sent[n++].end;
    replay->n_sent -= n;
    memmove(replay->sent, replay->sent + n, replay->n_sent * sizeof replay->sent[0]);
    replay->facts.answered_bytes = replay->answered.at;
}

static bool is_for_now(enum nack_code code)
{
    return code == NACK_EBUSY || code == NACK_EIO;
}

static void on_nack(struct replay *replay, const struct control_nack *nack, int64_t now_ms)
{
    enum nack_code code = nack_code_find(nack->code);
    struct err err = {""};

    /* Before the welcome it answers a ping. */
    if (code == NACK_ENOTOPEN) {
        replay->wants_end = replay->state == REPLAY_SENDING;
        return;
    }
    err_set(&err, 0, "%s: %s", nack->code, nack->text ? nack->text : "no reason given");
    if (!is_for_now(code) && (nack->fatal || nack_code_is_fatal(code))) {
        keep(replay, err.text);
    } else if (replay->state == REPLAY_OPENING && ++replay->n_busy >= REPLAY_OPENS_MAX) {
        keep_for_now(replay, err.text);
    } else if (nack->fatal || (is_for_now(code) && nack->seq == 0 && !nack->layer)) {
        replay->wants_end = true;
    } else if (is_for_now(code) && nack->seq > 0) {
        go_back(replay);
        replay->held_until = now_ms + REPLAY_RETRY_MS;
    } else {
        settle(replay, nack->seq);
        count_refusal(replay, err.text);
    }
}

void replay_receive(struct replay *replay, const struct control *message, int64_t now_ms)
{
    if (replay->state == REPLAY_AWAY || replay_is_over(replay))
        return;
    replay->heard_at = now_ms;
    switch (message->type) {
    case CONTROL_HELLO_ANSWER:
        on_hello(replay, &message->hello_answer);
        break;
    case CONTROL_WELCOME:
        on_welcome(replay, &message->welcome);
        break;
    case CONTROL_PROGRESS:
        if ((uint64_t)message->progress.granted > replay->granted)
            replay->granted = (uint64_t)message->progress.granted;
        break;
    case CONTROL_ACK:
        settle(replay, message->ack.seq);
        break;
    case CONTROL_NACK:
        on_nack(replay, &message->nack, now_ms);
        break;
    default: /* pong: it only shows that the daemon is there */
        break;
    }
}

bool replay_tick(struct replay *replay, int64_t now_ms)
{
    struct control_ping ping = {replay->ping_id + 1};

    if (replay->state == REPLAY_AWAY || replay_is_over(replay))
        return false;
    if (now_ms - replay->pinged_at >= REPLAY_PING_MS && !replay->urgent) {
        replay->ping_id++;
        replay->pinged_at = now_ms;
        queue(replay, control_encode_ping(&ping));
    }
    return !replay->wants_end && now_ms - replay->heard_at < REPLAY_SILENCE_MS &&
           (replay->state == REPLAY_SENDING || now_ms - replay->opened_at < REPLAY_OPEN_MS);
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Whether the record may be sent now. */
static bool has_credit(struct replay *replay, int64_t now_ms)
{
    struct err err = {""};

    if (replay->record_bytes == 0)
        return replay->n_sent < IN_FLIGHT_MAX;
    if (replay->sent_bytes + replay->record_bytes <= replay->granted) {
        replay->blocked_since = -1;
        return true;
    }
    if (replay->blocked_since < 0 || replay->n_sent > 0)
        replay->blocked_since = now_ms;
    if (now_ms - replay->blocked_since >= REPLAY_CREDIT_MS) {
        err_set(&err, 0, "the daemon has no room for rows of %zu bytes", replay->record_bytes);
        keep_for_now(replay, err.text);
    }
    return false;
}

size_t replay_next(struct replay *replay, bool may_send, int64_t now_ms,
                   const struct wire_frame **frames)
{
    if (replay->urgent) {
        replay->urgent_frame = (struct wire_frame){replay->urgent, strlen(replay->urgent)};
        *frames = &replay->urgent_frame;
        return 1;
    }
    if (!may_send || replay->state != REPLAY_SENDING || replay->wants_end ||
        now_ms < replay->held_until)
        return 0;
    if (load(replay) && has_credit(replay, now_ms)) {
        *frames = replay->record.frames;
        return replay->record.n_frames;
    }
    if (replay->state == REPLAY_SENDING && replay->is_at_end && replay->n_sent == 0)
        finish(replay);
    return 0;
}

void replay_sent(struct replay *replay)
{
    if (replay->urgent) {
        queue(replay, NULL);
        return;
    }
    assert(replay->has_record);
    replay->has_record = false;
    replay->sent_bytes += replay->record_bytes;
    if (replay->record_bytes == 0)
        replay->sent[replay->n_sent++] =
            (struct sent){.seq = replay->record_seq, .end = replay->record.end};
}
