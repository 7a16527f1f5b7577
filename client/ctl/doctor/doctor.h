/* What may be wrong with a daemon, its directories and this machine, each found by a check of its
 * own and told in a line with what to do. Checks run one after the other, on one thread, and block
 * on the feed and the disk; they change nothing. cmd_doctor has their order.
 *
 * The way through: places looks for daemons and asks each for its status; what the others check
 * comes from there: state from its directory, versions and machine from its members. Without a
 * daemon they check what can be checked without one. Tested with its files by
 * test_richctl_doctor.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/common/endpoints.h"
#include "client/ctl/common/options.h"

struct doctor {
    const struct options *options;
    size_t n_findings;
    cJSON *statuses; /* array of the answers of those daemons that answered, each once */
};

/* The first daemon's status, which is that a client finds; NULL without one. */
const cJSON *doctor_status(const struct doctor *);

/* Tells one finding: which check, what is wrong, and what to do about it. */
void doctor_find(struct doctor *, const char *check, const struct err *what, const char *advice,
                 ...) __attribute__((format(printf, 4, 5)));

/* Daemons and how they are found: no daemon, one that has gone, one that does not answer, several,
 * files and directories that another user could change, sockets that let nobody through. */
void doctor_places(struct doctor *);

/* Where the history is: what the daemon says of it, file systems of several machines, room, owners,
 * clocks that went back. */
void doctor_state(struct doctor *);

/* Versions of richctl, the daemon and the Python package that differ. */
void doctor_versions(struct doctor *);

/* Old kernels of OpenBLAS, in the daemon and in this shell; clocks that differ. */
void doctor_machine(struct doctor *);
