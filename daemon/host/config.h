/* The way through the room: config reads the options, paths completes them with what the machine
 * says and makes the directories, lock takes these, endpoints says to clients where the sockets
 * are. A wrong option is refused before anything is made; what a directory or a file refuses ends
 * the start with a sentence. log is used by all, on any thread.
 *
 * The options: one table row each, from which flags, environment, file, help and --print-config
 * come. Reads the command line at the start and at SIGHUP, and owns its texts; main's thread.
 * paths.h decides which directories and sockets follow from them.
 *
 * A flag wins over RICHD_NAME in the environment, that over `name = value` in the file, that over
 * the default. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "daemon/host/log.h"
#include "proto/base/err.h"

enum option {
    OPTION_CONFIG,
    OPTION_STATE_DIR,
    OPTION_RUNTIME_DIR,
    OPTION_LISTEN,
    OPTION_FEED,
    OPTION_SOCKET_GROUP,
    OPTION_HTTP,
    OPTION_HTTP_HOST,
    OPTION_HTTP_PROXY,
    OPTION_TLS_CERTIFICATE,
    OPTION_TLS_KEY,
    OPTION_TOKEN_FILE,
    OPTION_ON_EVENT,
    OPTION_HISTORY,
    OPTION_HISTORY_PARTITIONS,
    OPTION_READ_ONLY,
    OPTION_UPSTREAM,
    OPTION_UPSTREAM_KEYS,
    OPTION_ACK,
    OPTION_NICE,
    OPTION_RANKS_WAIT,
    OPTION_IDLE_EXIT,
    OPTION_KEEP_DAYS,
    OPTION_MAX_BYTES,
    OPTION_LOG_LEVEL,
    OPTION_COUNT,
};

/* What to do instead of serving. */
enum config_task {
    TASK_SERVE,
    TASK_DETACH,
    TASK_CHECK_CONFIG,
    TASK_PRINT_CONFIG,
    TASK_BACKUP,
    TASK_RESTORE,
    TASK_IMPORT,
    TASK_MIGRATE,
    TASK_PRINT_KERNELS, /* this one and those below ask for no option */
    TASK_VERSION,
    TASK_HELP,
};

struct config {
    enum config_task task;
    const char *task_argument;        /* of those from TASK_BACKUP to TASK_MIGRATE; of argv */
    char *value[OPTION_COUNT];        /* NULL: the default, which paths.h derives */
    const char *source[OPTION_COUNT]; /* "flag", "environment", "file" or "default" */
    unsigned line[OPTION_COUNT];      /* of the file, also where another source wins; 0: none */
    enum log_level log_level;
    int nice;
    unsigned history_partitions; /* 0: none */
    bool is_read_only;
    bool acks_by_history; /* and not by this host's disk */
    unsigned ranks_wait_s;
    unsigned idle_exit_s; /* 0: off */
    int64_t keep_days;    /* -1: off */
    int64_t max_bytes;    /* -1: off */
    int argc;             /* of the command line, which is borrowed: it is read again at SIGHUP */
    char **argv;
};

/* Reads all sources. Returns 0 (release with config_release), -EINVAL for a usage error on the
 * command line, or -EBADMSG for a wrong value elsewhere; the text names the option and where it
 * came from. */
int config_read(struct config *, int argc, char **argv, struct err *);
void config_release(struct config *);

/* A value that is no good: puts in front of the sentence where it came from, "FILE, line 3: nice: "
 * or "nice (flag): ". Returns `rc`. */
int config_refuse(const struct config *, enum option, int rc, struct err *err);

/* Sets an option that was left open to what was derived for it. Returns 0 or -ENOMEM. */
int config_set_default(struct config *, enum option, const char *value);

/* An option differs from what is in force: `taken`, or it needs a restart. */
typedef void config_change_cb(void *arg, const char *name, bool taken);

/* Takes over the options of `fresh` that can change while the daemon serves, and names each that
 * differs. What was in force until now lives on in `fresh`. */
void config_take(struct config *, struct config *fresh, config_change_cb *, void *arg);

void config_print_help(FILE *);
/* The options in force as a file that --config reads, each with its source. */
void config_print(const struct config *, FILE *);
