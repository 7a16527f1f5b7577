#include "daemon/http/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/host/paths.h"

/* Tested by tests/unit/daemon/http/test_token.c. */

#define TOKEN_FILE "page.token"
#define DIGITS     "0123456789abcdef"

static bool is_token(const char *text)
{
    return strspn(text, DIGITS) == HTTP_TOKEN_SIZE - 1 && text[HTTP_TOKEN_SIZE - 1] == '\0';
}

/* Whether the file is a regular one of ours alone, and holds a token. */
static bool read_token(const char *path, char token[HTTP_TOKEN_SIZE])
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[64] = "";
    struct stat st;
    bool good;

    if (fd < 0)
        return false;
    good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & (S_IRWXG | S_IRWXO)) == 0 && read(fd, text, sizeof text - 1) > 0 &&
           sscanf(text, "read %32s", token) == 1 && is_token(token);
    close(fd);
    return good;
}

static int make_token(char token[HTTP_TOKEN_SIZE])
{
    uint8_t bytes[HTTP_TOKEN_SIZE / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return -EIO;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* What stood there goes first: it may be a link, or be open to others. */
static int write_token(const char *path, const char *token)
{
    int fd, rc;

    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = dprintf(fd, "read %s\n", token) < 0 ? -errno : 0;
    return close(fd) < 0 && rc == 0 ? -errno : rc;
}

int http_token_keep(const char *dir, char token[HTTP_TOKEN_SIZE], char **path, struct err *err)
{
    int rc;

    *path = paths_join(dir, TOKEN_FILE);
    if (!*path)
        return err_set(err, -ENOMEM, "out of memory");
    if (read_token(*path, token))
        return 0;
    rc = make_token(token);
    if (rc == 0)
        rc = write_token(*path, token);
    if (rc == 0)
        return 0;
    err_set(err, rc, "%s: %s", *path, strerror(-rc));
    free(*path);
    *path = NULL;
    return rc;
}
