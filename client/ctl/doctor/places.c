#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/common/member.h"
#include "client/ctl/doctor/doctor.h"
#include "client/ctl/feed/feedclient.h"
#include "client/ctl/feed/params.h"

/* ---- one daemon -------------------------------------------------------------------------------
 */

/* The same daemon leaves its file in two places. */
static bool is_known(const struct doctor *doctor, const cJSON *status)
{
    const cJSON *known;

    cJSON_ArrayForEach(known, doctor->statuses)
    {
        if (cJSON_Compare(member(known, "pid"), member(status, "pid"), true) &&
            strcmp(member_text(known, "feed", ""), member_text(status, "feed", "")) == 0)
            return true;
    }
    return false;
}

static void note_daemon(struct doctor *doctor, cJSON *status)
{
    if (is_known(doctor, status) || !cJSON_AddItemToArray(doctor->statuses, status))
        cJSON_Delete(status);
}

/* The path of a UNIX socket to which this user may not write, or NULL. */
static const char *closed_socket(const char *address)
{
    const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;

    return path && access(path, F_OK) == 0 && access(path, W_OK) < 0 && errno == EACCES ? path
                                                                                        : NULL;
}

static void find_unanswered(struct doctor *doctor, const struct endpoint *endpoint, int rc,
                            struct err *what)
{
    bool has_source = endpoint->source[0] != '\0';
    const char *closed = closed_socket(endpoint->address);

    if (closed) {
        err_set(what, rc, "this user may not connect to %s", closed);
        doctor_find(doctor, "permissions", what,
                    "Its owner starts richd with --socket-group GROUP, for a group of yours");
        return;
    }
    if (has_source)
        err_prefix(what, rc, "%s names %s, where no richd answers: ", endpoint->source,
                   endpoint->address);
    else
        err_prefix(what, rc, "no richd answers at %s: ", endpoint->address);
    if (rc == -ETIMEDOUT || rc == -EBUSY)
        doctor_find(doctor, "daemon", what,
                    "It may be stopped (kill -CONT PID) or busy; its log says more");
    else if (has_source)
        doctor_find(doctor, "daemon", what,
                    "The daemon was killed. Start it again with \"richd\", or remove that file");
    else
        doctor_find(doctor, "daemon", what, "Start richd there, or correct --feed or RICHD_FEED");
}

static void ask(struct doctor *doctor, const struct endpoint *endpoint)
{
    struct feedclient *feed = NULL;
    cJSON *status = NULL;
    struct err what;
    int rc =
        feedclient_open(&feed, endpoint->address, (int)doctor->options->timeout_s * 1000, &what);

    if (rc == 0)
        rc = feedclient_call(feed, "server.status", params_none(), &status, &what);
    if (rc == 0)
        note_daemon(doctor, status);
    else
        find_unanswered(doctor, endpoint, rc, &what);
    feedclient_free(feed);
}

/* ---- one place --------------------------------------------------------------------------------
 */

static void check_directory(struct doctor *doctor, const char *path)
{
    struct stat st;
    struct err what;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return;
    err_set(&what, -EPERM, "others than its owner may write into %s (mode %04o)", path,
            (unsigned)st.st_mode & 07777);
    doctor_find(doctor, "permissions", &what, "chmod go-w %s", path);
}

/* A file that is not there says nothing; one that does not count, does. */
static void look_at(struct doctor *doctor, const struct endpoints *place)
{
    static const char prefix[] = "no daemon: ";
    struct endpoint endpoint;
    struct err what;
    struct stat st;
    int rc = endpoints_find(place, "feed", &endpoint, &what);

    if (rc == 0) {
        ask(doctor, &endpoint);
        return;
    }
    if (lstat(endpoint.source, &st) < 0)
        return;
    if (strncmp(what.text, prefix, sizeof prefix - 1) == 0)
        memmove(what.text, what.text + sizeof prefix - 1, strlen(what.text) + 2 - sizeof prefix);
    doctor_find(doctor, rc == -ENOENT ? "permissions" : "daemon", &what,
                rc == -ENOENT ? "It is not used. Remove it, or have its owner start richd again"
                              : "Remove it, and start richd again");
}

static void look_into(struct doctor *doctor, const char *directory)
{
    struct endpoints place = {.n_directories = 1};

    memcpy(place.directories[0], directory, ENDPOINT_SIZE);
    check_directory(doctor, directory);
    look_at(doctor, &place);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

/* Jobs and containers inherit one that is not there. */
static void check_session(struct doctor *doctor)
{
    const char *path = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    struct err what;

    if (!path || !*path || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return;
    err_set(&what, -ENOTDIR, "XDG_RUNTIME_DIR names %s, which is no directory: it is passed over",
            path);
    doctor_find(doctor, "runtime", &what, "Unset it, or make the directory (mode 0700)");
}

/* A directory was named, and the daemon has another one. */
static void look_elsewhere(struct doctor *doctor)
{
    struct endpoints places;
    struct endpoint endpoint;
    struct err what;

    unsetenv("RICHD_RUNTIME_DIR");
    if (endpoints_init(&places, NULL, NULL, NULL, &what) < 0 ||
        endpoints_find(&places, "feed", &endpoint, NULL) < 0)
        return;
    err_set(&what, -EEXIST, "programs that name no directory use another one: %s is there",
            endpoint.source);
    doctor_find(doctor, "runtime", &what,
                "Leave out --runtime-dir and RICHD_RUNTIME_DIR, or give both the same");
}

static void check_number(struct doctor *doctor, const struct endpoints *places)
{
    const cJSON *first = doctor_status(doctor), *second = first ? first->next : NULL;
    struct endpoint endpoint;
    struct err what;

    if (second) {
        err_set(&what, -EEXIST,
                "two daemons run: process %.0f with the history in %s, and %.0f with %s",
                member_number(first, "pid"), member_text(first, "state_dir", "?"),
                member_number(second, "pid"), member_text(second, "state_dir", "?"));
        doctor_find(doctor, "daemon", &what,
                    "Programs of this user find the first. Stop one, or name the other's "
                    "directory with RICHD_RUNTIME_DIR");
    } else if (!first && endpoints_find(places, "feed", &endpoint, &what) == -ENOENT) {
        doctor_find(doctor, "daemon", &what,
                    "Start it with \"richd\", or name its directory with --runtime-dir DIR");
        look_elsewhere(doctor);
    }
}

void doctor_places(struct doctor *doctor)
{
    const struct options *options = doctor->options;
    struct endpoints places;
    struct err what;

    check_session(doctor);
    if (endpoints_init(&places, options->feed, "RICHD_FEED", options->runtime_dir, &what) < 0) {
        doctor_find(doctor, "runtime", &what, "Name a shorter one");
        return;
    }
    if (places.address[0])
        look_at(doctor, &places);
    for (size_t i = 0; i < places.n_directories; i++)
        look_into(doctor, places.directories[i]);
    check_number(doctor, &places);
}
