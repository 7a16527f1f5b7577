#include "daemon/host/endpoints.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/host/listen.h"
#include "daemon/host/paths.h"
#include "proto/json.h"

#define ENDPOINTS_FILE "endpoints.json"

/* What there is not is left out. */
static bool add_text(cJSON *object, const char *name, const char *text)
{
    return !text || !*text || cJSON_AddStringToObject(object, name, text);
}

static bool add_list(cJSON *object, const char *name, const struct listen *listen)
{
    cJSON *array = listen && listen->n_more > 0 ? cJSON_AddArrayToObject(object, name) : NULL;

    for (size_t i = 0; array && i < listen->n_more; i++) {
        if (!cJSON_AddItemToArray(array, cJSON_CreateString(listen->more[i])))
            return false;
    }
    return array || !listen || listen->n_more == 0;
}

static char *endpoints_text(const struct endpoints_content *content)
{
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && add_text(object, "ingest", content->ingest) &&
        add_text(object, "feed", content->feed) && add_text(object, "http", content->http) &&
        add_text(object, "page", content->page) &&
        add_text(object, "server_key", content->server_key) &&
        add_list(object, "network", content->network) &&
        (!content->idle_exit_s || json_add_integer(object, "idle_exit_s", content->idle_exit_s)))
        text = json_print(object);
    cJSON_Delete(object);
    return text;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return -errno;
    ok = dprintf(fd, "%s\n", text) > 0;
    return close(fd) == 0 && ok ? 0 : -EIO;
}

int endpoints_write(const char *dir, const struct endpoints_content *content, struct err *err)
{
    char *text = endpoints_text(content), *path = paths_join(dir, ENDPOINTS_FILE);
    char *fresh = paths_join(dir, ENDPOINTS_FILE ".new");
    int rc = text && path && fresh ? write_file(fresh, text) : -ENOMEM;

    assert(*dir == '/' && content->ingest && content->feed);
    if (rc == 0 && rename(fresh, path) < 0)
        rc = -errno;
    if (rc < 0)
        err_set(err, rc, "%s/%s: %s", dir, ENDPOINTS_FILE, strerror(-rc));
    cJSON_free(text);
    free(path);
    free(fresh);
    return rc;
}

void endpoints_remove(const char *dir)
{
    char *path = paths_join(dir, ENDPOINTS_FILE);

    if (path)
        unlink(path);
    free(path);
}

/* ---- the group ------------------------------------------------------------------------------- */

static int find_group(const char *group, gid_t *out, struct err *err)
{
    const struct group *known = getgrnam(group);
    char *end;
    unsigned long number = strtoul(group, &end, 10);
    bool is_number = group[0] >= '0' && group[0] <= '9' && !*end && number < (gid_t)-1;

    if (!known && !is_number)
        return err_set(err, -EINVAL, "there is no group \"%s\"", group);
    *out = known ? known->gr_gid : (gid_t)number;
    return 0;
}

int endpoints_check_group(const char *group, struct err *err)
{
    gid_t found;

    return find_group(group, &found, err);
}

/* What has the group already is not given to it: systemd's unit forbids the call. */
static int share(const char *path, gid_t group, mode_t mode, struct err *err)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_gid == group || chown(path, (uid_t)-1, group) == 0) &&
        chmod(path, mode) == 0)
        return 0;
    return err_set(err, -errno, "%s for the socket-group: %s", path, strerror(errno));
}

int endpoints_share(const struct config *config, struct err *err)
{
    const char *group = config->value[OPTION_SOCKET_GROUP];
    const char *feed = config->value[OPTION_FEED], *dir = config->value[OPTION_RUNTIME_DIR];
    struct listen listen;
    char *endpoints;
    gid_t id;
    int rc;

    if (!group)
        return 0;
    rc = find_group(group, &id, err);
    if (rc == 0)
        rc = listen_parse(config->value[OPTION_LISTEN], &listen, err);
    if (rc == 0 && strncmp(listen.local, "ipc://", 6) == 0)
        rc = share(listen.local + 6, id, 0660, err);
    if (rc == 0 && strncmp(feed, "unix:", 5) == 0)
        rc = share(feed + 5, id, 0660, err);
    if (rc < 0)
        return rc;
    endpoints = paths_join(dir, ENDPOINTS_FILE);
    rc = endpoints ? share(endpoints, id, 0640, err) : err_set(err, -ENOMEM, "out of memory");
    free(endpoints);
    return rc == 0 ? share(dir, id, 0750, err) : rc;
}
