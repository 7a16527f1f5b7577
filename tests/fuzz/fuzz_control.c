/* Control messages (proto/control.h), in both directions. An input is the text. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "proto/control.h"

/* cJSON holds a node of 64 bytes and its name for a value of two bytes, and once more for texts. */
#define BYTES_PER_BYTE 128
#define BYTES_AT_LEAST 4096

static char *encode(const struct control *control)
{
    switch (control->type) {
    case CONTROL_HELLO:
        return control_encode_hello(&control->hello);
    case CONTROL_OPEN:
        return control_encode_open(&control->open);
    case CONTROL_CHECKPOINT:
        return control_encode_checkpoint(&control->checkpoint);
    case CONTROL_LOG:
        return control_encode_log(&control->log);
    case CONTROL_SUMMARY:
        return control_encode_summary(&control->constants);
    case CONTROL_CONFIG:
        return control_encode_config(&control->constants);
    case CONTROL_CLOSE:
        return control_encode_close(&control->close);
    case CONTROL_PING:
        return control_encode_ping(&control->ping);
    case CONTROL_HELLO_ANSWER:
        return control_encode_hello_answer(&control->hello_answer);
    case CONTROL_WELCOME:
        return control_encode_welcome(&control->welcome);
    case CONTROL_PROGRESS:
        return control_encode_progress(&control->progress);
    case CONTROL_ACK:
        return control_encode_ack(&control->ack);
    case CONTROL_NACK:
        return control_encode_nack(&control->nack);
    case CONTROL_PONG:
        return control_encode_pong(&control->pong);
    case CONTROL_RELAY:
        return control_encode_relay(&control->relay);
    case CONTROL_BATCH:
        return control_encode_batch(&control->batch);
    case CONTROL_PLACE:
        return control_encode_place(&control->place);
    case CONTROL_TYPES:
        break;
    }
    return NULL;
}

/* What was understood is written, understood and written again as the same line. */
static void require_round_trip(const struct control *control)
{
    char *first = encode(control), *second;
    struct control again;
    struct err err = {""};

    REQUIRE(first && !strchr(first, '\n'));
    REQUIRE(control_parse(first, strlen(first), &again, &err) == 0);
    REQUIRE(again.type == control->type);
    second = encode(&again);
    REQUIRE(second && strcmp(first, second) == 0);
    control_release(&again);
    cJSON_free(second);
    cJSON_free(first);
}

/* The refusal, whatever it quotes, is a message that the trainer understands. */
static void require_refusal(const struct err *why)
{
    struct control_nack nack = {.code = "EPROTO", .text = why->text};
    char *line = control_encode_nack(&nack);
    struct control control;
    struct err err = {""};

    require_sentence(why);
    REQUIRE(line && control_parse(line, strlen(line), &control, &err) == 0);
    REQUIRE(control.type == CONTROL_NACK && control.nack.text && *control.nack.text);
    control_release(&control);
    cJSON_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *text = copy_exactly(data, size);
    struct control control;
    struct err err = {""};
    int rc;

    memory_count();
    rc = control_parse(text, size, &control, &err);
    REQUIRE(memory_most() <= BYTES_AT_LEAST + BYTES_PER_BYTE * size);
    if (rc == 0) {
        require_round_trip(&control);
        control_release(&control);
    } else {
        REQUIRE(rc == -EPROTO);
        require_refusal(&err);
    }
    require_nothing_held();
    free(text);
    return 0;
}
