/* The parameters of a request:
 *
 *     params_of(param_text("run", run), param_integer("limit", limit))
 *
 * A value that is unset is left out: NULL, a negative number, false. Pure. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum param_kind {
    PARAM_END, /* of the array */
    PARAM_TEXT,
    PARAM_LIST, /* an array with this one text */
    PARAM_INTEGER,
    PARAM_FLAG,
};

struct param {
    enum param_kind kind;
    const char *name;
    const char *text;
    int64_t integer;
};

static inline struct param param_text(const char *name, const char *value)
{
    return (struct param){PARAM_TEXT, name, value, 0};
}

static inline struct param param_list(const char *name, const char *value)
{
    return (struct param){PARAM_LIST, name, value, 0};
}

static inline struct param param_integer(const char *name, int64_t value)
{
    return (struct param){PARAM_INTEGER, name, NULL, value};
}

static inline struct param param_flag(const char *name, bool value)
{
    return (struct param){PARAM_FLAG, name, NULL, value};
}

/* The object, which feedclient_call takes; NULL without memory. */
/* Without parameters. */
#define params_none()  params_make((const struct param[]){{PARAM_END, NULL, NULL, 0}})
#define params_of(...) params_make((const struct param[]){__VA_ARGS__, {PARAM_END, NULL, NULL, 0}})
cJSON *params_make(const struct param params[]);
