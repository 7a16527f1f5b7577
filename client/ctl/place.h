/* Where a daemon keeps who may connect, for commands that add and remove some: they write its
 * files, also where none runs. Owns nothing; asks the feed once. Tested end to end by
 * tests/e2e/network/test_trainers_on_other_hosts.py and tests/e2e/read/test_tokens_of_people.py. */
#pragma once

#include <limits.h>

#include "client/ctl/common/options.h"
#include "proto/curve/keyfile.h"

struct place {
    char directory[PATH_MAX];            /* its state directory */
    char network[KEYFILE_ENDPOINT_SIZE]; /* the first address for trainers of one; "": none is known
                                          */
    char http[512];                      /* where it serves HTTP; "": it is not known */
};

/* As the options say, or the running daemon, or as richd would. Returns 0 or -errno. */
int place_find(const struct options *, struct place *out, struct err *err);

/* Makes the directory, which has to be ours: the daemon could not read what others than its user
 * write there. `command` stands in the advice. Returns 0 or -errno. */
int place_make(const struct place *, const char *command, struct err *err);
