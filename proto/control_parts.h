/* What parsing (control.c) and encoding (control_encode.c) share: the table of messages and the
 * rows of the objects inside them. Constant data; any thread. Tested with its files by
 * test_control.c. */
#pragma once

#include "proto/control.h"
#include "proto/control_field.h"

struct control_message {
    const char *name;
    const struct field *fields;
    int (*parse)(struct control *c, struct err *e); /* after the fields, or NULL */
    bool (*print)(cJSON *object, const void *body); /* after the fields, or NULL */
};

extern const struct control_message control_messages[CONTROL_TYPES];

extern const struct field control_window_fields[];
extern const struct field control_spectrum_fields[];
extern const struct field control_projector_fields[];
extern const struct field control_member_fields[];
extern const struct field control_place_fields[];
extern const struct field control_layer_fields[];

bool control_print_open(cJSON *object, const void *body);
bool control_print_welcome(cJSON *object, const void *body);
bool control_print_checkpoint(cJSON *object, const void *body);
bool control_print_log(cJSON *object, const void *body);
bool control_print_summary(cJSON *object, const void *body);
bool control_print_config(cJSON *object, const void *body);
bool control_print_ack(cJSON *object, const void *body);
