#include "daemon/host/config.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/host/values.h"
#include "proto/base/nearest.h"

/* One row an option. `name` is the flag (--name), the key in the file and, in capitals with
 * underscores behind RICHD_, the environment variable. */
struct row {
    const char *name;
    const char *argument; /* NULL: the flag stands alone */
    const char *help;
    enum config_task task; /* of a flag that is no option */
    bool reloads;          /* SIGHUP changes it while the daemon serves; others need a restart */
};

static const struct row rows[] = {
    [OPTION_CONFIG] = {"config", "FILE",
                       "read options from FILE, `name = value` a line "
                       "[~/.config/richd/richd.conf, /etc/richd/richd.conf]",
                       0, false},
    [OPTION_STATE_DIR] = {"state-dir", "DIR",
                          "history is kept here [$XDG_STATE_HOME/richd, ~/.local/state/richd]", 0,
                          false},
    [OPTION_RUNTIME_DIR] = {"runtime-dir", "DIR",
                            "sockets and endpoints.json [$XDG_RUNTIME_DIR/richd, /tmp/richd-UID]",
                            0, false},
    [OPTION_LISTEN] = {"listen", "ENDPOINT,...",
                       "for trainers: tcp://ADDRESS:PORT for those with a key (richctl invite), "
                       "beside the one of this machine [ipc://RUNTIME-DIR/ingest.sock]",
                       0, false},
    [OPTION_FEED] = {"feed", "ADDRESS",
                     "JSON socket: unix:PATH or tcp:127.0.0.1:PORT [unix:RUNTIME-DIR/feed.sock]", 0,
                     false},
    [OPTION_SOCKET_GROUP] = {"socket-group", "GROUP",
                             "its members may connect, to write and to read [our user alone]", 0,
                             false},
    [OPTION_HTTP] = {"http", "WHERE",
                     "page, JSON and metrics: on (loopback, with a token), off, PORT or "
                     "ADDRESS:PORT; port 0: a free one [on]",
                     0, false},
    [OPTION_HTTP_HOST] = {"http-host", "NAME,...",
                          "names by which HTTP is reached, besides the loopback's", 0, true},
    [OPTION_HTTP_PROXY] = {"http-proxy", "ADDRESS,...",
                           "proxies, or networks as 10.0.0.0/8, that may connect in clear from "
                           "other hosts, and whose "
                           "X-Forwarded-For is believed",
                           0, false},
    [OPTION_TLS_CERTIFICATE] = {"tls-certificate", "FILE",
                                "HTTP by TLS: the certificate with its chain, in PEM; read again "
                                "when it changes",
                                0, false},
    [OPTION_TLS_KEY] = {"tls-key", "FILE", "its private key, in PEM, which nobody else may read", 0,
                        false},
    [OPTION_TOKEN_FILE] = {"token-file", "FILE",
                           "lines of `read TOKEN` or `write TOKEN`: HTTP asks for one", 0, true},
    [OPTION_ON_EVENT] = {"on-event", "PATH",
                         "run this for every event, which it reads as JSON; no shell, no arguments",
                         0, true},
    [OPTION_HISTORY] =
        {"history", "URL",
         "copy what is stored to a PostgreSQL database, postgresql://HOST/DATABASE, which daemons"
         " share, or off; the password is best in ~/.pgpass [off]",
         0, false},
    [OPTION_HISTORY_PARTITIONS] =
        {"history-partitions", "N",
         "where this daemon is the first on --history, its tables get N partitions, by a hash of"
         " the run [0]",
         0, false},
    [OPTION_READ_ONLY] = {"read-only", "on|off",
                          "take no trainers, and show what all daemons write to --history [off]", 0,
                          false},
    [OPTION_UPSTREAM] = {"upstream", "ADDRESS",
                         "forward what is stored to the daemon at tcp://HOST:PORT, now or when it "
                         "is there, or off [off]",
                         0, false},
    [OPTION_UPSTREAM_KEYS] = {"upstream-keys", "FILE",
                              "the keys for it, which richctl join --relay writes "
                              "[~/.config/richd/upstream, ~/.config/richd/joined]",
                              0, false},
    [OPTION_ACK] = {"ack", "disk|history",
                    "acknowledge what is on this host's disk, or only when --history has it [disk]",
                    0, false},
    [OPTION_NICE] = {"nice", "N", "niceness from 0 to 19: training goes first [10]", 0, false},
    [OPTION_RANKS_WAIT] = {"ranks-wait", "SECONDS",
                           "a checkpoint of one rank waits so long for the others [10]", 0, false},
    [OPTION_IDLE_EXIT] = {"idle-exit", "SECONDS",
                          "end when so long no run was open and no reader connected, or off [off]",
                          0, true},
    [OPTION_KEEP_DAYS] = {"keep-days", "DAYS",
                          "delete runs that ended and have not changed for so long, or off [off]",
                          0, true},
    [OPTION_MAX_BYTES] =
        {"max-bytes", "BYTES",
         "delete the oldest runs that ended while the history is larger; 20G, 500M,"
         " or off [off]",
         0, true},
    [OPTION_LOG_LEVEL] = {"log-level", "LEVEL", "error, warn, info or debug [info]", 0, true},
    {"detach", NULL, "start in the background, and end when the daemon is ready", TASK_DETACH,
     false},
    {"check-config", NULL, "check the options, say what is wrong, and end", TASK_CHECK_CONFIG,
     false},
    {"print-config", NULL, "print the options in force, and end", TASK_PRINT_CONFIG, false},
    {"backup", "FILE", "copy the history, which may be in use, to a new file, and end", TASK_BACKUP,
     false},
    {"restore", "FILE",
     "put a copy of FILE, which a backup has made, in the history's place, and end; what was there "
     "is kept",
     TASK_RESTORE, false},
    {"import", "DIR", "send the spools in DIR to the daemon at --listen, and end", TASK_IMPORT,
     false},
    {"migrate", "WAY",
     "copy the whole history to --history (out), or that one here (in), compare, and end; "
     "check-out "
     "and check-in only compare; JSON lines say what each table has of each run",
     TASK_MIGRATE, false},
    {"print-kernels", NULL,
     "print OPENBLAS_CORETYPE=TYPE where OpenBLAS misses the best for this processor, and end",
     TASK_PRINT_KERNELS, false},
    {"version", NULL, "print the version, and end", TASK_VERSION, false},
    {"help", NULL, "print this, and end; also -h", TASK_HELP, false},
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static int set(struct config *config, size_t i, const char *value, const char *source)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(config->value[i]);
    config->value[i] = copy;
    config->source[i] = source;
    return 0;
}

int config_set_default(struct config *config, enum option i, const char *value)
{
    assert(i < OPTION_COUNT && value);
    return config->value[i] ? 0 : set(config, i, value, "default");
}

/* The row that `--name` or `--name=value` means; its length in `*length`. */
static int find_flag(const char *argument, size_t *length)
{
    const char *name = argument + 2;

    if (strncmp(argument, "--", 2) != 0)
        return -1;
    *length = strcspn(name, "=");
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strlen(rows[i].name) == *length && strncmp(rows[i].name, name, *length) == 0)
            return (int)i;
    }
    return -1;
}

/* The option that was meant, of the first `n` rows; NULL: none is like it. */
static const char *nearest_option(const char *word, size_t n)
{
    const char *names[N_ROWS];

    for (size_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    return nearest_name(word, names, n);
}

static int refuse_flag(const char *argument, struct err *err)
{
    const char *nearest;
    char word[64];

    snprintf(word, sizeof word, "%.*s", (int)strcspn(argument, "="), argument);
    nearest = nearest_option(word + strspn(word, "-"), N_ROWS);
    if (nearest)
        return err_set(err, -EINVAL, "unknown option %s; did you mean --%s?", argument, nearest);
    return err_set(err, -EINVAL, "unknown option %s (see richd --help)", argument);
}

static int refuse_name(const char *name, struct err *err)
{
    const char *nearest = nearest_option(name, OPTION_COUNT);

    if (nearest)
        return err_set(err, -EBADMSG, "unknown option \"%s\"; did you mean %s?", name, nearest);
    return err_set(err, -EBADMSG, "unknown option \"%s\"", name);
}

static int read_flags(struct config *config, int argc, char **argv, struct err *err)
{
    for (int at = 1; at < argc; at++) {
        const char *flag = strcmp(argv[at], "-h") == 0 ? "--help" : argv[at], *value;
        size_t length;
        int i = find_flag(flag, &length);

        if (i < 0)
            return refuse_flag(flag, err);
        value = flag[2 + length] == '=' ? flag + 3 + length : NULL;
        if (!rows[i].argument) {
            if (value)
                return err_set(err, -EINVAL, "--%s takes no value", rows[i].name);
            config->task = rows[i].task;
            continue;
        }
        if (!value && ++at < argc)
            value = argv[at];
        if (!value || !*value)
            return err_set(err, -EINVAL, "--%s needs a value: %s", rows[i].name, rows[i].argument);
        if (i >= OPTION_COUNT) {
            config->task = rows[i].task;
            config->task_argument = value;
            continue;
        }
        if (set(config, (size_t)i, value, "flag") < 0)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int read_environment(struct config *config, struct err *err)
{
    char name[64];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *value;

        snprintf(name, sizeof name, "RICHD_%s", rows[i].name);
        for (char *at = name; *at; at++)
            *at = *at == '-' ? '_' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        value = getenv(name);
        if (!config->value[i] && value && *value && set(config, i, value, "environment") < 0)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

int config_refuse(const struct config *config, enum option i, int rc, struct err *err)
{
    const char *source = config->source[i];

    if (source && strcmp(source, "file") == 0)
        return err_prefix(err, rc, "%s, line %u: %s: ", config->value[OPTION_CONFIG],
                          config->line[i], rows[i].name);
    return err_prefix(err, rc, "%s (%s): ", rows[i].name, source ? source : "default");
}

struct file {
    struct config *config;
    struct err *e;
    int rc;
    FILE *stream;
    unsigned line, bad_line; /* read last, and that `rc` is about */
};

/* inih counts the lines as well, and does not tell its handler. To it a line ends at a NUL: what
 * stands behind would be read by others and not by us; and what does not fit is its next line. */
static char *read_line(char *text, int size, void *user)
{
    struct file *file = user;
    char *line = fgets(text, size, file->stream);
    size_t length = line ? strlen(line) : 0;
    bool is_full = length == (size_t)size - 1;

    file->line++;
    if (!line || line[length > 0 ? length - 1 : 0] == '\n' || (!is_full && feof(file->stream)))
        return line;
    if (file->rc < 0)
        return NULL;
    file->bad_line = file->line;
    file->rc = is_full ? err_set(file->e, -EBADMSG, "a line of more than %d bytes", size - 2)
                       : err_set(file->e, -EBADMSG, "a NUL byte");
    return NULL;
}

static int on_file_line(void *user, const char *section, const char *name, const char *value)
{
    struct file *file = user;

    if (file->rc < 0)
        return 0; /* inih reads on behind the first mistake */
    file->bad_line = file->line;
    if (*section) {
        file->rc = err_set(file->e, -EBADMSG, "section [%s]: there are no sections", section);
        return 0;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (i == OPTION_CONFIG || strcmp(rows[i].name, name) != 0)
            continue;
        if (!*value || *value == ';') /* inih takes `name =; text` for a value */
            file->rc = err_set(file->e, -EBADMSG, "%s needs a value: %s", name, rows[i].argument);
        else if (file->config->line[i] > 0)
            file->rc = err_set(file->e, -EBADMSG, "%s stands in line %u, too", name,
                               file->config->line[i]);
        else if (!file->config->value[i] && set(file->config, i, value, "file") < 0)
            file->rc = err_set(file->e, -ENOMEM, "out of memory");
        file->config->line[i] = file->line;
        return file->rc == 0;
    }
    file->rc = refuse_name(name, file->e);
    return 0;
}

/* Takes DIR/FILE as `config` when it can be read. Returns 0, 1 when not, or -ENOMEM. */
static int try_file(struct config *config, const char *dir, const char *name)
{
    char *path;
    int rc;

    if (!dir || *dir != '/')
        return 1;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    rc = access(path, R_OK) == 0 ? config_set_default(config, OPTION_CONFIG, path) : 1;
    free(path);
    return rc;
}

/* The user's, or else the machine's, where neither a flag nor the environment names one. */
static int find_file(struct config *config)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    int rc = config->value[OPTION_CONFIG] ? 0 : 1;

    if (rc > 0 && xdg && *xdg)
        rc = try_file(config, xdg, "richd/richd.conf");
    else if (rc > 0)
        rc = try_file(config, getenv("HOME"), ".config/richd/richd.conf");
    if (rc > 0)
        rc = try_file(config, "/etc", "richd/richd.conf");
    return rc < 0 ? rc : 0;
}

static int read_file(struct config *config, struct err *err)
{
    struct file file = {.config = config, .e = err};
    const char *path;
    int line;

    if (find_file(config) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    path = config->value[OPTION_CONFIG];
    if (!path)
        return 0;
    file.stream = fopen(path, "re");
    if (!file.stream)
        return err_set(err, -EBADMSG, "%s cannot be read: %s", path, strerror(errno));
    line = ini_parse_stream(read_line, &file, on_file_line, &file);
    fclose(file.stream);
    if (file.rc < 0 && (line == 0 || file.bad_line <= (unsigned)line))
        return err_prefix(err, file.rc, "%s, line %u: ", path, file.bad_line);
    if (line != 0)
        return err_set(err, -EBADMSG, "%s, line %d: not `name = value`", path, line);
    return 0;
}

int config_read(struct config *config, int argc, char **argv, struct err *err)
{
    int rc;

    memset(config, 0, sizeof *config);
    config->argc = argc;
    config->argv = argv;
    rc = read_flags(config, argc, argv, err);
    if (rc == 0 && config->task >= TASK_PRINT_KERNELS)
        return 0;
    if (rc == 0)
        rc = read_environment(config, err);
    if (rc == 0)
        rc = read_file(config, err);
    if (rc == 0)
        rc = values_check(config, err);
    if (rc < 0)
        config_release(config);
    return rc;
}

static void swap(struct config *config, struct config *b, size_t i)
{
    char *value = config->value[i];
    const char *source = config->source[i];

    config->value[i] = b->value[i];
    config->source[i] = b->source[i];
    b->value[i] = value;
    b->source[i] = source;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void config_take(struct config *config, struct config *fresh, config_change_cb *on_change,
                 void *arg)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_same(config->value[i], fresh->value[i]))
            continue;
        if (rows[i].reloads)
            swap(config, fresh, i);
        on_change(arg, rows[i].name, rows[i].reloads);
    }
    config->log_level = fresh->log_level;
    config->idle_exit_s = fresh->idle_exit_s;
    config->keep_days = fresh->keep_days;
    config->max_bytes = fresh->max_bytes;
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        free(config->value[i]);
    memset(config, 0, sizeof *config);
}

void config_print_help(FILE *out)
{
    char flag[64];

    fprintf(out, "Usage: richd [OPTION]...\n"
                 "Receives activations from training runs and keeps their richness, D_LR.\n\n");
    for (size_t i = 0; i < N_ROWS; i++) {
        if (i == OPTION_COUNT)
            fprintf(out, "\nIn place of serving:\n");
        snprintf(flag, sizeof flag, "--%s %s", rows[i].name,
                 rows[i].argument ? rows[i].argument : "");
        fprintf(out, "%c %-22s %s\n", rows[i].reloads ? '*' : ' ', flag, rows[i].help);
    }
    fprintf(out,
            "\nA flag wins over RICHD_NAME in the environment, that over the file.\n"
            "SIGHUP has them read again: those with * change at once, others need a restart.\n"
            "SIGTERM and SIGINT finish what was promised, within 10 s; a second one does not.\n"
            "Ends with 0, 64 (usage), 69 (a socket), 73 or 74 (the store), 75 (another richd has\n"
            "its directories), 78 (a value), or by the second signal when it finds work under way\n"
            "(143 or 130 in a shell).\n");
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (i != OPTION_CONFIG && config->value[i])
            fprintf(out, "%s = %s ; %s\n", rows[i].name, config->value[i], config->source[i]);
    }
}
