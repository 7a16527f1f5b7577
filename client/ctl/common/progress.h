/* How far a long command is, on stderr: a bar on a terminal, a line each ten seconds elsewhere, and
 * nothing for the first two seconds of a pipe. The command calls between the parts of its work and
 * says what is done; stdout stays its answer's. Tested end to end by test_richctl_export.py,
 * test_richctl_delete.py and test_what_no_daemon_took_is_imported.py. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool has_terminal;
    bool has_bar;
    int64_t tell_at; /* monotonic milliseconds */
};

void progress_init(struct progress *);

/* Whether it is time to tell; asking costs a clock's reading. */
bool progress_is_due(const struct progress *);

/* Tells now: `part` in [0, 1] is done, of what `name` and `what` say ("RUN", "are stored"). */
void progress_tell(struct progress *, double part, const char *name, const char *what);

/* The same where nobody knows how much is left: that work goes on. */
void progress_tell_busy(struct progress *, const char *what);

/* Takes the bar away, before something else is printed or the command ends. */
void progress_clear(struct progress *);
