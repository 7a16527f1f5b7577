#include "client/common/endpoints.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/lives.h"
#include "proto/curve/joined.h"
#include "proto/curve/keyfile.h"
#include "proto/json.h"

#define FILE_NAME "endpoints.json"
/* What the daemon writes has about 200 bytes. */
#define FILE_SIZE_MAX 8192

/* ---- the places ---------------------------------------------------------------------------- */

static const char *first_set(const char *given, const char *variable)
{
    const char *value = given && *given ? given : variable ? getenv(variable) : NULL;

    return value && *value ? value : NULL;
}

static int too_long(const char *what, struct err *err)
{
    return err_set(err, -EINVAL, "%s is longer than %d bytes", what, ENDPOINT_SIZE - 1);
}

/* Appends a place; false when it is too long. */
static bool add_place(struct endpoints *places, const char *directory, const char *below)
{
    assert(places->n_directories < ENDPOINTS_PLACES_MAX);
    return snprintf(places->directories[places->n_directories++], ENDPOINT_SIZE, "%s%s", directory,
                    below) < ENDPOINT_SIZE;
}

int endpoints_init(struct endpoints *places, const char *address, const char *address_variable,
                   const char *runtime_dir, struct err *err)
{
    const char *given = first_set(address, address_variable);
    const char *named = first_set(runtime_dir, "RICHD_RUNTIME_DIR");
    const char *session = first_set(NULL, "XDG_RUNTIME_DIR");
    char user[24], login[48];

    memset(places, 0, sizeof *places);
    if (given && snprintf(places->address, ENDPOINT_SIZE, "%s", given) >= ENDPOINT_SIZE)
        return too_long("the daemon's address", err);
    /* A directory that was named is the only place: another daemon must not get the run instead. */
    if (named)
        return add_place(places, named, "") ? 0 : too_long("the runtime directory", err);
    if (joined_path(places->joined, sizeof places->joined) < 0)
        places->joined[0] = '\0';
    if (session && !add_place(places, session, "/richd"))
        return too_long("XDG_RUNTIME_DIR", err);
    snprintf(user, sizeof user, "%lu", (unsigned long)getuid());
    snprintf(login, sizeof login, "/run/user/%s", user);
    if (!session || strcmp(session, login) != 0)
        add_place(places, login, "/richd");
    add_place(places, "/run/richd", "");
    add_place(places, "/tmp/richd-", user);
    return 0;
}

/* ---- which files count --------------------------------------------------------------------- */

static bool is_trusted(uid_t owner)
{
    return owner == getuid() || owner == 0;
}

/* Refuses a path that leads through something that another user could have made: what lies in a
 * directory where all may write must belong to this user or to root. Symbolic links are looked at,
 * not followed. */
static int check_steps(const char *path, struct err *err)
{
    bool anyone_may_write = false;
    size_t end = 0;
    struct stat st;
    char step[PATH_MAX];

    if (path[0] != '/')
        anyone_may_write = stat(".", &st) == 0 && (st.st_mode & S_IWOTH) != 0;
    do {
        end += strspn(path + end, "/");
        end += strcspn(path + end, "/");
        snprintf(step, sizeof step, "%.*s", (int)end, path);
        if (lstat(step, &st) < 0)
            return err_set(err, -ENOENT, "%s", strerror(errno));
        if (anyone_may_write && !is_trusted(st.st_uid))
            return err_set(err, -ENOENT, "user %u owns %s, where anyone could have made it",
                           (unsigned)st.st_uid, step);
        anyone_may_write = S_ISDIR(st.st_mode) && (st.st_mode & S_IWOTH) != 0;
    } while (path[end] != '\0');
    return 0;
}

/* The directory as it was named, and as it is with all links followed. */
static int check_directory(const char *path, struct err *err)
{
    int rc = check_steps(path, err);
    char *resolved;

    if (rc < 0)
        return rc;
    resolved = realpath(path, NULL);
    rc = resolved ? check_steps(resolved, err) : err_set(err, -ENOENT, "%s", strerror(errno));
    free(resolved);
    return rc;
}

static int check_file(int directory, int file, struct err *err)
{
    struct stat above, st;

    if (fstat(directory, &above) < 0 || fstat(file, &st) < 0)
        return err_set(err, -ENOENT, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, -ENOENT, "it is not a file");
    if (!is_trusted(st.st_uid) && st.st_uid != above.st_uid)
        return err_set(err, -ENOENT, "it belongs to user %u", (unsigned)st.st_uid);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, -ENOENT, "others than its owner may write it");
    return 0;
}

/* A descriptor of a file that counts, or -ENOENT. Links are refused, and a pipe does not block. */
static int open_file(int directory, struct err *err)
{
    int file =
        openat(directory, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int rc;

    if (file < 0)
        return err_set(err, -ENOENT, "%s", errno == ELOOP ? "it is not a file" : strerror(errno));
    rc = check_file(directory, file, err);
    if (rc == 0)
        return file;
    close(file);
    return rc;
}

/* The length of the file's text, or -ENOENT with the reason why it does not count. */
static ssize_t read_file(const char *path, char text[FILE_SIZE_MAX], struct err *err)
{
    int rc = check_directory(path, err), directory, file;
    ssize_t n;

    if (rc < 0)
        return rc;
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return err_set(err, -ENOENT, "%s", strerror(errno));
    file = open_file(directory, err);
    close(directory);
    if (file < 0)
        return file;
    n = read(file, text, FILE_SIZE_MAX);
    if (n < 0)
        n = err_set(err, -ENOENT, "%s", strerror(errno));
    close(file);
    return n;
}

/* ---- what they say ------------------------------------------------------------------------- */

/* What a file says. */
struct record {
    struct endpoint endpoint;
    char feed[ENDPOINT_SIZE]; /* "": it says none */
};

static int take_member(const cJSON *root, const char *member, char address[ENDPOINT_SIZE],
                       struct err *err)
{
    const char *found = NULL;
    int rc = json_text(root, member, ENDPOINT_SIZE - 1, &found, err);

    if (rc == 1 && *found)
        snprintf(address, ENDPOINT_SIZE, "%s", found);
    else if (rc >= 0)
        rc = err_set(err, -EPROTO, "\"%s\" is missing", member);
    return rc < 0 ? rc : 0;
}

static int parse(const char *text, size_t size, const char *member, struct record *out,
                 struct err *err)
{
    cJSON *root = json_parse(text, size, err);
    int rc;

    if (!root)
        return -EPROTO;
    rc = take_member(root, member, out->endpoint.address, err);
    if (rc == 0)
        take_member(root, "feed", out->feed, NULL);
    cJSON_Delete(root);
    return rc;
}

static int read_place(const char *directory, const char *member, struct record *out,
                      struct err *err)
{
    char text[FILE_SIZE_MAX];
    ssize_t n;
    int rc;

    memset(out, 0, sizeof *out);
    snprintf(out->endpoint.source, sizeof out->endpoint.source, "%s/" FILE_NAME, directory);
    n = read_file(directory, text, err);
    rc = n < 0 ? (int)n : parse(text, (size_t)n, member, out, err);
    return rc < 0 ? err_prefix(err, rc, "%s: ", out->endpoint.source) : 0;
}

/* Nothing is asked where there is no choice. */
static bool is_chosen(const struct endpoints *places, size_t place, const struct record *record)
{
    return places->n_directories == 1 || places->chosen == place + 1 || lives_at(record->feed);
}

/* Goes on behind a file that a killed daemon left: `out` has the first one meanwhile. */
static int search(const struct endpoints *places, const char *member, struct endpoint *out,
                  struct err *err)
{
    struct err reasons = {""}, reason = {""};
    struct record record;
    bool has_first = false;

    for (size_t i = 0; i < places->n_directories; i++) {
        size_t used = strlen(reasons.text);
        int rc = read_place(places->directories[i], member, &record, &reason);

        if (rc == -ENOENT) {
            if (i == 0)
                *out = record.endpoint; /* where was looked first */
            snprintf(reasons.text + used, sizeof reasons.text - used, "%s%s", used > 0 ? "; " : "",
                     reason.text);
            continue;
        }
        if (rc < 0)
            return has_first ? 0 : err_set(err, rc, "%s", reason.text);
        if (is_chosen(places, i, &record)) {
            *out = record.endpoint;
            out->place = i + 1;
            return 0;
        }
        if (!has_first)
            *out = record.endpoint;
        has_first = true;
    }
    return has_first ? 0 : err_set(err, -ENOENT, "no daemon: %s", reasons.text);
}

/* A person has said so: nothing else is looked at, be the file good or not. */
static int find_joined(const struct endpoints *places, struct endpoint *out, struct err *err)
{
    struct keyfile keys;
    int rc = keyfile_read(places->joined, &keys, err);

    snprintf(out->source, sizeof out->source, "%s", places->joined);
    if (rc == 0 && !*keys.endpoint)
        rc = err_set(err, -EPROTO, "%s: it lacks endpoint", places->joined);
    if (rc == 0)
        memcpy(out->address, keys.endpoint, sizeof keys.endpoint);
    explicit_bzero(&keys, sizeof keys);
    return rc == -EBADMSG || rc == -EPERM ? -EPROTO : rc;
}

int endpoints_find(const struct endpoints *places, const char *member, struct endpoint *out,
                   struct err *err)
{
    assert(places->address[0] != '\0' || places->n_directories > 0);
    memset(out, 0, sizeof *out);
    if (places->address[0] == '\0' && strcmp(member, "ingest") == 0 &&
        joined_exists(places->joined))
        return find_joined(places, out, err);
    if (places->address[0] == '\0')
        return search(places, member, out, err);
    memcpy(out->address, places->address, sizeof out->address);
    return 0;
}

void endpoints_stay(struct endpoints *places, const struct endpoint *found)
{
    if (found->place > 0)
        places->chosen = found->place;
}
