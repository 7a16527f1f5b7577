/* Why the daemon refuses a message: the codes of INGEST.md. Constant data, any thread. Tested by
 * test_base.c. */
#pragma once

#include <stdbool.h>

enum nack_code {
    NACK_EPROTO,
    NACK_ENOTOPEN,
    NACK_EFENCED,
    NACK_EHELD,
    NACK_EEXIST,
    NACK_ENOENT,
    NACK_ESHAPE,
    NACK_ENUMERIC,
    NACK_ECREDIT,
    NACK_EBUSY,
    NACK_EIO,
    NACK_EVERSION,
    NACK_EGONE,
    NACK_EACCES,
    NACK_COUNT,
};

/* The code as it is sent ("EPROTO"). */
const char *nack_code_name(enum nack_code);
/* The code of that name; NACK_COUNT for one that came after this version. */
enum nack_code nack_code_find(const char *name);
/* After these the daemon takes nothing more from the connection. */
bool nack_code_is_fatal(enum nack_code);
