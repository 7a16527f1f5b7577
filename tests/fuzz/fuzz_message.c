/* The head of an HTTP request (daemon/http/message.h): what is taken has a path that begins with a
 * slash, texts without a NUL inside, and means one thing. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "daemon/http/message.h"

/* The text lies in the head, with its end. */
static void require_inside(const char *text, const char *head, size_t size)
{
    REQUIRE(text >= head && text < head + size && text + strlen(text) < head + size);
}

static void require_message(const struct http_message *message, const char *head, size_t size)
{
    const char *length = message->header[HEADER_CONTENT_LENGTH];

    for (int i = 0; i < HTTP_HEADER_COUNT; i++) {
        if (message->header[i])
            require_inside(message->header[i], head, size);
    }
    if (message->method == HTTP_OTHER_METHOD)
        return;
    require_inside(message->path, head, size);
    REQUIRE(*message->path == '/' && message->n_args <= HTTP_ARGS_MAX);
    for (size_t i = 0; i < message->n_args; i++)
        require_inside(message->arg[i], head, size);
    REQUIRE(!message->header[HEADER_TRANSFER_ENCODING] || !length);
    if (message->method == HTTP_POST)
        REQUIRE(message->body_size >= -1 && message->body_size <= HTTP_BODY_BYTES_MAX + 1);
    else
        REQUIRE(!message->header[HEADER_TRANSFER_ENCODING] &&
                (!length || strcmp(length, "0") == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *head = malloc(size + 1);
    struct http_message message;
    struct err why = {""};
    long end = http_message_end((const char *)data, size);

    REQUIRE(head && end >= -1 && end <= (long)size);
    if (end > 0) {
        memcpy(head, data, (size_t)end);
        head[end] = '\0';
        if (http_message_read(head, (size_t)end, &message, &why) == HTTP_OK)
            require_message(&message, head, (size_t)end);
        else
            require_sentence(&why);
    }
    free(head);
    return 0;
}
