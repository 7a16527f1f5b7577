#include "daemon/host/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/host/priority.h"

/* Tested by tests/e2e/service/test_options_come_from_flag_environment_and_file.py. */

static int check_nice(struct config *config, struct err *err)
{
    if (config_set_default(config, OPTION_NICE, NICE_DEFAULT) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    config->nice = priority_read(config->value[OPTION_NICE], err);
    if (config->nice < 0)
        return config_refuse(config, OPTION_NICE, config->nice, err);
    return 0;
}

#define RANKS_WAIT_DEFAULT "10"
/* Longer than this the rows that wait behind a mark would use up any credit. */
#define RANKS_WAIT_MAX_S 600

static int check_ranks_wait(struct config *config, struct err *err)
{
    const char *text;
    char *end;
    long seconds;

    if (config_set_default(config, OPTION_RANKS_WAIT, RANKS_WAIT_DEFAULT) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_RANKS_WAIT];
    seconds = strtol(text, &end, 10);
    if (end == text || *end || seconds < 0 || seconds > RANKS_WAIT_MAX_S)
        return config_refuse(config, OPTION_RANKS_WAIT,
                             err_set(err, -EBADMSG, "\"%s\" is no number of seconds from 0 to %d",
                                     text, RANKS_WAIT_MAX_S),
                             err);
    config->ranks_wait_s = (unsigned)seconds;
    return 0;
}

/* A month, beyond which nobody means it. */
#define IDLE_EXIT_MAX_S 2678400

static int check_idle_exit(struct config *config, struct err *err)
{
    const char *text;
    char *end;
    long seconds;

    if (config_set_default(config, OPTION_IDLE_EXIT, "off") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_IDLE_EXIT];
    if (strcmp(text, "off") == 0)
        return 0;
    seconds = strtol(text, &end, 10);
    if (end == text || *end || seconds < 1 || seconds > IDLE_EXIT_MAX_S)
        return config_refuse(config, OPTION_IDLE_EXIT,
                             err_set(err, -EBADMSG,
                                     "\"%s\" is neither off nor a number of seconds from 1 to %d",
                                     text, IDLE_EXIT_MAX_S),
                             err);
    config->idle_exit_s = (unsigned)seconds;
    return 0;
}

#define KEEP_DAYS_MAX 36500
/* Below a megabyte there is room for no run. */
#define MAX_BYTES_MIN 1000000

/* A whole number, in decimal multiples of a unit that may follow; -1: it is none. */
static int64_t read_bytes(const char *text)
{
    static const char units[] = "kMGT";
    const char *unit;
    int64_t factor = 1;
    char *end;
    double bytes = (double)strtoll(text, &end, 10);

    if (end == text)
        return -1;
    unit = *end ? strchr(units, *end) : NULL;
    for (const char *at = units; unit && at <= unit; at++)
        factor *= 1000;
    bytes *= (double)factor;
    return end[unit != NULL] || bytes < MAX_BYTES_MIN || bytes > 0x1p60 ? -1 : (int64_t)bytes;
}

static int check_keep_days(struct config *config, struct err *err)
{
    const char *text;
    char *end;

    config->keep_days = -1;
    if (config_set_default(config, OPTION_KEEP_DAYS, "off") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_KEEP_DAYS];
    if (strcmp(text, "off") == 0)
        return 0;
    config->keep_days = strtol(text, &end, 10);
    if (end != text && !*end && config->keep_days >= 1 && config->keep_days <= KEEP_DAYS_MAX)
        return 0;
    return config_refuse(config, OPTION_KEEP_DAYS,
                         err_set(err, -EBADMSG,
                                 "\"%s\" is neither off nor a number of days from 1 to %d", text,
                                 KEEP_DAYS_MAX),
                         err);
}

static int check_max_bytes(struct config *config, struct err *err)
{
    const char *text;

    config->max_bytes = -1;
    if (config_set_default(config, OPTION_MAX_BYTES, "off") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_MAX_BYTES];
    if (strcmp(text, "off") == 0)
        return 0;
    config->max_bytes = read_bytes(text);
    if (config->max_bytes > 0)
        return 0;
    return config_refuse(config, OPTION_MAX_BYTES,
                         err_set(err, -EBADMSG,
                                 "\"%s\" is neither off nor a number of bytes from 1M on (k, M, G"
                                 " or T may follow)",
                                 text),
                         err);
}

/* Each adds ten files and more on the server. */
#define HISTORY_PARTITIONS_MAX 256

static int check_history_partitions(struct config *config, struct err *err)
{
    const char *text;
    char *end;
    long n;

    if (config_set_default(config, OPTION_HISTORY_PARTITIONS, "0") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_HISTORY_PARTITIONS];
    n = strtol(text, &end, 10);
    if (end == text || *end || n < 0 || n > HISTORY_PARTITIONS_MAX)
        return config_refuse(config, OPTION_HISTORY_PARTITIONS,
                             err_set(err, -EBADMSG, "\"%s\" is no number from 0 to %d", text,
                                     HISTORY_PARTITIONS_MAX),
                             err);
    config->history_partitions = (unsigned)n;
    return 0;
}

static int check_read_only(struct config *config, struct err *err)
{
    const char *text, *history = config->value[OPTION_HISTORY];

    if (config_set_default(config, OPTION_READ_ONLY, "off") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_READ_ONLY];
    config->is_read_only = strcmp(text, "on") == 0;
    if (!config->is_read_only && strcmp(text, "off") != 0)
        return config_refuse(config, OPTION_READ_ONLY,
                             err_set(err, -EBADMSG, "\"%s\" is neither on nor off", text), err);
    if (config->is_read_only && (!history || strcmp(history, "off") == 0))
        return config_refuse(config, OPTION_READ_ONLY,
                             err_set(err, -EBADMSG, "it needs a --history to read"), err);
    return 0;
}

static int check_ack(struct config *config, struct err *err)
{
    const char *text, *history = config->value[OPTION_HISTORY];

    if (config_set_default(config, OPTION_ACK, "disk") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    text = config->value[OPTION_ACK];
    config->acks_by_history = strcmp(text, "history") == 0;
    if (!config->acks_by_history && strcmp(text, "disk") != 0)
        return config_refuse(config, OPTION_ACK,
                             err_set(err, -EBADMSG, "\"%s\" is neither disk nor history", text),
                             err);
    if (config->acks_by_history && (!history || strcmp(history, "off") == 0))
        return config_refuse(config, OPTION_ACK,
                             err_set(err, -EBADMSG, "it needs a --history that acknowledges"), err);
    return 0;
}

int values_check(struct config *config, struct err *err)
{
    const char *name = config->value[OPTION_LOG_LEVEL];
    int level = name ? log_level_find(name) : LOG_INFO;

    if (level < 0)
        return config_refuse(
            config, OPTION_LOG_LEVEL,
            err_set(err, -EBADMSG, "\"%s\" is none of error, warn, info, debug", name), err);
    config->log_level = (enum log_level)level;
    if (config_set_default(config, OPTION_LOG_LEVEL, "info") < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (check_ranks_wait(config, err) < 0 || check_idle_exit(config, err) < 0 ||
        check_keep_days(config, err) < 0 || check_max_bytes(config, err) < 0 ||
        check_history_partitions(config, err) < 0 || check_read_only(config, err) < 0 ||
        check_ack(config, err) < 0)
        return -EBADMSG;
    return check_nice(config, err);
}
