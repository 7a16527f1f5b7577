/* richctl token: the tokens that people were given for HTTP, by name. `token add NAME` makes one of
 * 256 random bits, prints it, and adds its SHA-256 to the file `tokens` of the daemon's state
 * directory, which the daemon reads within a second; the token itself is kept nowhere. `token
 * remove NAME` takes the line away: who came with it is cut off. The file's form is
 * daemon/http/tokens.h's. Tested by tests/e2e/read/test_tokens_of_people.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/place.h"
#include "proto/base/sha256.h"

#define FILE_NAME  "tokens"
#define TOKEN_SIZE 65 /* 64 digits and a NUL */
#define LINE_SIZE  512
#define PATH_SIZE  (PATH_MAX + sizeof FILE_NAME ".new" + 1)

/* A line of the file. */
struct line {
    char rights[16], hash[80], name[KEY_NAME_MAX + 1];
};

/* What a command writes beside the file, which takes its place when it is whole. */
struct change {
    char path[PATH_SIZE], new_path[PATH_SIZE];
    int lock;       /* on the directory, against a second richctl */
    FILE *in, *out; /* `in` NULL: there is no file yet */
};

/* ---- the file -------------------------------------------------------------------------------- */

static int refuse(const char *path, struct err *err)
{
    return err_set(err, -errno, "%s: %s", path, strerror(errno));
}

/* Whether it is one of ours; comments and what a person wrote are not. */
static bool read_line(const char *text, struct line *out)
{
    return sscanf(text, " %15s %79s %64s", out->rights, out->hash, out->name) == 3 &&
           *out->rights != '#' && strncmp(out->hash, "sha256:", 7) == 0;
}

static void close_change(struct change *change)
{
    if (change->in)
        fclose(change->in);
    if (change->out) {
        fclose(change->out);
        unlink(change->new_path);
    }
    if (change->lock >= 0)
        close(change->lock);
}

static int open_change(struct change *change, const struct place *place, struct err *err)
{
    int fd;

    *change = (struct change){.lock = -1};
    snprintf(change->path, sizeof change->path, "%s/" FILE_NAME, place->directory);
    snprintf(change->new_path, sizeof change->new_path, "%s/" FILE_NAME ".new", place->directory);
    change->lock = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (change->lock < 0 || flock(change->lock, LOCK_EX) < 0)
        return refuse(place->directory, err);
    change->in = fopen(change->path, "re");
    if (!change->in && errno != ENOENT)
        return refuse(change->path, err);
    fd = open(change->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    change->out = fd < 0 ? NULL : fdopen(fd, "w");
    return change->out ? 0 : refuse(change->new_path, err);
}

/* It is there for good, also after a loss of power. */
static int commit(struct change *change, struct err *err)
{
    int rc = fflush(change->out) != 0 || fsync(fileno(change->out)) < 0 ? -1 : 0;

    if (rc == 0)
        rc = rename(change->new_path, change->path);
    if (rc < 0)
        return refuse(change->new_path, err);
    fclose(change->out);
    change->out = NULL;
    fsync(change->lock);
    return 0;
}

/* Copies all lines but that of `name`. Returns whether there was one. */
static bool copy_others(struct change *change, const char *name)
{
    char text[LINE_SIZE];
    struct line line;
    bool found = false, is_ended = true;

    while (change->in && fgets(text, sizeof text, change->in)) {
        if (is_ended && read_line(text, &line) && strcmp(line.name, name) == 0) {
            found = true;
            continue;
        }
        is_ended = strchr(text, '\n') != NULL;
        fputs(text, change->out);
    }
    if (!is_ended)
        fputc('\n', change->out);
    return found;
}

/* ---- add ------------------------------------------------------------------------------------- */

struct made {
    const char *name, *rights, *token;
};

static bool fill_made(cJSON *object, const void *what)
{
    const struct made *made = what;

    return cJSON_AddStringToObject(object, "name", made->name) &&
           cJSON_AddStringToObject(object, "rights", made->rights) &&
           cJSON_AddStringToObject(object, "token", made->token);
}

static int make_token(char token[TOKEN_SIZE], struct err *err)
{
    uint8_t bytes[SHA256_SIZE];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_set(err, -EIO, "the system has no random numbers");
    sha256_print(bytes, token);
    explicit_bzero(bytes, sizeof bytes);
    return 0;
}

static int write_token(struct change *change, const struct made *made, struct err *err)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    if (copy_others(change, made->name))
        return err_set(err, -EEXIST,
                       "there is a token %s already: richctl token remove %s, or another name",
                       made->name, made->name);
    sha256(made->token, strlen(made->token), digest);
    sha256_print(digest, text);
    fprintf(change->out, "%s sha256:%s %s\n", made->rights, text, made->name);
    return commit(change, err);
}

static int print_made(const struct made *made, const struct place *place, bool json,
                      struct err *err)
{
    if (json)
        return jsonline_make(fill_made, made, stdout, err);
    fprintf(stderr, "It is shown this once:\n");
    printf("%s\n", made->token);
    fflush(stdout);
    if (*place->http)
        fprintf(stderr, "The page with it is %s/#token=%s\n", place->http, made->token);
    return 0;
}

static int add(const char *name, const struct options *options, struct err *err)
{
    const char *rights = options->rights ? options->rights : "read";
    char token[TOKEN_SIZE];
    struct made made = {name, rights, token};
    struct change change = {.lock = -1};
    struct place place;
    int rc;

    if (!key_name_is_valid(name))
        return err_set(err, -EINVAL, "a token's name has 1 to 64 of A-Z a-z 0-9 . _ -");
    if (strcmp(rights, "read") != 0 && strcmp(rights, "read,write") != 0)
        return err_set(err, -EINVAL, "--rights is read or read,write, not \"%.32s\"", rights);
    rc = place_find(options, &place, err);
    if (rc == 0)
        rc = place_make(&place, "token", err);
    if (rc == 0)
        rc = make_token(token, err);
    if (rc == 0)
        rc = open_change(&change, &place, err);
    if (rc == 0)
        rc = write_token(&change, &made, err);
    if (rc == 0)
        rc = print_made(&made, &place, options->json, err);
    close_change(&change);
    explicit_bzero(token, sizeof token);
    return rc;
}

/* ---- remove, and the list -------------------------------------------------------------------- */

static int take_away(const char *name, const struct options *options, struct err *err)
{
    struct change change = {.lock = -1};
    struct place place;
    int rc = place_find(options, &place, err);

    if (rc == 0)
        rc = place_make(&place, "token", err);
    if (rc == 0)
        rc = open_change(&change, &place, err);
    if (rc == 0 && !copy_others(&change, name))
        rc = err_set(err, -ENOENT, "%s has no token \"%.64s\"", change.path, name);
    if (rc == 0)
        rc = commit(&change, err);
    close_change(&change);
    return rc;
}

static bool fill_line(cJSON *object, const void *what)
{
    const struct line *line = what;

    return cJSON_AddStringToObject(object, "name", line->name) &&
           cJSON_AddStringToObject(object, "rights", line->rights);
}

static int list(const struct options *options, struct err *err)
{
    char path[PATH_SIZE], text[LINE_SIZE];
    struct place place;
    struct line line;
    FILE *file;
    int rc = place_find(options, &place, err);

    if (rc < 0)
        return rc;
    snprintf(path, sizeof path, "%s/" FILE_NAME, place.directory);
    file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? 0 : refuse(path, err);
    while (rc == 0 && fgets(text, sizeof text, file)) {
        if (!read_line(text, &line))
            continue;
        if (options->json)
            rc = jsonline_make(fill_line, &line, stdout, err);
        else
            printf("%-10s %s\n", line.rights, line.name);
    }
    fclose(file);
    return rc;
}

int cmd_token(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *what = options->n_words > 1 ? options->words[1] : "list";
    const char *name = options->n_words > 2 ? options->words[2] : NULL;

    (void)feed;
    if (strcmp(what, "list") == 0 && !name)
        return list(options, err);
    if (strcmp(what, "add") == 0 && name)
        return add(name, options, err);
    if (strcmp(what, "remove") == 0 && name)
        return take_away(name, options, err);
    return err_set(err, -EINVAL, "it is token list, token add NAME or token remove NAME");
}
