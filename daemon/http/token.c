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

static bool is_private(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* The token behind that word, when it is one; else it is as it was, "". */
static void find_token(const char *text, const char *word, char token[HTTP_TOKEN_SIZE])
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        char kind[16], found[HTTP_TOKEN_SIZE] = "";

        line += *line == '\n';
        if (sscanf(line, "%15s %32s", kind, found) == 2 && strcmp(kind, word) == 0 &&
            is_token(found))
            memcpy(token, found, HTTP_TOKEN_SIZE);
    }
}

/* Those of a regular file of ours alone. */
static void read_tokens(const char *path, struct http_tokens *tokens)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[256] = "";

    if (fd < 0)
        return;
    if (is_private(fd) && read(fd, text, sizeof text - 1) > 0) {
        find_token(text, "read", tokens->read);
        find_token(text, "read,write", tokens->write);
    }
    close(fd);
}

static int make_token(char token[HTTP_TOKEN_SIZE])
{
    uint8_t bytes[HTTP_TOKEN_SIZE / 2];

    if (*token)
        return 0; /* it is kept */
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return -EIO;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* What stood there goes first: it may be a link, or be open to others. */
static int write_tokens(const char *path, const struct http_tokens *tokens)
{
    int fd, rc;

    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = dprintf(fd, "read %s\nread,write %s\n", tokens->read, tokens->write) < 0 ? -errno : 0;
    return close(fd) < 0 && rc == 0 ? -errno : rc;
}

int http_token_keep(const char *dir, struct http_tokens *tokens, char **path, struct err *err)
{
    int rc;

    *tokens = (struct http_tokens){.read = ""};
    *path = paths_join(dir, TOKEN_FILE);
    if (!*path)
        return err_set(err, -ENOMEM, "out of memory");
    read_tokens(*path, tokens);
    if (*tokens->read && *tokens->write)
        return 0;
    rc = make_token(tokens->read);
    if (rc == 0)
        rc = make_token(tokens->write);
    if (rc == 0)
        rc = write_tokens(*path, tokens);
    if (rc == 0)
        return 0;
    err_set(err, rc, "%s: %s", *path, strerror(-rc));
    free(*path);
    *path = NULL;
    return rc;
}
