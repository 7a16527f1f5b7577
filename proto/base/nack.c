#include "proto/base/nack.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    bool fatal;
} codes[NACK_COUNT] = {
    [NACK_EPROTO] = {"EPROTO", false},   [NACK_ENOTOPEN] = {"ENOTOPEN", false},
    [NACK_EFENCED] = {"EFENCED", true},  [NACK_EHELD] = {"EHELD", true},
    [NACK_EEXIST] = {"EEXIST", true},    [NACK_ENOENT] = {"ENOENT", true},
    [NACK_ESHAPE] = {"ESHAPE", false},   [NACK_ENUMERIC] = {"ENUMERIC", false},
    [NACK_ECREDIT] = {"ECREDIT", false}, [NACK_EBUSY] = {"EBUSY", false},
    [NACK_EIO] = {"EIO", false},         [NACK_EVERSION] = {"EVERSION", true},
    [NACK_EGONE] = {"EGONE", true},      [NACK_EACCES] = {"EACCES", true},
};

const char *nack_code_name(enum nack_code code)
{
    assert(code >= 0 && code < NACK_COUNT);
    return codes[code].name;
}

enum nack_code nack_code_find(const char *name)
{
    enum nack_code code = 0;

    while (code < NACK_COUNT && strcmp(codes[code].name, name) != 0)
        code++;
    return code;
}

bool nack_code_is_fatal(enum nack_code code)
{
    assert(code >= 0 && code < NACK_COUNT);
    return codes[code].fatal;
}
