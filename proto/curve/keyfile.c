#include "proto/curve/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

/* Four lines, and comments. */
#define FILE_SIZE_MAX 4096

bool key_name_is_valid(const char *name)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(name);

    return size > 0 && size <= KEY_NAME_MAX && strspn(name, letters) == size;
}

bool key_is_valid(const char *text)
{
    static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              ".-:+=^!/*?&<>()[]{}@%$#";

    return strspn(text, z85) >= KEY_SIZE - 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take_key(const char *value, char key[KEY_SIZE])
{
    if (strlen(value) != KEY_SIZE - 1 || !key_is_valid(value))
        return false;
    memcpy(key, value, KEY_SIZE);
    return true;
}

static bool take_word(struct keyfile *keys, const char *word, const char *value)
{
    if (strcmp(word, "public") == 0)
        return take_key(value, keys->public_key);
    if (strcmp(word, "secret") == 0)
        return take_key(value, keys->secret_key);
    if (strcmp(word, "server") == 0)
        return take_key(value, keys->server_key);
    if (strcmp(word, "endpoint") != 0 || strncmp(value, "tcp://", 6) != 0)
        return false;
    memcpy(keys->endpoint, value, strlen(value) + 1);
    return true;
}

static bool take_line(struct keyfile *keys, const char *line)
{
    char word[16], value[KEYFILE_ENDPOINT_SIZE], rest;

    line += strspn(line, " \t");
    if (*line == '#' || *line == '\0')
        return true;
    return sscanf(line, "%15s %299s %c", word, value, &rest) == 2 && take_word(keys, word, value);
}

static int parse(char *text, struct keyfile *keys, struct err *err)
{
    unsigned number = 0;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        if (!take_line(keys, line))
            return err_set(err, -EBADMSG, "line %u is no key or address", number);
    }
    if (!*keys->public_key || !*keys->secret_key)
        return err_set(err, -EBADMSG, "it lacks a public or a secret key");
    return 0;
}

static int check_private(int fd, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EPERM, "it is not a file");
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, -EPERM, "it belongs to user %u", (unsigned)st.st_uid);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, -EPERM, "others than its owner may read or write it (chmod 600)");
    return 0;
}

static int read_open(int fd, struct keyfile *keys, struct err *err)
{
    char text[FILE_SIZE_MAX];
    int rc = check_private(fd, err);
    ssize_t n = rc == 0 ? read(fd, text, sizeof text - 1) : 0;

    if (n < 0)
        rc = err_set(err, -errno, "%s", strerror(errno));
    text[n > 0 ? n : 0] = '\0';
    if (rc == 0)
        rc = parse(text, keys, err);
    explicit_bzero(text, sizeof text);
    return rc;
}

int keyfile_read(const char *path, struct keyfile *keys, struct err *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;

    memset(keys, 0, sizeof *keys);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", path,
                       errno == ELOOP ? "it is not a file" : strerror(errno));
    rc = read_open(fd, keys, err);
    close(fd);
    return rc < 0 ? err_prefix(err, rc, "%s: ", path) : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_fresh(const char *path, const struct keyfile *keys)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = 0;

    if (fd < 0)
        return -errno;
    if (dprintf(fd, "# A secret: who has this file is who it names.\n") < 0 ||
        (*keys->endpoint && dprintf(fd, "endpoint %s\n", keys->endpoint) < 0) ||
        (*keys->server_key && dprintf(fd, "server %s\n", keys->server_key) < 0) ||
        dprintf(fd, "public %s\nsecret %s\n", keys->public_key, keys->secret_key) < 0 ||
        fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        unlink(path);
    return rc;
}

int keyfile_write(const char *path, const struct keyfile *keys, bool replaces, struct err *err)
{
    char fresh[PATH_MAX];
    int rc;

    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    if (replaces)
        unlink(fresh);
    rc = write_fresh(replaces ? fresh : path, keys);
    if (rc == 0 && replaces && rename(fresh, path) < 0)
        rc = -errno;
    return rc < 0 ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int keyfile_make_pair(struct keyfile *keys, struct err *err)
{
    if (zmq_curve_keypair(keys->public_key, keys->secret_key) == 0)
        return 0;
    return err_set(err, -ENOTSUP, "a pair of keys cannot be made: %s", zmq_strerror(zmq_errno()));
}

int keyfile_keep(const char *path, struct keyfile *keys, struct err *err)
{
    int rc = keyfile_read(path, keys, err);

    if (rc != -ENOENT)
        return rc;
    rc = keyfile_make_pair(keys, err);
    return rc == 0 ? keyfile_write(path, keys, false, err) : rc;
}
