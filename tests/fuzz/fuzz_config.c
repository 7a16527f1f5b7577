/* The daemon's options (daemon/host/config.h). An input is flags, one a line, and behind an empty
 * line the file that --config reads. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/host/config.h"

#define N_FLAGS 8

/* The options of one source, read from a file in memory. */
struct source {
    char path[64];
    int fd;
};

static void open_source(struct source *source, const void *text, size_t size)
{
    source->fd = memfd_create("config", MFD_CLOEXEC);
    REQUIRE(source->fd >= 0 && write(source->fd, text, size) == (ssize_t)size);
    snprintf(source->path, sizeof source->path, "/proc/self/fd/%d", source->fd);
}

static int split_flags(char *text, char *argv[N_FLAGS])
{
    int argc = 0;

    for (char *flag = strsep(&text, "\n"); flag && *flag && argc < N_FLAGS;
         flag = strsep(&text, "\n"))
        argv[argc++] = flag;
    return argc;
}

static int read_all(char *flags, const char *path, struct config *config, struct err *err)
{
    char name[] = "richd", option[] = "--config", file[64];
    char *argv[N_FLAGS + 3] = {name, option, file};
    int argc = 3 + split_flags(flags, argv + 3);

    strcpy(file, path);
    return config_read(config, argc, argv, err);
}

/* inih reads lines of less than 200 bytes: with the name in front and the source behind it. */
#define PRINTED_MAX 160

static bool fits(const struct config *config)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (i != OPTION_CONFIG && config->value[i] && strlen(config->value[i]) > PRINTED_MAX)
            return false;
    }
    return true;
}

/* What is in force is printed as a file that has the same in force. */
static void require_round_trip(const struct config *config)
{
    char *text = NULL, none[] = "";
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct source source;
    struct config again;
    struct err err = {""};

    config_print(config, out);
    fclose(out);
    open_source(&source, text, size);
    REQUIRE(read_all(none, source.path, &again, &err) == 0);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (i != OPTION_CONFIG && config->value[i])
            REQUIRE(again.value[i] && strcmp(again.value[i], config->value[i]) == 0);
    }
    REQUIRE(again.nice == config->nice && again.ranks_wait_s == config->ranks_wait_s);
    config_release(&again);
    close(source.fd);
    free(text);
}

static void require_values(const struct config *config)
{
    REQUIRE(config->nice >= 0 && config->nice <= 19 && config->ranks_wait_s <= 600);
    REQUIRE(config->log_level >= LOG_ERROR && config->log_level <= LOG_DEBUG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *gap = memmem(data, size, "\n\n", 2);
    size_t n_flags = gap ? (size_t)(gap - data) : 0;
    char *flags = strndup((const char *)data, n_flags);
    struct source source;
    struct config config;
    struct err err = {""};
    int rc;

    open_source(&source, data + (gap ? n_flags + 2 : 0), size - (gap ? n_flags + 2 : 0));
    rc = read_all(flags, source.path, &config, &err);
    REQUIRE(rc == 0 || rc == -EINVAL || rc == -EBADMSG);
    if (rc < 0)
        require_sentence(&err);
    if (rc == 0 && config.task < TASK_PRINT_KERNELS) {
        require_values(&config);
        if (n_flags == 0 && fits(&config))
            require_round_trip(&config);
    }
    if (rc == 0)
        config_release(&config);
    close(source.fd);
    free(flags);
    return 0;
}
