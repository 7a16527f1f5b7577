/* Whether a daemon lives, as far as its feed's address can say: one that was killed leaves a socket
 * behind, which refuses. Stateless, any thread. Who asks has the address from an endpoints.json,
 * and connects for itself. */
#pragma once

#include <stdbool.h>

/* `feed` is "unix:PATH" or "tcp:ADDRESS:PORT". False where nobody is there: the socket refuses, or
 * is not there. True where it takes the connection, and where it cannot be said. Waits for at most
 * a second, and for a path not at all. */
bool lives_at(const char *feed);
