/* Members of a JSON object as rows of a table: name, kind, limits and place in a struct. One row
 * reads and writes its member, so that a message is parsed and encoded from one list. No state, any
 * thread; control.c knows which messages there are. Tested by test_control.c. */
#pragma once

#include "proto/control.h"

#define FIELD_MAX_INTEGER ((int64_t)JSON_MAX_INTEGER - 1)

enum field_kind {
    FIELD_TEXT,    /* const char *, at most `max` bytes, at least `min` */
    FIELD_INTEGER, /* int64_t in min..max; `absent` stands for a field left out */
    FIELD_NUMBER,  /* double, in min..max unless both are 0; NaN stands for a field left out */
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

/* Reads every row's member into `body`. Returns 0, -EPROTO or -ENOMEM. */
int field_read_all(const cJSON *object, const struct field *fields, void *body, struct err *err);
/* Adds every row's member to the object. False when memory ran out. */
bool field_write_all(cJSON *object, const struct field *fields, const void *body);
