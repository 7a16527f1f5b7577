#include "daemon/store/check.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/store/mend.h"
#include "daemon/store/sql.h"

/* While a table is read the WAL is not folded, and grows by all that is written. Processors that
 * others keep busy leave so little to the lowest priority that one of 3 million rows was not read
 * after 75 s, and the WAL had 576 MB. It is given up then. WAL_SIZE_LIMIT of an older growth is no
 * reason, and one that hurries is soon over. */
#define WAL_BYTES_MAX          (96u << 20)
#define WAL_BYTES_MAX_HURRYING (512u << 20)

#define LEAST_NICE 19

struct store_check {
    pthread_t thread;
    sqlite3 *database;
    atomic_bool is_done;
    atomic_bool is_unwanted;
    bool hurries;
    int rc; /* when it is done, with its text */
    struct err why;
    char wal[]; /* its path */
};

/* As far as niceness goes, and no further: SCHED_IDLE would leave it a third of a percent beside
 * one busy program, while it holds a lock of malloc or keeps the WAL from being folded. Where this
 * is forbidden it runs as the others do. */
static void step_back(void)
{
    setpriority(PRIO_PROCESS, 0, LEAST_NICE); /* on Linux the thread's */
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

/* SQLite's cache for the check has half as much. */
#define MEMORY_BYTES (4 << 20)

/* SQLite tells of a page for which it found no memory as it does of a damaged one. */
static bool has_memory(void)
{
    void *memory = sqlite3_malloc(MEMORY_BYTES);

    sqlite3_free(memory);
    return memory;
}

static int judge(const char *finding, const char *what, struct err *err)
{
    if (strcmp(finding, "ok") == 0)
        return 0;
    return has_memory() ? err_set(err, -EUCLEAN, "%s: %.300s", what, finding)
                        : err_set(err, -ENOMEM, "%s: out of memory", what);
}

/* Runs a pragma whose only row is "ok" in a sound file. */
static int expect_ok(sqlite3 *database, const char *text, const char *what, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(database, text, &statement, err);

    if (rc == 0)
        rc = sql_step(statement, err);
    if (rc == 1)
        rc = judge(sql_column_text(statement, 0), what, err);
    sqlite3_finalize(statement);
    return rc;
}

static int check_table(struct store_check *check, const char *name, struct err *err)
{
    char text[160], what[128];

    if (check->is_unwanted)
        return -EINTR;
    sqlite3_snprintf(sizeof text, text, "PRAGMA integrity_check(%Q)", name);
    sqlite3_snprintf(sizeof what, what, "the table \"%s\"", name);
    return expect_ok(check->database, text, what, err);
}

/* The names are read first: the list of tables is not held open while they are. */
static int check_tables(struct store_check *check, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    char names[64][64];
    size_t n = 0;
    int rc = sql_prepare(check->database,
                         "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid",
                         &statement, err);

    while (rc == 0 && n < sizeof names / sizeof *names && (rc = sql_step(statement, err)) == 1) {
        sqlite3_snprintf(sizeof *names, names[n++], "%s", sql_column_text(statement, 0));
        rc = 0;
    }
    sqlite3_finalize(statement);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = check_table(check, names[i], err);
    return rc;
}

static void *run(void *arg)
{
    struct store_check *check = arg;

    if (!check->hurries)
        step_back();
    check->rc = check_tables(check, &check->why);
    if (check->rc == 0)
        check->rc = store_mend_find(check->database, &check->why);
    if (check->rc == 0)
        check->rc = expect_ok(check->database, "PRAGMA quick_check(1)", "the file", &check->why);
    if (check->rc < 0 && check->is_unwanted)
        check->rc = err_set(&check->why, -EAGAIN, "the WAL has grown too long meanwhile");
    check->is_done = true;
    return NULL;
}

int store_check_start(const char *path, bool hurries, struct store_check **out, struct err *err)
{
    struct store_check *check = calloc(1, sizeof *check + strlen(path) + sizeof "-wal");
    int rc;

    if (!check)
        return err_set(err, -ENOMEM, "out of memory");
    check->hurries = hurries;
    strcat(strcpy(check->wal, path), "-wal");
    rc = sql_open(path, SQLITE_OPEN_READONLY, &check->database, err);
    if (rc == 0)
        rc = sql_exec(check->database,
                      "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;"
                      " PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;"
                      " PRAGMA temp_store = MEMORY",
                      err);
    if (rc == 0 && pthread_create(&check->thread, NULL, run, check) != 0)
        rc = err_set(err, -EAGAIN, "no thread for the check of the history");
    if (rc == 0) {
        *out = check;
        return 0;
    }
    sqlite3_close(check->database);
    free(check);
    return rc;
}

static bool is_wal_long(const struct store_check *check)
{
    off_t limit = check->hurries ? WAL_BYTES_MAX_HURRYING : WAL_BYTES_MAX;
    struct stat s;

    return stat(check->wal, &s) == 0 && s.st_size > limit;
}

/* An interrupt that comes between two statements is lost. */
static void give_up(struct store_check *check)
{
    check->is_unwanted = true;
    sqlite3_interrupt(check->database);
}

int store_check_result(struct store_check *check, struct err *err)
{
    if (!check->is_done && (check->is_unwanted || is_wal_long(check)))
        give_up(check);
    if (!check->is_done)
        return 1;
    return check->rc < 0 ? err_set(err, check->rc, "%s", check->why.text) : 0;
}

void store_check_free(struct store_check *check)
{
    if (!check)
        return;
    while (!check->is_done) {
        give_up(check);
        usleep(1000);
    }
    pthread_join(check->thread, NULL);
    sqlite3_close(check->database);
    free(check);
}
