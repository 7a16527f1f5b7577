#include <math.h>
#include <string.h>

#include "proto/control_parts.h"

char *control_text(const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);
    char *text = copy && json_make_exact(copy) ? json_print(copy) : NULL;

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

static bool print_spectrum(cJSON *object, const struct control_open *o)
{
    cJSON *spectrum;

    if (o->every == 0 && o->leading == 0 && !o->uncentred)
        return true;
    spectrum = cJSON_AddObjectToObject(object, "spectrum");
    return spectrum && field_write_all(spectrum, control_spectrum_fields, o) &&
           (!o->uncentred || cJSON_AddFalseToObject(spectrum, "centred"));
}

/* Adds nothing when all members have their defaults. An absent number has its default. */
static bool print_projector(cJSON *object, const struct control_open *o)
{
    cJSON *projector;

    if (o->projector == PROJECTOR_AUTO && o->k == 0 && isnan(o->energy) && isnan(o->lambda))
        return true;
    projector = cJSON_AddObjectToObject(object, "projector");
    return projector && field_write_all(projector, control_projector_fields, o);
}

static bool print_transitions(cJSON *object, const struct control_open *o)
{
    cJSON *transitions;

    if (!o->watched)
        return true;
    transitions = cJSON_AddObjectToObject(object, "transitions");
    return transitions && add_text(transitions, "metrics", o->watched);
}

bool control_print_open(cJSON *object, const void *body)
{
    const struct control_open *o = body;
    cJSON *window;

    if (o->tags && !add_text(object, "tags", o->tags))
        return false;
    if (o->config && !add_text(object, "config", o->config))
        return false;
    if (o->window != WINDOW_CHECKPOINT) {
        window = cJSON_AddObjectToObject(object, "window");
        if (!window || !field_write_all(window, control_window_fields, body))
            return false;
    }
    return print_spectrum(object, o) && print_projector(object, o) && print_transitions(object, o);
}

bool control_print_checkpoint(cJSON *object, const void *body)
{
    const struct control_checkpoint *k = body;
    cJSON *layers = cJSON_AddObjectToObject(object, "layers");

    for (size_t i = 0; layers && i < k->n_layers; i++) {
        cJSON *layer = cJSON_AddObjectToObject(layers, k->layers[i].layer);

        if (!layer || !field_write_all(layer, control_layer_fields, &k->layers[i]))
            return false;
    }
    return layers && (!k->metrics || add_text(object, "metrics", k->metrics));
}

bool control_print_log(cJSON *object, const void *body)
{
    const struct control_log *l = body;
    cJSON *scalars = cJSON_AddObjectToObject(object, "scalars");

    for (size_t i = 0; scalars && i < l->n_scalars; i++) {
        if (!json_add_double(scalars, l->scalars[i].name, l->scalars[i].value))
            return false;
    }
    return scalars != NULL;
}

bool control_print_ack(cJSON *object, const void *body)
{
    const struct control_ack *a = body;

    return !a->points || add_text(object, "points", a->points);
}

static char *encode(enum control_type type, const void *body)
{
    const struct control_message *m = &control_messages[type];
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && cJSON_AddStringToObject(object, "type", m->name) &&
        field_write_all(object, m->fields, body) && (!m->print || m->print(object, body)))
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
static void mend(const char *text, char out[TEXT_MAX + 1])
{
    size_t size = strnlen(text, TEXT_MAX);

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
    char text[TEXT_MAX + 1];
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
