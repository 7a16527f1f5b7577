#include "daemon/loop/spools.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "proto/spool/import.h"

#define DIRECTORY "spool"
#define SUFFIX    ".spool"
/* Without a word of the daemon for so long, a later process tries again. */
#define IMPORT_TIMEOUT_MS 10000

struct spools {
    uv_loop_t *loop;
    char *directory;
    char *ingest;
    uv_fs_t scan;
    uv_process_t process;
    bool is_scanning;
    bool has_process; /* its handle is open */
    bool is_closed;
    unsigned pause_s;
};

/* ---- in the daemon --------------------------------------------------------------------------- */

int spools_open(uv_loop_t *loop, const char *state_dir, const char *ingest, struct spools **out,
                struct err *err)
{
    struct spools *spools = calloc(1, sizeof *spools);
    int rc = -ENOMEM;

    if (spools) {
        spools->loop = loop;
        spools->scan.data = spools->process.data = spools;
        spools->directory = paths_join(state_dir, DIRECTORY);
        spools->ingest = strdup(ingest);
    }
    if (!spools || !spools->directory || !spools->ingest)
        err_set(err, rc, "out of memory");
    else
        rc = paths_make_dir(spools->directory, err);
    if (rc < 0) {
        spools_free(spools);
        return rc;
    }
    *out = spools;
    return 0;
}

static void on_process_closed(uv_handle_t *handle)
{
    struct spools *spools = handle->data;

    spools->has_process = false;
}

static void on_exit_of_import(uv_process_t *process, int64_t status, int number)
{
    struct spools *spools = process->data;

    if (number && !spools->is_closed)
        log_warn("the import of %s was ended by %s", spools->directory, strsignal(number));
    else if (status)
        log_warn("the import of %s ended with %d", spools->directory, (int)status);
    if (!uv_is_closing((uv_handle_t *)process))
        uv_close((uv_handle_t *)process, on_process_closed);
}

static void start_import(struct spools *spools)
{
    char name[] = "richd", import[] = "--import", listen[] = "--listen";
    char *arguments[] = {name, import, spools->directory, listen, spools->ingest, NULL};
    uv_stdio_container_t streams[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .file = "/proc/self/exe",
        .args = arguments,
        .exit_cb = on_exit_of_import,
        .stdio = streams,
        .stdio_count = sizeof streams / sizeof streams[0],
    };
    int rc = uv_spawn(spools->loop, &spools->process, &options);

    spools->has_process = true;
    if (rc == 0)
        return;
    log_warn("the import of %s does not run: %s", spools->directory, uv_strerror(rc));
    uv_close((uv_handle_t *)&spools->process, on_process_closed);
}

static bool is_spool(const char *name)
{
    size_t length = strlen(name);

    return length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static void on_scanned(uv_fs_t *scan)
{
    struct spools *spools = scan->data;
    bool has_some = false;
    uv_dirent_t entry;

    while (uv_fs_scandir_next(scan, &entry) == 0)
        has_some = has_some || is_spool(entry.name);
    uv_fs_req_cleanup(scan);
    spools->is_scanning = false;
    if (has_some && !spools->is_closed)
        start_import(spools);
}

void spools_tick(struct spools *spools)
{
    if (!spools || spools->is_closed || spools->is_scanning || spools->has_process)
        return;
    if (spools->pause_s > 0) {
        spools->pause_s--;
        return;
    }
    spools->pause_s = SPOOLS_EACH_S - 1;
    spools->is_scanning =
        uv_fs_scandir(spools->loop, &spools->scan, spools->directory, 0, on_scanned) == 0;
}

void spools_close(struct spools *spools)
{
    if (!spools || spools->is_closed)
        return;
    spools->is_closed = true;
    if (!spools->has_process || uv_is_closing((uv_handle_t *)&spools->process))
        return;
    uv_process_kill(&spools->process, SIGKILL);
    uv_close((uv_handle_t *)&spools->process, on_process_closed);
}

void spools_free(struct spools *spools)
{
    if (!spools)
        return;
    free(spools->directory);
    free(spools->ingest);
    free(spools);
}

/* ---- the process ----------------------------------------------------------------------------- */

static int find_daemon(void *context, char address[LAUNCH_ADDRESS_SIZE], struct err *err)
{
    if (snprintf(address, LAUNCH_ADDRESS_SIZE, "%s", (const char *)context) < LAUNCH_ADDRESS_SIZE)
        return 0;
    return err_set(err, -ENAMETOOLONG, "the address is too long");
}

/* It is killed, and does not ask. */
static bool on_turn(void *context, struct replay *const *replays, size_t n)
{
    (void)context, (void)replays, (void)n;
    return true;
}

static void put_aside(const struct import_file *file)
{
    char *aside;

    log_warn("a spool is put aside: %s: %s", file->path, file->err.text);
    if (asprintf(&aside, "%s.kept", file->path) < 0)
        return;
    if (rename(file->path, aside) < 0)
        log_warn("%s: %s", file->path, strerror(errno));
    free(aside);
}

static void on_done(void *context, const struct import_file *file)
{
    const struct replay_facts *facts = &file->facts;

    (void)context;
    if (file->state == IMPORT_KEPT)
        put_aside(file);
    else if (file->state == IMPORT_STORED && facts->run[0])
        log_info("a spool is stored run=%s attempt=%lld messages=%llu refused=%llu", facts->run,
                 (long long)facts->attempt, (unsigned long long)facts->n_messages,
                 (unsigned long long)facts->n_refused);
    else if (file->state == IMPORT_WAITING && file->err.text[0])
        log_warn("a spool waits: %s: %s", file->path, file->err.text);
}

int spools_import(const char *directory, const char *ingest)
{
    struct launch_way way = {find_daemon, on_turn, (void *)(uintptr_t)ingest, IMPORT_TIMEOUT_MS};
    struct import import = {NULL, 0};
    struct err err = {""};
    int rc;

    /* With the daemon it was started by it goes as well. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rc = import_add(&import, directory, &err);
    if (rc == 0)
        rc = import_run(&import, &way, on_done, &err);
    import_release(&import);
    if (rc < 0)
        log_debug("the import of %s: %s", directory, err.text);
    return rc == 0 || rc == -ENOTCONN ? EXIT_SUCCESS : EXIT_FAILURE;
}
