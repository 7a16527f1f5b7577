#include "proto/base/policy.h"

#include <stddef.h>

const char *const resume_names[] = {
    [RESUME_ALLOW] = "allow",
    [RESUME_MUST] = "must",
    [RESUME_NEVER] = "never",
    NULL,
};

const char *const window_names[] = {
    [WINDOW_CHECKPOINT] = "checkpoint",
    [WINDOW_EXPONENTIAL] = "exponential",
    [WINDOW_CUMULATIVE] = "cumulative",
    NULL,
};

const char *const projector_names[] = {
    [PROJECTOR_AUTO] = "auto",
    [PROJECTOR_SPAN] = "span",
    [PROJECTOR_TOP] = "top",
    [PROJECTOR_RIDGE] = "ridge",
    NULL,
};
