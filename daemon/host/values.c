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
    if (check_ranks_wait(config, err) < 0 || check_idle_exit(config, err) < 0)
        return -EBADMSG;
    return check_nice(config, err);
}
