/* Questions of the loop to the shared history: which attempt of a run is the newest there. The loop
 * puts them, the thread of the share answers all that wait at once, and the loop hears of each
 * within ASK_MS, answered or not: an opening waits for it, and for nothing longer. Where the server
 * was away at last nobody is asked.
 *
 * Tested by test_attempts_are_numbered_by_the_history.py. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/share/remote.h"
#include "daemon/share/share.h"

/* Several round trips to another continent; a trainer waits for its welcome anyway. */
#define ASK_MS 300

struct ask;

/* Returns 0, or -ENOMEM; `*out` is to be closed then, too. */
int ask_open(uv_loop_t *, struct ask **out, struct err *err);
/* Closes the handles; none waits any more. The loop has to turn once more. NULL is fine. */
void ask_stop(struct ask *);
/* Frees it behind that. NULL is fine. */
void ask_free(struct ask *);

/* On the loop; borrows the question until it is told. False: nobody is asked. */
bool ask_put(struct ask *, struct share_question *);

/* Readable while a question waits. */
int ask_fd(const struct ask *);
/* On the thread, while it is connected. Returns 0, or the server's error. */
int ask_answer(struct ask *, struct remote *, struct err *err);
/* On the thread: the server could not be reached, or could. */
void ask_note_away(struct ask *, bool is_away);
