#include "proto/spool/import.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SUFFIX ".spool"

/* ---- the list ------------------------------------------------------------------------------ */

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Takes `path`. */
static int add_file(struct import *import, char *path, bool was_named, struct err *err)
{
    struct import_file *larger;
    struct stat st;

    if (!path || lstat(path, &st) < 0) {
        int rc = path ? err_set(err, -errno, "%s: %s", path, strerror(errno))
                      : err_set(err, -ENOMEM, "out of memory");

        free(path);
        return rc;
    }
    if (!was_named && st.st_size == 0) { /* a training begins it, and has not locked it yet */
        free(path);
        return 0;
    }
    for (size_t i = 0; i < import->n; i++) {
        if (import->files[i].device == st.st_dev && import->files[i].inode == st.st_ino) {
            free(path);
            return 0;
        }
    }
    larger = realloc(import->files, (import->n + 1) * sizeof *larger);
    if (!larger) {
        free(path);
        return err_set(err, -ENOMEM, "out of memory");
    }
    import->files = larger;
    import->files[import->n++] = (struct import_file){
        .path = path,
        .device = st.st_dev,
        .inode = st.st_ino,
        .written_ns = nanoseconds(st.st_mtim),
        .was_named = was_named,
    };
    return 0;
}

static bool is_spool(const char *name)
{
    size_t length = strlen(name);

    return length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

/* A file that goes meanwhile was sent by another. */
static int add_directory(struct import *import, DIR *directory, const char *name, struct err *err)
{
    const struct dirent *entry;
    int rc = 0;

    while (rc == 0 && (entry = readdir(directory))) {
        char *path = NULL;

        if (!is_spool(entry->d_name))
            continue;
        if (asprintf(&path, "%s/%s", name, entry->d_name) < 0)
            path = NULL;
        rc = add_file(import, path, false, err);
        rc = rc == -ENOENT ? 0 : rc;
    }
    return rc;
}

int import_add(struct import *import, const char *path, struct err *err)
{
    DIR *directory = opendir(path);
    int rc;

    if (!directory && errno == ENOTDIR)
        return add_file(import, strdup(path), true, err);
    if (!directory)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = add_directory(import, directory, path, err);
    closedir(directory);
    return rc;
}

void import_release(struct import *import)
{
    for (size_t i = 0; i < import->n; i++) {
        replay_free(import->files[i].replay);
        free(import->files[i].path);
    }
    free(import->files);
    *import = (struct import){NULL, 0};
}

const char *import_state_name(enum import_state state)
{
    static const char *const names[] = {"waiting", "stored", "held", "kept"};

    return names[state];
}

/* ---- sending ------------------------------------------------------------------------------- */

/* A later attempt of a run was written later, and fences the earlier ones. */
static int by_time(const void *left, const void *right)
{
    const struct import_file *a = left, *b = right;

    if (a->written_ns != b->written_ns)
        return a->written_ns < b->written_ns ? -1 : 1;
    return strcmp(a->path, b->path);
}

static void open_file(struct import_file *file)
{
    int rc = replay_open(file->path, &file->replay, &file->err);

    if (rc == 0)
        file->facts = *replay_facts(file->replay);
    else if (rc == -EAGAIN)
        file->state = IMPORT_HELD;
    else if (rc == -ENOENT)
        file->state = IMPORT_STORED; /* by another, since it was listed */
    else if (rc == -EPROTO)
        file->state = IMPORT_KEPT;
    if (rc < 0 && file->state != IMPORT_KEPT)
        replay_look(file->path, &file->facts, NULL);
}

/* Opens what can be sent at once: libzmq ends a process that has no descriptor left, and takes two
 * for a file. */
static void open_files(struct import *import, import_done_fn *done, void *context)
{
    struct rlimit limit = {.rlim_cur = 0};
    size_t n_open = 0;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (size_t i = 0; i < import->n; i++) {
        struct import_file *file = &import->files[i];

        if (n_open < limit.rlim_cur / 4) {
            open_file(file);
        } else {
            err_set(&file->err, 0, "%s: too many at once; the same command goes on", file->path);
            replay_look(file->path, &file->facts, NULL);
        }
        n_open += file->replay != NULL;
        if (!file->replay)
            done(context, file);
    }
}

/* The file has had its turn. */
static void end_file(struct import_file *file)
{
    enum replay_state state = replay_state(file->replay);

    file->facts = *replay_facts(file->replay);
    if (state == REPLAY_STORED)
        file->state = IMPORT_STORED;
    else if (state == REPLAY_KEPT && !file->facts.may_pass)
        file->state = IMPORT_KEPT;
    err_set(&file->err, 0, "%s", file->facts.text);
    replay_free(file->replay);
    file->replay = NULL;
}

static bool are_of_one_launch(const struct import_file *a, const struct import_file *b)
{
    return a->facts.launch[0] != '\0' && strcmp(a->facts.launch, b->facts.launch) == 0 &&
           strcmp(a->facts.run, b->facts.run) == 0;
}

/* It has had its turn, and may have another one. */
static bool is_left(const struct import_file *file)
{
    return !file->replay && (file->state == IMPORT_HELD || file->state == IMPORT_WAITING);
}

/* Whether the file has to wait for another one that is left: a rank of its launch, without whose
 * marks its points would have rows missing, or an earlier attempt of its run, which it would
 * fence. */
static bool has_to_wait(const struct import *import, size_t i)
{
    const struct import_file *files = import->files;

    for (size_t j = 0; j < import->n; j++) {
        if (is_left(&files[j]) && (are_of_one_launch(&files[i], &files[j]) ||
                                   (j < i && strcmp(files[i].facts.run, files[j].facts.run) == 0)))
            return true;
    }
    return false;
}

static void leave(struct import_file *file, import_done_fn *done, void *context)
{
    end_file(file);
    file->state = IMPORT_HELD;
    err_set(&file->err, 0, "%s: it waits for another file of its run, which is not sent yet",
            file->path);
    done(context, file);
}

/* Sends the files from `first` on that go with it. */
static int send_group(struct import *import, size_t first, const struct launch_way *way,
                      import_done_fn *done, struct err *err)
{
    struct replay **replays = calloc(import->n, sizeof(struct replay *));
    struct import_file *files = import->files;
    size_t n = 0;
    int rc;

    if (!replays)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = first; i < import->n; i++) {
        if (files[i].replay && (i == first || are_of_one_launch(&files[first], &files[i])))
            replays[n++] = files[i].replay;
    }
    rc = launch_send(replays, n, way, err);
    for (size_t i = import->n; i-- > first;) {
        if (n > 0 && files[i].replay == replays[n - 1]) {
            n--;
            end_file(&files[i]);
            done(way->context, &files[i]);
        }
    }
    free(replays);
    return rc;
}

int import_run(struct import *import, const struct launch_way *way, import_done_fn *done,
               struct err *err)
{
    int rc = 0;

    if (import->n > 0)
        qsort(import->files, import->n, sizeof import->files[0], by_time);
    open_files(import, done, way->context);
    for (size_t i = 0; i < import->n && rc == 0; i++) {
        if (import->files[i].replay && has_to_wait(import, i))
            leave(&import->files[i], done, way->context);
        else if (import->files[i].replay)
            rc = send_group(import, i, way, done, err);
    }
    for (size_t i = 0; i < import->n; i++) {
        if (import->files[i].replay) {
            end_file(&import->files[i]);
            done(way->context, &import->files[i]);
        }
    }
    return rc;
}
