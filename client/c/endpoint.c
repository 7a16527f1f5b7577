#include "client/c/endpoint.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/json.h"

/* What the daemon writes has about 200 bytes. */
#define FILE_MAX        8192
#define DIRECTORIES_MAX 3

struct directory {
    char path[ENDPOINT_MAX];
    bool ours; /* anyone may make it: it counts only if it is ours */
};

struct endpoint {
    char address[ENDPOINT_MAX]; /* "": look into the directories */
    struct directory directories[DIRECTORIES_MAX];
    size_t n_directories;
};

static const char *first_set(const char *option, const char *variable)
{
    const char *value = option && *option ? option : getenv(variable);

    return value && *value ? value : NULL;
}

__attribute__((format(printf, 3, 4))) static void add(struct endpoint *e, bool ours,
                                                      const char *format, ...)
{
    struct directory *d = &e->directories[e->n_directories++];
    va_list args;

    va_start(args, format);
    vsnprintf(d->path, sizeof d->path, format, args);
    va_end(args);
    d->ours = ours;
}

struct endpoint *endpoint_new(const char *address, const char *runtime_dir)
{
    struct endpoint *e = calloc(1, sizeof *e);
    const char *told = first_set(address, "RICHD_ENDPOINT");
    const char *directory = first_set(runtime_dir, "RICHD_RUNTIME_DIR");
    const char *session = first_set(NULL, "XDG_RUNTIME_DIR");

    if (!e)
        return NULL;
    if (told)
        snprintf(e->address, sizeof e->address, "%s", told);
    /* A directory that was named is meant: another daemon must not get the run instead. */
    if (directory) {
        add(e, false, "%s", directory);
        return e;
    }
    if (session)
        add(e, false, "%s/richd", session);
    add(e, false, "/run/richd");
    add(e, true, "/tmp/richd-%lu", (unsigned long)getuid());
    return e;
}

void endpoint_free(struct endpoint *e)
{
    free(e);
}

static bool is_ours(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid();
}

static int parse(const char *text, size_t size, const char *path, char address[ENDPOINT_MAX],
                 struct err *e)
{
    const char *ingest = NULL;
    cJSON *root = json_parse(text, size, e);
    int rc;

    if (!root)
        return err_prefix(e, -EPROTO, "%s: ", path);
    rc = json_text(root, "ingest", ENDPOINT_MAX - 1, &ingest, e);
    if (rc == 1)
        snprintf(address, ENDPOINT_MAX, "%s", ingest);
    cJSON_Delete(root);
    if (rc < 0)
        return err_prefix(e, rc, "%s: ", path);
    return rc == 1 ? 0 : err_set(e, -EPROTO, "%s: \"ingest\" is missing", path);
}

static int read_directory(const struct directory *d, char address[ENDPOINT_MAX], struct err *e)
{
    char path[ENDPOINT_MAX + sizeof "/endpoints.json"], text[FILE_MAX];
    size_t size;
    FILE *file;

    snprintf(path, sizeof path, "%s/endpoints.json", d->path);
    file = d->ours && !is_ours(d->path) ? NULL : fopen(path, "re");
    if (!file)
        return err_set(e, -ENOENT, "no daemon: %s cannot be read", path);
    size = fread(text, 1, sizeof text, file);
    fclose(file);
    return parse(text, size, path, address, e);
}

int endpoint_find(const struct endpoint *endpoint, char address[ENDPOINT_MAX], struct err *e)
{
    int rc = -ENOENT;

    if (endpoint->address[0] != '\0') {
        memcpy(address, endpoint->address, ENDPOINT_MAX);
        return 0;
    }
    for (size_t i = 0; i < endpoint->n_directories && rc == -ENOENT; i++)
        rc = read_directory(&endpoint->directories[i], address, e);
    return rc;
}
