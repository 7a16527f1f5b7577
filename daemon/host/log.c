#include "daemon/host/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"

/* Longer lines are cut: an err text and a path fit. */
#define LINE_SIZE 2048

static enum log_level max_level = LOG_INFO;

static const struct {
    enum log_level level;
    const char *name;
} levels[] = {
    {LOG_ERROR, "error"},
    {LOG_WARN, "warn"},
    {LOG_INFO, "info"},
    {LOG_DEBUG, "debug"},
};
#define N_LEVELS (sizeof levels / sizeof levels[0])

void log_set_level(enum log_level level)
{
    max_level = level;
}

int log_level_find(const char *name)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (strcmp(levels[i].name, name) == 0)
            return (int)levels[i].level;
    }
    return -1;
}

static const char *log_level_name(enum log_level level)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (levels[i].level == level)
            return levels[i].name;
    }
    return "?";
}

/* Whether stderr itself is journald's: the variable is inherited by every child of a service, a
 * desktop's terminal among them. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat stat;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &stat) == 0 && stat.st_dev == device && stat.st_ino == inode;
}

/* journald wants the priority and brings its own time; a person wants a time and a word. */
static size_t write_prefix(char *line, size_t size, enum log_level level)
{
    double now = clock_wall_s();
    time_t seconds = (time_t)now;
    struct tm tm;
    size_t used;

    if (is_journal())
        return (size_t)snprintf(line, size, "<%d>", (int)level);
    localtime_r(&seconds, &tm);
    used = strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
    return used + (size_t)snprintf(line + used, size - used, ".%03d %-5s ",
                                   (int)((now - (double)seconds) * 1000), log_level_name(level));
}

static void write_line(enum log_level level, const char *format, va_list args)
{
    char line[LINE_SIZE];
    size_t used;
    int old_errno = errno;

    if (level > max_level)
        return;
    used = write_prefix(line, sizeof line, level);
    vsnprintf(line + used, sizeof line - used - 1, format, args);
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < 0x20)
            *c = ' '; /* a name from outside must not start a line of its own */
    }
    used = strlen(line);
    line[used] = '\n';
    if (write(STDERR_FILENO, line, used + 1) < 0) {
        /* nothing reads our errors, and there is nowhere else to say so */
    }
    errno = old_errno;
}

#define DEFINE_LOG(function, level)                                                                \
    void function(const char *format, ...)                                                         \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        write_line(level, format, args);                                                           \
        va_end(args);                                                                              \
    }

DEFINE_LOG(log_error, LOG_ERROR)
DEFINE_LOG(log_warn, LOG_WARN)
DEFINE_LOG(log_info, LOG_INFO)
DEFINE_LOG(log_debug, LOG_DEBUG)

void log_warn_limited(struct log_limit *limit, const char *format, ...)
{
    int64_t now = clock_monotonic_ms();
    va_list args;

    if (now - limit->period_start_ms > (int64_t)LOG_PERIOD_S * 1000) {
        if (limit->n_suppressed > 0)
            log_warn("%u more lines like the next were left out", limit->n_suppressed);
        *limit = (struct log_limit){.period_start_ms = now};
    }
    if (limit->n_written >= LOG_BURST) {
        limit->n_suppressed++;
        return;
    }
    limit->n_written++;
    va_start(args, format);
    write_line(LOG_WARN, format, args);
    va_end(args);
}
