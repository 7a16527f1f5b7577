/* richctl invite NAME: a pair of keys for trainers of another host. The public key goes to
 * authorised_keys of the daemon, which reads the file within a second; the other one is printed
 * within a line to be pasted there, and kept nowhere. It works where no daemon runs, too: the first
 * invitation comes before the first start that listens on a network. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/invitation.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/place.h"
#include "proto/base/address.h"

#define AUTHORISED "authorised_keys"
#define SERVER_KEY "server.key"
/* Where nobody said another one. */
#define PORT 24105

static bool is_any(const struct address *address)
{
    return strcmp(address->host, "0.0.0.0") == 0 || strcmp(address->host, "::") == 0;
}

/* HOST:PORT by which the other host reaches the daemon: as it was given, or where the daemon
 * listens, or this host by its name. */
static int find_address(const struct options *options, const char *network,
                        char endpoint[KEYFILE_ENDPOINT_SIZE], struct err *err)
{
    struct address address;
    char given[KEYFILE_ENDPOINT_SIZE], place[ADDRESS_HOST_MAX + 16];

    if (!options->address && !*network)
        return err_set(err, -EINVAL,
                       "no daemon here says where it listens on a network: --address HOST:PORT is "
                       "how the other host reaches it");
    snprintf(given, sizeof given, "%.*s", (int)sizeof given - 1,
             options->address ? options->address : network + 6);
    if (address_parse(given, &address) < 0) {
        snprintf(given, sizeof given, "%s:%d", options->address ? options->address : "", PORT);
        if (address_parse(given, &address) < 0)
            return err_set(err, -EINVAL, "\"%.200s\" is not HOST:PORT", given);
    }
    if (is_any(&address)) {
        gethostname(address.host, sizeof address.host - 1);
        address.has_brackets = false;
    }
    address_print(&address, place, sizeof place);
    snprintf(endpoint, KEYFILE_ENDPOINT_SIZE, "tcp://%s", place);
    return 0;
}

/* ---- authorised_keys
 * ----------------------------------------------------------------------------- */

static int check_name(const char *name, struct err *err)
{
    if (!key_name_is_valid(name))
        return err_set(err, -EINVAL, "a key's name has 1 to 64 of A-Z a-z 0-9 . _ -");
    return 0;
}

/* As a word of the line. */
static int check_project(const char *project, struct err *err)
{
    if (project && (!*project || strlen(project) > 512 || project[strcspn(project, " \t\r\n")]))
        return err_set(err, -EINVAL, "a project of a key has no blanks: \"%.64s\"", project);
    return 0;
}

/* Whether a line has the name; and whether the last line has an end. */
static int look_through(const char *path, const char *name, bool *is_ended, struct err *err)
{
    FILE *file = fopen(path, "re");
    char line[1024], found[80];

    *is_ended = true;
    while (file && fgets(line, sizeof line, file)) {
        *is_ended = strchr(line, '\n') != NULL;
        if (line[strspn(line, " \t")] != '#' && sscanf(line, "%*s %79s", found) == 1 &&
            strcmp(found, name) == 0) {
            fclose(file);
            return err_set(err, -EEXIST,
                           "%s has a key %s already: remove its line, or take another name", path,
                           name);
        }
    }
    if (file)
        fclose(file);
    return 0;
}

static int append(const char *path, const struct keyfile *keys, const struct options *options,
                  struct err *err)
{
    const char *name = options->words[1], *project = options->project;
    bool is_ended;
    int rc = look_through(path, name, &is_ended, err), fd;

    if (rc < 0)
        return rc;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 ||
        dprintf(fd, "%s%s %s write%s%s\n", is_ended ? "" : "\n", keys->public_key, name,
                project ? " project=" : "", project ? project : "") < 0 ||
        fsync(fd) < 0)
        rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- the command
 * --------------------------------------------------------------------------------- */

struct invitation {
    const char *name, *line;
};

static bool fill(cJSON *object, const void *what)
{
    const struct invitation *invitation = what;

    return cJSON_AddStringToObject(object, "name", invitation->name) &&
           cJSON_AddStringToObject(object, "invitation", invitation->line);
}

/* As words of a shell: echo is a part of it, so that no other user sees the line among processes.
 * The blank before it keeps it out of the history of many shells. */
static int print_line(const char *name, const struct keyfile *keys, const char *network, bool json,
                      struct err *err)
{
    char line[INVITATION_SIZE];
    int rc = 0;

    invitation_print(keys, line);
    if (json) {
        rc = jsonline_make(fill, &(struct invitation){name, line}, stdout, err);
    } else {
        if (!*network)
            fprintf(stderr, "The daemon has to listen there: richd --listen tcp://ADDRESS:PORT\n");
        fprintf(stderr, "On the other host, paste this; it holds a secret key:\n");
        printf(" echo '%s' | richctl join\n", line);
    }
    explicit_bzero(line, sizeof line);
    return rc;
}

static int invite(const struct options *options, const struct place *where, struct keyfile *keys,
                  struct err *err)
{
    const char *directory = where->directory;
    char path[PATH_MAX + sizeof AUTHORISED];
    struct keyfile server;
    int rc;

    snprintf(path, sizeof path, "%s/" SERVER_KEY, directory);
    rc = place_make(where, "invite", err);
    if (rc < 0)
        return rc;
    rc = keyfile_keep(path, &server, err);
    if (rc == 0)
        rc = keyfile_make_pair(keys, err);
    memcpy(keys->server_key, server.public_key, KEY_SIZE);
    explicit_bzero(&server, sizeof server);
    snprintf(path, sizeof path, "%s/" AUTHORISED, directory);
    return rc == 0 ? append(path, keys, options, err) : rc;
}

int cmd_invite(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct place where;
    struct keyfile keys = {.public_key = ""};
    int rc = check_name(options->words[1], err);

    (void)feed;
    if (rc == 0)
        rc = check_project(options->project, err);
    if (rc == 0)
        rc = place_find(options, &where, err);
    if (rc == 0)
        rc = find_address(options, where.network, keys.endpoint, err);
    if (rc == 0)
        rc = invite(options, &where, &keys, err);
    if (rc == 0)
        rc = print_line(options->words[1], &keys, where.network, options->json, err);
    explicit_bzero(&keys, sizeof keys);
    return rc;
}
