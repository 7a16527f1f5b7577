/* richd: receives activations from training runs and keeps their richness. This file reads the
 * options and turns failures into exit codes; daemon/loop/loop.c puts the parts together. Tested
 * end to end by test_options_come_from_flag_environment_and_file.py and
 * test_second_daemon_refuses_by_name.py. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "daemon/host/config.h"
#include "daemon/host/detach.h"
#include "daemon/host/files.h"
#include "daemon/host/listen.h"
#include "daemon/host/lock.h"
#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "daemon/host/priority.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/migrate.h"
#include "daemon/loop/options.h"
#include "daemon/loop/spools.h"
#include "daemon/store/backup.h"
#include "daemon/store/restore.h"

/* sysexits.h */
#define EXIT_USAGE      64
#define EXIT_OSERR      71
#define EXIT_CANTCREATE 73
#define EXIT_IO         74
#define EXIT_TEMPFAIL   75
#define EXIT_CONFIG     78

/* Whoever starts us may have closed descriptors 0 to 2. A file of ours would then get such a
 * number, and libuv ends the process when it closes one. */
static void fill_standard_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* With an arena for each thread, the memory of a long answer stays with the thread of the pool that
 * wrote it: with five threads and nine readers of 6,000 points, 94 MiB were kept after they had
 * left. With two arenas it goes back to the system.
 *
 * Batches and the work space of a point come and go at each checkpoint. They stay with the
 * allocator until the loop trims it, once a minute; to have each page of them made again took a
 * fifth of the way from the last batch to the point, 876 faults at 256 features. 32 MiB is the most
 * that the allocator may be told to keep in one piece. */
#define KEPT_PIECE_BYTES (32 << 20)
#define KEPT_BYTES       (32 << 20)

static void tune_allocator(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, KEPT_PIECE_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

static int serve(struct config *config)
{
    struct loop *loop;
    struct err err;
    int exit_code;

    tune_allocator();
    log_set_level(config->log_level);
    blas_start_again(config->argv);
    umask(0077);
    if (priority_lower(config->nice, &err) < 0)
        log_warn("%s; the daemon may take time from trainings on this machine", err.text);
    if (files_init(&err) < 0) {
        log_error("%s", err.text);
        return EXIT_OSERR;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    linalg_init();
    if (loop_open(config, &loop, &exit_code, &err) < 0) {
        log_error("%s", err.text);
        return exit_code;
    }
    return loop_run(loop);
}

/* For `env $(richd --print-kernels) PROGRAM`, whose library is the same. */
static int print_kernels(void)
{
    const char *better = blas_better();

    if (better)
        printf("OPENBLAS_CORETYPE=%s\n", better);
    return 0;
}

static int back_up(const struct config *config)
{
    char *path = paths_join(config->value[OPTION_STATE_DIR], STORE_FILE);
    struct err err;
    int rc;

    umask(0077);
    rc = path ? store_backup(path, config->task_argument, &err)
              : err_set(&err, -ENOMEM, "out of memory");
    free(path);
    if (rc == 0)
        return 0;
    fprintf(stderr, "richd: %s\n", err.text);
    return rc == -EEXIST ? EXIT_CANTCREATE : EXIT_IO;
}

static int restore_locked(const char *path, const char *from, struct err *err)
{
    char aside[PATH_MAX];
    int rc = store_restore(path, from, aside, sizeof aside, err);

    if (rc == 0 && *aside)
        printf("What was there is %s\n", aside);
    return rc;
}

/* A daemon holds the lock while it has the history open. */
static int restore(const struct config *config)
{
    const char *dir = config->value[OPTION_STATE_DIR];
    char *path = paths_join(dir, STORE_FILE);
    struct err err;
    int lock = -1, rc;

    umask(0077);
    rc = path ? paths_make_dir(dir, &err) : err_set(&err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = lock = lock_take(dir, &err);
    if (lock >= 0)
        rc = restore_locked(path, config->task_argument, &err);
    lock_release(lock);
    free(path);
    if (rc == 0)
        return 0;
    fprintf(stderr, "richd: %s\n", err.text);
    return rc == -EBUSY ? EXIT_TEMPFAIL : EXIT_IO;
}

/* The daemon starts this for its own directory. */
static int import(const struct config *config)
{
    struct listen listen;
    struct err err;

    log_set_level(config->log_level);
    if (listen_parse(config->value[OPTION_LISTEN], &listen, &err) < 0)
        return EXIT_CONFIG; /* it was checked */
    return spools_import(config->task_argument, listen.local);
}

static int detach(const struct config *config)
{
    struct err err;
    int rc = detach_start(config, &err);

    if (rc < 0)
        fprintf(stderr, "richd: %s\n", err.text);
    else if (rc > 0)
        fprintf(stderr, "richd: the daemon has ended with %d; %s/richd.log says why\n", rc,
                config->value[OPTION_STATE_DIR]);
    return rc < 0 ? EXIT_CANTCREATE : rc;
}

static int run_task(struct config *config)
{
    switch (config->task) {
    case TASK_DETACH:
        return detach(config);
    case TASK_CHECK_CONFIG:
        printf("The configuration is valid.\n");
        return 0;
    case TASK_PRINT_CONFIG:
        config_print(config, stdout);
        return 0;
    case TASK_BACKUP:
        return back_up(config);
    case TASK_RESTORE:
        return restore(config);
    case TASK_IMPORT:
        return import(config);
    case TASK_MIGRATE:
        return migrate_run(config);
    case TASK_PRINT_KERNELS:
        return print_kernels();
    case TASK_VERSION:
        printf("richd %s\n", RICHD_VERSION);
        return 0;
    case TASK_HELP:
        config_print_help(stdout);
        return 0;
    case TASK_SERVE:
        break;
    }
    return serve(config);
}

int main(int argc, char **argv)
{
    struct config config;
    struct err err;
    int rc;

    fill_standard_files();
    rc = options_read(&config, argc, argv, &err);
    if (rc < 0) {
        fprintf(stderr, "richd: %s\n", err.text);
        return rc == -EINVAL ? EXIT_USAGE : EXIT_CONFIG;
    }
    rc = run_task(&config);
    config_release(&config);
    return rc;
}
