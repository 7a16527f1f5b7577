/* What a control message is about that cannot be read: its number, and whether it opens. A refusal
 * that names the message lets its sender give it up, where one without a name is answered by the
 * same message on the next connection. No state, any thread; control.h reads what is right. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_hint {
    int64_t seq;      /* the first member "seq" of the object; 0: none that could be one */
    bool is_greeting; /* "type" is "hello" or "open": nothing can follow it */
};

/* Looks at the outermost object alone, as far as its text makes sense. Takes any bytes, in one
 * pass. */
struct control_hint control_hint_read(const void *text, size_t size);
