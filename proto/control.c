#include "proto/control.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define MAX_INTEGER ((int64_t)JSON_MAX_INTEGER - 1)

/* ---- the fields of every message, one row each --------------------------------------------- */

enum field_kind {
    FIELD_TEXT,    /* const char *, at most `max` bytes, at least `min` */
    FIELD_INTEGER, /* int64_t in min..max; `absent` stands for a field left out */
    FIELD_NUMBER,  /* double; NaN stands for a field left out */
    FIELD_BOOL,
    FIELD_CHOICE, /* an enum: the place of the text in `choices`; left out, the first */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    size_t offset; /* in the message's struct */
    int64_t min;
    int64_t max;
    int64_t absent;
    bool says_null;    /* encoded as null when absent */
    bool says_nothing; /* left out when false */
    const char *const *choices;
};

/* A row opens with FIELD; what it does not say is zero: optional, from 0, absent as 0. */
#define FIELD(message, member, of_kind)                                                            \
    .name = #member, .kind = FIELD_##of_kind, .offset = offsetof(struct control_##message, member)

static const char *const resume_names[] = {"allow", "must", "never", NULL};
static const char *const window_names[] = {"checkpoint", "exponential", "cumulative", NULL};
static const char *const status_names[] = {"finished", "failed", NULL};

static const struct field hello_fields[] = {
    {FIELD(hello, protocol_min, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(hello, protocol_max, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(hello, client, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(hello, host, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(hello, pid, INTEGER), .max = MAX_INTEGER},
    {0},
};
static const struct field open_fields[] = {
    {FIELD(open, run, TEXT), .required = true, .min = 1, .max = CONTROL_RUN_MAX},
    {FIELD(open, name, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(open, project, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(open, group, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(open, resume, CHOICE), .choices = resume_names},
    {FIELD(open, attempt, INTEGER), .max = INT32_MAX},
    {FIELD(open, writer, TEXT), .required = true, .min = 1, .max = CONTROL_WRITER_MAX},
    {0},
};
/* Of the object `window` in open, flattened into control_open. */
static const struct field window_fields[] = {
    {.name = "kind",
     .kind = FIELD_CHOICE,
     .required = true,
     .offset = offsetof(struct control_open, window),
     .choices = window_names},
    {FIELD(open, half_life_rows, NUMBER)},
    {0},
};
/* Of the object `spectrum` in open, flattened like it; `centred` is no row, as it defaults to true.
 */
static const struct field spectrum_fields[] = {
    {FIELD(open, every, INTEGER), .max = INT32_MAX},
    {FIELD(open, leading, INTEGER), .max = INT32_MAX},
    {0},
};
static const struct field checkpoint_fields[] = {
    {FIELD(checkpoint, seq, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(checkpoint, step, INTEGER), .required = true, .max = MAX_INTEGER},
    {FIELD(checkpoint, time, NUMBER)},
    {FIELD(checkpoint, spectrum, BOOL), .says_nothing = true},
    {0},
};
/* Of each member of `layers` in checkpoint. */
static const struct field layer_fields[] = {
    {FIELD(layer, seq, INTEGER), .required = true, .max = MAX_INTEGER},
    {FIELD(layer, rows, INTEGER), .required = true, .max = MAX_INTEGER},
    {0},
};
static const struct field log_fields[] = {
    {FIELD(log, seq, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(log, step, INTEGER), .required = true, .max = MAX_INTEGER},
    {FIELD(log, time, NUMBER)},
    {0},
};
static const struct field close_fields[] = {
    {FIELD(close, seq, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(close, status, CHOICE), .required = true, .choices = status_names},
    {0},
};
static const struct field ping_fields[] = {
    {FIELD(ping, id, INTEGER), .required = true, .max = MAX_INTEGER},
    {0},
};
static const struct field hello_answer_fields[] = {
    {FIELD(hello_answer, protocol, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {FIELD(hello_answer, server, TEXT), .max = CONTROL_TEXT_MAX},
    {0},
};
static const struct field welcome_fields[] = {
    {FIELD(welcome, run, TEXT), .required = true, .min = 1, .max = CONTROL_RUN_MAX},
    {FIELD(welcome, attempt, INTEGER), .required = true, .min = 1, .max = INT32_MAX},
    {FIELD(welcome, granted, INTEGER), .required = true, .max = MAX_INTEGER},
    {FIELD(welcome, last_seq, INTEGER), .required = true, .max = MAX_INTEGER},
    {FIELD(welcome, last_step, INTEGER), .max = MAX_INTEGER, .absent = -1, .says_null = true},
    {0},
};
static const struct field progress_fields[] = {
    {FIELD(progress, granted, INTEGER), .required = true, .max = MAX_INTEGER},
    {0},
};
static const struct field ack_fields[] = {
    {FIELD(ack, seq, INTEGER), .required = true, .min = 1, .max = MAX_INTEGER},
    {0},
};
static const struct field nack_fields[] = {
    {FIELD(nack, code, TEXT), .required = true, .min = 1, .max = CONTROL_TEXT_MAX},
    {FIELD(nack, text, TEXT), .max = CONTROL_TEXT_MAX},
    {FIELD(nack, fatal, BOOL)},
    {FIELD(nack, seq, INTEGER), .min = 1, .max = MAX_INTEGER},
    {FIELD(nack, layer, TEXT), .min = 1, .max = WIRE_LAYER_MAX},
    {FIELD(nack, batch, INTEGER), .min = 1, .max = MAX_INTEGER},
    {0},
};

/* ---- reading and writing by row ------------------------------------------------------------ */

static int missing(const struct field *f, int rc, struct err *e)
{
    if (rc != 0 || !f->required)
        return rc < 0 ? rc : 0;
    return err_set(e, -EPROTO, "\"%s\" is missing", f->name);
}

static int read_text(const cJSON *object, const struct field *f, const char **out, struct err *e)
{
    int rc;

    *out = NULL;
    rc = json_text(object, f->name, (size_t)f->max, out, e);
    if (rc == 1 && (int64_t)strlen(*out) < f->min)
        return err_set(e, -EPROTO, "\"%s\" is empty", f->name);
    return rc;
}

static int read_choice(const cJSON *object, const struct field *f, void *out, struct err *e)
{
    const char *text = NULL;
    int choice = 0;
    int rc = json_text(object, f->name, CONTROL_TEXT_MAX, &text, e);

    if (rc < 0)
        return rc;
    while (text && f->choices[choice] && strcmp(f->choices[choice], text) != 0)
        choice++;
    if (!f->choices[choice])
        return err_set(e, -EPROTO, "\"%s\" is \"%.64s\", expected one of \"%s\", \"%s\"%s", f->name,
                       text, f->choices[0], f->choices[1], f->choices[2] ? " and one more" : "");
    memcpy(out, &choice, sizeof choice);
    return rc;
}

static int read_bool(const cJSON *object, const struct field *f, bool *out, struct err *e)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, f->name);

    *out = cJSON_IsTrue(member);
    if (member && !cJSON_IsBool(member) && !cJSON_IsNull(member))
        return err_set(e, -EPROTO, "\"%s\" must be true or false", f->name);
    return member != NULL;
}

static int read_field(const cJSON *object, const struct field *f, void *body, struct err *e)
{
    void *out = (char *)body + f->offset;

    switch (f->kind) {
    case FIELD_TEXT:
        return read_text(object, f, out, e);
    case FIELD_INTEGER:
        *(int64_t *)out = f->absent;
        return json_integer(object, f->name, f->min, f->max, out, e);
    case FIELD_NUMBER:
        *(double *)out = (double)NAN;
        return json_number(object, f->name, out, e);
    case FIELD_BOOL:
        return read_bool(object, f, out, e);
    case FIELD_CHOICE:
        return read_choice(object, f, out, e);
    }
    return 0;
}

static int read_fields(const cJSON *object, const struct field *fields, void *body, struct err *e)
{
    int rc = 0;

    for (const struct field *f = fields; f->name && rc == 0; f++)
        rc = missing(f, read_field(object, f, body, e), e);
    return rc;
}

static bool write_integer(cJSON *object, const struct field *f, int64_t value)
{
    if (value != f->absent || f->required)
        return json_add_integer(object, f->name, value);
    return !f->says_null || cJSON_AddNullToObject(object, f->name);
}

static bool write_field(cJSON *object, const struct field *f, const void *body)
{
    const void *in = (const char *)body + f->offset;
    const char *text;
    int choice;

    switch (f->kind) {
    case FIELD_TEXT:
        text = *(const char *const *)in;
        return !text || cJSON_AddStringToObject(object, f->name, text);
    case FIELD_INTEGER:
        return write_integer(object, f, *(const int64_t *)in);
    case FIELD_NUMBER:
        return isnan(*(const double *)in) || json_add_double(object, f->name, *(const double *)in);
    case FIELD_BOOL:
        return (f->says_nothing && !*(const bool *)in) ||
               cJSON_AddBoolToObject(object, f->name, *(const bool *)in) != NULL;
    case FIELD_CHOICE:
        memcpy(&choice, in, sizeof choice);
        return cJSON_AddStringToObject(object, f->name, f->choices[choice]) != NULL;
    }
    return false;
}

static bool write_fields(cJSON *object, const struct field *fields, const void *body)
{
    for (const struct field *f = fields; f->name; f++) {
        if (!write_field(object, f, body))
            return false;
    }
    return true;
}

/* ---- what does not fit in a row ------------------------------------------------------------ */

/* A member of another kind than null, or NULL with *rc = -EPROTO when it is not an object. */
static const cJSON *object_member(const cJSON *object, const char *name, int *rc, struct err *e)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    *rc = 0;
    if (!member || cJSON_IsNull(member))
        return NULL;
    if (cJSON_IsObject(member))
        return member;
    *rc = err_set(e, -EPROTO, "\"%s\" must be an object", name);
    return NULL;
}

static int parse_hello(struct control *c, struct err *e)
{
    if (c->hello.protocol_min <= c->hello.protocol_max)
        return 0;
    return err_set(e, -EPROTO, "\"protocol_min\" is above \"protocol_max\"");
}

bool control_run_valid(const char *run)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(run);

    return size >= 1 && size <= CONTROL_RUN_MAX && run[0] != '.' && strspn(run, allowed) == size;
}

static int parse_tags(struct control *c, struct err *e)
{
    const cJSON *tags = cJSON_GetObjectItemCaseSensitive(c->root, "tags");
    const cJSON *tag;

    if (!tags || cJSON_IsNull(tags))
        return 0;
    if (!cJSON_IsArray(tags))
        return err_set(e, -EPROTO, "\"tags\" must be an array of strings");
    cJSON_ArrayForEach(tag, tags)
    {
        if (!cJSON_IsString(tag) || strlen(tag->valuestring) > CONTROL_TEXT_MAX)
            return err_set(e, -EPROTO, "a tag must be a string of at most %d bytes",
                           CONTROL_TEXT_MAX);
    }
    c->open.tags = tags;
    return 0;
}

static int parse_window(struct control *c, struct err *e)
{
    int rc;
    const cJSON *window = object_member(c->root, "window", &rc, e);

    c->open.window = CONTROL_WINDOW_CHECKPOINT;
    c->open.half_life_rows = (double)NAN;
    if (!window)
        return rc;
    rc = read_fields(window, window_fields, &c->open, e);
    if (rc < 0)
        return err_prefix(e, rc, "window: ");
    if (c->open.window == CONTROL_WINDOW_EXPONENTIAL && !(c->open.half_life_rows > 0))
        return err_set(e, -EPROTO, "window: \"half_life_rows\" must be a number above 0");
    return 0;
}

static int parse_spectrum(struct control *c, struct err *e)
{
    int rc;
    const cJSON *spectrum = object_member(c->root, "spectrum", &rc, e);
    const cJSON *centred;

    c->open.every = c->open.leading = 0;
    c->open.uncentred = false;
    if (!spectrum)
        return rc;
    rc = read_fields(spectrum, spectrum_fields, &c->open, e);
    if (rc < 0)
        return err_prefix(e, rc, "spectrum: ");
    centred = cJSON_GetObjectItemCaseSensitive(spectrum, "centred");
    if (centred && !cJSON_IsBool(centred) && !cJSON_IsNull(centred))
        return err_set(e, -EPROTO, "spectrum: \"centred\" must be true or false");
    c->open.uncentred = cJSON_IsFalse(centred);
    return 0;
}

static int parse_open(struct control *c, struct err *e)
{
    struct control_open *o = &c->open;
    int rc;

    if (!control_run_valid(o->run))
        return err_set(e, -EPROTO,
                       "\"run\" is \"%.64s\", expected 1 to %d of A-Z a-z 0-9 . _ - and no dot "
                       "first",
                       o->run, CONTROL_RUN_MAX);
    if (!o->name)
        o->name = o->run;
    if (!o->project)
        o->project = "default";
    if (!o->group)
        o->group = "";
    o->tags = NULL;
    rc = parse_tags(c, e);
    if (rc < 0)
        return rc;
    o->config = object_member(c->root, "config", &rc, e);
    if (rc == 0)
        rc = parse_window(c, e);
    return rc < 0 ? rc : parse_spectrum(c, e);
}

/* The array for the members of the object `name`: -EPROTO when there are more than `limit` or
 * none is given, else *n_members and *array (owned by `c`). */
static int new_array(struct control *c, const char *name, size_t limit, size_t element_size,
                     const cJSON **object, size_t *n_members, struct err *e)
{
    int rc;

    *object = object_member(c->root, name, &rc, e);
    if (!*object)
        return rc < 0 ? rc : err_set(e, -EPROTO, "\"%s\" is missing", name);
    *n_members = (size_t)cJSON_GetArraySize(*object);
    if (*n_members > limit)
        return err_set(e, -EPROTO, "\"%s\" has %zu members, at most %zu are taken", name,
                       *n_members, limit);
    c->array = calloc(*n_members + 1, element_size);
    return c->array ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int parse_checkpoint(struct control *c, struct err *e)
{
    struct control_layer *layer;
    const cJSON *layers, *member;
    int rc = new_array(c, "layers", CONTROL_LAYERS_MAX, sizeof *layer, &layers,
                       &c->checkpoint.n_layers, e);

    if (rc < 0)
        return rc;
    layer = c->checkpoint.layers = c->array;
    cJSON_ArrayForEach(member, layers)
    {
        layer->layer = member->string;
        rc = wire_layer_check(layer->layer, strlen(layer->layer), e);
        if (rc < 0)
            return rc;
        if (!cJSON_IsObject(member))
            return err_set(e, -EPROTO, "layer \"%s\": expected an object", layer->layer);
        rc = read_fields(member, layer_fields, layer, e);
        if (rc < 0)
            return err_prefix(e, rc, "layer \"%s\": ", layer->layer);
        layer++;
    }
    return 0;
}

static int parse_log(struct control *c, struct err *e)
{
    struct control_scalar *scalar;
    const cJSON *scalars, *member;
    int rc = new_array(c, "scalars", CONTROL_SCALARS_MAX, sizeof *scalar, &scalars,
                       &c->log.n_scalars, e);

    if (rc < 0)
        return rc;
    scalar = c->log.scalars = c->array;
    cJSON_ArrayForEach(member, scalars)
    {
        size_t size = strlen(member->string);

        if (size < 1 || size > CONTROL_SCALAR_NAME_MAX)
            return err_set(e, -EPROTO, "a scalar's name has %zu bytes, expected 1 to %d", size,
                           CONTROL_SCALAR_NAME_MAX);
        if (!cJSON_IsNumber(member) && !cJSON_IsNull(member))
            return err_set(e, -EPROTO, "scalar \"%s\" must be a number or null", member->string);
        scalar->name = member->string;
        scalar->value = cJSON_IsNull(member) ? (double)NAN : member->valuedouble;
        scalar++;
    }
    return 0;
}

static int parse_ack(struct control *c, struct err *e)
{
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(c->root, "points");

    c->ack.points = NULL;
    if (!points || cJSON_IsNull(points))
        return 0;
    if (!cJSON_IsArray(points))
        return err_set(e, -EPROTO, "\"points\" must be an array");
    c->ack.points = points;
    return 0;
}

/* Turns one number into raw text that reads back the same. */
static bool make_exact(cJSON *value)
{
    cJSON *array = cJSON_CreateArray();
    bool done = array && json_push_double(array, value->valuedouble);

    if (done) {
        value->valuestring = array->child->valuestring;
        array->child->valuestring = NULL;
        value->type = (value->type & cJSON_StringIsConst) | cJSON_Raw;
    }
    cJSON_Delete(array);
    return done;
}

/* Recursion is bounded by JSON_MAX_DEPTH, which the parser has checked. */
static bool make_tree_exact(cJSON *value)
{
    cJSON *member;

    if (cJSON_IsNumber(value))
        return make_exact(value);
    cJSON_ArrayForEach(member, value)
    {
        if (!make_tree_exact(member))
            return false;
    }
    return true;
}

char *control_text(const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);
    char *text = copy && make_tree_exact(copy) ? json_print(copy) : NULL;

    cJSON_Delete(copy);
    return text;
}

static bool add_text(cJSON *object, const char *name, const cJSON *value)
{
    char *text = control_text(value);
    bool done = text && cJSON_AddRawToObject(object, name, text);

    cJSON_free(text);
    return done;
}

static bool print_open(cJSON *object, const void *body)
{
    const struct control_open *o = body;
    cJSON *window, *spectrum;

    if (o->tags && !add_text(object, "tags", o->tags))
        return false;
    if (o->config && !add_text(object, "config", o->config))
        return false;
    if (o->window != CONTROL_WINDOW_CHECKPOINT) {
        window = cJSON_AddObjectToObject(object, "window");
        if (!window || !write_fields(window, window_fields, body))
            return false;
    }
    if (o->every == 0 && o->leading == 0 && !o->uncentred)
        return true;
    spectrum = cJSON_AddObjectToObject(object, "spectrum");
    return spectrum && write_fields(spectrum, spectrum_fields, body) &&
           (!o->uncentred || cJSON_AddFalseToObject(spectrum, "centred"));
}

static bool print_checkpoint(cJSON *object, const void *body)
{
    const struct control_checkpoint *k = body;
    cJSON *layers = cJSON_AddObjectToObject(object, "layers");

    for (size_t i = 0; layers && i < k->n_layers; i++) {
        cJSON *layer = cJSON_AddObjectToObject(layers, k->layers[i].layer);

        if (!layer || !write_fields(layer, layer_fields, &k->layers[i]))
            return false;
    }
    return layers != NULL;
}

static bool print_log(cJSON *object, const void *body)
{
    const struct control_log *l = body;
    cJSON *scalars = cJSON_AddObjectToObject(object, "scalars");

    for (size_t i = 0; scalars && i < l->n_scalars; i++) {
        if (!json_add_double(scalars, l->scalars[i].name, l->scalars[i].value))
            return false;
    }
    return scalars != NULL;
}

static bool print_ack(cJSON *object, const void *body)
{
    const struct control_ack *a = body;

    return !a->points || add_text(object, "points", a->points);
}

/* ---- the messages, one row each ------------------------------------------------------------ */

static const struct message {
    const char *name;
    bool to_trainer;
    const struct field *fields;
    int (*parse)(struct control *c, struct err *e); /* after the fields, or NULL */
    bool (*print)(cJSON *object, const void *body); /* after the fields, or NULL */
} messages[CONTROL_TYPES] = {
    [CONTROL_HELLO] = {"hello", false, hello_fields, parse_hello, NULL},
    [CONTROL_OPEN] = {"open", false, open_fields, parse_open, print_open},
    [CONTROL_CHECKPOINT] = {"checkpoint", false, checkpoint_fields, parse_checkpoint,
                            print_checkpoint},
    [CONTROL_LOG] = {"log", false, log_fields, parse_log, print_log},
    [CONTROL_CLOSE] = {"close", false, close_fields, NULL, NULL},
    [CONTROL_PING] = {"ping", false, ping_fields, NULL, NULL},
    [CONTROL_HELLO_ANSWER] = {"hello", true, hello_answer_fields, NULL, NULL},
    [CONTROL_WELCOME] = {"welcome", true, welcome_fields, NULL, NULL},
    [CONTROL_PROGRESS] = {"progress", true, progress_fields, NULL, NULL},
    [CONTROL_ACK] = {"ack", true, ack_fields, parse_ack, print_ack},
    [CONTROL_NACK] = {"nack", true, nack_fields, NULL, NULL},
    [CONTROL_PONG] = {"pong", true, ping_fields, NULL, NULL},
};

bool control_to_trainer(enum control_type type)
{
    return messages[type].to_trainer;
}

const char *control_type_name(enum control_type type)
{
    return messages[type].name;
}

/* The two hellos share a name: only the daemon's has `protocol` and no range. */
static enum control_type tell_hello(const cJSON *root)
{
    bool range = cJSON_GetObjectItemCaseSensitive(root, "protocol_min") != NULL;
    bool chosen = cJSON_GetObjectItemCaseSensitive(root, "protocol") != NULL;

    return chosen && !range ? CONTROL_HELLO_ANSWER : CONTROL_HELLO;
}

static int find_type(struct control *c, struct err *e)
{
    const char *name = NULL;
    int rc = json_text(c->root, "type", CONTROL_TEXT_MAX, &name, e);

    if (rc < 0)
        return rc;
    if (!name)
        return err_set(e, -EPROTO, "\"type\" is missing");
    for (int i = 0; i < CONTROL_TYPES; i++) {
        if (strcmp(messages[i].name, name) == 0) {
            c->type = i == CONTROL_HELLO ? tell_hello(c->root) : (enum control_type)i;
            return 0;
        }
    }
    return err_set(e, -EPROTO, "\"type\" is \"%.64s\", which is no message", name);
}

static int parse_message(struct control *c, struct err *e)
{
    const struct message *m;
    int rc;

    if (!cJSON_IsObject(c->root))
        return err_set(e, -EPROTO, "a control message must be an object");
    rc = find_type(c, e);
    if (rc < 0)
        return rc;
    m = &messages[c->type];
    rc = read_fields(c->root, m->fields, &c->hello, e);
    if (rc == 0 && m->parse)
        rc = m->parse(c, e);
    return rc < 0 ? err_prefix(e, rc, "%s: ", m->name) : 0;
}

int control_parse(const void *text, size_t size, struct control *out, struct err *e)
{
    int rc;

    memset(out, 0, sizeof *out);
    out->root = json_parse(text, size, e);
    if (!out->root)
        return -EPROTO;
    rc = parse_message(out, e);
    if (rc < 0)
        control_release(out);
    return rc;
}

void control_release(struct control *c)
{
    cJSON_Delete(c->root);
    free(c->array);
    memset(c, 0, sizeof *c);
}

static char *encode(enum control_type type, const void *body)
{
    const struct message *m = &messages[type];
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && cJSON_AddStringToObject(object, "type", m->name) &&
        write_fields(object, m->fields, body) && (!m->print || m->print(object, body)))
        text = json_print(object);
    cJSON_Delete(object);
    return text;
}

char *control_encode_hello(const struct control_hello *m)
{
    return encode(CONTROL_HELLO, m);
}

char *control_encode_open(const struct control_open *m)
{
    return encode(CONTROL_OPEN, m);
}

char *control_encode_checkpoint(const struct control_checkpoint *m)
{
    return encode(CONTROL_CHECKPOINT, m);
}

char *control_encode_log(const struct control_log *m)
{
    return encode(CONTROL_LOG, m);
}

char *control_encode_close(const struct control_close *m)
{
    return encode(CONTROL_CLOSE, m);
}

char *control_encode_ping(const struct control_ping *m)
{
    return encode(CONTROL_PING, m);
}

char *control_encode_hello_answer(const struct control_hello_answer *m)
{
    return encode(CONTROL_HELLO_ANSWER, m);
}

char *control_encode_welcome(const struct control_welcome *m)
{
    return encode(CONTROL_WELCOME, m);
}

char *control_encode_progress(const struct control_progress *m)
{
    return encode(CONTROL_PROGRESS, m);
}

char *control_encode_ack(const struct control_ack *m)
{
    return encode(CONTROL_ACK, m);
}

/* An error's text may quote what came from outside, cut in the middle of a character. */
static void mend(const char *text, char out[CONTROL_TEXT_MAX + 1])
{
    size_t size = strnlen(text, CONTROL_TEXT_MAX);

    memcpy(out, text, size);
    out[size] = '\0';
    if (json_utf8_valid(out, size))
        return;
    for (size_t i = 0; i < size; i++) {
        if (((unsigned char)out[i] & 0x80) != 0)
            out[i] = '?';
    }
}

char *control_encode_nack(const struct control_nack *m)
{
    char text[CONTROL_TEXT_MAX + 1];
    struct control_nack mended = *m;

    if (m->text) {
        mend(m->text, text);
        mended.text = text;
    }
    return encode(CONTROL_NACK, &mended);
}

char *control_encode_pong(const struct control_ping *m)
{
    return encode(CONTROL_PONG, m);
}
