#include "daemon/ingest/authorised.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key, a name, the rights and some projects. */
#define LINE_MAX_BYTES 1024
/* More than a cluster has users; a file of them has some 100 kB. */
#define KEYS_MAX 4096

struct authorised {
    char *path;
    struct stat seen; /* of the file that was read last */
    struct authorised_key *keys;
    size_t n;
};

struct authorised *authorised_new(const char *path)
{
    struct authorised *authorised = calloc(1, sizeof *authorised);

    if (authorised)
        authorised->path = strdup(path);
    if (authorised && authorised->path)
        return authorised;
    authorised_free(authorised);
    return NULL;
}

static void free_keys(struct authorised_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(keys[i].projects);
    free(keys);
}

void authorised_free(struct authorised *authorised)
{
    if (!authorised)
        return;
    free_keys(authorised->keys, authorised->n);
    free(authorised->path);
    free(authorised);
}

/* ---- a line ---------------------------------------------------------------------------------- */

/* There is one so far; a line without it is no key of a trainer. */
static int take_right(struct authorised_key *key, const char *word, struct err *err)
{
    if (strcmp(word, "read") == 0 || strcmp(word, "read,write") == 0)
        return err_set(err, -EBADMSG, "a key does not read: readers have tokens (HTTP.md)");
    if (strcmp(word, "write") != 0)
        return err_set(err, -EBADMSG, "\"%.64s\" is no right", word);
    key->writes = true;
    return 0;
}

static int take_option(struct authorised_key *key, char *word, struct err *err)
{
    static const char project[] = "project=";

    if (strncmp(word, project, strlen(project)) != 0)
        return take_right(key, word, err);
    if (key->projects || !word[strlen(project)])
        return err_set(err, -EBADMSG, "project= names projects, once");
    key->projects = strdup(word + strlen(project));
    return key->projects ? 0 : -ENOMEM;
}

static int take_name(struct authorised_key *key, const char *word, struct err *err)
{
    if (!word || !key_name_is_valid(word))
        return err_set(err, -EBADMSG, "behind the key comes a name of A-Z a-z 0-9 . _ -");
    strcpy(key->name, word);
    return 0;
}

static int take_words(struct authorised_key *key, char *line, struct err *err)
{
    char *rest = NULL, *word = strtok_r(line, " \t\r", &rest);
    int rc;

    if (strlen(word) != KEY_SIZE - 1 || !key_is_valid(word))
        return err_set(err, -EBADMSG, "the first word is no key of 40 characters");
    memcpy(key->key, word, KEY_SIZE);
    rc = take_name(key, strtok_r(NULL, " \t\r", &rest), err);
    while (rc == 0 && (word = strtok_r(NULL, " \t\r", &rest)) != NULL && *word != '#')
        rc = take_option(key, word, err);
    if (rc == 0 && !key->writes)
        rc = err_set(err, -EBADMSG, "%s has no right: write", key->name);
    return rc;
}

static bool is_empty(const char *line)
{
    line += strspn(line, " \t\r");
    return *line == '\0' || *line == '#';
}

/* ---- the file -------------------------------------------------------------------------------- */

/* What is being read. */
struct reading {
    struct authorised_key *keys;
    size_t n;
    struct err *problems;
    unsigned line;
};

static void complain(struct reading *reading, const char *why)
{
    size_t used = strlen(reading->problems->text);

    snprintf(reading->problems->text + used, sizeof reading->problems->text - used, "%sline %u: %s",
             used > 0 ? "; " : "", reading->line, why);
}

static bool is_known(const struct reading *reading, const struct authorised_key *key)
{
    for (size_t i = 0; i < reading->n; i++) {
        if (strcmp(reading->keys[i].key, key->key) == 0)
            return true;
    }
    return false;
}

static int take_line(struct reading *reading, char *line)
{
    struct authorised_key key = {.projects = NULL};
    struct err why = {""};
    int rc;

    line[strcspn(line, "\n")] = '\0';
    if (is_empty(line))
        return 0;
    rc = take_words(&key, line, &why);
    if (rc == 0 && is_known(reading, &key))
        rc = err_set(&why, -EBADMSG, "the key of %s stands above", key.name);
    if (rc == 0 && reading->n == KEYS_MAX)
        rc = err_set(&why, -EBADMSG, "more than %d keys", KEYS_MAX);
    if (rc == 0) {
        reading->keys[reading->n++] = key;
        return 0;
    }
    free(key.projects);
    if (rc != -ENOMEM)
        complain(reading, why.text);
    return rc == -ENOMEM ? rc : 0;
}

static int read_lines(FILE *stream, struct reading *reading)
{
    char line[LINE_MAX_BYTES];
    bool is_rest = false; /* of a line that was too long */

    reading->keys = calloc(KEYS_MAX, sizeof *reading->keys);
    if (!reading->keys)
        return -ENOMEM;
    while (fgets(line, sizeof line, stream)) {
        bool is_whole = strchr(line, '\n') != NULL;

        reading->line += !is_rest;
        if (!is_rest && !is_whole) /* rights that are written last may not be there yet */
            complain(reading, feof(stream) ? "it has no end yet" : "it is too long");
        else if (!is_rest && take_line(reading, line) < 0)
            return -ENOMEM;
        is_rest = !is_whole;
    }
    return 0;
}

static int check_owner(const struct stat *st, struct err *err)
{
    if (!S_ISREG(st->st_mode))
        return err_set(err, -EPERM, "it is not a file");
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return err_set(err, -EPERM, "it belongs to user %u", (unsigned)st->st_uid);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, -EPERM, "others than its owner may write it (chmod 600)");
    return 0;
}

static int read_file(const char *path, struct reading *reading, struct err *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;
    FILE *stream;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = err_set(err, -errno, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rc = check_owner(&st, err);
    stream = rc == 0 ? fdopen(fd, "r") : NULL;
    if (!stream) {
        close(fd);
        return rc < 0 ? rc : -ENOMEM;
    }
    rc = read_lines(stream, reading);
    fclose(stream);
    return rc;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int authorised_refresh(struct authorised *authorised, bool always, struct err *err)
{
    struct reading reading = {.problems = err};
    struct stat now = {0};
    int rc;

    err->text[0] = '\0';
    if (stat(authorised->path, &now) < 0)
        now = (struct stat){0};
    if (!always && is_same(&now, &authorised->seen))
        return 0;
    rc = read_file(authorised->path, &reading, err);
    if (rc == -ENOMEM) {
        free_keys(reading.keys, reading.n);
        return err_set(err, rc, "%s: out of memory", authorised->path);
    }
    free_keys(authorised->keys, authorised->n);
    authorised->keys = reading.keys;
    authorised->n = reading.n;
    authorised->seen = now;
    if (err->text[0])
        return err_prefix(err, rc < 0 ? rc : -EBADMSG, "%s: ", authorised->path);
    return 1;
}

/* ---- asking ---------------------------------------------------------------------------------- */

size_t authorised_count(const struct authorised *authorised)
{
    return authorised->n;
}

const struct authorised_key *authorised_find(const struct authorised *authorised, const char *key)
{
    for (size_t i = 0; i < authorised->n; i++) {
        if (strcmp(authorised->keys[i].key, key) == 0)
            return &authorised->keys[i];
    }
    return NULL;
}
