#include "daemon/loop/migrate.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "daemon/host/config.h"
#include "daemon/host/lock.h"
#include "daemon/host/paths.h"
#include "daemon/loop/loop.h"
#include "daemon/share/share.h"
#include "proto/base/clock.h"
#include "proto/json.h"

#define PROGRESS_EACH_MS 100

static const struct {
    const char *name;
    enum share_way way;
    bool only_compares;
} ways[] = {
    {"out", SHARE_OUT, false},
    {"in", SHARE_IN, false},
    {"check-out", SHARE_OUT, true},
    {"check-in", SHARE_IN, true},
};

static void print_line(cJSON *object)
{
    char *text = object ? json_print(object) : NULL;

    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void on_progress(void *arg, double part, const char *what)
{
    int64_t *tell_at = arg, now = clock_monotonic_ms();
    cJSON *object;

    if (now < *tell_at)
        return;
    *tell_at = now + PROGRESS_EACH_MS;
    object = cJSON_CreateObject();
    json_add_double(object, "part", part);
    cJSON_AddStringToObject(object, "what", what);
    print_line(object);
    fflush(stdout);
}

static void on_sums(void *arg, const struct share_sums *sums)
{
    cJSON *object = cJSON_CreateObject();

    (void)arg;
    cJSON_AddStringToObject(object, "table", sums->table);
    cJSON_AddStringToObject(object, "run", sums->run);
    json_add_integer(object, "rows", sums->rows);
    json_add_integer(object, "rows_there", sums->rows_there);
    json_add_counter(object, "sum", sums->sum);
    json_add_counter(object, "sum_there", sums->sum_there);
    cJSON_AddBoolToObject(object, "same", sums->is_same);
    cJSON_AddBoolToObject(object, "described_elsewhere", sums->is_described_elsewhere);
    cJSON_AddStringToObject(object, "columns", sums->columns);
    print_line(object);
}

static int find_way(const char *name, struct share_migration *migration, struct err *err)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(ways[i].name, name) != 0)
            continue;
        migration->way = ways[i].way;
        migration->only_compares = ways[i].only_compares;
        return 0;
    }
    return err_set(err, -EINVAL, "--migrate is out, in, check-out or check-in, and not \"%s\"",
                   name);
}

/* Comparing changes nothing, so a daemon may have the store open. */
static int run_locked(const struct share_migration *migration, const char *dir, struct err *err)
{
    int lock = -1, rc = 0;

    if (!migration->only_compares) {
        rc = paths_make_dir(dir, err);
        if (rc == 0)
            rc = lock = lock_take(dir, err);
    }
    if (rc >= 0)
        rc = share_migrate(migration, err);
    lock_release(lock);
    return rc;
}

static int exit_code(int rc)
{
    switch (rc) {
    case 0:
        return EX_OK;
    case -EBADE:
        return 1;
    case -EINVAL:
        return EX_USAGE;
    case -EEXIST:
        return EX_CANTCREAT;
    case -EBUSY:
        return EX_TEMPFAIL;
    case -ECONNREFUSED:
    case -EACCES:
        return EX_UNAVAILABLE;
    default:
        return EX_IOERR;
    }
}

static int migrate(const struct config *config, struct err *err)
{
    int64_t tell_at = 0;
    const char *dir = config->value[OPTION_STATE_DIR];
    char *path = paths_join(dir, STORE_FILE);
    struct share_migration migration = {.url = config->value[OPTION_HISTORY],
                                        .path = path,
                                        .on_progress = on_progress,
                                        .on_sums = on_sums,
                                        .arg = &tell_at};
    int rc = find_way(config->task_argument, &migration, err);

    if (rc == 0 && (!migration.url || strcmp(migration.url, "off") == 0))
        rc = err_set(err, -EINVAL, "--migrate needs a --history");
    if (rc == 0 && !path)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = run_locked(&migration, dir, err);
    free(path);
    return rc;
}

int migrate_run(const struct config *config)
{
    struct err err = {0};
    int rc;

    log_set_level(LOG_WARN);
    umask(0077);
    rc = migrate(config, &err);
    fflush(stdout);
    if (rc < 0 && rc != -EBADE) /* the lines say so */
        fprintf(stderr, "richd: %s\n", err.text);
    return exit_code(rc);
}
