#include "proto/control.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/control_parts.h"
#include "proto/wire.h"

/* ---- the fields of every message, one row each --------------------------------------------- */

/* By enum control_status: the two states that a trainer can send. */
static const char *const status_names[] = {"finished", "failed", NULL};

static const struct field hello_fields[] = {
    {FIELD(hello, protocol_min, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(hello, protocol_max, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(hello, client, TEXT), .max = TEXT_MAX},
    {FIELD(hello, host, TEXT), .max = TEXT_MAX},
    {FIELD(hello, pid, INTEGER), .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field open_fields[] = {
    {FIELD(open, run, TEXT), .required = true, .min = 1, .max = RUN_ID_MAX},
    {FIELD(open, name, TEXT), .max = TEXT_MAX},
    {FIELD(open, project, TEXT), .max = TEXT_MAX},
    {FIELD(open, group, TEXT), .max = TEXT_MAX},
    {FIELD(open, resume, CHOICE), .choices = resume_names},
    {FIELD(open, attempt, INTEGER), .max = INT32_MAX},
    {FIELD(open, writer, TEXT), .required = true, .min = 1, .max = WRITER_MAX},
    {FIELD(open, probe, BOOL), .says_nothing = true},
    {FIELD(open, replay, BOOL), .says_nothing = true},
    {FIELD(open, time, NUMBER), .max = TIME_MAX_S},
    {FIELD(open, host, TEXT), .max = TEXT_MAX},
    {0},
};
/* Of the object `window` in open, flattened into control_open. */
const struct field control_window_fields[] = {
    {.name = "kind",
     .kind = FIELD_CHOICE,
     .required = true,
     .offset = offsetof(struct control_open, window),
     .choices = window_names},
    {FIELD(open, half_life_rows, NUMBER)},
    {0},
};
/* Of the object `spectrum` in open, flattened like it; `centred` is no row, because it defaults to
 * true. */
const struct field control_spectrum_fields[] = {
    {FIELD(open, every, INTEGER), .max = INT32_MAX},
    {FIELD(open, leading, INTEGER), .max = INT32_MAX},
    {0},
};
/* Of the object `projector` in open, flattened like them. */
const struct field control_projector_fields[] = {
    {.name = "kind",
     .kind = FIELD_CHOICE,
     .required = true,
     .offset = offsetof(struct control_open, projector),
     .choices = projector_names},
    {FIELD(open, energy, NUMBER)},
    {FIELD(open, k, INTEGER), .max = INT32_MAX},
    {FIELD(open, lambda, NUMBER)},
    {0},
};
/* Of the object `member` in open. */
const struct field control_member_fields[] = {
    {FIELD(open, launch, TEXT), .required = true, .min = 1, .max = LAUNCH_MAX},
    {FIELD(open, rank, INTEGER), .required = true, .max = RUN_WORLD_MAX - 1},
    {FIELD(open, world, INTEGER), .required = true, .min = 1, .max = RUN_WORLD_MAX},
    {0},
};
static const struct field checkpoint_fields[] = {
    {FIELD(checkpoint, seq, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(checkpoint, step, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(checkpoint, time, NUMBER), .max = TIME_MAX_S},
    {FIELD(checkpoint, spectrum, BOOL), .says_nothing = true},
    {FIELD(checkpoint, implied, BOOL), .says_nothing = true},
    {0},
};
/* Of each member of `layers` in checkpoint. */
const struct field control_layer_fields[] = {
    {FIELD(layer, seq, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(layer, rows, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(layer, thinned, INTEGER), .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field log_fields[] = {
    {FIELD(log, seq, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(log, step, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(log, time, NUMBER), .max = TIME_MAX_S},
    {FIELD(log, implied, BOOL), .says_nothing = true},
    {0},
};
static const struct field constants_fields[] = {
    {FIELD(constants, seq, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field close_fields[] = {
    {FIELD(close, seq, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(close, status, CHOICE), .required = true, .choices = status_names},
    {0},
};
static const struct field ping_fields[] = {
    {FIELD(ping, id, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field relay_fields[] = {
    {FIELD(relay, source, TEXT), .required = true, .min = 1, .max = CONTROL_SOURCE_MAX},
    {FIELD(relay, session, TEXT), .required = true, .min = 1, .max = WRITER_MAX},
    {FIELD(relay, again, BOOL), .says_nothing = true},
    {FIELD(relay, version, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field batch_fields[] = {
    {FIELD(batch, source, TEXT), .required = true, .min = 1, .max = CONTROL_SOURCE_MAX},
    {FIELD(batch, session, TEXT), .required = true, .min = 1, .max = WRITER_MAX},
    {FIELD(batch, batch, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(batch, feed_seq, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field place_fields[] = {
    {FIELD(place, source, TEXT), .required = true, .min = 1, .max = CONTROL_SOURCE_MAX},
    {FIELD(place, batch, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(place, feed_seq, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(place, path, TEXT), .required = true, .min = 1, .max = TEXT_MAX},
    {FIELD(place, problem, TEXT), .max = TEXT_MAX},
    {0},
};
static const struct field hello_answer_fields[] = {
    {FIELD(hello_answer, protocol, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(hello_answer, server, TEXT), .max = TEXT_MAX},
    {FIELD(hello_answer, members, BOOL), .says_nothing = true},
    {FIELD(hello_answer, relays, INTEGER), .max = FIELD_MAX_INTEGER},
    {FIELD(hello_answer, feed, TEXT), .max = TEXT_MAX},
    {FIELD(hello_answer, page, TEXT), .max = TEXT_MAX},
    {FIELD(hello_answer, pid, INTEGER), .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field welcome_fields[] = {
    {FIELD(welcome, run, TEXT), .required = true, .min = 1, .max = RUN_ID_MAX},
    {FIELD(welcome, attempt, INTEGER), .required = true, .min = 1, .max = INT32_MAX},
    {FIELD(welcome, granted, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(welcome, last_seq, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {FIELD(welcome, last_step, INTEGER), .max = FIELD_MAX_INTEGER, .absent = -1, .says_null = true},
    {0},
};
/* Of the object `member` in welcome. */
const struct field control_place_fields[] = {
    {FIELD(welcome, rank, INTEGER), .required = true, .max = RUN_WORLD_MAX - 1},
    {FIELD(welcome, world, INTEGER), .required = true, .min = 1, .max = RUN_WORLD_MAX},
    {0},
};
static const struct field progress_fields[] = {
    {FIELD(progress, granted, INTEGER), .required = true, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field ack_fields[] = {
    {FIELD(ack, seq, INTEGER), .required = true, .min = 1, .max = FIELD_MAX_INTEGER},
    {0},
};
static const struct field nack_fields[] = {
    {FIELD(nack, code, TEXT), .required = true, .min = 1, .max = TEXT_MAX},
    {FIELD(nack, text, TEXT), .max = TEXT_MAX},
    {FIELD(nack, fatal, BOOL)},
    {FIELD(nack, seq, INTEGER), .min = 1, .max = FIELD_MAX_INTEGER},
    {FIELD(nack, layer, TEXT), .min = 1, .max = LAYER_NAME_MAX},
    {FIELD(nack, batch, INTEGER), .min = 1, .max = FIELD_MAX_INTEGER},
    {0},
};

/* ---- what does not fit in a row ------------------------------------------------------------ */

/* A member of another kind than null, or NULL with *rc = -EPROTO when it is not an object. */
static const cJSON *object_member(const cJSON *object, const char *name, int *rc, struct err *err)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    *rc = 0;
    if (!member || cJSON_IsNull(member))
        return NULL;
    if (cJSON_IsObject(member))
        return member;
    *rc = err_set(err, -EPROTO, "\"%s\" must be an object", name);
    return NULL;
}

static int parse_hello(struct control *control, struct err *err)
{
    if (control->hello.protocol_min <= control->hello.protocol_max)
        return 0;
    return err_set(err, -EPROTO, "\"protocol_min\" is above \"protocol_max\"");
}

bool control_run_valid(const char *run)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(run);

    return size >= 1 && size <= RUN_ID_MAX && run[0] != '.' && strspn(run, allowed) == size;
}

static int parse_tags(struct control *control, struct err *err)
{
    const cJSON *tags = cJSON_GetObjectItemCaseSensitive(control->root, "tags");
    const cJSON *tag;

    if (!tags || cJSON_IsNull(tags))
        return 0;
    if (!cJSON_IsArray(tags))
        return err_set(err, -EPROTO, "\"tags\" must be an array of strings");
    cJSON_ArrayForEach(tag, tags)
    {
        if (!cJSON_IsString(tag) || strlen(tag->valuestring) > TEXT_MAX)
            return err_set(err, -EPROTO, "\"tags\": a tag must be a string of at most %d bytes",
                           TEXT_MAX);
    }
    control->open.tags = tags;
    return 0;
}

static int parse_window(struct control *control, struct err *err)
{
    int rc;
    const cJSON *window = object_member(control->root, "window", &rc, err);

    control->open.window = WINDOW_CHECKPOINT;
    control->open.half_life_rows = (double)NAN;
    if (!window)
        return rc;
    rc = field_read_all(window, control_window_fields, &control->open, err);
    if (rc < 0)
        return err_prefix(err, rc, "window: ");
    if (control->open.window == WINDOW_EXPONENTIAL && !(control->open.half_life_rows > 0))
        return err_set(err, -EPROTO, "window: \"half_life_rows\" must be a number above 0");
    return 0;
}

static int parse_spectrum(struct control *control, struct err *err)
{
    int rc;
    const cJSON *spectrum = object_member(control->root, "spectrum", &rc, err);
    const cJSON *centred;

    control->open.every = control->open.leading = 0;
    control->open.uncentred = false;
    if (!spectrum)
        return rc;
    rc = field_read_all(spectrum, control_spectrum_fields, &control->open, err);
    if (rc < 0)
        return err_prefix(err, rc, "spectrum: ");
    centred = cJSON_GetObjectItemCaseSensitive(spectrum, "centred");
    if (centred && !cJSON_IsBool(centred) && !cJSON_IsNull(centred))
        return err_set(err, -EPROTO, "spectrum: \"centred\" must be true or false");
    control->open.uncentred = cJSON_IsFalse(centred);
    return 0;
}

static int parse_projector(struct control *control, struct err *err)
{
    int rc;
    const cJSON *projector = object_member(control->root, "projector", &rc, err);
    struct control_open *open = &control->open;

    open->projector = PROJECTOR_AUTO;
    open->energy = open->lambda = (double)NAN;
    open->k = 0;
    if (!projector)
        return rc;
    rc = field_read_all(projector, control_projector_fields, open, err);
    if (rc < 0)
        return err_prefix(err, rc, "projector: ");
    if (!isnan(open->energy) && !(open->energy > 0 && open->energy <= 1))
        return err_set(err, -EPROTO, "projector: \"energy\" must be above 0 and at most 1");
    if (!isnan(open->lambda) && !(open->lambda > 0))
        return err_set(err, -EPROTO, "projector: \"lambda\" must be a number above 0");
    return 0;
}

/* Whether the name has come before. */
static bool is_repeated(const cJSON *array, const cJSON *name)
{
    const cJSON *other;

    cJSON_ArrayForEach(other, array)
    {
        if (other == name)
            return false;
        if (strcmp(other->valuestring, name->valuestring) == 0)
            return true;
    }
    return false;
}

/* The daemon decides which names there are. */
static int parse_transitions(struct control *control, struct err *err)
{
    int rc;
    const cJSON *transitions = object_member(control->root, "transitions", &rc, err), *metrics,
                *name;

    metrics = cJSON_GetObjectItemCaseSensitive(transitions, "metrics");
    control->open.watched = NULL;
    if (rc < 0 || !metrics || cJSON_IsNull(metrics))
        return rc;
    if (!cJSON_IsArray(metrics) || cJSON_GetArraySize(metrics) > RUN_WATCHED_MAX)
        return err_set(err, -EPROTO,
                       "transitions: \"metrics\" must be an array of at most %d names",
                       RUN_WATCHED_MAX);
    cJSON_ArrayForEach(name, metrics)
    {
        if (!cJSON_IsString(name) || strlen(name->valuestring) > TEXT_MAX)
            return err_set(err, -EPROTO,
                           "transitions: a metric must be a string of at most %d bytes", TEXT_MAX);
        if (is_repeated(metrics, name))
            return err_set(err, -EPROTO, "transitions: \"%.64s\" is named twice",
                           name->valuestring);
    }
    control->open.watched = metrics;
    return 0;
}

static bool is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < ' ' || *c == 0x7f)
            return false;
    }
    return true;
}

static int parse_member(struct control *control, struct err *err)
{
    int rc;
    const cJSON *member = object_member(control->root, "member", &rc, err);
    struct control_open *open = &control->open;

    open->launch = NULL;
    open->rank = open->world = 0;
    if (!member)
        return rc;
    rc = field_read_all(member, control_member_fields, open, err);
    if (rc < 0)
        return err_prefix(err, rc, "member: ");
    if (!is_printable(open->launch))
        return err_set(err, -EPROTO, "member: \"launch\" has a control character");
    if (open->rank >= open->world)
        return err_set(err, -EPROTO, "member: \"rank\" must be below \"world\"");
    return 0;
}

static int parse_open(struct control *control, struct err *err)
{
    struct control_open *open = &control->open;
    int rc;

    if (!control_run_valid(open->run))
        return err_set(err, -EPROTO,
                       "\"run\" is \"%.64s\", expected 1 to %d of A-Z a-z 0-9 . _ - and no dot "
                       "first",
                       open->run, RUN_ID_MAX);
    if (!open->name)
        open->name = open->run;
    if (!open->project)
        open->project = "default";
    if (!open->group)
        open->group = "";
    open->tags = NULL;
    rc = parse_tags(control, err);
    if (rc < 0)
        return rc;
    open->config = object_member(control->root, "config", &rc, err);
    if (rc == 0)
        rc = parse_window(control, err);
    if (rc == 0 && open->probe && open->window != WINDOW_CHECKPOINT)
        rc = err_set(err, -EPROTO, "\"probe\" needs windows of the kind \"checkpoint\"");
    if (rc == 0)
        rc = parse_spectrum(control, err);
    if (rc == 0)
        rc = parse_projector(control, err);
    if (rc == 0)
        rc = parse_member(control, err);
    return rc < 0 ? rc : parse_transitions(control, err);
}

static int parse_welcome(struct control *control, struct err *err)
{
    int rc;
    const cJSON *member = object_member(control->root, "member", &rc, err);

    control->welcome.rank = control->welcome.world = 0;
    if (!member)
        return rc;
    rc = field_read_all(member, control_place_fields, &control->welcome, err);
    return rc < 0 ? err_prefix(err, rc, "member: ") : 0;
}

/* The array for the members of the object `name`: -EPROTO when there are more than `limit` or
 * none is given, else *n_members and *array (owned by `control`). */
static int new_array(struct control *control, const char *name, size_t limit, size_t element_size,
                     const cJSON **object, size_t *n_members, struct err *err)
{
    int rc;

    *object = object_member(control->root, name, &rc, err);
    if (!*object)
        return rc < 0 ? rc : err_set(err, -EPROTO, "\"%s\" is missing", name);
    *n_members = (size_t)cJSON_GetArraySize(*object);
    if (*n_members > limit)
        return err_set(err, -EPROTO, "\"%s\" has %zu members, at most %zu are taken", name,
                       *n_members, limit);
    control->array = calloc(*n_members + 1, element_size);
    return control->array ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* The daemon decides which names there are. */
static int parse_metrics(struct control *control, struct err *err)
{
    const cJSON *metric;
    int rc;

    control->checkpoint.metrics = object_member(control->root, "metrics", &rc, err);
    cJSON_ArrayForEach(metric, control->checkpoint.metrics)
    {
        if (!cJSON_IsNumber(metric) && !cJSON_IsNull(metric))
            return err_set(err, -EPROTO, "metric \"%.*s\" must be a number or null", TEXT_MAX,
                           metric->string);
    }
    return rc;
}

static int parse_checkpoint(struct control *control, struct err *err)
{
    struct control_layer *layer;
    const cJSON *layers, *member;
    int rc = new_array(control, "layers", RUN_LAYERS_MAX, sizeof *layer, &layers,
                       &control->checkpoint.n_layers, err);

    if (rc < 0)
        return rc;
    layer = control->checkpoint.layers = control->array;
    cJSON_ArrayForEach(member, layers)
    {
        layer->layer = member->string;
        rc = wire_layer_check(layer->layer, strlen(layer->layer), err);
        if (rc < 0)
            return rc;
        if (!cJSON_IsObject(member))
            return err_set(err, -EPROTO, "layer \"%s\": expected an object", layer->layer);
        rc = field_read_all(member, control_layer_fields, layer, err);
        if (rc < 0)
            return err_prefix(err, rc, "layer \"%s\": ", layer->layer);
        layer++;
    }
    return parse_metrics(control, err);
}

static int parse_log(struct control *control, struct err *err)
{
    struct control_scalar *scalar;
    const cJSON *scalars, *member;
    int rc = new_array(control, "scalars", LOG_SCALARS_MAX, sizeof *scalar, &scalars,
                       &control->log.n_scalars, err);

    if (rc < 0)
        return rc;
    scalar = control->log.scalars = control->array;
    cJSON_ArrayForEach(member, scalars)
    {
        size_t size = strlen(member->string);

        if (size < 1 || size > SCALAR_NAME_MAX)
            return err_set(err, -EPROTO, "a scalar's name has %zu bytes, expected 1 to %d", size,
                           SCALAR_NAME_MAX);
        if (!cJSON_IsNumber(member) && !cJSON_IsNull(member))
            return err_set(err, -EPROTO, "scalar \"%s\" must be a number or null", member->string);
        scalar->name = member->string;
        scalar->value = cJSON_IsNull(member) ? (double)NAN : member->valuedouble;
        scalar++;
    }
    return 0;
}

static int parse_constants(struct control *control, const char *name, struct err *err)
{
    int rc;

    control->constants.values = object_member(control->root, name, &rc, err);
    if (rc == 0 && !control->constants.values)
        rc = err_set(err, -EPROTO, "\"%s\" is missing", name);
    return rc;
}

static int parse_summary(struct control *control, struct err *err)
{
    return parse_constants(control, "summary", err);
}

static int parse_config(struct control *control, struct err *err)
{
    return parse_constants(control, "config", err);
}

static int parse_ack(struct control *control, struct err *err)
{
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(control->root, "points");

    control->ack.points = NULL;
    if (!points || cJSON_IsNull(points))
        return 0;
    if (!cJSON_IsArray(points))
        return err_set(err, -EPROTO, "\"points\" must be an array");
    control->ack.points = points;
    return 0;
}

/* ---- the messages, one row each ------------------------------------------------------------ */

const struct control_message control_messages[CONTROL_TYPES] = {
    [CONTROL_HELLO] = {"hello", hello_fields, parse_hello, NULL},
    [CONTROL_OPEN] = {"open", open_fields, parse_open, control_print_open},
    [CONTROL_CHECKPOINT] = {"checkpoint", checkpoint_fields, parse_checkpoint,
                            control_print_checkpoint},
    [CONTROL_LOG] = {"log", log_fields, parse_log, control_print_log},
    [CONTROL_SUMMARY] = {"summary", constants_fields, parse_summary, control_print_summary},
    [CONTROL_CONFIG] = {"config", constants_fields, parse_config, control_print_config},
    [CONTROL_CLOSE] = {"close", close_fields, NULL, NULL},
    [CONTROL_PING] = {"ping", ping_fields, NULL, NULL},
    [CONTROL_RELAY] = {"relay", relay_fields, NULL, NULL},
    [CONTROL_BATCH] = {"batch", batch_fields, NULL, NULL},
    [CONTROL_HELLO_ANSWER] = {"hello", hello_answer_fields, NULL, NULL},
    [CONTROL_WELCOME] = {"welcome", welcome_fields, parse_welcome, control_print_welcome},
    [CONTROL_PROGRESS] = {"progress", progress_fields, NULL, NULL},
    [CONTROL_ACK] = {"ack", ack_fields, parse_ack, control_print_ack},
    [CONTROL_NACK] = {"nack", nack_fields, NULL, NULL},
    [CONTROL_PONG] = {"pong", ping_fields, NULL, NULL},
    [CONTROL_PLACE] = {"place", place_fields, NULL, NULL},
};

const char *control_type_name(enum control_type type)
{
    assert(type >= 0 && type < CONTROL_TYPES);
    return control_messages[type].name;
}

/* The two hellos share a name: only the daemon's has `protocol` and no range. */
static enum control_type which_hello(const cJSON *root)
{
    bool range = cJSON_GetObjectItemCaseSensitive(root, "protocol_min") != NULL;
    bool chosen = cJSON_GetObjectItemCaseSensitive(root, "protocol") != NULL;

    return chosen && !range ? CONTROL_HELLO_ANSWER : CONTROL_HELLO;
}

static int find_type(struct control *control, struct err *err)
{
    const char *name = NULL;
    int rc = json_text(control->root, "type", TEXT_MAX, &name, err);

    if (rc < 0)
        return rc;
    if (!name)
        return err_set(err, -EPROTO, "\"type\" is missing");
    for (int i = 0; i < CONTROL_TYPES; i++) {
        if (strcmp(control_messages[i].name, name) == 0) {
            control->type = i == CONTROL_HELLO ? which_hello(control->root) : (enum control_type)i;
            return 0;
        }
    }
    return err_set(err, -EPROTO, "\"type\" is \"%.64s\", which is no message", name);
}

static int parse_message(struct control *control, struct err *err)
{
    const struct control_message *message;
    int rc;

    if (!cJSON_IsObject(control->root))
        return err_set(err, -EPROTO, "a control message must be an object");
    rc = find_type(control, err);
    if (rc < 0)
        return rc;
    message = &control_messages[control->type];
    rc = field_read_all(control->root, message->fields, &control->hello, err);
    if (rc == 0 && message->parse)
        rc = message->parse(control, err);
    return rc < 0 ? err_prefix(err, rc, "%s: ", message->name) : 0;
}

int control_parse(const void *text, size_t size, struct control *out, struct err *err)
{
    int rc;

    assert(text || size == 0);
    memset(out, 0, sizeof *out);
    out->root = json_parse(text, size, err);
    if (!out->root)
        return -EPROTO;
    rc = parse_message(out, err);
    if (rc < 0)
        control_release(out);
    return rc;
}

void control_release(struct control *control)
{
    cJSON_Delete(control->root);
    free(control->array);
    memset(control, 0, sizeof *control);
}
