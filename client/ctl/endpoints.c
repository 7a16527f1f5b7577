#include "client/ctl/endpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/json.h"

#define FILE_NAME "endpoints.json"
#define MAX_DIRS  3
/* A handful of addresses. */
#define MAX_FILE_BYTES 16384

/* Runtime directories in the order in which they are tried. */
struct places {
    char dir[MAX_DIRS][ENDPOINT_SIZE - sizeof FILE_NAME];
    size_t n;
};

static void add_place(struct places *p, const char *dir, const char *below)
{
    snprintf(p->dir[p->n++], sizeof p->dir[0], "%s%s", dir, below);
}

static void list_places(struct places *p, const char *runtime_dir)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    char own[32];

    p->n = 0;
    if (!runtime_dir)
        runtime_dir = getenv("RICHD_RUNTIME_DIR");
    if (runtime_dir && *runtime_dir) {
        add_place(p, runtime_dir, "");
        return;
    }
    if (xdg && *xdg)
        add_place(p, xdg, "/richd");
    add_place(p, "/run/richd", "");
    snprintf(own, sizeof own, "/tmp/richd-%ju", (uintmax_t)getuid());
    add_place(p, own, "");
}

/* Reads the whole file. Returns its length, or -errno. A file of someone else's is refused: in
 * /tmp anyone can put one. */
static ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        n = -errno;
    } else if (!S_ISREG(st.st_mode)) {
        n = -EINVAL;
    } else if (strncmp(path, "/tmp/", 5) == 0 && st.st_uid != getuid() && st.st_uid != 0) {
        n = -EPERM;
    } else {
        n = read(fd, buffer, size);
        if (n < 0)
            n = -errno;
    }
    close(fd);
    return n;
}

static int parse_file(const char *text, size_t size, struct endpoint *out, struct err *e)
{
    cJSON *object = json_parse(text, size, e);
    const char *feed = NULL;
    int rc;

    if (!object)
        return -EPROTO;
    rc = json_text(object, "feed", sizeof out->address - 1, &feed, e);
    if (rc == 0)
        rc = err_set(e, -EPROTO, "it names no feed");
    else if (rc > 0)
        snprintf(out->address, sizeof out->address, "%s", feed);
    cJSON_Delete(object);
    return rc < 0 ? rc : 0;
}

static int nobody_there(const struct places *p, struct err *e)
{
    int rc = err_set(e, -ENOTCONN,
                     ". Start it with \"richd\", or name its directory with --runtime-dir DIR");

    for (size_t i = p->n; i-- > 0;)
        err_prefix(e, rc, "%s%s/" FILE_NAME, i > 0 ? ", " : "", p->dir[i]);
    return err_prefix(e, rc, "no richd is running here: looked for ");
}

int endpoints_find(const char *feed, const char *runtime_dir, struct endpoint *out, struct err *e)
{
    char text[MAX_FILE_BYTES];
    struct places places;

    memset(out, 0, sizeof *out);
    if (feed) {
        snprintf(out->address, sizeof out->address, "%s", feed);
        return 0;
    }
    list_places(&places, runtime_dir);
    for (size_t i = 0; i < places.n; i++) {
        ssize_t n;
        int rc;

        snprintf(out->source, sizeof out->source, "%s/" FILE_NAME, places.dir[i]);
        n = read_file(out->source, text, sizeof text);
        if (n == -ENOENT || n == -ENOTDIR)
            continue;
        if (n < 0)
            return err_set(e, -ENOTCONN, "%s: %s", out->source, strerror((int)-n));
        rc = parse_file(text, (size_t)n, out, e);
        return rc < 0 ? err_prefix(e, rc, "%s: ", out->source) : 0;
    }
    return nobody_there(&places, e);
}
