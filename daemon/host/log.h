/* One line a message to standard error: level, text, key=value pairs. Any thread may log; a line is
 * one write. A module that reports an error to its caller does not log it; the one that decides
 * to go on does. */
#pragma once

#include <stdint.h>

enum log_level {
    LOG_ERROR = 3, /* syslog's numbers, which journald reads from the prefix <3> */
    LOG_WARN = 4,
    LOG_INFO = 6,
    LOG_DEBUG = 7,
};

/* Lines above this level are not written. */
void log_set_level(enum log_level);

/* "error", "warn", "info" or "debug" to its level, or -1. */
int log_level_find(const char *name);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A source of lines that outsiders can trigger: at most LOG_BURST a LOG_PERIOD_S, the rest is
 * counted, and the next line says so. Zero-initialise; one thread. */
#define LOG_BURST    5
#define LOG_PERIOD_S 10

struct log_limit {
    int64_t period_start_ms; /* by the monotonic clock */
    unsigned n_written;
    unsigned n_suppressed;
};

void log_warn_limited(struct log_limit *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
