/* How clients find us and may reach us: endpoints.json in the runtime directory, and the group that
 * is let through. Owns that file while the directory's lock is held; main's thread, at the start
 * and the end. The clients read the file. */
#pragma once

#include "daemon/host/config.h"
#include "daemon/host/listen.h"

/* What the file says. */
struct endpoints_content {
    const char *ingest, *feed;
    const char *http;             /* NULL: off */
    const char *page;             /* for a browser, with its token; NULL or "": there is none */
    unsigned idle_exit_s;         /* 0: the daemon stays */
    const struct listen *network; /* addresses of a network; NULL: none, as n_more 0 */
    const char *server_key;       /* for them, the public one; NULL or "": none */
};

/* Writes DIR/endpoints.json (mode 0600) in one move. Returns 0 or -errno. */
int endpoints_write(const char *dir, const struct endpoints_content *, struct err *);
void endpoints_remove(const char *dir);

/* Whether there is such a group, by name or number: 0, or -EINVAL with a text. */
int endpoints_check_group(const char *group, struct err *);

/* Lets the socket-group through, if there is one: runtime-dir gets mode 0750, endpoints.json 0640
 * and the sockets of listen and feed 0660, all of them the group. To be called when they exist.
 * Returns 0 or -errno. */
int endpoints_share(const struct config *, struct err *);
