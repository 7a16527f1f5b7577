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

static bool print_spectrum(cJSON *object, const struct control_open *open)
{
    cJSON *spectrum;

    if (open->every == 0 && open->leading == 0 && !open->uncentred)
        return true;
    spectrum = cJSON_AddObjectToObject(object, "spectrum");
    return spectrum && field_write_all(spectrum, control_spectrum_fields, open) &&
           (!open->uncentred || cJSON_AddFalseToObject(spectrum, "centred"));
}

/* Adds nothing when all members have their defaults. An absent number has its default. */
static bool print_projector(cJSON *object, const struct control_open *open)
{
    cJSON *projector;

    if (open->projector == PROJECTOR_AUTO && open->k == 0 && isnan(open->energy) &&
        isnan(open->lambda))
        return true;
    projector = cJSON_AddObjectToObject(object, "projector");
    return projector && field_write_all(projector, control_projector_fields, open);
}

static bool print_transitions(cJSON *object, const struct control_open *open)
{
    cJSON *transitions;

    if (!open->watched)
        return true;
    transitions = cJSON_AddObjectToObject(object, "transitions");
    return transitions && add_text(transitions, "metrics", open->watched);
}

static bool print_member(cJSON *object, const struct control_open *open)
{
    cJSON *member;

    if (!open->launch)
        return true;
    member = cJSON_AddObjectToObject(object, "member");
    return member && field_write_all(member, control_member_fields, open);
}

bool control_print_welcome(cJSON *object, const void *body)
{
    const struct control_welcome *welcome = body;
    cJSON *member;

    if (welcome->world == 0)
        return true;
    member = cJSON_AddObjectToObject(object, "member");
    return member && field_write_all(member, control_place_fields, welcome);
}

bool control_print_open(cJSON *object, const void *body)
{
    const struct control_open *open = body;
    cJSON *window;

    if (open->tags && !add_text(object, "tags", open->tags))
        return false;
    if (open->config && !add_text(object, "config", open->config))
        return false;
    if (open->window != WINDOW_CHECKPOINT) {
        window = cJSON_AddObjectToObject(object, "window");
        if (!window || !field_write_all(window, control_window_fields, body))
            return false;
    }
    return print_spectrum(object, open) && print_projector(object, open) &&
           print_transitions(object, open) && print_member(object, open);
}

bool control_print_checkpoint(cJSON *object, const void *body)
{
    const struct control_checkpoint *checkpoint = body;
    cJSON *layers = cJSON_AddObjectToObject(object, "layers");

    for (size_t i = 0; layers && i < checkpoint->n_layers; i++) {
        cJSON *layer = cJSON_AddObjectToObject(layers, checkpoint->layers[i].layer);

        if (!layer || !field_write_all(layer, control_layer_fields, &checkpoint->layers[i]))
            return false;
    }
    return layers && (!checkpoint->metrics || add_text(object, "metrics", checkpoint->metrics));
}

bool control_print_log(cJSON *object, const void *body)
{
    const struct control_log *log = body;
    cJSON *scalars = cJSON_AddObjectToObject(object, "scalars");

    for (size_t i = 0; scalars && i < log->n_scalars; i++) {
        if (!json_add_double(scalars, log->scalars[i].name, log->scalars[i].value))
            return false;
    }
    return scalars != NULL;
}

bool control_print_summary(cJSON *object, const void *body)
{
    return add_text(object, "summary", ((const struct control_constants *)body)->values);
}

bool control_print_config(cJSON *object, const void *body)
{
    return add_text(object, "config", ((const struct control_constants *)body)->values);
}

bool control_print_ack(cJSON *object, const void *body)
{
    const struct control_ack *ack = body;

    return !ack->points || add_text(object, "points", ack->points);
}

static char *encode(enum control_type type, const void *body)
{
    const struct control_message *message = &control_messages[type];
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && cJSON_AddStringToObject(object, "type", message->name) &&
        field_write_all(object, message->fields, body) &&
        (!message->print || message->print(object, body)))
        text = json_print(object);
    cJSON_Delete(object);
    return text;
}

char *control_encode_hello(const struct control_hello *hello)
{
    return encode(CONTROL_HELLO, hello);
}

char *control_encode_open(const struct control_open *open)
{
    return encode(CONTROL_OPEN, open);
}

char *control_encode_checkpoint(const struct control_checkpoint *checkpoint)
{
    return encode(CONTROL_CHECKPOINT, checkpoint);
}

char *control_encode_log(const struct control_log *log)
{
    return encode(CONTROL_LOG, log);
}

char *control_encode_summary(const struct control_constants *summary)
{
    return encode(CONTROL_SUMMARY, summary);
}

char *control_encode_config(const struct control_constants *config)
{
    return encode(CONTROL_CONFIG, config);
}

char *control_encode_close(const struct control_close *close)
{
    return encode(CONTROL_CLOSE, close);
}

char *control_encode_ping(const struct control_ping *ping)
{
    return encode(CONTROL_PING, ping);
}

char *control_encode_hello_answer(const struct control_hello_answer *answer)
{
    return encode(CONTROL_HELLO_ANSWER, answer);
}

char *control_encode_welcome(const struct control_welcome *welcome)
{
    return encode(CONTROL_WELCOME, welcome);
}

char *control_encode_progress(const struct control_progress *progress)
{
    return encode(CONTROL_PROGRESS, progress);
}

char *control_encode_ack(const struct control_ack *ack)
{
    return encode(CONTROL_ACK, ack);
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

char *control_encode_nack(const struct control_nack *nack)
{
    char text[TEXT_MAX + 1];
    struct control_nack mended = *nack;

    if (nack->text) {
        mend(nack->text, text);
        mended.text = text;
    }
    return encode(CONTROL_NACK, &mended);
}

char *control_encode_pong(const struct control_ping *ping)
{
    return encode(CONTROL_PONG, ping);
}

char *control_encode_relay(const struct control_relay *relay)
{
    return encode(CONTROL_RELAY, relay);
}

char *control_encode_batch(const struct control_batch *batch)
{
    return encode(CONTROL_BATCH, batch);
}

char *control_encode_place(const struct control_place *place)
{
    char text[TEXT_MAX + 1];
    struct control_place mended = *place;

    if (place->problem) {
        mend(place->problem, text);
        mended.problem = text;
    }
    return encode(CONTROL_PLACE, &mended);
}
